"""The parts of the page about table 2: published beside measured, and what other choices give."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from studies.conductance_text import published
from studies.conductance_text.measured import KINDS, OTHERS, Results, accuracy, cell, differences, of_phrase, points
from studies.study import shown
from studies.tables import markdown_table


def table_2(results: Results) -> str:
    """Published beside measured."""
    rows = []
    for method, said in published.NAMES.items():
        if method in published.TABLE_2:
            rows.append([said, "published", *(f"{value:.2f}" for value in published.TABLE_2[method])])
        for kind, how in KINDS.items():
            rows.append([said, f"measured, {how}", *(_cell(results, kind, method, place) for place in range(4))])
    head = ["by", "", *(f"{count} filters" for count in published.COUNTS)]
    return (
        "## Table 2\n\nHeld-out accuracy in percent of a linear classifier on few filters; half of the 2831 questions "
        "choose the filters and train it. The networks were trained with dropout, and without. Intervals are over "
        "networks, each averaged over its splits. The paper has no row of random filters.\n\n"
        f"{markdown_table(head, rows)}\n"
        "![Table 2, published and measured](images/study-conductance-text-table2.svg)\n"
    )


def _cell(results: Results, kind: str, method: str, place: int) -> str:
    """A cell in percent, with one decimal."""
    value = cell(results, kind, method, place)
    return shown({part: None if v is None else v if part == "n" else 100 * v for part, v in value.items()}, 1)


def by_split(results: Results) -> str:
    """Both splits, and the checks with a change."""
    rows = [
        [
            published.NAMES[method],
            said,
            *(points(differences(results, kind, method, split)[-1]) for split in ("0.5", "0.8")),
        ]
        for kind, said in KINDS.items()
        for method in (*OTHERS, "random")
    ]
    table = markdown_table(["conductance less", "trained", "halves", "80 % and 20 %"], rows)
    return (
        f"## Does the split matter?\n\nMean difference over 5 to 20 filters, in points.\n\n{table}{_variants(results)}"
    )


def _variants(results: Results) -> str:
    """The checks on some networks: another baseline, and each question's own type."""
    rows = [
        [f"{said}, network {seed}", what, *_gaps(part, variant)]
        for kind, said in KINDS.items()
        for seed, part in results[kind].items()
        for variant, what in _CHANGED.items()
        if variant in part
    ]
    if not rows:
        return ""
    head = ["network", "changed", *(f"{published.NAMES[method]}, before and after" for method in OTHERS)]
    return (
        "\nChecked on some networks: conductance less each measure, in points, before and after a change.\n\n"
        f"{markdown_table(head, rows)}{_other_baseline(results)}"
    )


_CHANGED = {"unknown": "baseline: the unknown word", "label": "for the question's own type"}


def _gaps(part: Mapping[str, Any], variant: str) -> list[str]:
    return [" and ".join(f"{100 * _gap(part, v, method):+.1f}" for v in ("predicted", variant)) for method in OTHERS]


def _other_baseline(results: Results) -> str:
    """Shares of negation among the first 20, from both baselines."""
    said = [
        f"“{phrase}” {100 * before:.0f} and {100 * after:.0f} % (network {seed})"
        for seed, part in results["sentiment"].items()
        if "unknown" in part
        for phrase in ("not good", "not bad")
        for before, after in [[_first(part, phrase, baseline) for baseline in ("zero", "unknown")]]
    ]
    return f"\nNegation among the first 20, from zero and from the unknown word: {', '.join(said)}.\n" if said else ""


def _first(part: Mapping[str, Any], phrase: str, baseline: str) -> float:
    return float(of_phrase(part, phrase, baseline)["own"]["conductance"]["20"])


def _gap(part: Mapping[str, Any], variant: str, method: str) -> float:
    return fmean(accuracy(part, "conductance", variant=variant)) - fmean(accuracy(part, method, variant=variant))
