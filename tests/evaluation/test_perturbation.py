"""Pixel perturbation against a loop over images and steps, one forward pass each."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import CLASSES, NETWORKS, numbers
from torch import Tensor

from critpath.errors import CritpathError, InputError, NumericalError, OptionError, TargetError
from critpath.evaluation.perturbation import Perturbation, deletion, insertion, pixel_perturbation
from critpath.evaluation.removal import pixel_scores, reduced, removal_order, remove
from critpath.evaluation.superpixels import superpixels

N, C, H, W = 5, 3, 8, 8
X = numbers(N, C, H, W)
MAPS = numbers(N, C, H, W, seed=7)
TARGET = torch.tensor([0, 1, 2, 4, 3])
MODEL = NETWORKS["conv"].build()
SHARES = (0.05, 0.29, 0.5, 1.0)


def scores_of(image_map: np.ndarray, unit: str, reduce: str) -> np.ndarray:
    """One relevance for every unit of one map [c, H, W], flat."""
    if unit == "scalar":
        return (image_map if reduce == "max" else abs(image_map)).reshape(-1)
    by = {
        "max_abs": lambda m: abs(m).max(0),
        "sum_abs": lambda m: abs(m).sum(0),
        "l2": lambda m: (m**2).sum(0) ** 0.5,
        "max": lambda m: m.max(0),
    }
    return by[reduce](image_map).reshape(-1)


def removed_units(scores: np.ndarray, order: str, share: float) -> list[int]:
    """The first floor(share * units) of a list sorted by relevance, then by position."""
    signs = {"lerf": 1, "morf": -1}
    ordered = sorted(range(len(scores)), key=lambda i: (signs[order] * scores[i], i))
    return ordered[: int(round(share * len(scores), 6))]


def without(image: np.ndarray, units: list[int], unit: str, value: float) -> np.ndarray:
    out = image.copy()
    for u in units:
        if unit == "scalar":
            out.reshape(-1)[u] = value
        else:
            out.reshape(len(image), -1)[:, u] = value
    return out


def answer(image: np.ndarray, target: int, response: str = "probability") -> float:
    with torch.no_grad():
        logits = MODEL(torch.from_numpy(image)[None])[0].numpy()
    return float(logits[target] if response == "logit" else np.exp(logits[target]) / np.exp(logits).sum())


@pytest.mark.parametrize("order", ["lerf", "morf"])
@pytest.mark.parametrize("unit", ["pixel", "scalar"])
@pytest.mark.parametrize("reduce", ["max_abs", "sum_abs", "l2", "max"])
@pytest.mark.parametrize("response", ["probability", "logit"])
def test_equals_the_loop(order: str, unit: str, reduce: str, response: str) -> None:
    found = pixel_perturbation(
        MODEL, X, TARGET, MAPS, order=order, unit=unit, reduce=reduce, response=response, shares=SHARES, fill=0.3
    )
    for i, (image, m) in enumerate(zip(X.numpy(), MAPS.numpy(), strict=True)):
        target = int(TARGET[i])
        expected = [
            answer(without(image, removed_units(scores_of(m, unit, reduce), order, s), unit, 0.3), target, response)
            for s in SHARES
        ]
        assert found.start[i] == pytest.approx(answer(image, target, response), abs=1e-12)
        assert found.curve[i].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 4, 7, 100, None])
def test_batches_do_not_matter(batch: int | None) -> None:
    whole = pixel_perturbation(MODEL, X, TARGET, MAPS, ties="random", fill="linear", batch=batch)
    for i in range(N):
        one = slice(i, i + 1)
        alone = pixel_perturbation(MODEL, X[one], TARGET[one], MAPS[one], ties="random", fill="linear")
        torch.testing.assert_close(whole.curve[one], alone.curve, atol=1e-12, rtol=0)
        torch.testing.assert_close(whole.start[one], alone.start, atol=1e-12, rtol=0)


def test_insertion_puts_units_back() -> None:
    found = pixel_perturbation(
        MODEL, X, TARGET, MAPS, order="morf", insertion=True, shares=(0.25, 1.0), fill=0.1, reduce="sum_abs"
    )
    for i, (image, m) in enumerate(zip(X.numpy(), MAPS.numpy(), strict=True)):
        kept = removed_units(scores_of(m, "pixel", "sum_abs"), "morf", 0.25)
        others = [u for u in range(H * W) if u not in kept]
        assert found.start[i] == pytest.approx(answer(np.full_like(image, 0.1), int(TARGET[i])), abs=1e-12)
        assert found.curve[i, 0] == pytest.approx(
            answer(without(image, others, "pixel", 0.1), int(TARGET[i])), abs=1e-12
        )
        assert found.curve[i, 1] == pytest.approx(answer(image, int(TARGET[i])), abs=1e-12)


def test_presets() -> None:
    removed = deletion(MODEL, X, TARGET, MAPS, steps=4)
    same = pixel_perturbation(MODEL, X, TARGET, MAPS, order="morf", shares=(0.25, 0.5, 0.75, 1.0))
    assert torch.equal(removed.curve, same.curve)
    put = insertion(MODEL, X, TARGET, MAPS, steps=4, fill=0.2)
    same = pixel_perturbation(
        MODEL, X, TARGET, MAPS, order="morf", shares=(0.25, 0.5, 0.75, 1.0), insertion=True, fill=0.2
    )
    assert torch.equal(put.curve, same.curve)
    points = torch.cat([put.start[:, None], put.curve], dim=1)
    expected = (points[:, :-1] + points[:, 1:]).sum(dim=1) / 2 / 4
    torch.testing.assert_close(put.response_area(), expected)


def test_predicted_class_without_target() -> None:
    predicted = MODEL(X).argmax(dim=1)
    found = pixel_perturbation(MODEL, X, None, MAPS, batch=2)
    torch.testing.assert_close(found.curve, pixel_perturbation(MODEL, X, predicted, MAPS).curve)


def test_one_forward_a_step_and_one_more() -> None:
    seen = []

    def counted(x: Tensor) -> Tensor:
        seen.append(len(x))
        assert not torch.is_grad_enabled()
        return MODEL(x)

    pixel_perturbation(counted, X, TARGET, MAPS, batch=22)
    assert sum(seen) == N * 11
    assert seen == [22, 22, 11]


# ------------------------------------------------------------------------------------------------ areas
@pytest.mark.parametrize(
    ("changes", "area"),
    [
        ([0.324, 0.393, 0.446, 0.479, 0.506, 0.528, 0.548, 0.568, 0.583, 0.599], 0.0467),
        ([0.065, 0.077, 0.088, 0.100, 0.110, 0.115, 0.117, 0.122, 0.129, 0.132], 0.0099),
        ([0.050, 0.073, 0.091, 0.100, 0.112, 0.122, 0.131, 0.141, 0.151, 0.157], 0.0105),
        ([0.216, 0.285, 0.327, 0.361, 0.390, 0.428, 0.450, 0.477, 0.510, 0.540], 0.0371),
        ([0.833, 0.924, 0.953, 0.966, 0.973, 0.975, 0.978, 0.978, 0.979, 0.982], 0.0905),
        ([0.029, 0.045, 0.059, 0.075, 0.089, 0.102, 0.113, 0.126, 0.137, 0.146], 0.0085),
    ],
    ids=["gradient", "gradcam", "neuron_mct", "cifar gradient", "birdsnap gradient", "birdsnap star"],
)
def test_published_areas(changes: list[float], area: float) -> None:
    """Rows of the papers' table: ten changes, and the area that was published for them."""
    start = torch.tensor([0.5], dtype=torch.float64)
    curve = 0.5 * (1 - torch.tensor([changes], dtype=torch.float64))
    found = Perturbation(tuple(k / 100 for k in range(1, 11)), start, curve)
    assert round(float(found.area()), 4) == area
    assert float(found.normalised_area()) == pytest.approx(10 * float(found.area()))


