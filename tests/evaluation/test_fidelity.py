"""F-Fidelity against a loop over images, shares and samples, and on a network whose pixels are known to matter."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor, nn

from critpath.draws import sample_generators
from critpath.errors import InputError, MismatchError, NumericalError, OptionError, TargetError
from critpath.evaluation.retraining import Fidelity, Recipe, Split, f_fidelity, fidelity_model, fine_tuning, random_maps
from critpath.evaluation.retraining.fidelity import random_parts

D = 30
"""Pixels of the 5x6 images."""


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * D, 3))


MODEL = tiny.seeded(linear).requires_grad_(False)
X = tiny.numbers(4, 2, 5, 6)
Y = torch.tensor([0, 2, 1, 1])
MAPS = tiny.numbers(4, 2, 5, 6, seed=8)


def naive(
    x: Tensor, y: int, relevance: Tensor, share: float, alpha: float, beta: float, samples: int, value: float, kind: str
) -> tuple[float, float]:
    """FFid+ and FFid- of one image and one share."""
    order = sorted(range(D), key=lambda pixel: -float(relevance.flatten()[pixel]))
    size = floor(share * D + 1e-9)
    explanation, rest = set(order[:size]), set(order[size:])
    [generator] = sample_generators([x[None]], 0, "fidelity")
    draws = [torch.randperm(D, generator=generator).tolist() for _ in range(samples)]

    def response(image: Tensor) -> float:
        scores = MODEL(image[None])[0]
        return float(scores.softmax(0)[y]) if kind == "probability" else float(scores.argmax() == y)

    found = []
    for allowed in (explanation, rest):
        count = floor(min(alpha * len(allowed), beta * D) + 1e-9)
        total = 0.0
        for drawn in draws:
            image = x.clone()
            for pixel in [p for p in drawn if p in allowed][:count]:
                image[:, pixel // 6, pixel % 6] = value
            total += response(image)
        found.append(response(x) - total / samples)
    return found[0], found[1]


@pytest.mark.parametrize("kind", ["probability", "accuracy"])
@pytest.mark.parametrize(("alpha", "beta", "value"), [(0.5, 0.1, 0.0), (0.5, 1.0, 0.3), (1.0, 0.4, 0.0)])
def test_equals_the_loop(kind: str, alpha: float, beta: float, value: float) -> None:
    shares = (0.1, 0.5, 0.9)
    options: dict[str, Any] = {"removed": alpha, "max_share": beta, "response": kind}
    found = f_fidelity(MODEL, X, Y, MAPS, shares, samples=5, mean=value, batch=7, **options)
    relevance = MAPS.abs().amax(dim=1)
    for i in range(4):
        for j, share in enumerate(shares):
            wanted = naive(X[i], int(Y[i]), relevance[i], share, alpha, beta, 5, value, kind)
            assert (float(found.plus[i, j]), float(found.minus[i, j])) == pytest.approx(wanted, abs=1e-12)
    assert found.gap.tolist() == pytest.approx((found.plus - found.minus).mean(dim=1).tolist())


def test_a_batch_is_a_loop_over_its_images_and_over_any_batches() -> None:
    def of(rows: slice, batch: int) -> Fidelity:
        return f_fidelity(MODEL, X[rows], Y[rows], MAPS[rows], (0.2, 0.6), samples=6, batch=batch, fill="linear")

    whole = of(slice(None), 512)
    for i in range(4):
        one = of(slice(i, i + 1), 5)
        torch.testing.assert_close(one.plus, whole.plus[i : i + 1])
        torch.testing.assert_close(one.minus, whole.minus[i : i + 1])
        torch.testing.assert_close(one.start, whole.start[i : i + 1])


def test_the_budget_is_never_left() -> None:
    """Each image that the model sees lacks at most beta of its pixels, exactly that where alpha asks for more."""
    lost: set[int] = set()

    def model(x: Tensor) -> Tensor:
        lost.update((x[:, 0] == 0).flatten(1).sum(dim=1).tolist())
        return MODEL(x)

    f_fidelity(model, X, Y, MAPS, (0.1, 0.5, 0.9), max_share=0.2, removed=0.5, samples=8)
    assert lost == {0, 1, 6}  # half of 3, and no more than a fifth of 30


def test_bfloat16() -> None:
    model = tiny.seeded(linear).bfloat16()
    found = f_fidelity(model, X.bfloat16(), Y, MAPS.bfloat16(), (0.2, 0.6), samples=4)
    wanted = f_fidelity(MODEL, X, Y, MAPS, (0.2, 0.6), samples=4)
    assert found.start.dtype == found.plus.dtype == torch.float64
    torch.testing.assert_close(found.start, wanted.start, rtol=0.05, atol=0.05)


def test_random_parts() -> None:
    allowed = torch.tensor([[True, True, True, False, False], [False, False, True, True, True]])
    pixels = torch.tensor([[4, 2, 0, 1, 3], [3, 0, 1, 2, 4]])
    found = random_parts(allowed, pixels, [2, 1])
    chosen = [[row.nonzero().flatten().tolist() for row in part] for part in found]
    assert chosen == [[[0, 2], [0, 1]], [[4], [3]]]


def important(n: int, seed: int) -> Split:
    """Noise, and in one corner of 3x3 pixels the class."""
    x = tiny.numbers(n, 2, 6, 6, seed=seed)
    y = torch.randint(2, (n,), generator=torch.Generator().manual_seed(seed))
    x[:, :, :3, :3] += 2 * (2 * y[:, None, None, None] - 1)
    return Split(x, y)


def tuned(seed: int = 0, **options: Any) -> nn.Module:
    model = tiny.seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 2)))
    recipe = Recipe(linear, epochs=4, batch=16, lr=0.02, padding=0, flip=False)
    return fidelity_model(model, important(64, 1), important(20, 2), recipe, 0.25, seed, **options)


def test_a_map_of_what_matters_beats_random_and_its_opposite() -> None:
    test = important(20, 3)
    right = torch.zeros(20, 1, 6, 6, dtype=torch.float64)
    right[:, :, :3, :3] = 1
    model = tuned()

    def gap(maps: Tensor) -> float:
        return float(f_fidelity(model, *test, maps, (0.25, 0.5), max_share=0.25, samples=20).gap.mean())

    assert gap(right) > gap(random_maps(test.x, 0)) > gap(1 - right)


def test_fine_tuning_starts_from_the_model_and_leaves_it_alone() -> None:
    model = tiny.seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 2))).requires_grad_(False)
    before = [t.clone() for t in model.state_dict().values()]
    state = torch.get_rng_state()
    found = fidelity_model(model, important(32, 1), important(10, 2), Recipe(linear, epochs=1, batch=16, lr=1e-6))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(s, t) for s, t in zip(before, model.state_dict().values(), strict=True))
    assert not any(p.requires_grad for p in model.parameters())
    for old, new in zip(before, found.state_dict().values(), strict=True):
        assert 0 < float((old - new).abs().max()) < 1e-5
    again, other = (tuned(seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(s, t) for s, t in zip(tuned().state_dict().values(), again.values(), strict=True))
    assert not torch.equal(again["1.weight"], other["1.weight"])


def test_training_images_lose_up_to_the_budget() -> None:
    lost: list[int] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(72, 2)

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                gone = (x == 7).all(dim=1)
                assert torch.equal(gone, (x == 7).any(dim=1))  # all channels of a pixel
                lost.extend(gone.flatten(1).sum(dim=1).tolist())
            result: Tensor = self.inner(x.flatten(1))
            return result

    model = tiny.seeded(Watching)
    recipe = Recipe(linear, epochs=20, batch=32, padding=0, flip=False)
    fidelity_model(model, important(64, 1), important(10, 2), recipe, 0.1, fill=7.0)
    assert set(lost) == {0, 1, 2, 3}  # of 36 pixels
    assert max(lost.count(k) for k in range(4)) < 1.3 * min(lost.count(k) for k in range(4))


def test_the_papers_numbers() -> None:
    recipe = fine_tuning(MODEL)
    assert (recipe.lr, recipe.weight_decay, recipe.batch) == (1e-4, 1e-4, 128)
    copied = recipe.model()
    assert copied is not MODEL
    assert torch.equal(copied.state_dict()["1.weight"], MODEL.state_dict()["1.weight"])


BAD: Sequence[tuple[dict[str, Any], type[Exception], str]] = (
    ({"shares": (0.5, 0.2)}, OptionError, "share"),
    ({"max_share": 0}, OptionError, "max_share"),
    ({"removed": 1.5}, OptionError, "removed"),
    ({"samples": 0}, OptionError, "samples"),
    ({"response": "logit"}, OptionError, "response"),
    ({"batch": 0}, OptionError, "batch"),
    ({"fill": "nothing"}, OptionError, "nothing"),
    ({"y": torch.tensor([0, 1, 2, 3])}, TargetError, "class 3"),
    ({"y": torch.tensor([0, 1])}, InputError, r"\[2\]"),
    ({"maps": MAPS[:, :, :4]}, InputError, r"\[4, 2, 4, 6\]"),
    ({"maps": MAPS / 0}, NumericalError, "NaN"),
    ({"model": lambda x: MODEL(x) / 0}, NumericalError, "NaN"),
)


@pytest.mark.parametrize(("changes", "error", "told"), BAD)
def test_bad_input(changes: dict[str, Any], error: type[Exception], told: str) -> None:
    given: dict[str, Any] = {"model": MODEL, "x": X, "y": Y, "maps": MAPS, **changes}
    with pytest.raises(error, match=told):
        f_fidelity(**given)


def test_bad_fine_tuning() -> None:
    with pytest.raises(OptionError, match="max_share"):
        fidelity_model(MODEL, important(4, 1), important(4, 2), max_share=0)
    with pytest.raises(MismatchError, match="different images"):
        fidelity_model(MODEL, important(4, 1), Split(X, Y))
