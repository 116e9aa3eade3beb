"""What PG says of figures 2, 6 and 7, and whether it is so here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.differences import difference, side, verdict_of
from studies.prunegrad.fold import ALLOWED
from studies.study import HOLDS, NOT, NOT_COMPARABLE, OPEN, PARTLY, Claim, Estimate, shown

Results = Mapping[str, Any]

NAMES = {
    "resnet50": "ResNet-50",
    "resnet8": "ResNet-8",
    "vgg16": "VGG-16, a channel",
    "squeezenet1_1": "SqueezeNet 1.1, score",
}
PUBLISHED = {"resnet50": 0.7, "vgg16": 0.9, "squeezenet1_1": 0.9}
"""Sparsities of 15 % change; that of VGG-16 stands in the released code and P's appendix C."""

LAYERS = {
    "input": "the input (PruneGrad)",
    "layer1": "layer 1",
    "layer2": "layer 2",
    "layer3": "layer 3",
    "layer4-middle": "layer 4, last but one block",
    "layer4-end": "layer 4, last block",
    "gradcam": "GradCAM",
    "random": "random",
}
SPARSITIES = {"0": 0.0, "dead": 0.5, "70": 0.7, "80": 0.8, "90": 0.9, "95": 0.95}
KINDS = {"gradient": "PruneGrad", "pgd": "PrunePGD"}
METRICS = {"lerf": "LeRF area", "morf": "MoRF area", "fidelity": "F-Fidelity gap", "roar": "ROAR area"}
HIGHER = ("morf", "fidelity")
"""Of these a high number is good."""

NO_CHANGE, NEAR, SAME = 0.01, 0.05, 0.99


def claims(results: Results) -> list[Claim]:
    """What the paper says of figures 2, 6 and 7, and whether it is so here."""
    nets = results["networks"]
    found = [
        _budget(nets, "resnet50"),
        _vgg_like(nets),
        _half_free(nets),
        _large_change(nets),
        _other_maps(nets),
        _layers(results),
        _pruning_helps(results),
        _too_much(results),
        _pgd_like_gradient(results),
        _dead_pruned(results),
    ]
    return [claim for claim in found if claim is not None]


def _budget(nets: Results, name: str) -> Claim | None:
    if name not in nets:
        return None
    at, published = nets[name]["crossing"], PUBLISHED[name]
    low, high = (at["mean"] if at[end] is None else at[end] for end in ("low", "high"))
    near = low <= published + NEAR and high >= published - NEAR
    wide = high - low > 4 * NEAR
    return Claim(
        "PG, figure 2a",
        "The output of ResNet-50 changes by 15 % at a sparsity of 70 %",
        f"{published:.2f}",
        f"{shown(at)} ({nets[name]['images']} photographs)",
        OPEN if near and wide else HOLDS if near else NOT,
        f"Where the mean change first exceeds 0.15; holds where the interval comes within {NEAR} of it. At 0.70 the "
        f"mean change is {shown(at_sparsity(nets[name], 0.7))}.",
    )


def at_sparsity(net: Results, sparsity: float, what: str = "change") -> Estimate:
    found: Estimate = net[what][net["sparsities"].index(sparsity)]
    return found


def _vgg_like(nets: Results) -> Claim | None:
    there = [name for name in ("vgg16", "squeezenet1_1") if name in nets]
    if not there:
        return None
    told = "<br>".join(f"{NAMES[n]}: {shown(nets[n]['crossing'])} ({nets[n]['images']} photographs)" for n in there)
    return Claim(
        "PG, figure 2a",
        "The output of VGG-16 changes by 15 % at a sparsity of 90 %",
        "0.90",
        told,
        NOT_COMPARABLE,
        "Changes of a channel's and of a class's score: VGG-16's probability is not to be had without a trained head.",
    )


def _half_free(nets: Results) -> Claim:
    told = "<br>".join(
        f"{NAMES[n]}: {shown(at_sparsity(net, 0.5), 3)}, dead {shown(net['dead'], percent=True)}"
        for n, net in nets.items()
    )
    small = [(at_sparsity(net, 0.5)["mean"] or 0.0) < NO_CHANGE for net in nets.values()]
    return Claim(
        "PG, figure 2a",
        "Roughly half of the neurons can be removed without any change of the output",
        "≈ 50 %",
        told,
        HOLDS if all(small) else PARTLY if any(small) else NOT,
        f"Holds where the mean change at a sparsity of 0.5 is below {NO_CHANGE}. It has to be 0 up to the share of "
        "neurons with a score of 0, which is at least that of the dead ones.",
    )


def _large_change(nets: Results) -> Claim:
    told, large = [], []
    for name, net in nets.items():
        change = at_sparsity(net, 0.85)
        told.append(f"{NAMES[name]}: {shown(change)}")
        large.append(change["low"] is not None and change["low"] > ALLOWED)
    return Claim(
        "PG, figure 2a",
        "Excessive pruning, above 80 %, changes the output greatly",
        "a figure without numbers",
        "<br>".join(told),
        HOLDS if all(large) else PARTLY if any(large) else NOT,
        "Mean change at a sparsity of 0.85; holds where its interval lies above 0.15.",
    )