def test_change_is_relative_and_undefined_from_zero() -> None:
    found = Perturbation((0.1,), torch.tensor([2.0, -2.0, 0.0]), torch.tensor([[1.0], [1.0], [1.0]]))
    assert found.change[:2].flatten().tolist() == [0.5, 1.5]
    assert found.change[2].isnan()
    assert found.area()[2].isnan()


# ----------------------------------------------------------------------------------------------- orders
def test_reduced_keeps_sign_and_ranking() -> None:
    maps = torch.tensor([[1.0, -3.0], [-2.0, 2.0]]).view(1, 2, 1, 2)
    assert reduced(maps).flatten().tolist() == [-2.0, -3.0]
    assert torch.equal(pixel_scores(reduced(MAPS)), pixel_scores(MAPS))


@pytest.mark.parametrize("share", [0, 0.01, 0.07, 0.29, 0.57, 0.58, 1])
def test_counts_are_exact(share: float) -> None:
    """100 units: what is a whole number but for rounding is that number."""
    found = removal_order(torch.zeros(2, 1, 10, 10)).mask(share)
    assert found.flatten(1).sum(dim=1).tolist() == [round(100 * share)] * 2


@pytest.mark.parametrize("order", ["lerf", "morf"])
def test_stable_ties_go_by_position(order: str) -> None:
    found = removal_order(torch.zeros(1, 2, 3, 3), order=order)
    assert found.ranks.flatten().tolist() == list(range(9))


