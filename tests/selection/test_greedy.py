"""Greedy pruning against algorithm 1 in plain loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests import tiny
from tests.reference import naive
from tests.reference.twins import ARCHITECTURES, Case, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.errors import OptionError
from critpath.network import sample_of
from critpath.pathway import Search, SearchWarning
from critpath.selection import kept_count

quietly = pytest.mark.filterwarnings("ignore::critpath.pathway.SearchWarning")
NAMES = [*ARCHITECTURES, "nn.ReLU in place", "ReLU6", "GELU", "tanh"]


def greedy(case: Case, **options: Any) -> cp.Pathway:
    return cp.find_pathway(cp.Network(case.model), case.x, "greedy", **options)


def search_of(pathway: cp.Pathway) -> Search:
    assert pathway.search is not None
    return pathway.search


def rounds(case: Case, sample: int, budget: int, step: int) -> list[list[bool]]:
    return naive.greedy(replace(case, x=sample_of(case.x, sample)), budget, step)


@quietly
@pytest.mark.parametrize("name", NAMES)
def test_it_is_algorithm_1(name: str) -> None:
    case = case_of(name)
    found = greedy(case, sparsity=0.7, step=0.1)
    neurons = found.space.neurons
    for i in range(3):
        expected = rounds(case, i, kept_count(neurons, 0.7), max(1, round(0.1 * neurons)))
        assert found.keep.flatten()[i].tolist() == expected[-1]


@quietly
@pytest.mark.parametrize("name", ["reused", "gated", "GELU", "nn.ReLU"])
def test_the_curves_and_the_ranking_tell_every_round(name: str) -> None:
    case = case_of(name)
    found = greedy(case, sparsity=0.6, step=0.08)
    search, neurons = search_of(found), found.space.neurons
    dead = torch.cat([(a == 0).flatten(1) for a, _ in naive.activations_and_gradients(case)], dim=1)
    for i in range(3):
        expected = rounds(case, i, kept_count(neurons, 0.6), max(1, round(0.08 * neurons)))
        curves = {name: curve[:, i] for name, curve in search.curves.items()}
        assert all(torch.isnan(curve[len(expected) :]).all() for curve in curves.values())
        for r, kept in enumerate(expected):
            mask = torch.tensor(kept)
            assert curves["kept"][r] == pytest.approx(mask.double().mean().item())
            assert curves["dead"][r] == pytest.approx((mask & dead[i]).sum().item() / mask.sum().item())
            assert curves["response"][r] == pytest.approx(response_of(case, i, mask), abs=1e-9)
            cut = search.ranking.sample(i).flatten()[0] > neurons - mask.sum()
            assert torch.equal(cut, mask)


def response_of(case: Case, sample: int, mask: Tensor) -> float:
    one, parts = replace(case, x=sample_of(case.x, sample)), list(mask)

    def rule(number: int, a: Tensor) -> Tensor:
        kept, parts[:] = torch.stack(parts[: a.numel()]).view(a.shape), parts[a.numel() :]
        return a * kept

    label = naive.predicted(one)
    return float(case.twin(case.model, one.x, rule).detach()[0, label])


@quietly
def test_select_on_the_ranking_gives_the_pathway_and_larger_ones() -> None:
    case = case_of("GELU")
    found = greedy(case, sparsity=0.6, step=0.02)
    ranking = search_of(found).ranking
    assert sorted(ranking.flatten()[0].tolist()) == list(range(1, found.space.neurons + 1))
    assert (found.size == found.size[0]).all()
    assert cp.select(ranking, float(found.sparsity[0])) == found
    assert cp.select(ranking, 0.3) == greedy(case, sparsity=0.3, step=0.02)


def dead_network() -> nn.Module:
    """Eight rectified neurons; a sample's own value opens the first ones only."""
    model = nn.Sequential(nn.Linear(1, 8, bias=False), nn.ReLU(), nn.Linear(8, 2)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 1, 1, 1, 1, -1, -1, -1])[:, None])
        model[2].weight.copy_(torch.arange(16).view(2, 8) / 10.0)
    return model


