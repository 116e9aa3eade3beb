"""Conductance onto the input through chosen neurons: equation 2 of the conductance paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.reference import naive
from tests.reference.twins import Case, case_of
from tests.tiny import NETWORKS, numbers, seeded
from torch import Tensor, nn

import critpath as cp

POINTS = 6


def moved(x: Any, baseline: float, alpha: float) -> Any:
    """The input with every floating-point tensor at α of its way from a number."""

    def move(t: Tensor) -> Tensor:
        return baseline + alpha * (t - baseline) if t.is_floating_point() else t

    if isinstance(x, Tensor):
        return move(x)
    return {k: move(v) for k, v in x.items()} if isinstance(x, dict) else tuple(move(v) for v in x)


def equation_2(case: Case, site: int, neurons: Sequence[tuple[int, ...]], baseline: float = 0.0) -> list[Tensor]:
    """(x - x') Σ_points w Σ_y ∂Φ/∂y ∂y/∂x, a point and a neuron at a time."""
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    floats = [t for t in naive.tensors(case.x) if t.is_floating_point()]
    total = [torch.zeros_like(t) for t in floats]
    targets = naive.predicted(case)[:, None]
    for node, weight in zip(nodes, weights, strict=True):
        x = naive.with_grad(moved(case.x, baseline, float(node + 1) / 2))
        leaves = [t for t in naive.tensors(x) if t.is_floating_point()]
        sites: list[Tensor] = []

        def rule(number: int, a: Tensor, sites: list[Tensor] = sites) -> Tensor:
            sites.append(a)
            return a

        response = case.twin(case.model, x, rule).gather(1, targets).sum()
        gradient = torch.autograd.grad(response, sites[site], retain_graph=True)[0]
        for neuron in neurons:
            y = sites[site][(slice(None), *neuron)]
            slopes = torch.autograd.grad(
                (gradient[(slice(None), *neuron)] * y).sum(), leaves, retain_graph=True, allow_unused=True
            )
            for i, slope in enumerate(slopes):
                if slope is not None:
                    total[i] += float(weight) / 2 * (floats[i] - baseline) * slope
    return total


def floats_of(maps: Any) -> list[Tensor]:
    return naive.tensors(maps)


CASES: dict[str, tuple[int, cp.Channel | cp.Neuron, list[tuple[int, ...]]]] = {
    "nn.ReLU": (0, cp.Neuron("first#0", (1, 2, 3)), [(1, 2, 3)]),
    "tanh": (1, cp.Neuron("second#0", 4), [(4,)]),
    "reused": (2, cp.Channel("relu#2", 1), [(1, i, j) for i in range(5) for j in range(5)]),
    "two inputs": (1, cp.Neuron("#1", 2), [(2,)]),
    "keywords": (0, cp.Neuron("#0", 0), [(0,)]),
    "encoder": (0, cp.Channel("layer#0", 3), [(i, 3) for i in range(5)]),
    "windows": (0, cp.Channel("#0", 2), [(i, j, 2) for i in range(5) for j in range(2)]),
}


@pytest.mark.parametrize("baseline", [0.0, 0.3])
@pytest.mark.parametrize("name", CASES)
def test_it_equals_equation_2_neuron_by_neuron(name: str, baseline: float) -> None:
    case = case_of(name)
    site, unit, neurons = CASES[name]
    maps = cp.conductance_maps(cp.Network(case.model), case.x, {"unit": [unit]}, baseline=baseline, points=POINTS)
    expected = equation_2(case, site, neurons, baseline)
    for got, want in zip(floats_of(maps["unit"]), expected, strict=True):
        assert torch.allclose(got, want, rtol=1e-9, atol=1e-12)
    alone = cp.attribute(cp.Network(case.model), case.x, "conductance", through=unit, baseline=baseline, points=POINTS)
    assert all(torch.equal(a, b) for a, b in zip(floats_of(alone), floats_of(maps["unit"]), strict=True))


def smooth_net() -> cp.Network:
    """Where few Gauss points are exact."""
    return cp.Network(
        seeded(
            lambda: nn.Sequential(
                nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 5), nn.GELU(), nn.Linear(5, 3)
            )
        )
    )


X = numbers(3, 2, 4, 4)


def test_a_units_map_adds_up_to_its_conductance() -> None:
    net = smooth_net()
    units = {"channel": cp.Channel("1#0", 2), "neuron": cp.Neuron("4#0", 3), "both": ["1#0", cp.Neuron("4#0", 3)]}
    maps = cp.conductance_maps(net, X, units, points=32)
    scores = cp.score(net, X, "conductance", by=units, points=32, rule="gauss")
    assert len(maps) == 3
    assert maps.maps.shape == (3, *X.shape)
    for name in units:
        assert torch.allclose(maps[name].flatten(1).sum(dim=1), scores[name], atol=1e-9)


@pytest.mark.parametrize("site", ["1#0", "4#0"])
def test_maps_of_all_channels_of_a_cut_add_up_to_the_whole(site: str) -> None:
    net = smooth_net()
    channels = [cp.Channel(site, i) for i in range(net.sites(X)[site].channels)]
    maps = cp.conductance_maps(net, X, channels, points=16)
    whole = cp.attribute(net, X, "conductance", points=16)
    assert maps.names == tuple(f"{site}[{i}]" for i in range(len(channels)))
    assert torch.allclose(maps.maps.sum(dim=0), whole, atol=1e-12)
    response = net.model(X).max(dim=1).values - net.model(torch.zeros_like(X))[range(3), net.model(X).argmax(dim=1)]
    assert torch.allclose(whole.flatten(1).sum(dim=1), response, atol=1e-6)


