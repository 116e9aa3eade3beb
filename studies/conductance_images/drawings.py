"""The figures of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from critpath.report import Series, intervals_svg, lines_svg, matrix_svg, panels_svg, picture_grid
from studies.conductance_images.fold import filter_parts, greys
from studies.conductance_images.selecting import COUNTS
from studies.conductance_images.subjects import ALL, OUTPUTS
from studies.conductance_images.words import FOUR, NAMES, ROWS, published_protocol, stages_of


def drawings(results: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Files by name, as far as there are results."""
    networks = published_protocol(results)
    if networks:
        charts = [_chart(NAMES[name], part, where) for name, part in networks.items() for where in (ALL, OUTPUTS)]
        yield "selection.svg", panels_svg(charts, columns=2).encode()
        yield "stages.svg", panels_svg([_stages(*one) for one in networks.items()], columns=2).encode()
    if found := filter_parts(results):
        yield "filters.jpg", _maps(found)
        yield "sees.svg", _sees(found).encode()


def _chart(name: str, part: Mapping[str, Any], where: str) -> str:
    accuracy = part["variants"][where]["accuracy"]
    labels = {**ROWS, "random": "random"}
    series = {label: _series(accuracy[row]) for row, label in labels.items()}
    return lines_svg(series, "filters", "accuracy", title=f"{name}, {where}", width=520, height=340)


def _series(estimates: Sequence[Mapping[str, Any]]) -> Series:
    mean, low, high = ([one[end] for one in estimates] for end in ("mean", "low", "high"))
    return Series(COUNTS[: len(estimates)], mean, low, high)


def _stages(name: str, part: Mapping[str, Any]) -> str:
    shares, stages = part["variants"][ALL]["stages"], stages_of(name)
    rows = (*FOUR, "random")
    values = [[shares[row][stage] for stage in stages] for row in rows]
    return matrix_svg([ROWS[row] for row in rows], stages, values, title=f"{NAMES[name]}: where the 20 filters lie")


def _sees(found: Mapping[str, Any]) -> str:
    rows = {
        f"{of}, {part['site']}": tuple(seen["less"][end] for end in ("mean", "low", "high"))
        for part in found.values()
        for of, seen in part["sees"].items()
    }
    return intervals_svg(rows, "correlation with the property, less that of other filters")


def _maps(found: Mapping[str, Any]) -> bytes:
    rows, names = [], []
    for part in found.values():
        for of, pictures in part["pictures"].items():
            rows.append([_grey(text, pictures["side"]) for text in pictures["maps"]])
            names.append(f"{of}: filter {part['chosen'][of]}")
    return picture_grid(rows, names, [""] * max(map(len, rows)))


def _grey(text: str, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.repeat(np.array(greys(text, side), dtype=np.uint8)[:, :, None], 3, axis=2)