class TestStall:
    def test_it_is_told(self) -> None:
        net, x = cp.Network(dead_network()), torch.tensor([[1.0], [-1.0]]).double()
        with pytest.warns(SearchWarning, match=r"sample 0: stalled at 3 neurons kept \(37.5%\), all of them dead") as w:
            found = cp.find_pathway(net, x, "greedy", sparsity=0.75)
        assert w[0].filename == __file__
        assert found.size.tolist() == [3, 5]
        assert "stalled at 5 neurons" in search_of(found).stopped[1]
        assert not search_of(found).met
        assert found.requested == 0.75

    def test_dead_neurons_are_pruned_last_where_asked(self) -> None:
        net, x = cp.Network(dead_network()), torch.tensor([[1.0], [-1.0]]).double()
        found = cp.find_pathway(net, x, "greedy", sparsity=0.75, fallback="dead")
        assert found.size.tolist() == [2, 2]
        assert found.keep.flatten().nonzero().tolist() == [[0, 5], [0, 6], [1, 0], [1, 1]]
        assert "1 dead neurons were pruned too" in search_of(found).stopped[0]

    def test_samples_stall_by_themselves(self) -> None:
        net, x = cp.Network(dead_network()), torch.tensor([[1.0], [-1.0]]).double()
        with pytest.warns(SearchWarning, match="sample 1: stalled at 5") as w:
            found = cp.find_pathway(net, x, "greedy", sparsity=0.5)
        assert "sample 0" not in str(w[0].message)
        assert found.size.tolist() == [4, 5]
        assert search_of(found).stopped[0] == ""
        assert search_of(found.sample(0)).met

    def test_an_input_without_an_active_neuron(self) -> None:
        net = cp.Network(dead_network())
        with pytest.warns(SearchWarning, match=r"stalled at 8 neurons kept \(100.0%\)"):
            found = cp.find_pathway(net, torch.zeros(1, 1).double(), "greedy", sparsity=0.5)
        assert found.size.tolist() == [8]
        assert len(search_of(found).curves["kept"]) == 1

    def test_an_active_neuron_without_a_gradient_is_pruned_first(self) -> None:
        model = dead_network()
        with torch.no_grad():
            model[2].weight[:, 2] = 0
        found = cp.find_pathway(cp.Network(model), torch.ones(1, 1).double(), "greedy", sparsity=0.125)
        assert (~found.keep.flatten()).nonzero().tolist() == [[0, 2]]


def test_nothing_is_pruned_at_sparsity_zero() -> None:
    found = greedy(case_of("reused"), sparsity=0.0)
    assert found.keep.flatten().all()
    assert search_of(found).met


@quietly
def test_keeps_class_is_that_of_the_pruned_network() -> None:
    case = case_of("keywords")
    net = cp.Network(case.model)
    found = greedy(case, sparsity=0.5)
    alone = torch.stack(
        [
            case.twin(case.model, case.x, lambda n, a: a * found.keep.tensors[n])[i].argmax()
            == naive.predicted(case)[i]
            for i in range(3)
        ]
    )
    assert torch.equal(search_of(found).keeps_class, alone)
    site = found.space.names[0]
    hidden = cp.find_pathway(net, case.x, "greedy", sparsity=0.3, target=cp.Neuron(site, 0))
    assert search_of(hidden).keeps_class is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "step is 0"),
        ({"step": 1.5}, "at most 1"),
        ({"step": "all"}, "step is 'all'"),
        ({"fallback": "revive"}, "fallback is 'revive'; it is one of stop, dead"),
        ({"sparsity": 1.0}, "below 1"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        greedy(case_of("nn.ReLU"), **{"sparsity": 0.5, **options})


@quietly
def test_sites_of_one_number() -> None:
    model = tiny.seeded(lambda: nn.Sequential(nn.Linear(3, 1), nn.Flatten(0), nn.Tanh()))
    found = cp.find_pathway(cp.Network(model), tiny.numbers(4, 3), "greedy", sparsity=0.0, target=lambda out: out)
    assert found.size.tolist() == [1] * 4
