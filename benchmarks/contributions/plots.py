"""Curves of error against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

STYLES = {"ours": ("critpath", "#0b5fa5", "o-"), "captum": ("Captum", "#c2571a", "s--")}


def draw(results: Row, folder: Path) -> list[Path]:
    """``conductance-error.svg`` and ``intgrad-error.svg``, of those methods that have curves."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {method: rows for method, rows in results["curves"].items() if rows}
    return [_draw(rows, folder / f"{method}-error.svg") for method, rows in drawn.items()]


def _draw(rows: Sequence[Row], file: Path) -> Path:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "critpath", "font.size": 10, "svg.fonttype": "none"}):
        figure = Figure(figsize=(4.2 * len(rows), 3.4), layout="constrained")
        for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
            _panel(axes, row)
        figure.savefig(file, metadata={"Date": None})
    return file


def _panel(axes: Any, row: Row) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for who, (label, colour, style) in STYLES.items():
        points = row[who]
        seconds, errors = [p["seconds"] for p in points], [100 * p["error"] for p in points]
        axes.loglog(seconds, errors, style, color=colour, label=label, markersize=5, linewidth=1.6)
        for point, x, y in zip(points, seconds, errors, strict=True):
            axes.annotate(
                str(point["points"]), (x, y), xytext=(4, 5), textcoords="offset points", fontsize=8, color=colour
            )
    over = f", {row['sites']} sites" if "sites" in row else ""
    axes.set_xlabel(f"seconds, {row['network']}{over}")
    axes.set_ylabel("error over the neurons, %")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(0.12)
    axes.grid(True, which="both", linewidth=0.3, color="#cccccc")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
