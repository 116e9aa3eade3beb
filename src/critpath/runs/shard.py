"""The result of one task in one file: safetensors with a header that says whose result it is."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from critpath.errors import OptionError, StorageError

FORMAT = 1
"""Version of the file format; a file of another version is refused."""

HEADER_LIMIT = 16 * 2**20
"""Bytes that the header of a file may have."""


@dataclass(frozen=True, eq=False)
class Shard:
    """Named tensors and JSON facts; ``facts["failures"]`` lists [image number, message] of images that failed."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


def shard_bytes(shard: Shard, digest: str) -> bytes:
    """The file of a shard, the same bytes for the same content. Raises OptionError for what no file can hold."""
    tensors = {name: _plain(name, tensor) for name, tensor in shard.tensors.items()}
    facts = _text(shard.facts)
    header = {"format": FORMAT, "digest": digest, "checksum": _checksum(facts, tensors), "facts": facts}
    data = save(tensors, metadata={"critpath": json.dumps(header, sort_keys=True)})
    if _header_size(data) > HEADER_LIMIT:
        raise OptionError(f"the facts of a shard take {len(facts)} bytes, the limit is {HEADER_LIMIT} for a header")
    return data


def read_shard(path: str | os.PathLike[str], digest: str | None = None) -> Shard:
    """Read a shard; with ``digest`` refuse the result of another task.

    Nothing in the file is executed, and a link is not followed. Raises StorageError where the file is not
    there, is damaged, or is another's.
    """
    return _shard(os.fspath(path), _content(path), digest)


def _shard(path: str, data: bytes, digest: str | None) -> Shard:
    try:
        header = _header(path, data)
        _check(path, header, digest)
        tensors = load(data)
        facts = json.loads(header["facts"])
        damaged = header["checksum"] != _checksum(header["facts"], tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise StorageError(f"{path} is damaged: it is no shard of critpath ({type(error).__name__})") from error
    if damaged or not isinstance(facts, dict):
        raise StorageError(f"{path} is damaged: its content differs from its checksum")
    return Shard(tensors, facts)


def _content(path: str | os.PathLike[str]) -> bytes:
    """All of a regular file; neither a link nor a pipe or device is opened."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with open(number, "rb") as stream:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise StorageError(f"cannot read {os.fspath(path)}: it is not a regular file")
            return _capped(path, stream.read(8)) + stream.read()
    except OSError as error:
        reason = "it is a link" if Path(path).is_symlink() else error.strerror or error
        raise StorageError(f"cannot read {os.fspath(path)}: {reason}") from error


def _capped(path: str | os.PathLike[str], start: bytes) -> bytes:
    if len(start) < 8 or not 0 < _header_size(start) <= HEADER_LIMIT:
        raise StorageError(f"{os.fspath(path)} is damaged: it is no shard of critpath (its header's length)")
    return start


def _header_size(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


def _header(path: str, data: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(json.loads(data[8 : 8 + _header_size(data)])["__metadata__"]["critpath"])
    if header["format"] != FORMAT:
        raise StorageError(f"{path} has format version {header['format']}, this critpath reads version {FORMAT}")
    return header


def _check(path: str, header: Mapping[str, Any], digest: str | None) -> None:
    if digest is not None and header["digest"] != digest:
        raise StorageError(f"{path} is the result of another task: its digest is {header['digest']!r}, not {digest!r}")


def _text(facts: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(facts), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(f"the facts of a shard cannot be written as JSON: {error}") from None


def _plain(name: str, tensor: Tensor) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise OptionError(f"a shard holds tensors, {name!r} is a {type(tensor).__name__}")
    return tensor.detach().to_dense().cpu().clone(memory_format=torch.contiguous_format)


def _checksum(facts: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 over the facts' text and, by name, each tensor's name, type, shape and bytes."""
    total = sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name!r} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
