"""Pixel perturbation: how a response changes while more and more of the image is removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from critpath.errors import OptionError
from critpath.evaluation.fills import Fill, Filling, filling
from critpath.evaluation.removal import Order, check_segments, removal_order
from critpath.evaluation.responses import RESPONSES, classes_of, responses, rows_of
from critpath.evaluation.superpixels import SEGMENTS
from critpath.evaluation.values import Model, checked_maps
from critpath.options import check_choice, check_count, check_flag, check_number, check_several, shown

SHARES = tuple(k / 100 for k in range(1, 11))
"""1 to 10 %, as published."""

STEPS = 20
"""Of deletion and insertion, over the whole image."""


@dataclass(frozen=True, eq=False)
class Perturbation:
    """Responses while an image is perturbed: ``start`` [n] at share 0, ``curve`` [n, shares] at ``shares``, float64.

    Nothing is removed at share 0, or everything where units are inserted.
    """

    shares: tuple[float, ...]
    start: Tensor
    curve: Tensor

    @property
    def change(self) -> Tensor:
        """|start - curve| / |start| [n, shares]; NaN where the start is 0."""
        start = self.start.unsqueeze(1)
        return torch.where(start == 0, torch.nan, (start - self.curve).abs() / start.abs())

    def area(self) -> Tensor:
        """The area [n] under ``change`` by the trapezoid rule, from 0 at share 0 to the last share: as published."""
        return _area(self.shares, torch.zeros_like(self.start), self.change)

    def normalised_area(self) -> Tensor:
        """The area divided by the last share [n]: the mean change on the way."""
        return self.area() / self.shares[-1]

    def response_area(self) -> Tensor:
        """The mean response [n] on the way from share 0 to the last: deletion's and insertion's number (RISE)."""
        return _area(self.shares, self.start, self.curve) / self.shares[-1]


@torch.no_grad()
def pixel_perturbation(
    model: Model,
    x: Tensor,
    target: Tensor | int | None,
    maps: Tensor,
    *,
    order: str = "lerf",
    shares: Sequence[float] = SHARES,
    unit: str = "pixel",
    fill: Fill = "mean",
    mean: Fill = 0.0,
    response: str = "probability",
    reduce: str = "max_abs",
    ties: str = "stable",
    seed: int = 0,
    segments: Tensor | int = SEGMENTS,
    insertion: bool = False,
    batch: int | None = None,
) -> Perturbation:
    """The response of ``model`` to images [n, C, H, W] without a growing share of their units.

    Samek et al. 2017, by the papers least relevant first (LeRF). Ranks are made once, from the map of the whole image;
    a sample takes one forward pass a share and one without removal. ``target`` are classes int64 [n], or one for all;
    None is the class of the unmodified image (another pass). The response is the class's softmax probability, or logit.
    ``insertion=True`` starts from images of which everything is removed and puts units back in that order. ``batch``
    is the number of images in a pass. For ``fill`` and ``mean`` see ``filled``, for the others ``removal_order``.

    Raises OptionError, InputError, TargetError, NumericalError for maps that are not finite.
    """
    maps, shares, rows = checked_maps(maps, x), _checked_shares(shares), rows_of(x, batch)
    check_flag("insertion", insertion)
    check_segments(segments, x)
    check_choice("response", response, RESPONSES)
    classes = classes_of(model, x, target, rows)
    highest = int(classes.max())
    steps = (0.0, *shares)
    found = []
    for part in _parts(len(x), max(1, rows // len(steps))):
        given = segments[part] if isinstance(segments, Tensor) else segments
        ranks = removal_order(
            maps[part], order=order, unit=unit, reduce=reduce, ties=ties, seed=seed, x=x[part], segments=given
        )
        images = _Images(ranks, filling(x[part], fill, mean=mean, seed=seed), insertion, classes[part], highest)
        found.append(torch.cat([images.responses(model, at, response) for at in _of(steps, rows)], dim=1))
    curve = torch.cat(found)
    return Perturbation(shares, curve[:, 0], curve[:, 1:])


def deletion(
    model: Model, x: Tensor, target: Tensor | int | None, maps: Tensor, *, steps: int = STEPS, **options: Any
) -> Perturbation:
    """Most relevant units are removed first, in equal steps until nothing is left: low responses are good.

    Petsiuk et al. 2018 (RISE); its number is ``response_area``. Options and errors as for ``pixel_perturbation``.
    """
    return pixel_perturbation(model, x, target, maps, **_whole(steps, {"order": "morf", **options}))


def insertion(
    model: Model, x: Tensor, target: Tensor | int | None, maps: Tensor, *, steps: int = STEPS, **options: Any
) -> Perturbation:
    """Most relevant units are put first into the blurred image, in equal steps until it is whole: high ones are good.

    Petsiuk et al. 2018 (RISE); its number is ``response_area``. Options and errors as for ``pixel_perturbation``.
    """
    preset = {"order": "morf", "fill": "blur", "insertion": True}
    return pixel_perturbation(model, x, target, maps, **_whole(steps, {**preset, **options}))


@dataclass(frozen=True, eq=False)
class _Images:
    """Some images with their order of removal, what they are filled by, and their classes."""

    order: Order
    fill_in: Filling
    insertion: bool
    classes: Tensor
    highest: int

    def responses(self, model: Model, shares: tuple[float, ...], kind: str) -> Tensor:
        """[n, shares]"""
        masks = self.order.masks(shares)
        images = self.fill_in(~masks if self.insertion else masks)
        classes = self.classes.repeat_interleave(len(shares))
        return responses(model, images.flatten(0, 1), classes, kind, self.highest).view(-1, len(shares))


def _whole(steps: int, options: dict[str, Any]) -> dict[str, Any]:
    check_count("steps", steps, 1)
    return {"shares": tuple(k / steps for k in range(1, steps + 1)), **options}


def _checked_shares(shares: Sequence[float]) -> tuple[float, ...]:
    check_several("shares", shares)
    for share in shares:
        check_number("a share", share, 0, 1, above=True)
    if list(shares) != sorted(set(shares)):
        raise OptionError(f"shares are {shown(shares)}; they ascend, each once")
    return tuple(shares)


def _parts(n: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, n, size))


def _of(steps: tuple[float, ...], rows: int) -> Iterator[tuple[float, ...]]:
    return (steps[part] for part in _parts(len(steps), rows))


def _area(shares: Sequence[float], start: Tensor, curve: Tensor) -> Tensor:
    at = torch.tensor((0.0, *shares), dtype=curve.dtype, device=curve.device)
    return torch.trapezoid(torch.cat([start.unsqueeze(1), curve], dim=1), at, dim=1)
