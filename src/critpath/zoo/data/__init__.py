"""Data sets by name: ``load_data`` turns a source into images with labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from critpath.errors import OptionError
from critpath.registry import check_known
from critpath.zoo.contents import contents_digest
from critpath.zoo.data.arrays import array_file, cifar10, digits, of_arrays
from critpath.zoo.data.folders import image_folder
from critpath.zoo.data.packaged import huggingface_data, torchvision_data
from critpath.zoo.data.values import DataSet, selected
from critpath.zoo.python_file import call_python

__all__ = ["SOURCES", "DataSet", "data_fingerprint", "load_data", "of_arrays", "selected", "source_options"]


def python_data(spec: str) -> DataSet:
    """What a function in the user's own file returns: a DataSet, or (images, labels); see ``of_arrays``.

    Raises StorageError, OptionError, InputError, and ModelError where the file or the function raised.
    """
    result = call_python(spec, purpose="return the data without arguments")
    match result:
        case DataSet():
            return result
        case (images, labels):
            return of_arrays(spec.rpartition(":")[2], images, labels)
    raise OptionError(f"{spec} returned a {type(result).__name__}; it returns a DataSet, or (images, labels)")


SOURCES: Mapping[str, Callable[..., DataSet]] = {
    "images": image_folder,
    "cifar10": cifar10,
    "arrays": array_file,
    "torchvision": torchvision_data,
    "huggingface": huggingface_data,
    "digits": digits,
    "python": python_data,
}
"""Kinds of sources; each is a function of where the data are, and options."""

ON_DISK = ("images", "cifar10", "arrays", "huggingface")
"""Kinds whose source is a file or a folder."""


def load_data(
    kind: str,
    where: str | Path,
    *,
    start: int = 0,
    limit: int | None = None,
    shuffle: int | None = None,
    **options: Any,
) -> DataSet:
    """The data set of a source: ``kind`` is one of ``SOURCES``, ``where`` its folder, file or name.

    ``start``, ``limit`` and ``shuffle`` as in ``selected``; ``options`` are the kind's own.
    Raises StorageError where it is not there, OptionError, InputError, MissingDependencyError.
    """
    check_known("source of data", kind, tuple(SOURCES))
    if extra := set(options) - set(source_options(kind)):
        takes = ", ".join(source_options(kind)) or "no options"
        raise OptionError(f"data from {kind} take {takes}, not {', '.join(sorted(extra))}")
    place = Path(where).expanduser() if kind in ON_DISK else str(where)
    paths = {name: Path(options[name]).expanduser() for name in ("labels", "root") if options.get(name) is not None}
    found = SOURCES[kind](place, **{**options, **paths})
    return selected(found, start=start, limit=limit, shuffle=shuffle)


def source_options(kind: str) -> tuple[str, ...]:
    """Names of the options that a kind of source takes, besides start, limit and shuffle."""
    parameters = signature(SOURCES[kind]).parameters.values()
    return tuple(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)


def data_fingerprint(data: DataSet) -> str:
    """A digest of which images these are, of their labels, and of what they hold, as ``contents_digest`` sees it.

    Pictures of a data set that names neither their files nor their bytes are all read for it.
    """
    digest = hashlib.sha256("\0".join(data.ids).encode())
    if data.labels is not None:
        digest.update(data.labels.contiguous().numpy().tobytes())
    digest.update(contents_digest([partial(data.raw or data.read, i) for i in range(len(data))]).encode())
    return digest.hexdigest()