def test_more_units_than_go_back_at_once() -> None:
    """Forty units are made in parts; each is as it is alone."""
    net = cp.Network(NETWORKS["conv"].build())
    x = NETWORKS["conv"].inputs(2)
    units = [cp.Neuron("1#0", (0, i // 8, i % 8)) for i in range(40)]
    maps = cp.conductance_maps(net, x, units, points=4)
    for i in (0, 17, 39):
        alone = cp.conductance_maps(net, x, [units[i]], points=4)
        assert torch.allclose(maps.maps[i], alone.maps[0], rtol=1e-9, atol=1e-14)


def test_a_batch_equals_a_loop() -> None:
    net = smooth_net()
    whole = cp.conductance_maps(net, X, ["1#0"], points=5)["1#0"]
    for i in range(3):
        assert torch.allclose(cp.conductance_maps(net, X[i : i + 1], ["1#0"], points=5)["1#0"][0], whole[i], atol=1e-14)


def test_several_baselines_are_averaged() -> None:
    net = smooth_net()
    baselines: list[Any] = [None, "mean", 0.5, torch.full((2, 1, 1), -0.2)]
    several = cp.conductance_maps(net, X, ["1#0"], baseline=baselines, points=5)["1#0"]
    each = [cp.conductance_maps(net, X, ["1#0"], baseline=one, points=5)["1#0"] for one in baselines]
    assert torch.allclose(several, torch.stack(each).mean(dim=0), atol=1e-14)


def test_a_function_of_the_whole_batch_equals_its_logit() -> None:
    net, labels = smooth_net(), torch.tensor([2, 0, 1])
    custom = cp.conductance_maps(net, X, ["4#0"], lambda out: out[torch.arange(len(out)), labels], points=5)
    assert torch.allclose(custom.maps, cp.conductance_maps(net, X, ["4#0"], labels, points=5).maps, atol=1e-14)


def test_another_target_has_another_map() -> None:
    net = smooth_net()
    first, second = (cp.conductance_maps(net, X, ["1#0"], target, points=5).maps for target in (0, 1))
    assert not torch.allclose(first, second)


class Doubled(torch.autograd.Function):
    """Twice its input; refuses to be vectorised."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * torch.from_numpy(gradient.numpy())


class Before(nn.Module):
    """Something done to the input, then a small network."""

    def __init__(self, first: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.one, self.two = first, nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(self.first(x))))


def test_what_cannot_be_vectorised_is_done_one_by_one() -> None:
    x, units = numbers(2, 4), [cp.Neuron("#0", i) for i in range(5)]
    custom, plain = (
        cp.conductance_maps(cp.Network(seeded(lambda first=first: Before(first))), x, units, points=5)
        for first in (Doubled.apply, lambda t: 2 * t)
    )
    assert plain.maps.any()
    assert torch.allclose(custom.maps, plain.maps, atol=1e-14)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_no_grad_does_not_matter(mode: Callable[[], Any]) -> None:
    net = smooth_net()
    expected = cp.conductance_maps(net, X, ["1#0"], points=4).maps
    with mode():
        assert torch.equal(cp.conductance_maps(net, X, ["1#0"], points=4).maps, expected)


def test_the_result_has_the_inputs_structure() -> None:
    case = case_of("keywords")
    maps = cp.conductance_maps(cp.Network(case.model), case.x, ["#0", "#1"], points=4)
    assert set(maps.maps) == {"left", "right", "mask"}
    assert maps.maps["mask"] is None
    assert maps.maps["left"].shape == (2, 3, 3)
    assert maps["#0"]["left"].any()
    assert not maps["#0"]["right"].any()


def test_what_is_unknown_is_refused() -> None:
    net = smooth_net()
    with pytest.raises(cp.CritpathError, match="no site is called 'conv'"):
        cp.conductance_maps(net, X, ["conv"])
    with pytest.raises(cp.CritpathError, match="channel 9 is not in site 1#0"):
        cp.conductance_maps(net, X, [cp.Channel("1#0", 9)])
    maps = cp.conductance_maps(net, X, ["1#0"], points=2)
    with pytest.raises(cp.CritpathError, match="no unit is called '4#0'; there are 1#0"):
        maps["4#0"]


@pytest.mark.parametrize("points", [0, -1, 2.5, None])
def test_too_few_points_are_refused(points: Any) -> None:
    with pytest.raises(cp.CritpathError, match="points is"):
        cp.conductance_maps(smooth_net(), X, ["1#0"], points=points)


def test_integers_that_are_looked_up_nowhere_have_no_map() -> None:
    model = nn.Sequential(nn.EmbeddingBag(7, 4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    net, x = cp.Network(model), torch.arange(6).view(2, 3)
    assert cp.score(net, x)["2#0"].any()
    with pytest.raises(cp.CritpathError, match=r"integers only.*EmbeddingBag adds tokens up") as caught:
        cp.conductance_maps(net, x, ["2#0"])
    assert isinstance(caught.value, ValueError)
    with pytest.raises(cp.CritpathError, match="integers only"):
        cp.attribute(net, x, "conductance")