def test_random_ties_move_ties_only() -> None:
    maps = torch.zeros(3, 1, 8, 8)
    maps[:, :, 0, :4] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    orders = [removal_order(maps, order="morf", ties="random", seed=s, x=X[:3]).ranks.flatten(1) for s in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0][0], orders[0][1])
    for ranks in orders[0]:
        assert ranks[:4].tolist() == [0, 1, 2, 3]
        assert sorted(ranks.tolist()) == list(range(64))
        assert ranks[4:].tolist() != list(range(4, 64))
    alone = removal_order(maps[1:2], order="morf", ties="random", x=X[1:2]).ranks.flatten(1)
    assert torch.equal(alone[0], orders[0][1])


def test_random_state_is_untouched() -> None:
    before = torch.get_rng_state()
    pixel_perturbation(MODEL, X, TARGET, MAPS, ties="random", fill="linear")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_other_types(dtype: torch.dtype) -> None:
    ranks = removal_order(MAPS.to(dtype), reduce="l2").ranks
    assert torch.equal(ranks, removal_order(MAPS.to(dtype).float(), reduce="l2").ranks)
    for fill in ("mean", "blur", "linear"):
        assert remove(X.to(dtype), MAPS, 0.5, fill=fill).dtype == dtype


def test_maps_of_other_forms() -> None:
    one = reduced(MAPS)
    expected = pixel_perturbation(MODEL, X, TARGET, MAPS).curve
    for maps in (one, one.squeeze(1), one.float().double().expand(-1, C, -1, -1)):
        torch.testing.assert_close(pixel_perturbation(MODEL, X, TARGET, maps).curve, expected, atol=1e-9, rtol=0)
    scalars = removal_order(one, unit="scalar", x=X)
    assert scalars.ranks.shape == X.shape
    assert scalars.units.tolist() == [C * H * W] * N


# ------------------------------------------------------------------------------------------- superpixels
def test_superpixels_by_their_mean() -> None:
    segments = torch.arange(N * H * W).reshape(N, H, W) % 7 * 3
    segments[0] %= 4
    for order in ("lerf", "morf"):
        found = removal_order(MAPS, unit="superpixel", segments=segments, order=order)
        for i, m in enumerate(MAPS.numpy()):
            labels, scores = segments[i].numpy(), abs(m).max(0)
            names = np.unique(labels)
            means = np.array([scores[labels == name].mean() for name in names])
            assert found.units[i] == len(names)
            for share in (0.2, 0.5, 1.0):
                gone = [names[u] for u in removed_units(means, order, int(share * len(names)) / len(names))]
                assert np.array_equal(found.mask(share)[i, 0].numpy(), np.isin(labels, gone))


def test_superpixels_are_found() -> None:
    pytest.importorskip("skimage")
    image = torch.zeros(2, 3, 16, 16, dtype=torch.float64)
    image[:, :, :, 8:] = 5.0
    image[1] = image[1].transpose(1, 2).clone()
    found = superpixels(image, 4)
    assert found.shape == (2, 16, 16)
    for i in range(2):
        sides = image[i, 0]
        for label in found[i].unique():
            assert len(sides[found[i] == label].unique()) == 1
    assert torch.equal(superpixels(image[1:], 4), found[1:])
    curve = pixel_perturbation(MODEL, X, TARGET, MAPS, unit="superpixel", segments=6, shares=(0.5, 1.0)).curve
    given = pixel_perturbation(MODEL, X, TARGET, MAPS, unit="superpixel", segments=superpixels(X, 6), shares=(0.5, 1.0))
    assert torch.equal(curve, given.curve)


def test_superpixels_need_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(CritpathError, match=r"pip install 'critpath\[evaluation\]'"):
        superpixels(X, 4)


