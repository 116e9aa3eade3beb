"""How much may be pruned: the sparsity at which the output changes by a given share, over validation data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf, isnan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from critpath.contributions import CONTRIBUTIONS, check_options, neuron_scores
from critpath.errors import InputError, NumericalError, OptionError, StorageError
from critpath.intervals import bootstrap_interval
from critpath.network import ModelInput, Network, Run, gradients_on, map_tensors
from critpath.neurons import NeuronValues
from critpath.options import check_number
from critpath.pathway import Pathway, SearchWarning
from critpath.registry import check_known
from critpath.response import keeping, respond
from critpath.selection.connected import select_connected
from critpath.selection.kept_batches import Batch, Kept, keep
from critpath.selection.ranking import check_scope, check_sparsity, select
from critpath.targets import Logit, Probability, Target, TargetLike, class_scores


@dataclass(frozen=True)
class Change:
    """The mean relative change of the output over the images at one ``sparsity``, with its 95 % bootstrap interval.

    ``realised`` is the mean realised sparsity, larger where fewer neurons have a score other than 0. ``low`` and
    ``high`` are NaN where there is one image.
    """

    sparsity: float
    realised: float
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        interval = "" if isnan(self.low) else f"  (95 % interval {self.low:.4f} to {self.high:.4f})"
        return f"{self.sparsity:8.4f}  {self.realised:8.4f}  {self.mean:.4f}{interval}"


@dataclass(frozen=True)
class Budget:
    """How much of a network may be pruned before its output changes by ``share``.

    ``sparsity`` is the largest found at which the mean relative change, ``change``, is at most ``share``; ``met`` is
    False where ``share`` is not reached up to the highest sparsity allowed, which then stands here. ``curve`` holds
    every sparsity that was tried, ascending. ``note`` is what a reader must know beside; it may be empty.
    """

    sparsity: float
    change: float
    share: float
    met: bool
    images: int
    curve: tuple[Change, ...]
    note: str = ""

    def __str__(self) -> str:
        head = (
            f"sparsity {self.sparsity:.4f}: the output changes by {self.change:.4f} ({self.share:g} allowed), the mean"
        )
        counted = f" over {self.images} image" + "s" * (self.images != 1) + (f" ({self.note})" if self.note else "")
        return "\n".join(
            [head + counted, f"{'sparsity':>8}  {'realised':>8}  change", *(str(point) for point in self.curve)]
        )


@gradients_on()
def find_budget(
    net: Network,
    batches: Iterable[ModelInput],
    share: float = 0.15,
    method: str = "taylor",
    target: TargetLike = None,
    *,
    scope: str = "network",
    connected: bool = False,
    elsewhere: NeuronValues | None = None,
    highest: float = 0.999,
    within: float = 0.005,
    memory: str | int | None = None,
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Budget:
    """The largest sparsity at which the output changes by at most ``share`` on average over validation data.

    The change of an image is |p_m[c] - p[c]| / p[c]: p its class probabilities, p_m those of the network when only
    its pathway acts, c the predicted class, or that of ``target``. Where the target has no probability (a neuron, a
    margin, a function, a model of one class) it is |Φ_m - Φ| / |Φ|. By bisection: if the change does not grow
    steadily with the sparsity, a sparsity at which it crosses ``share``. PruneGrad paper, section 4.1 (15 %).

    Parameters
    ----------
    batches
        Inputs, each a batch; gone through once. Inputs and scores are kept, as every step needs them again.
    share
        Mean relative change allowed, above 0.
    method, scope, connected, options
        How pathways are found: a contribution, and as in ``find_pathway``.
    elsewhere
        What neurons off the pathway are set to: zero, or NeuronValues of one sample (``mean_activations``).
    highest, within
        No sparsity above ``highest`` is tried, and the crossing is found to ``within``.
    memory, cache
        What is kept takes at most half of the limit ``memory`` (half of what is free, by default); the rest goes to
        files in a new folder within ``cache`` (by default the system's for temporary files), removed at the end.
    seed
        For the intervals, and for scores that are drawn.
    progress
        Called with a few words after each batch scored, and each sparsity tried.

    Each sparsity tried costs one forward pass over the data, about log2(1 / within) of them. Raises OptionError
    (also where no sparsity changes so little), InputError where there is no data, NumericalError, StorageError.
    """
    options = {**_shared(method, memory, seed), **options}
    _check(batches, method, scope, options)
    _check_numbers(share, highest, within)
    tell = progress or (lambda words: None)
    with _folder(cache) as folder:
        kept = keep(_first_looks(net, batches, target, method, options, tell), Path(folder), memory)
        if not kept:
            raise InputError("there is no data to find a budget on: the iterable of batches is empty")
        changes = partial(_changes, net, kept, partial(_pathway, net, scope, connected), elsewhere)
        tried, found = _bisect(changes, share, highest, within, tell)
    return _budget(tried, found, share, seed)


def _first_looks(
    net: Network,
    batches: Iterable[ModelInput],
    target: TargetLike,
    method: str,
    options: Mapping[str, Any],
    tell: Callable[[str], None],
) -> Iterator[Batch]:
    images = 0
    for x in batches:
        response = respond(net, map_tensors(x, lambda t: t.detach().clone()), target)  # a loader may use x again
        before = _output(response.target, response.run).detach()
        if (before == 0).any():
            raise NumericalError(
                f"the output of image {images + int((before == 0).nonzero()[0])} is 0, so that its relative change "
                "means nothing: give another target"
            )
        scores = neuron_scores(response, method, **options)
        images += response.run.batch
        tell(f"{images} images scored")
        yield Batch(response.x, response.target, before, NeuronValues(scores.space, scores.tensors))


def _output(target: Target, run: Run) -> Tensor:
    """The class's probability, or the response where the target has none: float64 [batch]."""
    of_class = isinstance(target, Logit | Probability) and class_scores(run).shape[1] > 1
    measured = Probability(target.classes) if of_class else target  # type: ignore[attr-defined]
    return measured.of(run).double()


def _pathway(net: Network, scope: str, connected: bool, batch: Batch, sparsity: float) -> Pathway:
    if not connected:
        return select(batch.scores, sparsity, scope)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)  # too small a pathway shows in the change
        return select_connected(respond(net, batch.x, batch.target), batch.scores, sparsity, scope)


