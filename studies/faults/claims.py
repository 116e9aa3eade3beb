"""Verdicts of the study of faults: does a published number or conclusion survive without its fault?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.differences import difference
from studies.faults.path_claims import SAME, by_network, of_paths
from studies.faults.text_claims import of_texts
from studies.study import Claim, Estimate, above, below, joint, shown, within

Results = Mapping[str, Any]

ALIKE, MARGIN = 0.25, 0.1
"""How far two areas, relative to one, or two rank correlations may be apart and still be alike: those of the studies of
perturbation and of sanity checks."""


def claims(results: Results) -> list[Claim]:
    """One for each fault."""
    measured = (_zeroed, _signs, _bits, _sum, _class, _order, _std)
    return [*of_paths(results), *(one(results) for one in measured), *of_texts(results["texts"])]


def _zeroed(results: Results) -> Claim:
    found = {n: results[f"maps.{n}"]["zeroed"] for n in ("resnet20", "squeezenet")}
    areas = {
        n: [results[f"maps.{n}"]["lerf"][f"NeuronMCT, {how}"]["right"] for how in ("zeroed", "frozen")] for n in found
    }
    told = "<br>".join(
        f"{n}: LeRF {shown(one, 4)} zeroed, {shown(other, 4)} frozen" for n, (one, other) in areas.items()
    )
    maps = [above(row["spearman"], SAME) for row in found.values()]
    alike = [within(difference(one, other), ALIKE * _mean(other)) for one, other in areas.values()]
    return Claim(
        "P, table 2; P, proposition 4",
        "The gradient of the path is that of the frozen network (the released code sets the other neurons to zero)",
        "locally linear, by proposition 4",
        by_network(found, "spearman", "Spearman of the two maps {}")
        + "<br>"
        + by_network(found, "died", "{} of the path die when the rest is zero", percent=True)
        + f"<br>{told}",
        joint([*maps, *alike]),
        f"Of {len(maps)} networks the maps agree above {SAME} on {maps.count(True)}, and the areas are certainly "
        f"within {100 * ALIKE:g} % on {alike.count(True)} (intervals as if images were not shared). Where some of "
        "the path dies, nothing is promised of the zeroed network: the proposition is about the frozen one.",
    )


SIGNED = ("Gradient", "NeuronMCT, zeroed", "InputMCT")


def _signs(results: Results) -> Claim:
    found = {n: results[f"maps.{n}"]["lerf"] for n in ("resnet20", "squeezenet")}
    told = "<br>".join(
        f"{n}: "
        + ", ".join(f"{m} {shown(rows[m]['right'], 4)} → {shown(rows[m]['released'], 4)}" for m in (*SIGNED, "random"))
        for n, rows in found.items()
    )
    told += f" (n = {', '.join(str(rows['random']['right']['n']) for rows in found.values())})"
    less = {
        (n, m): below(difference(rows[m]["released"], rows["random"]["right"]), 0)
        for n, rows in found.items()
        for m in SIGNED
    }
    worse = ", ".join(f"{m} on {n}" for (n, m), better in less.items() if better is False)
    return Claim(
        "P, table 2; P, figure 6a; P, figure 6c",
        "LeRF tells maps from random ones though pixels are ranked by the largest signed value of their channels",
        "NeuronMCT 0.009, Gradient 0.037 on CIFAR-10",
        told,
        joint(list(less.values())),
        "Right → ranked by signed values, where the most negative pixels count as least relevant; a part for each "
        "network and each of three maps, the signed ranking against random maps, intervals as if images were not "
        f"shared. Certainly better than random: {list(less.values()).count(True)} of {len(less)}; certainly worse: "
        f"{worse or 'none'}. Whether the published maps were made absolute before cannot be told.",
    )


def _bits(results: Results) -> Claim:
    found = {n: results[f"maps.{n}"]["eight bits"] for n in ("resnet20", "squeezenet")}
    told = "<br>".join(
        f"{n}, half and 90 % removed: "
        + ", ".join(f"{m} {shown(rows[m]['same']['0.5'])} and {shown(rows[m]['same']['0.9'])}" for m in
                    ("Gradient", "GradCAM", "NeuronMCT, zeroed"))
        for n, rows in found.items()
    )  # fmt: skip
    same = {
        f"{m} on {n}, {float(share):.0%} removed": value
        for n, rows in found.items() for m in rows if m != "random" for share, value in rows[m]["same"].items()
    }  # fmt: skip
    least = min(same, key=lambda name: _mean(same[name]))
    parts = [above(value, SAME) for value in same.values()]
    return Claim(
        "P, table 1; PG, figure 5a",
        "ROAR removes the pixels that the map says, though maps are stored in 256 levels",
        "not mentioned",
        f"Jaccard of the pixels removed by the stored and the exact map; {told}",
        joint(parts),
        f"Above {SAME}, with the interval, for {parts.count(True)} of {len(parts)} networks, maps and shares; the "
        f"least is {shown(same[least])} ({least}). Where many pixels share a level, position decides which of them go. "
        "Networks were not retrained here.",
        asked_here=True,
    )


def _sum(results: Results) -> Claim:
    found = results["summed.resnet20"]
    return Claim(
        "P, table 2; P, figure 6a",
        "InputIntGrad as released is integrated gradients (it divides a sum of 51 gradients by 50)",
        "0.019 on CIFAR-10",
        f"Spearman with the right map {shown(found['spearman'], 4)}, sum over the change of the response "
        f"{shown(found['sum, released'], 3)} in place of {shown(found['sum, right'], 3)}, LeRF area changed by "
        f"{shown(found['lerf, change'], 4)} (n = {found['spearman']['n']})",
        joint([above(found["spearman"], SAME)]),
        f"Holds where Spearman lies above {SAME}: ranks are all that LeRF and ROAR see.",
    )


def _class(results: Results) -> Claim:
    changes, right = results["sanity.resnet20"]["class re-picked"], results["sanity.resnet20"]["right"]["Gradient"]
    first, *_, last = changes["Gradient"]
    told = ", ".join(
        f"{m} {shown(changes[m][first]['spearman, change'])} and {shown(changes[m][last]['spearman, change'])}"
        for m in ("Gradient", "NeuronMCT", "InputMCT", "GBP")
    )
    ends = {m: changes[m][last]["spearman"] for m in ("Gradient", "NeuronMCT")}
    moved = {m: [s for s in changes[m] if within(changes[m][s]["spearman, change"], 0) is False] for m in ends}
    return Claim(
        "P, figure 7; PG, figure 3",
        "Maps of Gradient and NeuronMCT lose their likeness though the class is re-picked after randomisation",
        "signed Spearman of Gradient 0.33 after the last layer, near 0 from the next stage on",
        f"signed Spearman of Gradient after the last layer {shown(changes['Gradient'][first]['spearman'])} re-picked, "
        f"{shown(right[first]['spearman'])} with the class kept; at the end re-picked "
        + ", ".join(f"{m} {shown(value)}" for m, value in ends.items())
        + f". Change by re-picking, after the last layer and at the end: {told}",
        joint([within(value, MARGIN) for value in ends.values()]),
        f"Holds where both end within {MARGIN:g} of 0. Re-picking certainly changes the signed curve of "
        + "; ".join(f"{m} at {', '.join(stages) or 'no stage'}" for m, stages in moved.items())
        + ". With a random last layer the class is read from the same features by other weights.",
    )


def _order(results: Results) -> Claim:
    found, right = (
        results["sanity.resnet20"]["order of steps"]["InputMCT"],
        results["sanity.resnet20"]["right"]["InputMCT"],
    )
    told = "<br>".join(
        f"{stage}: {shown(row['spearman_abs'])} in place of {shown(right[stage]['spearman_abs'])}, changed by "
        f"{shown(row['spearman_abs, change'])}"
        for stage, row in found.items()
    )
    alike = [within(row["spearman_abs, change"], MARGIN) for row in found.values()]
    return Claim(
        "P, figure 7",
        "The curve of InputMCT is that of the image times the gradient (in the released loop it is times the "
        "pathway's map)",
        "0.62 after the last layer, 0.18 at the end (absolute Spearman)",
        told,
        joint(alike),
        f"Alike: changed by at most {MARGIN:g}, with the whole interval; {alike.count(True)} of {len(alike)} stages "
        f"certainly are, {alike.count(False)} certainly not. The image's own values keep any product with it alike.",
    )


def _std(results: Results) -> Claim:
    found = results["sanity.resnet20"]["std 0.01"]
    *_, last = found["GBP"]
    moved = {m: found[m][last]["spearman_abs, change"] for m in ("Gradient", "NeuronMCT", "GBP")}
    certain = [m for m, value in moved.items() if within(value, 0) is False]
    return Claim(
        "PG, figure 3b",
        "The curves end alike for a standard deviation of 0.01 (PG's text) and of 0.1 (the code)",
        "0.01 in PG, variance 0.01 in P",
        f"absolute Spearman changed at the end by {', '.join(f'{m} {shown(value)}' for m, value in moved.items())} "
        f"(n = {found['GBP'][last]['spearman']['n']})",
        joint([within(value, MARGIN) for value in moved.values()]),
        f"Alike: changed by at most {MARGIN:g}, with the whole interval. Certainly changed at all: "
        f"{', '.join(certain) or 'none'}.",
        asked_here=True,
    )


def _mean(value: Estimate) -> float:
    return float(value["mean"] or 0)
