"""Data in arrays: .npz and .safetensors files, CIFAR-10's binary files, scikit-learn's digits."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from critpath.errors import InputError, OptionError, StorageError
from critpath.options import check_choice
from critpath.zoo.data.values import DataSet, Picture
from critpath.zoo.packages import require

PARTS = {"all": (0, 1797), "train": (0, 1197), "validation": (1197, 1497), "test": (1497, 1797)}
"""The parts of the digits, as ranges of a fixed shuffled order."""

_RECORD = 3073
_CIFAR_FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}


def array_file(file: Path) -> DataSet:
    """A .npz or .safetensors file with ``images`` and, if there are any, ``labels`` int [n].

    Images are uint8 [n, H, W, C] or [n, H, W], pictures, or floating point [n, C, H, W], inputs as they are.
    Pickled objects are not read. Raises StorageError, OptionError, InputError.
    """
    if not file.is_file():
        raise StorageError(f"there is no file {file}")
    arrays = _contents(file)
    if "images" not in arrays:
        raise OptionError(f"{file} holds {', '.join(sorted(arrays)) or 'nothing'}; it needs images, and labels")
    return of_arrays(file.name, arrays["images"], arrays.get("labels"))


def of_arrays(name: str, images: Any, labels: Any = None, classes: tuple[str, ...] | None = None) -> DataSet:
    """The data set of arrays or tensors; see ``array_file`` for what they are. Raises InputError."""
    found = torch.as_tensor(images)
    if found.dtype == torch.uint8:
        read = _pictures(name, found.numpy())
    elif found.is_floating_point() and found.dim() == 4:
        read = found.__getitem__
    else:
        raise InputError(
            f"the images of {name} are {found.dtype} {list(found.shape)}; give uint8 [n, H, W, C] or floating point "
            "[n, C, H, W]"
        )
    ids = [str(i) for i in range(len(found))]
    return DataSet(name, ids, read, _as_labels(name, labels), classes, found.__getitem__)


def cifar10(folder: Path, *, split: Literal["train", "test"] = "test") -> DataSet:
    """CIFAR-10's binary version (data_batch_1.bin to 5, test_batch.bin, batches.meta.txt).

    Raises StorageError where a file is missing or is not a whole number of records.
    """
    check_choice("split", split, tuple(_CIFAR_FILES))
    records = np.concatenate([_records(folder / name) for name in _CIFAR_FILES[split]])
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    return of_arrays(f"CIFAR-10 {split}", np.ascontiguousarray(pixels), labels, _cifar_classes(folder))


def digits(part: str = "all") -> DataSet:
    """scikit-learn's 1797 handwritten digits: inputs float32 [1, 8, 8] in [0, 1].

    ``part``: "all", or "train" (1197), "validation" (300) or "test" (300) of a fixed shuffled order.
    Raises OptionError, MissingDependencyError.
    """
    check_choice("digits", part, tuple(PARTS))
    require("sklearn", "scikit-learn", "evaluation", "The digits data")
    datasets = require("sklearn.datasets", "scikit-learn", "evaluation", "The digits data")
    pixels, labels = datasets.load_digits(return_X_y=True)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))[slice(*PARTS[part])]
    images = (torch.from_numpy(pixels).float() / 16).view(-1, 1, 8, 8)[order]
    name = "digits" if part == "all" else f"digits {part}"
    return of_arrays(name, images, torch.from_numpy(labels).long()[order], tuple("0123456789"))


def _contents(file: Path) -> Mapping[str, Any]:
    try:
        if file.suffix == ".npz":
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files if name in ("images", "labels")}
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
    except Exception as error:  # a reader raises anything on a damaged file
        if isinstance(error, MemoryError):
            raise
        pickled = "pickle" in str(error).lower() and not isinstance(error, zipfile.BadZipFile)
        hint = ": it holds Python objects; save plain arrays" if pickled else f": {error}"
        raise StorageError(f"the arrays {file} cannot be read{hint}") from error
    raise OptionError(f"{file} is no array file that is known by its suffix {file.suffix!r}: .npz or .safetensors")


def _pictures(name: str, pixels: np.ndarray[Any, Any]) -> Any:
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3)):
        raise InputError(f"the images of {name} are uint8 {list(pixels.shape)}; give [n, H, W], or [n, H, W, 1 or 3]")
    flat = pixels[..., 0] if pixels.ndim == 4 and pixels.shape[3] == 1 else pixels

    def read(index: int) -> Picture:
        return Image.fromarray(flat[index]).convert("RGB")

    return read


def _as_labels(name: str, labels: Any) -> Tensor | None:
    if labels is None:
        return None
    found = torch.as_tensor(labels)
    if found.dim() != 1 or found.is_floating_point() or found.is_complex():
        raise InputError(f"the labels of {name} are {found.dtype} {list(found.shape)}; give whole numbers [n]")
    return found.long()


def _records(file: Path) -> np.ndarray[Any, Any]:
    if not file.is_file():
        pickled = " This folder holds the Python version, which is a pickle." if _has_pickles(file.parent) else ""
        raise StorageError(
            f"there is no file {file}.{pickled} Take the binary version of CIFAR-10 (cifar-10-binary.tar.gz)."
        )
    data = np.memmap(file, dtype=np.uint8, mode="r") if file.stat().st_size else np.empty(0, np.uint8)
    if not len(data) or len(data) % _RECORD:
        raise StorageError(f"{file} has {len(data):,} bytes, not a whole number of records of {_RECORD}: it is damaged")
    return data.reshape(-1, _RECORD)


def _has_pickles(folder: Path) -> bool:
    return (folder / "test_batch").is_file() or (folder / "cifar-10-batches-py").is_dir()


def _cifar_classes(folder: Path) -> tuple[str, ...]:
    file = folder / "batches.meta.txt"
    known = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return tuple(file.read_text("utf-8").split()) if file.is_file() else known
