"""What P and PG say about removing pixels, and whether it holds: verdicts are computed from the kept results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations, product
from typing import Any

from studies.measured import count, ends, every, gap
from studies.perturbation import published
from studies.perturbation.beyond import controls, filled_in, further, most_first
from studies.perturbation.names import (
    NAMES,
    NETWORKS,
    OF_PG,
    OTHERS,
    PUBLISHED,
    TABLE_2,
    area,
    readings,
)
from studies.perturbation.ranking import ranked
from studies.perturbation.telling import (
    Found,
    Lerf,
    areas_told,
    called,
    deciding,
    listed,
    named,
    networks_with,
    published_areas,
    relative,
)
from studies.study import NOT_COMPARABLE, Claim, below, joint, shown, within

CIFAR, IMAGENET = ("resnet8", "resnet20", "resnet56"), ("resnet50",)
OURS = ("neuron-mct", "neuron-intgrad", "prunegrad")

DISTINCT = 0.05
"""Published areas that differ by less, relative to the larger, give no order."""
ALIKE = 0.25
"""Areas that differ by no more, relative to the other, count as alike."""


def claims(results: Mapping[str, Any]) -> list[Claim]:
    """All claims with their verdicts."""
    found = {key: _with_accuracy(table, results) for key, table in results["tables"].items()}
    lerf = {name: found[f"{name}/lerf"] for name in NETWORKS if f"{name}/lerf" in found}
    filled = {name: found[f"{name}/road-lerf"] for name in lerf if f"{name}/road-lerf" in found}
    return [
        _better("P, figure 6a; P, table 2", "cifar10", ("neuron-mct", "input-mct"), lerf, filled, CIFAR),
        _better("P, figure 6a; P, table 2", "cifar10", ("neuron-intgrad", "input-intgrad"), lerf, filled, CIFAR),
        _better("P, figure 6c; P, table 2", "imagenet", ("neuron-mct", "input-mct"), lerf, filled, IMAGENET),
        _copied(lerf),
        _birdsnap(),
        _best(lerf),
        _order("P, figure 6a; P, table 2", "cifar10", lerf, CIFAR),
        _order("P, figure 6c; P, table 2", "imagenet", lerf, IMAGENET),
        _areas(lerf),
        *ranked(lerf, found),
        further(found),
        _pruned(lerf),
        _pgd(lerf),
        controls(lerf),
        filled_in(found),
        most_first(found),
    ]


def _with_accuracy(table: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """Of the network that the study trains itself."""
    return {**table, "accuracy": results["networks"].get(table["model"], {}).get("accuracy")}


def _better(source: str, data: str, pair: tuple[str, str], lerf: Lerf, filled: Lerf, networks: Iterable[str]) -> Claim:
    """One of the papers' methods against its counterpart at the input."""
    ours, other = pair
    on = networks_with(lerf, networks, *pair)
    lower = {(n, NAMES[m]): below(gap(area(lerf[n], m), area(lerf[n], other)), 0) for n in on for m in readings(ours)}
    told = (*readings(ours), other)
    again = areas_told(filled, networks_with(filled, on, *told), told, 5)
    return Claim(
        source,
        f"{_bare(ours)} finds unimportant pixels better than {_bare(other)} "
        f"({'CIFAR-10' if data == 'cifar10' else 'ImageNet'})",
        published_areas(data, pair),
        areas_told(lerf, on, told)
        + (f"<br>filled in from the surroundings, not the mean:<br>{again}" if again else ""),
        joint(list(lower.values())),
        f"areas under |Δp| / p, lower is better, {_read(ours)}:{deciding(lower, lerf, 'lower', 'higher')}<br>Maps that "
        "are multiplied by the input are small where a pixel is near the mean, where putting the mean changes nothing",
    )


def _bare(method: str) -> str:
    return NAMES[method].split(" (")[0]


def _read(method: str) -> str:
    """By which gradients a method of P is judged."""
    if len(readings(method)) > 1:
        return f"{_bare(method)}'s gradient with the other neurons frozen (P's text) and zeroed (its released code)"
    return f"{_bare(method)}'s gradient with the other neurons frozen; the zeroed one is not measured"


def _copied(lerf: Lerf) -> Claim:
    on = networks_with(lerf, IMAGENET, "neuron-intgrad", "input-intgrad")
    lower = [below(gap(*(area(lerf[name], m) for m in ("neuron-intgrad", "input-intgrad"))), 0) for name in on]
    return Claim(
        "P, figure 6c; P, table 2",
        "NeuronIntGrad finds unimportant pixels better than InputIntGrad (ImageNet)",
        published_areas("imagenet", ("neuron-intgrad", "input-intgrad")),
        areas_told(lerf, on, ("neuron-intgrad", "input-intgrad"))
        or "not measured: an integral at each of 49 sites takes many seconds a photograph; the full form has it",
        joint(lower) if on else NOT_COMPARABLE,
        "the ten published numbers of NeuronIntGrad on ImageNet are those of Birdsnap, digit by digit: a copy",
    )


def _birdsnap() -> Claim:
    methods = ("gradcam", "neuron-mct", "neuron-intgrad", "input-mct")
    return Claim(
        "P, figure 6b; P, table 2",
        "NeuronMCT and NeuronIntGrad perform best on Birdsnap",
        published_areas("birdsnap", methods),
        "not measured",
        NOT_COMPARABLE,
        "Birdsnap and a network trained on it are not at hand",
    )


