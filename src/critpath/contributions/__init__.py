"""Contributions: how much every neuron had to do with a response.

One file a method; ``family.CONTRIBUTIONS`` knows them by name. ``along`` is what the methods that integrate
along a line share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import torch

from critpath.accuracy import exact
from critpath.contributions import (  # noqa: F401  (they register)
    ablation,
    activation,
    conductance,
    gradient_activation,
    influence,
    intgrad,
    shapley,
    taylor,
)
from critpath.contributions.along import Options, Scores
from critpath.contributions.conductance import along_inputs
from critpath.contributions.family import CONTRIBUTIONS
from critpath.errors import NumericalError, OptionError
from critpath.groups import By, GroupValues, grouped, groups_of
from critpath.network import ModelInput, Network, gradients_on
from critpath.neurons import NeuronValues, rows
from critpath.response import Response, respond
from critpath.targets import TargetLike

__all__ = [
    "CONTRIBUTIONS",
    "check_options",
    "contribution_names",
    "neuron_scores",
    "score",
    "score_many",
    "score_response",
]

IN_ONE_SWEEP = ("conductance", "influence")
"""Methods whose points on the line are shared."""


@overload
def score(
    net: Network,
    x: ModelInput,
    method: str = "taylor",
    target: TargetLike = None,
    *,
    by: Literal["neurons"] | None = None,
    **options: Any,
) -> NeuronValues: ...
@overload
def score(
    net: Network, x: ModelInput, method: str = "taylor", target: TargetLike = None, *, by: By, **options: Any
) -> GroupValues: ...
def score(net: Network, x: ModelInput, method: str = "taylor", target: TargetLike = None, **options: Any) -> Scores:
    """Signed contribution of every neuron to the response: [batch, *site.shape] per site.

    Parameters
    ----------
    x
        A tensor [batch, ...], a tuple of arguments or a mapping of keyword arguments.
    method
        One of ``contribution_names()``.
    target
        What is explained: a class, one class per sample, a ``Target``, or a function of the model's output
        that gives [batch]. None is the class that the network predicts.
    by
        None for neurons; "channels", "sites", or units and named groups of them (``By``): one value for each
        group. Integrals and local scores are summed over a group, ``absolute=True`` sums their magnitudes;
        ablation and Shapley values take a group as one thing.
    error
        True to have ``.error`` (an ``Accuracy``) also on scores of neurons that are computed by their definition;
        those that integrate or sample always have it.
    options
        Those of the method: ``points``, ``tolerance``, ``baseline``, ``memory`` and so on.

    Raises OptionError, TargetError, InputError, NumericalError (also where no neuron contributes).
    """
    check_options(method, options)
    return score_response(respond(net, x, target), method, **options)


@gradients_on()
def score_response(
    response: Response, method: str, *, error: bool = False, by: By = None, absolute: bool = False, **options: Any
) -> Scores:
    """``score`` on a run that was already made."""
    function, takes = CONTRIBUTIONS[method].function, CONTRIBUTIONS[method].options()
    if absolute and (by in (None, "neurons") or ("by" in takes and "absolute" not in takes)):
        raise OptionError(
            "absolute=True sums |score| over the neurons of groups: give them with by=, and a method whose scores of a "
            f"group are sums ({method} takes a group as one thing)"
        )
    groups = None if by in (None, "neurons") else groups_of(by, response.space)
    asked = {name: value for name, value in (("by", by), ("absolute", absolute)) if name in takes}
    scores = function(response, **options, **asked)
    _check_not_constant(scores, method)
    if not isinstance(scores, NeuronValues):
        return scores
    scores = _with_error(scores) if error else scores
    return scores if groups is None else grouped(scores, groups, absolute)


def neuron_scores(response: Response, method: str, **options: Any) -> NeuronValues:
    """``score_response`` by neurons, for what ranks them. Raises OptionError where other units are asked for."""
    scores = score_response(response, method, **options)
    if not isinstance(scores, NeuronValues):
        raise OptionError(f"neurons are ranked here, so by={options.get('by')!r} cannot be used; leave it out")
    return scores


@gradients_on()
def score_many(
    net: Network, x: ModelInput, methods: Sequence[str], target: TargetLike = None, **options: Any
) -> dict[str, Scores]:
    """``score`` by several methods on one forward pass; each takes those of the options that it knows.

    Conductance and influence share one sweep along the line, so the second is free; the points are put where the
    first of the two needs them.
    """
    if isinstance(methods, str):
        raise OptionError(f"the methods are the string {methods!r}; give a list of names, [{methods!r}]")
    takers = {name for method in methods for name in CONTRIBUTIONS[method].options()}
    if unknown := sorted(set(options) - takers - COMMON):
        raise OptionError(f"none of {', '.join(methods)} takes the option {unknown[0]!r}")
    response = respond(net, x, target)
    swept = [method for method in methods if method in IN_ONE_SWEEP]
    shared = _swept(response, swept, options) if len(swept) > 1 else {}
    return {
        method: shared[method] if method in shared else score_response(response, method, **_known(method, options))
        for method in methods
    }


COMMON = {"by", "absolute", "error"}
"""Options that every method takes."""


def check_options(method: str, options: dict[str, Any]) -> None:
    """Raises OptionError for an option that the method does not take."""
    CONTRIBUTIONS[method].check_options({name: value for name, value in options.items() if name not in COMMON})


def contribution_names() -> tuple[str, ...]:
    """What ``score`` can compute."""
    return CONTRIBUTIONS.names()


def _known(method: str, options: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k in COMMON or k in CONTRIBUTIONS[method].options()}


def _swept(response: Response, methods: Sequence[str], options: dict[str, Any]) -> dict[str, Scores]:
    known = {name: value for name, value in _known(methods[0], options).items() if name != "error"}
    baseline = known.pop("baseline", None)
    found = along_inputs(response, methods, baseline, Options(**known))
    for method, scores in found.items():
        _check_not_constant(scores, method)
    return found


def _with_error(scores: NeuronValues) -> NeuronValues:
    """Where the method says nothing: it computes what it defines, to rounding."""
    if scores.error is not None:
        return scores
    home = scores.tensors[0].device
    scale = torch.stack([rows(t).double().abs().sum(dim=1).to(home) for t in scores.tensors], dim=1)
    return replace(scores, error=exact(scores.space, scale))


def _check_not_constant(scores: Scores, method: str) -> None:
    silent = set(range(scores.batch))
    for tensor in reversed(scores.tensors) if isinstance(scores, NeuronValues) else [scores.values]:
        silent = {i for i in silent if not tensor[i].any()}
        if not silent:
            return
    raise NumericalError(
        f"no neuron contributes to the response of samples {sorted(silent)[:8]} ({method} is 0 everywhere): the "
        "output is constant there, every neuron is dead or saturated, or the baseline equals the input"
    )
