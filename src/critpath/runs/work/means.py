"""What "mean" is where pixels are removed: of the inputs that a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from critpath.errors import InputError
from critpath.runs.plan import Evaluation
from critpath.runs.work.bench import Bench

AT_ONCE = 32
"""Images that are read at a time."""


def with_mean(bench: Bench, evaluation: Evaluation, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a metric; where their ``mean`` is None it is that of the data, one value a channel.

    0 where the inputs are pictures that were normalised by their mean; else the mean of every channel over all images
    that can be read, of the training part if the evaluation has one.
    """
    if options["mean"] is not None:
        return dict(options)
    return {**options, "mean": _means(bench, evaluation.model, evaluation.train or evaluation.data)}


def _means(bench: Bench, model: str, data: str) -> list[float]:
    kept = bench.kept.setdefault("mean", {})
    if (model, data) not in kept:
        kept[model, data] = data_means(bench, model, data)
    found: list[float] = kept[model, data]
    return found


def data_means(bench: Bench, model: str, data: str) -> list[float]:
    """The means, summed image by image in float64 and in order: the same whoever does it."""
    source, preprocess = bench.data(data), bench.model(model).preprocess
    pictures = preprocess is not None and any(preprocess.mean)
    total, images = torch.zeros((), dtype=torch.float64), 0
    for start in range(0, len(source), AT_ONCE):
        rows = range(start, min(start + AT_ONCE, len(source)))
        x, unread = source.inputs(rows, preprocess)
        readable = [row for row, number in enumerate(rows) if number not in unread]
        if pictures and readable and not isinstance(source.read(rows[readable[0]]), Tensor):
            return [0.0]
        for row in readable:
            total = total + x[row].double().mean(dim=(1, 2))
        images += len(readable)
    if not images:
        raise InputError(f"no image of {data} could be read, so it has no mean")
    return [float(value) for value in total / images]
