"""The study's program for `critpath run`: a part for each trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from studies.conductance_text import negation, questions
from studies.conductance_text.kim import Recipe, Trained, train
from studies.conductance_text.negation import PHRASES, Marks
from studies.conductance_text.sources import TYPES, Labelled, phrases, polarity, sizes, treebank
from studies.conductance_text.sources import questions as table_questions
from studies.conductance_text.understanding import understood, without_random
from studies.conductance_text.words import NEGATIONS, Sentence, has

SENTIMENT, QUESTIONS, UNDROPPED = "sentiment", "questions", "undropped"
SHARES = (0.8, 0.5)
"""Questions that choose filters: as the paper's text says, and as its figures of table 2 say."""

RANDOM_TRIOS = 20
"""Of filters that are left out."""

READ = ("not good", "not bad")
"""Phrases whose sentences are looked at."""

LISTED, SHORT, NEGATED_AMONG = 5, 18, 50
"""Sentences kept of each, words that they have at most; those with a negation are looked for among so many."""


def parts(**options: Any) -> list[str]:
    """One for every network: ``sentiment``, ``questions`` and ``undropped`` (no dropout) say how many of each."""
    return [f"{name}-{seed}" for name in (SENTIMENT, QUESTIONS, UNDROPPED) for seed in range(options[name])]


def run(part: str, **options: Any) -> dict[str, Any]:
    """Train one network and measure it.

    Options: ``sentences`` of the treebank that are ranked, ``points`` of the integrals, ``draws`` of random filters,
    ``splits`` of the questions, ``epochs``, and ``checked``: how many networks are measured from another baseline, or
    for another class, too.
    """
    name, seed = part.split("-")
    if name == SENTIMENT:
        return _sentiment(int(seed), options)
    return _questions(int(seed), 0.5 if name == QUESTIONS else 0.0, options)


def _sentiment(seed: int, options: dict[str, Any]) -> dict[str, Any]:
    held_out = treebank("test") + treebank("dev")
    trained = train(phrases() + polarity(held_out), 2, Recipe(options["epochs"], 128), seed)
    net = negation.network(trained)
    ranked = (held_out + treebank("train")).some(range(options["sentences"]))
    found = {
        "accuracy": trained.accuracy(binary(treebank("test"))),
        "sentences": len(ranked),
        "understood": understood(net, trained),
        "without_random": without_random(net, trained, RANDOM_TRIOS, seed=0),
        "zero": sentences_of(trained, ranked, None, options),
    }
    return found | ({"unknown": sentences_of(trained, ranked, "unknown", options)} if seed < options["checked"] else {})


def binary(graded: Labelled) -> Labelled:
    """The sentences that are not neutral, 0 negative and 1 positive."""
    kept = graded.some(number for number, grade in enumerate(graded.labels) if grade != 2)
    return Labelled(kept.sentences, tuple(int(grade > 2) for grade in kept.labels))


