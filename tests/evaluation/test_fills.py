"""What stands where something was removed; ROAD's imputation against a sparse direct solver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import numbers
from torch import Tensor

from critpath.baselines import NAMED
from critpath.errors import InputError, OptionError
from critpath.evaluation import imputation
from critpath.evaluation.fills import FILLS, NOISE, filled
from critpath.evaluation.imputation import imputed

X = numbers(4, 3, 9, 7)
MASK = numbers(4, 1, 9, 7, seed=3) > 0.3


def solved(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Rong et al. 2022 for one channel: a sparse system over the removed pixels, solved directly."""
    sparse = pytest.importorskip("scipy.sparse")
    linalg = pytest.importorskip("scipy.sparse.linalg")
    height, width = image.shape
    removed = [(int(r), int(c)) for r, c in zip(*np.nonzero(mask), strict=True)]
    number = {place: i for i, place in enumerate(removed)}
    matrix, right = sparse.lil_matrix((len(removed), len(removed))), np.zeros(len(removed))
    for i, (r, c) in enumerate(removed):
        for dr, dc in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
            place = (r + dr, c + dc)
            if not (0 <= place[0] < height and 0 <= place[1] < width):
                continue
            weight = 1 / 6 if dr == 0 or dc == 0 else 1 / 12
            matrix[i, i] += weight
            if place in number:
                matrix[i, number[place]] -= weight
            else:
                right[i] += weight * image[place]
    out = image.copy()
    values = linalg.spsolve(matrix.tocsc(), right)
    for i, place in enumerate(removed):
        out[place] = values[i]
    return out


def block(share: float) -> Tensor:
    mask = torch.zeros(4, 1, 9, 7, dtype=torch.bool)
    mask[..., : round(9 * share), :] = True
    return mask


@pytest.mark.parametrize("mask", [MASK, ~MASK, block(0.5), block(0.9)], ids=["some", "others", "half", "most"])
def test_imputation_equals_the_direct_solver(mask: Tensor) -> None:
    found = imputed(X, mask, tolerance=1e-12)
    for i in range(4):
        for c in range(3):
            expected = solved(X[i, c].numpy(), mask[i, 0].numpy())
            np.testing.assert_allclose(found[i, c].numpy(), expected, atol=1e-9)


def test_imputation_of_each_channel_alone() -> None:
    mask = numbers(4, 3, 9, 7, seed=4) > 0
    found = imputed(X, mask, tolerance=1e-12)
    expected = solved(X[1, 2].numpy(), mask[1, 2].numpy())
    np.testing.assert_allclose(found[1, 2].numpy(), expected, atol=1e-9)


def test_imputation_is_accurate_by_default() -> None:
    exact = imputed(X, ~MASK, tolerance=1e-13)
    assert float((imputed(X, ~MASK) - exact).abs().max()) < 1e-3
    assert float((imputed(X.float(), ~MASK) - exact).abs().max()) < 1e-3


def test_imputation_of_a_batch_is_that_of_each() -> None:
    mask = torch.cat([block(0.1)[:1], block(0.9)[:1], MASK[:2]])
    whole = imputed(X, mask)
    for i in range(4):
        torch.testing.assert_close(whole[i : i + 1], imputed(X[i : i + 1], mask[i : i + 1]), atol=1e-13, rtol=0)


def test_images_are_solved_for_as_many_at_a_time_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, sizes = imputed(X, MASK), []
    solve = imputation._solved
    monkeypatch.setattr(imputation, "_solved", lambda x, *rest: sizes.append(len(x)) or solve(x, *rest))
    monkeypatch.setattr(imputation, "AT_ONCE", {"cpu": 5 * 63})
    assert torch.equal(imputed(X, MASK), whole)
    assert sizes == [5, 5, 2]


def test_what_is_left_stays() -> None:
    for fill in (*FILLS, 0.4):
        found = filled(X, MASK, fill)
        kept = ~MASK.expand_as(X)
        assert torch.equal(found[kept], X[kept])
        assert torch.equal(filled(X, torch.zeros_like(MASK), fill), X)


def test_values() -> None:
    gone = MASK.expand_as(X)
    assert (filled(X, MASK)[gone] == 0).all()
    assert (filled(X, MASK, "zero", mean=3.0)[gone] == 0).all()
    assert (filled(X, MASK, 0.25)[gone] == 0.25).all()
    means = (0.1, 0.2, 0.3)
    for found in (filled(X, MASK, "mean", mean=means), filled(X, MASK, means), filled(X, MASK, torch.tensor(means))):
        for c in range(3):
            torch.testing.assert_close(
                found[:, c][MASK[:, 0]].unique(), torch.tensor([means[c]]).double(), atol=1e-7, rtol=0
            )
    assert torch.equal(filled(X, MASK, "blur")[gone], NAMED["blurred"](X)[gone])


def test_noise_belongs_to_the_sample() -> None:
    without = imputed(X, MASK)
    noise = (filled(X, MASK, "linear") - without)[MASK.expand_as(X)]
    assert 0.5 * NOISE < float(noise.std()) < 2 * NOISE
    assert torch.equal(filled(X, MASK, "linear"), filled(X, MASK, "linear"))
    assert not torch.equal(filled(X, MASK, "linear"), filled(X, MASK, "linear", seed=1))
    one = filled(X[2:3], MASK[2:3], "linear")
    torch.testing.assert_close(filled(X, MASK, "linear")[2:3], one, atol=1e-12, rtol=0)


def test_linear_where_nothing_is_left() -> None:
    mask = torch.zeros_like(X, dtype=torch.bool)
    mask[0] = True
    mask[1, 2] = True
    found = filled(X, mask, "linear", mean=(1.0, 2.0, 3.0))
    assert [found[0, c].unique().tolist() for c in range(3)] == [[1.0], [2.0], [3.0]]
    assert found[1, 2].unique().tolist() == [3.0]
    assert torch.equal(found[1, :2], X[1, :2])


@pytest.mark.parametrize(
    ("mask", "fill", "mean", "error", "text"),
    [
        (MASK.double(), "mean", 0.0, InputError, "booleans"),
        (MASK[:2], "mean", 0.0, InputError, "booleans"),
        (MASK, "meen", 0.0, OptionError, "Did you mean 'mean'"),
        (MASK, [1.0, 2.0], 0.0, OptionError, "3, one for each channel"),
        (MASK, float("nan"), 0.0, OptionError, "finite"),
        (MASK, None, 0.0, OptionError, "fill is None"),
        (MASK, "mean", "grey", OptionError, "mean is 'grey'"),
        (MASK.tolist(), "mean", 0.0, OptionError, "mask is of type list"),
    ],
)
def test_bad_inputs(mask: Tensor, fill: object, mean: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        filled(X, mask, fill, mean=mean)  # type: ignore[arg-type]
