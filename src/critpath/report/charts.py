"""Coordinates of the page's line chart and of its profile of the network; the templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from critpath.report import words
from critpath.report.axes import Scale, Tick, linear, nice_steps, points, thin_out
from critpath.report.content import Content, SiteRow, SparsityLevel


@dataclass(frozen=True)
class Mark:
    """One level's pathway on the line chart; ``index`` is its place in ``Content.levels``."""

    x: float
    y: float
    index: int
    title: str


@dataclass(frozen=True)
class KeptChart:
    """Response kept against sparsity, in pixels; point lists are in SVG's notation."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    pathway: str
    band: str
    mean: str
    marks: tuple[Mark, ...]
    full: float
    zero: float


@dataclass(frozen=True)
class Bar:
    """One site in a profile: ``height`` in [0, 1] of the tallest, and whether the pathway skips it."""

    height: float
    empty: bool
    title: str


@dataclass(frozen=True)
class Profile:
    """One quantity over all sites, from input to output."""

    name: str
    key: str
    tallest: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Group:
    """Neighbouring sites whose names share their first part."""

    name: str
    sites: int


@dataclass(frozen=True)
class _Curve:
    """A level's numbers as the chart draws them: shares of the response."""

    index: int
    level: SparsityLevel
    pathway: float
    random: tuple[float, ...]


def kept_chart(content: Content, width: int, height: int) -> KeptChart | None:
    """The chart of response kept against sparsity; None where no share of the response is defined."""
    curves = _curves(content)
    if not any(math.isfinite(curve.pathway) for curve in curves):
        return None
    left, right, top, bottom = 64.0, width - 24.0, 18.0, height - 46.0
    y_values = nice_steps([0.0, 1.0, *(v for c in curves for v in (*words.finite([c.pathway]), *c.random))])
    x = _sparsity_scale([curve.level.requested for curve in curves], left, right)
    y = linear(y_values[0], y_values[-1], bottom, top)
    banded = [curve for curve in curves if curve.random]
    return KeptChart(
        width, height, left, right, top, bottom,
        x_ticks=thin_out([Tick(x(c.level.requested), words.sparsity(c.level.requested)) for c in curves]),
        y_ticks=tuple(Tick(y(v), words.percent(round(v, 9))) for v in y_values),
        pathway=points((x(c.level.requested), y(c.pathway)) for c in curves if math.isfinite(c.pathway)),
        band=_band(banded, x, y),
        mean=points((x(c.level.requested), y(words.mean(c.random))) for c in banded),
        marks=tuple(_mark(c, x, y) for c in curves if math.isfinite(c.pathway)),
        full=y(1.0), zero=y(0.0),
    )  # fmt: skip


def profiles(sites: Sequence[SiteRow]) -> tuple[Profile, ...]:
    """Density, share of the contribution, dead share and error of every site, as rows of bars.

    The dead share and the error are left out where no site has one.
    """
    found = [
        _profile("Density: share of the site's neurons on the pathway", "density", sites),
        _profile("Share of the network's |contribution|", "contribution", sites),
    ]
    if any(site.dead is not None for site in sites):
        found.append(_profile("Dead share: neurons at or below zero on this input", "dead", sites))
    if any(site.error is not None for site in sites):
        found.append(_profile("Estimated error of the contributions, relative to the site's", "error", sites))
    return tuple(found)


def groups(sites: Sequence[SiteRow]) -> tuple[Group, ...]:
    """Runs of sites by the first part of their names; empty where that says little."""
    runs = [Group(name, len(list(run))) for name, run in groupby(sites, lambda site: _stage(site.name))]
    return tuple(runs) if 2 <= len(runs) <= 14 else ()


def _stage(name: str) -> str:
    return name.split("#")[0].split(".")[0]


def _curves(content: Content) -> list[_Curve]:
    def share(value: float) -> float:
        return words.ratio(value, content.response)

    found = [
        _Curve(i, level, share(level.kept.pathway), words.finite(map(share, level.kept.random)))
        for i, level in enumerate(content.levels)
    ]
    return sorted(found, key=lambda curve: curve.level.requested)


def _sparsity_scale(values: Sequence[float], left: float, right: float) -> Scale:
    """Even steps where what is kept shrinks by the same factor: 0, 0.9, 0.99 are equally far apart."""
    smallest = min((1 - value for value in values if value < 1), default=1.0) / 2

    def position(value: float) -> float:
        return -math.log10(max(1 - value, smallest))

    places = [position(value) for value in values]
    margin = 0.04 * (right - left)
    line = linear(min(places), max(places), left + margin, right - margin)
    return lambda value: line(position(value))


def _band(curves: Sequence[_Curve], x: Scale, y: Scale) -> str:
    upper = [(x(c.level.requested), y(max(c.random))) for c in curves]
    lower = [(x(c.level.requested), y(min(c.random))) for c in reversed(curves)]
    return points([*upper, *lower])


def _mark(curve: _Curve, x: Scale, y: Scale) -> Mark:
    requested = curve.level.requested
    title = f"{words.sparsity(requested)} sparsity: pathway keeps {words.percent(curve.pathway)}"
    if curve.random:
        title += f", random sets {words.percent(words.mean(curve.random))}"
    return Mark(round(x(requested), 1), round(y(curve.pathway), 1), curve.index, title)


def _profile(name: str, key: str, sites: Sequence[SiteRow]) -> Profile:
    values = [_known(getattr(site, key)) for site in sites]
    top = float(np.max(values, initial=0.0))
    tallest = f"tallest {words.percent(top)}" if top else "all zero"
    bars = (_bar(site, key, value / top if top else 0.0) for site, value in zip(sites, values, strict=True))
    return Profile(name, key, tallest, tuple(bars))


def _known(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0


def _bar(site: SiteRow, key: str, height: float) -> Bar:
    empty = site.density == 0
    note = ", not on the pathway" if empty else ""
    return Bar(round(height, 4), empty, f"{site.name}: {words.percent(getattr(site, key))} {key}{note}")
