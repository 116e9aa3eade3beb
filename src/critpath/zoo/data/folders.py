"""Image files: a flat folder, or one with a folder for each class, with labels from a table if there is one."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from critpath.errors import OptionError, StorageError
from critpath.zoo.data.values import DataSet
from critpath.zoo.images import SUFFIXES, read_image


def image_folder(folder: Path, *, labels: Path | None = None) -> DataSet:
    """The image files of a folder, sorted by name, or of the folders in it, each of which is a class.

    ``labels``: a CSV table with the column ``file`` (path in the folder) and ``class_index`` (a number), ``label``
    (a number or a name), or both; images that are not in it have the label -1.

    Raises StorageError where there is no such folder or table, OptionError where they hold nothing usable.
    """
    if not folder.is_dir():
        raise StorageError(f"there is no folder {folder}")
    files, classes = _files(folder)
    if not files:
        raise OptionError(f"{folder} has no image files, nor folders with image files ({' '.join(sorted(SUFFIXES))})")
    ids = [file.relative_to(folder).as_posix() for file in files]
    found, names = _by_folder(files, classes) if labels is None else read_labels(labels, ids)
    return DataSet(folder.name, ids, lambda i: read_image(files[i]), found, names, files.__getitem__)


def _files(folder: Path) -> tuple[list[Path], tuple[str, ...] | None]:
    """The folder's own image files; where it has none, those of its folders, with the folders' names."""
    if own := _images(folder):
        return own, None
    folders = sorted(f for f in _listed(folder) if f.is_dir())
    found = [(f, _images(f)) for f in folders]
    return [file for _, files in found for file in files], tuple(f.name for f, files in found if files)


def _images(folder: Path) -> list[Path]:
    return sorted(f for f in _listed(folder) if f.suffix.lower() in SUFFIXES and f.is_file())


def _listed(folder: Path) -> list[Path]:
    try:
        return [f for f in folder.iterdir() if not f.name.startswith(".")]
    except OSError as error:
        raise StorageError(f"the folder {folder} cannot be read: {error.strerror or error}") from error


def _by_folder(files: Sequence[Path], classes: tuple[str, ...] | None) -> tuple[Tensor | None, tuple[str, ...] | None]:
    if classes is None:
        return None, None
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number[file.parent.name] for file in files]), classes


def read_labels(path: Path, ids: Sequence[str]) -> tuple[Tensor, tuple[str, ...] | None]:
    """The labels [n] of these files in a CSV table, -1 where a file is not in it; and the classes' names, if any.

    Raises StorageError where the table cannot be read, OptionError where it has no such columns.
    """
    rows = _table(path)
    given = {row["file"]: row for row in rows}
    if not any(name in given for name in ids):
        raise OptionError(f"{path} has none of the {len(ids):,} files in its column file, {ids[0]!r} for instance")
    if "class_index" in rows[0]:
        number = {name: _whole(path, row["class_index"]) for name, row in given.items()}
        names = _names({number[name]: row.get("label") or row.get("name") or "" for name, row in given.items()})
    else:
        number, names = _numbered({name: row["label"] for name, row in given.items()})
    return torch.tensor([number.get(name, -1) for name in ids]), names


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(stream)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StorageError(f"the labels {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    there = list(rows[0]) if rows else []
    if "file" not in there or not {"class_index", "label"} & set(there):
        raise OptionError(
            f"{path} has the columns {', '.join(there) or 'none'}; it needs file, and class_index or label"
        )
    return rows


def _whole(path: Path, text: str) -> int:
    if not text.strip().isdecimal():
        raise OptionError(f"{path} has the class_index {text!r}; it is a whole number from 0")
    return int(text)


def _names(by_number: Mapping[int, str]) -> tuple[str, ...] | None:
    """The classes' names where every number from 0 has one."""
    names = tuple(by_number.get(i, "") for i in range(len(by_number)))
    return names if all(names) else None


def _numbered(labels: Mapping[str, str]) -> tuple[dict[str, int], tuple[str, ...] | None]:
    """Labels as numbers: as they are, or by the place of the name among the sorted names."""
    if all(text.strip().isdecimal() for text in labels.values()):
        return {name: int(text) for name, text in labels.items()}, None
    names = tuple(sorted(set(labels.values())))
    return {name: names.index(text) for name, text in labels.items()}, names
