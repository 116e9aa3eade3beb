"""The study's page: what is kept of a run, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from studies.conductance_text import drawing, published, selection
from studies.conductance_text.claims import claims
from studies.conductance_text.measured import (
    OTHERS,
    Results,
    lost,
    networks,
    of_phrase,
    over_networks,
    percent,
    points,
    share,
    share_above_method,
)
from studies.study import Estimate, shown
from studies.tables import markdown_table

__all__ = ["HEAD", "LIMITS", "TITLE", "claims", "figures", "kept", "sections"]

TITLE = "Conductance on text: negation, and types of questions"

HEAD = """
Section 6 of *How Important Is a Neuron?* (C) looks at a convolutional network for sentences with conductance. It finds
three filters behind "this is not good" and others behind "this is not bad", shows the sentences that have a high
conductance for them, and concludes that the network understands negation. On a second network, which tells types of
questions apart, it chooses few filters by four measures of importance and trains a linear classifier on them (table 2).

Here both networks are trained from scratch as described: embedding 50, 64 filters of each width 3 to 6, 1-max pool to
256, 10, classes. The neurons are the 256 pooled filters, one site of `critpath`. What reaches them from each word is
equation 2, summed over the embedding (`critpath.conductance_maps`); the integrals start at zero embeddings. The first
network learns the sentiment of the phrases of the Stanford Sentiment Treebank's training part and of rt-polarity's
snippets, without those that share six words in a row with the treebank's test and development parts. The second learns
the type of the answer to questions of WikiTableQuestions.

What differs from the paper, or is not said there: there are no pretrained vectors and no other reviews, so the
networks are weaker than one trained on much data; two logits in place of two binary heads; the ten hidden neurons are
leaky ReLUs (slope 0.1), since with plain ReLUs all ten die in some trainings; Kim's dropout of 0.5 on the filters, for
questions also none; the importance of a filter is for the logit of the predicted class, and for a phrase for that of
its own sentiment. Types are derived from answers: several answers are a list, yes, no, true and false are boolean, a
number from 1000 to 2099 or a written date is a date, other numbers, also with a unit, are numeric, the rest is a
string. Words that negate are the eleven of `words.py`.
"""

LIMITS = """
- The paper's network had more data. A network that turns "not bad" into a positive prediction could have other filters.
- A word list finds negations, not what they negate; "no" in "no-nonsense" counts.
- Intervals are over networks trained from different seeds, on the same data and the same held-out sentences. They say
  what training changes, not what another data set would. Over two or three networks an interval is little more than
  their range, so small differences need more networks (`cpu.yaml` has five of each, `full.yaml` ten).
- Figure 5's sentences are not in the text of the paper that was at hand, so they are not counted.
"""

PHRASES = ("not good", "not bad", "not bad (negative)", "good", "bad")
KEPT_SENTENCES = 5


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of the program by kind and seed; sentences of the first network only."""
    found: dict[str, Any] = {}
    for name, part in run["programs"]["text"].items():
        kind, seed = name.split("-")
        found.setdefault(kind, {})[seed] = _rounded(part if seed == "0" else _without_sentences(part))
    return {kind: dict(sorted(parts.items(), key=lambda pair: int(pair[0]))) for kind, parts in sorted(found.items())}


def _without_sentences(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_sentences(one) for key, one in value.items() if key not in ("first", "maps")}
    return value


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 5) if isinstance(value, float) else value


def sections(results: Results) -> Iterable[str]:
    """Tables and figures."""
    yield _networks(results)
    yield _filters(results)
    yield _methods(results)
    yield _sentences(results)
    yield selection.table_2(results)
    yield selection.by_split(results)


def figures(results: Results) -> dict[str, bytes]:
    """The page's figures."""
    first = networks(results, "sentiment")[0]
    blocks = {
        f"Highest conductance for the filters of “{phrase}”": of_phrase(first, phrase)["first"][:KEPT_SENTENCES]
        for phrase in ("not good", "not bad")
    }
    return {
        "table2.svg": drawing.table_2(results).encode(),
        "negation.svg": drawing.negation(results).encode(),
        "sentences.svg": drawing.coloured(blocks).encode(),
    }


def _networks(results: Results) -> str:
    said = {
        "sentiment": "sentiment, treebank's test part",
        "questions": "types of 2831 questions",
        "undropped": "types, trained without dropout",
    }
    rows = [
        [said[kind], str(len(results[kind])), percent(over_networks(results, lambda p: float(p["accuracy"]), kind))]
        for kind in said
    ]
    sizes = networks(results, "questions")[0]["sizes"]
    listed = ", ".join(f"{number} {name}" for name, number in sizes.items())
    table = markdown_table(["network", "trained", "test accuracy"], rows)
    return f"## The networks\n\n{table}\nIntervals are over networks. Of the 2831 questions, {listed}.\n"


