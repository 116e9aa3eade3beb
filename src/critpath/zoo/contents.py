"""Digests of what pictures and weights hold, so that a change of them is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL import Image

WHOLE = 2 * 2**30
"""Bytes that files may have together to go into a digest whole; of more, each goes in by its size and its ends."""

END = 64 * 2**10
"""Bytes of an end."""


def model_digest(model: nn.Module) -> str:
    """sha256 of every parameter and buffer: its name, type, shape and bytes; the same on every device."""
    tensors = {**dict(model.named_buffers()), **model.state_dict()}
    digest = hashlib.sha256()
    for name in sorted(tensors):
        if isinstance(tensors[name], Tensor):  # a module may keep other things in its state
            _add(digest, name.encode())
            _add_tensor(digest, tensors[name])
    return digest.hexdigest()


def contents_digest(items: Iterable[Callable[[], Path | bytes | Tensor | Image.Image]], whole: int = WHOLE) -> str:
    """sha256 of what images are made from, in this order; of files their bytes, or, beyond ``whole`` bytes of files
    in all, their sizes and ends. What cannot be read counts as unreadable."""
    digest, made = hashlib.sha256(), list(items)
    cap = None if _size(made, whole) <= whole else END
    for make in made:
        _add_item(digest, make, cap)
    return digest.hexdigest()


def _size(items: Iterable[Callable[[], Any]], limit: int) -> int:
    """Bytes of the files together, counted up to the limit."""
    total = 0
    for make in items:
        found = _made(make) if total <= limit else None
        if isinstance(found, Path):
            total += _length(found)
        elif found is not None:  # these are held in memory, and making each twice may be slow
            break
    return total


def _length(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _made(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except MemoryError:
        raise
    except Exception:  # a decoder raises anything on damaged data
        return None


def _add_item(digest: Any, make: Callable[[], Any], cap: int | None) -> None:
    match _made(make):
        case Path() as file:
            _add(digest, _read(file, cap))
        case bytes() as data:
            _add(digest, data)
        case Tensor() as tensor:
            _add_tensor(digest, tensor)
        case None:
            _add(digest, b"unreadable")
        case picture:
            _add(digest, f"{picture.mode} {picture.size}".encode())
            _add(digest, picture.tobytes())


def _read(file: Path, cap: int | None) -> bytes:
    """A file's sha256 and size, or sha256 of its ends where there is a cap."""
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            if cap is None or size <= 2 * cap:
                return hashlib.file_digest(stream, "sha256").digest() + str(size).encode()
            head = stream.read(cap)
            stream.seek(-cap, 2)
            return hashlib.sha256(head + stream.read()).digest() + str(size).encode()
    except OSError:
        return b"unreadable"


def _add(digest: Any, data: bytes) -> None:
    """Data after their length, so that no two rows of data look alike."""
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)


def _add_tensor(digest: Any, tensor: Tensor) -> None:
    plain = tensor.detach().cpu().to_dense()
    plain = (plain.int_repr() if plain.is_quantized else plain).contiguous()
    _add(digest, f"{tensor.dtype} {list(tensor.shape)}".encode())
    digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
