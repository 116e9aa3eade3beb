"""How far scores are from what they estimate: the error of an integral or of a sample, per site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from critpath.neurons import NeuronSpace


class ToleranceWarning(UserWarning):
    """Scores are less exact than was asked for; their ``error`` says by how much."""


@dataclass(frozen=True, eq=False)
class Accuracy:
    """The estimated error of scores, per sample and site: every tensor is [batch, sites].

    Attributes
    ----------
    error
        Estimated sum over the site's neurons of |score - exact score|, in units of the response; never less
        than the completeness gap.
    scale
        Sum over the site's neurons of |score|.
    gap
        The completeness gap |sum of scores - (response - response at the baseline)|; NaN where completeness
        is not defined: for conductance, at a site that some route from input to response bypasses.
    points
        Points of the line (or coalitions) that were evaluated.
    rule
        How the integral was made: "bisection", "trapezoid", "gauss", "permutations", "exact".
    tolerance, tolerance_of
        The relative error that was asked for (None where a number of points was): at every "site", or over the
        "network".
    stopped
        Why no more points were spent: "tolerance", "points" (all that were allowed), "resolution" (segments are
        as short as numbers allow), "" where there are no points.
    """

    space: NeuronSpace
    error: Tensor
    scale: Tensor
    gap: Tensor
    points: Tensor
    rule: str
    tolerance: float | None = None
    tolerance_of: str = "site"
    stopped: str = ""

    @property
    def relative(self) -> Tensor:
        """``error / scale`` [batch, sites]: 0.05 is five percent. Infinite where all scores are 0 and should not be."""
        none = torch.where(self.error > 0, torch.inf, 0.0)
        return torch.where(self.scale > 0, self.error / self.scale, none)

    @property
    def overall(self) -> Tensor:
        """The relative error over all neurons of the network [batch]."""
        error, scale = self.error.sum(dim=1), self.scale.sum(dim=1)
        return error / scale.clamp_min(torch.finfo(scale.dtype).tiny)

    @property
    def met(self) -> bool:
        """Whether the estimated error is within the tolerance; True where none was asked for."""
        reached = self.relative if self.tolerance_of == "site" else self.overall
        return self.tolerance is None or bool((reached <= self.tolerance * (1 + 1e-6)).all())

    def sample(self, index: int) -> Accuracy:
        """That of one sample, as a batch of one."""
        picked = {name: getattr(self, name)[index : index + 1] for name in ("error", "scale", "gap", "points")}
        return replace(self, **picked)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return f"Accuracy({_summary(self)})"


def exact(space: NeuronSpace, scale: Tensor, rule: str = "exact") -> Accuracy:
    """That of scores which are computed by their definition, to rounding; ``scale`` is [batch, sites]."""
    nothing = torch.zeros_like(scale)
    return Accuracy(space, nothing, scale, torch.full_like(scale, torch.nan), torch.ones_like(scale), rule)


def _summary(of: Accuracy) -> str:
    if of.rule == "exact" and not of.error.any():
        return "computed by definition, nothing was integrated or sampled"
    overall = ", ".join(f"{100 * value:.2g}" for value in of.overall.tolist()[:4])
    worst = float(of.relative.max()) if of.relative.numel() else 0.0
    wanted = "" if of.tolerance is None else f", {100 * of.tolerance:g} % wanted: {'met' if of.met else 'NOT met'}"
    return f"estimated error {overall} % of all scores, {100 * worst:.2g} % at the worst site, by {of.rule}{wanted}"


def _lines(of: Accuracy) -> Iterator[str]:
    yield _summary(of)
    width = max((len(name) for name in of.space.names), default=0)
    yield f"{'site':<{width}}  {'error':>8}  {'points':>6}  completeness gap (sample 0)"
    for i, name in enumerate(of.space.names):
        gap = float(of.gap[0, i])
        shown = f"{gap:.3g}" if gap == gap else "not defined here"
        yield f"{name:<{width}}  {100 * float(of.relative[0, i]):6.2f} %  {int(of.points[0, i]):6d}  {shown}"
