"""The claims about images of the conductance paper, with verdicts from the kept results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from studies.conductance_images.fold import filter_parts
from studies.conductance_images.published import AGGREGATE
from studies.conductance_images.selecting import COUNTS, SHUFFLED
from studies.conductance_images.sights import filter_claims
from studies.conductance_images.subjects import ALL, OUTPUTS
from studies.conductance_images.words import (
    FOUR,
    NAMES,
    ROWS,
    percent,
    published_protocol,
    signed,
    stages_of,
    verdict_of,
)
from studies.conductance_images.work import BY_SITE
from studies.study import Claim, Estimate

TABLE = "C, table 1"


def claims_of(results: Mapping[str, Any]) -> list[Claim]:
    """All of them."""
    return list(_claims(results))


def _claims(results: Mapping[str, Any]) -> Iterator[Claim]:
    networks = published_protocol(results)
    if networks:
        yield from (_against(networks, method) for method in FOUR if method != "conductance")
        yield _chance(networks)
        yield _controls(networks)
        yield _scaled(networks)
    found = filter_parts(results)
    if found:
        yield from filter_claims(found)


def _less(networks: Mapping[str, Any], row: str) -> dict[str, Estimate]:
    """What conductance has more than a row, by network and candidates."""
    return {
        f"{NAMES[name]}, {candidates}": part["variants"][candidates]["less"][row]
        for name, part in networks.items()
        for candidates in (ALL, OUTPUTS)
    }


def _lines(rows: Mapping[str, Estimate]) -> str:
    return "<br>".join(f"{name}: {signed(value)}" for name, value in rows.items())


def _against(networks: Mapping[str, Any], method: str) -> Claim:
    found = _less(networks, method)
    ours, theirs = AGGREGATE["conductance"], AGGREGATE[method]
    published = "; ".join(f"k = {k}: {a:g} % and {b:g} %" for k, a, b in zip(COUNTS, ours, theirs, strict=True))
    return Claim(
        TABLE,
        f"Filters chosen by conductance tell labels apart better than those chosen by {ROWS[method]}.",
        f"{published} (4 label sets together, about 330 images)",
        f"{_lines(found)}<br>(accuracy of conductance less the other's, mean over k; {_sets(networks)} label sets)",
        verdict_of(list(found.values())),
        _where(networks, method),
    )


def _where(networks: Mapping[str, Any], method: str) -> str:
    """Where the two methods find their filters, and what is left of the difference if that is made alike."""
    said = ". ".join(_places(name, part, method) for name, part in networks.items())
    return f"The paper does not say whether filters of several sites compete as they are. {said}."


def _places(name: str, part: Mapping[str, Any], method: str) -> str:
    last, variants = stages_of(name)[-1], part["variants"]
    own, other = (percent(variants[ALL]["stages"][row][last]) for row in ("conductance", method))
    within, scaled = (signed(variants[variant]["less"][method]) for variant in (last, BY_SITE))
    return (
        f"{NAMES[name]}: of the filters that conductance chooses from all sites {own} lie in the last stage, of the "
        f"other's {other}; among filters of that stage the difference is {within}; with scores divided by their mean "
        f"size at the site it is {scaled}"
    )


def _chance(networks: Mapping[str, Any]) -> Claim:
    found = _less(networks, "random")
    return Claim(
        TABLE,
        "Filters chosen by conductance tell labels apart better than filters drawn at random (a control that the paper "
        "has not).",
        "not given",
        _lines(found),
        verdict_of(list(found.values())),
        "Filters drawn from all sites lie where most filters are, in the last stages, which tell labels apart best. "
        + ". ".join(_drawn(name, part) for name, part in networks.items())
        + ".",
        asked_here=True,
    )


def _drawn(name: str, part: Mapping[str, Any]) -> str:
    stages, last = part["variants"][ALL]["stages"], stages_of(name)[-1]
    drawn, chosen = (percent(stages[row][last]) for row in ("random", "conductance"))
    return f"{NAMES[name]}: {drawn} of those drawn, {chosen} of those chosen"


def _controls(networks: Mapping[str, Any]) -> Claim:
    found = {
        f"{NAMES[name]}, {candidates}": part["variants"][candidates]["less_control"]["conductance"]
        for name, part in networks.items()
        for candidates in (ALL, OUTPUTS)
    }
    return Claim(
        TABLE,
        "Within a site conductance knows the filters that tell labels apart (it beats as many filters of the same "
        "sites, drawn at random; a control that the paper has not).",
        "not given",
        _lines(found),
        verdict_of(list(found.values())),
        f"The control, “{SHUFFLED.format('conductance')}”, deals the scores of every site anew among its filters. What "
        "is left is what conductance knows about filters, not about sites.",
        asked_here=True,
    )


def _scaled(networks: Mapping[str, Any]) -> Claim:
    """With the advantage of narrow sites taken away."""
    found = {name: part["variants"][BY_SITE]["less"] for name, part in networks.items()}
    others = "; ".join(
        f"{NAMES[name]}: " + ", ".join(f"{ROWS[row]} {signed(less[row])}" for row in FOUR if row != "conductance")
        for name, less in found.items()
    )
    random = {NAMES[name]: less["random"] for name, less in found.items()}
    return Claim(
        TABLE,
        "Filters chosen by conductance tell labels apart better than random filters once scores are divided by their "
        "mean size at their site (which the paper does not say).",
        "not given",
        f"{_lines(random)}<br>({next(iter(random.values()))['n']} label sets)",
        verdict_of(list(random.values())),
        "Dividing takes the advantage of narrow sites away; what is left is what a method says about the filters of a "
        f"site. Conductance less the other methods, divided likewise: {others}.",
        asked_here=True,
    )


def _sets(networks: Mapping[str, Any]) -> int:
    n: int = next(iter(networks.values()))["variants"][ALL]["mean"]["conductance"]["n"]
    return n
