"""Ablation against its definition: one neuron, channel, site or group at a time, on the twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.reference import naive
from tests.reference.twins import Case, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.contributions import ablation as module
from critpath.contributions.ablation import ablation
from critpath.errors import MismatchError, OptionError
from critpath.groups import GroupValues, groups_of
from critpath.network import sample_of
from critpath.neurons import NeuronValues
from critpath.response import Response, respond

CASES = ["reused", "overwritten", "dense", "encoder", "sequence first", "two inputs", "keywords", "windows", "gated"]


def response_of(case: Case, target: Any = None, x: Any = None) -> Response:
    return respond(cp.Network(case.model), case.x if x is None else x, target)


def activations(case: Case) -> list[Tensor]:
    return [a for a, _ in naive.activations_and_gradients(case)]


def value(case: Case, rule: Callable[[int, Tensor], Tensor] = lambda i, a: a) -> Tensor:
    return case.twin(case.model, case.x, rule).gather(1, naive.predicted(case)[:, None])[:, 0].detach()


def drop(case: Case, masks: dict[int, Tensor], baseline: list[Tensor] | None = None) -> Tensor:
    """Φ(x) - Φ(x; the masked neurons set to the baseline): [batch]."""

    def rule(number: int, a: Tensor) -> Tensor:
        if number not in masks:
            return a
        return torch.where(masks[number], torch.zeros_like(a) if baseline is None else baseline[number], a)

    return value(case) - value(case, rule)


def by_neurons(case: Case, baseline: list[Tensor] | None = None) -> list[Tensor]:
    scores = []
    for number, a in enumerate(activations(case)):
        one = torch.eye(a[0].numel(), dtype=torch.bool).view(-1, *a.shape[1:])
        drops = [drop(case, {number: mask}, baseline) for mask in one]
        scores.append(torch.stack(drops, dim=1).view(a.shape))
    return scores


def close(got: Tensor, want: Tensor) -> bool:
    return got.shape == want.shape and torch.allclose(got, want, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_neurons(name: str) -> None:
    case = case_of(name)
    scores = ablation(response_of(case))
    assert isinstance(scores, NeuronValues)
    assert scores.space.names == case.sites
    assert all(close(got, want) for got, want in zip(scores.tensors, by_neurons(case), strict=True))


def groupings(sites: tuple[str, ...]) -> list[Any]:
    """Channels, sites, and groups that overlap, span sites and leave neurons out."""
    own = {"all": "*", "few": [cp.Channel(sites[0], 1), cp.Channel(sites[-1], 0)], "one": cp.Channel(sites[0], -1)}
    return ["channels", "sites", own]


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("name", CASES)
def test_groups_are_taken_out_together(name: str, kind: int) -> None:
    case = case_of(name)
    response, by = response_of(case), groupings(case.sites)[kind]
    scores, groups = ablation(response, by=by), groups_of(by, response.space)
    assert isinstance(scores, GroupValues)
    assert scores.names == groups.names
    assert torch.equal(scores.sizes, groups.sizes)
    for group, name_ in enumerate(groups.names):
        masks = {p: mask for p in range(len(case.sites)) if (mask := groups.mask(group, p)) is not None}
        assert close(scores[name_], drop(case, masks)), name_


@pytest.mark.parametrize("name", ["overwritten", "two inputs", "windows"])
def test_a_baseline_takes_their_place(name: str) -> None:
    case = case_of(name)
    response = response_of(case)
    other = [torch.randn_like(a) for a in activations(case)]
    for held, batch in ((other, 3), ([a[:1] for a in other], 1)):
        scores = ablation(response, baseline=NeuronValues(response.space, tuple(held)))
        expected = by_neurons(case, held)
        assert held[0].shape[0] == batch
        assert all(close(got, want) for got, want in zip(scores.tensors, expected, strict=True))


def test_a_baseline_at_several_sites() -> None:
    case = case_of("overwritten")
    response = response_of(case)
    held = [torch.randn_like(a) for a in activations(case)]
    scores = ablation(response, by={"all": "*"}, baseline=NeuronValues(response.space, tuple(held)))
    everything = {p: torch.ones_like(a, dtype=torch.bool) for p, a in enumerate(held)}
    assert close(scores["all"], drop(case, everything, held))


@pytest.mark.parametrize("by", [None, "channels", {"all": "*", "one": "#0"}], ids=str)
@pytest.mark.parametrize("name", ["overwritten", "dense", "two inputs"])
def test_a_batch_equals_a_loop(name: str, by: Any) -> None:
    case = case_of(name)
    whole = ablation(response_of(case), by=by)
    for i in range(3):
        alone = ablation(response_of(case, naive.predicted(case)[i : i + 1], sample_of(case.x, i)), by=by)
        assert close(flat(whole)[i : i + 1], flat(alone))


def flat(scores: NeuronValues | GroupValues) -> Tensor:
    return scores.flatten() if isinstance(scores, NeuronValues) else scores.values


@pytest.mark.parametrize("by", [None, "channels", {"all": "*", "one": "relu#0"}], ids=str)
def test_how_many_run_at_once_does_not_matter(by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of("reused")
    expected = flat(ablation(response_of(case), by=by))
    for at_once in (1, 7, 10_000):
        monkeypatch.setattr(module, "rows_at_once", lambda *args, n=at_once, **kwargs: n)
        assert close(flat(ablation(response_of(case), by=by)), expected)


def test_the_memory_limit_is_heeded() -> None:
    response = response_of(case_of("reused"))
    assert close(flat(ablation(response, memory="8MiB")), flat(ablation(response)))
    with pytest.raises(OptionError, match="memory=1 is"):
        ablation(response, memory=1)


@pytest.mark.parametrize("by", [None, "channels", {"all": "*", "one": "act#0"}], ids=str)
def test_a_target_for_the_whole_batch_only(by: Any) -> None:
    """A function of the output may hold one thing per sample."""
    case = case_of("dense")
    labels = naive.predicted(case)
    calls = []

    def target(output: Tensor) -> Tensor:
        calls.append(len(output))
        return output.gather(1, labels[:, None])[:, 0]

    scores = ablation(response_of(case, target), by=by)
    assert set(calls) == {3}
    assert close(flat(scores), flat(ablation(response_of(case), by=by)))


class Half(nn.Module):
    """Φ = a² / 2 with a = relu(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x) ** 2 / 2