def _changes(
    net: Network,
    kept: list[Kept],
    pathway_of: Callable[[Batch, float], Pathway],
    elsewhere: NeuronValues | None,
    sparsity: float,
) -> Tensor:
    """|p_m - p| / p of every image, and the realised sparsity of its pathway: [2, images], on the CPU."""
    parts = ((batch, pathway_of(batch, sparsity)) for batch in (give() for give in kept))
    found = [torch.stack([_change(net, batch, path, elsewhere), path.sparsity.cpu()]) for batch, path in parts]
    return torch.cat(found, dim=1)


def _change(net: Network, batch: Batch, pathway: Pathway, elsewhere: NeuronValues | None) -> Tensor:
    after = _output(batch.target, net.run(batch.x, keeping(pathway, elsewhere), graph=False)).detach()
    change = ((after - batch.before).abs() / batch.before.abs()).cpu()
    if not torch.isfinite(change).all():
        raise NumericalError(f"the relative changes of the pruned network are not finite: {change.tolist()[:8]}")
    return change


Tried = dict[float, Tensor]
"""At every sparsity tried, the change of each image and its realised sparsity: [2, images]."""


def _bisect(
    changes: Callable[[float], Tensor], share: float, highest: float, within: float, tell: Callable[[str], None]
) -> tuple[Tried, float]:
    tried: Tried = {}

    def fits(sparsity: float) -> bool:
        tried[sparsity] = changes(sparsity)
        tell(f"sparsity {sparsity:.4f}: the output changes by {float(tried[sparsity][0].mean()):.4f}")
        return float(tried[sparsity][0].mean()) <= share

    if not fits(0.0):
        change, realised = tried[0.0].mean(dim=1).tolist()
        raise OptionError(
            f"no sparsity meets a share of {share:g}: leaving out only the neurons of score 0, {realised:.4f} of all, "
            f"already changes the output by {change:.4f}. Allow more, set neurons to other values (elsewhere=), or "
            "rank by a method that gives all active neurons a score (method='activation')"
        )
    if fits(highest):
        return tried, highest
    low, high = 0.0, highest
    while high - low > within and low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if fits(middle) else (low, middle)
    return tried, low


def _budget(tried: Tried, found: float, share: float, seed: int) -> Budget:
    curve = tuple(_point(sparsity, tried[sparsity], seed) for sparsity in sorted(tried))
    means = [point.mean for point in curve]
    images, met = tried[found].shape[1], found < curve[-1].sparsity
    notes = [
        *([] if met else [f"the share is not reached up to sparsity {found:g}, the highest that was allowed"]),
        *(["one image: there is no interval"] if images == 1 else []),
        *(["the change does not grow steadily with the sparsity"] if means != sorted(means) else []),
    ]
    return Budget(found, float(tried[found][0].mean()), share, met, images, curve, "; ".join(notes))


def _point(sparsity: float, seen: Tensor, seed: int) -> Change:
    """The same resamples at every sparsity, so that the curve's intervals go together."""
    mean, realised = seen.mean(dim=1).tolist()
    low, high = (float(end) for end in bootstrap_interval(seen[0], seed=seed))
    return Change(sparsity, realised, mean, low, high)


def _shared(method: str, memory: str | int | None, seed: int) -> dict[str, Any]:
    """Options that scores take, too."""
    check_known("contribution", method, CONTRIBUTIONS.names())
    given = {"seed": seed} if memory is None else {"seed": seed, "memory": memory}
    return {name: value for name, value in given.items() if name in CONTRIBUTIONS[method].options()}


def _check(batches: object, method: str, scope: str, options: dict[str, Any]) -> None:
    check_scope(scope)
    check_options(method, options)
    if isinstance(batches, Tensor | Mapping) or not isinstance(batches, Iterable):
        raise InputError(
            f"batches is {type(batches).__name__}; it is an iterable of inputs, each a batch: [x] for one input"
        )


def _check_numbers(share: float, highest: float, within: float) -> None:
    check_number("share", share, 0, inf, above=True)
    check_number("within", within, 0, 1, above=True)
    check_number("highest", highest, 0, 1, above=True)
    check_sparsity(highest)


def _folder(cache: str | os.PathLike[str] | None) -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory(prefix="critpath-", dir=cache)
    except OSError as error:
        raise StorageError(
            f"cannot make a folder for what is kept in {cache or 'the temporary folder'}: {error}"
        ) from error
