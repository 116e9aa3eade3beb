"""Reruns of a response in which only a pathway's neurons act."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import critpath as cp
from critpath.pathway import Search
from critpath.response import keeping, respond
from critpath.selection import random_pathway
from tests.reference.twins import ARCHITECTURES, case_of


def linear_relu() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).double().eval()


def masked(model: nn.Module, x: Tensor, keep: list[Tensor], rest: list[Tensor]) -> Tensor:
    """The same network written out, every layer's activations replaced off the pathway."""
    for number in (0, 1):
        x = model[2 * number](x).relu()
        x = keep[number] * x + ~keep[number] * rest[number]
    return model[4](x)


def test_neurons_off_the_pathway_get_what_is_given_for_them() -> None:
    model, x, other = linear_relu(), torch.randn(4, 5).double(), torch.randn(1, 5).double()
    response = respond(cp.Network(model), x, 1)
    path = cp.select(cp.score(cp.Network(model), x, target=1), 0.5)
    elsewhere = cp.Network(model).run(other).values()
    for values, rest in ((None, [torch.zeros(())] * 2), (elsewhere, list(elsewhere.tensors))):
        expected = masked(model, x, list(path.keep.tensors), rest)
        assert torch.allclose(response.pruned(path, elsewhere=values).value, expected[:, 1])


def test_the_frozen_network_is_bit_identical_on_its_own_input() -> None:
    case = case_of(ARCHITECTURES[0])
    response = respond(cp.Network(case.model), case.x)
    path = cp.select(cp.score(cp.Network(case.model), case.x), 0.8)
    assert torch.equal(response.pruned(path, elsewhere=response.run.values()).value, response.value)


def test_a_pathway_of_one_sample_fits_any_batch() -> None:
    model, x = linear_relu(), torch.randn(4, 5).double()
    net = cp.Network(model)
    path = random_pathway(net.sites(x), 1, 0.5)
    expected = masked(model, x, list(path.keep.tensors), [torch.zeros(())] * 2)
    assert torch.allclose(net.run(x, keeping(path)).output, expected)


def test_keeps_class_compares_the_predictions() -> None:
    model, x = linear_relu(), torch.randn(64, 5).double()
    response = respond(cp.Network(model), x)
    nothing = response.pruned(~random_pathway(response.space, 64, 0.0), graph=False)
    constant = model[4].bias.argmax()
    kept = response.keeps_class(nothing)
    assert kept is not None
    assert torch.equal(kept, constant == model(x).argmax(1))
    assert 0 < kept.sum() < 64
    assert respond(cp.Network(model), x, cp.Neuron("1#0", 3)).keeps_class(nothing) is None


def test_a_tie_is_no_class() -> None:
    model, x = linear_relu(), torch.randn(4, 5).double()
    with torch.no_grad():
        model[4].bias.zero_()
    response = respond(cp.Network(model), x, 1)
    nothing = response.pruned(~random_pathway(response.space, 4, 0.0), graph=False)
    kept = response.keeps_class(nothing)
    assert kept is not None
    assert not kept.any()


def test_a_search_is_taken_apart_by_samples() -> None:
    search = Search("greedy", {"kept": torch.arange(6.0).view(3, 2)}, ("", "stalled"), torch.tensor([True, False]))
    alone = search.sample(1)
    assert alone.curves["kept"].tolist() == [[1.0], [3.0], [5.0]]
    assert (alone.stopped, alone.met, search.sample(0).met) == (("stalled",), False, True)
    assert alone.keeps_class is not None
    assert alone.keeps_class.tolist() == [False]
