"""What the papers' figures do not show: controls, more pixels, other fills, the most relevant first."""

from __future__ import annotations

from collections.abc import Mapping

from studies.measured import Table, count, gap
from studies.perturbation import published
from studies.perturbation.names import MEASURED, NAMES, area, change, readings
from studies.perturbation.telling import Found, Lerf, areas_told, called, deciding, listed, shares_where
from studies.study import Claim, above, below, joint, shown

ON = ("resnet8", "resnet20")


def further(found: Mapping[str, Table]) -> Claim:
    """Where more than a tenth is removed."""
    lower, told = [], []
    for table in (found[f"{name}/lerf-more"] for name in ON if f"{name}/lerf-more" in found):
        for m in readings("neuron-mct"):
            both = zip(*(change(table, method)[1:] for method in (m, "input-mct")), strict=True)
            each = [below(gap(a, b), 0) for a, b in both]
            lower += each
            told.append(
                f"{called(table['model'], table)}, {NAMES[m]}: certainly lower at {shares_where(each, True)}; "
                f"certainly higher at {shares_where(each, False)}"
            )
    ours, other = (published.CIFAR_MORE[m] for m in ("neuron-mct", "input-mct"))
    known = [a < b for a, b in zip(ours, other, strict=True)]
    return Claim(
        "P, figure 6a",
        "NeuronMCT stays better than InputMCT when 20 to 90 % of the pixels are removed",
        f"lower at {shares_where(known, True)}, higher at {shares_where(known, False)}",
        "<br>".join(told),
        joint(lower),
        "the figure ends at 10 %; eight more points are in the authors' file, where the curves cross. What is neither "
        "lower nor higher is not decided",
        asked_here=True,
    )


def filled_in(found: Mapping[str, Table]) -> Claim:
    """Least relevant first, filled in from the surroundings."""
    pairs = [(m, b) for a, b in (("neuron-mct", "input-mct"), ("neuron-intgrad", "input-intgrad")) for m in readings(a)]
    on = {name: found[f"{name}/road-lerf"] for name in ON if f"{name}/road-lerf" in found}
    lower = {
        (name, f"{NAMES[a]} to {NAMES[b]}"): below(gap(area(table, a), area(table, b)), 0)
        for name, table in on.items()
        for a, b in pairs
    }
    methods = dict.fromkeys(m for pair in pairs for m in pair)
    told = (
        f"{called(name, table)}: " + ", ".join(f"{NAMES[m]} {shown(area(table, m), 5)}" for m in methods)
        for name, table in on.items()
    )
    return Claim(
        "P, figure 6a",
        "NeuronMCT and NeuronIntGrad are better than InputMCT and InputIntGrad when removed pixels are filled in from "
        "their surroundings (ROAD)",
        "only with the mean in their place",
        "<br>".join(told),
        joint(list(lower.values())),
        f"least relevant first, lower is better:{deciding(lower, on, 'lower', 'higher')}",
        asked_here=True,
    )


def most_first(found: Mapping[str, Table]) -> Claim:
    """Most relevant first."""
    ways = {"morf": "the mean in their place", "road": "filled in"}
    higher, told = [], []
    for name, way in ((name, way) for name in ON for way in ways if f"{name}/{way}" in found):
        table = found[f"{name}/{way}"]
        ours, other = readings("neuron-mct"), area(table, "input-mct")
        higher += [above(gap(area(table, m), other), 0) for m in ours]
        told.append(
            f"{called(name, table)}, {ways[way]}: "
            + ", ".join(f"{NAMES[m]} {shown(area(table, m), 4)}" for m in (*ours, "input-mct"))
        )
    return Claim(
        "P, figure 6a",
        "NeuronMCT is also better than InputMCT when the most relevant pixels are removed first",
        "only the least relevant first",
        "<br>".join(told),
        joint(higher),
        f"a large area is good; certainly larger in {higher.count(True)} of {len(higher)} comparisons, certainly "
        f"smaller in {higher.count(False)}",
        asked_here=True,
    )


def controls(lerf: Lerf) -> Claim:
    """Against what knows no network: no such row was published."""
    lower: Found = {
        (name, f"{NAMES[m]} against {c}"): below(gap(area(table, m), area(table, c)), 0)
        for name, table in lerf.items()
        for m in MEASURED
        if m in table["columns"]
        for c in ("random", "edges")
    }
    lost = [f"{pair} on {called(name, lerf[name])}" for (name, pair), yes in lower.items() if yes is False]
    found = list(lower.values())
    return Claim(
        "P, table 2",
        "Every method of the table finds unimportant pixels better than maps that know no network",
        "no control was published",
        areas_told(lerf, lerf, ("random", "edges", "gradient", "neuron-mct", "prunegrad")),
        joint(found),
        f"certainly better than random maps or an edge detector in {count(found)} comparisons, not decided in "
        f"{found.count(None)}; certainly beaten: {listed(lost)}",
        asked_here=True,
    )
