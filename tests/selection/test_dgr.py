"""Distillation Guided Routing against torch's optimisers on the twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.reference import naive
from tests.reference.twins import ARCHITECTURES, Case, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.errors import MismatchError, OptionError
from critpath.pathway import Search, SearchWarning
from critpath.selection.binarise import largest
from critpath.selection.dgr import PRESETS, Plan, convolutions, plan_of
from critpath.selection.gates import initial, spread

quietly = pytest.mark.filterwarnings("ignore::critpath.pathway.SearchWarning")


def dgr(case: Case, **options: Any) -> cp.Pathway:
    return cp.find_pathway(cp.Network(case.model), case.x, "dgr", **{"sparsity": 0.5, **options})


def search_of(pathway: cp.Pathway) -> Search:
    assert pathway.search is not None
    return pathway.search


def ones(case: Case) -> list[Tensor]:
    return [torch.ones_like(a).requires_grad_() for a, _ in naive.activations_and_gradients(case)]


def check(found: cp.Pathway, gates: list[Tensor], losses: Tensor) -> None:
    search = search_of(found)
    assert torch.allclose(search.curves["loss"], losses, rtol=1e-9, atol=1e-12)
    for got, want in zip(search.ranking.tensors, gates, strict=True):
        assert torch.allclose(got, want, rtol=1e-8, atol=1e-10)


@quietly
@pytest.mark.parametrize("name", [*ARCHITECTURES, "nn.ReLU", "GELU"])
def test_it_equals_its_definition(name: str) -> None:
    case = case_of(name)
    gates = ones(case)
    sgd = torch.optim.SGD(gates, lr=0.3, momentum=0.8)
    check(
        dgr(case, gamma=0.03, lr=0.3, momentum=0.8, iterations=6, clamp=1.2),
        *naive.dgr(case, gates, sgd, "soft_ce", 0.03, 6, 1.2),
    )


@quietly
@pytest.mark.parametrize("loss", ["soft_ce", "kl", "mse"])
@pytest.mark.parametrize("name", ["reused", "attention"])
def test_adam_and_every_loss(name: str, loss: str) -> None:
    case = case_of(name)
    gates = ones(case)
    adam = torch.optim.Adam(gates, lr=0.05, betas=(0.8, 0.999))
    found = dgr(case, gamma=0.02, lr=0.05, optimiser="adam", momentum=0.8, iterations=10, clamp=9.0, loss=loss)
    check(found, *naive.dgr(case, gates, adam, loss, 0.02, 10, 9.0))


@quietly
def test_a_gate_per_channel() -> None:
    case = case_of("reused")
    channels = [torch.ones(3, 3, 1, 1, dtype=torch.float64).requires_grad_() for _ in range(4)]
    sgd = torch.optim.SGD(channels, lr=0.2, momentum=0.9)
    best, losses = naive.dgr(case, channels, sgd, "soft_ce", 0.02, 10, 100.0)
    found = dgr(case, granularity="channel", gamma=0.02, lr=0.2, iterations=10)
    check(found, [g.expand(3, 3, 5, 5) for g in best], losses)


@quietly
def test_gates_are_clamped_from_above() -> None:
    found = dgr(case_of("reused"), init=0.5, gamma=0.0, lr=50.0, iterations=5, clamp=0.9)
    assert search_of(found).ranking.flatten().max() == 0.9


@quietly
def test_untouched_gates_sink_as_the_docstring_says() -> None:
    """The dead neurons' gates: γ lr / (1 - momentum) an iteration, once the momentum has built up."""
    case = case_of("nn.ReLU")
    gamma, lr, momentum, n = 0.01, 0.1, 0.9, 60
    found = dgr(case, gamma=gamma, lr=lr, momentum=momentum, iterations=n)
    dead = torch.cat([(a == 0).flatten(1) for a, _ in naive.activations_and_gradients(case)], dim=1)
    gates = search_of(found).ranking.flatten()
    idle = gates[dead][gates[dead] == gates[dead].median()]
    assert idle[0] == pytest.approx(
        1 - gamma * lr / (1 - momentum) * (n - momentum * (1 - momentum**n) / (1 - momentum))
    )


