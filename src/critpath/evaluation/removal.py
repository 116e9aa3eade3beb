"""What is removed from an image first: pixels, scalars or superpixels in the order of their relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.draws import sample_generators
from critpath.errors import InputError
from critpath.evaluation.fills import Fill, filled
from critpath.evaluation.superpixels import SEGMENTS, numbered, segment_means, superpixels
from critpath.evaluation.values import checked_maps
from critpath.neurons import wide
from critpath.options import check_choice, check_count, check_flag, check_number, check_type

ORDERS = ("lerf", "morf")
"""Least relevant first, most relevant first."""

UNITS = ("pixel", "scalar", "superpixel")
"""What is removed at once: a position with all its channels, one channel of it, a segment of positions."""

TIES = ("stable", "random")
"""Of units that are equally relevant, the first by position (or by number of segment) goes first, or a random one."""

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "max_abs": lambda maps: maps.abs().amax(dim=1),
    "sum_abs": lambda maps: maps.abs().sum(dim=1),
    "l2": lambda maps: maps.square().sum(dim=1).sqrt(),
    "max": lambda maps: maps.amax(dim=1),
}
"""Relevance of a pixel, from its channels [n, c, H, W] -> [n, H, W]. "max" is signed, as in the released code."""

SLACK = 1e-9
"""A share times a number of units that is a whole number but for rounding counts as that number."""


@dataclass(frozen=True, eq=False)
class Order:
    """The order of removal: ``ranks`` [n, 1 or C, H, W], 0 for what goes first; ``units`` [n], how many there are."""

    ranks: Tensor
    units: Tensor

    def mask(self, share: float) -> Tensor:
        """What is removed at a share in [0, 1]: bool like ``ranks``; exactly floor(share · units) units of a sample.

        Raises OptionError for another share.
        """
        return self.masks((share,)).squeeze(1)

    def masks(self, shares: Sequence[float]) -> Tensor:
        """Those at several shares: bool [n, shares, 1 or C, H, W]."""
        for share in shares:
            check_number("a share", share, 0, 1)
        at = torch.tensor(shares, dtype=torch.float64, device=self.units.device)
        counts = (self.units.unsqueeze(1) * at + SLACK).floor().to(self.ranks.dtype)
        return self.ranks.unsqueeze(1) < counts[:, :, None, None, None]


def pixel_scores(maps: Tensor, reduce: str = "max_abs") -> Tensor:
    """Relevance of every pixel [n, H, W], from maps [n, c, H, W]; see ``REDUCTIONS``.

    Raises OptionError, InputError.
    """
    check_choice("reduce", reduce, tuple(REDUCTIONS))
    return REDUCTIONS[reduce](_values(maps))


def reduced(maps: Tensor) -> Tensor:
    """Maps [n, c, H, W] as [n, 1, H, W]: at each pixel the channel with the largest absolute value, with its sign.

    By "max_abs" the pixels' relevance stays what it was. Raises OptionError, InputError.
    """
    first, *others = torch.split(_values(maps), 1, dim=1)
    found = first.clone()
    for other in others:
        found = torch.where((other.abs() > found.abs()) | other.isnan(), other, found)
    return found


def removal_order(
    maps: Tensor,
    *,
    order: str = "lerf",
    unit: str = "pixel",
    reduce: str = "max_abs",
    ties: str = "stable",
    seed: int = 0,
    x: Tensor | None = None,
    segments: Tensor | int = SEGMENTS,
) -> Order:
    """In which order the units of images are removed, by maps [n, c, H, W] of their relevance.

    A scalar's relevance is its absolute value (its value with reduce="max"), a superpixel's the mean over its pixels.
    ``segments`` are the superpixels, int64 [n, H, W], or how many to find in ``x`` about. ``ties="random"`` draws
    from ``seed`` and each input ``x`` (without it, each map). ``x`` also tells the channels where scalars are removed
    by maps of one channel.

    Raises OptionError, InputError where ``x`` or segments are missing or do not fit.
    """
    check_choice("order", order, ORDERS)
    check_choice("unit", unit, UNITS)
    check_choice("ties", ties, TIES)
    check_count("seed", seed, 0)
    scores = _unit_scores(_values(maps), unit, reduce, x)
    drawn_from = (maps if x is None else x) if ties == "random" else None
    if unit == "superpixel":
        return _superpixel_order(scores, _segments(segments, x, scores), order, drawn_from, seed)
    return _order(scores, order, drawn_from, seed)


@torch.no_grad()
def remove(
    x: Tensor,
    maps: Tensor,
    share: float,
    *,
    order: str = "morf",
    keep: bool = False,
    unit: str = "pixel",
    fill: Fill = "mean",
    mean: Fill = 0.0,
    reduce: str = "max_abs",
    ties: str = "stable",
    seed: int = 0,
    segments: Tensor | int = SEGMENTS,
) -> Tensor:
    """Images [n, C, H, W] without a share of their units: the most relevant (ROAR), or the least ("lerf").

    ``keep=True`` keeps that share and removes the others (KAR, Hooker et al. 2019). For ``fill`` and ``mean`` see
    ``filled``, for the other options ``removal_order``. Raises OptionError, InputError, NumericalError.
    """
    check_flag("keep", keep)
    order_of = removal_order(
        checked_maps(maps, x), order=order, unit=unit, reduce=reduce, ties=ties, seed=seed, x=x, segments=segments
    )
    mask = order_of.mask(share)
    return filled(x, ~mask if keep else mask, fill, mean=mean, seed=seed)


def _values(maps: Tensor) -> Tensor:
    check_type("maps", maps, Tensor)
    if maps.dim() != 4:
        raise InputError(f"the maps are {list(maps.shape)}; give [n, channels, height, width]")
    values = maps.detach()
    return wide(values) if values.is_floating_point() else values.double()


def _unit_scores(maps: Tensor, unit: str, reduce: str, x: Tensor | None) -> Tensor:
    """[n, 1 or C, H, W]."""
    if unit != "scalar":
        return pixel_scores(maps, reduce).unsqueeze(1)
    check_choice("reduce", reduce, tuple(REDUCTIONS))
    signed = maps if x is None else maps.expand(-1, x.shape[1], -1, -1)
    return signed if reduce == "max" else signed.abs()


def _order(scores: Tensor, order: str, drawn_from: Tensor | None, seed: int) -> Order:
    flat = scores.flatten(1)
    units = torch.full((len(flat),), flat.shape[1], device=flat.device)
    return Order(_ranks(flat, order, drawn_from, seed).view(scores.shape), units)


def _superpixel_order(scores: Tensor, segments: Tensor, order: str, drawn_from: Tensor | None, seed: int) -> Order:
    numbers, units = numbered(segments)
    means = segment_means(scores.flatten(1), numbers.flatten(1), units)
    last = means.where(means.isfinite(), torch.inf if order == "lerf" else -torch.inf)
    ranks = _ranks(last, order, drawn_from, seed)
    return Order(ranks.gather(1, numbers.flatten(1)).view(scores.shape), units)


def _ranks(scores: Tensor, order: str, drawn_from: Tensor | None, seed: int) -> Tensor:
    """The place [n, units] of each unit in the order of removal, int32."""
    if drawn_from is not None:
        shuffled = _shuffles(drawn_from, scores.shape[1], seed).to(scores.device)
        places = _ranks(scores.gather(1, shuffled), order, None, seed)
        return torch.empty_like(places).scatter_(1, shuffled, places)
    found = scores.argsort(dim=1, descending=order == "morf", stable=True)
    places = torch.arange(scores.shape[1], dtype=torch.int32, device=scores.device).expand(scores.shape)
    return torch.empty_like(scores, dtype=torch.int32).scatter_(1, found, places)


def _shuffles(drawn_from: Tensor, units: int, seed: int) -> Tensor:
    generators = sample_generators((drawn_from,), seed, "ties")
    return torch.stack([torch.randperm(units, generator=g) for g in generators])


def check_segments(segments: Tensor | int, x: Tensor) -> None:
    """Raises InputError for segments that are not [n, H, W] whole numbers for images [n, C, H, W]."""
    if isinstance(segments, Tensor):
        wanted = (len(x), *x.shape[2:])
        if segments.shape != wanted or segments.is_floating_point():
            raise InputError(f"segments are {segments.dtype} {list(segments.shape)}; give whole numbers {list(wanted)}")


def _segments(segments: Tensor | int, x: Tensor | None, scores: Tensor) -> Tensor:
    check_segments(segments, scores)
    if isinstance(segments, Tensor):
        return segments.to(scores.device)
    if x is None:
        raise InputError("superpixels are found in the inputs: give x, or segments [n, height, width]")
    return superpixels(x, segments).to(scores.device)
