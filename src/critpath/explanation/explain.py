"""``explain``: one input, all of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from critpath.analysis import find_reach
from critpath.contributions import CONTRIBUTIONS, neuron_scores
from critpath.contributions import check_options as check_score_options
from critpath.errors import InputError, OptionError
from critpath.explanation import facts
from critpath.explanation.levels import Level, floor, level_at, site_rows
from critpath.explanation.texts import input_maps, settled, text_of, unpacked, without_input_baseline
from critpath.explanation.units import top_units
from critpath.explanation.views import as_map, as_picture, averaged_map, scalar, shown_map
from critpath.network import ModelInput, Network, batch_size
from critpath.neurons import NeuronValues
from critpath.pathway import Pathway
from critpath.registry import check_known
from critpath.report import Content, Reach, embed, render, save
from critpath.report.content import Picture
from critpath.report.data import script_json
from critpath.response import Response, respond
from critpath.selection import check_scope, check_sparsity, select
from critpath.targets import TargetLike
from critpath.zoo.tokens import Tokens

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Sparsities between which a report's slider moves."""

Progress = Callable[[str], None]
"""Told what is done next."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything found about one response.

    ``scores`` are the signed contributions; ``pathway`` is the one at the main sparsity, ``pathway_gradient`` its
    gradient and ``gradient`` the plain one, both shaped like the (first floating-point) input, like ``map``: for an
    image PruneGrad times the input, averaged over sparsities and smoothed, which did best of the maps that were
    compared, for other inputs the pathway gradient. For a text all three are [1, length], signed: integrated on the
    way from the baseline of its embeddings and summed over features. ``content`` is what the page shows. In a notebook
    the page shows itself.
    """

    scores: NeuronValues
    pathway: Pathway
    map: Tensor
    gradient: Tensor
    content: Content
    pathway_gradient: Tensor

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, one self-contained HTML file. Raises StorageError, leaving nothing half-written."""
        return save(self.content, path)

    def to_json(self) -> str:
        """The page's numbers as JSON text, without maps and pictures; those of a text, a number a token, are in it."""
        return script_json(self.content)

    def _repr_html_(self) -> str:
        return embed(render(self.content))

    def __repr__(self) -> str:
        return f"Explanation({self.content.target}: {self.content.response:.4g}, {self.pathway!r})"


