"""The study's figures, drawn from the kept results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studies.pathways.verdicts import at

Row = dict[str, Any]
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"

LABELS = {
    "taylor": "NeuronMCT",
    "intgrad": "NeuronIntGrad",
    "magnitude": "magnitude",
    "random": "random",
    "greedy": "greedy",
    "dgr_ones": "DGR (init 1)",
    "dgr_random": "DGR (init r)",
    "l0": "l0",
    "taylor_connected": "NeuronMCT, connected",
    "whole": "whole network",
    "active": "active neurons",
}
COLOURS = {
    "taylor": "#0b5fa5", "intgrad": "#4aa3df", "magnitude": "#7f7f7f", "random": "#b8b8b8", "greedy": "#c2571a",
    "dgr_ones": "#2c8a57", "dgr_random": "#8fce9f", "l0": "#8653a8",
}  # fmt: skip


def draw(results: Mapping[str, Row]) -> None:
    """All figures that the results allow."""
    known = {name: row for name, row in results.items() if "searched" in row}
    if known:
        _save(_dead(known), "study-pathways-dead.svg")
        _save(_jaccard(known), "study-pathways-jaccard.svg")
    ranked = {name: row for name, row in results.items() if "ranked" in row}
    if ranked:
        _save(_layers(ranked), "study-pathways-layers.svg")
        _save(_faithful(known or ranked), "study-pathways-kept.svg")
    if any("linear" in row for row in results.values()):
        _save(_linear({name: row for name, row in results.items() if "linear" in row}), "study-pathways-linear.svg")


def _save(figure: Any, name: str) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "critpath", "svg.fonttype": "none"}):
        figure.savefig(IMAGES / name, metadata={"Date": None})


def _panels(count: int, width: float = 4.6, height: float = 3.3) -> tuple[Any, Sequence[Any]]:
    """Two panels a row; those that are left over are not drawn."""
    from matplotlib.figure import Figure

    rows, columns = -(-count // 2), min(count, 2)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in panels[count:]:
        spare.set_axis_off()
    return figure, panels[:count]


def _dead(results: Mapping[str, Row]) -> Any:
    """Figure 1: dead share at 80, 90 and 99 %, with intervals, and the network's own share."""
    figure, panels = _panels(len(results))
    for axes, (name, row) in zip(panels, results.items(), strict=True):
        part = row["searched"]
        finders = [f for f in part["finders"] if f != "magnitude"]
        for i, one in enumerate(part["at"]):
            values = [one["dead"][f] for f in finders]
            _bars(axes, [j + 0.27 * (i - 1) for j in range(len(finders))], values, f"{one['sparsity']:.0%}", i)
        axes.axhline(100 * part["base_dead"]["mean"], color="#444444", linewidth=1, linestyle="--")
        axes.set_xticks(range(len(finders)), [LABELS[f] for f in finders], rotation=40, ha="right", fontsize=8)
        axes.set_title(f"{name}, n = {part['images']}", fontsize=10)
        axes.set_ylabel("dead neurons on the path, %")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8, title="sparsity")
    return figure


def _bars(axes: Any, places: Sequence[float], values: Sequence[Row], label: str, shade: int) -> None:
    means = [100 * (v["mean"] or 0) for v in values]
    spans = [
        [max(0.0, 100 * (v["mean"] - v["low"])) if v["low"] is not None else 0 for v in values],
        [max(0.0, 100 * (v["high"] - v["mean"])) if v["high"] is not None else 0 for v in values],
    ]
    colour = ("#b9d4ea", "#5b9bd0", "#0b5fa5")[shade]
    axes.bar(places, means, 0.25, yerr=spans, color=colour, label=label, error_kw={"elinewidth": 0.8})


def _jaccard(results: Mapping[str, Row]) -> Any:
    """Figure 2a: overlap over the whole network at 90 %, at equal realised size."""
    figure, panels = _panels(len(results), 4.8, 4.3)
    for axes, (name, row) in zip(panels, results.items(), strict=True):
        part = row["searched"]
        finders, pairs = part["finders"], at(part, 0.9)["jaccard"]
        table = [[_cell(pairs, a, b) for b in finders] for a in finders]
        axes.imshow(table, cmap="Blues", vmin=0, vmax=100)
        for i, values in enumerate(table):
            for j, value in enumerate(values):
                shown = "" if value != value else f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
                axes.text(j, i, shown, ha="center", va="center", fontsize=7, color="white" if value > 55 else "black")
        names = [LABELS[f] for f in finders]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_title(f"{name}, n = {part['images']}: Jaccard, %", fontsize=10)
    return figure


def _cell(pairs: Row, a: str, b: str) -> float:
    found = pairs.get(f"{a} {b}") or pairs.get(f"{b} {a}")
    return 100.0 if a == b else float("nan") if not found or found["mean"] is None else 100 * found["mean"]


def _layers(results: Mapping[str, Row]) -> Any:
    """Figure 2b: per-site overlap with NeuronIntGrad at 90 %."""
    figure, panels = _panels(len(results))
    for axes, (name, row) in zip(panels, results.items(), strict=True):
        part = row.get("searched") or row["ranked"]
        for finder, values in at(part, 0.9)["site_jaccard"].items():
            shown = [None if v is None else 100 * v for v in values]
            axes.plot(range(1, len(shown) + 1), [float("nan") if v is None else v for v in shown], "-",
                      color=COLOURS[finder], label=LABELS[finder], linewidth=1.5)  # fmt: skip
        axes.set_title(f"{name}, n = {part['images']}", fontsize=10)
        axes.set_xlabel("site")
        axes.set_ylabel("Jaccard with NeuronIntGrad, %")
        axes.set_ylim(0, 102)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _faithful(results: Mapping[str, Row]) -> Any:
    """The response kept when only the path acts, over its size."""
    figure, panels = _panels(len(results))
    for axes, (name, row) in zip(panels, results.items(), strict=True):
        part = row.get("searched") or row["ranked"]
        for finder, kinds in part["faithfulness"].items():
            sizes = [100 * size for size in kinds["zero"]["sizes"]]
            axes.plot(sizes, [100 * v for v in kinds["zero"]["kept"]], "o-", color=COLOURS[finder],
                      label=LABELS[finder], markersize=3, linewidth=1.5)  # fmt: skip
        axes.set_xscale("log")
        axes.set_ylim(-20, 160)
        axes.set_title(f"{name}, n = {part['images']}", fontsize=10)
        axes.set_xlabel("neurons kept, %")
        axes.set_ylabel("response kept, %")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _linear(results: Mapping[str, Row]) -> Any:
    """The share of boundaries that are nearer than r."""
    figure, panels = _panels(len(results))
    shades = {"network": "#c2571a", "0.8": "#b9d4ea", "0.9": "#5b9bd0", "0.99": "#0b5fa5"}
    for axes, (name, row) in zip(panels, results.items(), strict=True):
        for which, found in row["linear"][0].items():
            if which in shades:
                label = which if which == "network" else f"path, {float(which):.0%}"
                radii, shares = zip(*found["curve"], strict=True)
                axes.loglog(radii, [max(s, 1e-9) for s in shares], color=shades[which], label=label)
        axes.set_title(f"{name}, one photograph", fontsize=10)
        axes.set_xlabel("r (l2, normalised input)")
        axes.set_ylabel("boundaries nearer than r, share")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    return figure