@quietly
def test_of_the_iterates_that_keep_the_class_the_lowest_loss_is_taken() -> None:
    case = case_of("keywords")
    found = dgr(case, gamma=0.05, lr=0.4, iterations=25)
    curves, gates = search_of(found).curves, search_of(found).ranking.flatten()
    loses = (curves["keeps_class"] == 0).any(dim=0)
    assert loses.any()
    for i in range(3):
        keeping = torch.where(curves["keeps_class"][:, i] == 1, curves["loss"][:, i], float("inf"))
        best = keeping.argmin()
        assert 0.05 * gates[i].sum() == pytest.approx(float((curves["loss"] - curves["objective"])[best, i]))


def test_gates_that_lose_the_class_are_told() -> None:
    case = case_of("keywords")
    with pytest.warns(SearchWarning, match="no gates that keep the class") as warned:
        found = dgr(case, init=1e-3, iterations=3, lr=1e-6, gamma=0.0)
    assert warned[0].filename == __file__
    search = search_of(found)
    lost = [bool(why) for why in search.stopped]
    assert any(lost)
    assert lost == (search.curves["keeps_class"] == 0).all(dim=0).tolist()


@quietly
def test_retries_go_on_with_a_tenth_of_gamma_for_the_lost_only() -> None:
    case = case_of("keywords")
    once = dgr(case, init="uniform", gamma=1.0, iterations=2)
    again = dgr(case, init="uniform", gamma=1.0, iterations=2, retries=2)
    lost = (search_of(once).curves["keeps_class"] == 0).all(dim=0)
    assert lost.any()
    assert not lost.all()
    loss, objective = (search_of(again).curves[name] for name in ("loss", "objective"))
    assert len(loss) == 9
    assert torch.isnan(loss[3:, ~lost]).all()
    assert torch.equal(loss[:3], search_of(once).curves["loss"])
    assert torch.equal(search_of(again).ranking.flatten()[~lost], search_of(once).ranking.flatten()[~lost])
    penalty = (loss - objective)[:, lost]
    assert (penalty[2] > 0).all()
    assert torch.allclose(penalty[3], penalty[2] / 10)


@quietly
def test_keeps_class_is_that_of_the_binarised_path() -> None:
    case = case_of("keywords")
    found = dgr(case, sparsity=0.6)
    out = case.twin(case.model, case.x, lambda n, a: a * found.keep.tensors[n])
    assert torch.equal(search_of(found).keeps_class, out.argmax(1) == naive.predicted(case))
    assert not torch.equal(search_of(found).keeps_class, search_of(found).curves["keeps_class"][-1] == 1)


class TestBinarise:
    def test_topk_is_exact(self) -> None:
        found = dgr(case_of("reused"), sparsity=0.8, iterations=5)
        assert found.size.tolist() == [60] * 3
        assert found == cp.select(search_of(found).ranking, 0.8)

    def test_the_percentile_drops_ties_and_says_so(self) -> None:
        with pytest.warns(SearchWarning, match="neurons, not the 150 asked for"):
            found = dgr(case_of("reused"), binarise="threshold")
        gates = search_of(found).ranking.flatten().numpy()
        threshold = np.percentile(gates, 50, axis=1)
        assert (found.keep.flatten().numpy() == (gates > threshold[:, None])).all()
        assert (found.size < 149).all()

    def test_gates_at_zero_are_never_kept(self) -> None:
        with pytest.warns(SearchWarning, match="not the 27 asked for"):
            found = dgr(case_of("nn.ReLU"), init="uniform", gamma=1.0)
        assert (search_of(found).ranking.flatten()[found.keep.flatten()] > 0).all()


