"""How alike two maps are: SSIM, rank correlation, and the correlation of their oriented gradients.

Every function takes maps [n, 1, H, W] (or [n, H, W]) and gives float64 [n], computed where the maps are. NaN says that
a similarity is not defined: a correlation with a map that is constant, even of two maps that are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from critpath.errors import InputError
from critpath.options import check_count, check_type

Similarity = Callable[[Tensor, Tensor], Tensor]
"""Two batches of maps -> one number a pair, 1 for maps that are equal."""

ORIENTATIONS = 9
BLOCK = 3
CELL = 16
CELLS_A_SIDE = 8


def ssim(a: Tensor, b: Tensor, window: int = 5) -> Tensor:
    """Mean structural similarity, in [-1, 1]; each map is first divided by its largest absolute value.

    Wang et al. 2004 with uniform windows and unbiased covariances, over the windows that lie inside the map: what
    ``skimage.metrics.structural_similarity(win_size=window, data_range=2)`` gives. A map that is zero everywhere stays
    so. Raises InputError for shapes that differ and maps smaller than the window, OptionError.
    """
    a, b = (_scaled(maps) for maps in _pair(a, b))
    _check_window(window, a)
    samples = window**2
    mean_a, mean_b = _means(a, window), _means(b, window)
    variance_a = _means(a * a, window) - mean_a * mean_a
    variance_b = _means(b * b, window) - mean_b * mean_b
    covariance = _means(a * b, window) - mean_a * mean_b
    unbiased = samples / (samples - 1)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * unbiased * covariance + c2) / (unbiased * (variance_a + variance_b) + c2)
    return (luminance * structure).flatten(1).mean(dim=1)


def ssim_abs(a: Tensor, b: Tensor, window: int = 5) -> Tensor:
    """``ssim`` of the absolute maps."""
    a, b = _pair(a, b)
    return ssim(a.abs(), b.abs(), window)


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Rank correlation of the signed values, in [-1, 1]; equal values share the mean of their ranks."""
    a, b = _pair(a, b)
    return _pearson(_ranked(a), _ranked(b))


def spearman_abs(a: Tensor, b: Tensor) -> Tensor:
    """Rank correlation of the absolute values, in [-1, 1]."""
    a, b = _pair(a, b)
    return _pearson(_ranked_absolute(a), _ranked_absolute(b))


def hog_correlation(a: Tensor, b: Tensor, cell: int | None = None) -> Tensor:
    """Pearson correlation of the maps' histograms of oriented gradients (``hog``), in [-1, 1]."""
    a, b = _pair(a, b)
    return _pearson(hog(a, cell), hog(b, cell))


SIMILARITIES: Mapping[str, Similarity] = MappingProxyType(
    {
        "ssim": ssim,
        "ssim_abs": ssim_abs,
        "spearman": spearman,
        "spearman_abs": spearman_abs,
        "hog": hog_correlation,
    }
)


def compared_with(original: Tensor, similarity: Similarity) -> Callable[[Tensor], Tensor]:
    """``similarity`` of ``original`` and the maps given; what a correlation needs of the original is computed once."""
    features = _FEATURES.get(similarity)
    if features is None:
        return lambda maps: similarity(original, maps)
    known = features(_single(original))
    return lambda maps: _pearson(known, features(_pair(original, maps)[1]))


