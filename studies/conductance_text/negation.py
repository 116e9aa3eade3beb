"""Which filters carry "not good" and "not bad", and what sentences they have high conductance for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import critpath as cp
from critpath.baselines import InputBaseline
from critpath.evaluation.channels import METHODS
from studies.conductance_text.kim import FILTER_SITE, Trained
from studies.conductance_text.words import DIMINISHERS, NEGATIONS, PADDING, UNKNOWN, Sentence, has, padded

COUNTS = (10, 20, 50, 100)
TRIO = 3
"""Filters that the paper found for "not good"."""

LOOKED_AT = 50
"""Filters of highest conductance whose equation 2 is looked at."""

AT_ONCE, POINTS = 128, 16
"""Sentences at a time, and points of the integrals of equation 2."""


@dataclass(frozen=True)
class Phrase:
    """An input, the pattern in it, and its sentiment: 0 negative, 1 positive."""

    words: Sentence
    pattern: Sentence
    sentiment: int


PHRASES = {
    "not good": Phrase(("this", "is", "not", "good"), ("not", "good"), 0),
    "not bad": Phrase(("this", "is", "not", "bad"), ("not", "bad"), 1),
    "not bad (negative)": Phrase(("this", "is", "not", "bad"), ("not", "bad"), 0),
    "good": Phrase(("this", "is", "good"), ("good",), 1),
    "bad": Phrase(("this", "is", "bad"), ("bad",), 0),
}
"""The paper's two, the second also for the other logit, and the same without a negation as controls."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """What a phrase does: filters by every method, three each, and equation 2 of the conductance filters."""

    filters: dict[str, tuple[int, ...]]
    maps: Tensor  # [3, words]
    fitting: int  # of the ten filters of highest conductance, those that fit the pattern
    both: tuple[int, ...]  # three of the fifty of highest conductance, by the least that a word of the pattern adds


def network(trained: Trained) -> cp.Network:
    """The network with its pooled filters as the only site."""
    return cp.Network(trained.model, only=[FILTER_SITE])


def importances_of(
    net: cp.Network,
    rows: Sequence[Sequence[int]],
    target: Tensor | None = None,
    baseline: str | None = None,
    points: int = 32,
) -> dict[str, Tensor]:
    """Importance [n, 256] of every pooled filter by the four methods; sentences are given by their words' numbers.

    The response is the logit of the predicted class, or of ``target`` [n]. ``baseline``: zero embeddings, or "unknown",
    the unknown word in every place.
    """
    order = torch.tensor(sorted(range(len(rows)), key=lambda number: len(rows[number])))
    parts = [
        _importances(net, padded([rows[i] for i in some]), None if target is None else target[some], baseline, points)
        for some in torch.split(order, AT_ONCE)
    ]
    return {name: torch.cat([part[name] for part in parts])[order.argsort()] for name in METHODS}


def _importances(
    net: cp.Network, x: Tensor, target: Tensor | None, baseline: str | None, points: int
) -> dict[str, Tensor]:
    found = cp.score_many(net, x, METHODS, target, by="channels", baseline=starting(x, baseline), points=points)
    return {name: scores.values for name, scores in found.items() if isinstance(scores, cp.GroupValues)}


def starting(x: Tensor, baseline: str | None) -> InputBaseline:
    """The baseline of some tokens: None for zero, "unknown" for the unknown word in every word's place."""
    return torch.where(x == PADDING, PADDING, UNKNOWN) if baseline == "unknown" else None


