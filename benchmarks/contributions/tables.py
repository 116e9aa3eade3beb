"""The results as tables, and as curves of error against time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

Row = dict[str, Any]


def markdown(results: Row) -> str:
    """Compact tables of the sections that there are."""
    return "\n".join(table for name, make in TABLES.items() if results.get(name) for table in make(results))


def curves(results: Row) -> Row:
    """Points, seconds and network-level error of both libraries, for each method and network.

    Captum's seconds of conductance are those of ``speed``, in proportion to its evaluations.
    """
    return {
        "conductance": _conductance_curves(results.get("speed", []), results.get("errors", {}).get("rows", [])),
        "intgrad": [_intgrad_curve(row) for row in results.get("intgrad", [])],
    }


def _conductance_curves(speeds: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    found = []
    for speed in speeds:
        own = [row for row in rows if row["network"] == speed["network"]]
        each = [(n, [row for row in own if row["points"] == n]) for n in sorted({row["points"] for row in own})]
        rate = speed["captum_seconds"] / speed["points"]
        ours = [
            _point(n, mean(r["ours_seconds"] for r in some), mean(r["ours_overall"] for r in some)) for n, some in each
        ]
        captum = [_point(n, n * rate, mean(r["captum_overall"] for r in some)) for n, some in each]
        found.append({"network": speed["network"], "ours": ours, "captum": captum})
    return found


def _intgrad_curve(row: Row) -> Row:
    ours = [_point(one["points"], one["seconds"], one["overall"]) for one in row["ours"]]
    captum = [_point(one["n_steps"], sum(one["seconds"]), one["overall"]) for one in row["captum"]]
    return {"network": row["network"], "sites": row["measured"], "ours": ours, "captum": captum}


def _point(points: int, seconds: float, error: float) -> Row:
    return {"points": points, "seconds": seconds, "error": error}


# ------------------------------------------------------------------------------------------------------------- tables
def _speed(results: Row) -> list[str]:
    rows = [
        (
            row["network"], row["sites"], f"{row['ours_seconds']:.2f} s",
            f"{row['captum_seconds']:.0f} s ({row['captum_sites_measured']} sites measured)", f"{row['ratio']:.1f}",
            *([f"{row['images_per_second']:.2f}", _percent(row.get("share_of_peak"))] if "tflops" in row else []),
        )
        for row in results["speed"]
    ]  # fmt: skip
    more = ("images a second", "share of peak") if "tflops" in results["speed"][0] else ()
    points = results["speed"][0]["points"]
    return [_table((f"conductance, {points} points", "sites", "ours", "Captum, looped", "ratio", *more), rows)]


def _errors(results: Row) -> list[str]:
    of = results["errors"]
    counts = sorted({row["points"] for row in of["rows"]})
    rows = [
        (f"{network}, {who}", *(_mean_percent(of["rows"], f"{key}_overall", network=network, points=n) for n in counts))
        for network in _names(of["rows"])
        for who, key in (("ours", "ours"), ("Captum", "captum"))
    ]
    table = _table(("error over the network, points", *map(str, counts)), rows)
    return [table, _tolerances(of["tolerance"]), _estimates(of["estimates"])]


def _tolerances(rows: Sequence[Row]) -> str:
    head = (
        "tolerance 5 % at every site",
        "points",
        "seconds",
        "ended by",
        "true error",
        "worst site",
        "sites within 5 %",
    )
    body = (
        (
            f"{row['network']}, {row['image'] + 1}", row["points"], f"{row['ours_seconds']:.1f}", row["stopped"],
            _percent(row["ours_overall"]), _percent(max(row["ours_sites"])), _percent(row["sites_truly_within"]),
        )
        for row in rows
    )  # fmt: skip
    return _table(head, body)


def _estimates(rows: Sequence[Row]) -> str:
    head = ("estimate / true error", "points", "within a factor of 2", "median", "true / estimate, worst", "rounding")
    body = (
        (
            row["network"], row["points"], _percent(row["within_factor_2"]), f"{row['median']:.2f}",
            f"{row['worst_optimism']:.1f}", f"{row['rounding']} of {row['rounding'] + row['judged']}",
        )
        for row in rows
        if row["judged"]
    )  # fmt: skip
    return _table(head, body)


def _gelu(results: Row) -> list[str]:
    of = results["gelu"]
    counts = sorted({row["points"] for row in of["rows"]})
    rows = [
        (f"ours, {asked}", *(_mean_percent(of["rows"], "ours_overall", asked=asked, points=n) for n in counts))
        for asked in dict.fromkeys(row["asked"] for row in of["rows"])
    ]
    rows.append(("Captum", *(_mean_percent(of["rows"], "captum_overall", asked="auto", points=n) for n in counts)))
    return [_table((f"GELU ({of['network']}), points", *map(str, counts)), rows), _estimates(of["estimates"])]


def _intgrad(results: Row) -> list[str]:
    rows = []
    for row in results["intgrad"]:
        whole, sites = row["network_level"], row["site_level"]
        steps = row["captum"][-1]["n_steps"]
        cells = (
            row["network"], f"{row['captum_seconds']:.0f} s ({row['measured']} of {row['sites']} sites measured)",
            f"{_percent(row['captum_overall'])} ({steps} steps)", f"{whole['seconds']:.1f} s",
            _percent(whole["overall"]), f"{whole['ratio']:.1f}" + ("" if whole["met"] else " (error not met)"),
            f"{sites['ratio']:.1f} ({sites['sites_met']} of {len(sites['rows'])} met)",
        )  # fmt: skip
        rows.append(cells)
    head = ("intgrad", "Captum, looped", "its error", "ours", "our error", "ratio", "ratio, every site as exact")
    return [_table(head, rows)]


def _maps(results: Row) -> list[str]:
    rows = [
        (
            row["network"], row["site"], row["neurons"], row["points"], f"{row['ours_seconds']:.1f} s",
            f"{row['captum_seconds']:.0f} s ({row['captum_neurons_measured']} measured)", f"{row['ratio']:.1f}",
        )
        for row in results["maps"]["rows"]
    ]  # fmt: skip
    channels = [
        (row["network"], row["site"], row["points"], f"{row['seconds_per_channel']:.2f} s")
        for row in results["maps"]["channels"]
    ]
    return [
        _table(("equation 2", "site", "neurons", "points", "ours", "Captum, neuron by neuron", "ratio"), rows),
        _table(("a map a channel", "site", "points", "a channel"), channels),
    ]


def _memory(results: Row) -> list[str]:
    rows = [
        (
            f"{row['call']}, {row['network']}", row["points"], row["limit"],
            "refused" if row.get("refused") else f"{row['peak_bytes'] / 2**30:.2f} GiB",
            "" if row.get("refused") else f"{row['seconds']:.1f} s",
        )
        for row in results["memory"]
    ]  # fmt: skip
    return [_table(("peak memory", "points", "limit", "peak", "seconds"), rows)]


def _scaling(results: Row) -> list[str]:
    tables = []
    for what in ("points", "batch", "sites"):
        some = [row for row in results["scaling"] if row["what"] == what]
        body = (
            (name, *(f"{row['number']}: {row['seconds']:.2f} s" for row in some if row["network"] == name))
            for name in _names(some)
        )
        most = max(sum(row["network"] == name for row in some) for name in _names(some))
        tables.append(_table((f"conductance, {what}", *[""] * most), body))
    return tables


TABLES = {
    "speed": _speed, "errors": _errors, "gelu": _gelu, "intgrad": _intgrad,
    "maps": _maps, "memory": _memory, "scaling": _scaling,
}  # fmt: skip
"""Sections with their tables."""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["network"] for row in rows))


def _mean_percent(rows: Iterable[Row], key: str, **where: object) -> str:
    return _percent(mean(row[key] for row in rows if all(row[name] == value for name, value in where.items())))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.3g} %"
