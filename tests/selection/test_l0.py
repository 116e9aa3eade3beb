"""Optimised masks: exact size, verified, and never worse than the ranking they start from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from tests.reference import naive
from tests.reference.twins import Case, case_of
from torch import Tensor

import critpath as cp
from critpath.errors import OptionError
from critpath.pathway import Search, SearchWarning
from critpath.response import respond
from critpath.selection import kept_count
from critpath.selection.l0 import EVERY, _expected, _log_alpha, _task
from critpath.selection.objective import objective

SCHEMES = ("straight_through", "hard_concrete")


def l0(case: Case, **options: Any) -> cp.Pathway:
    return cp.find_pathway(cp.Network(case.model), case.x, "l0", **{"sparsity": 0.8, "steps": 12, **options})


def search_of(pathway: cp.Pathway) -> Search:
    assert pathway.search is not None
    return pathway.search


def alone(case: Case, pathway: cp.Pathway, loss: str) -> Tensor:
    out = case.twin(case.model, case.x, lambda number, a: a * pathway.keep.tensors[number])
    return naive.distance(case, out, loss).detach()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("loss", ["soft_ce", "kl", "mse"])
@pytest.mark.parametrize("name", ["reused", "encoder", "overwritten", "GELU"])
def test_the_best_verified_mask_is_returned(name: str, loss: str, scheme: str) -> None:
    case = case_of(name)
    found = l0(case, loss=loss, scheme=scheme)
    curve = search_of(found).curves["objective"]
    assert torch.allclose(alone(case, found, loss), curve.min(dim=0).values, rtol=1e-7, atol=1e-12)
    ranked = cp.find_pathway(cp.Network(case.model), case.x, "taylor", 0.8)
    assert torch.allclose(alone(case, ranked, loss), curve[0], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", ["reused", "encoder", "overwritten", "windows", "GELU"])
def test_it_gains_on_the_ranking(name: str) -> None:
    found = l0(case_of(name), loss="mse", steps=25)
    curve = search_of(found).curves["objective"]
    assert (curve.min(dim=0).values < 0.5 * curve[0]).any()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("sparsity", [0.7, 0.8, 0.9])
def test_exactly_k_active_neurons(sparsity: float, scheme: str) -> None:
    case = case_of("GELU")
    found = l0(case, sparsity=sparsity, scheme=scheme)
    assert found.size.tolist() == [kept_count(found.space.neurons, sparsity)] * 3
    case = case_of("encoder")
    found = l0(case, sparsity=0.8, scheme=scheme)
    (a, _), *_ = naive.activations_and_gradients(case)
    assert found.size.tolist() == [6] * 3
    assert not (found.keep.tensors[0] & (a == 0)).any()


def test_dead_neurons_only_where_allowed() -> None:
    case = case_of("reused")
    dead = torch.cat([(a == 0).flatten(1) for a, _ in naive.activations_and_gradients(case)], dim=1)
    with pytest.warns(SearchWarning, match="not the 270 asked for, as no more are active"):
        found = l0(case, sparsity=0.1)
    assert not (found.keep.flatten() & dead).any()
    response = respond(cp.Network(case.model), case.x)
    task = _task(response, 0.8, "taylor", objective(response), dead=False)
    assert torch.equal(task.candidates, ~dead)
    task = _task(response, 0.8, "taylor", objective(response), dead=True)
    assert task.candidates.all()
    assert (task.binarised(-task.rank) & dead).any()


def test_the_first_step_of_the_straight_through_scheme() -> None:
    """θ is the rank; it moves against the gradient with respect to the mask, in units of its mean magnitude."""
    case = case_of("GELU")
    net = cp.Network(case.model)
    lr, k = 0.2, 11
    leaves = _mask_of(net, case, k)
    out = case.twin(case.model, case.x, lambda number, a: a * leaves[number])
    gradients = torch.autograd.grad(naive.distance(case, out, "soft_ce").sum(), leaves)
    g = torch.cat([grad.flatten(1) for grad in gradients], dim=1)
    scores = cp.score(net, case.x).flatten().abs()
    rank = scores.argsort(dim=1, stable=True).argsort(dim=1).double() / 54
    theta = rank - lr * g / g.abs().mean(dim=1, keepdim=True)
    second = theta >= theta.topk(k, dim=1).values[:, -1:]
    curve = search_of(l0(case, sparsity=0.8, lr=lr, steps=1)).curves["objective"]
    parts = [p.view(3, *s.shape) for p, s in zip(second.split([48, 6], dim=1), net.sites(case.x), strict=True)]
    out = case.twin(case.model, case.x, lambda number, a: a * parts[number])
    assert torch.allclose(curve[1], naive.distance(case, out, "soft_ce").detach())
    assert not torch.allclose(curve[1], curve[0])


def _mask_of(net: cp.Network, case: Case, k: int) -> list[Tensor]:
    first = cp.select(cp.score(net, case.x), 0.8)
    assert first.size.tolist() == [k] * 3
    return [keep.double().requires_grad_() for keep in first.keep.tensors]


@pytest.mark.parametrize("name", ["reused", "GELU", "keywords"])
def test_hard_concrete_gates_start_at_the_budget(name: str) -> None:
    case = case_of(name)
    response = respond(cp.Network(case.model), case.x)
    task = _task(response, 0.8, "taylor", objective(response), dead=False)
    assert _expected(_log_alpha(task), task).tolist() == pytest.approx([kept_count(response.space.neurons, 0.8)] * 3)


def test_hard_concrete_masks_are_verified_at_intervals_and_at_the_end() -> None:
    found = l0(case_of("reused"), scheme="hard_concrete", steps=2 * EVERY + 3)
    assert len(search_of(found).curves["objective"]) == 1 + 3


@pytest.mark.parametrize("start", ["activation", "conductance"])
def test_it_starts_from_any_contribution(start: str) -> None:
    case = case_of("encoder")
    curve = search_of(l0(case, start=start)).curves["objective"]
    ranked = cp.find_pathway(cp.Network(case.model), case.x, start, 0.8)
    assert torch.allclose(alone(case, ranked, "soft_ce"), curve[0])


def test_keeps_class_is_that_of_the_mask_returned() -> None:
    case = case_of("keywords")
    found = l0(case, sparsity=0.8)
    out = case.twin(case.model, case.x, lambda number, a: a * found.keep.tensors[number])
    assert torch.equal(search_of(found).keeps_class, out.argmax(dim=1) == naive.predicted(case))


def test_a_hidden_neuron() -> None:
    case = case_of("reused")
    found = cp.find_pathway(cp.Network(case.model), case.x, "l0", 0.9, cp.Channel("relu#3", 1), steps=5)
    assert search_of(found).keeps_class is None
    assert "keeps_class" not in search_of(found).curves


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "annealing"}, "straight_through, hard_concrete"),
        ({"start": "tailor"}, "Did you mean 'taylor'"),
        ({"start": "greedy"}, "no contribution is called 'greedy'"),
        ({"steps": 0}, "at least 1"),
        ({"lr": 0.0}, "above 0"),
        ({"loss": "hinge"}, "loss is 'hinge'"),
        ({"sparsity": 1.0}, "below 1"),
        ({"seed": 0.5}, "whole number"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        l0(case_of("nn.ReLU"), **options)


def test_the_seed_is_of_the_gates() -> None:
    kind = tiny.NETWORKS["conv"]
    net, x = cp.Network(kind.build()), kind.inputs(2)
    curves = [
        search_of(cp.find_pathway(net, x, "l0", 0.8, scheme="hard_concrete", steps=20, seed=s)).curves["objective"]
        for s in (1, 1, 2)
    ]
    assert torch.equal(curves[0], curves[1])
    assert not torch.equal(curves[0], curves[2])
