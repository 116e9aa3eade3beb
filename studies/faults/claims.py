"""Verdicts of the study of faults: does a published number or conclusion survive without its fault?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.faults.text_claims import of_texts
from studies.study import HOLDS, NOT, PARTLY, Claim, Estimate, shown

Results = Mapping[str, Any]


def claims(results: Results) -> list[Claim]:
    """One for each fault."""
    measured = (_alphas, _calls, _reused, _revival, _ties, _gates, _zeroed, _signs, _bits, _sum, _class, _order, _std)
    return [one(results) for one in measured] + of_texts(results["texts"])


def _alphas(results: Results) -> Claim:
    found = {n: results[f"integrals.{n}"]["alphas"] for n in ("resnet8", "resnet20")}
    return Claim(
        "P, figure 1; P, table 1; P, table 2; P, figure 7",
        "NeuronIntGrad, as released, is the integral from 0 to 1 of equation 4 (its scales grow to 5.5)",
        "its rows in every table",
        _rows(found, "jaccard", "Jaccard with the right path {}")
        + "<br>"
        + _rows(found, "lerf, change", "LeRF area changed by {}", 4),
        NOT if all(_high(row["jaccard"]) < 0.9 for row in found.values()) else PARTLY,
        "The path is another one, the map and its area under LeRF less so: the conclusion that NeuronIntGrad is about "
        "as good as NeuronMCT does not hang on this fault.",
    )


def _calls(results: Results) -> Claim:
    found = {n: results[f"integrals.{n}"]["calls"] for n in ("resnet8", "resnet20")}
    return Claim(
        "P, table 1; P, figure 6d; P, figure 6a",
        "NeuronIntGrad's path on ResNet-8 leaves out 90 % of the neurons",
        "90 %",
        _rows(found, "kept, released", "{} kept", percent=True)
        + "<br>"
        + _rows(found, "dead, released", "{} of them dead", percent=True)
        + "<br>"
        + _rows(found, "jaccard", "Jaccard with the right path {}"),
        NOT if all(_low(row["kept, released"]) > 0.15 for row in found.values()) else PARTLY,
        "Where a module is called twice, only as many calls are scored and pruned as there are modules; all later "
        "neurons are kept, dead ones too. Published numbers of NeuronIntGrad on ResNets are of such paths, if the "
        "released code is what was run.",
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
        NOT if _low(seventy["kept, released"]) > 0.35 else PARTLY,
        "Scores are Taylor's here, as integrals at 17 sites cost minutes a photograph; which neurons are pruned "
        "differs with the scores, how many does not.",
    )


def _revival(results: Results) -> Claim:
    found = results["greedy.resnet20"]["revival"]
    return Claim(
        "P, figure 1; P, figure 8; P, released code: greedy",
        "GreedyPruning's path is sparse, and most of it is dead",
        "90 % left out; 68.8 % dead",
        f"released: {shown(found['kept, released'], 2, percent=True)} kept, "
        f"{shown(found['dead, released'], 2, percent=True)} of them dead, class kept "
        f"{shown(found['class, released'], 2, percent=True)}; right: {shown(found['kept, right'], 2, percent=True)} "
        f"kept where it stalls, {shown(found['dead, right'], 2, percent=True)} dead, class kept "
        f"{shown(found['class, right'], 2, percent=True)} (n = {found['jaccard']['n']})",
        PARTLY if _low(found["dead, right"]) > 0.5 else NOT,
        "The sparsity does not hold: the released path keeps most neurons. That pruning by the objective selects dead "
        "neurons does, and more so than published: the right algorithm ends with almost nothing else.",
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
        PARTLY,
        "Where more neurons have no score than shall go, the threshold is 0 and all of them go. The right selection "
        "keeps no neuron without a score either, so the path is the same; it is the label that is wrong. At 90 % it "
        "is right.",
    )


def _gates(results: Results) -> Claim:
    found, texts = results["gates.resnet20"]["ties of gates"], results["texts"]["labels"]
    return Claim(
        "P, figure 1; P, figure 2a",
        "DGR(init=r) at 90 % keeps a tenth of the neurons",
        f"10 %; by its published overlap with Random, {texts['share of DGR(init=r)']:.2%}",
        f"{shown(found['kept, released'], 3, percent=True)} kept on ResNet-20 (n = {found['jaccard']['n']}), "
        f"{shown(found['dead, released'], 2, percent=True)} of them dead",
        NOT if _high(found["kept, released"]) < 0.09 else HOLDS,
        "Most gates end at exactly 0, so there is no tenth to keep, however ties are treated. Its overlaps in figure "
        "2a are those of a path a third as large as the others.",
    )


def _zeroed(results: Results) -> Claim:
    found = {n: results[f"maps.{n}"]["zeroed"] for n in ("resnet20", "squeezenet")}
    areas = {n: results[f"maps.{n}"]["lerf"] for n in found}
    lerf = "<br>".join(
        f"{n}: LeRF {shown(a['NeuronMCT, zeroed']['right'], 4)} zeroed, {shown(a['NeuronMCT, frozen']['right'], 4)} "
        "frozen"
        for n, a in areas.items()
    )
    apart = [_apart(a["NeuronMCT, zeroed"]["right"], a["NeuronMCT, frozen"]["right"]) for a in areas.values()]
    return Claim(
        "P, table 2; P, proposition 4",
        "The gradient of the path is that of the frozen network (the released code sets the other neurons to zero)",
        "locally linear, by proposition 4",
        _rows(found, "spearman", "Spearman of the two maps {}")
        + "<br>"
        + _rows(found, "died", "{} of the path die when the rest is zero", percent=True)
        + f"<br>{lerf}",
        PARTLY if not any(apart) else NOT,
        "The maps are much alike, and their areas differ by less than their intervals. What does not survive is the "
        "guarantee: of the zeroed network nothing is promised, as some of the path dies.",
    )


def _signs(results: Results) -> Claim:
    found = {n: results[f"maps.{n}"]["lerf"] for n in ("resnet20", "squeezenet")}
    told = "<br>".join(
        f"{n}: "
        + ", ".join(f"{m} {shown(rows[m]['right'], 4)} → {shown(rows[m]['released'], 4)}" for m in
                    ("Gradient", "NeuronMCT, zeroed", "InputMCT", "random"))
        for n, rows in found.items()
    )  # fmt: skip
    told += f" (n = {', '.join(str(rows['random']['right']['n']) for rows in found.values())})"
    pairs = [(rows["NeuronMCT, zeroed"]["released"], rows["random"]["right"]) for rows in found.values()]
    return Claim(
        "P, table 2; P, figure 6a; P, figure 6c",
        "LeRF tells maps from random ones though pixels are ranked by the largest signed value of their channels",
        "NeuronMCT 0.009, Gradient 0.037 on CIFAR-10",
        told,
        NOT if all(_low(signed) > _low(random) for signed, random in pairs) else PARTLY,
        "Ranked so, the most negative pixels count as least relevant, and signed maps are no better than random ones, "
        "on ResNet-20 worse. The published numbers of NeuronMCT are far from that: its maps must have been made "
        "absolute before. Whether those of the other methods were cannot be told.",
    )


def _bits(results: Results) -> Claim:
    found = {n: results[f"maps.{n}"]["eight bits"] for n in ("resnet20", "squeezenet")}
    told = "<br>".join(
        f"{n}, half and 90 % removed: "
        + ", ".join(f"{m} {shown(rows[m]['same']['0.5'])} and {shown(rows[m]['same']['0.9'])}" for m in
                    ("Gradient", "GradCAM", "NeuronMCT, zeroed"))
        for n, rows in found.items()
    )  # fmt: skip
    worst = min(_mean(rows[m]["same"][s]) for rows in found.values() for m in rows for s in rows[m]["same"])
    return Claim(
        "P, table 1; PG, figure 5a",
        "ROAR removes the pixels that the map says, though maps are stored in 256 levels",
        "not mentioned",
        f"Jaccard of the pixels removed by the stored and the exact map; {told}",
        HOLDS if worst > 0.95 else PARTLY,
        "Sparse maps with a few large values lose the order of their small ones: which half goes is then decided by "
        "position. At the small shares, and for GradCAM, nothing changes. Networks were not retrained here.",
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
        HOLDS if _low(found["spearman"]) > 0.98 else PARTLY,
        "Ranks are all that LeRF and ROAR see, and they stay nearly the same.",
    )


def _class(results: Results) -> Claim:
    changes, right = results["sanity.resnet20"]["class re-picked"], results["sanity.resnet20"]["right"]["Gradient"]
    first, *_, last = changes["Gradient"]
    told = ", ".join(
        f"{m} {shown(changes[m][first]['spearman, change'])} and {shown(changes[m][last]['spearman, change'])}"
        for m in ("Gradient", "NeuronMCT", "InputMCT", "GBP")
    )
    fallen = changes["Gradient"][last]["spearman"]
    return Claim(
        "P, figure 7; PG, figure 3",
        "Maps of Gradient and NeuronMCT lose their likeness though the class is re-picked after randomisation",
        "signed Spearman of Gradient 0.33 after the last layer, near 0 from the next stage on",
        f"signed Spearman of Gradient after the last layer {shown(changes['Gradient'][first]['spearman'])} re-picked, "
        f"{shown(right[first]['spearman'])} with the class kept; at the end {shown(fallen)} re-picked. Change by "
        f"re-picking, after the last layer and at the end: {told}",
        HOLDS if _high(fallen) < 0.1 else PARTLY,
        "Re-picking raises the similarity after the last layer, where the same features are read for another class, "
        "and not below: the published curve's start is that of re-picking, and its fall holds without it.",
    )


def _order(results: Results) -> Claim:
    found, right = (
        results["sanity.resnet20"]["order of steps"]["InputMCT"],
        results["sanity.resnet20"]["right"]["InputMCT"],
    )
    stages = list(found)
    told = "<br>".join(
        f"{s}: {shown(found[s]['spearman_abs'])} in place of {shown(right[s]['spearman_abs'])}"
        for s in (stages[0], stages[-1])
    )
    apart = [_apart(found[s]["spearman_abs"], right[s]["spearman_abs"]) for s in stages]
    return Claim(
        "P, figure 7",
        "The curve of InputMCT is that of the image times the gradient (in the released loop it is times the "
        "pathway's map)",
        "0.62 after the last layer, 0.18 at the end (absolute Spearman)",
        told,
        NOT if all(apart) else PARTLY if any(apart) else HOLDS,
        "The image's own values keep any product alike; which map it is multiplied by matters less. The published "
        "data look as if made before the loop was changed.",
    )


def _std(results: Results) -> Claim:
    found = results["sanity.resnet20"]["std 0.01"]
    *_, last = found["GBP"]
    told = ", ".join(f"{m} {shown(found[m][last]['spearman_abs, change'])}" for m in ("Gradient", "NeuronMCT", "GBP"))
    big = [_excludes_zero(found[m][last]["spearman_abs, change"]) for m in ("Gradient", "NeuronMCT", "GBP")]
    return Claim(
        "PG, figure 3b",
        "The curves are the same for a standard deviation of 0.01 (PG's text) and of 0.1 (the code)",
        "0.01 in PG, variance 0.01 in P",
        f"absolute Spearman changed at the end by {told} (n = {found['GBP'][last]['spearman']['n']})",
        NOT if all(big) else PARTLY if any(big) else HOLDS,
        "Where the curves end depends on the deviation, which the texts give in two ways; that they fall, and that "
        "GBP falls latest, does not.",
    )


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


def _low(value: Estimate) -> float:
    return float(value["mean"] or 0) if value["low"] is None else float(value["low"])


def _high(value: Estimate) -> float:
    return float(value["mean"] or 0) if value["high"] is None else float(value["high"])


def _apart(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals do not touch; not so where one is unknown."""
    if None in (one["low"], one["high"], other["low"], other["high"]):
        return False
    return _low(one) > _high(other) or _low(other) > _high(one)


def _excludes_zero(value: Estimate) -> bool:
    return _low(value) > 0 or _high(value) < 0