def chosen_filters(
    net: cp.Network, trained: Trained, phrase: Phrase, target: int, baseline: str | None = None
) -> Chosen:
    """Three filters for a phrase by every method: those of largest signed importance for the logit of ``target``.

    Of conductance, as the paper does it, those that fit the pattern come first: see ``fits``.
    """
    rows = [trained.vocabulary.ids(phrase.words)]
    importances = {name: v[0] for name, v in importances_of(net, rows, torch.tensor([target]), baseline).items()}
    order = importances["conductance"].argsort(descending=True, stable=True)[:LOOKED_AT]
    maps = token_maps(net, padded(rows), order.tolist(), target, baseline)[:, 0]
    fitting = [fits(row, phrase) for row in maps[:10]]
    ranked = sorted(range(10), key=lambda place: (not fitting[place], place))[:TRIO]
    filters = {name: first_three(values) for name, values in importances.items()}
    filters["conductance"] = tuple(order[ranked].tolist())
    least = maps[:, on_pattern(phrase)].amin(dim=1)
    return Chosen(filters, maps[ranked], sum(fitting), tuple(order[list(first_three(least))].tolist()))


def first_three(values: Tensor) -> tuple[int, ...]:
    """Numbers of the three largest."""
    return tuple(values.argsort(descending=True, stable=True)[:TRIO].tolist())


def on_pattern(phrase: Phrase) -> Tensor:
    """Which words of a phrase are those of its pattern: booleans [words]."""
    return torch.tensor([word in phrase.pattern for word in phrase.words])


def fits(attributions: Tensor, phrase: Phrase) -> bool:
    """Whether a filter's equation 2 [words] lies on the pattern: every word of it adds, and together they have half.

    Of the sum of magnitudes over all words.
    """
    inside = attributions[on_pattern(phrase)]
    return bool((inside > 0).all()) and float(inside.sum()) >= 0.5 * float(attributions.abs().sum())


def token_maps(
    net: cp.Network, x: Tensor, filters: Sequence[int], target: int | None, baseline: str | None = None
) -> Tensor:
    """Equation 2, summed over the embedding: [filters, n, length]."""
    units = [cp.Neuron(FILTER_SITE, (number,)) for number in filters]
    found = cp.conductance_maps(net, x, units, target, baseline=starting(x, baseline), points=POINTS).maps
    assert isinstance(found, Tensor)
    return found


def highest(values: Tensor, filters: Sequence[int]) -> Tensor:
    """Sentences by their largest value at any of the filters, the largest first: integers [n]."""
    return values[:, list(filters)].amax(dim=1).argsort(descending=True, stable=True)


@dataclass(frozen=True, eq=False)
class Marks:
    """What sentences hold: float64 [n] each, 1 or 0."""

    negation: Tensor
    diminisher: Tensor

    @classmethod
    def of(cls, sentences: Sequence[Sentence]) -> Marks:
        """Whether a listed word is in each sentence."""
        return cls(*(torch.tensor([float(has(s, w)) for s in sentences]).double() for w in (NEGATIONS, DIMINISHERS)))


def shares(order: Tensor, marks: Tensor, counts: Iterable[int] = COUNTS) -> dict[str, float]:
    """Share of marked sentences among the first k, and "auc": the chance that a marked one comes before another."""
    found = {str(k): float(marks[order[:k]].mean()) for k in counts}
    return {**found, "auc": area(order, marks)}


def area(order: Tensor, marks: Tensor) -> float:
    """The area under the ROC curve of an order, the first being the most."""
    marked = marks[order]
    before = (1 - marked).cumsum(0)
    wrong = float((marked * before).sum())
    pairs = float(marked.sum() * (1 - marked).sum())
    return 1 - wrong / pairs if pairs else float("nan")


def random_shares(values: Tensor, marks: Tensor, draws: int, seed: int) -> dict[str, float]:
    """Mean of ``shares`` over trios of filters drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    trios = [torch.randperm(values.shape[1], generator=generator)[:TRIO].tolist() for _ in range(draws)]
    found = [shares(highest(values, trio), marks) for trio in trios]
    return {key: sum(one[key] for one in found) / draws for key in found[0]}


def by_method(
    importances: Mapping[str, Tensor], filters: Mapping[str, Sequence[int]], marks: Tensor
) -> dict[str, dict[str, float]]:
    """``shares`` when every method ranks the sentences by its own values at the filters that are given for it."""
    return {name: shares(highest(values, filters[name]), marks) for name, values in importances.items()}