def explain(
    net: Network,
    x: ModelInput | Tokens,
    target: TargetLike = None,
    *,
    method: str = "taylor",
    sparsity: float = 0.9,
    scope: str = "network",
    sparsities: Iterable[float] = SPARSITIES,
    top: int = 8,
    draws: int = 5,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    words: Sequence[str] | None = None,
    picture: Picture | None = None,
    title: str = "Critical pathway",
    model: str = "",
    notes: Sequence[tuple[str, str]] = (),
    cautions: Sequence[str] = (),
    progress: Progress | None = None,
    **options: Any,
) -> Explanation:
    """Scores, pathway, maps, controls and coverage of one response.

    Parameters
    ----------
    x
        One input, as a batch of one; for a text ``Tokens`` of a tokenizer, too.
    target
        As in ``score``; by default the predicted class.
    method, sparsity, scope
        How the pathway is found; see ``find_pathway``.
    options
        Those of the method: ``points``, ``tolerance``, ``baseline``, ``memory`` and so on; see ``score``. For tokens
        ``baseline`` is where all maps start, whatever the method.
    sparsities
        Between which the page's slider moves; ``sparsity`` is added.
    top
        Neurons, and channels, to show.
    draws
        Random sets of the pathway's size to compare with, from ``seed`` on.
    words
        For an input of tokens: a readable piece of the text for each (``##ing`` goes on with the one before).
    classes, picture, title, model, notes, cautions
        For the page: names of the classes, the input as RGB [H, W, 3] in 0..255, a heading, the model's name,
        rows for the provenance table, and sentences that come first as warnings.
    progress
        Called with a few words before each step.

    Raises InputError (more than one sample, integers only), and what ``score`` and ``select`` raise.
    """
    start = time.perf_counter()
    sparsities = sorted({*sparsities, sparsity})
    x, words = unpacked(x, words)
    text = text_of(x, words, options.get("baseline"))
    options = options if text is None else without_input_baseline(method, options)
    check_options(method, sparsities, scope, seed, options)
    _check(x, top, draws, picture)
    tell = progress or (lambda words: None)
    tell("scores")
    response = respond(net, x, target)
    facts.check_classes(response, classes)
    scores = neuron_scores(response, method, **options)
    tell("maps")
    text, control = (None, None) if text is None else settled(response, text)
    pathways = [select(scores, sparsity, scope) for sparsity in sparsities]
    plain, *maps = input_maps(response, [None, *(pathway.keep for pathway in pathways)], text)
    levels = _levels(response, pathways, maps, sparsities, draws, seed, tell)
    main = next(i for i, level in enumerate(levels) if level.shown.requested == sparsity)
    rows = site_rows(response, scores, levels[main].pathway)
    tell("top neurons and channels")
    neurons, channels = top_units(response, scores, top, text)
    tell("reach")
    reaching = find_reach(response, scores, scope)
    tell("map")
    overview = averaged_map(response, scores, scope)
    notes = notes if control is None else (*notes, control.said)
    cautions = cautions if control is None else (*cautions, *control.warnings)
    tell("coverage")
    diagnosis = net.doctor(x)
    content = Content(
        title=title,
        model=model or type(net.model).__name__,
        method=method,
        target=facts.target_name(response.target, classes),
        response=scalar(response),
        predictions=facts.predictions(response, classes),
        picture=np.asarray(picture) if picture is not None else _picture(response),
        plain=shown_map(response, plain),
        levels=tuple(level.shown for level in levels),
        main_level=main,
        sites=rows,
        top_neurons=neurons,
        top_channels=channels,
        reach=Reach(reaching.last, reaching.first_lost, reaching.tried_up_to),
        coverage=facts.coverage(diagnosis),
        provenance=facts.provenance(response, method, scope, seed, time.perf_counter() - start, notes),
        caveats=(*facts.caveats(method, diagnosis, text is not None), *facts.about_predictions(response)),
        warnings=(*cautions, *facts.warnings(levels[main].shown, bool(plain.any()), rows, diagnosis, scores)),
        floor=floor(response),
        accuracy=facts.accuracy(scores),
        overview=None if overview is None else as_map(overview),
        tokens=() if text is None else text.tokens,
        baseline="" if text is None else text.start,
    )
    own = levels[main].gradient
    return Explanation(scores, levels[main].pathway, own if overview is None else overview, plain, content, own)


def _picture(response: Response) -> Picture | None:
    first = next((leaf for leaf in response.run.inputs if leaf is not None), None)
    return None if first is None else as_picture(first)


def _levels(
    response: Response,
    pathways: Sequence[Pathway],
    maps: Sequence[Tensor],
    sparsities: Sequence[float],
    draws: int,
    seed: int,
    tell: Progress,
) -> list[Level]:
    found = []
    for pathway, gradient, sparsity in zip(pathways, maps, sparsities, strict=True):
        tell(f"sparsity {sparsity:g}")
        found.append(level_at(response, pathway, gradient, sparsity, draws, seed))
    return found


def check_options(
    method: str, sparsities: Iterable[float], scope: str, seed: int = 0, options: Mapping[str, object] | None = None
) -> None:
    """Raises OptionError for what ``explain`` would refuse; quick, so that it can come before loading a model."""
    check_known("contribution (explain ranks neurons by one)", method, CONTRIBUTIONS.names())
    check_score_options(method, dict(options or {}))
    for sparsity in sparsities:
        check_sparsity(sparsity)
    check_scope(scope)
    if not 0 <= seed < 2**63:
        raise OptionError(f"the seed is {seed}; it is an integer from 0 to 2**63 - 1")


def _check(x: ModelInput, top: int, draws: int, picture: Picture | None) -> None:
    if top < 0 or draws < 0:
        raise OptionError(f"top is {top} and draws is {draws}; neither can be negative")
    if (samples := batch_size(x)) != 1:
        raise InputError(f"explain takes one input, a batch of one, got {samples}: call it for x[i:i+1] in turn")
    if picture is not None and (np.asarray(picture).dtype != np.uint8 or np.asarray(picture).ndim not in (2, 3)):
        shape, kind = np.asarray(picture).shape, np.asarray(picture).dtype
        raise InputError(f"the picture is {list(shape)} of {kind}; give [height, width, 3] of uint8")
