"""Results as CSV or parquet, maps as zarr: whole or not at all."""

from __future__ import annotations

import csv
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from critpath.errors import MissingDependencyError, OptionError, StorageError
from critpath.files import writable
from critpath.options import check_choice
from critpath.runs.results import Key, Record, Results
from critpath.version import __version__

COLUMNS = ("evaluation", "metric", "method", "seed", "image", "image_name", "name", "position", "repeat", "value")
"""Of a row: whose number, of which image (empty where of none), which value (``curve``, ``ssim``), where on its axis
(share, stage, number of channels; empty where it has none), which repeat or label set, and the number."""

MARK = {"critpath": __version__, "schema": "1"}
"""Tells an export that may be replaced from a file that may not."""

AXES = ("shares", "stages", "counts", "pairs")
"""Facts that label the axis of a value."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of one value of one record, as columns of equal length."""

    key: Key
    name: str
    images: tuple[int | None, ...]
    names: tuple[str, ...]
    positions: tuple[str, ...]
    repeats: tuple[int | None, ...]
    values: NDArray[np.float64]

    def columns(self) -> dict[str, Sequence[Any]]:
        key, n = self.key, len(self.values)
        whose = (key.evaluation, key.metric, key.method, key.seed)
        same = {name: [value] * n for name, value in zip(COLUMNS, whose, strict=False)}
        return {
            **same, "image": self.images, "image_name": self.names, "name": [self.name] * n,
            "position": self.positions, "repeat": self.repeats, "value": self.values.tolist(),
        }  # fmt: skip


Names = Mapping[str, Mapping[int, str]]
"""Of images, by data set and number."""


def blocks(results: Results, names: Names) -> Iterator[Block]:
    """All numbers of a run, value by value, in an order that does not depend on how they came to be."""
    for key, record in results.records.items():
        for name in sorted(record.values):
            yield _block(key, record, name, names.get(str(record.facts.get("data")), {}))


def _block(key: Key, record: Record, name: str, known: Mapping[int, str]) -> Block:
    values = record.values[name].double().numpy()
    has_images = record.images is not None
    images = record.images.tolist() if record.images is not None else [None]
    labels, repeats, swapped = _axes(record.facts, values.shape[1:] if has_images else values.shape, has_images)
    body = values.reshape(len(images), *values.shape[1:] if has_images else values.shape)
    body = body.swapaxes(1, 2) if swapped else body
    per_image = len(labels) * len(repeats)
    return Block(
        key,
        name,
        tuple(image for image in images for _ in range(per_image)),
        tuple("" if image is None else known.get(image, "") for image in images for _ in range(per_image)),
        tuple(label or key.part for _ in images for label in labels for _ in repeats),
        tuple(repeat for _ in images for _ in labels for repeat in repeats),
        body.reshape(-1),
    )


def _axes(
    facts: Mapping[str, Any], shape: tuple[int, ...], has_images: bool
) -> tuple[list[str], Sequence[int | None], bool]:
    """Labels of the axis, the repeats, and whether repeats come first: as label sets do, the units of what has no
    images."""
    if len(shape) > 2:
        raise OptionError(f"a value of {list(shape)} numbers an image has no rows in a table: at most two dimensions")
    if not shape:
        return [""], [None], False
    size = shape[0] if has_images or len(shape) == 1 else shape[1]
    labels = next((list(map(_label, facts[a])) for a in AXES if a in facts and len(facts[a]) == size), None)
    if len(shape) == 1:
        return labels or [str(i) for i in range(size)], [None], False
    others = shape[1] if has_images else shape[0]
    return labels or [str(i) for i in range(size)], range(others), not has_images


