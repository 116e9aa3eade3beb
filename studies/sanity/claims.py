"""What P and PG say about their sanity checks, and whether it holds: verdicts are computed from the kept results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.measured import Table, column, count, curve, ends, every, gap
from studies.sanity.names import NAMES, NETWORKS, SIMILARITIES, published_means
from studies.sanity.published import CURVES, STAGES
from studies.sanity.values import ANY, at_six, less, mean, means, middle, published, told
from studies.study import Claim, Estimate, above, below, joint, shown, within

P7, PG3 = "P, figure 7", "PG, figure 3a, b"

MARGIN = 0.1
"""Mean similarities that differ by no more count as alike."""

OF_PG = ("spearman_abs", "spearman")

FIRST = STAGES.index("b15")
"""From here on a bottleneck is random."""


def claims(results: Mapping[str, Any]) -> list[Claim]:
    """All claims with their verdicts."""
    found = results["tables"]
    stages, dear, small = found["stages/stages"], found["dear/layers"], found["intgrad/layers"]
    return [
        _insensitive(stages, dear),
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


def _insensitive(table: Table, dear: Table) -> Claim:
    known = ("gradient", "gradcam", "input-mct", "neuron-mct", "prunegrad", "neuron-intgrad")
    others = [m for m in known if m in table["columns"]]
    higher = [below(gap(mean(table, m, key), mean(table, "gbp", key)), 0) for key in ANY for m in others]
    higher += [below(gap(at_six(dear, "input-intgrad", key), at_six(table, "gbp", key)), 0) for key in ANY]
    last = ", ".join(f"{SIMILARITIES[key]} {shown(column(table, 'gbp', _last(key)))}" for key in ANY)
    return Claim(
        P7,
        f"Of GBP, {_names(others)} and InputIntGrad, GBP's map stays the most similar when the network is randomised",
        published(("gbp", "gradient", "gradcam", "input-mct", "neuron-mct", "input-intgrad"), ANY),
        told(
            means(table, ("gbp", *others), ANY) | {("input-intgrad", k): at_six(dear, "input-intgrad", k) for k in ANY}
        )
        + f"<br>GBP when all parameters are random: {last}",
        joint(higher),
        f"means over 18 stages, InputIntGrad's over six; GBP is certainly above in {count(higher)} comparisons"
        + ("" if known[-1] in others else ". The figure's NeuronIntGrad is not measured on this network"),
    )


def _last(key: str) -> str:
    return f"{SIMILARITIES[key]}, last stage"


def _as_the_gradient(table: Table) -> Claim:
    ours = ("neuron-mct", "prunegrad")
    pairs = [(m, key) for key in ANY for m in ours]
    alike = [within(gap(mean(table, m, key), mean(table, "gradient", key)), MARGIN) for m, key in pairs]
    return Claim(
        P7,
        "NeuronMCT is as sensitive to the parameters as the gradient",
        published(("gradient", "neuron-mct"), ANY),
        told(means(table, ("gradient", *ours), ANY)),
        joint(alike),
        f"alike: means over the stages differ by at most {MARGIN:g}, with the whole interval. Of NeuronMCT by both its "
        f"gradients, frozen (P's text) and zeroed (its released code), {count(alike)} do; not: {_not_so(alike, pairs)}",
    )


def _not_so(found: Sequence[bool | None], pairs: Sequence[tuple[str, str]]) -> str:
    """The pairs of which it is certain that it is not so."""
    told = [f"{SIMILARITIES[k]} of {NAMES[m]}" for (m, k), so in zip(pairs, found, strict=True) if so is False]
    return ", ".join(told) or "none"


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
        f"alike: within {MARGIN:g}, with the whole interval, {count(alike)} are; on {NETWORKS[table['model']]} at six "
        f"stages, with the other neurons frozen. The published row is of a ResNet-50 whose ReLU modules "
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
    frozen = {
        ("neuron-mct", k): within(less(mean(fixed, "neuron-mct", k), known["neuron-mct", k]), MARGIN) for k in ANY
    }
    away = [_not_so(list(found.values()), list(found)) for found in (first, second)]
    return Claim(
        P7,
        "The curves themselves",
        f"{len(pairs)} curves of {len(methods)} methods",
        f"the class predicted at each stage: near in {_near(first)}<br>the original class: near in {_near(second)}",
        joint(list(first.values())),
        f"near: the mean over the stages is within {MARGIN:g} of the published one, with the whole interval. The "
        "released code explains the class that the randomised network predicts, so the verdict is on that. Further "
        f"away: {away[0]}; with the original class {away[1]}. NeuronMCT's curves are set beside the "
        f"zeroed gradient's; the frozen one's, with the original class, are near in {_near(frozen)}",
    )


def _near(found: Mapping[tuple[str, str], bool | None]) -> str:
    parts = list(found.values())
    return f"{count(parts)}, certainly not in {parts.count(False)}"


def _reselected(fixed: Table, released: Table) -> Claim:
    """What the class does that is explained."""
    pairs = [(m, k) for k in ANY for m in ("gradient", "gbp", "gradcam", "input-mct", "prunegrad")]
    moved = {pair: gap(mean(released, *pair), mean(fixed, *pair)) for pair in pairs}
    large = {pair: within(value, MARGIN) for pair, value in moved.items()}
    far = [f"{SIMILARITIES[k]} of {NAMES[m]} {shown(moved[m, k])}" for (m, k), small in large.items() if small is False]
    return Claim(
        P7,
        "It makes no difference that the released code explains the class predicted by the randomised network",
        "not said in the text",
        ("moved by more than the margin: " + ", ".join(far)) if far else "no mean is moved by more than the margin",
        joint(list(large.values())),
        f"predicted less original class, means over the stages; the margin is {MARGIN:g}. For a class that the "
        "randomised network does not predict, GradCAM's weights can all be negative, and then its map is zero",
        asked_here=True,
    )


def _signed(table: Table, dear: Table) -> Claim:
    line = f"{SIMILARITIES['spearman']} with the original map"
    methods = ("gradient", "input-mct", "neuron-mct", "prunegrad")
    free = [v for m in methods for v in curve(table, m, line)[FIRST:]]
    free += curve(dear, "input-intgrad", line)[FIRST:]
    known = [abs(v) for m in (*methods[:3], "input-intgrad") for v in CURVES["spearman"][m][FIRST:]]
    last = [CURVES["spearman"][m][-1] for m in ("gbp", "gradcam")]
    near = [within(v, MARGIN) for v in free]
    coarse = [column(table, m, _last("spearman")) for m in ("gbp", "gradcam")]
    return Claim(
        "PG, figure 3a",
        f"From the first randomised bottleneck on, Spearman's correlation of signed maps is about 0 for "
        f"{_names(methods)} and InputIntGrad, and it stays above 0 to the last stage for GBP and GradCAM",
        f"in P's file at most {max(known):.2f}; at the last stage GBP {last[0]:.2f}, GradCAM {last[1]:.2f}",
        f"at most {max(abs(ends(v)[0]) for v in free):.2f}; at the last stage GBP {shown(coarse[0])}, "
        f"GradCAM {shown(coarse[1])}",
        joint([every(near), *(above(v, 0) for v in coarse)]),
        f"three parts: that all {len(near)} means over photographs, one a stage and method, lie within {MARGIN:g} of 0 "
        f"with the whole interval ({count(near)} do, {near.count(False)} certainly do not); that GBP's last one lies "
        "above 0; that GradCAM's does. It is what the figure's curves show, not a sentence of PG",
    )


def _prunegrad(table: Table) -> Claim:
    """The most sensitive: no method lies certainly lower by more than half the margin."""
    others = ("gbp", "gradcam", "input-mct", "rectgrad", "prunegrad-mid")
    alike = [within(gap(mean(table, "prunegrad", k), mean(table, "gradient", k)), MARGIN) for k in OF_PG]
    pairs = [(m, k) for k in OF_PG for m in others]
    lowest = [below(gap(mean(table, "gradient", k), mean(table, m, k)), MARGIN / 2) for m, k in pairs]
    return Claim(
        PG3,
        "The gradient is the most sensitive, and PruneGrad is equally sensitive",
        "curves without numbers",
        told(means(table, ("gradient", "prunegrad", *others), OF_PG)),
        joint([*alike, *lowest]),
        f"PruneGrad: {count(alike)} means over the stages differ from the gradient's by at most {MARGIN:g}, with the "
        f"whole interval. The gradient's is lower than other methods', or higher by less than {MARGIN / 2:g}, in "
        f"{count(lowest)} comparisons; certainly not: {_not_so(lowest, pairs)}",
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
    apart = gap(one, other)
    found = below(apart, 0)
    return False if found is None and within(apart, MARGIN / 2) else found


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
        f"like GBP: more similar than half-way between the gradient and GBP, at six stages; {count(nearer)} are, "
        f"certainly not: {_not_so(nearer, list(measured))}. PG does not say which share of the neurons its "
        "RectGrad keeps. With half kept it is GBP itself at each site where the middle product is 0",
    )


def _coarse(table: Table) -> Claim:
    coarse = ("gradcam", "prunegrad-mid")
    pairs = [(m, key) for key in OF_PG for m in coarse]
    higher = [below(gap(mean(table, "prunegrad", key), mean(table, m, key)), 0) for m, key in pairs]
    return Claim(
        PG3,
        "The coarse maps of GradCAM and PruneGrad-Mid stay more similar than PruneGrad's",
        "curves without numbers",
        told(means(table, ("prunegrad", *coarse), OF_PG)),
        joint(higher),
        f"certainly not: {_not_so(higher, pairs)}. PruneGrad-Mid's map is never negative, so both its "
        "correlations are of the same map",
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
