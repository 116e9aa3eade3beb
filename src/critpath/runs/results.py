"""The results of a run, gathered from shards in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from critpath.errors import MismatchError, StorageError
from critpath.runs.shard import Shard

IMAGES = "images"
"""The tensor with the images' numbers."""

OF_A_SHARD = ("failures", "warnings", "ids", "chunk", "first", "stop", "depends", "made")
"""Facts that differ from shard to shard of one result, or that its task's digest is for."""


@dataclass(frozen=True, order=True)
class Key:
    """Whose numbers these are. ``part`` tells retrainings of one method and seed apart, "" elsewhere."""

    evaluation: str
    metric: str
    method: str
    seed: int
    part: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """Numbers of one key: ``values`` [images, ...] ascending by image number, or without that dimension where a
    result is of no image (``images`` None).

    ``failures`` are (image number, message), ``warnings`` what critpath warned of, each once.
    """

    facts: Mapping[str, Any]
    images: Tensor | None
    values: Mapping[str, Tensor]
    failures: tuple[tuple[int, str], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Results:
    """All records by key, ascending. ``merge`` is associative and commutative, to the last bit."""

    records: Mapping[Key, Record]

    def merge(self, other: Results) -> Results:
        """Both together. Raises MismatchError where both hold the same images of a key, or facts that differ."""
        return joined((self, other))


def joined(parts: Iterable[Results]) -> Results:
    """All parts together, whatever their order and grouping. Raises MismatchError as ``Results.merge``."""
    grouped: dict[Key, list[Record]] = defaultdict(list)
    for part in parts:
        for key, record in part.records.items():
            grouped[key].append(record)
    return Results({key: _one(key, grouped[key]) for key in sorted(grouped)})


def result_of(shard: Shard, known: Mapping[str, Any] | None = None, name: str = "a shard") -> Results:
    """What one result shard holds; ``known`` are facts besides its own.

    One of several methods, [methods, ...] with their names in ``facts["methods"]``, becomes a record for each. Raises
    StorageError (with ``name``) where it is no result.
    """
    facts = {**(known or {}), **shard.facts}
    kept = {fact: value for fact, value in sorted(facts.items()) if fact not in OF_A_SHARD}
    values = {value: tensor for value, tensor in sorted(shard.tensors.items()) if value != IMAGES}
    try:
        key = Key(facts["evaluation"], facts["metric"], facts.get("method") or "", int(facts["seed"]), part_of(facts))
        failures = tuple((int(image), str(message)) for image, message in facts.get("failures", ()))
        record = Record(kept, shard.tensors.get(IMAGES), values, failures, tuple(sorted(facts.get("warnings", ()))))
        records = {key: record} if "methods" not in facts else _by_method(key, record, facts["methods"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"{name} is no result of a run: its facts are incomplete ({error!r})") from error
    return joined([Results({key: record}) for key, record in records.items()])


def part_of(facts: Mapping[str, Any]) -> str:
    """The share of a retraining as text, "" for what is no retraining."""
    return repr(float(facts["share"])).removesuffix(".0") if "share" in facts else ""


def _by_method(key: Key, record: Record, methods: Sequence[str]) -> dict[Key, Record]:
    return {
        Key(key.evaluation, key.metric, str(method), key.seed): Record(
            record.facts, None, {name: tensor[i] for name, tensor in record.values.items()}, (), record.warnings
        )
        for i, method in enumerate(methods)
    }


def _one(key: Key, records: list[Record]) -> Record:
    facts = _facts(key, records)
    warnings = tuple(sorted({warning for record in records for warning in record.warnings}))
    if records[0].images is None:
        if len(records) > 1:
            raise MismatchError(f"{_shown(key)} is there twice")
        return Record(facts, None, records[0].values, records[0].failures, warnings)
    images, order = torch.cat([record.images for record in records if record.images is not None]).sort(stable=True)
    if (images[1:] == images[:-1]).any():
        raise MismatchError(f"{_shown(key)}: image {int(images[1:][images[1:] == images[:-1]][0])} is there twice")
    names = sorted({name for record in records for name in record.values})
    values = {name: torch.cat(_rows(key, name, records))[order] for name in names}
    failures = tuple(sorted({failure for record in records for failure in record.failures}))
    return Record(facts, images, values, failures, warnings)


def _facts(key: Key, records: Sequence[Record]) -> dict[str, Any]:
    """What any of them says: what is missing in some is not known there. Raises MismatchError where they differ."""
    found: dict[str, Any] = {}
    for record in records:
        for fact, value in record.facts.items():
            if found.setdefault(fact, value) != value:
                raise MismatchError(f"{_shown(key)}: two shards differ in their {fact!r}; they are of different runs")
    return dict(sorted(found.items()))


def _rows(key: Key, name: str, records: Sequence[Record]) -> list[Tensor]:
    """A value's rows in each record; NaN where a record has none, because all of its images failed."""
    there = [record.values[name] for record in records if name in record.values]
    if len({(tensor.dtype, tensor.shape[1:]) for tensor in there}) > 1:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in there)
        raise MismatchError(f"{_shown(key)}: the shapes of {name!r} differ from shard to shard: {shapes}")
    like = there[0]
    return [
        record.values[name] if name in record.values else like.new_full((_size(record), *like.shape[1:]), torch.nan)
        for record in records
    ]


def _size(record: Record) -> int:
    return 0 if record.images is None else len(record.images)


def _shown(key: Key) -> str:
    return f"{key.evaluation}, {key.metric}, {key.method}, seed {key.seed}{f', share {key.part}' * bool(key.part)}"