def sentences_of(trained: Trained, ranked: Labelled, baseline: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What every phrase's filters do on the sentences, measured from one baseline."""
    net = negation.network(trained)
    rows = [trained.vocabulary.ids(sentence) for sentence in ranked.sentences]
    importances = negation.importances_of(net, rows, None, baseline, options["points"])
    marks = Marks.of(ranked.sentences)
    conductance = importances["conductance"]
    return {
        "base": {"negation": float(marks.negation.mean()), "diminisher": float(marks.diminisher.mean())},
        "random": negation.random_shares(conductance, marks.negation, options["draws"], seed=0),
        "phrases": {name: _phrase(trained, name, importances, ranked, marks, baseline) for name in PHRASES},
    }


def _phrase(
    trained: Trained,
    name: str,
    importances: dict[str, Tensor],
    ranked: Labelled,
    marks: Marks,
    baseline: str | None,
) -> dict[str, Any]:
    net, phrase = negation.network(trained), PHRASES[name]
    chosen = negation.chosen_filters(net, trained, phrase, phrase.sentiment, baseline)
    same = dict.fromkeys(importances, chosen.filters["conductance"])
    conductance = importances["conductance"]
    order = negation.highest(conductance, chosen.filters["conductance"])
    return {
        "logits": trained.logits([phrase.words])[0].tolist(),
        "filters": {method: list(numbers) for method, numbers in chosen.filters.items()},
        "fitting": chosen.fitting,
        "without": {m: understood(net, trained, chosen.filters[m]) for m in ("activation", "conductance")},
        "maps": chosen.maps.tolist(),
        "own": negation.by_method(importances, chosen.filters, marks.negation),
        "same": negation.by_method(importances, same, marks.negation),
        "both": negation.shares(negation.highest(conductance, chosen.both), marks.negation),
        "diminishing": negation.shares(order, marks.diminisher),
        **(_read(trained, ranked, order, chosen.filters["conductance"], baseline) if name in READ else {}),
    }


def _read(
    trained: Trained, ranked: Labelled, order: Tensor, filters: tuple[int, ...], baseline: str | None
) -> dict[str, Any]:
    """The first short sentences, and where in the first that negate equation 2 is largest."""
    short = [number for number in order.tolist() if len(ranked.sentences[number]) <= SHORT][:LISTED]
    negated = [number for number in order[:NEGATED_AMONG].tolist() if has(ranked.sentences[number], NEGATIONS)]
    maps = attributed(trained, [ranked.sentences[number] for number in (*short, *negated)], filters, baseline)
    first = [_listed(ranked, number, values) for number, values in zip(short, maps, strict=False)]
    sentences = [ranked.sentences[number] for number in negated]
    return {"first": first, "on_negation": on_negation(sentences, maps[len(short) :])}


def _listed(ranked: Labelled, number: int, values: Tensor) -> dict[str, Any]:
    sentence = ranked.sentences[number]
    return {
        "words": list(sentence),
        "map": values.tolist(),
        "grade": ranked.labels[number],
        "negation": has(sentence, NEGATIONS),
    }


def attributed(
    trained: Trained, sentences: Sequence[Sentence], filters: tuple[int, ...], baseline: str | None
) -> list[Tensor]:
    """Equation 2 [words], for the predicted class, through that of the filters which gets the most."""
    x = trained.vocabulary.tokens(sentences)
    maps = negation.token_maps(negation.network(trained), x, filters, None, baseline)
    most = maps.sum(dim=2).argmax(dim=0).tolist()
    return [maps[most[i], i, : len(sentence)] for i, sentence in enumerate(sentences)]


def on_negation(sentences: Sequence[Sentence], maps: Sequence[Tensor]) -> dict[str, float | int]:
    """The share of sentences whose map is largest at a word that negates, and what a word at random gives."""
    hits = [sentence[int(values.argmax())] in NEGATIONS for sentence, values in zip(sentences, maps, strict=True)]
    chance = [sum(word in NEGATIONS for word in sentence) / len(sentence) for sentence in sentences]
    number = max(1, len(sentences))
    return {"n": len(sentences), "share": sum(hits) / number, "chance": sum(chance) / number}


def _questions(seed: int, dropout: float, options: dict[str, Any]) -> dict[str, Any]:
    asked = table_questions("dev")
    trained = train(table_questions("train"), len(TYPES), Recipe(options["epochs"], 64, dropout=dropout), seed)
    found = {
        "accuracy": trained.accuracy(asked),
        "largest": questions.largest_class(asked.labels),
        "sizes": sizes(asked.labels, TYPES),
        "predicted": _tables(trained, asked, None, options, seed),
    }
    if seed < options["checked"]:
        found["label"] = _tables(trained, asked, "label", options, seed)
        found["unknown"] = _tables(trained, asked, "unknown", options, seed)
    return found


def _tables(
    trained: Trained, asked: Labelled, variant: str | None, options: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Table 2 for both shares; importances for the predicted type or each question's own, from the baseline."""
    net = negation.network(trained)
    rows, labels = [trained.vocabulary.ids(sentence) for sentence in asked.sentences], torch.tensor(asked.labels)
    target = labels if variant == "label" else None
    baseline = "unknown" if variant == "unknown" else None
    importances = negation.importances_of(net, rows, target, baseline, options["points"])
    return {str(share): questions.table(importances, labels, share, options["splits"], seed) for share in SHARES}
