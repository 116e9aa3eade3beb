"""Greedy pruning: round by round, the active neurons that the response would miss least."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor

from critpath.network import gradients_on
from critpath.neurons import NeuronSpace, parted, wide
from critpath.options import check_choice, check_number
from critpath.pathway import Pathway, Search
from critpath.response import Response
from critpath.selection.family import FINDERS
from critpath.selection.ranking import check_sparsity, kept_count
from critpath.selection.searching import Watched, curves_of, joined, smallest, told

STEP = 0.01
"""Share of all neurons pruned in a round by default."""


def _rounds(space: NeuronSpace) -> int:
    """Rounds at the default sparsity of 0.9, one forward and one backward pass each, the measurement after the last
    one included."""
    return 1 + min(round(0.9 / STEP), space.neurons)


@FINDERS.register("greedy", forwards=_rounds, backwards=_rounds, copies=4)
@gradients_on()
def greedy(response: Response, sparsity: float, *, step: float = STEP, fallback: str = "stop") -> Pathway:
    """GreedyPruning: prune the neurons of lowest |a dΦ/da|, measured anew in the pruned network each round.

    Candidates are the neurons that are kept and active (a ≠ 0) in the network as pruned so far; what is pruned
    stays pruned. Dead neurons are never candidates, but may come to life as others go. Critical-pathways paper,
    algorithm 1. Takes as many forward and backward passes as rounds, and one more.

    ``search.curves``, after each round: ``kept``, the share of neurons that are kept; ``response``; and ``dead``, the
    share of the kept that are dead on the original input. ``search.ranking`` is the order of removal, 1 for the first
    neuron pruned; survivors follow by their last score, so that ``select(search.ranking, s)`` is the
    pathway of any round, or between two. Raises OptionError, NumericalError.

    Parameters
    ----------
    step
        Share of all neurons pruned in a round, in (0, 1]; one neuron at least, and never more than the budget or
        the candidates allow.
    fallback
        What is done once all neurons that are left are dead, so that there is nothing to prune: ``"stop"`` (the
        pathway is larger than asked; ``search.stopped`` says so and SearchWarning is warned) or ``"dead"`` (dead
        neurons are pruned too, which changes nothing in the network; ``search.stopped`` says how many).
    """
    check_sparsity(sparsity)
    check_number("step", step, 0, 1, above=True)
    check_choice("fallback", fallback, ("stop", "dead"))
    space, budget = response.space, kept_count(response.space.neurons, sparsity)
    ending = _prune(response, budget, max(1, round(step * space.neurons)))
    sizes = (ending.place == 0).sum(dim=1)
    ranking = _ranking(ending)
    final = sizes.clamp(max=budget) if fallback == "dead" else sizes
    search = Search(
        method="greedy",
        curves=curves_of(ending.steps),
        stopped=tuple(_stopped(size, budget, space.neurons, fallback) for size in sizes.tolist()),
        keeps_class=response.keeps_class(ending.pruned),
        ranking=parted(space, ranking),
    )
    keep = parted(space, ranking > (space.neurons - final).unsqueeze(1))
    return told(Pathway(keep, sparsity, search), quiet=fallback == "dead")


@dataclass(frozen=True, eq=False)
class _Ending:
    """Where the rounds led: the pruned response, each neuron's place in the order of removal (from 1; 0 is kept) and
    last |score|, both [batch, neurons], and what was watched."""

    pruned: Response
    place: Tensor
    scores: Tensor
    steps: list[Watched]


def _prune(response: Response, budget: int, step: int) -> _Ending:
    pruned, steps = response, list[Watched]()
    scores, active = _scores(response)
    dead, place = ~active, torch.zeros_like(scores, dtype=_places(scores.shape[1]))
    busy = torch.ones_like(response.value, dtype=torch.bool)
    while True:
        kept = place == 0
        steps.append(_watched(pruned, kept, dead, busy))
        candidates, surplus = kept & active, kept.sum(dim=1) - budget
        counts = candidates.sum(dim=1).minimum(surplus).clamp(max=step)
        busy = counts > 0
        if not busy.any():
            return _Ending(pruned, place, scores, steps)
        _remove(place, scores, candidates, counts)
        pruned = response.pruned(Pathway(parted(response.space, place == 0)))
        scores, active = _scores(pruned)


def _scores(response: Response) -> tuple[Tensor, Tensor]:
    """|a dΦ/da|, and whether a ≠ 0, of every neuron as things stand: [batch, neurons]."""
    scores = response.run.read(response.value, lambda a, gradient: (a * gradient).abs())
    active = response.run.values().map(lambda a: a != 0)
    return joined(scores, response.value), joined(active, response.value)


def _watched(pruned: Response, kept: Tensor, dead: Tensor, busy: Tensor) -> Watched:
    """NaN for samples that were finished before this round."""
    sizes = kept.sum(dim=1)
    now = {
        "kept": sizes / kept.shape[1],
        "response": pruned.value,
        "dead": (kept & dead).sum(dim=1) / sizes.clamp(min=1),
    }
    return {name: torch.where(busy, wide(numbers.detach()), nan) for name, numbers in now.items()}


def _remove(place: Tensor, scores: Tensor, candidates: Tensor, counts: Tensor) -> None:
    """Give the ``counts`` [batch] candidates of lowest score the next places in the order of removal."""
    for i in counts.nonzero().flatten().tolist():
        lowest = _lowest(scores[i], candidates[i], int(counts[i]))
        place[i, lowest] = _following(place[i], len(lowest))


def _ranking(ending: _Ending) -> Tensor:
    """The order of removal, the survivors by their last score above all that were removed: [batch, neurons]."""
    ranking = ending.place.clone()
    for row, scores in zip(ranking, ending.scores, strict=True):
        survivors = row == 0
        row[_lowest(scores, survivors, int(survivors.sum()))] = _following(row, int(survivors.sum()))
    return ranking


def _following(place: Tensor, count: int) -> Tensor:
    """The ``count`` places that follow those already given."""
    first = int(torch.count_nonzero(place)) + 1
    return torch.arange(first, first + count, dtype=place.dtype, device=place.device)


def _lowest(scores: Tensor, candidates: Tensor, count: int) -> Tensor:
    """The ``count`` candidates of lowest score, lowest first; ties give the later neuron first."""
    chosen = smallest(scores, candidates, count).nonzero().flatten().flip(0)
    return chosen[scores[chosen].sort(stable=True).indices]


def _places(neurons: int) -> torch.dtype:
    """A dtype in which every place in the order is exact."""
    return torch.float32 if neurons < 2**24 else torch.float64


def _stopped(size: int, budget: int, neurons: int, fallback: str) -> str:
    if size <= budget:
        return ""
    stalled = f"stalled at {size:,} neurons kept ({size / neurons:.1%}), all of them dead in the pruned network"
    if fallback == "dead":
        return f"{stalled}; {size - budget:,} dead neurons were pruned too, to the {budget:,} asked for"
    return f"{stalled}: the {budget:,} asked for were not reached (fallback='dead' prunes dead ones too)"
