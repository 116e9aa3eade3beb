"""Data sets of torchvision and of Hugging Face's datasets that are already on disk; nothing is downloaded."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from critpath.errors import CritpathError, MissingDependencyError, OptionError, StorageError
from critpath.zoo.data.values import DataSet, Picture
from critpath.zoo.packages import close_matches, import_torchvision, require

_PICKLED = {"CIFAR10": "cifar10: FOLDER", "CIFAR100": "arrays: FILE.npz", "LSUN": "images: FOLDER"}
"""torchvision's readers that unpickle, and what reads the same images without."""

_LABELS = ("targets", "labels", "_labels")
_FILES = ("samples", "imgs", "_samples", "_images", "_image_files", "images")


def torchvision_data(
    name: str,
    *,
    root: Path,
    split: str | None = None,
    options: Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
) -> DataSet:
    """A data set of torchvision by its name, with ``split`` ("train" and "test" where it takes ``train``).

    Raises OptionError (also for the data sets that are pickles, unless ``allow_pickle``), StorageError.
    """
    if name in _PICKLED and not allow_pickle:
        raise OptionError(
            f"torchvision's {name} is a pickle, a format that can carry code: use the source {_PICKLED[name]} "
            "(the binary version of CIFAR-10), or give allow_pickle: true"
        )
    make = _class(name)
    given = {**_split(make, name, split), **(options or {})}
    try:
        data = make(root=str(root), **given, **({"download": False} if "download" in _parameters(make) else {}))
    except CritpathError:
        raise
    except TypeError as error:
        raise OptionError(f"torchvision's {name} does not take these options: {error}") from error
    except Exception as error:  # each data set has its own way of saying that it is not there
        raise StorageError(f"torchvision's {name} is not in {root}: {error}. Nothing is downloaded here.") from error
    classes = getattr(data, "classes", None)
    names = tuple(str(c[0] if isinstance(c, tuple) else c) for c in classes) if classes else None
    read = lambda i: _picture(data[i][0])  # noqa: E731
    return DataSet(f"torchvision {name}", _numbers(len(data)), read, _labels(data), names, _raw(data))


def huggingface_data(
    folder: Path, *, split: str | None = None, image: str = "image", label: str | None = "label"
) -> DataSet:
    """A data set that ``save_to_disk`` wrote, or .parquet files, with a column of images and one of labels.

    Raises StorageError, OptionError, MissingDependencyError.
    """
    datasets = require("datasets", "datasets", "text", "A Hugging Face data set")
    table = _of_split(_table(datasets, folder, split), split, folder)
    for column in (image, *([label] if label else [])):
        if column not in table.column_names:
            raise OptionError(f"{folder} has the columns {', '.join(table.column_names)}, not {column!r}")
    raw = _undecoded(datasets, table, image)
    labels = torch.tensor(table[label][:], dtype=torch.int64) if label else None
    names = getattr(table.features[label], "names", None) if label else None
    classes = tuple(names) if names else None
    read, given = (lambda i: _decoded(raw[i][image])), (lambda i: _encoded(raw[i][image]))
    return DataSet(folder.name, _numbers(len(table)), read, labels, classes, given)


def _numbers(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def _class(name: str) -> Any:
    datasets = import_torchvision().datasets
    known = [n for n in datasets.__all__ if isinstance(getattr(datasets, n), type)]
    if name not in known:
        raise OptionError(f"torchvision has no data set {name!r}.{close_matches(name, known)}")
    return getattr(datasets, name)


def _parameters(make: Any) -> list[str]:
    from inspect import signature

    return list(signature(make).parameters)


def _split(make: Any, name: str, split: str | None) -> dict[str, Any]:
    if split is None:
        return {}
    takes = _parameters(make)
    if "split" in takes:
        return {"split": split}
    if "train" in takes and split in ("train", "test"):
        return {"train": split == "train"}
    raise OptionError(f"torchvision's {name} has no split {split!r}; it takes {', '.join(takes)}")


def _labels(data: Any) -> Tensor | None:
    found = next((getattr(data, name) for name in _LABELS if hasattr(data, name)), None)
    if found is None and hasattr(data, "samples"):
        found = [sample[1] for sample in data.samples]
    tensor = None if found is None else torch.as_tensor(found)
    return tensor.long() if tensor is not None and tensor.dim() == 1 and not tensor.is_floating_point() else None


def _raw(data: Any) -> Callable[[int], Path | bytes | Picture] | None:
    """The pictures' files or arrays, where a data set of torchvision keeps one of them under a known name."""
    held = getattr(data, "data", None)
    if isinstance(held, Tensor | np.ndarray) and len(held) == len(data):
        return lambda i: torch.as_tensor(held[i])
    for name in _FILES:
        files = getattr(data, name, None)
        if isinstance(files, list) and len(files) == len(data):
            found = [file[0] if isinstance(file, tuple) else file for file in files]
            if all(isinstance(file, str | Path) and Path(file).is_file() for file in found):
                return lambda i: Path(found[i])
    return None


def _picture(value: Any) -> Picture:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Image.Image):
        return value.convert("RGB")
    raise OptionError(f"the data set gives a {type(value).__name__} where a picture is expected")


def _table(datasets: Any, folder: Path, split: str | None) -> Any:
    files = _parquet(folder, split)
    if not files and not folder.is_dir():
        raise StorageError(f"there is no folder {folder}")
    try:
        if not files:
            return datasets.load_from_disk(str(folder))
        require("pyarrow", "pyarrow", "export", "A .parquet file")
        parquet = require("pyarrow.parquet", "pyarrow", "export", "A .parquet file")
        tables = [datasets.Dataset(parquet.read_table(file)) for file in files]
        return tables[0] if len(tables) == 1 else datasets.concatenate_datasets(tables)
    except (MissingDependencyError, MemoryError):
        raise
    except Exception as error:  # damaged files raise anything
        raise StorageError(f"{folder} is no data set on disk that can be read: {error}") from error


def _parquet(folder: Path, split: str | None) -> list[Path]:
    """The .parquet files that are meant, those whose names start with the split, if one is given and any do."""
    if folder.suffix == ".parquet" and folder.is_file():
        return [folder]
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    named = [file for file in files if split and file.name.startswith(split)]
    return named or files


def _of_split(table: Any, split: str | None, folder: Path) -> Any:
    if not isinstance(table, Mapping):
        return table
    if split not in table:
        raise OptionError(f"{folder} has the splits {', '.join(table)}: name one with split")
    return table[split]


def _undecoded(datasets: Any, table: Any, image: str) -> Any:
    """The table with images as bytes, so that one that is damaged fails alone."""
    if isinstance(table.features[image], datasets.Image):
        return table.cast_column(image, datasets.Image(decode=False))
    return table


def _encoded(value: Any) -> Path | bytes | Picture:
    """What a picture is made from: its bytes, its file, or its numbers."""
    if isinstance(value, Mapping):
        return Path(value["path"]) if value.get("bytes") is None else bytes(value["bytes"])
    return torch.as_tensor(value)


def _decoded(value: Any) -> Picture:
    if isinstance(value, Mapping):
        data = value.get("bytes")
        if data is None:
            from critpath.zoo.images import read_image

            return read_image(value["path"])
        with Image.open(io.BytesIO(data)) as picture:
            return picture.convert("RGB")
    array = torch.as_tensor(value)
    if array.dtype == torch.uint8 or not array.is_floating_point():
        return Image.fromarray(array.to(torch.uint8).numpy()).convert("RGB")
    return array
