"""Verdicts on faults that change paths: is a path of the size that was asked for, and the right one?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.study import Claim, Estimate, above, joint, shown, within

Results = Mapping[str, Any]

SAME = 0.95
"""Above it two maps or two sets are the same."""

POINT = "Within a point."


def of_paths(results: Results) -> list[Claim]:
    """One for each fault."""
    return [one(results) for one in (_alphas, _calls, _reused, _revival, _ties, _gates)]


def _alphas(results: Results) -> Claim:
    found = {n: results[f"integrals.{n}"]["alphas"] for n in ("resnet8", "resnet20")}
    moved = [within(row["lerf, change"], 0) is False for row in found.values()]
    return Claim(
        "P, figure 1; P, table 1; P, table 2; P, figure 7",
        "NeuronIntGrad, as released, is the integral from 0 to 1 of equation 4 (its scales grow to 5.5)",
        "its rows in every table",
        by_network(found, "jaccard", "Jaccard with the right path {}")
        + "<br>"
        + by_network(found, "lerf, change", "LeRF area changed by {}", 4),
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
        by_network(found, "kept, released", "{} kept", percent=True)
        + "<br>"
        + by_network(found, "dead, released", "{} of them dead", percent=True)
        + "<br>"
        + by_network(found, "jaccard", "Jaccard with the right path {}"),
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


def _kept(row: Mapping[str, Any], share: float, which: str = "released") -> bool | None:
    """Whether a path keeps a share of the neurons, within a point."""
    kept: Estimate = row[f"kept, {which}"]
    ends = {end: None if kept[end] is None else float(kept[end] or 0) - share for end in ("mean", "low", "high")}
    return within({**ends, "n": kept["n"]}, 0.01)


def _left(row: Mapping[str, Any]) -> str:
    """What was left out, from what was kept."""
    kept: Estimate = row["kept, released"]
    ends = {"mean": kept["mean"], "low": kept["high"], "high": kept["low"]}
    turned = {name: None if end is None else 1 - end for name, end in ends.items()}
    return shown({**turned, "n": kept["n"]}, 3, percent=True)


def by_network(found: Mapping[str, Any], of: str, words: str, digits: int = 2, percent: bool = False) -> str:
    """An estimate of every network in words, and how many images they are of."""
    counts = ", ".join(dict.fromkeys(str(row[of]["n"]) for row in found.values()))
    parts = [f"{name} {shown(row[of], digits, percent)}" for name, row in found.items()]
    return f"{words.format(', '.join(parts))} (n = {counts})"
