"""Accuracy after retraining, over shares and seeds, and the area below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import MismatchError
from critpath.evaluation.retraining.student import Estimate, t_estimate
from critpath.options import check_number, check_several


@dataclass(frozen=True, eq=False)
class RoarCurve:
    """Test accuracies in [0, 1] of networks retrained on degraded images, float64.

    ``accuracy`` [seeds, shares]; ``unmodified`` [seeds], of those retrained on the images as they are. ``keep``: the
    shares were kept (KAR) and not removed (ROAR). Estimates are over the seeds, each an independent training.
    """

    shares: tuple[float, ...]
    seeds: tuple[int, ...]
    unmodified: Tensor
    accuracy: Tensor
    keep: bool = False

    def areas(self) -> Tensor:
        """The published number for every seed [seeds]; see ``roar_area``."""
        return roar_area(self.shares, self.accuracy, self.unmodified, self.keep)

    def normalised_areas(self) -> Tensor:
        """The area divided by the range of shares [seeds]: the mean accuracy on the way."""
        return roar_area(self.shares, self.accuracy, self.unmodified, self.keep, normalised=True)

    def estimate(self, level: float = 0.95) -> Estimate:
        """Mean accuracy [shares], with a t interval over the seeds; NaN ends for one seed."""
        return t_estimate(self.accuracy, level)

    def area(self, level: float = 0.95) -> Estimate:
        """Mean published area, with a t interval over the seeds; NaN ends for one seed."""
        return t_estimate(self.areas(), level)

    def above(self, other: RoarCurve, level: float = 0.95) -> tuple[Estimate, Estimate]:
        """This curve minus another's, paired by seed: accuracy [shares] and area.

        Networks of one seed start alike and see the images in the same order. Raises MismatchError for other seeds,
        shares or direction.
        """
        mine, others = ((c.shares, c.seeds, c.keep) for c in (self, other))
        if mine != others:
            raise MismatchError(f"the curves are of other shares, seeds or direction: {mine} and {others}")
        accuracy, area = self.accuracy - other.accuracy, self.areas() - other.areas()
        return t_estimate(accuracy, level), t_estimate(area, level)


def roar_area(
    shares: Sequence[float],
    accuracy: Tensor,
    unmodified: Tensor | float,
    keep: bool = False,
    *,
    normalised: bool = False,
) -> Tensor:
    """Area [...] under accuracies [..., shares] by the trapezoid rule, as published.

    It starts at the unmodified accuracy, at share 0 (KAR: it ends there, at share 1), and is not divided by the range
    of shares unless ``normalised``. Raises OptionError for shares that do not ascend in (0, 1), MismatchError for
    another number of accuracies.
    """
    check_shares(shares)
    if accuracy.shape[-1:] != (len(shares),):
        raise MismatchError(f"{len(shares)} shares take accuracies [..., {len(shares)}], got {list(accuracy.shape)}")
    whole = torch.as_tensor(unmodified, dtype=torch.float64).to(accuracy.device)
    ends = whole.expand(accuracy.shape[:-1]).unsqueeze(-1)
    y = torch.cat([accuracy.double(), ends] if keep else [ends, accuracy.double()], dim=-1)
    x = torch.tensor([*shares, 1.0] if keep else [0.0, *shares], dtype=torch.float64, device=y.device)
    return torch.trapezoid(y, x) / (float(x[-1] - x[0]) if normalised else 1.0)


def check_shares(shares: Sequence[float]) -> None:
    """Raises OptionError unless these are shares between 0 and 1, each above the one before."""
    check_several("shares", shares)
    low = 0.0
    for share in shares:
        check_number("a share (they ascend)", share, low, 1, above=True, below=True)
        low = share
