"""The claims about figures 1 to 4 of the conductance paper: filters that act across classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from studies.conductance_images.words import percent, signed
from studies.study import HOLDS, NOT, OPEN, Claim, above, below, both, joint, shown


def filter_claims(found: Mapping[str, Any]) -> Iterator[Claim]:
    """Of the parts about filters, by name."""
    yield _few(found)
    yield _across(found)
    yield from (_sight(found, part, of) for part, of in (("early", "glare"), ("middle", "red")) if part in found)
    yield from (_pair(found, *row) for row in PAIRS)


def _few(found: Mapping[str, Any]) -> Claim:
    halves = {f"{part['site']} ({part['filters']} filters)": part["half"] for part in found.values()}
    return Claim(
        "C, section 5.1",
        "Relatively few filters determine the prediction of the network for an image.",
        "no number",
        "<br>".join(f"{name}: {shown(value, percent=True)} of the filters" for name, value in halves.items())
        + "<br>make up half of the sum of |conductance|",
        joint([below(value, FEW) for value in halves.values()]),
        f"The paper gives no number; here few is less than {percent(FEW)}, and all alike would be 50 %. "
        f"{_photographs(found)}",
    )


FEW = 0.25


def _photographs(found: Mapping[str, Any]) -> str:
    return f"ResNet-18, {next(iter(found.values()))['photographs']} photographs of as many classes."


def _across(found: Mapping[str, Any]) -> Claim:
    rows = []
    for part in found.values():
        most, common = next(iter(part["shared"]["most"].values())), part["shared"]["common"]
        rows.append(
            f"{part['site']}: the most frequent filter is among the {part['top']} strongest of {percent(most)} of the "
            f"photographs; two photographs share {shown(common, percent=True)} of their {part['top']} "
            f"(chance {percent(part['shared']['chance'])})"
        )
    more = [above(part["shared"]["common"], part["shared"]["chance"]) for part in found.values()]
    return Claim(
        "C, section 5.1; C, figure 1; C, figure 2",
        "Some filters have a high conductance for images of many labels.",
        "two filters shown",
        "<br>".join(rows),
        joint(more),
        f"Every photograph is of another class. {_photographs(found)}",
    )


_FIGURE = {"glare": ("C, figure 1", "filter 52 of mixed3a"), "red": ("C, figure 2", "filter 76 of mixed4c")}


def _sight(found: Mapping[str, Any], name: str, of: str) -> Claim:
    part = found[name]
    seen, (source, theirs) = part["sees"][of], _FIGURE[of]
    return Claim(
        source,
        f"A filter of {'an early' if name == 'early' else 'a middle'} site finds {of} across classes.",
        f"{theirs}, by eye",
        f"filter {seen['filter']} of {part['site']}: correlation of its maps with {of} {shown(seen['own'])}, of other "
        f"filters' {shown(seen['others'])}; difference {signed(seen['less'])}",
        joint([both(above(seen["own"], 0), above(seen["less"], 0))]),
        "The filter is the one, of those that cross classes, whose activation follows the property best on other "
        f"photographs; equation 2's maps are of {seen['own']['n']} photographs held out. To hold, its correlation has "
        "to be above 0 and above that of other filters that cross classes.",
    )


PAIRS = (("C, figure 3", "cheeseburger, bagel"), ("C, figure 4", "meerkat, titi"))


def _pair(found: Mapping[str, Any], source: str, name: str) -> Claim:
    first, second = name.split(", ")
    rows = {part["site"]: part["pairs"][name] for part in found.values()}
    shares = {site: sorted(row["below"], reverse=True) for site, row in rows.items()}
    best, tried = max(max(values) for values in shares.values()), sum(map(len, shares.values()))
    chance = 1 - best**tried
    return Claim(
        source,
        f"A filter that matters for {first} has a high conductance for {second} too.",
        "one filter shown",
        "<br>".join(
            f"{site}: for the 5 strongest filters of {first}, {second} is above {_listed(values)} of the others"
            for site, values in shares.items()
        ),
        HOLDS if chance < UNLIKELY else NOT if best < 0.5 else OPEN,
        f"That {second} is above {percent(best)} of the others for one filter of the {tried} would happen with a "
        f"probability of {percent(chance)} if places were drawn at random; to hold, that has to be below "
        f"{percent(UNLIKELY)}. {_photographs(found)}",
    )


UNLIKELY = 0.05


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{percent(value)}" for value in values)
