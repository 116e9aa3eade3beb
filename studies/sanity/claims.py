"""What P and PG say about their sanity checks, and whether it holds: verdicts are computed from the kept results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.measured import (
    Table,
    above,
    below,
    column,
    count,
    curve,
    gap,
    ends,
    joint,
    within,
)
from studies.sanity.names import NAMES, NETWORKS, SIMILARITIES, published_means
from studies.sanity.values import ANY, at_six, less, mean, means, middle, published, told
from studies.study import Claim, Estimate, shown

P7, PG3 = "P, figure 7", "PG, figure 3a, b"

MARGIN = 0.1
"""Mean similarities that differ by no more count as alike."""

OF_PG = ("spearman_abs", "spearman")


def claims(results: Mapping[str, Any]) -> list[Claim]:
    """All claims with their verdicts."""
    found = results["tables"]
    stages, dear, small = found["stages/stages"], found["dear/layers"], found["intgrad/layers"]
    return [
        _insensitive(stages),
        _as_the_gradient(stages),
        _neuron_intgrad(small),
        _numbers(stages, found["released/stages-reselected"]),
        _reselected(stages, found["released/stages-reselected"]),
        _signed(stages, dear),
        _prunegrad(stages),
        _others(stages),
        _rectgrad(stages, dear),
        _coarse(stages),
        _pgd(stages, dear),
    ]


def _insensitive(table: Table) -> Claim:
    others = ("gradient", "gradcam", "input-mct", "neuron-mct")
    higher = [
        below(gap(mean(table, m, key), mean(table, "gbp", key)), 0) for key in ANY for m in others
    ]  # fmt: skip
    return Claim(
        P7,
        "GBP hardly changes when the network is randomised: of all methods it stays the most similar",
        published(("gbp", "gradient", "gradcam"), ANY),
        told(means(table, ("gbp", "gradient", "gradcam"), ANY)),
        joint(higher),
        f"means over 18 stages; GBP is above {count(higher)} of the comparisons with {_names(others)}",
    )


def _as_the_gradient(table: Table) -> Claim:
    ours = ("neuron-mct", "prunegrad")
    alike = [within(gap(mean(table, m, key), mean(table, "gradient", key)), MARGIN) for key in ANY for m in ours]
    return Claim(
        P7,
        "NeuronMCT is as sensitive to the parameters as the gradient",
        published(("gradient", "neuron-mct"), ANY),
        told(means(table, ("gradient", *ours), ANY)),
        joint(alike),
        f"alike: means over the stages differ by at most {MARGIN:g}, with the whole interval; {count(alike)} do",
    )


def _neuron_intgrad(table: Table) -> Claim:
    pairs = {(m, key): at_six(table, m, key) for key in ANY for m in ("gradient", "neuron-intgrad")}
    alike = [
        within(gap(pairs["neuron-intgrad", key], pairs["gradient", key]), MARGIN) for key in ANY
    ]  # fmt: skip
    return Claim(
        P7,
        "NeuronIntGrad is as sensitive to the parameters as the gradient",
        published(("gradient", "neuron-intgrad"), ANY),
        told(pairs),
        joint(alike),
        f"measured on {NETWORKS[table['model']]} at six stages. The published row is of a ResNet-50 whose ReLU modules "
        "are used several times, on which the released NeuronIntGrad scores only the first 17 of 49 calls",
    )


def _numbers(fixed: Table, released: Table) -> Claim:
    """Means over the stages beside the published ones; the released code's NeuronMCT is PruneGrad."""
    methods = ("gradient", "gbp", "gradcam", "input-mct", "prunegrad")
    known = published_means() | {("prunegrad", k): published_means()["neuron-mct", k] for k in ANY}
    pairs = [(m, k) for k in ANY for m in methods]
    first, second = (
        {pair: within(less(mean(table, *pair), known[pair]), MARGIN) for pair in pairs} for table in (released, fixed)
    )
    return Claim(
        P7,
        "The curves themselves",
        f"{len(pairs)} curves of {len(methods)} methods",
        f"the class predicted at each stage: {_near(first)}<br>the original class: {_near(second)}",
        joint(list(first.values())),
        f"near: the mean over the stages is within {MARGIN:g} of the published one, with the whole interval. The "
        "released code explains the class that the randomised network predicts, so the verdict is on that. Further "
        f"away: {_further(first)}; with the original class {_further(second)}",
    )


def _near(found: Mapping[tuple[str, str], bool | None]) -> str:
    parts = list(found.values())
    return f"{count(parts)} are near, {parts.count(False)} are not"


def _reselected(fixed: Table, released: Table) -> Claim:
    """What the class does that is explained."""
    pairs = [(m, k) for k in ANY for m in ("gradient", "gbp", "gradcam", "input-mct", "prunegrad")]
    moved = {pair: gap(mean(released, *pair), mean(fixed, *pair)) for pair in pairs}
    large = {pair: within(value, MARGIN) for pair, value in moved.items()}
    far = [f"{NAMES[m]}'s {SIMILARITIES[k]} {shown(moved[m, k])}" for (m, k), small in large.items() if small is False]
    return Claim(
        P7,
        "It makes no difference that the released code explains the class predicted by the randomised network",
        "not said in the text",
        ("moved by more than the margin: " + ", ".join(far)) if far else "no mean is moved by more than the margin",
        joint(list(large.values())),
        f"predicted less original class, means over the stages; the margin is {MARGIN:g}. For a class that the "
        "randomised network does not predict, GradCAM's weights are often negative, and its map is zero where they are",
    )


