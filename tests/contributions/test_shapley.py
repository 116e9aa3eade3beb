"""Shapley values against the sum over subsets, on the twin."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import pytest
import torch
from tests.reference import naive
from tests.reference.twins import Case, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.contributions import ablation as module
from critpath.contributions.shapley import shapley, shapley_of
from critpath.errors import MismatchError, OptionError
from critpath.groups import GroupValues, groups_of
from critpath.network import sample_of
from critpath.neurons import NeuronValues
from critpath.response import Response, respond

SMALL = ["overwritten", "two inputs", "keywords", "gated"]
CHANNELS = ["reused", "dense", "encoder", "sequence first", "windows"]


def response_of(case: Case, target: Any = None, x: Any = None) -> Response:
    return respond(cp.Network(case.model), case.x if x is None else x, target)


def value(case: Case, rule: Callable[[int, Tensor], Tensor]) -> Tensor:
    return case.twin(case.model, case.x, rule).gather(1, naive.predicted(case)[:, None])[:, 0].detach()


def game(
    case: Case, site: int, players: list[Tensor], inside: tuple[int, ...], baseline: Tensor | float = 0.0
) -> Tensor:
    """v(C) [batch]: the players that are not in C set to the baseline."""

    def rule(number: int, a: Tensor) -> Tensor:
        for j, mask in enumerate(players):
            if number == site and j not in inside:
                a = torch.where(mask, torch.as_tensor(baseline, dtype=a.dtype), a)
        return a

    return value(case, rule)


def by_subsets(case: Case, site: int, players: list[Tensor], baseline: Tensor | float = 0.0) -> Tensor:
    """Σ_C |C|! (n - |C| - 1)! / n! (v(C ∪ j) - v(C)): [batch, players]."""
    n = len(players)
    v = {c: game(case, site, players, c, baseline) for size in range(n + 1) for c in combinations(range(n), size)}
    scores = torch.zeros(3, n, dtype=torch.float64)
    for j in range(n):
        for c in v:
            if j not in c:
                weight = factorial(len(c)) * factorial(n - len(c) - 1) / factorial(n)
                scores[:, j] += weight * (v[tuple(sorted((*c, j)))] - v[c])
    return scores


def close(got: Tensor, want: Tensor) -> bool:
    return got.shape == want.shape and torch.allclose(got, want, rtol=1e-7, atol=1e-12)


def flat(scores: NeuronValues | GroupValues) -> Tensor:
    return scores.flatten() if isinstance(scores, NeuronValues) else scores.values


def masks_of(response: Response, by: Any, position: int) -> list[Tensor]:
    groups = groups_of(by, response.space)
    return [mask for g in groups.columns(position).tolist() if (mask := groups.mask(g, position)) is not None]


@pytest.mark.parametrize("name", SMALL)
def test_neurons_by_all_subsets(name: str) -> None:
    case = case_of(name)
    response = response_of(case)
    scores = shapley(response)
    assert isinstance(scores, NeuronValues)
    for position in range(len(case.sites)):
        want = by_subsets(case, position, masks_of(response, None, position))
        assert close(scores.tensors[position].flatten(1), want)


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_by_all_subsets(name: str) -> None:
    case = case_of(name)
    response = response_of(case)
    scores = shapley(response, by="channels")
    assert isinstance(scores, GroupValues)
    for position, site in enumerate(case.sites):
        assert close(scores.of(site), by_subsets(case, position, masks_of(response, "channels", position)))
    assert scores.error is not None
    assert scores.error.rule == "exact"
    assert (scores.error.error == 0).all()


def test_other_players_leave_the_rest_as_it_is() -> None:
    case = case_of("reused")
    response = response_of(case)
    by = {"two": [cp.Channel("relu#1", 0), cp.Channel("relu#1", 2)], "pixel": cp.Neuron("relu#1", (1, 2, 2))}
    scores = shapley(response, by=by)
    assert close(scores.values, by_subsets(case, 1, masks_of(response, by, 1)))
    assert scores.error.space.names == ("relu#1",)


@pytest.mark.parametrize("exact", [10, 0])
def test_a_baseline_takes_their_place(exact: int) -> None:
    case = case_of("two inputs")
    response = response_of(case)
    held = response.run.values().map(torch.randn_like)
    scores = shapley(response, baseline=held, exact=exact)
    want = [by_subsets(case, p, masks_of(response, None, p), held.tensors[p]) for p in (0, 1)]
    assert close(flat(scores), torch.cat(want, dim=1))  # linear above each site, so orders are exact as well


def test_formula_on_a_game_without_a_network() -> None:
    n = 4
    v = torch.randn(2**n, dtype=torch.float64)
    bits = {c: sum(1 << j for j in c) for size in range(n + 1) for c in combinations(range(n), size)}
    for j in range(n):
        want = sum(
            factorial(len(c)) * factorial(n - len(c) - 1) / factorial(n) * (v[k | 1 << j] - v[k])
            for c, k in bits.items()
            if j not in c
        )
        assert torch.allclose(shapley_of(v)[j], torch.as_tensor(want))


@pytest.mark.parametrize("exact", [10, 0])
@pytest.mark.parametrize("by", [None, "channels"])
@pytest.mark.parametrize("name", ["overwritten", "dense", "two inputs"])
def test_a_batch_equals_a_loop(name: str, by: Any, exact: int) -> None:
    case = case_of(name)
    whole = shapley(response_of(case), by=by, exact=exact, permutations=2)
    for i in range(3):
        response = response_of(case, naive.predicted(case)[i : i + 1], sample_of(case.x, i))
        alone = shapley(response, by=by, exact=exact, permutations=2)
        assert close(flat(whole)[i : i + 1], flat(alone))
        assert close(whole.error.error[i : i + 1], alone.error.error)


@pytest.mark.parametrize("exact", [10, 0])
def test_how_many_run_at_once_does_not_matter(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of("overwritten")
    expected = flat(shapley(response_of(case), exact=exact))
    for at_once in (1, 7, 10_000):
        monkeypatch.setattr(module, "rows_at_once", lambda *args, n=at_once, **kwargs: n)
        assert close(flat(shapley(response_of(case), exact=exact)), expected)


@pytest.mark.parametrize("exact", [10, 3, 0])
def test_a_target_for_the_whole_batch_only(exact: int) -> None:
    """Samples have different numbers of active players, and still run together."""
    case = case_of("overwritten")
    labels, calls = naive.predicted(case), []

    def target(output: Tensor) -> Tensor:
        calls.append(len(output))
        return output.gather(1, labels[:, None])[:, 0]

    scores = shapley(response_of(case, target), exact=exact, permutations=3)
    expected = shapley(response_of(case), exact=exact, permutations=3)
    assert set(calls) == {3}
    assert close(flat(scores), flat(expected))
    assert close(scores.error.error, expected.error.error)


class TestOrders:
    @pytest.mark.parametrize("name", ["overwritten", "reused", "dense", "encoder"])
    def test_the_sum_is_what_the_site_gives(self, name: str) -> None:
        """Efficiency holds for every order, however few."""
        case = case_of(name)
        response = response_of(case)
        scores = shapley(response, exact=0, permutations=1)
        full = value(case, lambda i, a: a)
        for position, tensor in enumerate(scores.tensors):
            nothing = value(case, lambda i, a, at=position: a * 0 if i == at else a)
            assert close(tensor.flatten(1).sum(1), full - nothing)
        assert float(scores.error.gap.max()) < 1e-12
        assert scores.error.error.isnan().any()  # one pair has no spread

    def test_they_come_near_the_exact_value_as_the_error_says(self) -> None:
        case = case_of("overwritten")
        exact = shapley(response_of(case)).tensors[0]
        estimates = [shapley(response_of(case), exact=0, permutations=8, seed=s) for s in range(20)]
        errors = torch.stack([(e.tensors[0] - exact).abs().sum(1) for e in estimates]).mean(0)
        expected = torch.stack([e.error.error[:, 0] for e in estimates]).mean(0)
        assert (expected > 0).all()
        assert ((errors / expected > 0.6) & (errors / expected < 1.6)).all()

    def test_one_pair_settles_two_players(self) -> None:
        by = [cp.Channel("layer#0", 0), cp.Channel("layer#0", 1)]
        response = response_of(case_of("encoder"))
        sampled, exact = (shapley(response, by=by, exact=e, permutations=1) for e in (0, 10))
        assert close(sampled.values, exact.values)

    def test_the_seed_decides(self) -> None:
        response = response_of(case_of("overwritten"))
        one, same, other = (flat(shapley(response, exact=0, permutations=1, seed=s)) for s in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.allclose(one, other)

    def test_dead_players_score_exactly_zero(self) -> None:
        response = response_of(case_of("encoder"))
        dead = response.run.values().tensors[0] == 0
        scores = shapley(response, permutations=2)
        assert dead.any()
        assert (scores.tensors[0][dead] == 0).all()

    def test_runs_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        case = case_of("overwritten")
        response = response_of(case)
        players = torch.stack([(a != 0).flatten(1).sum(1) for a in response.run.values().tensors], dim=1)
        rows: list[int] = []
        original = Response.of_rows

        def counted(self: Response, run: Any, samples: Tensor) -> Tensor:
            rows.append(len(samples))
            return original(self, run, samples)

        monkeypatch.setattr(Response, "of_rows", counted)
        points = shapley(response, exact=2, permutations=3).error.points
        few = torch.where(players > 0, 2**players, 0)
        assert torch.equal(points, torch.where(players <= 2, few, 6 * (players - 1) + 1))
        assert sum(rows) == int(points.sum())
        assert ((players <= 2).any(), (players > 2).any()) == (True, True)


class Half(nn.Module):
    """Φ = (Σ a)² / 2 with a = relu(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x).sum(1, keepdim=True) ** 2 / 2


