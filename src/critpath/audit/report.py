"""Right and released versions on the same inputs, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from critpath.analysis import dead_share, overlap
from critpath.audit.artefacts import ARTEFACTS
from critpath.audit.greedy import oscillating_greedy
from critpath.audit.intgrad import first_calls, released_intgrad
from critpath.audit.ties import percentile_pathway
from critpath.contributions import neuron_scores
from critpath.network import ModelInput, Network, gradients_on
from critpath.pathway import Pathway, SearchWarning
from critpath.response import Response, respond
from critpath.selection import check_sparsity, find_in_response, select
from critpath.targets import TargetLike

Pair = tuple[Pathway, Pathway]
"""As released, and right."""


@dataclass(frozen=True, eq=False)
class Version:
    """One version of one method, for each sample [batch].

    ``sparsity`` is the realised one, ``dead`` the share of the pathway that is dead on the input, ``jaccard`` the
    similarity with the right version and ``chance`` that of random sets of the two sizes (all in [0, 1], NaN where
    sets are empty), ``keeps_class`` whether the pathway alone gives the network's class (None: the target is none).
    """

    artefact: str
    version: str
    sparsity: Tensor
    dead: Tensor
    jaccard: Tensor
    chance: Tensor
    keeps_class: Tensor | None
    stopped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What each artefact does to the pathways of some inputs, at one requested sparsity. ``str`` is a table."""

    sparsity: float
    points: int
    rounds: int
    versions: tuple[Version, ...]

    def __str__(self) -> str:
        head = (
            f"asked for: sparsity {self.sparsity:g}; {self.points} steps of integration, {self.rounds} rounds\n"
            f"{'artefact':<10}{'version':<10}{'sample':>7}{'sparsity':>10}{'dead':>8}{'Jaccard':>9}{'chance':>8}  class"
        )
        notes = [
            f"{v.artefact}, {v.version}, sample {i}: {w}" for v in self.versions for i, w in enumerate(v.stopped) if w
        ]
        return "\n".join([head, *(line for version in self.versions for line in _lines(version)), *notes])


@gradients_on()
def audit(
    net: Network, x: ModelInput, sparsity: float = 0.9, target: TargetLike = None, *, points: int = 10, rounds: int = 99
) -> AuditReport:
    """Pathways as the released code finds them beside those that the papers define, one artefact at a time.

    ``points`` steps of integration and ``rounds`` of pruning, as released. It takes two integrals at every site
    (``points`` + 1 reruns each) and ``rounds`` + about 100 forward and backward passes. See ``ARTEFACTS``.
    Raises OptionError, and what the methods raise.
    """
    check_sparsity(sparsity)
    response = respond(net, x, target)
    pairs = zip(ARTEFACTS, _pairs(response, sparsity, points, rounds), strict=True)
    versions = (v for artefact, pair in pairs for v in _versions(response, artefact.name, pair))
    return AuditReport(sparsity, points, rounds, tuple(versions))


def _pairs(response: Response, sparsity: float, points: int, rounds: int) -> Iterator[Pair]:
    """In the order of ``ARTEFACTS``."""
    percent = 100 * sparsity
    right = released_intgrad(response, points, alphas="right", calls="all")
    grown = released_intgrad(response, points, alphas="released", calls="all")
    yield select(grown, sparsity), select(right, sparsity)
    yield percentile_pathway(first_calls(right), percent), select(right, sparsity)
    yield oscillating_greedy(response, rounds), _greedy(response, sparsity)
    scores = neuron_scores(response, "taylor")
    yield percentile_pathway(scores, percent), select(scores, sparsity)


def _greedy(response: Response, sparsity: float) -> Pathway:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)  # the report says where it stopped
        return find_in_response(response, "greedy", sparsity)


def _versions(response: Response, name: str, pair: Pair) -> Iterator[Version]:
    for version, pathway in zip(("released", "right"), pair, strict=True):
        shared = overlap(pathway, pair[1])
        alone = response.pruned(pathway, graph=False)
        yield Version(
            name,
            version,
            pathway.sparsity.cpu(),
            dead_share(pathway, response.run.values()),
            shared.jaccard.cpu(),
            shared.chance.cpu(),
            response.keeps_class(alone),
            pathway.search.stopped if pathway.search else (),
        )


def _lines(version: Version) -> Iterator[str]:
    for i in range(len(version.sparsity)):
        numbers = zip((10, 8, 9, 8), (version.sparsity, version.dead, version.jaccard, version.chance), strict=True)
        cells = "".join(_cell(float(values[i]), width) for width, values in numbers)
        yield f"{version.artefact:<10}{version.version:<10}{i:>7}{cells}  {_class(version.keeps_class, i)}"


def _cell(value: float, width: int) -> str:
    return f"{'-':>{width}}" if value != value else f"{value:>{width}.4f}"


def _class(keeps: Tensor | None, sample: int) -> str:
    return "-" if keeps is None else ("kept" if bool(keeps[sample]) else "lost")
