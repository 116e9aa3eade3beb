"""What the checks find where the radius is right, and where it is not; gradients under noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.reference.pieces import pooled_case
from tests.tiny import NETWORKS, sample
from torch import Tensor, nn

import critpath as cp
from critpath.analysis.linearity import check_linear, gradient_stability, linear_radius, radius_over_sparsity
from critpath.errors import InputError, MismatchError, OptionError


@pytest.mark.parametrize("name", ["conv", "residual", "mlp", "two_inputs", "dict_output"])
@pytest.mark.parametrize("sparsity", [None, 0.8])
def test_the_radius_holds(name: str, sparsity: float | None) -> None:
    net, x = cp.Network(NETWORKS[name].build()), NETWORKS[name].inputs(3)
    path = None if sparsity is None else cp.find_pathway(net, x, "taylor", sparsity)
    check = check_linear(net, x, linear_radius(net, x, pathway=path), path, directions=3)
    assert bool(check.holds.all()), str(check)
    assert check.others_flip.tolist() == [0, 0, 0]
    assert float(check.linear_error.max()) < 1e-12
    assert check.points == 5
    assert "holds;" in str(check)


@pytest.mark.parametrize("kind", ["relu", "leaky", "hardtanh"])
def test_the_radius_holds_where_pooling_decides(kind: str) -> None:
    kinds = set()
    for seed in range(4):
        model, x = pooled_case(kind, seed)
        net = cp.Network(model)
        found = linear_radius(net, x, scale=2.0)
        kinds |= {decider.kind for decider in found.deciders if decider is not None}
        check = check_linear(net, x, found, scale=2.0, directions=2)
        assert bool(check.holds.all()), str(check)
    assert kinds == {"site", "pool"}


def test_ties_are_left_out_where_the_radius_leaves_them_out() -> None:
    """Pixels of one value, and so pooling windows of one value, but for a corner."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3))
    with torch.no_grad():
        model[0].bias.add_(1)
    net, x = cp.Network(model.double().eval()), torch.ones(1, 1, 8, 8, dtype=torch.float64)
    x[..., 0, 0] = 3
    assert float(linear_radius(net, x).radius) == 0
    found = linear_radius(net, x, ties=False)
    assert float(found.radius) > 0
    assert int(found.ties) > 0
    assert int(check_linear(net, x, found, directions=2).flips_inside.max()) == 0
    lone = linear_radius(net, x, pools=False)
    assert int(check_linear(net, x, lone, directions=2).flips_inside.max()) == 0


def test_a_radius_that_is_too_large_is_found_out() -> None:
    net, x = cp.Network(NETWORKS["mlp"].build()), NETWORKS["mlp"].inputs(3)
    found = linear_radius(net, x)
    check = check_linear(net, x, replace(found, radius=50 * found.radius))
    assert not bool(check.holds.any())
    assert bool((check.flips_inside > 0).all())
    assert float(check.linear_error.max()) > 1e-3
    assert "HOLDS NOT" in str(check)
    less = check_linear(net, x, replace(found, radius=0.9 * found.radius))
    assert not bool(less.decider_flips.any())
    assert less.flips_inside.tolist() == [0, 0, 0]


def test_a_ball_below_the_precision_is_told() -> None:
    model, x = pooled_case("relu", 0)
    net, single = cp.Network(model.float()), x.float()
    found = linear_radius(net, single)
    tiny = replace(found, radius=found.radius * 0 + 1e-9)
    check = check_linear(net, single, tiny)
    assert not bool(check.resolved.any())
    assert not bool(check.holds.any())
    assert "precision" in str(check)


def test_checks_refuse_what_does_not_belong() -> None:
    net, x = cp.Network(NETWORKS["mlp"].build()), NETWORKS["mlp"].inputs(3)
    path = cp.find_pathway(net, x, "taylor", 0.5)
    with pytest.raises(MismatchError, match="the network"):
        check_linear(net, x, linear_radius(net, x), path)
    with pytest.raises(MismatchError, match="frozen"):
        check_linear(net, x, linear_radius(net, x, pathway=path))
    with pytest.raises(MismatchError, match="3 samples"):
        check_linear(net, sample(x, 0), linear_radius(net, x))
    with pytest.raises(OptionError, match="radius is of type float, not LinearRadius: linear_radius"):
        check_linear(net, x, 0.1)  # type: ignore[arg-type]
    found = linear_radius(net, x)
    for options in ({"directions": -1}, {"seed": "a"}, {"tolerance": "a"}):
        with pytest.raises(OptionError, match=f"^{next(iter(options))} is"):
            check_linear(net, x, found, **options)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------- curves
def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / a.norm() / b.norm()