@pytest.mark.parametrize("exact", [10, 0])
def test_by_hand(exact: int) -> None:
    """One neuron: a² / 2. Two: a (a + b) / 2 and b (a + b) / 2; a dead one has no part in it."""
    net = cp.Network(Half().eval())
    assert shapley(respond(net, torch.tensor([[1.0]]), 0), exact=exact)["act#0"].tolist() == [[0.5]]
    scores = shapley(respond(net, torch.tensor([[1.0, 3.0, -1.0], [2.0, 2.0, -5.0]]), 0), exact=exact)
    assert scores["act#0"].tolist() == [[2.0, 6.0, 0.0], [4.0, 4.0, 0.0]]


@pytest.mark.parametrize("exact", [10, 0])
def test_it_is_gradient_times_activation_where_the_rest_is_linear(exact: int) -> None:
    case = case_of("two inputs")
    scores = shapley(response_of(case), exact=exact, permutations=2)
    assert close(flat(scores), cp.score(cp.Network(case.model), case.x).flatten())
    assert float(scores.error.error.max()) < 1e-12


def test_a_player_that_nothing_depends_on_scores_zero() -> None:
    scores = shapley(response_of(case_of("dense")), permutations=1)
    assert float(scores["act#1"].abs().max()) < 1e-14


def test_players_that_do_the_same_score_the_same() -> None:
    case = case_of("overwritten")
    with torch.no_grad():
        case.model.one.weight[1], case.model.one.bias[1] = case.model.one.weight[0], case.model.one.bias[0]
        case.model.two.weight[:, 1] = case.model.two.weight[:, 0]
    scores = shapley(response_of(case))["#0"]
    assert torch.allclose(scores[:, 0], scores[:, 1], rtol=1e-9)


