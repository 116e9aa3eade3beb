"""Attacks against plain PyTorch, and where the pathways of adversarial inputs go against sets."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor, nn
from torch.nn import functional as F

import critpath as cp
from critpath.analysis import ClassPathways, adversarial_shift, class_pathways, fgsm, pgd, sketch
from critpath.errors import InputError, MismatchError, OptionError, TargetError
from critpath.network import sample_of


@pytest.fixture
def model() -> nn.Module:
    """With an output layer that gives several classes."""
    model = tiny.NETWORKS["conv"].build()
    with torch.no_grad():
        model[-1].bias -= model(tiny.numbers(12, *tiny.IMAGE, seed=9)).mean(0)
    return model


@pytest.fixture
def x() -> Tensor:
    return tiny.NETWORKS["conv"].inputs(3)


def slope(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x), labels, reduction="sum"), x)[0]


def loss(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(model(x), labels, reduction="none").detach()


class TestFgsm:
    def test_equals_autograd(self, model: nn.Module, x: Tensor) -> None:
        net, labels = cp.Network(model), torch.tensor([0, 3, 1])
        assert torch.allclose(fgsm(net, x, labels, epsilon=0.1), x + 0.1 * slope(model, x, labels).sign())
        assert torch.allclose(fgsm(net, x, toward=labels, epsilon=0.1), x - 0.1 * slope(model, x, labels).sign())
        own = model(x).argmax(1)
        assert torch.equal(fgsm(net, x, epsilon=0.1), fgsm(net, x, own, epsilon=0.1))
        with torch.no_grad():
            assert torch.equal(fgsm(net, x, 2, epsilon=0.1), fgsm(net, x, torch.tensor([2, 2, 2]), epsilon=0.1))

    def test_epsilon_and_bounds_per_channel(self, model: nn.Module, x: Tensor) -> None:
        epsilon = torch.tensor([0.1, 0.2, 0.3]).double().view(3, 1, 1)
        low, high = torch.tensor([-0.5, -0.4, -0.3]).view(3, 1, 1), 0.5
        free, bound = (fgsm(cp.Network(model), x, epsilon=epsilon, **b) for b in ({}, {"low": low, "high": high}))
        assert torch.allclose((free - x).abs().amax((0, 2, 3)), epsilon.flatten())
        inside = (x >= low) & (x <= high)
        assert ((bound >= low) & (bound <= high))[inside].all()
        assert ((bound - x).abs() <= epsilon + 1e-9).all()
        assert (bound[x > high] <= x[x > high]).all()

    def test_other_inputs(self) -> None:
        """Several tensors, keywords; integers stay."""
        two = tiny.NETWORKS["two_inputs"]
        image, vector = fgsm(cp.Network(two.build()), two.inputs(2), epsilon=0.1)
        assert torch.allclose((image - two.inputs(2)[0]).abs().max(), torch.tensor(0.1).double())
        assert torch.allclose((vector - two.inputs(2)[1]).abs().max(), torch.tensor(0.1).double())
        named = tiny.NETWORKS["dict_output"]
        assert set(fgsm(cp.Network(named.build()), named.inputs(2), epsilon=0.1)) == {"values"}
        tokens = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
        with pytest.raises(InputError, match="no tensor of the input can be moved"):
            fgsm(cp.Network(tokens), torch.randint(9, (2, 3)), epsilon=0.1)

    @pytest.mark.parametrize("attack", [fgsm, pgd])
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"epsilon": torch.ones(7)}, r"epsilon has shape \[7\]; give one number, or .* the input's \[3, 3, 8, 8\]"),
            ({"epsilon": torch.ones(1, 1, 1, 8, 8)}, "epsilon has shape"),
            ({"low": "a"}, "low is 'a'; it is a finite number"),
            ({"high": torch.ones(5)}, r"high has shape \[5\]"),
            ({"low": 1.0, "high": 0.0}, "low is above high, or one of them NaN: 1.0 and 0.0"),
            ({"low": torch.tensor([0.0, 2.0, 0.0]).view(3, 1, 1), "high": 1}, "low is above high"),
            ({"high": torch.tensor(math.nan)}, "NaN"),
        ],
    )
    def test_bad_sizes_and_bounds(
        self, model: nn.Module, x: Tensor, attack: Any, options: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(OptionError, match=words):
            attack(cp.Network(model), x, **{"epsilon": 0.1, **options})

    def test_bounds_may_be_infinite(self, model: nn.Module, x: Tensor) -> None:
        net = cp.Network(model)
        free = fgsm(net, x, epsilon=0.1)
        assert torch.equal(fgsm(net, x, epsilon=0.1, low=-math.inf, high=torch.tensor(math.inf)), free)

    def test_bad_options(self, model: nn.Module, x: Tensor) -> None:
        net = cp.Network(model)
        for epsilon in (-1, math.nan, "a", torch.tensor([math.inf])):
            with pytest.raises(OptionError, match="epsilon is"):
                fgsm(net, x, epsilon=epsilon)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="not both"):
            fgsm(net, x, 1, toward=2, epsilon=0.1)
        with pytest.raises(TargetError, match="out of range"):
            fgsm(net, x, 7, epsilon=0.1)


class TestPgd:
    @pytest.mark.parametrize("norm", ["linf", "l2"])
    @pytest.mark.parametrize("random_start", [True, False])
    def test_stays_in_the_ball_and_raises_the_loss(
        self, model: nn.Module, x: Tensor, norm: str, random_start: bool
    ) -> None:
        labels, epsilon = model(x).argmax(1), 0.3
        found = pgd(cp.Network(model), x, epsilon=epsilon, norm=norm, random_start=random_start, low=-1, high=1)
        lengths = (found - x).flatten(1).norm(dim=1, p=math.inf if norm == "linf" else 2)
        assert (lengths <= epsilon + 1e-9).all()
        assert (lengths > 0.5 * epsilon).all()
        assert (loss(model, found, labels) > loss(model, x, labels)).all()
        towards = pgd(cp.Network(model), x, epsilon=epsilon, norm=norm, toward=2)
        assert (loss(model, towards, torch.tensor([2] * 3)) < loss(model, x, torch.tensor([2] * 3))).all()

    def test_one_step_from_the_input_is_fgsm(self, model: nn.Module, x: Tensor) -> None:
        net = cp.Network(model)
        one = pgd(net, x, epsilon=0.1, steps=1, random_start=False)
        assert torch.allclose(one, fgsm(net, x, epsilon=0.1))

    def test_steps_by_hand(self, model: nn.Module, x: Tensor) -> None:
        """Three l2 steps, projected."""
        labels, now = torch.tensor([1, 2, 3]), x
        for _ in range(3):
            g = slope(model, now, labels)
            now = now + 0.2 * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            d = now - x
            now = x + d * (0.3 / d.flatten(1).norm(dim=1)).clamp(max=1).view(-1, 1, 1, 1)
        found = pgd(cp.Network(model), x, labels, epsilon=0.3, step=0.2, steps=3, norm="l2", random_start=False)
        assert torch.allclose(found, now)

    @pytest.mark.parametrize("norm", ["linf", "l2"])
    def test_batch_equals_loop_by_seed(self, model: nn.Module, x: Tensor, norm: str) -> None:
        net, state = cp.Network(model), torch.random.get_rng_state()
        whole = pgd(net, x, epsilon=0.2, norm=norm, steps=3)
        parts = [pgd(net, sample_of(x, i), epsilon=0.2, norm=norm, steps=3) for i in range(3)]
        assert torch.allclose(whole, torch.cat(parts))
        assert not torch.equal(whole, pgd(net, x, epsilon=0.2, norm=norm, steps=3, seed=1))
        assert torch.equal(state, torch.random.get_rng_state())

    def test_bad_options(self, model: nn.Module, x: Tensor) -> None:
        net = cp.Network(model)
        for options, words in (
            ({"steps": 0}, "steps is 0"), ({"step": -1.0}, "step is"), ({"step": torch.ones(7)}, "step has shape"),
            ({"norm": "l1"}, "norm"), ({"seed": "a"}, "seed is 'a'"), ({"seed": -1}, "seed is -1"),
        ):  # fmt: skip
            with pytest.raises(OptionError, match=words):
                pgd(net, x, epsilon=0.1, **options)  # type: ignore[arg-type]


def members(pathway: cp.Pathway, i: int) -> set[int]:
    return {n for n, k in enumerate(pathway.keep.flatten()[i].tolist()) if k}


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


class TestShift:
    @pytest.mark.parametrize("kind", ["sketch", "counts"])
    def test_equals_sets(self, model: nn.Module, x: Tensor, kind: str) -> None:
        net = cp.Network(model)
        others = tiny.numbers(12, *tiny.IMAGE, seed=9)
        labels = model(others).argmax(1)
        pathways = cp.find_pathway(net, others, "taylor", 0.8)
        reference = sketch([(pathways, labels)]) if kind == "sketch" else class_pathways([(pathways, labels)])
        moved = pgd(net, x, epsilon=1.0, steps=4)
        found = adversarial_shift(net, x, moved, reference, "taylor", 0.8)
        before, after = model(x).argmax(1), model(moved).argmax(1)
        assert torch.equal(found.original, before)
        assert torch.equal(found.moved_to, after)
        assert found.moved.any()
        own = [cp.find_pathway(net, one, "taylor", 0.8) for one in (x, moved)]
        for i in range(3):
            assert float(found.own[i]) == pytest.approx(jaccard(members(own[0], i), members(own[1], i)))
            for p in range(2):
                for c, label in enumerate((before[i], after[i])):
                    mine = members(own[p], i)
                    theirs = [members(pathways, n) for n in range(12) if labels[n] == label]
                    each = [jaccard(mine, t) if kind == "sketch" else len(mine & t) / len(mine) for t in theirs]
                    expected = sum(each) / len(each) if each else math.nan
                    assert float(found.likeness[i, p, c]) == pytest.approx(expected, nan_ok=True)
                    if theirs and kind == "counts":
                        chance = sum(len(t) for t in theirs) / len(theirs) / pathways.space.neurons
                        assert float(found.chance[i, p, c]) == pytest.approx(chance)
        assert found.measure == ("jaccard" if kind == "sketch" else "share")
        assert "images moved to another class" in str(found)

    def test_a_class_is_looked_at_once(self, model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
        net, seen = cp.Network(model), list[int]()
        reference = class_pathways([(cp.find_pathway(net, x, "taylor", 0.8), model(x).argmax(1))])
        frequency = ClassPathways.frequency
        monkeypatch.setattr(ClassPathways, "frequency", lambda own, c: (seen.append(c), frequency(own, c))[1])
        adversarial_shift(net, torch.cat([x, x]), torch.cat([x, x]), reference, "taylor", 0.8)
        assert sorted(seen) == sorted(set(model(x).argmax(1).tolist()))

    def test_class_without_reference_is_nan(self, model: nn.Module, x: Tensor) -> None:
        net = cp.Network(model)
        pathways = cp.find_pathway(net, x, "taylor", 0.8)
        for reference in (sketch([(pathways, 99)]), class_pathways([(pathways, 99)])):
            found = adversarial_shift(net, x, x, reference, "taylor", 0.8)
            assert found.likeness.isnan().all()
            assert found.own.tolist() == [1, 1, 1]
            assert not found.moved.any()

    def test_bad_input(self, model: nn.Module, x: Tensor) -> None:
        net = cp.Network(model)
        with pytest.raises(InputError, match="3 inputs and 2"):
            adversarial_shift(net, x, x[:2], sketch(cp.find_pathway(net, x)))
        other = cp.Pathway(tiny.values_of(torch.ones(1, 4, dtype=torch.bool)))
        with pytest.raises(OptionError, match="reference is of type int, not Sketch"):
            adversarial_shift(net, x, x, 3)  # type: ignore[arg-type]
        with pytest.raises(MismatchError, match="reference belongs to another"):
            adversarial_shift(net, x, x, sketch(other))
