"""What is kept of the study's runs: estimates over images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from critpath.intervals import resample_weights
from studies.study import Estimate, estimate

ALLOWED = 0.15
"""The paper's change of the output."""

RESAMPLES = 1000

Results = Mapping[str, Any]


def networks(parts: Iterable[Results]) -> dict[str, Any]:
    """The chunks of each network put together: see ``network``."""
    found: dict[str, list[Results]] = {}
    for part in parts:
        found.setdefault(part["network"], []).append(part)
    return {name: network(chunks) for name, chunks in found.items()}


def network(chunks: Sequence[Results]) -> dict[str, Any]:
    """Estimates over the images of ``change`` and, where they were compared, of ``likeness``, at each sparsity.

    Beside them the means ``realised`` and ``keeps``, the share of ``dead`` neurons, and at which sparsity the mean
    change first exceeds ``ALLOWED`` (``crossing``).
    """
    sparsities = chunks[0]["sparsities"]
    joined = {name: _joined(chunks, name) for name in ("change", "realised", "keeps", "likeness")}
    return {
        "sparsities": sparsities,
        "images": len(joined["change"][0]),
        "dead": estimate([share for chunk in chunks for share in chunk["dead"]]),
        "change": [estimate(row) for row in joined["change"]],
        "realised": [estimate(row)["mean"] for row in joined["realised"]],
        "keeps": [estimate(row)["mean"] for row in joined["keeps"]],
        "likeness": [estimate(row) for row in joined["likeness"]],
        "crossing": crossing(sparsities, torch.tensor(joined["change"], dtype=torch.float64)),
    }


def _joined(chunks: Sequence[Results], name: str) -> list[list[float | None]]:
    """Rows [sparsities] over the images of all chunks that have them."""
    rows = [chunk[name] for chunk in chunks if chunk[name]]
    return [[value for row in parts for value in row] for parts in zip(*rows, strict=True)]


def crossing(sparsities: Sequence[float], change: Tensor) -> Estimate:
    """Where the mean of ``change`` [sparsities, images] first exceeds ``ALLOWED``, linear in between.

    With the 95 % interval of the bootstrap over images; the last sparsity where it is nowhere exceeded.
    """
    images = change.shape[1]
    weights = torch.cat(list(resample_weights(images, 0, RESAMPLES)))
    means = change @ weights.T / images
    drawn = torch.tensor([_first(sparsities, column) for column in means.T], dtype=torch.float64)
    low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    ends = (low, high) if images > 1 else (None, None)
    return {"mean": _first(sparsities, change.mean(dim=1)), "low": ends[0], "high": ends[1], "n": images}


def _first(sparsities: Sequence[float], means: Tensor) -> float:
    values = means.tolist()
    for i, value in enumerate(values):
        if value > ALLOWED:
            if i == 0:
                return sparsities[0]
            part = (ALLOWED - values[i - 1]) / (value - values[i - 1])
            return float(sparsities[i - 1] + part * (sparsities[i] - sparsities[i - 1]))
    return sparsities[-1]


def radii(parts: Iterable[Results]) -> list[dict[str, Any]]:
    """For every radius estimates over the images of all parts."""
    rows = zip(*(part["radii"] for part in parts), strict=True)
    return [{"radius": row[0]["radius"], **_over_images(row)} for row in rows]


def _over_images(chunks: Sequence[Results]) -> dict[str, Estimate]:
    names = [name for name in chunks[0] if name != "radius"]
    return {name: estimate([value for chunk in chunks for value in chunk[name]]) for name in names}


def table(given: Results) -> dict[str, Any]:
    """The first column of a run's table by method, and its difference to random maps."""
    return {
        "column": given["columns"][0],
        "better": given["better"],
        "rows": {row["method"]: _estimate(row["values"][0], row["n"]) for row in given["rows"]},
        "to_random": {row["method"]: _estimate(row["to_reference"], row["n"]) for row in given["rows"]},
    }


def agreement(given: Results) -> dict[str, dict[str, Estimate]]:
    """Rank correlations of the maps of every two methods: found[one][other]."""
    names, n = given["names"], given["n"]
    return {
        name: {other: _estimate(value, n) for other, value in zip(names, row, strict=True) if other != name}
        for name, row in zip(names, given["values"], strict=True)
    }


def _estimate(value: Results | None, n: int) -> Estimate:
    ends = {} if value is None else value
    return {"mean": ends.get("mean"), "low": ends.get("low"), "high": ends.get("high"), "n": n}