def _best(lerf: Lerf) -> Claim:
    """The best of ours against each other method: one that is certainly better refutes it."""
    found: dict[tuple[str, str], bool | None] = {}
    told = []
    for name, table in lerf.items():
        ours = min((m for m in OURS if m in table["columns"]), key=lambda m: ends(area(table, m))[0])
        lower = {m: below(gap(area(table, ours), area(table, m)), 0) for m in OTHERS}
        found |= {(name, NAMES[m]): one for m, one in lower.items()}
        others = [f"{NAMES[m]} {shown(area(table, m), 4)}" for m in OTHERS if lower[m] is not True]
        told.append(
            f"{called(name, table)}: {NAMES[ours]} {shown(area(table, ours), 4)}; not certainly above it: "
            + listed(others)
        )
    areas = ", ".join(f"{_bare(m)} {published.untruncated('imagenet', m):.4f}" for m in ("gradcam", "neuron-mct"))
    return Claim(
        "P, figure 6; P, table 2",
        "“In all experiments our methods perform best”",
        f"the areas before they were cut to three digits: ImageNet {areas}",
        "<br>".join(told),
        joint([every(list(found.values()))]),
        "one counterexample refutes “all”. The best of P's methods (NeuronMCT by both gradients) is, against the other "
        f"methods:{deciding(found, lerf, 'below', 'above')}<br>In the published ImageNet areas GradCAM is below "
        "NeuronMCT",
    )


def _order(source: str, data: str, lerf: Lerf, networks: Iterable[str]) -> Claim:
    known = {m: a for m, a in published.TABLE_2[data].items() if (data, m) != published.COPIED}
    pairs = [
        pair
        for a, b in combinations(known, 2)
        if abs(known[a] - known[b]) > DISTINCT * max(known[a], known[b])
        for pair in product(*(readings(m) for m in ((a, b) if known[a] < known[b] else (b, a))))
    ]
    kept, told = [], []
    for name in networks_with(lerf, networks):
        table, on = lerf[name], [pair for pair in pairs if all(m in lerf[name]["columns"] for m in pair)]
        found = [below(gap(area(table, a), area(table, b)), 0) for a, b in on]
        kept += found
        wrong = [f"{NAMES[b]} below {NAMES[a]}" for (a, b), yes in zip(on, found, strict=True) if yes is False]
        told.append(
            f"{called(name, table)}: {count(found)} pairs keep it, {found.count(False)} turn round"
            + (f" ({', '.join(wrong)})" if wrong else "")
        )
    return Claim(
        source,
        f"The order of the methods ({'CIFAR-10' if data == 'cifar10' else 'ImageNet'})",
        ", ".join(f"{_bare(m)} {a:g}" for m, a in sorted(known.items(), key=lambda item: item[1])),
        "<br>".join(told),
        joint(kept),
        f"pairs whose published areas differ by more than {100 * DISTINCT:g} %, those with NeuronMCT by both of its "
        "gradients; the others are not decided",
    )


def _areas(lerf: Lerf) -> Claim:
    on = networks_with(lerf, ("resnet8", "resnet50"))
    near: list[bool | None] = []
    told = []
    for name in on:
        table, data = lerf[name], PUBLISHED[name]
        known = {
            r: a
            for m, a in published.TABLE_2[data].items()
            for r in readings(m)
            if (data, m) != published.COPIED and r in table["columns"]
        }
        near += [within(relative(area(table, m), a), ALIKE) for m, a in known.items()]
        ratios = {m: ends(area(table, m))[0] / a for m, a in known.items()}
        told.append(f"{called(name, table)}: " + ", ".join(f"{NAMES[m]} {ratio:.2f}" for m, ratio in ratios.items()))
    return Claim(
        "P, table 2",
        "The areas themselves",
        "CIFAR-10 " + published_areas("cifar10", TABLE_2) + "<br>ImageNet " + published_areas("imagenet", TABLE_2[:-1]),
        "measured / published: " + "<br>".join(told),
        joint(near),
        f"within {100 * ALIKE:g} %, with the whole interval: {count(near)}; certainly further off: "
        f"{near.count(False)}. Both gradients of NeuronMCT are set beside its number. The networks are others: P's "
        f"ResNet-8 is {100 * published.ACCURACY:.2f} % accurate, the ResNet-50 here has quantised weights",
    )


def _pruned(lerf: Lerf) -> Claim:
    """A part is a network: there it is best if it is below each of the others."""
    lower: Found = {
        (name, NAMES[m]): below(gap(area(table, "prunegrad"), area(table, m)), 0)
        for name, table in lerf.items()
        for m in OF_PG
    }
    best = [every([one for (on, _), one in lower.items() if on == name]) for name in lerf]
    return Claim(
        "PG, figure 4",
        "PruneGrad performs best in estimating unimportant pixels",
        "curves without numbers",
        areas_told(lerf, lerf, ("prunegrad", *OF_PG)),
        joint(best),
        f"best: certainly below each of {named(OF_PG)}. It is on {count(best)} networks, and certainly is not on "
        f"{best.count(False)}. Against the other methods it is:{deciding(lower, lerf, 'below', 'above')}",
    )


def _pgd(lerf: Lerf) -> Claim:
    on = networks_with(lerf, NETWORKS, "prune-pgd", "prunegrad")
    apart = [abs(ends(area(lerf[name], "prune-pgd"))[0] / ends(area(lerf[name], "prunegrad"))[0] - 1) for name in on]
    alike = [
        within(relative(area(lerf[name], "prune-pgd"), ends(area(lerf[name], "prunegrad"))[0]), ALIKE) for name in on
    ]
    return Claim(
        "PG, figure 4",
        "PrunePGD and PruneGrad perform similarly",
        "curves without numbers",
        areas_told(lerf, on, ("prunegrad", "prune-pgd")),
        joint(alike),
        f"alike: areas within {100 * ALIKE:g} %, with the whole interval of PrunePGD's, {count(alike)} are; that is "
        "wider than an interval of paired differences, which is not kept. The means differ by at most "
        f"{100 * max(apart, default=0):.0f} %",
    )