def test_one_neuron_by_hand() -> None:
    response = respond(cp.Network(Half().eval()), torch.tensor([[1.0], [3.0], [-1.0]]), 0)
    assert ablation(response)["act#0"].tolist() == [[0.5], [4.5], [0.0]]


def test_dead_neurons_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of("reused")
    active = [a != 0 for a in activations(case)]
    rows = []
    original = Response.of_rows
    monkeypatch.setattr(
        Response, "of_rows", lambda self, run, samples: rows.append(len(samples)) or original(self, run, samples)
    )
    scores = ablation(response_of(case))
    assert sum(rows) == sum(int(a.sum()) for a in active)
    assert all((s[~a] == 0).all() for s, a in zip(scores.tensors, active, strict=True))


def test_a_neuron_that_nothing_depends_on_scores_zero() -> None:
    """The null player: the dense network ignores one branch."""
    scores = ablation(response_of(case_of("dense")))
    assert float(scores["act#1"].abs().max()) < 1e-14


def test_neurons_that_do_the_same_score_the_same() -> None:
    case = case_of("two inputs")
    with torch.no_grad():
        for layer in (case.model.left, case.model.right):
            layer.weight[1], layer.bias[1] = layer.weight[0], layer.bias[0]
        case.model.out.weight[:, 1] = case.model.out.weight[:, 0]
    for tensor in ablation(response_of(case)).tensors:
        assert torch.allclose(tensor[:, 0], tensor[:, 1], rtol=1e-9)


def test_it_is_gradient_times_activation_where_the_rest_is_linear() -> None:
    case = case_of("windows")
    assert close(ablation(response_of(case)).flatten(), cp.score(cp.Network(case.model), case.x).flatten())


def test_values_are_float32_at_least() -> None:
    case = case_of("dense")
    for dtype, want in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        response = respond(cp.Network(case.model.to(dtype)), case.x.to(dtype))
        assert ablation(response)["act#0"].dtype == want
        assert ablation(response, by="channels").values.dtype == want


def test_too_many_runs_are_refused_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    response = response_of(case_of("overwritten"))
    active = int((response.run.values().flatten() != 0).sum())
    monkeypatch.setattr(module, "MOST_RUNS", active - 1)
    with pytest.raises(OptionError, match=f"takes {active} runs.*by='channels'"):
        ablation(response)
    assert isinstance(ablation(response, by="neurons"), NeuronValues)
    monkeypatch.setattr(module, "MOST_RUNS", active)
    assert close(ablation(response).flatten(), ablation(response, by="neurons").flatten())


def test_a_baseline_that_does_not_fit_is_refused() -> None:
    response = response_of(case_of("overwritten"))
    other = response_of(case_of("two inputs")).run.values()
    with pytest.raises(MismatchError, match="the baseline belongs to another network"):
        ablation(response, baseline=other)
    two = response.run.values().map(lambda a: a[:2])
    with pytest.raises(MismatchError, match="the baseline holds 2 samples; give 1, or 3"):
        ablation(response, baseline=two)


def test_groups_that_are_not_there_are_refused() -> None:
    with pytest.raises(MismatchError, match="no site is called 'conv'"):
        ablation(response_of(case_of("overwritten")), by=["conv"])
