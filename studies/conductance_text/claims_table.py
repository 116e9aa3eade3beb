"""What the paper says about table 2, and whether it holds."""

from __future__ import annotations

from statistics import fmean

from studies.conductance_text import published
from studies.conductance_text.measured import (
    KINDS,
    OTHERS,
    Results,
    above,
    below,
    cell,
    differences,
    lines,
    networks,
    over_networks,
    percent,
    points,
)
from studies.study import HOLDS, NOT, NOT_COMPARABLE, OPEN, PARTLY, Claim, Estimate, joint
from studies.study import above as certainly_above

TABLE_2 = "C, table 2"


def of_table_2(results: Results) -> list[Claim]:
    """The claims about table 2."""
    return [*(_outperforms(results, method) for method in OTHERS), _matters(results), _level(results), _counted()]


def _outperforms(results: Results, method: str) -> Claim:
    found = {name: differences(results, name, method) for name in KINDS}
    means = [row[-1] for row in found.values()]
    wins, losses = [above(one) for one in means], [below(one) for one in means]
    printed = published.differences(method)
    large = any((one["mean"] or 0) >= fmean(printed) / 200 for one in means)
    mixed = any(wins) and not (all(wins) and large)
    verdict = PARTLY if mixed else HOLDS if all(wins) else NOT if any(losses) else OPEN
    return Claim(
        TABLE_2,
        f"Conductance selects better features than {published.NAMES[method]}",
        " / ".join(f"{gap:+.1f}" for gap in printed) + " points with 5 / 10 / 15 / 20 filters",
        lines({said: f"{_slashed(found[name][:-1])}; mean {points(found[name][-1])}" for name, said in KINDS.items()}),
        verdict,
        "By the mean over the four numbers of filters, paired by network and split. Holds where its interval is above "
        "0 for networks trained with and without dropout, and the difference is half of the published one or more for "
        "either; in part where it is above 0 for one of them, or for both but smaller.",
    )


def _slashed(values: list[Estimate]) -> str:
    return " / ".join("n/a" if value["mean"] is None else f"{100 * value['mean']:+.1f}" for value in values)


def _matters(results: Results) -> Claim:
    found = {name: differences(results, name, "random")[0] for name in KINDS}
    spread = published.TABLE_2["conductance"][0] - published.TABLE_2["activation"][0]
    held = [certainly_above(one, spread / 200) for one in found.values()]
    return Claim(
        TABLE_2,
        "With five filters it matters much which: 54.17 % to 86.58 %",
        f"{spread:.1f} points between activations and conductance",
        lines(
            {
                said: f"conductance {percent(cell(results, name, 'conductance', 0))}, activations "
                f"{percent(cell(results, name, 'activation', 0))}, random filters "
                f"{percent(cell(results, name, 'random', 0))}; conductance less random {points(found[name])}"
                for name, said in KINDS.items()
            }
        ),
        joint(held),
        "The paper has no row of random filters. Holds where conductance is certainly above random filters by more "
        "than half of the published spread, for networks trained with and without dropout.",
    )


def _level(results: Results) -> Claim:
    found = cell(results, "questions", "conductance", 3)
    whole = over_networks(results, lambda part: float(part["accuracy"]), "questions")
    largest = networks(results, "questions")[0]["largest"]
    return Claim(
        TABLE_2,
        "Twenty filters chosen by conductance tell the five types apart",
        f"{published.TABLE_2['conductance'][3]} %",
        f"{percent(found)}; the network itself {percent(whole)}, the most frequent type {100 * largest:.0f} %",
        NOT_COMPARABLE,
        "How types are derived from answers is not published, nor is the network's own accuracy.",
    )


def _counted() -> Claim:
    said, half = published.cells(published.HELD_OUT), published.cells(published.HALF)
    return Claim(
        TABLE_2,
        "The classifier is evaluated on the remaining 566 questions (20 %)",
        "2265 and 566 of 2831",
        f"{said} of the 16 percentages are shares of {published.HELD_OUT}, {half} of {published.HALF}, half of 2831",
        HOLDS if said == 16 else NOT,
        "A percentage with two decimals is a whole number of questions over their count. The table agrees with halves; "
        "here both are measured. 2831 is the development part of the data set's random split 1.",
    )