# ------------------------------------------------------------------------------------------------ remove
@pytest.mark.parametrize("order", ["lerf", "morf"])
def test_remove_and_keep(order: str) -> None:
    gone = remove(X, MAPS, 0.3, order=order, fill=9.0)
    kept = remove(X, MAPS, 0.3, order=order, keep=True, fill=9.0)
    mask = removal_order(MAPS, order=order).mask(0.3).expand_as(X)
    assert torch.equal(gone, torch.where(mask, 9.0, X))
    assert torch.equal(kept, torch.where(mask, X, 9.0))
    assert (gone == 9).sum() + (kept == 9).sum() == X.numel()
    assert torch.equal(remove(X, MAPS, 0.3, fill=9.0), remove(X, MAPS, 0.3, order="morf", fill=9.0))


# -------------------------------------------------------------------------------------------- bad inputs
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"order": "first"}, OptionError, "order is 'first'"),
    ({"unit": "patch"}, OptionError, "unit is 'patch'"),
    ({"reduce": "mean"}, OptionError, "reduce is 'mean'"),
    ({"reduce": "mean", "unit": "scalar"}, OptionError, "reduce is 'mean'"),
    ({"ties": "any"}, OptionError, "ties is 'any'"),
    ({"seed": -1}, OptionError, "seed is -1"),
    ({"response": "loss"}, OptionError, "response is 'loss'"),
    ({"insertion": 1}, OptionError, "insertion is 1"),
    ({"batch": 0}, OptionError, "batch is 0"),
    ({"shares": ()}, OptionError, "shares is ()"),
    ({"shares": (0.2, 0.1)}, OptionError, "they ascend"),
    ({"shares": (0.1, 0.1)}, OptionError, "they ascend"),
    ({"shares": (0.0, 0.1)}, OptionError, "a share is 0.0"),
    ({"shares": (0.1, 10)}, OptionError, "a share is 10"),
    ({"fill": "linaer"}, OptionError, "Did you mean 'linear'"),
    ({"fill": (1.0, 2.0)}, OptionError, "3, one for each channel"),
    ({"unit": "superpixel", "segments": torch.zeros(N, H, W)}, InputError, "whole numbers"),
    ({"unit": "superpixel", "segments": torch.zeros(N + 1, H, W, dtype=torch.int64)}, InputError, "whole numbers"),
    ({"unit": "superpixel", "segments": 0}, OptionError, "segments is 0"),
    ({"maps": MAPS[:2]}, InputError, "the maps are"),
    ({"maps": MAPS * torch.nan}, NumericalError, "NaN"),
    ({"x": X[0]}, InputError, "images"),
    ({"x": X[:0], "maps": MAPS[:0], "target": TARGET[:0]}, InputError, "no image"),
    ({"x": X.long()}, InputError, "real images"),
    ({"target": TARGET[:2]}, TargetError, "one class"),
    ({"target": TARGET.double()}, TargetError, "one class"),
    ({"target": -TARGET}, TargetError, "one class"),
    ({"target": -3}, TargetError, "target is"),
    ({"target": TARGET + CLASSES}, TargetError, "names class 9"),
    ({"model": lambda x: x}, InputError, "class scores"),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD, ids=[f"{i}-{text}" for i, (_, _, text) in enumerate(BAD)])
def test_bad_inputs(change: dict[str, Any], error: type[Exception], text: str) -> None:
    given = {"model": MODEL, "x": X, "target": TARGET, "maps": MAPS, **change}
    with pytest.raises(error) as raised:
        pixel_perturbation(**given)
    assert text in str(raised.value)


def test_no_graph_is_made() -> None:
    x = X.clone().requires_grad_()
    assert not pixel_perturbation(MODEL, x, TARGET, MAPS).curve.requires_grad
    assert not remove(x, MAPS.clone().requires_grad_(), 0.5).requires_grad


def test_superpixels_without_images() -> None:
    with pytest.raises(InputError, match="give x, or segments"):
        removal_order(MAPS, unit="superpixel")
    with pytest.raises(InputError, match="the maps are"):
        removal_order(MAPS[0])
    with pytest.raises(OptionError, match="a share is 2"):
        removal_order(MAPS).mask(2)
    with pytest.raises(OptionError, match="keep is 1"):
        remove(X, MAPS, 0.1, keep=1)  # type: ignore[arg-type]
