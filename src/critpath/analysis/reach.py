"""Up to which sparsity a pathway still reaches the input."""

from __future__ import annotations

from dataclasses import dataclass

from critpath.errors import InputError
from critpath.neurons import NeuronValues
from critpath.response import Response
from critpath.selection import select


@dataclass(frozen=True)
class Reaching:
    """``last``: the largest sparsity found at which the pathway reaches the input (None: at none tried).

    ``first_lost``: the smallest found at which it does not (None: not lost up to ``tried_up_to``).
    """

    last: float | None
    first_lost: float | None
    tried_up_to: float


def reaches_input(response: Response, scores: NeuronValues, sparsity: float, scope: str = "network") -> bool:
    """Whether any gradient gets from the response to the input through kept neurons alone (batch of one)."""
    keep = select(scores, sparsity, scope).keep
    gradients = response.run.input_gradients(response.value, keep=keep)
    return any(bool(g.any()) for g in gradients if g is not None)


def find_reach(
    response: Response,
    scores: NeuronValues,
    scope: str = "network",
    largest: float = 0.999,
    within: float = 1e-3,
) -> Reaching:
    """Bisect for the sparsity at which the pathway of one sample falls short of the input.

    Pathways of one ranking are nested, so what is lost stays lost. Each step is one backward pass over the
    response's graph, until the two ends are at most ``within`` apart.
    """
    if response.run.batch != 1:
        raise InputError(f"the reach is that of one sample's pathway; this response holds {response.run.batch}")
    if reaches_input(response, scores, largest, scope):
        return Reaching(largest, None, largest)
    if not reaches_input(response, scores, 0.0, scope):
        return Reaching(None, 0.0, largest)
    last, lost = 0.0, largest
    while lost - last > within:
        middle = (last + lost) / 2
        if reaches_input(response, scores, middle, scope):
            last = middle
        else:
            lost = middle
    return Reaching(last, lost, largest)