@pytest.mark.filterwarnings("ignore::critpath.pathway.SearchWarning")
class TestConvolutions:
    def test_the_pathway_lies_in_the_space_of_the_convolutions(self) -> None:
        case = case_of("reused")
        found = dgr(case, at="convolutions", iterations=4)
        assert found.space.names == tuple(f"convs.{i}#0" for i in range(4))
        assert found == cp.find_pathway(convolutions(cp.Network(case.model)), case.x, "dgr", 0.5, iterations=4)

    def test_gates_are_on_the_outputs_before_the_norm(self) -> None:
        case = case_of("reused")

        def twin(m: Any, x: Tensor, rule: Any) -> Tensor:
            relu = torch.nn.functional.relu
            for i in (0, 2):
                y = relu(m.norms[i](rule(i, m.convs[i](x))))
                x = relu(m.norms[i + 1](rule(i + 1, m.convs[i + 1](y))) + x)
            return m.out(x.mean((2, 3)))

        other = Case("convolutions", case.model, case.x, twin, ())
        gates = [torch.ones(3, 3, 1, 1, dtype=torch.float64).requires_grad_() for _ in range(4)]
        sgd = torch.optim.SGD(gates, lr=0.1, momentum=0.9)
        best, losses = naive.dgr(other, gates, sgd, "soft_ce", 0.05, 8, 5.0)
        check(dgr(case, preset="wang2018", iterations=8), [g.expand(3, 3, 5, 5) for g in best], losses)

    def test_a_model_without_any(self) -> None:
        with pytest.raises(OptionError, match="Overwritten has no convolution modules"):
            dgr(case_of("overwritten"), at="convolutions")


