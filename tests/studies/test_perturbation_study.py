"""The study of pixel perturbation: what was published, what is kept of a run, and verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import floor
from typing import Any

import pytest
import torch
from studies.perturbation import drawing, page, published
from studies.perturbation.claims import claims
from studies.perturbation.names import AREA, CHANGE, NAMES, TABLE_2
from studies.perturbation.telling import nearer
from studies.study import HOLDS, NOT, NOT_COMPARABLE, OPEN, PARTLY, Claim, above, within

from studies import measured

OTHER = ("prunegrad", "prunegrad-90", "prunegrad-mid", "prune-pgd", "rectgrad", "edges", "random")
NETWORKS = ("resnet8", "resnet20", "resnet56", "resnet50")


def _value(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean * (1 - half), "high": mean * (1 + half)}


def _areas(network: str) -> dict[str, float]:
    """As published, the others by what the papers say of them."""
    known = dict(published.TABLE_2["imagenet" if network == "resnet50" else "cifar10"])
    if network in ("resnet50", "resnet56"):
        del known["neuron-intgrad"]
    fit = dict.fromkeys(OTHER[:4], 0.008) | {"rectgrad": 0.03, "edges": 0.2, "random": 0.3}
    return known | fit


def _table(evaluation: str, metric: str, levels: Mapping[str, float], half: float, more: bool) -> dict[str, Any]:
    shares = (0.0, *(published.MORE if more else published.SHARES))
    names = {"input-intgrad": "input-intgrad-8", "prune-pgd": "prune-pgd-10"} if evaluation == "resnet50" else {}
    own = {names.get(method, method): level for method, level in levels.items()}
    rows = [
        {
            "method": method, "n": 50, "values": [_value(level, half)],
            "to_reference": None if method == "random" else _value(level - 0.3, half),
        }
        for method, level in own.items()
    ]  # fmt: skip
    curves = [{"method": m, "values": [_value(10 * level * s, half) for s in shares]} for m, level in own.items()]
    figure = {"y_title": CHANGE, "places": list(shares), "curves": curves}
    return {
        "evaluation": evaluation, "metric": metric, "model": evaluation, "columns": [AREA], "rows": rows,
        "figures": [figure], "notes": [],
    }  # fmt: skip


def _run(changes: Mapping[str, float] | None = None, half: float = 0.01) -> dict[str, Any]:
    moved = changes or {}
    levels = {name: {m: moved.get(m, a) for m, a in _areas(name).items()} for name in NETWORKS}
    signed = {name: {m: 4 * a for m, a in levels[name].items() if m in TABLE_2} for name in NETWORKS}
    high = {name: {m: 1 / a for m, a in levels[name].items()} for name in NETWORKS}
    tables = [_table(name, "lerf", levels[name], half, False) for name in NETWORKS]
    for name in ("resnet8", "resnet20"):
        tables.append(_table(f"{name}-signed", "signed", signed[name], half, False))
        tables.append(_table(name, "lerf-more", levels[name], half, True))
        tables += [_table(name, way, high[name], half, False) for way in ("morf", "road")]
        tables.append(_table(name, "road-lerf", levels[name], half, False))
    return {"tables": tables, "programs": {"networks": {"resnet8": {"accuracy": 0.5, "train": 100}}}}


def _verdicts(changes: Mapping[str, float] | None = None, half: float = 0.01) -> dict[str, Claim]:
    return {claim.claim: claim for claim in claims(page.kept(_run(changes, half)))}


@pytest.mark.parametrize("data", list(published.CURVES))
def test_the_printed_areas_are_those_of_the_curves_cut_off(data: str) -> None:
    for method, line in published.CURVES[data].items():
        area = float(torch.trapezoid(torch.tensor([0.0, *line], dtype=torch.float64), dx=0.01))
        assert floor(1000 * area + 1e-9) / 1000 == published.TABLE_2[data][method], method


def test_the_copied_row() -> None:
    data, method = published.COPIED
    assert published.CURVES[data][method] == published.CURVES["birdsnap"][method]


def test_published_numbers_hold_but_where_they_contradict_the_text() -> None:
    """P's order on ImageNet has GradCAM before NeuronMCT, PG has PruneGrad, its zeroed gradient, before GradCAM."""
    found = {claim: one.verdict for claim, one in _verdicts().items()}
    not_held = {words: verdict for words, verdict in found.items() if verdict != HOLDS}
    assert not_held == {
        "NeuronIntGrad finds unimportant pixels better than InputIntGrad (ImageNet)": NOT_COMPARABLE,
        "NeuronMCT and NeuronIntGrad perform best on Birdsnap": NOT_COMPARABLE,
        "The order of the methods (ImageNet)": PARTLY,
    }


@pytest.mark.parametrize(
    ("changes", "words", "verdict"),
    [
        (
            {"neuron-mct": 0.09, "prunegrad": 0.09},
            "NeuronMCT finds unimportant pixels better than InputMCT (CIFAR-10)",
            NOT,
        ),
        ({"neuron-intgrad": 0.09}, "NeuronIntGrad finds unimportant pixels better than InputIntGrad (CIFAR-10)", NOT),
        ({"gradcam": 0.001}, "“In all experiments our methods perform best”", NOT),
        ({"gradcam": 0.5}, "The order of the methods (ImageNet)", PARTLY),
        ({"prunegrad": 0.5}, "PruneGrad performs best in estimating unimportant pixels", NOT),
        ({"prune-pgd": 0.5}, "PrunePGD and PruneGrad perform similarly", NOT),
        ({"random": 0.0, "edges": 0.0}, "Every method of the table finds unimportant pixels better than maps", NOT),
        ({"gradient": 0.9}, "The areas themselves", PARTLY),
    ],
)
def test_a_verdict_follows_its_numbers(changes: Mapping[str, float], words: str, verdict: str) -> None:
    changed = {method: value or 1e-6 for method, value in changes.items()}
    assert next(one.verdict for claim, one in _verdicts(changed).items() if claim.startswith(words)) == verdict


