"""GreedyPruning as released: each round brings back what the rounds before it pruned."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.audit.ties import percentile
from critpath.network import gradients_on
from critpath.neurons import NeuronValues
from critpath.options import check_count
from critpath.pathway import Pathway, Search
from critpath.response import Response
from critpath.selection.searching import curves_of, joined


@gradients_on()
def oscillating_greedy(response: Response, rounds: int = 99) -> Pathway:
    """The mask after ``rounds`` rounds of the released loop; its size follows from no sparsity that was asked for.

    Round i: s = |a dΦ/da| on the network as masked so far; the threshold is percentile i (at most 100) of s with its
    zeros replaced by its maximum; the mask is 0 where s <= threshold and then 1 where s <= 0. What a round pruned has
    score 0 in the next one, and so comes back: the mask is 0 only where 0 < s <= threshold in the last round.
    The right algorithm is the finder ``greedy``. ``search.curves["kept"]`` [rounds, batch] is the share kept after
    each round, where it can be seen to oscillate. Raises OptionError.
    """
    check_count("rounds", rounds, 1)
    keep, steps = response.run.values().map(lambda a: torch.ones_like(a, dtype=torch.bool)), []
    for number in range(1, rounds + 1):
        masked = response.pruned(Pathway(keep))
        scores = masked.run.read(masked.value, lambda a, gradient: (a * gradient).abs())
        keep = _kept(scores, min(number, 100))
        steps.append({"kept": joined(keep, response.value).double().mean(dim=1)})
    keeps_class = response.keeps_class(response.pruned(Pathway(keep), graph=False))
    search = Search("oscillating greedy", curves_of(steps), ("",) * response.run.batch, keeps_class)
    return Pathway(keep, None, search)


def _kept(scores: NeuronValues, percent: float) -> NeuronValues:
    """Where not 0 < s <= threshold."""
    thresholds = [_threshold([t[i] for t in scores.tensors], percent) for i in range(scores.batch)]

    def kept(s: Tensor) -> Tensor:
        limit = torch.tensor(thresholds, dtype=torch.float64, device=s.device)
        return (s <= 0) | (s > limit.view(-1, *[1] * (s.dim() - 1)))

    return scores.map(kept)


def _threshold(parts: list[Tensor], percent: float) -> float:
    """The percentile of one sample's scores, its zeros replaced by its largest."""
    largest = max(float(part.max()) for part in parts)
    return percentile([torch.where(part <= 0, largest, part) for part in parts], percent)
