"""ROAR and KAR: the published areas from the published rows, and the loop against single trainings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy import stats
from tests import tiny
from torch import Tensor, nn

from critpath import Network, attribute
from critpath.errors import InputError, MismatchError, NumericalError, OptionError
from critpath.evaluation.retraining import (
    Maps,
    Recipe,
    Retraining,
    RoarCurve,
    Split,
    accuracy_of,
    channel_means,
    curves_of,
    degraded,
    maps_of,
    random_maps,
    retrained_accuracy,
    roar,
    roar_area,
    t_estimate,
)
from critpath.evaluation.retraining.student import t_quantile

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)

CIFAR = {
    "Gradient": ((79.10, 81.10, 82.81, 82.26, 75.50), 0.7287),
    "GBP": ((79.24, 76.83, 78.02, 78.36, 74.78), 0.7022),
    "GradCAM": ((74.65, 69.99, 63.27, 58.03, 47.58), 0.5843),
    "InputMCT": ((79.22, 79.85, 82.54, 81.58, 74.47), 0.7234),
    "InputIntGrad": ((80.80, 81.98, 83.37, 83.23, 80.90), 0.7414),
    "NeuronMCT": ((74.43, 67.80, 65.48, 57.87, 44.39), 0.5805),
    "NeuronIntGrad": ((75.11, 67.33, 61.71, 56.90, 47.98), 0.5747),
    "NeuronIntGrad*": ((75.09, 63.56, 54.60, 47.85, 37.27), 0.5241),
}
BIRDSNAP = {
    "Gradient": ((33.615, 29.395, 26.823, 24.312, 28.692), 0.2695),
    "GBP": ((30.299, 26.160, 22.604, 23.347, 24.051), 0.2430),
    "GradCAM": ((20.052, 7.816, 5.304, 4.240, 2.351), 0.0965),
    "InputMCT": ((31.565, 27.165, 23.508, 21.640, 20.836), 0.2421),
    "InputIntGrad": ((30.762, 26.723, 23.146, 22.343, 22.483), 0.2424),
    "NeuronMCT": ((22.885, 12.678, 8.620, 3.797, 3.074), 0.1169),
    "NeuronIntGrad": ((19.023, 9.13, 6.32, 4.01, 3.03), 0.0998),
    "NeuronIntGrad*": ((16.858, 8.077, 5.210, 3.680, 2.213), 0.0907),
}
PUBLISHED = [(84.36, *row) for row in CIFAR.values()] + [(58.63, *row) for row in BIRDSNAP.values()]


# ------------------------------------------------------------------------------------------------- areas
@pytest.mark.parametrize(("base", "row", "area"), PUBLISHED)
def test_published_areas(base: float, row: tuple[float, ...], area: float) -> None:
    found = roar_area(SHARES, torch.tensor(row, dtype=torch.float64) / 100, base / 100)
    assert float(found) == pytest.approx(area, abs=1e-4)


def test_areas_by_hand() -> None:
    rows = torch.tensor([[0.8, 0.4], [0.6, 0.6]])
    whole = torch.tensor([1.0, 0.8])
    removed = [0.2 * (1.0 + 0.8) / 2 + 0.3 * (0.8 + 0.4) / 2, 0.2 * (0.8 + 0.6) / 2 + 0.3 * 0.6]
    kept = [0.3 * (0.8 + 0.4) / 2 + 0.5 * (0.4 + 1.0) / 2, 0.3 * 0.6 + 0.5 * (0.6 + 0.8) / 2]
    assert roar_area((0.2, 0.5), rows, whole).tolist() == pytest.approx(removed)
    assert roar_area((0.2, 0.5), rows, whole, keep=True).tolist() == pytest.approx(kept)
    assert roar_area((0.2, 0.5), rows, whole, normalised=True).tolist() == pytest.approx([v / 0.5 for v in removed])
    normalised = roar_area((0.2, 0.5), rows, whole, keep=True, normalised=True)
    assert normalised.tolist() == pytest.approx([v / 0.8 for v in kept])


@pytest.mark.parametrize("shares", [(), (0.0, 0.5), (0.5, 0.5), (0.5, 0.3), (0.5, 1.0), 0.5, (0.1, float("nan"))])
def test_bad_shares(shares: Any) -> None:
    with pytest.raises(OptionError, match="share"):
        roar_area(shares, torch.zeros(2), 1.0)


def test_area_of_another_number_of_accuracies() -> None:
    with pytest.raises(MismatchError, match=r"2 shares .* \[3\]"):
        roar_area((0.1, 0.2), torch.zeros(3), 1.0)


# ------------------------------------------------------------------------------------------------- over seeds
@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 30])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_t_quantiles(level: float, degrees: int) -> None:
    assert t_quantile(level, degrees) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=1e-9)


def test_intervals_over_seeds() -> None:
    values = tiny.numbers(4, 3)
    found = t_estimate(values, 0.9)
    for column in range(3):
        wanted = stats.t.interval(0.9, 3, values[:, column].mean(), stats.sem(values[:, column]))
        assert (float(found.low[column]), float(found.high[column])) == pytest.approx(wanted)
    one = t_estimate(values[:1])
    assert one.n == 1
    assert torch.equal(one.mean, values[0])
    assert one.low.isnan().all()
    assert one.high.isnan().all()


def test_curves_are_compared_by_seed() -> None:
    a = RoarCurve((0.2, 0.6), (0, 1, 2), tiny.numbers(3), tiny.numbers(3, 2))
    b = RoarCurve((0.2, 0.6), (0, 1, 2), a.unmodified, tiny.numbers(3, 2, seed=5))
    accuracy, area = a.above(b)
    wanted = t_estimate(a.accuracy - b.accuracy)
    assert torch.equal(accuracy.low, wanted.low)
    assert float(area.mean) == pytest.approx(float(a.areas().mean() - b.areas().mean()))
    assert torch.equal(a.normalised_areas(), a.areas() / 0.6)
    with pytest.raises(MismatchError, match="other shares, seeds or direction"):
        a.above(RoarCurve((0.2, 0.6), (0, 1, 3), b.unmodified, b.accuracy))
    assert RoarCurve((0.2, 0.6), (4,), a.unmodified[:1], a.accuracy[:1]).area().low.isnan()


# ------------------------------------------------------------------------------------------------- removal
def split_of(n: int, seed: int) -> Split:
    y = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed))
    x = tiny.numbers(n, 2, 4, 4, seed=seed) / 2
    for image, label in zip(x, y.tolist(), strict=True):
        image[:, :, label] += 2
    return Split(x, y)


PARTS = (split_of(30, 1), split_of(12, 2), split_of(20, 3))


def naive(split: Split, maps: Tensor, count: int, keep: bool, mean: list[float]) -> Tensor:
    """The images, pixel by pixel: the ``count`` of largest max |map| over channels are removed or kept."""
    found = split.x.clone()
    for image, one in zip(found, maps, strict=True):
        relevance = {(i, j): max(abs(float(v)) for v in one[:, i, j]) for i in range(4) for j in range(4)}
        order = sorted(relevance, key=lambda place: -relevance[place])
        for i, j in order[count:] if keep else order[:count]:
            image[:, i, j] = torch.tensor(mean)
    return found


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("share", "count"), [(0.25, 4), (0.3, 4), (0.9, 14)])
def test_degraded_images(keep: bool, share: float, count: int) -> None:
    maps = tiny.numbers(12, 2, 4, 4, seed=9)
    found = degraded(PARTS[1], maps, share, keep, mean=(0.25, -1.0))
    torch.testing.assert_close(found.x, naive(PARTS[1], maps, count, keep, [0.25, -1.0]), rtol=0, atol=0)
    assert found.y is PARTS[1].y


def test_maps_are_those_of_the_original_models_prediction() -> None:
    model = tiny.seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(32, 3)))
    asked = []

    def explain(x: Tensor, target: Tensor) -> Tensor:
        asked.append((len(x), target))
        return x * target[:, None, None, None]

    found = maps_of(model, explain, *PARTS, at_once=16)
    assert [n for n, _ in asked] == [16, 14, 12, 16, 4]
    for part, maps in zip(PARTS, found, strict=True):
        assert torch.equal(maps, part.x * model(part.x).argmax(dim=1)[:, None, None, None])


def test_random_maps_belong_to_the_image_and_the_seed() -> None:
    x = PARTS[0].x
    whole = random_maps(x, 3)
    assert whole.shape == x.shape
    assert torch.equal(whole[7:9], random_maps(x[7:9], 3))
    assert not torch.equal(whole, random_maps(x, 4))
    net = Network(tiny.NETWORKS["conv"].build())
    images = tiny.numbers(3, *tiny.IMAGE)
    assert torch.equal(random_maps(images, 3), attribute(net, images, "random", seed=3))


# ------------------------------------------------------------------------------------------------- retraining
class Spy:
    """A recipe of its own: it keeps what it was given, and its model says class 0."""

    def __init__(self) -> None:
        self.given: list[tuple[Split, Split, int]] = []
        self.tested: list[Tensor] = []

    def __call__(self, train: Split, validation: Split, seed: int) -> Any:
        self.given.append((train, validation, seed))
        return self.model

    def model(self, x: Tensor) -> Tensor:
        self.tested.append(x)
        return torch.eye(3, dtype=x.dtype)[0].expand(len(x), 3)


def maps_for(seed: int) -> Maps:
    first, second, third = (tiny.numbers(len(part.y), 2, 4, 4, seed=seed + i) for i, part in enumerate(PARTS))
    return first, second, third


@pytest.mark.parametrize("keep", [False, True])
def test_all_three_parts_are_degraded_with_the_training_mean(keep: bool) -> None:
    spy, maps = Spy(), maps_for(20)
    found = retrained_accuracy(*PARTS, maps, 0.5, 4, spy, keep=keep)
    mean = PARTS[0].x.mean(dim=(0, 2, 3)).tolist()
    assert channel_means(PARTS[0].x).tolist() == pytest.approx(mean)
    wanted = [naive(part, m, 8, keep, mean) for part, m in zip(PARTS, maps, strict=True)]
    [(train, validation, seed)] = spy.given
    assert seed == 4
    for given, one in zip((train.x, validation.x, spy.tested[-1]), wanted, strict=True):
        torch.testing.assert_close(given, one)
    shares = [float((part.y == 0).double().mean()) for part in PARTS]
    assert found == Retraining(shares[2], shares[1], None, 0.5, 4, keep)


def test_random_ties_are_drawn_by_the_trainings_seed() -> None:
    spy, flat = Spy(), (torch.zeros(30, 4, 4), torch.zeros(12, 4, 4), torch.zeros(20, 4, 4))
    for seed in (3, 4):
        retrained_accuracy(*PARTS, flat, 0.5, seed, spy, ties="random", mean=0.0)
        wanted = degraded(PARTS[0], flat[0], 0.5, ties="random", seed=seed).x
        assert torch.equal(spy.given[-1][0].x, wanted)
    assert not torch.equal(spy.given[0][0].x, spy.given[1][0].x)


def test_unmodified_images_without_maps() -> None:
    spy = Spy()
    found = retrained_accuracy(*PARTS, None, 0.5, 0, spy)
    assert found.share == 0
    assert torch.equal(spy.given[0][0].x, PARTS[0].x)
    assert torch.equal(spy.tested[-1], PARTS[2].x)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 3))


RECIPE = Recipe(linear, epochs=3, batch=16, lr=0.02, padding=0, flip=False)


def test_one_retraining_is_train_and_test() -> None:
    maps = maps_for(30)
    maps = maps[0].round(), maps[1].round(), maps[2].round()
    found = retrained_accuracy(*PARTS, maps, 0.3, 2, RECIPE, fill="zero", unit="scalar", ties="random")
    options: dict[str, Any] = {"fill": "zero", "unit": "scalar", "ties": "random", "seed": 2}
    train, validation, test = (degraded(p, m, 0.3, **options) for p, m in zip(PARTS, maps, strict=True))
    fitted = RECIPE.fit(train, validation, 2)
    wanted = accuracy_of(fitted.model, test), fitted.validation_accuracy, fitted.epochs
    assert (found.accuracy, found.validation_accuracy, found.epochs) == wanted
    assert found == retrained_accuracy(*PARTS, maps, 0.3, 2, RECIPE, fill="zero", unit="scalar", ties="random")


@pytest.mark.parametrize("keep", [False, True])
def test_roar_is_a_loop_over_single_trainings(keep: bool) -> None:
    maps = {"a": maps_for(40), "b": maps_for(50)}
    seen: list[tuple[str, Retraining]] = []

    def watch(name: str, found: Retraining) -> None:
        seen.append((name, found))

    curves = roar(
        *PARTS,
        maps,
        RECIPE,
        shares=(0.25, 0.5),
        seeds=(3, 1),
        keep=keep,
        random=True,
        watch=lambda *one: seen.append(one),
    )
    assert list(curves) == ["a", "b", "random"]
    assert len(seen) == 2 * (1 + 3 * 2)
    for name, curve in curves.items():
        assert (curve.shares, curve.seeds, curve.keep) == ((0.25, 0.5), (1, 3), keep)
        for row, seed in enumerate((1, 3)):
            drawn = tuple(random_maps(part.x, seed) for part in PARTS)
            given: Any = maps.get(name, drawn)
            wanted = [retrained_accuracy(*PARTS, given, s, seed, RECIPE, keep=keep).accuracy for s in (0.25, 0.5)]
            assert curve.accuracy[row].tolist() == wanted
            assert float(curve.unmodified[row]) == retrained_accuracy(*PARTS, None, 0, seed, RECIPE).accuracy
    done = {(name, found.share, found.seed): found.accuracy for name, found in reversed(seen)}
    again = curves_of(done, keep)
    assert all(torch.equal(again[name].accuracy, curve.accuracy) for name, curve in curves.items())


def test_removing_what_tells_the_class_costs_more_than_removing_at_random() -> None:
    where = tuple((part.x > 1).double() * part.x for part in PARTS)
    found = roar(*PARTS, {"bar": where}, RECIPE, shares=(0.25,), seeds=(0, 1), random=True)  # type: ignore[dict-item]
    assert float(found["bar"].area().mean) < float(found["random"].area().mean)


def test_what_roar_refuses() -> None:
    maps = {"a": maps_for(40)}
    with pytest.raises(OptionError, match="no maps"):
        roar(*PARTS, {}, RECIPE)
    with pytest.raises(OptionError, match="'random'"):
        roar(*PARTS, {"random": maps["a"]}, RECIPE, random=True)
    with pytest.raises(OptionError, match="same seed"):
        roar(*PARTS, maps, RECIPE, seeds=(1, 1))
    with pytest.raises(OptionError, match="seeds"):
        roar(*PARTS, maps, RECIPE, seeds=())
    with pytest.raises(OptionError, match="share"):
        roar(*PARTS, maps, RECIPE, shares=(0.5, 0.1))
    with pytest.raises(OptionError, match="1 trainings of 'a' are missing"):
        curves_of({("", 0.0, 0): 1.0, ("a", 0.1, 0): 0.5, ("a", 0.2, 0): 0.5, ("a", 0.1, 1): 0.5, ("", 0.0, 1): 1.0})


def test_what_a_retraining_refuses() -> None:
    train, validation, test = PARTS
    maps = maps_for(40)
    with pytest.raises(InputError, match="29 maps for 30 images"):
        retrained_accuracy(*PARTS, (maps[0][:29], *maps[1:]), 0.5, 0, RECIPE)
    with pytest.raises(NumericalError, match="NaN"):
        retrained_accuracy(*PARTS, (maps[0] * math.nan, *maps[1:]), 0.5, 0, RECIPE)
    with pytest.raises(MismatchError, match=r"test \[1, 4, 4\]"):
        retrained_accuracy(train, validation, Split(test.x[:, :1], test.y), None, 0, 0, RECIPE)
    with pytest.raises(OptionError, match="share"):
        retrained_accuracy(*PARTS, maps, 1.5, 0, RECIPE)
    with pytest.raises(OptionError, match="keep"):
        retrained_accuracy(*PARTS, maps, 0.5, 0, RECIPE, keep=1)  # type: ignore[arg-type]
