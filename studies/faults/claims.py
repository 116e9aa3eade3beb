"""Verdicts of the study of faults: does a published number or conclusion survive without its fault?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.differences import difference
from studies.faults.text_claims import of_texts
from studies.study import Claim, Estimate, above, below, joint, shown, within

Results = Mapping[str, Any]

SAME = 0.95
"""Above it two maps or two sets are the same."""

ALIKE, MARGIN = 0.25, 0.1
"""How far two areas, relative to one, or two rank correlations may be apart and still be alike: those of the studies of
perturbation and of sanity checks."""

POINT = "Within a point."


def claims(results: Results) -> list[Claim]:
    """One for each fault."""
    measured = (_alphas, _calls, _reused, _revival, _ties, _gates, _zeroed, _signs, _bits, _sum, _class, _order, _std)
    return [one(results) for one in measured] + of_texts(results["texts"])


def _alphas(results: Results) -> Claim:
    found = {n: results[f"integrals.{n}"]["alphas"] for n in ("resnet8", "resnet20")}
    moved = [within(row["lerf, change"], 0) is False for row in found.values()]
    return Claim(
        "P, figure 1; P, table 1; P, table 2; P, figure 7",
        "NeuronIntGrad, as released, is the integral from 0 to 1 of equation 4 (its scales grow to 5.5)",
        "its rows in every table",
        _rows(found, "jaccard", "Jaccard with the right path {}")
        + "<br>"
        + _rows(found, "lerf, change", "LeRF area changed by {}", 4),
        joint([above(row["jaccard"], SAME) for row in found.values()]),
        f"Judged by the path, which is the same where its Jaccard lies above {SAME}. The area under LeRF is certainly "
        f"changed on {sum(moved)} of {len(moved)} networks.",
    )


def _calls(results: Results) -> Claim:
    found = {n: results[f"integrals.{n}"]["calls"] for n in ("resnet8", "resnet20")}
    return Claim(
        "P, table 1; P, figure 6d; P, figure 6a",
        "NeuronIntGrad's path on ResNet-8 leaves out 90 % of the neurons (measured on ResNet-20 too)",
        "90 %",
        _rows(found, "kept, released", "{} kept", percent=True)
        + "<br>"
        + _rows(found, "dead, released", "{} of them dead", percent=True)
        + "<br>"
        + _rows(found, "jaccard", "Jaccard with the right path {}"),
        joint([_kept(row, 0.1) for row in found.values()]),
        f"{POINT} Where a module is called twice, only as many calls are scored and pruned as there are modules; all "
        "later neurons are kept, dead ones too. Published numbers of NeuronIntGrad on ResNets are of such paths, if "
        "the released code is what was run.",
    )


def _reused(results: Results) -> Claim:
    found = results["reused.resnet50"]
    seventy, ninety = (found[f"calls, {percent} %"] for percent in (70, 90))
    sites = found["sites"]
    return Claim(
        "P, figure 7; P, figure 6c",
        "NeuronIntGrad's path on ResNet-50 leaves out 70 % (or 90 %) of the neurons",
        "70 %",
        f"{_left(seventy)} left out for 70 %, {_left(ninety)} for 90 % (n = {seventy['kept, released']['n']}); "
        f"{sites['modules']} of {sites['calls']} calls can be pruned, with {sites['share']:.1%} of the neurons; class "
        f"kept {shown(ninety['class, released'], 2, percent=True)} for 90 %, right path "
        f"{shown(ninety['class, right'], 2, percent=True)}",
        joint([_kept(seventy, 0.3), _kept(ninety, 0.1)]),
        f"{POINT} Scores are Taylor's here, as integrals at 17 sites cost minutes a photograph; which neurons are "
        "pruned differs with the scores, how many does not.",
    )


def _revival(results: Results) -> Claim:
    found = results["greedy.resnet20"]["revival"]
    sparse = [_kept(found, 0.1, which) for which in ("released", "right")]
    dead = [above(found[f"dead, {which}"], 0.5) for which in ("released", "right")]
    return Claim(
        "P, figure 1; P, figure 8; P, released code: greedy",
        "GreedyPruning's path is sparse, and most of it is dead",
        "90 % left out; 68.8 % dead",
        f"released: {shown(found['kept, released'], 2, percent=True)} kept, "
        f"{shown(found['dead, released'], 2, percent=True)} of them dead, class kept "
        f"{shown(found['class, released'], 2, percent=True)}; right: {shown(found['kept, right'], 2, percent=True)} "
        f"kept where it stalls, {shown(found['dead, right'], 2, percent=True)} dead, class kept "
        f"{shown(found['class, right'], 2, percent=True)} (n = {found['jaccard']['n']})",
        joint([*sparse, *dead]),
        f"Of the two algorithms, as released and right, {sparse.count(True)} leave out 90 %, within a point, and "
        f"{dead.count(True)} end with a path that is certainly more than half dead.",
    )


def _ties(results: Results) -> Claim:
    found = results["selections.squeezenet"]
    rows = {percent: found[f"ties, {percent} %"] for percent in (50, 70, 90)}
    return Claim(
        "PG, figure 2a; P, section 2.4",
        "A percentile of the scores leaves out the share that was asked for",
        "50, 70, 90 %",
        ", ".join(f"{_left(row)} for {percent} %" for percent, row in rows.items())
        + f" on SqueezeNet (n = {rows[50]['jaccard']['n']}); Jaccard with the right path {shown(rows[50]['jaccard'])}",
        joint([_kept(row, 1 - percent / 100) for percent, row in rows.items()]),
        f"{POINT} Where more neurons have no score than shall go, the threshold is 0 and all of them go. The right "
        "selection keeps no neuron without a score either; it is the label that is wrong then, not the path.",
    )


def _gates(results: Results) -> Claim:
    found, texts = results["gates.resnet20"]["ties of gates"], results["texts"]["labels"]
    return Claim(
        "P, figure 1; P, figure 2a",
        "DGR(init=r) at 90 % keeps a tenth of the neurons",
        f"10 %; by its published overlap with Random, {texts['share of DGR(init=r)']:.2%}",
        f"{shown(found['kept, released'], 3, percent=True)} kept on ResNet-20 (n = {found['jaccard']['n']}), "
        f"{shown(found['dead, released'], 2, percent=True)} of them dead",
        joint([_kept(found, 0.1)]),
        f"{POINT} Where fewer gates end above 0 there is no tenth to keep, however ties are treated. The overlaps of "
        f"figure 2a are those of a path that is {texts['share of DGR(init=r)'] / 0.1:.0%} as large as the others.",
    )


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
        _rows(found, "spearman", "Spearman of the two maps {}")
        + "<br>"
        + _rows(found, "died", "{} of the path die when the rest is zero", percent=True)
        + f"<br>{told}",
        joint([*maps, *alike]),
        f"Of {len(maps)} networks the maps agree above {SAME} on {maps.count(True)}, and the areas are certainly within "
        f"{100 * ALIKE:g} % on {alike.count(True)} (intervals as if images were not shared). Where some of the path "
        "dies, nothing is promised of the zeroed network: the proposition is about the frozen one.",
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
        f"Above {SAME}, with the interval, for {parts.count(True)} of {len(parts)} networks, maps and shares; the least "
        f"is {shown(same[least])} ({least}). Where many pixels share a level, which of them go is decided by position. "
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


def _kept(row: Mapping[str, Any], share: float, which: str = "released") -> bool | None:
    """Whether a path keeps a share of the neurons, within a point."""
    kept: Estimate = row[f"kept, {which}"]
    ends = {end: None if kept[end] is None else float(kept[end] or 0) - share for end in ("mean", "low", "high")}
    return within({**ends, "n": kept["n"]}, 0.01)


def _rows(found: Mapping[str, Any], of: str, words: str, digits: int = 2, percent: bool = False) -> str:
    counts = ", ".join(dict.fromkeys(str(row[of]["n"]) for row in found.values()))
    parts = [f"{name} {shown(row[of], digits, percent)}" for name, row in found.items()]
    return f"{words.format(', '.join(parts))} (n = {counts})"


def _left(row: Mapping[str, Any]) -> str:
    """What was left out, from what was kept."""
    kept: Estimate = row["kept, released"]
    ends = {"mean": kept["mean"], "low": kept["high"], "high": kept["low"]}
    turned = {name: None if end is None else 1 - end for name, end in ends.items()}
    return shown({**turned, "n": kept["n"]}, 3, percent=True)


def _mean(value: Estimate) -> float:
    return float(value["mean"] or 0)
