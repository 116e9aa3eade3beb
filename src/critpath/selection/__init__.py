"""From scores, or from an objective, to a pathway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from critpath.contributions import CONTRIBUTIONS, check_options, neuron_scores
from critpath.errors import OptionError
from critpath.network import ModelInput, Network
from critpath.pathway import Pathway
from critpath.registry import check_known
from critpath.response import Response, respond
from critpath.selection import dgr, greedy, l0  # noqa: F401  (they register)
from critpath.selection.budget import Budget, Change, find_budget
from critpath.selection.connected import connected_part, select_connected
from critpath.selection.controls import random_pathway, random_within
from critpath.selection.family import FINDERS
from critpath.selection.ranking import check_scope, check_sparsity, kept_count, select, select_each
from critpath.targets import TargetLike

__all__ = [
    "FINDERS",
    "Budget",
    "Change",
    "check_finder",
    "check_scope",
    "check_sparsity",
    "connected_part",
    "find_budget",
    "find_in_response",
    "find_pathway",
    "finder_names",
    "kept_count",
    "random_pathway",
    "random_within",
    "select",
    "select_connected",
    "select_each",
]


def find_pathway(
    net: Network,
    x: ModelInput,
    method: str = "taylor",
    sparsity: float = 0.9,
    target: TargetLike = None,
    *,
    connected: bool = False,
    **options: Any,
) -> Pathway:
    """The pathway of a response, by a contribution's name (then ``select``) or another finder.

    ``method`` is one of ``finder_names()``; ``sparsity`` in [0, 1) is the share of neurons left out;
    ``target`` is as in ``score``. Contributions take ``scope`` beside their own options, and ``connected``: the
    pathway then holds only neurons on routes of its own from the input to the response (``select_connected``).
    Raises OptionError, TargetError, InputError, NumericalError.
    """
    check_sparsity(sparsity)
    check_finder(method, {**options, "connected": connected})
    return find_in_response(respond(net, x, target), method, sparsity, connected=connected, **options)


def check_finder(method: str, options: Mapping[str, object]) -> None:
    """Raises OptionError for a finder that is unknown, or an option that it does not take."""
    check_known("finder", method, finder_names())
    _check_connected(method, bool(options.get("connected")))
    own = {name: value for name, value in options.items() if name != "connected"}
    if method in FINDERS.names():
        FINDERS[method].check_options(own)
        return
    check_scope(str(own.pop("scope", "network")))
    check_options(method, own)


def find_in_response(
    response: Response, method: str, sparsity: float, scope: str = "network", connected: bool = False, **options: Any
) -> Pathway:
    """``find_pathway`` on a run that was already made. A finder that knows no scope goes without."""
    if method in CONTRIBUTIONS.names():
        scores = neuron_scores(response, method, **options)
        return select_connected(response, scores, sparsity, scope) if connected else select(scores, sparsity, scope)
    check_finder(method, {**options, "connected": connected})
    scoped = {"scope": scope} if "scope" in FINDERS[method].options() else {}
    return FINDERS[method].function(response, sparsity, **scoped, **options)


def _check_connected(method: str, connected: bool) -> None:
    if connected and method not in CONTRIBUTIONS.names():
        raise OptionError(
            f"connected=True goes by the scores of a contribution, and {method} is none: use one of "
            f"{', '.join(CONTRIBUTIONS.names())}, or take connected_part(response, pathway) of what it finds"
        )


def finder_names() -> tuple[str, ...]:
    """What ``find_pathway`` can use: every contribution, and the finders that need no ranking."""
    return (*CONTRIBUTIONS.names(), *FINDERS.names())
