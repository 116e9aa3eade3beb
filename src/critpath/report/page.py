"""The page of one explanation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from critpath.errors import InputError
from critpath.report import charts, figures, words
from critpath.report.content import Content, Map, Picture, SparsityLevel, Token, TopUnit
from critpath.report.data import script_json
from critpath.report.templates import fill
from critpath.report.text import TextView, coloured, excerpt, value_rows

MAIN_SIDE, STRIP_SIDE, PICTURE_SIDE = 320, 104, 480
"""Pixels of the large maps, of the small ones and of the picture, at most."""

BUDGET = 700_000
"""Pixels of all large maps together, about a byte each: many levels get smaller maps."""

FEATURES = 12
"""Input features listed where the input is no image."""


@dataclass(frozen=True)
class Feature:
    """One feature of an input that is no image; ``size`` is relative to the largest."""

    index: int
    size: float


@dataclass(frozen=True)
class Shown:
    """A map as the page shows it: large, small, as its largest features, or as coloured text."""

    large: str = ""
    small: str = ""
    features: tuple[Feature, ...] = ()
    text: TextView | None = None


@dataclass(frozen=True)
class LevelView:
    """One sparsity level in the words and figures of the page."""

    requested: str
    realised: str
    reaches_input: bool
    shown: Shown
    keeps: float
    random: tuple[float, ...]
    survives: str | None


@dataclass(frozen=True)
class UnitView:
    """A top neuron or channel and the figure of where it looks; ``total`` is the sum of its map over a text."""

    unit: TopUnit
    shown: Shown
    spot: figures.Spot | None = None
    total: float | None = None


@dataclass(frozen=True)
class ImageView:
    """How maps are drawn: whether they are images, over which picture, in which proportions."""

    maps: bool
    overlay: bool
    picture: str
    backdrop: str
    ratio: str
    pixelated: bool


def render(content: Content) -> str:
    """One self-contained HTML page; it makes no request of any kind.

    Raises :class:`InputError` where the content contradicts itself and
    :class:`MissingDependencyError` where jinja2 is not installed.
    """
    _check(content)
    side = _side(content)
    return fill(
        "template.html",
        content=content,
        data=script_json(content),
        image=_image(content),
        plain=_shown(content.plain, side, content.tokens),
        overview=None if content.overview is None else _shown(content.overview, side),
        levels=[_level(level, content, side) for level in content.levels],
        neurons=[_unit(unit, content.tokens) for unit in content.top_neurons],
        channels=[_unit(unit, content.tokens) for unit in content.top_channels],
        values=value_rows(content.tokens, [content.plain, *(level.map for level in content.levels)]),
        chart=charts.kept_chart(content, 760, 320),
        narrow_chart=charts.kept_chart(content, 360, 280),
        profiles=charts.profiles(content.sites),
        groups=charts.groups(content.sites),
        stops=figures.COLOUR_STOPS,
    )


def _check(content: Content) -> None:
    """What the page relies on: some level, a main one among them, maps of one shape."""
    if not 0 <= content.main_level < len(content.levels):
        raise InputError(
            f"main_level is {content.main_level}, but there are {len(content.levels)} levels: "
            "give at least one sparsity level and the index of the main one."
        )
    for level in content.levels:
        if not 0 <= level.requested <= 1:
            raise InputError(f"A requested sparsity is {level.requested}: it must be in [0, 1].")
    _check_picture(content.picture)
    _check_maps(content)


def _check_picture(picture: Picture | None) -> None:
    if picture is None:
        return
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or not picture.size:
        raise InputError(
            f"The picture has shape {picture.shape} and dtype {picture.dtype}: "
            "give [height, width, channels] or [height, width] as uint8."
        )


def _check_maps(content: Content) -> None:
    shape = content.plain.shape
    if len(shape) not in (1, 2) or not content.plain.size:
        raise InputError(f"Maps have one or two dimensions, not the plain gradient's {shape}.")
    if content.tokens and shape != (len(content.tokens),):
        raise InputError(f"The text has {len(content.tokens)} tokens, and the plain gradient's shape is {shape}.")
    for name, values in _named_maps(content):
        if values.shape != shape:
            raise InputError(f"{name} has shape {values.shape}; the plain gradient's is {shape}: use one.")


def _named_maps(content: Content) -> Iterator[tuple[str, Map]]:
    if content.overview is not None:
        yield "The averaged map", content.overview
    for level in content.levels:
        yield f"The map at sparsity {level.requested}", level.map
    for unit in (*content.top_neurons, *content.top_channels):
        yield f"The map of {unit.unit} of {unit.site}", unit.where


def _side(content: Content) -> int:
    maps = 1 + (content.overview is not None) + sum(level.reaches_input for level in content.levels)
    return min(MAIN_SIDE, max(96, int((BUDGET / maps) ** 0.5)))


def _image(content: Content) -> ImageView:
    picture, maps = content.picture, content.plain.ndim == 2
    height, width = content.plain.shape if maps else (1, 1)
    return ImageView(
        maps=maps,
        overlay=maps and picture is not None,
        picture="" if picture is None else figures.picture_uri(picture, PICTURE_SIDE),
        backdrop="" if picture is None else figures.backdrop_uri(picture, MAIN_SIDE),
        ratio=f"{width} / {height}",
        pixelated=maps and max(height, width) <= 64,
    )


def _level(level: SparsityLevel, content: Content, side: int) -> LevelView:
    response = content.response
    return LevelView(
        words.sparsity(level.requested),
        words.sparsity(level.realised),
        level.reaches_input,
        _shown(level.map, side, content.tokens) if level.reaches_input else Shown(),
        words.ratio(level.kept.pathway, response),
        words.finite(words.ratio(value, response) for value in level.kept.random),
        words.class_survives(level.kept),
    )


def _unit(unit: TopUnit, tokens: Sequence[Token]) -> UnitView:
    clean = np.nan_to_num(unit.where)
    if tokens:
        shown = Shown(text=excerpt(tokens, clean)) if clean.any() else Shown()
        return UnitView(unit, shown, total=float(clean.sum(dtype=np.float64)))
    if not np.any(clean > 0):
        return UnitView(unit, Shown())
    return UnitView(unit, _shown(unit.where, STRIP_SIDE, features=4), figures.spot(unit.where))


def _shown(values: Map, side: int, tokens: Sequence[Token] = (), features: int = FEATURES) -> Shown:
    if tokens:
        return Shown(text=coloured(tokens, values))
    if values.ndim == 2:
        small = figures.map_uri(values, STRIP_SIDE)
        return Shown(small if side == STRIP_SIDE else figures.map_uri(values, side), small)
    return Shown(features=_largest(values, features))


def _largest(values: Map, features: int) -> tuple[Feature, ...]:
    clean = np.clip(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), 0, None)
    order = [int(index) for index in np.argsort(-clean, kind="stable")[:features] if clean[index] > 0]
    return tuple(Feature(index, float(clean[index] / clean.max())) for index in order)
