"""The study of conductance on text: its words, types, network, measures and verdicts."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _studies_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


@pytest.fixture(scope="module")
def trained() -> Iterator[Any]:
    """A network that learnt in seconds what "good" and "bad" are, and that "not" turns them."""
    sys.path.insert(0, str(ROOT))
    from studies.conductance_text.kim import Recipe, train
    from studies.conductance_text.sources import Labelled

    fillers = ("film", "story", "cast", "plot", "end")
    rows = [
        (("the", one, "is", *negation, word, "and", other), int((word == "good") != bool(negation)))
        for one in fillers
        for other in fillers
        for negation in ((), ("not",))
        for word in ("good", "bad")
    ]
    data = Labelled(tuple(words for words, _ in rows), tuple(label for _, label in rows))
    yield train(data, 2, Recipe(epochs=25, batch=20, lr=3e-3, dropout=0.2), seed=0), data
    sys.path.remove(str(ROOT))


def test_raw_and_treebank_text_give_the_same_words() -> None:
    from studies.conductance_text.words import NEGATIONS, has, words_of

    assert words_of("It isn't well-acted , she can't (really) .") == words_of(
        "it is n't well - acted , she ca n't -lrb- really -rrb- ."
    )
    assert has(words_of("They don't know"), NEGATIONS)
    assert not has(words_of("a notable knot"), NEGATIONS)


def test_unknown_words_and_padding_have_numbers_of_their_own() -> None:
    from studies.conductance_text.words import vocabulary

    known = vocabulary([("b", "a", "b"), ("a", "c")])
    assert known.words == ("a", "b")
    assert known.tokens([("b", "c", "a"), ("a",)]).tolist() == [[3, 1, 2], [2, 0, 0]]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("12,467", "numeric"),
        ("-3.5%", "numeric"),
        ("$1,200", "numeric"),
        ("14 years", "numeric"),
        ("2004", "date"),
        ("2130", "numeric"),
        ("1991/92", "date"),
        ("10 February 2008", "date"),
        ("13-Apr-75", "date"),
        ("May 1941", "date"),
        ("Decathlon", "string"),
        ("4th", "string"),
        ("2006 Kirin Cup", "string"),
        ("Yes", "boolean"),
        ("1969|1989", "list"),
    ],
)
def test_types_of_answers(answer: str, kind: str) -> None:
    from studies.conductance_text.sources import type_of

    assert type_of(answer) == kind


def test_every_node_of_a_tree_has_its_words() -> None:
    from studies.conductance_text.sources import nodes

    tree = "(3 (2 It) (4 (2 is) (3 (1 n't) (3 bad))))"
    assert list(nodes(tree))[-1] == (3, ("it", "is", "n't", "bad"))
    assert (3, ("n't", "bad")) in list(nodes(tree))
    assert len(list(nodes(tree))) == 7


def test_sentences_that_share_six_words_are_known() -> None:
    from studies.conductance_text.sources import runs

    first = ("a", "b", ",", "c", "d", "e", "f", "g")
    assert not runs(first).isdisjoint(runs(("x", "b", "c", "d", "e", ".", "f", "g")))
    assert runs(first).isdisjoint(runs(("x", "b", "c", "d", "e", "y", "f", "g")))


def test_padding_changes_nothing(trained: Any) -> None:
    model, vocabulary = trained[0].model, trained[0].vocabulary
    alone = vocabulary.tokens([("the", "film")])
    longer = torch.nn.functional.pad(alone, (0, 9))
    torch.testing.assert_close(model(alone), model(longer))


def test_training_learns_and_repeats_itself(trained: Any) -> None:
    from studies.conductance_text.kim import Recipe, train

    network, data = trained
    assert network.accuracy(data) == 1.0
    one, two = (train(data, 2, Recipe(epochs=1), seed=3) for _ in range(2))
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name])


def test_conductance_of_the_filters_is_the_sum_over_words(trained: Any) -> None:
    from studies.conductance_text import negation

    network, data = trained
    net = negation.network(network)
    rows = [network.vocabulary.ids(sentence) for sentence in data.sentences[:3]]
    scores = negation.importances_of(net, rows, torch.zeros(3, dtype=torch.long), points=128)["conductance"]
    maps = negation.token_maps(net, network.vocabulary.tokens(data.sentences[:3]), [3, 70, 200], 0)
    torch.testing.assert_close(maps.sum(dim=2).T.double(), scores[:, [3, 70, 200]], atol=2e-3, rtol=0.05)


def test_sentences_of_any_length_keep_their_order(trained: Any) -> None:
    from studies.conductance_text import negation

    network, data = trained
    net = negation.network(network)
    rows = [network.vocabulary.ids(data.sentences[i][: 7 - i]) for i in range(4)]
    together = negation.importances_of(net, rows, points=8)
    for number, row in enumerate(rows):
        alone = negation.importances_of(net, [row], points=8)
        for name, values in alone.items():
            torch.testing.assert_close(together[name][number], values[0], atol=1e-5, rtol=1e-4)


def test_filters_that_fit_the_pattern_come_first(trained: Any) -> None:
    from studies.conductance_text import negation

    network, _ = trained
    phrase = negation.Phrase(("the", "film", "is", "not", "good"), ("not", "good"), 0)
    chosen = negation.chosen_filters(negation.network(network), network, phrase, 0)
    assert {len(set(filters)) for filters in chosen.filters.values()} == {3}
    fitting = [negation.fits(row, phrase) for row in chosen.maps]
    assert fitting == sorted(fitting, reverse=True)
    assert sum(fitting) == min(3, chosen.fitting)
    assert chosen.fitting > 0


@pytest.mark.parametrize(
    ("values", "fit"),
    [([0.0, 0.1, 1.0, 1.0], True), ([0.0, 0.0, -0.1, 1.0], False), ([2.0, 1.0, 1.0, 1.0], False)],
)
def test_what_fits(values: list[float], fit: bool) -> None:
    from studies.conductance_text import negation

    assert negation.fits(torch.tensor(values), negation.PHRASES["not good"]) is fit


def test_shares_and_area() -> None:
    from studies.conductance_text import negation

    marks = torch.tensor([1.0, 0, 1, 0], dtype=torch.float64)
    values = torch.tensor([[0.0, 9.0], [3.0, 0.0], [2.0, 5.0], [1.0, 0.0]])
    order = negation.highest(values, [0])
    assert order.tolist() == [1, 2, 3, 0]
    assert negation.shares(order, marks, (1, 2)) == {"1": 0.0, "2": 0.5, "auc": 0.25}
    assert negation.area(negation.highest(values, [0, 1]), marks) == 1.0


def test_understanding_is_lost_without_all_filters(trained: Any) -> None:
    from studies.conductance_text import negation, understanding

    network, _ = trained
    net = negation.network(network)
    plain, negated = ("the", "film", "is", "good"), ("the", "film", "is", "not", "good")
    whole = understanding.margins(net, network, [plain, negated])
    without = understanding.margins(net, network, [plain, negated], range(256))
    assert whole[0] > 0 > whole[1]
    torch.testing.assert_close(without[0], without[1])
    torch.testing.assert_close(whole, network.logits([plain, negated]).diff(dim=1)[:, 0])


def test_table_2_prefers_what_tells_types_apart() -> None:
    from studies.conductance_text import questions

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 5
    features = torch.rand(100, 30, generator=generator)
    features[:, :5] += 3 * torch.nn.functional.one_hot(labels, 5)
    good = {"activation": features, "conductance": _preferring(features, range(5))}
    found = questions.table(good, labels, 0.5, splits=2, seed=0)
    assert found["accuracy"]["conductance"][0] == 1.0
    assert found["accuracy"]["random"][0] < 0.9
    assert found["wins"]["random"][0] == 1.0


def _preferring(features: Tensor, columns: range) -> Tensor:
    found = torch.zeros_like(features)
    found[:, list(columns)] = 1.0
    return found


def test_which_counts_table_2_allows() -> None:
    from studies.conductance_text import published

    assert published.possible(54.17, 1416)
    assert not published.possible(54.17, 566)
    assert published.cells(published.HALF) == 16


def test_verdicts_follow_the_numbers() -> None:
    from studies.conductance_text.claims import claims

    results = _results()
    before = {claim.claim: claim.verdict for claim in claims(results)}
    changed = copy.deepcopy(results)
    for part in changed["sentiment"].values():
        part["understood"]["negative"]["turned"] = 0.9
        part["zero"]["phrases"]["not bad"]["own"]["conductance"] = dict.fromkeys(("10", "20", "50", "100"), 0.9)
    for kind in ("questions", "undropped"):
        for part in changed[kind].values():
            part["predicted"]["0.5"]["accuracy"]["influence"] = [0.5] * 4
    after = {claim.claim: claim.verdict for claim in claims(changed)}
    turned = {claim for claim in before if before[claim] != after[claim]}
    assert turned == {
        "The network understands negation",
        "Sentences of high conductance for the filters of “not bad” show negation",
        "The filters of “not bad” are largely focused on negation",
        "Conductance selects better features than influence",
    }
    assert {after[claim] for claim in turned} == {"holds"}


def test_the_page_is_made_from_what_is_kept() -> None:
    from studies.conductance_text import page

    kept = page.kept({"programs": {"text": _parts()}})
    assert "first" not in kept["sentiment"]["1"]["zero"]["phrases"]["not good"]
    text = "\n".join(page.sections(kept))
    assert "| this is not good |" in text
    figures = page.figures(kept)
    assert set(figures) == {"table2.svg", "negation.svg", "sentences.svg"}
    assert all(f"images/study-conductance-text-{name}" in text for name in figures)
    assert "gripping" in figures["sentences.svg"].decode()


@pytest.mark.usefixtures("assets")
def test_the_texts_are_as_described() -> None:
    from studies.conductance_text.sources import polarity, questions, treebank

    test = treebank("test")
    assert len(questions("dev")) == 2831
    assert len(test) > 2000
    snippets = polarity(test)
    assert 0 < len(snippets) < 10_662


def _results() -> dict[str, Any]:
    from studies.conductance_text import page

    return page.kept({"programs": {"text": _parts()}})


def _parts() -> dict[str, Any]:
    return {
        **{f"sentiment-{seed}": _sentiment(0.01 * seed) for seed in range(3)},
        **{f"{kind}-{seed}": _questions(0.001 * seed) for kind in ("questions", "undropped") for seed in range(3)},
    }


def _sentiment(more: float) -> dict[str, Any]:
    from studies.conductance_text.page import PHRASES

    by = {name: dict.fromkeys(("10", "20", "50", "100", "auc"), 0.3 + more) for name in _METHODS}
    understood = {"positive": {"turned": 0.9, "shift": -4.0 + more}, "negative": {"turned": 0.0, "shift": -1.0}}
    sentence = {"words": ["a", "gripping", "film"], "map": [0.0, 0.2, -0.1], "grade": 4, "negation": False}
    phrase = {
        "logits": [1.0, -1.0],
        "filters": {name: [1, 2, 3] for name in _METHODS},
        "fitting": 4,
        "maps": [[0.0, 0.1]],
        "own": by,
        "same": by,
        "both": by["conductance"],
        "without": dict.fromkeys(("activation", "conductance"), understood),
        "diminishing": {"20": 0.1},
        "on_negation": {"n": 3, "share": 0.5, "chance": 0.1},
        "first": [sentence],
    }
    zero = {
        "base": {"negation": 0.4, "diminisher": 0.1},
        "random": dict.fromkeys(("10", "20", "50", "100", "auc"), 0.4),
        "phrases": {name: copy.deepcopy(phrase) for name in PHRASES},
    }
    return {
        "accuracy": 0.8 + more,
        "sentences": 100,
        "understood": understood,
        "without_random": understood,
        "zero": zero,
    }


def _questions(more: float) -> dict[str, Any]:
    accuracy = {name: [0.8 + more] * 4 for name in (*_METHODS, "random")}
    table = {"accuracy": accuracy, "deviation": accuracy, "wins": accuracy}
    sizes = {"numeric": 50, "string": 50}
    return {"accuracy": 0.9, "largest": 0.5, "sizes": sizes, "predicted": {"0.8": table, "0.5": table}}


_METHODS = ("activation", "gradient_activation", "influence", "conductance")
