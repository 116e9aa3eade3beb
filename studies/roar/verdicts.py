"""What P and PG say of remove and retrain on CIFAR-10, and whether it is so here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from studies.differences import difference, difference_of_seeds
from studies.roar.published import AREAS, NAMES
from studies.study import Claim, Estimate, above, below, joint, shown

Results = Mapping[str, Any]

HEADLINE = (("neuron-mct", "input-mct"), ("neuron-intgrad", "input-intgrad"))
SHALLOW = ("gradient", "gbp", "input-mct", "input-intgrad")
TABLE_1 = "P, table 1; P, figure 6d"
FIGURE_5 = "PG, figure 5a"


def claims(results: Results) -> list[Claim]:
    """What the papers say of the curves, and whether it is so here."""
    areas = results["areas"]
    asked = [
        _headline(areas),
        _against_gradcam(areas),
        _better_than_random(results),
        _order(areas),
        _mid(areas),
        _only_mid(areas),
        _prunegrad(areas),
        _by_fidelity(results),
    ]
    return [claim for claim in asked if claim is not None]


def _pairs(areas: Mapping[str, Estimate], pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str, Estimate]]:
    """Differences of the areas of those pairs that were measured."""
    known = {method for method, area in areas.items() if area["mean"] is not None}
    return [(a, b, difference_of_seeds(areas[a], areas[b])) for a, b in pairs if {a, b} <= known]


def _told(pairs: Iterable[tuple[str, str, Estimate]]) -> str:
    return "<br>".join(f"{NAMES[a]} − {NAMES[b]}: {shown(d, 3)}" for a, b, d in pairs)


def _published(pairs: Sequence[tuple[str, str]]) -> str:
    known = [(a, b) for a, b in pairs if a in AREAS and b in AREAS]
    return "; ".join(f"{NAMES[a]} {AREAS[a]:.3f}, {NAMES[b]} {AREAS[b]:.3f}" for a, b in known)


def _compared(
    source: str, claim: str, published: str, areas: Mapping[str, Estimate], pairs: Sequence[tuple[str, str]], why: str
) -> Claim | None:
    """The claim that the area of the first of each pair is the lower one."""
    found = _pairs(areas, pairs)
    if not found:
        return None
    return Claim(source, claim, published, _told(found), joint([below(d, 0) for _, _, d in found]), why)


def _headline(areas: Mapping[str, Estimate]) -> Claim | None:
    return _compared(
        TABLE_1,
        "Retrained networks miss what the pathway's gradient finds more than what its score on the input finds: "
        "NeuronMCT below InputMCT, NeuronIntGrad below InputIntGrad",
        _published(HEADLINE),
        areas,
        HEADLINE,
        "Differences of areas, so in accuracy times share; intervals over the seeds of the retrainings.",
    )


def _against_gradcam(areas: Mapping[str, Estimate]) -> Claim | None:
    pairs = (("neuron-mct", "gradcam"), ("neuron-intgrad", "gradcam"))
    return _compared(
        TABLE_1,
        "NeuronMCT and NeuronIntGrad have lower areas than GradCAM",
        _published(pairs),
        areas,
        pairs,
        "The published distances, 0.004 and 0.010, are of the size of differences between seeds.",
    )


def _better_than_random(results: Results) -> Claim | None:
    found = {m: d for m, d in results["to_random"].items() if m in AREAS and d["mean"] is not None}
    if not found:
        return None
    told = "<br>".join(f"{NAMES[m]} − random: {shown(d, 3)}" for m, d in found.items())
    worse = [NAMES[m] for m, d in found.items() if above(d, 0)]
    beaten = f" Removing random pixels costs more accuracy than removing those of {', '.join(worse)}." if worse else ""
    return Claim(
        TABLE_1,
        "Every method finds pixels that matter more to a retrained network than random ones",
        "no random row",
        told,
        joint([below(d, 0) for d in found.values()]),
        f"Paired by seed.{beaten} A table without this row cannot show it.",
        asked_here=True,
    )


def _order(areas: Mapping[str, Estimate]) -> Claim | None:
    known = [m for m in AREAS if m in areas and areas[m]["mean"] is not None]
    if len(known) < 4:
        return None
    in_order = sorted(known, key=AREAS.__getitem__)
    lower = [below(d, 0) for _, _, d in _pairs(areas, list(combinations(in_order, 2)))]
    rho = spearman([AREAS[m] for m in known], [float(areas[m]["mean"] or 0) for m in known])
    ranked = ", ".join(NAMES[m] for m in sorted(known, key=lambda m: float(areas[m]["mean"] or 0)))
    return Claim(
        TABLE_1,
        f"The order of {len(known)} methods",
        ", ".join(NAMES[m] for m in in_order),
        f"{ranked}<br>rank correlation of the means {rho:.2f}",
        joint(lower),
        f"The lowest area first. Judged pair by pair: of {len(lower)} pairs {lower.count(True)} are certainly in the "
        f"published order, {lower.count(False)} certainly in the other one.",
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Of numbers without ties."""
    n = len(first)
    ranks = [[sorted(values).index(value) for value in values] for values in (first, second)]
    squares = [float(a - b) ** 2 for a, b in zip(*ranks, strict=True)]
    return 1 - 6 * sum(squares) / (n * (n * n - 1))


def _mid(areas: Mapping[str, Estimate]) -> Claim | None:
    return _compared(
        FIGURE_5,
        "PruneGrad-Mid is better than GradCAM",
        "a figure without numbers",
        areas,
        (("prunegrad-mid", "gradcam"),),
        "The paper puts it down to the interpolation, which covers whole features.",
    )


def _only_mid(areas: Mapping[str, Estimate]) -> Claim | None:
    return _compared(
        FIGURE_5,
        "No other method of the figure is better than GradCAM",
        "a figure without numbers",
        areas,
        [("gradcam", other) for other in ("prunegrad", *SHALLOW)],
        "Of those that were measured here. Below 0 GradCAM is better.",
    )


def _prunegrad(areas: Mapping[str, Estimate]) -> Claim | None:
    pairs = tuple(("prunegrad", other) for other in SHALLOW)
    return _compared(
        FIGURE_5,
        "PruneGrad is better than the gradient, guided backpropagation and both attributions to the input",
        "“far better”, a figure without numbers",
        areas,
        pairs,
        "Differences of areas; below 0 is better. How much is far is not said, so only the sign is judged.",
    )


def _by_fidelity(results: Results) -> Claim | None:
    gaps = results.get("fidelity", {}).get("gap", {})
    pairs = [(a, b, difference(gaps[a], gaps[b])) for a, b in HEADLINE if a in gaps and b in gaps]
    if not pairs:
        return None
    return Claim(
        TABLE_1,
        "The pathways' maps are ahead of the scores on the input by F-Fidelity, too",
        "not measured",
        _told(pairs),
        joint([above(d, 0) for _, _, d in pairs]),
        "Differences of gaps; a map is better the larger its gap. Intervals over images, as if they were not shared.",
        asked_here=True,
    )
