"""From the files of single photographs to one file of results for each network: means with intervals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import critpath as cp
from critpath.analysis import Faithfulness
from critpath.files import write_whole
from critpath.intervals import bootstrap_interval
from studies.pathways.plan import SUBJECTS, Subject
from studies.pathways.run import shards

RESULTS = Path(__file__).parent / "results"
AGAINST = "intgrad"
"""Whose per-site overlaps with all others are shown, as in the paper's figure 2b."""

Row = dict[str, Any]


def fold() -> None:
    """Write ``results/NETWORK.json`` for every network that has been run."""
    for subject in SUBJECTS:
        found = summary(subject)
        if "ranked" in found or "searched" in found:
            RESULTS.mkdir(exist_ok=True)
            write_whole(RESULTS / f"{subject.name}.json", (json.dumps(_rounded(found), indent=1) + "\n").encode())


def summary(subject: Subject) -> Row:
    """All that is kept of a network's photographs."""
    parts: Row = {"network": subject.name}
    for part in ("ranked", "searched", "connected"):
        if one := list(shards(subject.name, part)):
            parts[part] = compared(one)
    if one := list(shards(subject.name, "released")):
        parts["released"] = {"images": len(one), **{k: mean_of(row[k] for row in one) for k in RELEASED}}
    for part in ("linear", "decoded", "iterations"):
        if one := list(shards(subject.name, part)):
            parts[part] = one
    parts["versions"] = {"critpath": cp.__version__, "torch": torch.__version__}
    return parts


RELEASED = ("kept", "dead", "response_kept", "keeps_class")


def compared(images: Sequence[Row]) -> Row:
    """Means with 95 % intervals over images of what ``compare_finders`` gave for each."""
    first = images[0]
    finders, sites = first["finders"], first["sites"]
    return {
        "images": len(images),
        "finders": finders,
        "sites": sites,
        "neurons": first["neurons"],
        "base_dead": mean_of(row["base_dead"][0] for row in images),
        "seconds": {f: mean_of(row["seconds"][i][0] for row in images) for i, f in enumerate(finders)},
        "stopped": {f: [why for row in images for why in row["stopped"].get(f, [])] for f in finders},
        "at": [_at(images, finders, number) for number in range(len(first["at"]))],
        "faithfulness": {f: _curves([row["faithfulness"][f] for row in images]) for f in first["faithfulness"]},
    }


def _at(images: Sequence[Row], finders: Sequence[str], number: int) -> Row:
    """One sparsity."""
    rows = [row["at"][number] for row in images]
    names = ("realised", "dead", "keeps_class", "connected", "nesting")
    return {
        "sparsity": rows[0]["sparsity"],
        **{name: {f: mean_of(row[name][i][0] for row in rows) for i, f in enumerate(finders)} for name in names},
        "kept": {f: mean_of(row["kept"][i][0] for row in rows if "kept" in row) for i, f in enumerate(finders)},
        "jaccard": {
            f"{finders[i]} {finders[j]}": {
                **mean_of(
                    _independent(image, row["jaccard"][i][j][0], (finders[i], finders[j]))
                    for image, row in zip(images, rows, strict=True)
                ),
                "chance": mean_of(row["chance"][i][j][0] for row in rows)["mean"],
                "size": mean_of(row["compared"][i][j][0] for row in rows)["mean"],
            }
            for i, j in combinations(range(len(finders)), 2)
        },
        "site_jaccard": {
            f: _columns([row["site_jaccard"][finders.index(AGAINST)][i] for row in rows])
            for i, f in enumerate(finders)
            if f != AGAINST and AGAINST in finders
        },
    }


def _independent(image: Row, jaccard: float | None, pair: tuple[str, str]) -> float | None:
    """None where the random path and uniform gates were drawn as one: they are, in runs that do not say otherwise."""
    return None if pair == ("random", "dgr_random") and not image.get("separate_draws") else jaccard


def _curves(curves: Sequence[Row]) -> Row:
    """Per kind of ablation: mean curves and the interval of their areas."""
    return {kind: _curve([one[kind] for one in curves]) for kind in curves[0]}


def _curve(curves: Sequence[Row]) -> Row:
    sizes = _numbers(curves[0]["sizes"])
    found: Row = {"sizes": sizes.tolist()}
    for name in ("kept", "without"):
        values = torch.stack([_numbers(one[name][0]) for one in curves])
        found[name] = values.nanmean(dim=0).tolist()
    return found | _areas(curves, sizes)


def _areas(curves: Sequence[Row], sizes: Tensor) -> Row:
    """Those of ``Faithfulness``, from what it keeps of each image."""
    kept, without = (torch.stack([_numbers(one[name][0]) for one in curves]) for name in ("kept", "without"))
    whole, floor = (_numbers(one[name][0] for one in curves) for name in ("whole", "floor"))
    joined = Faithfulness(curves[0]["ablation"], sizes, kept, without, whole, floor)
    return {"kept_area": mean_of(joined.kept_area.tolist()), "without_area": mean_of(joined.without_area.tolist())}


def mean_of(values: Iterable[float | None]) -> Row:
    """The mean, its 95 % bootstrap interval over images, and how many there are; None where it is not known."""
    numbers = _numbers(list(values))
    low, high = bootstrap_interval(numbers)
    known = int((~numbers.isnan()).sum())
    return {"mean": float(numbers.nanmean()), "low": float(low), "high": float(high), "n": known}


def _columns(rows: Sequence[Sequence[float | None]]) -> list[float]:
    found: list[float] = torch.stack([_numbers(row) for row in rows]).nanmean(dim=0).tolist()
    return found


def _numbers(values: Iterable[float | None]) -> Tensor:
    return torch.tensor([nan if value is None else float(value) for value in values], dtype=torch.float64)


def _rounded(of: Any) -> Any:
    """Four digits, and None for what is not a number."""
    if isinstance(of, dict):
        return {key: _rounded(value) for key, value in of.items()}
    if isinstance(of, list):
        return [_rounded(value) for value in of]
    if isinstance(of, float):
        return None if of != of else float(f"{of:.4g}")
    return of
