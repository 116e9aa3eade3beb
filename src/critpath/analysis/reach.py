"""Up to which sparsity a pathway still reaches the input, and how much of it is connected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from critpath.errors import InputError
from critpath.neurons import NeuronValues, rows
from critpath.options import check_number
from critpath.pathway import Pathway
from critpath.response import Response
from critpath.selection import check_sparsity, connected_part, select, select_each


@dataclass(frozen=True)
class Reaching:
    """``last``: the largest sparsity found at which the pathway reaches the input (None: at none tried).

    ``first_lost``: the smallest found at which it does not (None: not lost up to ``tried_up_to``).
    """

    last: float | None
    first_lost: float | None
    tried_up_to: float

    @property
    def open(self) -> float:
        """How far apart the two are; 0 where one is not known."""
        return 0 if self.last is None or self.first_lost is None else self.first_lost - self.last

    @property
    def middle(self) -> float:
        """What to try next: between the two, or the one that is known again."""
        ends = [end for end in (self.last, self.first_lost) if end is not None]
        return sum(ends) / len(ends)

    def narrowed(self, sparsity: float, reached: bool) -> Reaching:
        return replace(self, last=sparsity) if reached else replace(self, first_lost=sparsity)


def reaches_input(response: Response, scores: NeuronValues, sparsity: float, scope: str = "network") -> bool:
    """Whether any gradient gets from the response to the input through kept neurons alone (batch of one)."""
    _check_single(response)
    return bool(_reached(response, select(scores, sparsity, scope)))


def find_reach(
    response: Response,
    scores: NeuronValues,
    scope: str = "network",
    largest: float = 0.999,
    within: float = 1e-3,
) -> Reaching:
    """Bisect for the sparsity at which the pathway of one sample falls short of the input.

    Pathways of one ranking are nested, so what is lost stays lost. Each step is one backward pass over the
    response's graph, until the two ends are at most ``within`` apart. Raises InputError for a batch; see
    ``find_reaches``.
    """
    _check_single(response)
    return find_reaches(response, scores, scope, largest, within)[0]


def find_reaches(
    response: Response,
    scores: NeuronValues,
    scope: str = "network",
    largest: float = 0.999,
    within: float = 1e-3,
) -> tuple[Reaching, ...]:
    """``find_reach`` for every sample of a batch; a step is one backward pass for all of them.

    An input that all samples share is reached by all of them or by none.
    """
    check_number("within", within, 1e-9, 1)
    at_largest = _reached(response, select(scores, largest, scope)).tolist()
    at_zero = _reached(response, select(scores, 0.0, scope)).tolist()
    found = [_first(*ends, largest) for ends in zip(at_largest, at_zero, strict=True)]
    while any(one.open > within for one in found):
        tried = [one.middle for one in found]
        reached = _reached(response, select_each(scores, tried, scope)).tolist()
        steps = zip(found, tried, reached, strict=True)
        found = [one.narrowed(s, r) if one.open > within else one for one, s, r in steps]
    return tuple(found)


def connected_share(
    response: Response, scores: NeuronValues, sparsities: Sequence[float], scope: str = "network"
) -> Tensor:
    """The share of each pathway that lies on its own routes from the input to the response: [batch, sparsities].

    See ``connected_part``. In [0, 1], on the CPU; NaN where a pathway is empty. Raises OptionError.
    """
    for sparsity in sparsities:
        check_sparsity(sparsity)
    return torch.stack([share_on_routes(response, select(scores, s, scope)) for s in sparsities], dim=1)


def share_on_routes(response: Response, pathway: Pathway) -> Tensor:
    """The connected share of one pathway of each sample: [batch], in float64 on the CPU, NaN where it is empty."""
    return connected_part(response, pathway).size.cpu().double() / pathway.size.cpu()


def _first(at_largest: bool, at_zero: bool, largest: float) -> Reaching:
    if at_largest:
        return Reaching(largest, None, largest)
    return Reaching(0.0 if at_zero else None, largest if at_zero else 0.0, largest)


def _reached(response: Response, pathway: Pathway) -> Tensor:
    """Whether any gradient gets to the input through kept neurons alone: booleans [batch], on the CPU."""
    batch = response.run.batch
    found = response.run.input_gradients(response.value, keep=pathway.keep)
    each = [_any(gradient, batch).cpu() for gradient in found if gradient is not None]
    return torch.stack([torch.zeros(batch, dtype=torch.bool), *each]).any(dim=0)


def _any(gradient: Tensor, batch: int) -> Tensor:
    shared = gradient.dim() == 0 or len(gradient) != batch
    return gradient.any().expand(batch) if shared else rows(gradient).any(dim=1)


def _check_single(response: Response) -> None:
    if response.run.batch != 1:
        raise InputError(f"the reach is that of one sample's pathway; this response holds {response.run.batch}")