def test_stability_is_the_mean_cosine() -> None:
    """Against the mlp written out, the frozen neurons put in by hand."""
    model, x = NETWORKS["mlp"].build(), NETWORKS["mlp"].inputs(2)
    net, seed, samples = cp.Network(model), 3, 2
    found = gradient_stability(net, x, [0.0, 0.5], [0.1, 1.0], samples=samples, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(samples)]
    path = cp.find_pathway(net, x, "taylor", 0.5)
    for i in range(2):
        target = int(model(x)[i].argmax())
        head, (first, second) = model.last.weight[target], (t[i] for t in path.keep.tensors)
        a = model.first(x[i]).relu().detach()
        b = model.second(a).relu().detach()

        def gradient(y: Tensor, frozen: bool, parts: tuple[Tensor, ...] = (first, second, a, b, head)) -> Tensor:
            y = y.clone().requires_grad_()
            h = model.first(y).relu()
            h = torch.where(parts[0], h, parts[2]) if frozen else h
            g = model.second(h).relu()
            g = torch.where(parts[1], g, parts[3]) if frozen else g
            return torch.autograd.grad(parts[4] @ g, y)[0]

        for number, level in enumerate([0.1, 1.0]):
            for frozen, got in (False, found.original[i]), (True, found.pathway[i, 1]):
                here = gradient(x[i], frozen)
                wanted = sum(cosine(here, gradient(x[i] + level * n, frozen)) for n in noise) / samples
                assert float(got[number]) == pytest.approx(float(wanted), abs=1e-12)
    assert torch.allclose(found.original, found.pathway[:, 0], atol=0.3)


def test_stability_of_a_batch_is_that_of_its_samples() -> None:
    net, x = cp.Network(NETWORKS["two_inputs"].build()), NETWORKS["two_inputs"].inputs(3)
    together = gradient_stability(net, x, [0.5], [0.01, 0.5], samples=2)
    alone = gradient_stability(net, sample(x, 1), [0.5], [0.01, 0.5], samples=2)
    assert together.pathway.shape == (3, 1, 2)
    assert torch.allclose(together.original[1], alone.original[0])
    assert torch.allclose(together.pathway[1], alone.pathway[0])


def test_radius_over_sparsity_is_the_radius_of_each() -> None:
    net, x = cp.Network(NETWORKS["mlp"].build()), NETWORKS["mlp"].inputs(3)
    found = radius_over_sparsity(net, x, [0.3, 0.8], "gradient_activation")
    assert torch.equal(found.original.radius, linear_radius(net, x).radius)
    for number, sparsity in enumerate([0.3, 0.8]):
        path = cp.find_pathway(net, x, "gradient_activation", sparsity)
        assert torch.equal(found.radius[:, number], linear_radius(net, x, pathway=path).radius)
    assert "sparsity 0.8" in str(found)
    active = radius_over_sparsity(net, x, [0.5], "random", finder={"seed": 4})
    path = cp.find_pathway(net, x, "random", 0.5, seed=4)
    assert torch.equal(active.radius[:, 0], linear_radius(net, x, pathway=path).radius)


@pytest.mark.parametrize("options", [{"connected": True}, {"connected": False}, {"scope": "site"}])
def test_curves_of_pathways_found_with_options(options: dict[str, Any]) -> None:
    net, x = cp.Network(NETWORKS["conv"].build()), NETWORKS["conv"].inputs(2)
    path = cp.find_pathway(net, x, "taylor", 0.8, **options)
    found = radius_over_sparsity(net, x, [0.8], finder=options)
    assert torch.equal(found.radius[:, 0], linear_radius(net, x, pathway=path).radius)
    assert gradient_stability(net, x, [0.8], [0.1], samples=1, **options).pathway.shape == (2, 1, 1)


def test_curves_refuse_bad_options() -> None:
    net, x = cp.Network(NETWORKS["mlp"].build()), NETWORKS["mlp"].inputs(2)
    for options, words in (
        ({"sparsities": []}, "sparsities is .*not empty"), ({"sparsities": 0.9}, "sparsities is 0.9"),
        ({"sparsities": [0.9, 2]}, "sparsity is 2"), ({"levels": 5}, "levels is 5"), ({"levels": []}, "levels is"),
        ({"levels": [-1.0]}, "a level of noise is -1.0"), ({"levels": ["a"]}, "a level of noise is 'a'"),
        ({"samples": 0}, "samples is 0"), ({"samples": 1.5}, "samples is 1.5"), ({"seed": "a"}, "seed is 'a'"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=words):
            gradient_stability(net, x, **options)  # type: ignore[arg-type]
    for sparsities, method in ([1.5], "taylor"), (0.9, "taylor"), ([0.5], "nothing"):
        with pytest.raises(OptionError):
            radius_over_sparsity(net, x, sparsities, method)  # type: ignore[arg-type]
    tokens = torch.nn.Sequential(torch.nn.Embedding(5, 4), torch.nn.Flatten(), torch.nn.Linear(12, 6), torch.nn.ReLU())
    with pytest.raises(InputError, match="tokens"):
        gradient_stability(cp.Network(tokens.eval()), torch.tensor([[1, 2, 3]]), [0.5])
