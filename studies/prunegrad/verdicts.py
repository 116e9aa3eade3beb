"""What PG says of figures 2, 6 and 7, and whether it is so here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from studies.differences import difference
from studies.prunegrad.fold import ALLOWED
from studies.study import HOLDS, NOT, NOT_COMPARABLE, OPEN, Claim, Estimate, above, below, joint, shown, within

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

NO_CHANGE, NEAR, SAME, OTHER = 0.01, 0.05, 0.99, 0.9
ALIKE = 0.25
"""How far two areas may be apart and still be alike, relative to one: that of the study of perturbation."""


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
    return Claim(
        "PG, figure 2a",
        "Roughly half of the neurons can be removed without any change of the output",
        "≈ 50 %",
        told,
        joint([below(at_sparsity(net, 0.5), NO_CHANGE) for net in nets.values()]),
        f"Holds where the mean change at a sparsity of 0.5 is below {NO_CHANGE}, with its interval. It has to be 0 "
        "up to the share of neurons with a score of 0, which is at least that of the dead ones.",
    )


def _large_change(nets: Results) -> Claim:
    changes = {NAMES[name]: at_sparsity(net, 0.85) for name, net in nets.items()}
    return Claim(
        "PG, figure 2a",
        "Excessive pruning, above 80 %, changes the output greatly",
        "a figure without numbers",
        "<br>".join(f"{name}: {shown(change)}" for name, change in changes.items()),
        joint([above(change, ALLOWED) for change in changes.values()]),
        "Mean change at a sparsity of 0.85; holds where its interval lies above 0.15, and not where it lies below.",
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
    return Claim(
        "PG, figure 2b",
        "Pruning turns the gradient from a map of local sensitivity into another one",
        "pictures",
        "<br>".join(told),
        joint([below(row[1], OTHER) for row in found.values()]),
        "Rank correlation of the absolute maps with those of the unpruned network, by sparsity. Holds where its "
        f"interval lies below {OTHER} at 0.7. Whether the other map is the better one, figure 7 has to say.",
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
        joint([below(d, 0) for d in known.values()]),
        "LeRF areas less those of random maps; below 0 is better. Intervals as if images were not shared. At the last "
        "block the gradient of a class's score is the same at every position, because average pooling follows: that "
        "map is constant, and its pixels are removed in the order of their places.",
    )


def _differences(results: Results, first: str, second: str) -> dict[str, Estimate]:
    """By metric what the first of two methods has more than the second."""
    tables = {metric: table["rows"] for metric, table in results["sparsities"].items()}
    return {m: difference(rows[first], rows[second]) for m, rows in tables.items() if first in rows and second in rows}


def _better(metric: str, less: Estimate) -> bool | None:
    """Whether a difference speaks for the first method."""
    return above(less, 0) if metric in HIGHER else below(less, 0)


def _told(results: Results, pairs: Sequence[tuple[str, str]]) -> str:
    return "<br>".join(
        f"{METRICS[metric]}, {named(a)} − {named(b)}: {shown(less, 3)}"
        for a, b in pairs
        for metric, less in _differences(results, a, b).items()
    )


def _seven(results: Results, claim: str, first: str, second: str, why: str) -> Claim | None:
    """A claim of figure 7 that the first of two is the better map."""
    found = _differences(results, first, second)
    if not found:
        return None
    verdict = joint([_better(metric, less) for metric, less in found.items()])
    told = _told(results, [(first, second)])
    return Claim("PG, figure 7", claim, "a figure without numbers", told, verdict, why)


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
        "gradient-80",
        "gradient-0",
        MEASURE,
    )


def _too_much(results: Results) -> Claim | None:
    return _seven(
        results,
        "Excessive pruning loses information again: PruneGrad 95 is worse than a milder one",
        "gradient-80",
        "gradient-95",
        MEASURE,
    )


def _pgd_like_gradient(results: Results) -> Claim | None:
    pairs = [("pgd-80", "gradient-80"), ("pgd-95", "gradient-95")]
    alike = [_alike(results, a, b, metric) for a, b in pairs for metric in _differences(results, a, b)]
    if not alike:
        return None
    near = shown(results["radii"][0]["pgd-0 gradient"], 3)
    return Claim(
        "PG, figure 7",
        "PruneGrad is about as good as PrunePGD at the same sparsity",
        "a figure without numbers",
        _told(results, pairs),
        joint(alike),
        f"Alike: apart by at most {100 * ALIKE:g} % of PruneGrad's number, with the whole interval; "
        f"{alike.count(True)} of {len(alike)} are. In so small a ball the adversarial change of the unpruned "
        f"network correlates (ranks) with the gradient by {near}. {MEASURE}",
    )


def _alike(results: Results, first: str, second: str, metric: str) -> bool | None:
    """Whether two methods differ by less than the margin."""
    size = results["sparsities"][metric]["rows"][second]["mean"]
    return None if not size else within(_differences(results, first, second)[metric], ALIKE * abs(size))


def _dead_pruned(results: Results) -> Claim | None:
    claim = _seven(
        results,
        "Adversarial changes of the network without its dead neurons show features that matter more than those of the "
        "unpruned one do",
        "pgd-dead",
        "pgd-0",
        "",
    )
    first, *others = results["radii"]
    if claim is None:
        return None
    apart = "; ".join(f"{row['radius']:g}: {shown(row['both'], 3)}" for row in others)
    why = (
        "PG calls those of the unpruned network the worst; only this pair is judged. On the image itself both networks "
        "have one gradient, as a dead neuron passes none on: they part only after the first of the 20 steps. In the "
        f"paper's ball ({first['radius']:g}) their maps correlate (ranks) by {shown(first['both'], 3)}; in larger "
        f"ones, by radius, {apart}. Holds not where the interval lies above {SAME}: no measure can tell "
        f"such maps apart. {MEASURE}"
    )
    return replace(claim, verdict=NOT if above(first["both"], SAME) else claim.verdict, why=why)
