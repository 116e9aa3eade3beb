"""How many samples, or points on a line, may run at once within a memory limit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from critpath.errors import OptionError
from critpath.network import ModelInput, Network

UNITS = {"b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
"""Units of a memory limit, in bytes."""

AT_ONCE = {"cpu": 8, "cuda": 64}
"""Rows in one forward pass beyond which nothing gets faster."""


_LIMIT: ContextVar[str | int | None] = ContextVar("critpath_memory", default=None)


@contextmanager
def limited_to(memory: str | int | None) -> Iterator[None]:
    """Within it this is the limit wherever none is given: what runs at once, on which the last bits of a sum depend,
    then does not depend on what else the machine does. Raises OptionError for what is no limit."""
    if memory is not None:
        limit_of(memory, torch.device("cpu"))
    before = _LIMIT.set(memory)
    try:
        yield
    finally:
        _LIMIT.reset(before)


def limit_of(memory: str | int | None, device: torch.device) -> int:
    """Bytes that may be used: ``"4GiB"``, ``"500 MB"``, a number of bytes, or for None those of ``limited_to``, if
    any, and else half of what is free.

    Raises OptionError for anything else.
    """
    memory = _LIMIT.get() if memory is None else memory
    if memory is None:
        return _free(device) // 2
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]+)\s*", memory) if isinstance(memory, str) else None
    if match is None or match[2].lower() not in UNITS or float(match[1]) <= 0:
        raise OptionError(f"memory is {memory!r}; it is a number of bytes, or text like '4GiB' or '500 MB'")
    return int(float(match[1]) * UNITS[match[2].lower()])


def rows_at_once(net: Network, x: ModelInput, memory: str | int | None, fixed: int = 0, extra: int = 0) -> int:
    """How many samples may go through the network, forward and backward, at once.

    ``fixed`` bytes are needed whatever the number, ``extra`` for each sample beside the passes themselves. Passes
    take a quarter of the limit if they can, so that there is room for what is worth keeping.
    Raises OptionError where the limit is below what one sample needs.
    """
    device, memory = net.device(x), _LIMIT.get() if memory is None else memory
    limit, one = limit_of(memory, device), net.footprint(x) + extra
    if limit < fixed + one:
        allowed = "half of what is free" if memory is None else f"memory={memory!r}"
        raise OptionError(
            f"{allowed} is {_in_words(limit)}, but one sample needs about {_in_words(fixed + one)} "
            f"({_in_words(one)} for its forward and backward pass, {_in_words(fixed)} for results): raise the limit, "
            "give fewer samples at once, or look at fewer sites (Network(model, only=[...]))"
        )
    return max(1, min((limit - fixed) // (4 * one), AT_ONCE.get(device.type, 16)))


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    available: Callable[[str], int] = os.sysconf
    try:
        return available("SC_AVPHYS_PAGES") * available("SC_PAGE_SIZE")
    except (ValueError, OSError):  # a system that does not tell
        return 8 * 2**30


def _in_words(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size >= 2**20 else f"{size / 2**10:,.1f} KiB"
