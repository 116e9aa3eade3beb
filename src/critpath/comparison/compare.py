"""``compare_pathways``: several finders on the same inputs, and the page that shows what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from critpath.analysis import FinderComparison, compare_finders
from critpath.baselines import mean_activations
from critpath.comparison import assemble, facts
from critpath.comparison.pictures import decoded_image
from critpath.comparison.plan import Plan, Progress, plan_of
from critpath.comparison.watch import SHOWN, Watched
from critpath.errors import CritpathError, InputError, OptionError
from critpath.network import ModelInput, Network, sample_of
from critpath.neurons import NeuronValues
from critpath.report import ComparisonContent, DecodedImage, embed, render_comparison, save_comparison
from critpath.report.content import Picture
from critpath.report.data import script_json
from critpath.response import respond
from critpath.selection import connected_part, find_in_response
from critpath.targets import TargetLike

FINDERS = ("taylor", "intgrad", "greedy", "dgr")
"""Finders that are compared by default, beside the controls."""


@dataclass(frozen=True, eq=False)
class PathwayComparison:
    """What was found by comparing finders. ``comparison`` has every number of every image, ``content`` is what the
    page shows. In a notebook the page shows itself."""

    comparison: FinderComparison
    content: ComparisonContent

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, one self-contained HTML file. Raises StorageError, leaving nothing half-written."""
        return save_comparison(self.content, path)

    def to_json(self) -> str:
        """The page's numbers, without pictures, as JSON text."""
        return script_json(self.content)

    def _repr_html_(self) -> str:
        return embed(render_comparison(self.content))

    def __str__(self) -> str:
        return str(self.comparison)


def compare_pathways(
    net: Network,
    batches: Tensor | Iterable[ModelInput],
    finders: Sequence[str] | Mapping[str, str] = FINDERS,
    sparsity: float = 0.9,
    target: TargetLike = None,
    *,
    sparsities: Iterable[float] | float = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    ablations: Sequence[str] = ("zero",),
    sizes: Sequence[float] | None = None,
    connected: bool = True,
    decode: int = 0,
    decode_steps: int = 256,
    normalise: Any = None,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    titles: Sequence[str] = (),
    pictures: Sequence[Picture] = (),
    title: str = "Critical pathways compared",
    model: str = "",
    notes: Sequence[tuple[str, str]] = (),
    warnings: Sequence[str] = (),
    progress: Progress | None = None,
) -> PathwayComparison:
    """Pathways of several finders on the same inputs, beside random neurons and the largest activations.

    Parameters
    ----------
    batches
        Inputs as the network takes them: batches, of which one is in memory at a time; or one tensor.
    finders
        Names, or a mapping of labels of your own to names, so that one finder can be there with several options.
    target
        As in ``score``; by default each input's predicted class.
    sparsity, sparsities
        The sparsity that the page is about, and others that it lists too (for nesting).
    options
        For each finder, by its name, a mapping of its options.
    ablations, sizes
        Of the faithfulness curves, see ``faithfulness``; ``"mean"`` goes through ``batches`` twice. The sizes of
        the pathways are added.
    connected
        Also find which share of each pathway is connected. Needs forward-mode derivatives of the model.
    decode, decode_steps, normalise
        For how many inputs to decode pictures, in how many steps, and how pictures become inputs; see ``decode``.
    titles, pictures, classes, title, model, notes, warnings
        For the page: names and pictures (RGB [H, W, 3] in 0..255) of the first inputs, names of the classes, a
        heading, the model's name, rows for the provenance table, and what to warn of.
    progress
        Told how many steps are done (see ``step_count``) and what is done next.

    Raises OptionError, InputError, and what the finders raise.
    """
    start = time.perf_counter()
    plan = check_pathways(finders, sparsity, sparsities, options=options, sizes=sizes, seed=seed)
    _check(batches, ablations, decode, decode_steps)
    given, can = _connectable(net, [batches] if isinstance(batches, Tensor) else batches, target, connected)
    watched = Watched(net, target, classes, titles, pictures, decode)
    steps = _Steps(progress)
    found = compare_finders(
        net,
        watched.passing(given),
        plan.finders,
        plan.sparsities,
        target,
        options=plan.options,
        ablations=ablations,
        sizes=plan.sizes,
        means=_means(net, batches) if "mean" in ablations else None,
        connected=connected and not can,
        seed=seed,
        progress=lambda done, label: steps.tell(f"{label}, from image {done + 1} on"),
    )
    decoded = [
        decoded_image(net, x, target, plan, shown.title, shown.target, decode_steps, normalise, steps.tell)
        for x, shown in zip(watched.kept, watched.shown, strict=False)
    ]
    said = _Words(title, model or type(net.model).__name__, tuple(ablations), tuple(notes), (*warnings, *can))
    return PathwayComparison(found, _content(net, found, plan, watched, decoded, said, time.perf_counter() - start))


