"""The figures of pixel perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from critpath.report import Series, lines_svg, panels_svg
from studies.measured import Table, ends
from studies.perturbation import published
from studies.perturbation.names import NAMES, NETWORKS, PUBLISHED, TABLE_2, change

OF_PG = ("gradient", "gbp", "gradcam", "input-mct", "input-intgrad", "prunegrad", "prune-pgd", "rectgrad", "random")
OF_P = ("resnet8", "resnet50")
"""The networks that the papers have."""
LERF, WIDTH = "change of the response", 560


def figures(results: Mapping[str, Any]) -> Mapping[str, bytes]:
    """By file name."""
    found = results["tables"]
    networks = [name for name in NETWORKS if f"{name}/lerf" in found]
    more = [name for name in networks if f"{name}/lerf-more" in found]
    drawn = {
        "figure-6.svg": [part for name in networks for part in _figure_6(name, found[f"{name}/lerf"])],
        "figure-4.svg": [_chart(_lines(found[f"{name}/lerf"], OF_PG), NETWORKS[name]) for name in networks],
        "more.svg": [*(_chart(_lines(found[f"{n}/lerf-more"], TABLE_2), NETWORKS[n]) for n in more), _more()],
    }
    return {name: panels_svg(parts).encode() for name, parts in drawn.items()}


def _figure_6(name: str, table: Table) -> list[str]:
    """Measured, and published beside the network that the papers have."""
    data, limits = PUBLISHED[name], (0.0, 1.0 if name == "resnet50" else 0.6)
    places = (0.0, *published.SHARES)
    rows = [m for m in TABLE_2 if (data, m) != published.COPIED]
    lines = {_bare(m): Series(places, (0.0, *published.CURVES[data][m])) for m in rows}
    measured = _chart(_lines(table, (*TABLE_2, "random")), f"{NETWORKS[name]}, measured", limits)
    return [measured, *([_chart(lines, f"{NETWORKS[name]}, published", limits)] if name in OF_P else [])]


def _more() -> str:
    lines = {_bare(m): Series(published.MORE, line) for m, line in published.CIFAR_MORE.items()}
    return _chart(lines, "ResNet-8, CIFAR-10, published")


def _lines(table: Table, methods: Sequence[str]) -> dict[str, Series]:
    """Without the original where the shares begin at 20 %."""
    found = {}
    for method in (m for m in methods if m in table["columns"]):
        start = 1 if table["places"][1] > 0.1 else 0
        points = [ends(value) for value in change(table, method)][start:]
        middle, low, high = ([point[i] for point in points] for i in range(3))
        found[_bare(method)] = Series(table["places"][start:], middle, low, high)
    return found


def _bare(method: str) -> str:
    return NAMES[method].split(" (")[0]


def _chart(lines: Mapping[str, Series], title: str, limits: tuple[float, float] | None = None) -> str:
    label = "share of pixels removed, least relevant first"
    return lines_svg(lines, label, LERF, title=title, y_limits=limits, width=WIDTH)
