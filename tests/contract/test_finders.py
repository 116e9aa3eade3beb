"""What every registered finder promises. A new method is tested here by being registered."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np
import pytest
import torch
from tests.reference import naive
from tests.reference.twins import ARCHITECTURES, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.contributions import CONTRIBUTIONS
from critpath.network import map_tensors, sample_of
from critpath.selection import FINDERS, kept_count

pytestmark = pytest.mark.filterwarnings("ignore::critpath.pathway.SearchWarning")

METHODS = cp.finder_names()
OPTIONS: dict[str, dict[str, Any]] = {
    **naive.CONTRIBUTION_OPTIONS,
    "greedy": {"step": 0.2},
    "dgr": {"iterations": 4},
    "l0": {"steps": 4},
}
"""Cheaper than by default."""

LARGER = {"greedy", "active"}
"""Those that may keep more than they are asked to: greedy where it stalls (and says so), active always."""

WITHOUT_DEAD = {m.name for m in CONTRIBUTIONS if m.zero_if_dead} | {"active", "magnitude", "l0"}
"""Those that never keep a dead neuron."""

NESTED = set(CONTRIBUTIONS.names()) | {"random", "active", "magnitude"}
"""Those whose pathways are nested across sparsities."""


def find(net: cp.Network, x: Any, method: str, sparsity: float = 0.7, **options: Any) -> cp.Pathway:
    return cp.find_pathway(net, x, method, sparsity, **OPTIONS.get(method, {}), **options)


def test_every_finder_is_here() -> None:
    assert set(OPTIONS) | LARGER | NESTED >= set(METHODS), "say above what the new finder promises"
    assert {"greedy", "dgr", "l0", "magnitude", "random", "active"} <= set(METHODS)


@pytest.mark.parametrize("method", [*FINDERS.names(), "taylor"])
@pytest.mark.parametrize("name", [*ARCHITECTURES, "F.relu in place", "GELU"])
def test_a_batch_equals_a_loop_and_sizes_are_as_asked(name: str, method: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model)
    whole = find(net, case.x, method)
    k = kept_count(whole.space.neurons, 0.7)
    assert whole.space.names == case.sites
    assert whole.requested == (None if method == "active" else 0.7)
    for i in range(3):
        assert whole.sample(i) == find(net, sample_of(case.x, i), method)
        stalled = whole.search is not None and bool(whole.search.stopped[i])
        assert whole.size[i] <= k or (method in LARGER and (stalled or method == "active"))
        assert whole.size[i] == k or stalled or method not in ("greedy", "dgr", "l0")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["encoder", "keywords"])
def test_the_same_twice_and_under_the_callers_no_grad(name: str, method: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model)
    expected = find(net, case.x, method)
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            assert find(net, case.x, method) == expected


@pytest.mark.parametrize("method", METHODS)
def test_the_model_and_the_random_states_come_back_untouched(method: str) -> None:
    case = case_of("reused")
    before = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    states = torch.get_rng_state(), python_random.getstate(), np.random.get_state()[1].tolist()
    case.model.norms[0].weight.requires_grad_(False)
    x = case.x.clone()
    find(cp.Network(case.model), x, method)
    assert torch.equal(x, case.x)
    assert all(torch.equal(before[name], tensor) for name, tensor in case.model.state_dict().items())
    assert [p.requires_grad for p in case.model.norms[0].parameters()] == [False, True]
    assert all(p.grad is None for p in case.model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in case.model.modules())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (python_random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_option_is_refused(method: str) -> None:
    case = case_of("nn.ReLU")
    with pytest.raises(cp.CritpathError, match="does not take the option 'colour'"):
        find(cp.Network(case.model), case.x, method, colour="red")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sparsity", [1.0, -0.1, 90, "0.9"])
def test_a_sparsity_out_of_range_is_refused(sparsity: Any, method: str) -> None:
    case = case_of("nn.ReLU")
    with pytest.raises(cp.CritpathError, match="at least 0 and below 1"):
        find(cp.Network(case.model), case.x, method, sparsity)


@pytest.mark.parametrize("method", sorted(WITHOUT_DEAD))
@pytest.mark.parametrize("name", ["ReLU6", "encoder", "gated"])
def test_dead_neurons_are_never_kept(name: str, method: str) -> None:
    case = case_of(name)
    found = find(cp.Network(case.model), case.x, method, 0.1)
    dead = [a == 0 for a, _ in naive.activations_and_gradients(case)]
    assert any(d.any() for d in dead)
    assert not any((keep & d).any() for keep, d in zip(found.keep.tensors, dead, strict=True))


@pytest.mark.parametrize("method", sorted(NESTED))
def test_pathways_are_nested(method: str) -> None:
    case = case_of("ReLU6")
    net = cp.Network(case.model)
    wide, middle, narrow = (find(net, case.x, method, sparsity) for sparsity in (0.3, 0.6, 0.95))
    assert wide.contains(middle).all()
    assert middle.contains(narrow).all()


@pytest.mark.parametrize("method", [m.name for m in FINDERS if m.name not in ("random", "active", "magnitude")])
def test_searches_say_how_they_went(method: str) -> None:
    case = case_of("encoder")
    found = find(cp.Network(case.model), case.x, method)
    assert found.search is not None
    assert found.search.method == method
    assert len(found.search.stopped) == 3
    assert all(curve.shape[1:] == (3,) for curve in found.search.curves.values())
    out = case.twin(case.model, case.x, lambda number, a: a * found.keep.tensors[number])
    assert torch.equal(found.search.keeps_class, out.argmax(dim=1) == naive.predicted(case))
    assert found.sample(1).search.curves.keys() == found.search.curves.keys()


class Words(nn.Module):
    """Tokens in, classes out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.out = nn.Embedding(7, 4), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.up(self.embed(tokens)).relu().mean(dim=1))


@pytest.mark.parametrize("method", METHODS)
def test_tokens(method: str) -> None:
    torch.manual_seed(2)
    net, tokens = cp.Network(Words().double().eval()), torch.tensor([[1, 2, 3, 4], [4, 5, 6, 0]])
    found = find(net, tokens, method)
    assert found.keep.tensors[0].shape == (2, 4, 6)
    assert found.sample(1) == find(net, tokens[1:], method)


@pytest.mark.parametrize("method", ["greedy", "dgr", "l0", "magnitude"])
@pytest.mark.parametrize("name", ["reused", "attention", "keywords"])
def test_bfloat16(name: str, method: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model.to(torch.bfloat16))
    x = map_tensors(case.x, lambda t: t.bfloat16() if t.is_floating_point() else t)
    found = find(net, x, method)
    assert (found.size > 0).all()