def _further(found: Mapping[tuple[str, str], bool | None]) -> str:
    return ", ".join(f"{NAMES[m]}'s {SIMILARITIES[k]}" for (m, k), near in found.items() if near is False) or "none"


def _signed(table: Table, dear: Table) -> Claim:
    line = f"{SIMILARITIES['spearman']} with the original map"
    free = [v for m in ("gradient", "input-mct", "neuron-mct", "prunegrad") for v in curve(table, m, line)[2:]]
    free += curve(dear, "input-intgrad", line)[2:]
    coarse = [column(table, m, "Spearman, last stage") for m in ("gbp", "gradcam")]
    largest = max(abs(ends(v)[0]) for v in free)
    return Claim(
        "PG, figure 3a",
        "Spearman's correlation of signed maps is about 0 from the second bottleneck on, for all but GBP and GradCAM",
        "at most 0.04; at the last stage GBP 0.16, GradCAM 0.42",
        f"at most {largest:.2f}; at the last stage GBP {shown(coarse[0])}, GradCAM {shown(coarse[1])}",
        joint([*(within(v, MARGIN) for v in free), *(above(v, 0) for v in coarse)]),
        f"{len(free)} stages of gradient, InputMCT, NeuronMCT, PruneGrad and InputIntGrad lie within {MARGIN:g} of 0, "
        "or not; GBP and GradCAM lie above 0, or not",
    )


def _prunegrad(table: Table) -> Claim:
    alike = [within(gap(mean(table, "prunegrad", k), mean(table, "gradient", k)), MARGIN) for k in OF_PG]
    return Claim(
        PG3,
        "The gradient is the most sensitive, and PruneGrad is equally sensitive",
        "curves without numbers",
        told(means(table, ("gradient", "prunegrad"), OF_PG)),
        joint(alike),
        f"alike: means over the stages differ by at most {MARGIN:g}, with the whole interval",
    )


def _others(table: Table) -> Claim:
    others = ("gbp", "gradcam", "input-mct", "rectgrad", "prunegrad-mid")
    lower = {(m, key): _lower(mean(table, "prunegrad", key), mean(table, m, key)) for key in OF_PG for m in others}
    not_more = [f"{NAMES[m]} ({SIMILARITIES[k]})" for (m, k), yes in lower.items() if not yes]
    return Claim(
        PG3,
        "PruneGrad is more sensitive than all other methods but the gradient",
        "curves without numbers",
        told(means(table, ("prunegrad", *others), OF_PG)),
        joint(list(lower.values())),
        "not more than these, or not certainly: " + ", ".join(not_more) if not_more else "below all of them",
    )


def _lower(one: Estimate, other: Estimate) -> bool | None:
    """Whether one is lower; what is certainly about the same is not."""
    gap = gap(one, other)
    found = below(gap, 0)
    return False if found is None and within(gap, MARGIN / 2) else found


def _rectgrad(table: Table, dear: Table) -> Claim:
    measured = {("rectgrad", key): at_six(table, "rectgrad", key) for key in ANY}
    measured |= {("rectgrad-50", key): at_six(dear, "rectgrad-50", key) for key in ANY}
    between = {key: (at_six(table, "gradient", key), at_six(table, "gbp", key)) for key in ANY}
    nearer = [above(gap(v, middle(*between[key])), 0) for (_, key), v in measured.items()]
    known = {(m, key): pair[i] for key, pair in between.items() for i, m in enumerate(("gradient", "gbp"))}
    return Claim(
        PG3,
        "RectGrad behaves like GBP and fails the check",
        "curves without numbers",
        told(known | measured),
        joint(nearer),
        "like GBP: more similar than half-way between the gradient and GBP, at six stages; PG does not say which share "
        f"of the neurons its RectGrad keeps; {count(nearer)} are",
    )


def _coarse(table: Table) -> Claim:
    coarse = ("gradcam", "prunegrad-mid")
    higher = [
        below(gap(mean(table, "prunegrad", key), mean(table, m, key)), 0) for key in OF_PG for m in coarse
    ]  # fmt: skip
    return Claim(
        PG3,
        "The coarse maps of GradCAM and PruneGrad-Mid stay more similar than PruneGrad's",
        "curves without numbers",
        told(means(table, ("prunegrad", *coarse), OF_PG)),
        joint(higher),
        "PruneGrad-Mid's map is never negative, so both its correlations are of the same map",
    )


def _pgd(table: Table, dear: Table) -> Claim:
    values = {("prunegrad", key): at_six(table, "prunegrad", key) for key in OF_PG}
    values |= {("prune-pgd", key): at_six(dear, "prune-pgd", key) for key in OF_PG}
    alike = [within(gap(values["prune-pgd", key], values["prunegrad", key]), MARGIN) for key in OF_PG]
    return Claim(
        PG3,
        "PrunePGD and PruneGrad perform similarly",
        "curves without numbers",
        told(values),
        joint(alike),
        f"alike: means over six stages differ by at most {MARGIN:g}, with the whole interval",
    )


def _names(methods: Sequence[str]) -> str:
    return ", ".join(NAMES[m] for m in methods)
