"""Contributions: how much every neuron had to do with a response.

One file a method; ``family.CONTRIBUTIONS`` knows them by name.
"""

from __future__ import annotations

from typing import Any

from critpath.contributions import activation, gradient_activation, taylor  # noqa: F401  (they register)
from critpath.contributions.family import CONTRIBUTIONS
from critpath.errors import NumericalError
from critpath.network import ModelInput, Network
from critpath.neurons import NeuronValues
from critpath.response import Response, respond
from critpath.targets import TargetLike

__all__ = ["CONTRIBUTIONS", "contribution_names", "score", "score_response"]


def score(
    net: Network, x: ModelInput, method: str = "taylor", target: TargetLike = None, **options: Any
) -> NeuronValues:
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

    Raises OptionError, TargetError, InputError, NumericalError (also where no neuron contributes).
    """
    CONTRIBUTIONS[method].check_options(options)
    return score_response(respond(net, x, target), method, **options)


def score_response(response: Response, method: str, **options: Any) -> NeuronValues:
    """``score`` on a run that was already made."""
    scores = CONTRIBUTIONS[method].function(response, **options)
    _check_not_constant(scores, method)
    return scores


def contribution_names() -> tuple[str, ...]:
    """What ``score`` can compute."""
    return CONTRIBUTIONS.names()


def _check_not_constant(scores: NeuronValues, method: str) -> None:
    silent = set(range(scores.batch))
    for tensor in reversed(scores.tensors):
        silent = {i for i in silent if not tensor[i].any()}
        if not silent:
            return
    raise NumericalError(
        f"no neuron contributes to the response of samples {sorted(silent)[:8]} ({method} is 0 everywhere): the "
        "output is constant there, or every neuron is dead or saturated"
    )
