"""What the study of addition modulo 113 asks, and its verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.differences import difference
from studies.study import HOLDS, NOT, OPEN, PARTLY, Claim, Estimate, above, below, joint, shown

SOURCE = "addition modulo 113"
LOCAL = ("intgrad", "ablation", "shapley")
Results = Mapping[str, Any]


def claims(results: Results) -> list[Claim]:
    """One for each question."""
    asked = (_together, _whole, _agree, _few, _unit, _group, _answer, _heads, _greedy)
    return [_claim(*one(results)) for one in asked]


def _claim(claim: str, expected: str, measured: str, verdict: str, why: str) -> Claim:
    return Claim(SOURCE, claim, expected, measured, verdict, why)


Told = tuple[str, str, str, str, str]


def _together(results: Results) -> Told:
    found = results["neighbours"]
    path, random, l0 = (found[name]["same"] for name in ("taylor", "random", "l0"))
    chance: Estimate = dict.fromkeys(("mean", "low", "high"), found["random"]["chance"]) | {"n": random["n"]}
    return (
        "Neurons that are selected together, input by input, have one frequency",
        "known of such networks",
        f"nearest neuron of the same cluster: {shown(path, 2, percent=True)} by Taylor's pathways of 10 %, "
        f"{shown(l0, 2, percent=True)} by l0's, {shown(random, 2, percent=True)} by random active ones (chance "
        f"{found['taylor']['chance']:.0%}; n = {path['n']} neurons)",
        higher(path, random),
        "Judged against random active sets: activity alone groups neurons by frequency too, by "
        f"{shown(difference(random, chance), 2, percent=True)} more than chance here.",
    )


def _whole(results: Results) -> Told:
    at = results["logit"]["taylor"]["0.9"]
    few, uneven = at["frequencies"], at["unevenness"]
    return (
        "The pathway of one response is made of few whole clusters",
        "at 10 %, fewer than 3 of the 5 frequencies",
        f"{shown(few, 1)} of 5 frequencies; unevenness {shown(uneven)} where chance is 1 (n = {few['n']} inputs)",
        joint([below(few, 3)]),
        f"Judged by the frequencies. More uneven than chance: {told_of(above(uneven, 1))}. A frequency rules out some "
        "wrong answers and leaves others, so that several are needed for one answer.",
    )


def _agree(results: Results) -> Told:
    at = {m: results["logit"][m]["0.9"]["taylor"] for m in (*LOCAL, "conductance", "l0")}
    least = min(at[m]["mean"] for m in LOCAL)
    return (
        "Taylor, integrals, exact ablation and Shapley values select the same neurons",
        "equal, as the logit is linear in them",
        ", ".join(f"{m} {shown(e)}" for m, e in at.items()) + " (Jaccard with Taylor's pathway of 10 %)",
        HOLDS if least > 0.99 else PARTLY if least > 0.9 else NOT,
        "Holds above 0.99 for the first four, in part above 0.9. Nothing bends between these neurons and the logit. "
        "Conductance and l0 are not meant: the one asks also how a neuron came to its value on the way from zero "
        "embeddings, the other searches for a set that works.",
    )


def _few(results: Results) -> Told:
    at = {m: results["logit"][m]["0.98"]["right"] for m in ("l0", "dgr", "taylor", "random")}
    kept = results["logit"]["l0"]["0.98"]["kept"]["mean"]
    return (
        "Ten neurons are enough for the answer",
        "no number is known",
        ", ".join(f"{m} {shown(e, 2, percent=True)}" for m, e in at.items()) + f" right with {kept:.1%} of 512 neurons",
        joint([above(at["l0"], 0.95)]),
        f"Judged by l0, a search for a set that works: more than 95 %. Right with the ten of largest score, less l0: "
        f"{shown(difference(at['taylor'], at['l0']), 2, percent=True)}.",
    )


def _unit(results: Results) -> Told:
    groups = results["groups"]["right with"]
    best = max((share, names) for names, share in groups.items() if len(names.split()) == 1)
    two = max((share, names) for names, share in groups.items() if len(names.split()) == 2)
    path = results["logit"]["taylor"]["0.9"]
    return (
        "A whole cluster is a better part to keep than as many neurons of a pathway",
        "not stated",
        f"best single cluster right on {best[0]:.0%} ({best[1]}), best pair on {two[0]:.0%} ({two[1]}); Taylor's "
        f"pathway of 51 neurons on {shown(path['right'], 2, percent=True)}",
        HOLDS if two[0] > path["right"]["high"] else NOT if two[0] < path["right"]["low"] else OPEN,
        "Judged by the best pair of clusters against the interval of the pathway's share.",
    )


def _group(results: Results) -> Told:
    logit, probability = results["groups"]["logit"], results["groups"]["probability"]
    names = [name for name in logit if name != "other"]
    gap = max(abs(logit[n]["together"]["mean"] - logit[n]["alone"]["mean"]) for n in names)
    most = max(names, key=lambda n: probability[n]["together"]["mean"])
    one = probability[most]
    return (
        "What a cluster does is more than the sum of what its neurons do alone",
        "not stated",
        f"logit: no difference above {gap:.1g}; probability of the answer without {most}: {shown(one['together'])} "
        f"lost together, {shown(one['alone'])} as the sum of each alone",
        higher(one["together"], one["alone"]),
        "Judged by the probability, in which the sum of single losses can exceed what there is to lose: where an "
        "answer is close, many neurons can each tip it. The logit is linear in these neurons.",
    )


def _answer(results: Results) -> Told:
    found, random = results["answers"]["taylor"], results["answers"]["random"]
    same, neither = found["same sum"], found["neither"]
    return (
        "Inputs with the same answer share more of their pathways",
        "not stated",
        f"Jaccard {shown(same, 3)} with the same sum, {shown(found['same difference'], 3)} with the same difference, "
        f"{shown(neither, 3)} with neither, {shown(random['neither'], 3)} of random active sets (n = {same['n']})",
        higher(same, neither),
        "The answer fixes what a neuron writes, the inputs whether it is active. Same sum less same difference: "
        f"{shown(difference(same, found['same difference']), 3)}.",
    )


def _heads(results: Results) -> Told:
    found = results["heads"]
    lost = [share for head in found["feeds"] for share in head[:-1]]
    of_its_own = [sorted(shares)[-2] < 0.1 for shares in list(zip(*found["feeds"], strict=True))[:-1]]
    return (
        "A head feeds frequencies of its own",
        "each frequency fed by one head",
        f"without a head, {min(lost):.0%} to {max(lost):.0%} of a cluster's part of the logit are lost; all heads at "
        f"once cost {shown(found['together'], 1)}, the sum of each alone is {shown(found['sum alone'], 1)}",
        HOLDS if all(of_its_own) else PARTLY if any(of_its_own) else NOT,
        "A cluster has a head of its own where all heads but one cost it less than 10 %: "
        f"{sum(of_its_own)} of {len(of_its_own)}. The ReLUs above the heads bend, so single losses need not add up to "
        "the whole.",
    )


def _greedy(results: Results) -> Told:
    at = results["logit"]["greedy"]["0.9"]
    return (
        "Greedy pruning finds a pathway of 10 %",
        "10 %",
        f"it stops at {shown(at['kept'], 2, percent=True)}, of which {shown(at['dead'], 2, percent=True)} are dead; "
        f"the answer is kept on {shown(at['right'], 2, percent=True)}",
        joint([below(at["kept"], 0.12)]),
        "Holds below 12 %. It never prunes dead neurons, as the paper has it.",
    )


def higher(one: Estimate, other: Estimate) -> str:
    """Whether one mean lies above another, as if they were of different inputs or neurons."""
    return joint([above(difference(one, other), 0)])


def told_of(found: bool | None) -> str:
    """A part of a verdict in words."""
    return "undecided" if found is None else "yes" if found else "no"
