"""The results as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]


def markdown(results: Row) -> str:
    """Compact tables of the sections that there are."""
    return "\n".join(make(results[name]) for name, make in TABLES.items() if results.get(name))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)) + "\n"


def _finders(rows: Sequence[Row]) -> str:
    networks = list(dict.fromkeys(row["network"] for row in rows))
    names = list(dict.fromkeys(row["finder"] for row in rows))
    found = {(row["network"], row["finder"]): row for row in rows}
    lines = [
        [_named(found[networks[0], name]), *(_cost(found[network, name]) for network in networks)] for name in names
    ]
    return _table(["finder at 90 %, in forward + backward passes", *networks], lines)


def _named(row: Row) -> str:
    options = ", ".join(f"{name}={value}" for name, value in row["options"].items())
    return f"`{row['finder']}`" + (f" ({options})" if options else "")


def _cost(row: Row) -> str:
    return f"{row['ratio']:.3g}" + (f" ({row['steps']} steps)" if row.get("steps") else "")


def _radius(found: Row) -> str:
    rows = [
        [
            row["network"],
            row["of"],
            f"{row['boundaries']:,}",
            f"{row['radius']:.2e}",
            f"{row['products']} + {row['gradients']}",
            f"{row['forward passes']:.0f}",
        ]
        for row in found["costs"]
    ]
    head = ["network", "of", "boundaries", "radius", "products + exact gradients", "forward passes' time"]
    errors = [
        [
            row["network"], str(row["sampled"]), f"{100 * row['standard deviation']:.1f} %",
            f"{100 * row['mean']:+.1f} %", f"{100 * row['largest']:.0f} %",
        ]
        for row in found["errors"]
    ]  # fmt: skip
    return (
        _table(head, rows)
        + "\n"
        + _table(["estimated against exact distances", "boundaries", "standard deviation", "mean", "largest"], errors)
    )


def _decoding(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["way"], str(row["pictures"]), f"{1 / row['step']:.1f}", f"{100 * row['added']:.0f} %",
            f"{row['pictures_a_minute']:.1f}",
        ]
        for row in rows
    ]  # fmt: skip
    head = ["decoding, SqueezeNet 1.1", "pictures at once", "steps a second", "added to the model's own time",
            "pictures a minute (256 steps)"]  # fmt: skip
    return _table(head, lines)


def _first_site(rows: Sequence[Row]) -> str:
    lines = [
        [
            row["network"], f"{row['neurons']:,}", f"{row['exact']:.3e}", f"{row['estimate']:.3e}",
            f"{100 * row['difference']:+.2f} %", str(row["gradients"]),
        ]
        for row in rows
    ]  # fmt: skip
    head = ["first site alone", "neurons", "exact minimum", "estimated, then exact gradients", "difference",
            "gradients"]  # fmt: skip
    return _table(head, lines)


TABLES = {"finders": _finders, "radius": _radius, "first_site": _first_site, "decoding": _decoding}