def check_pathways(
    finders: Sequence[str] | Mapping[str, str],
    sparsity: float = 0.9,
    sparsities: Iterable[float] | float = (),
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    sizes: Sequence[float] | None = None,
    seed: int = 0,
) -> Plan:
    """What will be compared. Raises OptionError for what ``compare_pathways`` would refuse; needs no model."""
    if not 0 <= seed < 2**63:
        raise OptionError(f"the seed is {seed}; it is an integer from 0 to 2**63 - 1")
    return plan_of(finders, sparsity, sparsities, options, sizes, seed)


def step_count(plan: Plan, batches: int, decode: int) -> int:
    """How many steps there are: a finder on a batch is one, and so is a decoded picture."""
    return batches * len(plan.finders) + decode * (len(plan.finders) + 2)


@dataclass(frozen=True)
class _Words:
    title: str
    model: str
    ablations: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


@dataclass
class _Steps:
    """Counts what is told."""

    progress: Progress | None
    done: int = 0

    def tell(self, words: str) -> None:
        if self.progress is not None:
            self.progress(self.done, words)
        self.done += 1


def _check(batches: object, ablations: Sequence[str], decode: int, decode_steps: int) -> None:
    if decode < 0 or decode_steps < 1:
        raise OptionError(f"decode is {decode} and decode_steps is {decode_steps}; at least 0 and 1")
    if "mean" in ablations and isinstance(batches, Iterator):
        raise OptionError("the ablation 'mean' goes through the batches twice; give a list of them, not a generator")


def _means(net: Network, batches: Tensor | Iterable[ModelInput]) -> NeuronValues:
    return mean_activations(net, [batches] if isinstance(batches, Tensor) else batches)


def _connectable(
    net: Network, batches: Iterable[ModelInput], target: TargetLike, wanted: bool
) -> tuple[Iterable[ModelInput], tuple[str, ...]]:
    """The same batches, and what to warn of where connectedness cannot be found for this model."""
    passing = iter(batches)
    first = next(passing, None)
    if first is None:
        raise InputError("there is nothing to compare finders on: there are no images")
    again = chain([first], passing)
    if not wanted:
        return again, ()
    response = respond(net, sample_of(first, 0), target)
    try:
        connected_part(response, find_in_response(response, "active", 0.5))
    except CritpathError as error:
        return again, (f"Which neurons are connected could not be found for this model: {error}",)
    return again, ()


def _content(
    net: Network,
    found: FinderComparison,
    plan: Plan,
    watched: Watched,
    decoded: Sequence[DecodedImage],
    said: _Words,
    seconds: float,
) -> ComparisonContent:
    main = plan.sparsities.index(plan.sparsity)
    titles = [one.title for one in watched.shown]
    return ComparisonContent(
        title=said.title,
        model=said.model,
        target=_target_words(watched.target, [one.target for one in watched.shown]),
        images=found.images,
        photographs=tuple(watched.shown[:SHOWN]),
        finders=assemble.finders_of(found, plan, watched.unit),
        base_dead=assemble.estimate(found.base_dead),
        levels=assemble.levels_of(found, titles),
        main_level=main,
        overlap=assemble.overlap_of(found.at[main]),
        sites=found.space.names,
        site_overlap=assemble.site_overlap_of(found, found.at[main]),
        curves=assemble.curves_of(found, said.ablations),
        decoded=tuple(decoded),
        caveats=facts.caveats(found, plan, said.ablations, bool(decoded)),
        provenance=facts.provenance(net, found, plan, seconds, said.notes),
        warnings=said.warnings,
    )


def _target_words(target: TargetLike, names: Sequence[str]) -> str:
    if len(set(names)) == 1:
        return names[0]
    return "the predicted class of each image" if target is None else "of each image its own target, named below"