def _label(value: object) -> str:
    if isinstance(value, list):
        return " / ".join(map(_label, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def export_csv(results: Results, path: str | os.PathLike[str], names: Names) -> Path:
    """All numbers as a long CSV table with ``COLUMNS``; a missing number is an empty field. Raises StorageError."""
    with replacing(path, _is_csv) as partial, partial.open("x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for block in blocks(results, names):
            columns = block.columns()
            columns["value"] = ["" if value != value else repr(value) for value in columns["value"]]
            writer.writerows(zip(*(columns[name] for name in COLUMNS), strict=True))
    return Path(path)


def export_parquet(results: Results, path: str | os.PathLike[str], names: Names) -> Path:
    """All numbers as a long parquet table with ``COLUMNS``; a missing number is NaN.

    Raises StorageError, MissingDependencyError where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "export", "Exporting parquet") from error
    whole = {"seed": pa.int64(), "image": pa.int64(), "repeat": pa.int64(), "value": pa.float64()}
    schema = pa.schema([(name, whole.get(name, pa.string())) for name in COLUMNS], metadata=MARK)
    with replacing(path, _is_parquet) as partial, pq.ParquetWriter(partial, schema) as writer:
        for block in blocks(results, names):
            writer.write_table(pa.table(block.columns(), schema=schema))
    return Path(path)


@dataclass(frozen=True, eq=False)
class MapChunk:
    """Maps [n, ...] of some images of one method."""

    images: NDArray[np.int64]
    names: Sequence[str]
    maps: NDArray[np.float32]


Chunks = Mapping[str, Callable[[], Iterable[MapChunk]]]
"""By the array's path, ``model/data/method``: reads its chunks, ascending by image."""


def export_zarr(chunks: Chunks, path: str | os.PathLike[str], facts: Mapping[str, Any]) -> Path:
    """Maps as a zarr (format 3) folder: an array [images, ...] a method, with the images' numbers and names.

    Read and written chunk by chunk. Raises StorageError, MissingDependencyError where zarr is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError("zarr", "export", "Exporting maps") from error
    with replacing(path, _is_zarr) as partial:
        root = zarr.create_group(store=str(partial), zarr_format=3, attributes={**MARK, **facts})
        for name, read in chunks.items():
            _write_array(root, name, read)
    return Path(path)


def _write_array(root: Any, name: str, read: Callable[[], Iterable[MapChunk]]) -> None:
    """Grow an array by one chunk after the other."""
    array, images, names = None, [], []
    for chunk in read():
        if array is None:
            empty = (0, *chunk.maps.shape[1:])
            array = root.create_array(name, shape=empty, chunks=chunk.maps.shape, dtype=chunk.maps.dtype)
        array.append(chunk.maps)
        images += chunk.images.tolist()
        names += list(chunk.names)
    if array is not None:
        array.update_attributes({"images": images, "names": names})


@contextmanager
def replacing(path: str | os.PathLike[str], is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """A temporary name beside ``path`` to write a file or folder to; it takes the place of ``path`` at the end.

    Only an export is replaced. Raises StorageError, and then leaves what was there.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not is_ours(target):
        raise StorageError(
            f"{os.fspath(path)} is there and is no such export of critpath: choose another name, or remove it"
        )
    if not target.is_dir():
        writable(target)
    partial = target.with_name(f".critpath-{secrets.token_hex(6)}.tmp")
    try:
        yield partial
        _flush(partial)
        _swap(partial, target)
    except OSError as error:
        raise StorageError(f"cannot write {os.fspath(path)}: {error.strerror or error}") from error
    finally:
        _remove(partial)


def _swap(partial: Path, target: Path) -> None:
    """A file is replaced in one step; an old folder moves away first and comes back where that fails."""
    if not target.is_dir():
        os.replace(partial, target)
        return
    old = target.with_name(f".critpath-{secrets.token_hex(6)}.tmp")
    os.rename(target, old)
    try:
        os.rename(partial, target)
    except OSError:
        os.rename(old, target)
        raise
    _remove(old)


def _flush(path: Path) -> None:
    for file in [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]:
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _is_csv(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.readline(1000).decode("utf-8", "replace").strip() == ",".join(COLUMNS)


def _is_parquet(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return b"critpath" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _is_zarr(path: Path) -> bool:
    import zarr

    try:
        return "critpath" in zarr.open_group(str(path), mode="r", zarr_format=3).attrs
    except Exception:  # whatever zarr makes of a folder that is none of its own
        return False


EXPORTS = {"csv": "results.csv", "parquet": "results.parquet", "zarr": "maps.zarr"}
"""The name of each export in a run's folder."""


def check_export(kind: str) -> None:
    """Raises OptionError for an unknown kind, MissingDependencyError where its package is not installed."""
    check_choice("export", kind, tuple(EXPORTS))
    try:
        if kind == "parquet":
            import pyarrow  # noqa: F401
        elif kind == "zarr":
            import zarr  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "pyarrow" if kind == "parquet" else "zarr", "export", f"Exporting {kind}"
        ) from error
