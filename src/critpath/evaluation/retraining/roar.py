"""Remove and retrain (ROAR), keep and retrain (KAR): Hooker et al. 2019, as the pathway papers run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from critpath.errors import OptionError
from critpath.evaluation.fills import Fill
from critpath.evaluation.retraining.curve import RoarCurve, check_shares
from critpath.evaluation.retraining.degrade import Maps, channel_means, degraded, random_maps
from critpath.evaluation.retraining.recipe import Recipe, Train
from critpath.evaluation.retraining.split import Split, accuracy_of, checked_splits
from critpath.evaluation.values import Model
from critpath.options import check_count, check_flag, check_number, check_several, shown

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""As published."""

RANDOM = "random"

Job: TypeAlias = tuple[str, float, int]
"""A method's name (empty for the unmodified images), a share, a seed."""


@dataclass(frozen=True)
class Retraining:
    """One network, trained from nothing on degraded images and tested on degraded ones; accuracies are in [0, 1].

    ``share`` 0 is no removal; ``epochs``, after how many the network was kept, where the recipe tells.
    """

    accuracy: float
    validation_accuracy: float
    epochs: int | None
    share: float
    seed: int
    keep: bool = False


def retrained_accuracy(
    train: Split,
    validation: Split,
    test: Split,
    maps: Maps | None,
    share: float,
    seed: int,
    recipe: Recipe | Train,
    *,
    keep: bool = False,
    mean: Fill | None = None,
    unit: str = "pixel",
    fill: Fill = "mean",
    reduce: str = "max_abs",
    ties: str = "stable",
) -> Retraining:
    """ONE retraining: degrade all three parts by their maps, train from nothing, test.

    Parameters
    ----------
    maps
        Of the training, validation and test images, as the originally trained model gave them for its predicted
        class (``maps_of``). None trains on the unmodified images, whatever the share.
    share
        Of each image's units removed, the most relevant first; with ``keep``, kept (KAR).
    recipe
        A ``Recipe``, or any function (train, validation, seed) -> model in evaluation mode.
    mean
        What stands where pixels were, for ``fill="mean"``: one value or one a channel, in the inputs' units. None is
        the mean of the training images before removal, as published.
    unit, fill, reduce, ties
        As for ``remove``; ties and noise, where they are random, are drawn from ``seed`` too.

    The result depends on nothing but the arguments. Raises OptionError, InputError, MismatchError, NumericalError.
    """
    check_number("share", share, 0, 1)
    check_count("seed", seed, 0)
    check_flag("keep", keep)
    parts = checked_splits(training=train, validation=validation, test=test)
    if maps is not None:
        means = channel_means(parts[0].x) if mean is None else mean
        options: dict[str, Any] = {"mean": means, "unit": unit, "fill": fill, "reduce": reduce, "ties": ties}
        parts = tuple(degraded(part, m, share, keep, seed=seed, **options) for part, m in zip(parts, maps, strict=True))
    found = _trained(recipe, parts[0], parts[1], seed)
    return Retraining(accuracy_of(found[0], parts[2]), *found[1:], share if maps is not None else 0.0, seed, keep)


def _trained(recipe: Recipe | Train, train: Split, validation: Split, seed: int) -> tuple[Model, float, int | None]:
    """The model, its validation accuracy, and after how many epochs it was kept."""
    if isinstance(recipe, Recipe):
        fitted = recipe.fit(train, validation, seed)
        return fitted.model, fitted.validation_accuracy, fitted.epochs
    model = recipe(train, validation, seed)
    return model, accuracy_of(model, validation), None


def roar(
    train: Split,
    validation: Split,
    test: Split,
    maps: Mapping[str, Maps],
    recipe: Recipe | Train,
    *,
    shares: Sequence[float] = SHARES,
    seeds: Sequence[int] = (0, 1, 2),
    keep: bool = False,
    random: bool = False,
    watch: Callable[[str, Retraining], None] | None = None,
    **removal: Any,
) -> dict[str, RoarCurve]:
    """Accuracy after retraining, for every method by its maps; a faithful method's falls fast (KAR: stays).

    (methods x shares + 1) x seeds trainings: the networks of the unmodified images serve all methods. ``random`` adds
    a row of random maps, drawn anew for every seed: a method above it (KAR: below it) removes less than chance, and
    how far retraining recovers there is what the data allow. ``watch`` is told of every training, by the method's
    name (empty for the unmodified images).

    Whether a curve that stays high means irrelevant pixels, or that the shape of what was removed gives the class
    away, ROAR cannot tell. Parameters (``removal``: from ``mean`` to ``ties``) and errors: see ``retrained_accuracy``.
    """
    check_shares(shares)
    _check_jobs(maps, seeds, random)
    splits = (train, validation, test)
    methods = (*maps, *([RANDOM] if random else []))
    done: dict[Job, float] = {}
    for name, share, seed in _jobs(methods, shares, seeds):
        given = None if not name else _random(splits, seed) if name not in maps else maps[name]
        found = retrained_accuracy(*splits, given, share, seed, recipe, keep=keep, **removal)
        done[name, share, seed] = found.accuracy
        if watch is not None:
            watch(name, found)
    return curves_of(done, keep)


def curves_of(accuracies: Mapping[Job, float], keep: bool = False) -> dict[str, RoarCurve]:
    """Curves by method, from the accuracies of single trainings; those of the unmodified images are under ``""``.

    In whatever order they were made; seeds and shares are sorted. Raises OptionError where one is missing.
    """
    names = list(dict.fromkeys(name for name, _, _ in accuracies if name))
    return {name: _curve(accuracies, name, keep) for name in names}


def _check_jobs(maps: Mapping[str, Maps], seeds: Sequence[int], random: bool) -> None:
    check_several("seeds", seeds)
    if len(set(seeds)) < len(seeds):
        raise OptionError(f"seeds are {shown(seeds)}; a training by the same seed is the same training")
    if not maps and not random:
        raise OptionError("there are no maps to retrain by: give maps={'name': (train, validation, test)}")
    if taken := {"", *([RANDOM] if random else [])} & set(maps):
        raise OptionError(f"a method is called {taken.pop()!r}, which is kept for another row; give it another name")


def _jobs(methods: Iterable[str], shares: Sequence[float], seeds: Sequence[int]) -> list[Job]:
    return [job for seed in seeds for job in (("", 0.0, seed), *((m, s, seed) for m in methods for s in shares))]


def _random(splits: tuple[Split, ...], seed: int) -> Maps:
    train, validation, test = (random_maps(split.x, seed) for split in splits)
    return train, validation, test


def _curve(accuracies: Mapping[Job, float], name: str, keep: bool) -> RoarCurve:
    shares = tuple(sorted({share for method, share, _ in accuracies if method == name}))
    seeds = tuple(sorted({seed for method, _, seed in accuracies if method == name}))
    wanted = [("", 0.0, seed) for seed in seeds] + [(name, share, seed) for seed in seeds for share in shares]
    if missing := [job for job in wanted if job not in accuracies]:
        raise OptionError(f"{len(missing)} trainings of {name!r} are missing, for one (name, share, seed) {missing[0]}")
    values = torch.tensor([accuracies[job] for job in wanted], dtype=torch.float64)
    return RoarCurve(shares, seeds, values[: len(seeds)], values[len(seeds) :].view(len(seeds), len(shares)), keep)