def test_wide_intervals_decide_nothing() -> None:
    assert _verdicts(half=5.0)["NeuronMCT finds unimportant pixels better than InputMCT (CIFAR-10)"].verdict == OPEN


def test_methods_with_fewer_steps_stand_under_one_name() -> None:
    table = page.kept(_run())["tables"]["resnet50/lerf"]
    assert set(table["columns"]) == set(table["curves"]) == {*_areas("resnet50")}
    assert "random" not in table["to_random"]


def test_what_is_kept_is_json_and_small() -> None:
    assert len(json.dumps(page.kept(_run()))) < 200_000


def test_the_page_and_its_figures() -> None:
    results = page.kept(_run())
    text = "\n".join(page.sections(results))
    assert all(NAMES[m] in text for m in (*TABLE_2, *OTHER))
    assert "50.0 % of CIFAR-10's test images after training on 100" in text
    assert "0.0440 [0.0436, 0.0444] (0.044)" in text
    assert set(drawing.figures(results)) == {"figure-6.svg", "figure-4.svg", "more.svg"}


def test_differences_are_those_of_independent_means() -> None:
    one = measured.estimated(0.5, 0.2, 0.9, 10)
    other = measured.estimated(0.1, 0.06, 0.13, 10)
    found = measured.gap(one, other)
    assert found["low"] == pytest.approx(0.4 - (0.3**2 + 0.03**2) ** 0.5)
    assert found["high"] == pytest.approx(0.4 + (0.4**2 + 0.04**2) ** 0.5)


def test_without_an_interval_nothing_is_decided() -> None:
    alone = {"mean": 0.5, "low": None, "high": None, "n": 1}
    known = measured.estimated(0.1, 0.05, 0.2, 10)
    assert measured.gap(known, alone)["low"] is None
    assert within(alone, 1.0) is None
    assert above(known, 0) is True


@pytest.mark.parametrize(("signed", "by_size"), [(0.1, True), (0.011, False), (0.025, True), (0.0, True)])
def test_the_nearer_of_two_areas(signed: float, by_size: bool) -> None:
    size = measured.estimated(0.005, 0.0049, 0.0051, 10)
    assert nearer(size, measured.estimated(signed, signed, signed, 10), 0.01) is by_size


def test_areas_that_overlap_are_not_told_apart() -> None:
    size, signed = measured.estimated(0.005, 0.004, 0.006, 10), measured.estimated(0.007, 0.005, 0.009, 10)
    assert nearer(size, signed, 0.01) is None


@pytest.mark.parametrize(
    ("parts", "together"),
    [([True, True], True), ([True, None], None), ([None, False, True], False), ([], None)],
)
def test_every_one_of_several(parts: list[bool | None], together: bool | None) -> None:
    assert measured.every(parts) is together


def _moved_on(run: dict[str, Any], network: str, method: str, mean: float, half: float = 0.01) -> dict[str, Claim]:
    """The verdicts with another area of one method on one network."""
    table = next(one for one in run["tables"] if (one["evaluation"], one["metric"]) == (network, "lerf"))
    row = next(one for one in table["rows"] if one["method"] == method)
    row["values"] = [_value(mean, half)]
    return {claim.claim: claim for claim in claims(page.kept(run))}


HEADLINE = "NeuronMCT finds unimportant pixels better than InputMCT (CIFAR-10)"


def test_one_network_against_and_others_undecided_is_undecided_and_the_one_is_named() -> None:
    run = _run(half=5.0)
    for method, mean in (("neuron-mct", 0.09), ("prunegrad", 0.09), ("input-mct", 0.01)):
        found = _moved_on(run, "resnet8", method, mean)[HEADLINE]
    assert found.verdict == OPEN
    assert "higher: NeuronMCT (frozen), PruneGrad (zeroed) on ResNet-8, CIFAR-10 (n = 50, 50.0 % accurate)" in found.why
    assert "not decided: 4 of 6 comparisons" in found.why


def test_neuron_mct_is_judged_by_both_gradients() -> None:
    found = _verdicts({"prunegrad": 0.09})[HEADLINE]
    assert found.verdict == PARTLY
    assert "PruneGrad (zeroed) 0.0900" in found.measured


def test_one_counterexample_refutes_all() -> None:
    found = _moved_on(_run(), "resnet56", "gradcam", 0.0001)["“In all experiments our methods perform best”"]
    assert found.verdict == NOT
    assert "certainly above: GradCAM on ResNet-56, CIFAR-10 (n = 50)" in found.why


def test_best_on_no_network_is_not_best_in_part() -> None:
    """Though it is below most methods on each."""
    found = _verdicts({"rectgrad": 0.0001})["PruneGrad performs best in estimating unimportant pixels"]
    assert found.verdict == NOT


def test_questions_of_our_own_are_marked() -> None:
    asked = {words.split(" ")[0] for words, claim in _verdicts().items() if claim.asked_here}
    own = [words for words, claim in _verdicts().items() if claim.asked_here]
    assert len(own) == 6
    assert asked == {"Every", "NeuronMCT", "The"}
