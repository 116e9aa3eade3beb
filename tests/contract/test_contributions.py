"""What every registered contribution promises. A new method is tested here by being registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.reference import naive
from tests.reference.twins import ARCHITECTURES, KINDS, case_of, every_case
from torch import Tensor

import critpath as cp
from critpath.contributions import CONTRIBUTIONS
from critpath.network import map_tensors, sample_of

METHODS = cp.contribution_names()
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.15}


def flat(values: cp.NeuronValues) -> Tensor:
    return values.flatten()


def score(net: cp.Network, x: Any, method: str, **more: Any) -> cp.NeuronValues:
    return cp.score(net, x, method, **naive.CONTRIBUTION_OPTIONS.get(method, {}), **more)


def as_dtype(x: Any, dtype: torch.dtype) -> Any:
    return map_tensors(x, lambda t: t.to(dtype) if t.is_floating_point() else t)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", every_case())
def test_it_equals_its_definition_on_the_twin(name: str, method: str) -> None:
    case = case_of(name)
    scores = score(cp.Network(case.model), case.x, method)
    expected = naive.CONTRIBUTIONS[method](case)
    assert scores.space.names == case.sites
    for site, got, want in zip(scores.space, scores.tensors, expected, strict=True):
        assert got.shape == want.shape, site
        assert torch.allclose(got, want, rtol=1e-7, atol=1e-12), site


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_batch_equals_a_loop(name: str, method: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model)
    whole = score(net, case.x, method)
    for i in range(3):
        alone = score(net, sample_of(case.x, i), method)
        assert torch.allclose(flat(whole)[i : i + 1], flat(alone), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["reused", "encoder", "GELU"])
def test_it_is_deterministic(name: str, method: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model)
    first, second = (flat(score(net, case.x, method)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("name", ["reused", "attention", "keywords"])
def test_it_works_in_every_precision(name: str, dtype: torch.dtype, method: str) -> None:
    case = case_of(name)
    target = naive.predicted(case)
    exact = flat(score(cp.Network(case.model), case.x, method, target=target))
    scores = flat(score(cp.Network(case.model.to(dtype)), as_dtype(case.x, dtype), method, target=target))
    assert scores.dtype == torch.promote_types(dtype, torch.float32)
    assert float((scores - exact).abs().max() / exact.abs().max()) < TOLERANCE[dtype]


@pytest.mark.parametrize("method", METHODS)
def test_it_is_signed(method: str) -> None:
    case = case_of("tanh")
    scores = flat(score(cp.Network(case.model), case.x, method))
    assert (scores > 0).any()
    assert (scores < 0).any()


@pytest.mark.parametrize("method", [m.name for m in CONTRIBUTIONS if m.zero_if_dead])
@pytest.mark.parametrize("name", ["nn.ReLU", "ReLU6 in place", "reused", "encoder", "overwritten"])
def test_dead_neurons_score_exactly_zero(name: str, method: str) -> None:
    case = case_of(name)
    scores = score(cp.Network(case.model), case.x, method)
    activations = [a for a, _ in naive.activations_and_gradients(case)]
    dead = [a == 0 for a in activations]
    assert any(d.any() for d in dead)
    assert all((s[d] == 0).all() for s, d in zip(scores.tensors, dead, strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["nn.ReLU in place", "reused", "keywords"])
def test_the_callers_no_grad_does_not_matter(name: str, method: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model)
    expected = flat(score(net, case.x, method))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(flat(score(net, case.x, method)), expected)


@pytest.mark.parametrize("method", METHODS)
def test_frozen_parameters_do_not_matter(method: str) -> None:
    case = case_of("reused")
    expected = flat(score(cp.Network(case.model), case.x, method))
    case.model.requires_grad_(False)
    assert torch.equal(flat(score(cp.Network(case.model), case.x, method)), expected)
    assert not any(p.requires_grad for p in case.model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_option_is_refused(method: str) -> None:
    case = case_of("nn.ReLU")
    with pytest.raises(cp.CritpathError, match="does not take the option 'colour'"):
        cp.score(cp.Network(case.model), case.x, method, colour="red")


def test_every_method_has_a_definition_to_be_compared_with() -> None:
    assert set(METHODS) == set(naive.CONTRIBUTIONS)
    assert KINDS
