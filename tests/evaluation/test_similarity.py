"""Similarities of maps, against scikit-image and SciPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from skimage.feature import hog as reference_hog
from skimage.metrics import structural_similarity
from tests.tiny import numbers
from torch import Tensor

from critpath.errors import InputError, OptionError
from critpath.evaluation.similarity import (
    SIMILARITIES,
    compared_with,
    hog,
    hog_correlation,
    ranks,
    spearman,
    spearman_abs,
    ssim,
    ssim_abs,
)

N = 4


def pair(height: int = 33, width: int = 48) -> tuple[Tensor, Tensor]:
    """Maps that are like each other, with zeros, ties and different ranges."""
    a, noise = numbers(N, 1, height, width), numbers(N, 1, height, width, seed=5)
    b = 3 * a + noise
    a, b = a.where(a > -0.5, 0), b.round(decimals=1)
    return a * torch.tensor([1.0, 10.0, 1e-3, 1e-12]).view(-1, 1, 1, 1), b


def each(function: Callable[[np.ndarray, np.ndarray], float], a: Tensor, b: Tensor) -> Tensor:
    return torch.tensor([function(p[0].numpy(), q[0].numpy()) for p, q in zip(a, b, strict=True)]).double()


def reference_ssim(window: int) -> Callable[[np.ndarray, np.ndarray], float]:
    def of(p: np.ndarray, q: np.ndarray) -> float:
        return structural_similarity(p / np.abs(p).max(), q / np.abs(q).max(), win_size=window, data_range=2)

    return of


@pytest.mark.parametrize("window", [3, 5, 7])
def test_ssim_is_that_of_skimage(window: int) -> None:
    a, b = pair()
    expected = each(reference_ssim(window), a, b)
    assert expected.std() > 0
    torch.testing.assert_close(ssim(a, b, window), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ssim_abs(a, b, window), each(reference_ssim(window), a.abs(), b.abs()))


def test_spearman_is_that_of_scipy() -> None:
    a, b = pair()
    expected = each(lambda p, q: scipy.stats.spearmanr(p.ravel(), q.ravel()).statistic, a, b)
    torch.testing.assert_close(spearman(a, b), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(spearman_abs(a, b), spearman(a.abs(), b.abs()))
    assert (spearman_abs(a, b) - spearman(a, b)).abs().min() > 1e-3


def test_ranks_are_means_over_ties() -> None:
    values = torch.tensor([[3.0, 1, 3, 3, -0.0, 0.0], [2, 2, 2, 2, 2, 2]])
    expected = np.stack([scipy.stats.rankdata(row) for row in values.numpy()])
    assert torch.equal(ranks(values), torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("height", "width", "cell"), [(48, 64, 16), (33, 48, 4), (33, 50, 5), (9, 12, 1), (128, 130, None)]
)
def test_hog_is_that_of_skimage(height: int, width: int, cell: int | None) -> None:
    a, b = pair(height, width)
    size = cell or 16
    expected = [reference_hog(p[0].numpy(), pixels_per_cell=(size, size)) for p in (*a[:2], *b)]
    found = hog(torch.cat([a[:2], b]), cell)
    torch.testing.assert_close(found, torch.from_numpy(np.stack(expected)), rtol=0, atol=1e-6)
    correlation = each(
        lambda p, q: np.corrcoef(*(reference_hog(m, pixels_per_cell=(size, size)) for m in (p, q)))[0, 1], a[:2], b[:2]
    )
    torch.testing.assert_close(hog_correlation(a[:2], b[:2], cell), correlation, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("side", "cell"), [(8, 1), (15, 1), (32, 4), (100, 12), (128, 16), (224, 16)])
def test_default_cells_leave_eight_a_side(side: int, cell: int) -> None:
    maps = numbers(1, 1, side, side)
    assert torch.equal(hog(maps), hog(maps, cell))


@pytest.mark.parametrize("name", SIMILARITIES)
class TestAll:
    def test_equal_maps(self, name: str) -> None:
        a, _ = pair()
        a = a[:3]
        torch.testing.assert_close(SIMILARITIES[name](a, a), torch.ones(3).double())

    def test_scale_does_not_matter_where_it_is_no_power_of_the_map(self, name: str) -> None:
        a, b = (maps[:3] for maps in pair())
        torch.testing.assert_close(SIMILARITIES[name](a, b), SIMILARITIES[name](a, 8 * b), rtol=0, atol=1e-4)

    def test_against_maps_that_stay(self, name: str) -> None:
        a, b = pair()
        compared = compared_with(a, SIMILARITIES[name])
        for other in (b, b.flip(0)):
            assert torch.equal(compared(other), SIMILARITIES[name](a, other))
        with pytest.raises(InputError, match="they have one shape"):
            compared(b[:, :, 1:])

    def test_batch_is_a_loop(self, name: str) -> None:
        a, b = pair()
        alone = torch.cat([SIMILARITIES[name](a[i : i + 1], b[i : i + 1]) for i in range(N)])
        torch.testing.assert_close(SIMILARITIES[name](a, b), alone, rtol=0, atol=1e-14)

    def test_constant_maps(self, name: str) -> None:
        """A correlation is not defined; SSIM is."""
        a, _ = pair()
        constant = torch.zeros_like(a)
        found = torch.stack([SIMILARITIES[name](a, constant), SIMILARITIES[name](constant, constant)])
        assert found.isnan().all() if "ssim" not in name else found.isfinite().all()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_other_types(self, name: str, dtype: torch.dtype) -> None:
        a, b = (maps[:2].to(dtype) for maps in pair())
        assert torch.equal(SIMILARITIES[name](a, b), SIMILARITIES[name](a.double(), b.double()))

    def test_three_dimensions(self, name: str) -> None:
        a, b = pair()
        assert torch.equal(SIMILARITIES[name](a[:2, 0], b[:2, 0]), SIMILARITIES[name](a[:2], b[:2]))

    @pytest.mark.parametrize("shape", [(N, 1, 20, 48), (N, 2, 33, 48), (2, 1, 33, 48), (33, 48)])
    def test_other_shapes_are_refused(self, name: str, shape: tuple[int, ...]) -> None:
        with pytest.raises(InputError, match=r"maps|give"):
            SIMILARITIES[name](pair()[0], numbers(*shape))


def test_maps_that_are_too_small() -> None:
    small = numbers(1, 1, 4, 9)
    with pytest.raises(InputError, match="smaller than a window of 5"):
        ssim(small, small)
    with pytest.raises(InputError, match="no room for a block of 3 x 3 cells of 2 pixels"):
        hog(small, 2)
    with pytest.raises(OptionError, match="cell is 0"):
        hog(small, 0)
    with pytest.raises(OptionError, match="window is 1"):
        ssim(small, small, 1)