def _other_maps(nets: Results) -> Claim | None:
    there = {name: net for name, net in nets.items() if net["likeness"]}
    if not there:
        return None
    at = (0.5, 0.7, 0.9, 0.99)
    found = {name: [at_sparsity(net, s, "likeness") for s in at] for name, net in there.items()}
    told = [
        f"{NAMES[n]}: {'; '.join(f'{s:g}: {shown(e)}' for s, e in zip(at, row, strict=True))}"
        for n, row in found.items()
    ]
    changed = [row[1]["high"] is not None and row[1]["high"] < 0.9 for row in found.values()]
    return Claim(
        "PG, figure 2b",
        "Pruning turns the gradient from a map of local sensitivity into another one",
        "pictures",
        "<br>".join(told),
        HOLDS if all(changed) else PARTLY if any(changed) else NOT,
        "Rank correlation of the absolute maps with those of the unpruned network, by sparsity. Holds where it is "
        "below 0.9 at 0.7. Whether the other map is the better one, figure 7 has to say.",
    )


def _layers(results: Results) -> Claim | None:
    tables = results["layers"]
    if "lerf" not in tables:
        return None
    rows = tables["lerf"]["rows"]
    known = {m: difference(rows[m], rows["random"]) for m in LAYERS if m.startswith("layer") and m in rows}
    return Claim(
        "PG, figure 6",
        "With PruneGrad-Mid every layer's map, however coarse, attributes the right part of the image",
        "pictures",
        "<br>".join(f"{LAYERS[m]}: {shown(d, 3)}" for m, d in known.items()),
        verdict_of([side(d) for d in known.values()]),
        "LeRF areas less those of random maps; below 0 is better. Intervals as if images were not shared. At the last "
        "block the gradient of a class's score is the same at every position, because average pooling follows: that "
        "map is constant, and its pixels are removed in the order of their places.",
    )


def _sides(results: Results, better: str, worse: str) -> dict[str, tuple[Estimate, int]]:
    """By metric the difference of two methods, and on which side of 0 it is: -1 where ``better`` is better."""
    found = {}
    for metric, table in results["sparsities"].items():
        if better in table["rows"] and worse in table["rows"]:
            less = difference(table["rows"][better], table["rows"][worse])
            found[metric] = (less, -side(less) if metric in HIGHER else side(less))
    return found


def _seven(results: Results, claim: str, pairs: Sequence[tuple[str, str]], why: str) -> Claim | None:
    """A claim of figure 7 that the first of each pair is the better map."""
    found = [(a, b, _sides(results, a, b)) for a, b in pairs]
    told = [
        f"{METRICS[metric]}, {named(a)} − {named(b)}: {shown(less, 3)}"
        for a, b, by in found
        for metric, (less, _) in by.items()
    ]
    if not told:
        return None
    sides = [s for _, _, by in found for _, s in by.values()]
    return Claim("PG, figure 7", claim, "a figure without numbers", "<br>".join(told), verdict_of(sides), why)


def named(method: str) -> str:
    kind, _, sparsity = method.partition("-")
    return f"{KINDS[kind]} {'50*' if sparsity == 'dead' else sparsity}"


MEASURE = (
    "LeRF is good where it is low, MoRF and F-Fidelity where they are high. Intervals as if images were not shared, "
)
MEASURE += "rather too wide. The paper's measure is retraining."


def _pruning_helps(results: Results) -> Claim | None:
    return _seven(
        results,
        "Without pruning the gradient reflects features of minimal importance; with it they matter more",
        (("gradient-80", "gradient-0"),),
        MEASURE,
    )


def _too_much(results: Results) -> Claim | None:
    return _seven(
        results,
        "Excessive pruning loses information again: PruneGrad 95 is worse than a milder one",
        (("gradient-80", "gradient-95"),),
        MEASURE,
    )


def _pgd_like_gradient(results: Results) -> Claim | None:
    pairs = (("pgd-80", "gradient-80"), ("pgd-95", "gradient-95"))
    claim = _seven(results, "PruneGrad is about as good as PrunePGD at the same sparsity", pairs, "")
    if claim is None:
        return None
    equal = [s == 0 for a, b in pairs for _, s in _sides(results, a, b).values()]
    verdict = HOLDS if all(equal) else PARTLY if any(equal) else NOT
    alike = shown(results["radii"][0]["pgd-0 gradient"], 3)
    why = (
        "Holds where no difference's interval leaves 0 out. In so small a ball it has to: unpruned, the adversarial "
        f"change correlates (ranks) with the gradient by {alike}. {MEASURE}"
    )
    return Claim(claim.source, claim.claim, claim.published, claim.measured, verdict, why)


def _dead_pruned(results: Results) -> Claim | None:
    claim = _seven(
        results,
        "Adversarial changes of the unpruned network are the worst; without its dead neurons they already show "
        "features that matter",
        (("pgd-dead", "pgd-0"),),
        "",
    )
    first, *others = results["radii"]
    if claim is None:
        return None
    same = first["both"]["low"] is not None and first["both"]["low"] > SAME
    apart = "; ".join(f"{row['radius']:g}: {shown(row['both'], 3)}" for row in others)
    why = (
        "On the image itself both networks have one gradient, as a dead neuron passes none on: they part only after "
        f"the first of the 20 steps. In the paper's ball ({first['radius']:g}) their maps correlate (ranks) by "
        f"{shown(first['both'], 3)}; in larger ones, by radius, {apart}. Holds not where the interval lies above "
        f"{SAME}: no measure can tell such maps apart. {MEASURE}"
    )
    verdict = NOT if same else claim.verdict
    return Claim(claim.source, claim.claim, claim.published, claim.measured, verdict, why)
