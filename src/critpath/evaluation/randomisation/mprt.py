"""Smooth and efficient parameter randomisation (Hedström et al. 2024, "A Fresh Look at Sanity Checks")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import torch
from torch import Tensor, nn

from critpath.draws import sample_generators
from critpath.errors import InputError
from critpath.evaluation.randomisation.check import (
    Randomisation,
    parameter_randomisation,
    prepared,
    rewritten,
    warn_unmoved,
)
from critpath.evaluation.randomisation.classes import explained_classes, predicted
from critpath.evaluation.randomisation.coverage import Coverage, coverage_of
from critpath.evaluation.randomisation.drawing import Change
from critpath.evaluation.randomisation.parts import restoring
from critpath.evaluation.randomisation.stages import Stage
from critpath.evaluation.removal import reduced
from critpath.evaluation.values import Explain, checked_maps, explained
from critpath.network import Network
from critpath.neurons import wide
from critpath.options import check_count, check_flag, check_number, check_type

BINS = 100


def smoothed(explain: Explain, samples: int = 50, noise: float = 0.1, seed: int = 0) -> Explain:
    """The explanation averaged over noisy inputs (SmoothGrad, Smilkov et al. 2017).

    The noise is normal with standard deviation ``noise`` times the range of values in each input, and the same
    whenever an input is explained. Raises OptionError.
    """
    check_count("samples", samples, 1)
    check_number("noise", noise, 0)
    check_count("seed", seed, 0)

    def explain_smoothly(x: Tensor, target: Tensor) -> Tensor:
        generators = sample_generators([x], seed, "smooth explanation")
        values = x.detach().flatten(1)
        spread = noise * (values.amax(dim=1) - values.amin(dim=1)).view(-1, *[1] * (x.dim() - 1))
        total = torch.zeros((), device=x.device)
        for _ in range(samples):
            drawn = torch.stack([torch.randn(x.shape[1:], generator=generator) for generator in generators])
            total = total + wide(explained(explain, x + spread * drawn.to(x), target))
        return total / samples

    return explain_smoothly


def smooth_mprt(
    model: nn.Module | Network,
    explain: Explain,
    x: Tensor,
    target: Tensor | Sequence[int] | int | None = None,
    *,
    samples: int = 50,
    noise: float = 0.1,
    seed: int = 0,
    **options: Any,
) -> Randomisation:
    """sMPRT: ``parameter_randomisation`` of ``smoothed`` explanations, with ``samples`` times the explanations.

    ``options`` are those of ``parameter_randomisation``; maps given as ``original`` are smoothed ones.
    """
    smooth = smoothed(explain, samples, noise, seed)
    return parameter_randomisation(model, smooth, x, target, seed=seed, **options)


@dataclass(frozen=True, eq=False)
class Complexity:
    """eMPRT of every image: how the entropy of its map rises from the trained to the randomised network.

    ``original`` [n] and ``randomised`` [n, repeats] are entropies in nats, ``value`` [n] the mean over repeats of
    (randomised - original) / original; all float64 on the CPU. NaN where the original map is constant, and so has no
    entropy to rise from.
    """

    value: Tensor
    original: Tensor
    randomised: Tensor
    target: Tensor
    coverage: Coverage


def efficient_mprt(
    model: nn.Module | Network,
    explain: Explain,
    x: Tensor,
    target: Tensor | Sequence[int] | int | None = None,
    *,
    how: str = "gaussian",
    std: float | str = 0.1,
    buffers: str = "kept",
    repeats: int = 1,
    seed: int = 0,
    bins: int | str = BINS,
    original: Tensor | None = None,
    reselect: bool = False,
) -> Complexity:
    """eMPRT: the relative rise of the maps' complexity (``entropy``) when all parameters are randomised at once.

    A random network's maps should be more complex. One explanation a repeat, and one of the original unless it is
    given. Options as in ``parameter_randomisation``, and ``bins`` as in ``entropy``. Raises and warns as it does.
    """
    check_count("repeats", repeats, 1)
    check_flag("reselect", reselect)
    check_bins(bins)
    change = Change(how, std, buffers, seed)
    parts = prepared(model, x, change)
    classes = explained_classes(parts.model, x, target)
    first = reduced(explained(explain, x, classes) if original is None else checked_maps(original, x))
    whole = Stage("all", tuple(parts.changing))
    found = []
    with restoring(parts.changing) as saved:
        for repeat in range(repeats):
            words, differs = rewritten(parts, saved, whole, change, repeat)
            now = predicted(parts.model, x) if reselect else classes
            found.append(reduced(explained(explain, x, now)))
    if all(torch.equal(maps, first) for maps in found):
        warn_unmoved()
    before, after = entropy(first, bins).cpu(), torch.stack([entropy(maps, bins).cpu() for maps in found], dim=1)
    return Complexity(
        value=_rise(before, after),
        original=before,
        randomised=after,
        target=classes.cpu(),
        coverage=coverage_of(parts, (whole,), words, differs),
    )


def entropy(maps: Tensor, bins: int | str = BINS) -> Tensor:
    """Entropy in nats of the histogram of each map [n, 1, H, W], between its least and largest value; float64 [n].

    ``bins``: their number, or "scott" for as many as Scott's rule gives each map (width
    (24 sqrt(pi) / pixels)^(1/3) times its standard deviation). A constant map has entropy 0. Raises OptionError.
    """
    check_bins(bins)
    check_type("maps", maps, Tensor)
    if maps.dim() < 2 or not maps.numel():
        raise InputError(f"the maps are {list(maps.shape)}; give [n, 1, height, width]")
    rows = maps.detach().flatten(1).double()
    counts = _histograms(rows, _bin_numbers(rows, bins))
    shares = counts / rows.shape[1]
    information: Tensor = -torch.special.xlogy(shares, shares)
    return information.sum(dim=1)


def check_bins(bins: int | str) -> None:
    """Raises OptionError unless this is a number of bins, or "scott"."""
    if bins != "scott":
        check_count("bins", bins, 1)


def _bin_numbers(rows: Tensor, bins: int | str) -> Tensor:
    """Bins of each row [n]."""
    if not isinstance(bins, str):
        return torch.full((len(rows),), bins, device=rows.device)
    width = (24 * pi**0.5 / rows.shape[1]) ** (1 / 3) * rows.std(dim=1, correction=0)
    spread = rows.amax(dim=1) - rows.amin(dim=1)
    wanted: Tensor = spread / width.where(width > 0, torch.inf)
    return wanted.ceil().clamp(min=1).long()


def _histograms(rows: Tensor, bins: Tensor) -> Tensor:
    """Counts [n, largest number of bins]; the last bin holds its upper edge too."""
    low, spread = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True) - rows.amin(dim=1, keepdim=True)
    share = (rows - low) / spread.where(spread > 0, 1)
    places = (share * bins.unsqueeze(1)).long().minimum(bins.unsqueeze(1) - 1)
    counts = torch.zeros(len(rows), int(bins.max()), dtype=torch.float64, device=rows.device)
    return counts.scatter_add_(1, places, torch.ones_like(rows))


def _rise(before: Tensor, after: Tensor) -> Tensor:
    known: Tensor = before.where(before > 0, torch.nan).unsqueeze(1)
    return ((after - before.unsqueeze(1)) / known).mean(dim=1)
