"""Exports of a run: its numbers, and its maps straight from their shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from critpath.runs.export import EXPORTS, Chunks, MapChunk, export_csv, export_parquet, export_zarr
from critpath.runs.fold import MAPS, Folded
from critpath.runs.results import IMAGES
from critpath.runs.task import Task, digests


def write_export(run: Folded, kind: str) -> Path:
    """Write one of ``EXPORTS`` into the run's folder. Raises StorageError, MissingDependencyError."""
    path = run.folder.root / EXPORTS[kind]
    if kind == "csv":
        return export_csv(run.results, path, run.names)
    if kind == "parquet":
        return export_parquet(run.results, path, run.names)
    return export_zarr(map_chunks(run), path, {"plan_digest": run.folder.digest})


def map_chunks(run: Folded) -> Chunks:
    """The maps that are there, by model, data and method."""
    of: dict[str, list[Task]] = {}
    for task in run.tasks:
        if task.kind == MAPS:
            facts = task.facts
            of.setdefault(f"{facts['model']}/{facts['data']}/{facts['method']}", []).append(task)
    return {name: _reader(run, tasks) for name, tasks in of.items()}


def _reader(run: Folded, tasks: Sequence[Task]) -> Callable[[], Iterator[MapChunk]]:
    known = digests(run.tasks)

    def read() -> Iterator[MapChunk]:
        for task in tasks:
            shard = run.folder.found(task.name, known[task.name])
            if shard is not None and MAPS in shard.tensors:
                images = shard.tensors[IMAGES].numpy()
                names = run.names.get(str(task.facts["data"]), {})
                shown = [names.get(int(image), "") for image in images]
                yield MapChunk(images, shown, np.ascontiguousarray(shard.tensors[MAPS].float().numpy()))

    return read
