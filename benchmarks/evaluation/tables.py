"""The results as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

OURS = ("method", "metric")

PROTOCOLS = {
    "images": "50,000 photographs, 8 methods: LeRF, MoRF, sanity of 18 stages",
    "roar": "ROAR in full: 8 methods, 5 shares, 3 seeds, 50 epochs",
}


def markdown(results: Row) -> str:
    """Compact tables of the sections that there are."""
    return "\n".join(make(results[name]) for name, make in TABLES.items() if results.get(name))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)) + "\n"


def _perturbation(rows: Sequence[Row]) -> str:
    lines = [
        [
            f"{row['work']}, {row['network']}", str(row["passes_an_image"]), f"{row['images_per_second']:.3g}",
            f"{row['bare_images_per_second']:.3g}", f"{row['ratio']:.2f}", _number(row, "quantus_images_per_second"),
            _number(row, "quantus_times", ".2f"),
        ]
        for row in rows
    ]  # fmt: skip
    head = ["pixel perturbation", "passes an image", "images a second", "bare passes", "time / bare", "Quantus",
            "Quantus' time / ours"]  # fmt: skip
    return _table(head, lines)


def _randomisation(found: Row) -> str:
    lines = [
        [
            f"{row['network']}, {', '.join(row['similarities'])}", str(row["explanations"]), f"{row['seconds']:.1f} s",
            f"{row['bare_seconds']:.1f} s", f"{row['ratio']:.2f}", _number(row, "quantus_explanations", "d"),
            _number(row, "quantus_seconds", ".1f"), _number(row, "quantus_times", ".2f"),
        ]
        for row in found["costs"]
    ]  # fmt: skip
    head = ["parameter randomisation", "explanations a photograph", "seconds", "bare explanations", "time / bare",
            "Quantus: explanations", "seconds", "Quantus' time / ours"]  # fmt: skip
    return _table(head, lines) + "\n" + _coverage(found["coverage"])


def _coverage(found: Row) -> str:
    lines = [
        [who, f"{row['parameters'] - len(row['kept'])} of {row['parameters']}", f"{100 * row['numbers_kept']:.0f} %",
         str(row["equal_pairs"])]
        for who, row in found.items()
    ]  # fmt: skip
    head = ["a small vision transformer, randomised", "tensors changed", "numbers left as they were",
            "pairs of matrices with equal values"]  # fmt: skip
    return _table(head, lines)


def _overhead(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["run"], str(row["tasks"]), f"{row['seconds']:.1f} s", f"{100 * row['share']:.1f} %",
            ", ".join(f"{name} {value:.2f}" for name, value in row["parts"].items() if name not in OURS),
        ]
        for row in rows
    ]  # fmt: skip
    return _table(["1000 images", "tasks", "in all", "not method or metric", "of which, seconds"], lines)


def _ray(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["engine"], f"{row['start']:.1f} s", f"{row['work']:.1f} s", f"{row['end']:.1f} s",
            f"{row['speed']:.2f}", "yes" if row["same_bits"] else "NO",
        ]
        for row in rows
    ]  # fmt: skip
    return _table(
        ["engine, one thread a worker", "to the first task", "work", "to the end", "speed", "same bits"], lines
    )


def _planning(found: Row) -> str:
    lines = [
        [
            PROTOCOLS[row["protocol"]], str(row["devices"]), span(row["seconds"]), span(row["device_seconds"]),
            span(row["longest_task"]), f"{row['tasks']:,}", span(row["fold"]), f"{100 * row['used']:.0f} %",
        ]
        for row in found["table"]
    ]  # fmt: skip
    head = ["counted from measured units", "devices", "by the clock", "device time", "longest task", "tasks", "fold",
            "devices in use"]  # fmt: skip
    return _units(found["units"]) + "\n" + _table(head, lines)


def _units(units: Row) -> str:
    explain = ", ".join(f"{name} {seconds:.3g}" for name, seconds in units["explain"].items())
    small = ", ".join(f"{name} {seconds:.3g}" for name, seconds in units["small_explain"].items())
    rows = [
        ["ResNet-50, 224: forward pass", f"{units['predict']:.3g}"],
        ["explanation by method", explain],
        ["LeRF or MoRF, 10 steps", f"{units['perturb']:.3g}"],
        ["a pair of maps, four similarities", f"{units['compare']:.3g}"],
        ["a photograph read", f"{units['read']:.3g}"],
        ["ResNet-8, width 64, CIFAR-10: forward pass", f"{units['test']:.3g}"],
        ["one image of a training step", f"{units['train']:.3g}"],
        ["explanation by method, ResNet-8", small],
        ["a shard in the fold", f"{units['fold']:.3g}"],
    ]
    return _table(["measured unit", "seconds"], rows)


def span(seconds: float) -> str:
    """A time in the largest unit of which there is one."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.2g} s"


def _number(row: Row, name: str, form: str = ".3g") -> str:
    return format(row[name], form) if name in row else ""


TABLES = {
    "perturbation": _perturbation,
    "randomisation": _randomisation,
    "overhead": _overhead,
    "ray": _ray,
    "planning": _planning,
}