class TestOptions:
    def test_presets_are_the_published_values(self) -> None:
        wang, khakzar = (plan_of(name, {}) for name in PRESETS)
        assert (wang.granularity, wang.at, wang.gamma, wang.lr, wang.iterations, wang.clamp) == (
            *("channel", "convolutions", 0.05, 0.1, 30, 5.0),
        )
        assert (khakzar.granularity, khakzar.at, khakzar.gamma, khakzar.lr, khakzar.iterations, khakzar.clamp) == (
            *("neuron", "activations", 0.01, 0.01, 1000, 100.0),
        )
        assert khakzar.binarise == "threshold"
        assert wang.momentum == khakzar.momentum == 0.9

    @pytest.mark.filterwarnings("ignore::critpath.pathway.SearchWarning")
    def test_what_is_given_wins(self) -> None:
        assert plan_of("wang2018", {"gamma": 0.0}).gamma == 0.0
        assert plan_of(None, {}) == Plan()
        short = dgr(case_of("reused"), preset="khakzar2021", iterations=3, binarise="topk")
        assert len(search_of(short).curves["loss"]) == 4

    def test_uniform_gates_are_not_those_of_the_random_control(self) -> None:
        case = case_of(ARCHITECTURES[0])
        net = cp.Network(case.model)
        gates = initial("uniform", net.run(case.x).values(), "neuron", 0, 1.0)
        drawn = cp.select(cp.NeuronValues(net.sites(case.x), tuple(gates)), 0.5)
        control = cp.find_pathway(net, case.x, "random", 0.5, seed=0)
        assert float(cp.overlap(drawn, control).jaccard.max()) < 0.7

    def test_uniform_gates_by_seed(self) -> None:
        case = case_of("attention")
        first, same, other = (dgr(case, init="uniform", iterations=2, seed=seed) for seed in (1, 1, 2))
        assert torch.equal(search_of(first).ranking.flatten(), search_of(same).ranking.flatten())
        assert not torch.equal(search_of(first).ranking.flatten(), search_of(other).ranking.flatten())

    @pytest.mark.parametrize("batch", [1, 3])
    def test_given_gates(self, batch: int) -> None:
        case = case_of("attention")
        start = cp.Network(case.model).run(case.x).values().map(lambda a: a[:batch].abs() + 0.2)
        found = search_of(dgr(case, init=start, iterations=1, gamma=1.0))
        assert found.curves["loss"][0] - found.curves["objective"][0] == pytest.approx(
            start.flatten().sum(1).expand(3).tolist()
        )

    def test_given_gates_of_something_else(self) -> None:
        case = case_of("attention")
        values = cp.Network(case.model).run(case.x).values()
        with pytest.raises(MismatchError, match="init holds 2 samples; give 1, or 3"):
            dgr(case, init=values.map(lambda a: a[:2]))
        with pytest.raises(MismatchError, match="init belongs to another network"):
            dgr(case_of("reused"), init=values)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"preset": "wang2019"}, "Did you mean 'wang2018'"),
            ({"granularity": "site"}, "neuron, channel"),
            ({"at": "norms"}, "activations, convolutions"),
            ({"init": "twos"}, "init is 'twos'"),
            ({"init": float("nan")}, "init is nan"),
            ({"loss": "hinge"}, "loss is 'hinge'"),
            ({"gamma": -1}, "gamma is -1"),
            ({"optimiser": "lbfgs"}, "sgd, adam"),
            ({"lr": 0}, "above 0"),
            ({"momentum": 1.0}, "momentum is 1.0"),
            ({"iterations": 0}, "at least 1"),
            ({"iterations": 2.5}, "whole number"),
            ({"clamp": 0}, "clamp is 0"),
            ({"binarise": "half"}, "topk, threshold"),
            ({"retries": -1}, "retries is -1"),
            ({"sparsity": 90}, "below 1"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            dgr(case_of("nn.ReLU"), **options)


@pytest.mark.filterwarnings("ignore::critpath.pathway.SearchWarning")
class TestWithoutClasses:
    def test_the_squared_difference_is_the_default(self) -> None:
        case = case_of("reused")
        net = cp.Network(case.model)
        target = cp.Neuron("relu#3", (1, 2, 2))
        found = cp.find_pathway(net, case.x, "dgr", 0.5, target, iterations=3)
        search = search_of(found)
        assert search.keeps_class is None
        assert "keeps_class" not in search.curves
        moved = search.curves["response"] - search.curves["response"][0]
        assert torch.allclose(search.curves["objective"], moved**2, atol=1e-15)

    @pytest.mark.parametrize("loss", ["soft_ce", "kl"])
    def test_losses_that_need_classes_are_refused(self, loss: str) -> None:
        case = case_of("reused")
        with pytest.raises(OptionError, match="loss='mse'"):
            cp.find_pathway(cp.Network(case.model), case.x, "dgr", 0.5, lambda out: out[:, 0], loss=loss)

    def test_one_class_is_none(self) -> None:
        model = tiny.seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)))
        net, x = cp.Network(model), tiny.numbers(2, 3)
        found = cp.find_pathway(net, x, "dgr", 0.5, iterations=5)
        assert (search_of(found).curves["objective"][1:] > 0).all()
        with pytest.raises(OptionError, match="the model has only one"):
            cp.find_pathway(net, x, "dgr", 0.5, loss="kl")


class TestBinarised:
    def test_channels_are_kept_whole(self) -> None:
        """Channels in the order of their gates, until the next does not fit."""
        space = cp.NeuronSpace((cp.Site("a#0", (2, 3), "relu"), cp.Site("b#0", (2,), "relu")))
        raw = [torch.tensor([[[0.5], [0.9]], [[0.0], [0.2]]]), torch.tensor([[0.7, 0.1], [0.3, 0.4]])]
        gates = spread(space, raw)
        found = largest(gates, raw, 0.5, "channel")  # 4 of 8 neurons
        first = [[[False] * 3, [True] * 3], [[False] * 3, [False] * 3]]
        assert found.keep.tensors[0].tolist() == first
        assert found.keep.tensors[1].tolist() == [[True, False], [True, True]]

    def test_gates_of_one_value_at_the_cut_are_told(self) -> None:
        case = case_of(ARCHITECTURES[0])
        with pytest.warns(SearchWarning, match=r"neurons with gates no smaller than the last one kept were left out"):
            found = dgr(case, gamma=0.0, iterations=1, lr=1e-30)
        assert found.search is not None
        assert all("their place decided" in why for why in found.search.stopped)
