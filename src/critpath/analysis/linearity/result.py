"""What is known of a radius of local linearity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.network import ModelInput

CURVE = torch.logspace(-12, 4, 161, dtype=torch.float64)
"""Radii at which the share of nearer boundaries is told, ten a decade: the same for all inputs and networks."""


@dataclass(frozen=True)
class Decider:
    """The boundary that is nearest: a neuron's kink (``kind`` "site"), or a tie in max pooling ("pool").

    ``index`` are the neuron's coordinates at the site ``site``; or, in one sample of what was given to the pooling
    that module ``site`` does, those of the element that won, and ``rival`` those of the one it ties with. ``number``
    counts through all boundaries of the network.
    """

    site: str
    kind: str
    index: tuple[int, ...]
    rival: tuple[int, ...] | None = None
    number: int = -1

    def __str__(self) -> str:
        rival = "" if self.rival is None else f" against {list(self.rival)}"
        return f"{self.site} {list(self.index)}{rival}" + (" (max pooling)" if self.kind == "pool" else "")


@dataclass(frozen=True, eq=False)
class LinearRadius:
    """The largest l2 ball around each sample in which the activation pattern does not change.

    ``radius`` [batch], infinite where nothing can flip, in the units of the input or, with a scale, of the scaled
    input. ``deciders`` [batch]: the nearest boundary, None where there is none. ``normal`` is like the input:
    ``x + radius * normal`` lies on the deciding boundary. ``curve`` [batch, 161]: the share of boundaries nearer than
    each radius of ``CURVE``. ``boundaries`` [batch]: how many have a distance, neurons and pairs of max pooling;
    ``ties`` [batch]: on how many the input lies exactly, whether these count or not.

    That nothing is nearer is proved where ``method`` is "exact"; where it is "estimate" it holds but for a chance of
    ``missed`` [batch], at most 1 - ``confidence`` unless the limit of candidates was reached. ``products``
    forward-mode passes and ``gradients`` backward passes of the batch were spent; of the estimate, as many as the
    sample took that took most. ``resolution`` [batch]: rounding the input moves it about so far; a smaller ball cannot
    be walked in its precision. ``frozen``: the pattern is that of the pathway's frozen network, all other neurons
    constant. ``counts_pools``, ``counts_ties``: whether max pooling counts, and boundaries on which the input lies.
    """

    radius: Tensor
    deciders: tuple[Decider | None, ...]
    normal: ModelInput
    curve: Tensor
    boundaries: Tensor
    ties: Tensor
    method: str
    confidence: float
    missed: Tensor
    resolution: Tensor
    frozen: bool
    counts_pools: bool
    counts_ties: bool
    products: int
    gradients: int

    @property
    def complete(self) -> Tensor:
        """Whether the confidence was reached: booleans [batch]."""
        return self.missed <= 1 - self.confidence

    @property
    def resolved(self) -> Tensor:
        """Whether the ball is large enough to be walked in the input's precision: booleans [batch]."""
        return self.radius > 100 * self.resolution

    def __str__(self) -> str:
        pattern = "the pathway's frozen network (other neurons constant)" if self.frozen else "the network"
        head = f"l2 radius within which the activation pattern of {pattern} is constant, {self._how()}"
        return "\n".join([head, *(self._line(i) for i in range(len(self.radius)))])

    def _how(self) -> str:
        if self.method == "exact":
            return f"exact ({self.gradients} gradients)"
        return f"from {self.products} random directions and up to {self.gradients} exact gradients each"

    def _line(self, i: int) -> str:
        if self.deciders[i] is None:
            return f"sample {i}: infinite, nothing can flip"
        chance = max(float(self.missed[i]), 1e-12)
        notes = "" if self.method == "exact" else f"; a nearer one was missed with chance < {chance:.1g}"
        notes += f"; the input lies on {int(self.ties[i]):,} boundaries exactly" if self.ties[i] else ""
        notes += "" if self.complete[i] else " (the limit of candidates was reached)"
        notes += "" if self.resolved[i] else f"; below what the precision resolves ({float(self.resolution[i]):.1g})"
        return (
            f"sample {i}: {float(self.radius[i]):.4g}, decided by {self.deciders[i]} "
            f"among {int(self.boundaries[i]):,} boundaries{notes}"
        )


def shares_below(distances: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Shares [batch, 161] of finite distances below the radii of ``CURVE``, and how many are finite [batch].

    ``distances`` holds [batch, n] for each of several boundaries.
    """
    batch, edges = len(distances[0]), CURVE.to(distances[0].device)
    counts = torch.zeros(batch, len(edges) + 1, dtype=torch.float64, device=edges.device)
    for part in distances:
        for sample, row in enumerate(part):
            finite = row[torch.isfinite(row)]
            places = torch.bucketize(finite, edges.to(row.dtype), right=True)
            counts[sample] += torch.bincount(places, minlength=len(edges) + 1)
    total = counts.sum(1)
    return counts.cumsum(1)[:, :-1] / total.clamp(min=1).unsqueeze(1), total.long()
