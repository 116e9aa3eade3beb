"""Batches of data with their scores, kept for several passes: in memory up to a limit, then in files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from critpath.errors import StorageError
from critpath.files import write_whole
from critpath.memory import limit_of
from critpath.network import ModelInput, map_tensors, tensors_of
from critpath.neurons import NeuronSpace, NeuronValues
from critpath.targets import Target


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs, their settled target, what the unmodified network gives [batch], and the scores of its neurons."""

    x: ModelInput
    target: Target
    before: Tensor
    scores: NeuronValues

    @property
    def size(self) -> int:
        """Bytes of inputs and scores."""
        return sum(t.numel() * t.element_size() for t in (*tensors_of(self.x), *self.scores.tensors))


Kept = Callable[[], Batch]
"""Gives the batch back, from where it lies."""


def keep(batches: Iterable[Batch], folder: Path, memory: str | int | None) -> list[Kept]:
    """Each batch where it is while all take at most half of the limit ``memory``, the others in ``folder``.

    Raises StorageError where a file cannot be written; so does what reads it back.
    """
    kept: list[Kept] = []
    room = float("inf")
    for number, batch in enumerate(batches):
        if number == 0:
            room = limit_of(memory, batch.before.device) // 2
        fits = batch.size <= room
        room -= batch.size if fits else 0
        kept.append(partial(_itself, batch) if fits else _filed(batch, folder / f"{number:08}.safetensors"))
    return kept


def _itself(batch: Batch) -> Batch:
    return batch


def _filed(batch: Batch, path: Path) -> Kept:
    tensors = [*tensors_of(batch.x), *batch.scores.tensors]
    write_whole(path, save({str(i): t.detach().to("cpu", copy=True).contiguous() for i, t in enumerate(tensors)}))
    form = map_tensors(batch.x, _stub)
    stubs = tuple(_stub(t) for t in batch.scores.tensors)
    return partial(_read, path, form, batch.target, batch.before, batch.scores.space, stubs)


def _stub(tensor: Tensor) -> Tensor:
    """Where a tensor was, without its values."""
    return tensor.new_empty(0)


def _read(
    path: Path, form: ModelInput, target: Target, before: Tensor, space: NeuronSpace, stubs: tuple[Tensor, ...]
) -> Batch:
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot read {path}, which was kept for later: {error}") from error
    waiting = (found[str(i)] for i in range(len(found)))
    x = map_tensors(form, lambda stub: next(waiting).to(stub.device))
    return Batch(x, target, before, NeuronValues(space, tuple(next(waiting).to(stub.device) for stub in stubs)))