def ranks(values: Tensor) -> Tensor:
    """Ranks [n, m] from 1 within each row of ``values`` [n, m], equal values sharing their mean rank; float64."""
    places = _order(values)
    ordered = values.gather(1, places)
    m = values.shape[1]
    position = torch.arange(m, device=values.device).expand_as(places)
    starts = torch.ones_like(places, dtype=torch.bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = starts.roll(-1, dims=1)
    first = position.where(starts, 0).cummax(dim=1).values
    last = position.where(ends, m).flip(1).cummin(dim=1).values.flip(1)
    mean = (first + last).double() / 2 + 1
    return torch.empty_like(mean).scatter_(1, places, mean)


def _order(values: Tensor) -> Tensor:
    """Places of ``values`` [n, m] from the least to the largest of each row; of equal ones any first.

    On the CPU by numpy, whose vectorised sort takes a sixth of the time.
    """
    if values.device.type == "cpu":
        return torch.from_numpy(np.argsort(values.detach().numpy(), axis=1))
    return values.argsort(dim=1)


def hog(maps: Tensor, cell: int | None = None) -> Tensor:
    """Histograms of oriented gradients [n, features] of maps [n, 1, H, W], features of each map in a row.

    Dalal and Triggs 2005 with 9 orientations, blocks of 3 x 3 cells and L2-Hys normalisation: what
    ``skimage.feature.hog(pixels_per_cell=(cell, cell))`` gives. The cell is 16 pixels wide by default (Adebayo et al.
    2018), or less on maps below 128 pixels: an eighth of the shorter side, so that there are at least 8 x 8 cells,
    down to one pixel. Raises InputError where there is no room for one block, OptionError.
    """
    maps = _single(maps)
    size = _cell(maps, cell)
    histograms = _orientation_histograms(maps, size)
    blocks = histograms.unfold(2, BLOCK, 1).unfold(3, BLOCK, 1)  # [n, orientations, rows, columns, 3, 3]
    blocks = blocks.permute(0, 2, 3, 4, 5, 1).flatten(3)
    return _unit(_unit(blocks).clamp(max=0.2)).flatten(1)


def _ranked(maps: Tensor) -> Tensor:
    return ranks(maps.flatten(1))


def _ranked_absolute(maps: Tensor) -> Tensor:
    return ranks(maps.abs().flatten(1))


_FEATURES: Mapping[Similarity, Callable[[Tensor], Tensor]] = MappingProxyType(
    {spearman: _ranked, spearman_abs: _ranked_absolute, hog_correlation: hog}
)


def _orientation_histograms(maps: Tensor, cell: int) -> Tensor:
    """Mean gradient magnitude by orientation within each cell: [n, orientations, rows, columns]."""
    across, down = torch.zeros_like(maps), torch.zeros_like(maps)
    across[..., :, 1:-1] = maps[..., :, 2:] - maps[..., :, :-2]
    down[..., 1:-1, :] = maps[..., 2:, :] - maps[..., :-2, :]
    angle = torch.rad2deg(torch.atan2(down, across)).remainder(180)
    edges = torch.arange(1, ORIENTATIONS, device=maps.device, dtype=maps.dtype) * (180 / ORIENTATIONS)
    bins = torch.bucketize(angle, edges, right=True)
    votes = torch.zeros(len(maps), ORIENTATIONS, *maps.shape[2:], device=maps.device, dtype=maps.dtype)
    return F.avg_pool2d(votes.scatter_(1, bins, torch.hypot(across, down)), cell)


def _cell(maps: Tensor, cell: int | None) -> int:
    side = min(maps.shape[2:])
    size = max(1, min(CELL, side // CELLS_A_SIDE)) if cell is None else cell
    check_count("cell", size, 1)
    if side < BLOCK * size:
        raise InputError(
            f"the maps {list(maps.shape)} have no room for a block of {BLOCK} x {BLOCK} cells of {size} pixels; "
            f"they need {BLOCK * size} pixels a side: give a smaller cell="
        )
    return size


def _unit(blocks: Tensor) -> Tensor:
    """Divided by the L2 norm over the last dimension."""
    return blocks / (blocks.pow(2).sum(dim=-1, keepdim=True) + 1e-5**2).sqrt()


def _means(maps: Tensor, window: int) -> Tensor:
    """Means over all windows inside the maps, as sums of shifted maps, which on the CPU is quicker than pooling."""
    return _sums(_sums(maps, window, 2), window, 3) / window**2


def _sums(maps: Tensor, window: int, dim: int) -> Tensor:
    """Sums of ``window`` neighbours along a dimension."""
    size = maps.shape[dim] - window + 1
    total = maps.narrow(dim, 0, size).clone()
    for start in range(1, window):
        total += maps.narrow(dim, start, size)
    return total


def _scaled(maps: Tensor) -> Tensor:
    largest = maps.abs().amax(dim=(1, 2, 3), keepdim=True)
    return maps / largest.where(largest > 0, 1)


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of the rows [n, m]; NaN where one of them is constant."""
    a, b = _centred(a), _centred(b)
    both = a.norm(dim=1) * b.norm(dim=1)
    known: Tensor = both.where(both > 0, torch.nan)
    return ((a * b).sum(dim=1) / known).clamp(-1, 1)


def _centred(rows: Tensor) -> Tensor:
    constant = (rows == rows[:, :1]).all(dim=1, keepdim=True)
    return (rows - rows.mean(dim=1, keepdim=True)).where(~constant, 0)


def _check_window(window: int, maps: Tensor) -> None:
    check_count("window", window, 2)
    if min(maps.shape[2:]) < window:
        raise InputError(f"the maps {list(maps.shape)} are smaller than a window of {window}: give a smaller window=")


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64 [n, 1, H, W], where the first one is."""
    first, second = _single(a), _single(b)
    if first.shape != second.shape:
        raise InputError(f"maps {list(a.shape)} are compared with maps {list(b.shape)}; they have one shape")
    return first, second.to(first.device)


def _single(maps: Tensor) -> Tensor:
    check_type("maps", maps, Tensor)
    found = maps.unsqueeze(1) if maps.dim() == 3 else maps
    if found.dim() != 4 or found.shape[1] != 1 or not found.numel():
        raise InputError(f"the maps are {list(maps.shape)}; give [n, 1, height, width] (``reduced`` makes it so)")
    return found.detach().double()
