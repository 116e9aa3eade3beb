"""By which ranking of pixels the published areas come about: by size, or by signed value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from studies.measured import Table, count, gap
from studies.perturbation import published
from studies.perturbation.names import NAMES, PUBLISHED, area, readings
from studies.perturbation.telling import Found, Lerf, called, deciding, nearer, networks_with, published_areas
from studies.study import Claim, below, joint, shown

SIGNED = ("gradient", "gbp", "input-mct", "input-intgrad", "neuron-mct", "neuron-intgrad")
"""Methods whose maps have two signs."""
OURS = {"neuron-mct": "input-mct", "prunegrad": "input-mct", "neuron-intgrad": "input-intgrad"}
"""Each with its counterpart at the input."""


def ranked(lerf: Lerf, found: Mapping[str, Table]) -> Iterator[Claim]:
    """By which ranking of pixels the published numbers come about."""
    signed = {name: found[f"{name}-signed/signed"] for name in lerf if f"{name}-signed/signed" in found}
    if signed:
        yield _by_size(lerf, signed)
        yield _unequal(lerf, signed)


def _by_size(lerf: Lerf, signed: Lerf) -> Claim:
    on = networks_with(signed, ("resnet8", "resnet50"))
    known = {name: _published(name, signed[name]) for name in on}
    by_size = {
        (name, NAMES[m]): nearer(area(lerf[name], m), area(signed[name], m), a)
        for name in on
        for m, a in known[name].items()
    }
    return Claim(
        "P, table 2",
        "The pixels of every map were ranked by the size of its values, whatever their sign",
        "not said in the text; the released code takes the largest value of a pixel's channels, with its sign",
        "by size → by signed value (published):<br>"
        + "<br>".join(_two_ways(name, lerf[name], signed[name], known[name]) for name in on),
        joint(list(by_size.values())),
        "a part is true where the area by size is nearer to the published one (by ratio), and is decided where the two "
        f"intervals do not overlap:{deciding(by_size, lerf, 'nearer by size', 'nearer by signed value')}",
        asked_here=True,
    )


def _unequal(lerf: Lerf, signed: Lerf) -> Claim:
    """Ours by size against the others by signed value; beside it, all by size."""
    lower, equal = _below(lerf, signed, signed), _below(lerf, lerf, signed)
    return Claim(
        "P, table 2",
        "NeuronMCT and NeuronIntGrad, ranked by size, are better than InputMCT and InputIntGrad by signed value",
        published_areas("cifar10", ("neuron-mct", "neuron-intgrad", "input-mct", "input-intgrad")),
        "<br>".join(_across(name, lerf[name], signed[name]) for name in signed),
        joint(list(lower.values())),
        "an unequal comparison, made to see whether it gives the published order: certainly lower in "
        f"{count(list(lower.values()))} comparisons; with both by size in {count(list(equal.values()))}. The more the "
        "two differ, the likelier it is that table 2's rows were ranked unequally. That is an inference from these "
        "numbers and from the claim on ranking by size: the authors' program for table 2 is not published",
        asked_here=True,
    )


def _below(ours: Lerf, others: Lerf, networks: Lerf) -> Found:
    return {
        (name, NAMES[m]): below(gap(area(ours[name], m), area(others[name], other)), 0)
        for name in networks
        for m, other in OURS.items()
        if m in ours[name]["columns"]
    }


def _published(name: str, signed: Table) -> dict[str, float]:
    """By what stands for a method here."""
    data = PUBLISHED[name]
    return {
        r: published.TABLE_2[data][m]
        for m in SIGNED
        for r in readings(m)
        if (data, m) != published.COPIED and r in signed["columns"]
    }


def _two_ways(name: str, size: Table, signed: Table, known: Mapping[str, float]) -> str:
    return f"{called(name, size)}: " + ", ".join(
        f"{NAMES[m]} {shown(area(size, m), 4)} → {shown(area(signed, m), 4)} ({a:g})" for m, a in known.items()
    )


def _across(name: str, size: Table, signed: Table) -> str:
    ours = [f"{NAMES[m]} {shown(area(size, m), 4)}" for m in OURS if m in size["columns"]]
    others = [f"{NAMES[m]} {shown(area(signed, m), 4)}" for m in ("input-mct", "input-intgrad")]
    return f"{called(name, size)}: by size {', '.join(ours)}; by signed value {', '.join(others)}"