def _filters(results: Results) -> str:
    head = [
        "input",
        "its logit less the other",
        "filters that fit",
        "negation among first 20",
        "diminishers",
    ]
    rows = [[f"this is {phrase}", *_phrase(results, phrase)] for phrase in PHRASES]
    base = over_networks(results, lambda part: float(part["zero"]["base"]["negation"]))
    drawn = over_networks(results, lambda part: float(part["zero"]["random"]["20"]))
    ablation = markdown_table(
        ["filters set to 0", "lost, positive adjectives", "lost, negative adjectives"],
        [[name, *(percent(_lost(results, kind, *which)) for kind in _BOTH)] for name, which in _LEFT_OUT.items()],
    )
    number = networks(results, "sentiment")[0]["sentences"]
    return (
        "## The filters behind a phrase\n\nThree filters of highest conductance that fit the pattern, and the "
        f"sentences with the highest conductance for any of them. Of all {number:,} sentences "
        f"{shown(base, percent=True)} hold a negation, of the first 20 by three random filters "
        f"{shown(drawn, percent=True)}. Each phrase is measured for the logit of its own sentiment, “not bad” for "
        f"both.\n\n{markdown_table(head, rows)}\n"
        'Do three filters carry the negation? The share of what "not" does to the margin that is lost without them:\n\n'
        f"{ablation}"
    )


def _lost(results: Results, kind: str, phrase: str, method: str | None) -> Estimate:
    return over_networks(results, lambda part: lost(part, phrase, kind, method))


_BOTH = ("positive", "negative")
_LEFT_OUT: dict[str, tuple[str, str | None]] = {
    "three of “not good”, by conductance": ("not good", "conductance"),
    "three of “not good”, by activation": ("not good", "activation"),
    "three of “not bad”, by conductance": ("not bad", "conductance"),
    "three at random": ("not good", None),
}


def _phrase(results: Results, phrase: str) -> list[str]:
    sign = 1 if phrase in ("good", "not bad") else -1

    def margin(part: Mapping[str, Any]) -> float:
        negative, positive = of_phrase(part, phrase)["logits"]
        return float(sign * (positive - negative))

    return [
        shown(over_networks(results, margin), 1),
        shown(over_networks(results, lambda part: float(of_phrase(part, phrase)["fitting"])), 1),
        percent(share(results, phrase, "20")),
        percent(over_networks(results, lambda part: float(of_phrase(part, phrase)["diminishing"]["20"]))),
    ]


def _methods(results: Results) -> str:
    rows = []
    for phrase in ("not good", "not bad"):
        for method in (*OTHERS, "conductance"):
            values = [percent(share(results, phrase, count, method)) for count in ("10", "20", "100")]
            less = [
                "" if method == "conductance" else points(share_above_method(results, phrase, "20", method, how))
                for how in ("own", "same")
            ]
            rows.append([phrase, published.NAMES[method], *values, *less])
    head = ["filters of", "by", "first 10", "first 20", "first 100", "conductance less this", "at the same filters"]
    return (
        "## Against the other measures\n\nEach measure chooses its own three filters for the phrase and ranks the "
        "sentences by its own values; shares of sentences with a negation. The last two columns are differences in "
        "points among the first 20, the last one where all rank by the filters that conductance chose. The paper does "
        f"not compare measures here.\n\n{markdown_table(head, rows)}\n"
        "![Share of sentences with a negation](images/study-conductance-text-negation.svg)\n"
    )


def _sentences(results: Results) -> str:
    first = networks(results, "sentiment")[0]
    rows = [
        [phrase, " ".join(one["words"]), str(one["grade"]), "yes" if one["negation"] else ""]
        for phrase in ("not good", "not bad")
        for one in of_phrase(first, phrase)["first"][:KEPT_SENTENCES]
    ]
    where = "; ".join(
        f"“{phrase}” {percent(_on(results, phrase, 'share'))}, "
        f"a word at random {percent(_on(results, phrase, 'chance'))}"
        for phrase in ("not good", "not bad")
    )
    return (
        "## Figures 5 and 6\n\nShort sentences with the highest conductance in the first network (grade 0 very "
        f"negative, 4 very positive).\n\n{markdown_table(['filters of', 'sentence', 'grade', 'negation'], rows)}\n"
        "What reaches the filter from each word (equation 2):\n\n"
        "![Sentences coloured by word](images/study-conductance-text-sentences.svg)\n\n"
        "Of the first 50 sentences, in those with a negation, how often the word that adds most is one that negates: "
        f"{where}.\n"
    )


def _on(results: Results, phrase: str, what: str) -> Estimate:
    """Of networks with such sentences."""

    def value(part: Mapping[str, Any]) -> float | None:
        found = of_phrase(part, phrase)["on_negation"]
        return float(found[what]) if found["n"] else None

    return over_networks(results, value)
