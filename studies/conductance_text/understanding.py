"""What "not" does to the network's prediction, with all filters and without some of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import critpath as cp
from studies.conductance_text.kim import FILTER_SITE, Trained
from studies.conductance_text.negation import TRIO
from studies.conductance_text.words import Sentence

_POSITIVE = "good great funny interesting original entertaining clever moving charming enjoyable"
_NEGATIVE = "bad dull boring silly stupid predictable tedious awful terrible annoying"
ADJECTIVES = {"positive": tuple(_POSITIVE.split()), "negative": tuple(_NEGATIVE.split())}

Understood = dict[str, dict[str, float]]


def understood(net: cp.Network, trained: Trained, without: Sequence[int] = ()) -> Understood:
    """What becomes of "this is A" in "this is not A", for ten positive and ten negative adjectives.

    ``turned``: share whose predicted sentiment turns, of those that are right without "not" in the whole network.
    ``shift``: mean change of the logit of positive less that of negative. ``without``: filters that are set to 0.
    """
    return {name: _understood(net, trained, words, name == "positive", without) for name, words in ADJECTIVES.items()}


def _understood(
    net: cp.Network, trained: Trained, adjectives: Sequence[str], positive: bool, without: Sequence[int]
) -> dict[str, float]:
    plain: list[Sentence] = [("this", "is", word) for word in adjectives]
    negated: list[Sentence] = [("this", "is", "not", word) for word in adjectives]
    right = (margins(net, trained, plain) > 0) == positive
    before, after = (margins(net, trained, sentences, without) for sentences in (plain, negated))
    turned = right & ((after > 0) != positive)
    return {
        "turned": float(turned.double().sum() / right.double().sum().clamp(min=1)),
        "shift": float((after - before).double().mean()),
    }


def margins(net: cp.Network, trained: Trained, sentences: Sequence[Sentence], without: Sequence[int] = ()) -> Tensor:
    """The logit of positive less that of negative [n], with some filters at 0."""
    chosen = list(without)

    def rule(site: cp.Site, values: Tensor) -> Tensor:
        return values.index_fill(1, torch.tensor(chosen, dtype=torch.long), 0) if site.name == FILTER_SITE else values

    output: Tensor = net.run(trained.vocabulary.tokens(sentences), rule if chosen else None, graph=False).output
    return (output[:, 1] - output[:, 0]).detach()


def without_random(net: cp.Network, trained: Trained, draws: int, seed: int) -> Understood:
    """``understood`` without three filters drawn at random, averaged over the draws."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(trained.model.fc1.in_features, generator=generator)[:TRIO].tolist() for _ in range(draws)]
    found = [understood(net, trained, filters) for filters in drawn]
    return {name: {key: sum(one[name][key] for one in found) / draws for key in found[0][name]} for name in found[0]}


def net_filters(trained: Trained) -> int:
    """How many filters there are."""
    return trained.model.fc1.in_features
