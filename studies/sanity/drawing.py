"""The figures of the sanity checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from critpath.report import Series, lines_svg, panels_svg, picture_grid
from studies.measured import Table, curve, ends
from studies.sanity.names import AS_PUBLISHED, SIMILARITIES, bare
from studies.sanity.published import CURVES, STAGES
from studies.sanity.values import SIX
from studies.sanity.work import picture

OF_P = ("gradient", "gbp", "gradcam", "input-mct", "neuron-mct")
RELEASED = {name: own for own, name in AS_PUBLISHED.items()}
"""What the released code computes under a method's name."""
OF_PG = ("gradient", "gbp", "gradcam", "input-mct", "prunegrad", "prunegrad-mid", "rectgrad")


def figures(results: Mapping[str, Any]) -> Mapping[str, bytes]:
    """By file name."""
    found = results["tables"]
    stages, released, dear = (found[n] for n in ("stages/stages", "released/stages-reselected", "dear/layers"))
    figure_7 = [part for key in SIMILARITIES for part in _figure_7(stages, released, dear, key)]
    drawn = {
        "figure-7.svg": panels_svg(figure_7, columns=3).encode(),
        "figure-3.svg": panels_svg([_figure_3(stages, dear, key) for key in SIMILARITIES]).encode(),
    }
    maps = results["maps"]
    return drawn | ({"maps.jpg": _maps(maps), "sparsities.jpg": _sparsities(maps)} if maps else {})


def _figure_7(stages: Table, released: Table, dear: Table, key: str) -> list[str]:
    """Measured for the original class, measured as released, and published."""
    word = SIMILARITIES[key]
    measured = {bare(m): _line(stages, m, word) for m in OF_P}
    measured[bare("input-intgrad")] = _line(dear, "input-intgrad", word)
    again = {bare(m): _line(released, RELEASED.get(m, m), word) for m in OF_P}
    order = [*OF_P, "input-intgrad", "neuron-intgrad"]
    published = {bare(m): Series(range(len(STAGES)), CURVES[key][m]) for m in order}
    told = {"the original class": measured, "the class predicted": again, "published": published}
    return [_chart(lines, word, what) for what, lines in told.items()]


def _figure_3(stages: Table, dear: Table, key: str) -> str:
    word = SIMILARITIES[key]
    measured = {bare(m): _line(stages, m, word) for m in OF_PG}
    return _chart(measured | {bare("prune-pgd"): _line(dear, "prune-pgd", word)}, word, "measured")


def _chart(lines: Mapping[str, Series], word: str, what: str) -> str:
    limits = (0.0, 1.0) if word == "SSIM" else (-0.6, 1.0)
    title = f"{word}, {what}"
    return lines_svg(lines, "randomised down to", word, title=title, ticks=STAGES, y_limits=limits, width=480)


def _line(table: Table, method: str, word: str) -> Series:
    """Over all stages, or over the original and the six."""
    points = [ends(value) for value in curve(table, method, f"{word} with the original map")]
    places = range(len(points)) if len(points) == len(STAGES) else (0, *SIX)
    middle, low, high = ([point[i] for point in points] for i in range(3))
    return Series(places, middle, low, high)


def _maps(maps: Mapping[str, Any]) -> bytes:
    """A row before and a row after randomisation for each photograph."""
    names = sorted(name for name in maps if not name.endswith(".sparsities"))
    methods = list(maps[names[0]])
    rows = [[_grey(maps[name][m]["map"]) for m in methods] for name in names]
    kinds = {"methods": "trained", "randomised": "random"}
    told = [f"{int(name.split('.')[0]) + 1}, {kinds[name.split('.')[1]]}" for name in names]
    return picture_grid(rows, told, [bare(m) for m in methods])


def _sparsities(maps: Mapping[str, Any]) -> bytes:
    names = sorted(name for name in maps if name.endswith(".sparsities"))
    columns = list(maps[names[0]])
    rows: list[Sequence[NDArray[np.uint8]]] = [[_grey(maps[name][s]["map"]) for s in columns] for name in names]
    return picture_grid(rows, [str(i + 1) for i in range(len(rows))], columns)


def _grey(told: str) -> NDArray[np.uint8]:
    """The square root of what was told, black for 0."""
    cells = np.sqrt(picture(told) / 255.0)
    return np.repeat((255 * cells).round().astype(np.uint8)[:, :, None], 3, axis=2)
