"""Table 2: how well few filters of the question classifier, chosen by their importance, tell the five types apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from critpath.evaluation import compare_selection
from critpath.evaluation.feature_selection import COUNTS
from studies.conductance_text.sources import TYPES

Cell = dict[str, list[float]]


def table(importances: Mapping[str, Tensor], labels: Tensor, share: float, splits: int, seed: int) -> dict[str, Any]:
    """Held-out accuracy of every method and of random filters, [counts], averaged over random splits.

    ``importances`` [n, 256] by method; the classifier sees the activations of the pooled filters. ``share`` of the
    questions choose the filters and train it. ``deviation`` is over the splits, ``wins`` the share of splits in which
    conductance is above a method.
    """
    everything = tuple(range(len(TYPES)))
    compared = compare_selection(
        importances, importances["activation"], labels, [everything] * splits, COUNTS, train_share=share, seed=seed
    )
    accuracy = dict(zip(compared.methods, compared.accuracy, strict=True))
    return {
        "accuracy": {name: _rounded(values.mean(dim=0)) for name, values in accuracy.items()},
        "deviation": {name: _rounded(values.std(dim=0)) for name, values in accuracy.items()},
        "wins": {
            name: _rounded((accuracy["conductance"] > values).double().mean(dim=0))
            for name, values in accuracy.items()
            if name != "conductance"
        },
    }


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), 5) for value in values]


def largest_class(labels: Sequence[int]) -> float:
    """Accuracy of always naming the most frequent type."""
    return float(torch.bincount(torch.tensor(labels)).max()) / len(labels)
