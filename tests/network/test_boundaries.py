"""Boundaries of linear pieces as a run sees them, and derivatives of rewritten networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from tests.reference.twins import KINDS, case_of, kind_case
from tests.tiny import NETWORKS, numbers, seeded
from torch import Tensor, nn

import critpath as cp
from critpath.errors import InputError, UnsupportedModelError
from critpath.response import keeping

KINKS = {"ReLU6": (0, 6), "ReLU6 in place": (0, 6), "clamp(0, 0.3)": (0, 0.3), "hardsigmoid": (-3, 3)}
KINKS |= {"hardtanh": (-1, 1), "hardtanh in place": (-1, 1)}
SMOOTH = {"hardswish", "GELU", "GELU tanh", "SiLU", "SiLU in place", "ELU", "Mish", "sigmoid", "sigmoid in place"}
SMOOTH |= {"tanh", "softplus"}
PIECEWISE = ("conv", "residual", "mlp", "two_inputs", "dict_output")


# ------------------------------------------------------------------------------------- slopes under a rule
@pytest.mark.parametrize("name", [*PIECEWISE, "transformer"])
def test_slopes_of_a_rewritten_network(name: str) -> None:
    """Those of the frozen network, against differences; zero where the pathway is not."""
    net, x = cp.Network(NETWORKS[name].build()), NETWORKS[name].inputs(3)
    path = cp.find_pathway(net, x, "taylor", 0.5)
    rule = keeping(path, net.run(x, graph=False).values())
    floats = list(x if isinstance(x, tuple) else x.values() if isinstance(x, dict) else [x])
    ways = [numbers(*t.shape, seed=i) for i, t in enumerate(floats)]

    def at(h: float) -> tuple[Tensor, ...]:
        moved = [t + h * w for t, w in zip(floats, ways, strict=True)]
        y = (
            tuple(moved)
            if isinstance(x, tuple)
            else dict(zip(x, moved, strict=True))
            if isinstance(x, dict)
            else moved[0]
        )
        return net.run(y, rule, graph=False).values().tensors

    fresh = cp.Network(net.model)  # which knows no layouts yet
    found = fresh.slopes(x, ways, path.space, rule=rule)
    for slope, up, down, keep in zip(found, at(1e-6), at(-1e-6), path.keep.tensors, strict=True):
        assert torch.allclose(slope, (up - down) / 2e-6, atol=1e-7)
        assert not bool(slope[~keep].any())


# --------------------------------------------------------------------------------------------- kinks, ties
@pytest.mark.parametrize("name", sorted(set(KINDS) - SMOOTH))
def test_margins_are_those_of_the_pre_activations(name: str) -> None:
    case = kind_case(name)
    net = cp.Network(case.model)
    items = net.boundaries(case.x).items
    z = case.model.conv(case.x)
    a = KINDS[name][1](z)
    hidden = case.model.hidden(F.max_pool2d(a, 2).flatten(1))
    kinks = torch.tensor(KINKS.get(name, (0,)), dtype=torch.float64)
    for item, pre in zip((items[0], items[2]), (z, hidden), strict=True):
        assert item.kinks == tuple(kinks.tolist())
        away = (pre.flatten(1)[..., None] - kinks).abs().amin(-1)
        assert torch.allclose(item.margins().abs(), away.detach())
    assert [item.pool for item in items] == [False, True, False]


POOLS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "2d": (lambda a: F.max_pool2d(a, 3, stride=2, padding=1), (2, 5, 6)),
    "2d ceil": (lambda a: F.max_pool2d(a, (2, 3), stride=(2, 2), ceil_mode=True), (2, 5, 6)),
    "2d dilated": (lambda a: F.max_pool2d(a, 2, stride=2, dilation=2), (2, 5, 5)),
    "2d module": (nn.MaxPool2d(2), (2, 4, 4)),
    "2d with indices": (lambda a: F.max_pool2d(a, 2, return_indices=True)[0], (2, 4, 4)),
    "1d": (lambda a: F.max_pool1d(a, 3, 2), (2, 8)),
    "3d": (lambda a: F.max_pool3d(a, 2), (2, 4, 2, 4)),
    "adaptive": (lambda a: F.adaptive_max_pool2d(a, (2, 3)), (2, 5, 7)),
    "adaptive 1d": (nn.AdaptiveMaxPool1d(1), (2, 7)),
    "amax": (lambda a: a.amax(dim=(2, 3)), (2, 3, 4)),
    "amax kept": (lambda a: torch.amax(a, -1, keepdim=True), (2, 3, 4)),
    "max": (lambda a: a.max(dim=1).values, (3, 4)),
}


class OnPool(nn.Module):
    def __init__(self, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x.relu()).flatten(1) * 2.0


@pytest.mark.parametrize("name", POOLS)
def test_ties_of_every_pooling(name: str) -> None:
    """Those that compete for an output are the elements it can be made to depend on, one by one."""
    pool, shape = POOLS[name]
    x = numbers(2, *shape).abs() + 0.1
    item = cp.Network(OnPool(pool).eval()).boundaries(x).items[1]
    margins = item.margins().view(2, *item.shape)
    for i in range(2):
        outputs = pool(x[i : i + 1]).flatten()
        assert item.pool
        assert len(outputs) == item.shape[0]
        for window, top in enumerate(outputs):
            rivals = []
            for j in range(x[i].numel()):
                raised = x[i : i + 1].clone()
                raised.view(-1)[j] = 100
                if float(pool(raised).flatten()[window]) == 100:
                    rivals.append(float(top - x[i].reshape(-1)[j]))
            found = sorted(margins[i, window].tolist(), reverse=True)
            assert found[: len(rivals)] == pytest.approx(sorted(rivals, reverse=True))
            assert not any(found[len(rivals) :])


@pytest.mark.parametrize("name", PIECEWISE)
@pytest.mark.parametrize("frozen", [False, True])
def test_forward_and_backward_derivatives_agree(name: str, frozen: bool) -> None:
    net, x = cp.Network(NETWORKS[name].build()), NETWORKS[name].inputs(2)
    path = cp.find_pathway(net, x, "taylor", 0.5)
    found = net.boundaries(x, keeping(path, net.run(x, graph=False).values()) if frozen else None)
    ways = [numbers(3, *leaf.shape, seed=i) for i, leaf in enumerate(found.inputs)]
    squares = torch.cat(found.squares(ways), dim=1)
    everyone = torch.arange(2)
    for number in range(0, found.size, 41):
        gradients = found.gradients(torch.full((2,), number), everyone)
        along = sum((w * g).flatten(2).sum(2) for w, g in zip(ways, gradients, strict=True))
        assert isinstance(along, Tensor)
        assert torch.allclose(squares[:, number], along.square().sum(0))
        item, margin = found.locate(number)
        for one, all_ in zip(gradients, found.every_gradient(item, [margin]), strict=True):
            assert torch.allclose(one, all_[0])


def test_left_out_sites_still_bend() -> None:
    net = cp.Network(NETWORKS["conv"].build(), only=["8#0"])
    items = net.boundaries(NETWORKS["conv"].inputs(2)).items
    assert [(item.name, item.site is not None) for item in items] == [
        ("1#0", False), ("2#0", False), ("4#0", False), ("8#0", True),
    ]  # fmt: skip


def test_the_model_is_as_before() -> None:
    model, x = NETWORKS["residual"].build(), NETWORKS["residual"].inputs(2)
    before, kept = model(x).detach(), x.clone()
    net = cp.Network(model)
    found = net.boundaries(x)
    found.squares([numbers(2, *x.shape)])
    assert torch.equal(model(x), before)
    assert torch.equal(x, kept)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


# ------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_smooth_activations_are_named(name: str) -> None:
    case = kind_case(name)
    with pytest.raises(UnsupportedModelError, match=name.split()[0].lower()):
        cp.Network(case.model).boundaries(case.x)


BENT: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "layer norm": (lambda h: F.layer_norm(h, h.shape[1:]), "layer_norm"),
    "softmax": (lambda h: h.softmax(1), "softmax"),
    "where": (lambda h: torch.where(torch.ones_like(h) > 0, h, -h), "torch.where"),
    "maximum": (lambda h: torch.maximum(h, h.flip(1)), "torch.maximum"),
    "max of two": (lambda h: torch.max(h, h.flip(1)), "max of activations"),
    "abs": (lambda h: h.abs(), "abs"),
    "gate": (lambda h: h * h.mean(1, keepdim=True), "products of activations"),
    "square": (lambda h: h**2, "pow"),
    "clamp": (lambda h: h.clamp(min=0.1), "clamp"),
    "comparison": (lambda h: h * (h > 0.2), "gt of activations"),
    "sort": (lambda h: h.sort(1).values, "sort"),
    "division": (lambda h: h / (1 + h.mean(1, keepdim=True)), "div"),
    "quotient": (lambda h: 1 / (1 + h), "reciprocal"),
    "normalisation": (lambda h: F.normalize(h), "norm"),
    "exp": (torch.exp, "exp"),
}


class Bent(nn.Module):
    def __init__(self, bend: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two, self.bend = nn.Linear(4, 6), nn.Linear(6, 3), bend

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.two(self.bend(F.relu(self.one(x)))))


@pytest.mark.parametrize("name", BENT)
def test_what_bends_unseen_is_named(name: str) -> None:
    bend, words = BENT[name]
    with pytest.raises(UnsupportedModelError, match=words):
        cp.Network(seeded(lambda: Bent(bend))).boundaries(numbers(2, 4))


def test_what_bends_after_all_boundaries_does_no_harm() -> None:
    model = nn.Sequential(seeded(lambda: Bent(lambda h: 2 * h)), nn.Softmax(1)).eval()
    assert cp.Network(model).boundaries(numbers(2, 4)).size == 9


@pytest.mark.parametrize("name", ["attention", "encoder"])
def test_attention_is_refused(name: str) -> None:
    case = case_of(name)
    with pytest.raises(UnsupportedModelError, match="MultiheadAttention"):
        cp.Network(case.model).boundaries(case.x)


@pytest.mark.parametrize("name", ["reused", "overwritten", "dense", "gated"])
def test_ways_of_writing_a_network(name: str) -> None:
    """In place, reused, overwritten: margins are as large as the active activations, whatever came after."""
    case = case_of(name)
    if name == "overwritten":
        case.model.two.weight.data[3:] = 0  # the tanh at half of it is smooth, but leads to no boundary
    net = cp.Network(case.model)
    found, values = net.boundaries(case.x), net.run(case.x, graph=False).values()
    for item in found.items:
        if item.site is not None:
            assert torch.allclose(item.margins().clamp(min=0), values[item.name].flatten(1))


def test_tokens_are_refused() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    with pytest.raises(InputError, match="floating-point"):
        cp.Network(model).boundaries(torch.tensor([[1, 2, 3]]))