def test_values_are_float32_at_least() -> None:
    case = case_of("dense")
    for dtype, want in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        response = respond(cp.Network(case.model.to(dtype)), case.x.to(dtype))
        assert shapley(response, permutations=1)["act#0"].dtype == want


def test_the_error_tells_of_every_sample_and_site() -> None:
    response = response_of(case_of("overwritten"))
    scores = shapley(response, exact=0, permutations=2)
    assert scores.error.space.names == response.space.names
    assert scores.error.rule == "permutations"
    l1 = torch.stack([tensor.flatten(1).abs().sum(1) for tensor in scores.tensors], dim=1)
    assert torch.allclose(scores.error.scale, l1)
    assert scores.sample(1).error.error.shape == (1, 3)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"permutations": 0}, OptionError, "permutations is 0"),
    ({"exact": 21}, OptionError, "exact is 21.*2,097,152"),
    ({"exact": -1}, OptionError, "exact is -1"),
    ({"by": ["*"]}, OptionError, "the group '\\*' lies in several sites"),
    ({"by": ["#0", cp.Neuron("#0", 1)]}, OptionError, "overlap at site #0"),
    ({"by": ["none"]}, MismatchError, "no site is called 'none'"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD, ids=str)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        shapley(response_of(case_of("overwritten")), **options)


def test_too_many_runs_are_refused_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    response = response_of(case_of("overwritten"))
    runs = int(shapley(response, permutations=2).error.points.sum())
    monkeypatch.setattr(module, "MOST_RUNS", runs - 1)
    with pytest.raises(OptionError, match=f"takes {runs} runs.*by='channels'"):
        shapley(response, permutations=2)
    assert isinstance(shapley(response, by="neurons", permutations=2), NeuronValues)
