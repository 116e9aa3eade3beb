"""NeuronIntGrad as released: growing scales of the activation, and modules taken for calls."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from critpath.network import gradients_on
from critpath.neurons import NeuronSpace, NeuronValues, wide
from critpath.options import check_choice, check_count
from critpath.response import Response


def alpha_schedule(points: int = 10) -> Tensor:
    """α_j = j (j + 1) / (2 n) for j = 0 to n = ``points``: float64 [n + 1].

    What a step of j / n gives that is added to the last scale in place of replacing it. Up to (n + 1) / 2, where the
    integral ends at 1: their mean is 2.0 for n = 10, 8.67 for n = 50, in place of 1/2.
    """
    check_count("points", points, 1)
    j = torch.arange(points + 1, dtype=torch.float64)
    return j * (j + 1) / (2 * points)


@gradients_on()
def released_intgrad(
    response: Response, points: int = 10, *, alphas: str = "released", calls: str = "released"
) -> NeuronValues:
    """|mean over α of a dΦ(α a)/d(α a)|: one site's activations scaled together, all above recomputed.

    With alphas="right", calls="all" it is the paper's equation 13, by a coarse rule; ``score(..., "intgrad")`` is the
    method to use. In the released code some of the first sites of a network that reuses modules have scores of
    another kind (a dΦ/da without an integral) as well; that is not reproduced. Raises OptionError.

    Parameters
    ----------
    points
        n: there are n + 1 scales, both ends included, of equal weight.
    alphas
        ``"released"``: ``alpha_schedule``. ``"right"``: j / n, which ends at 1.
    calls
        ``"released"``: only the first sites have scores, as many as there are modules (``first_calls``); those of the
        others are NaN, and ``percentile_pathway`` never prunes them. ``"all"``: every site has scores.
    """
    check_choice("alphas", alphas, ("released", "right"))
    check_choice("calls", calls, ("released", "all"))
    scales = alpha_schedule(points) if alphas == "released" else torch.linspace(0, 1, points + 1, dtype=torch.float64)
    a, scored = response.run.values(), modules_called(response.space)
    names = a.space.names[:scored] if calls == "released" else a.space.names
    scores = [_site_scores(response, name, a[name], scales) for name in names]
    return NeuronValues(a.space, (*scores, *_none(a.tensors[len(names) :])))


def first_calls(scores: NeuronValues) -> NeuronValues:
    """The scores of the first sites, as many as there are modules, and NaN at all later ones.

    What is left where calls are indexed by modules: with one module called several times the last calls have none.
    """
    scored = modules_called(scores.space)
    return NeuronValues(scores.space, (*scores.tensors[:scored], *_none(scores.tensors[scored:])))


def modules_called(space: NeuronSpace) -> int:
    """How many modules the sites belong to: names before the number of the call."""
    return len({name.rpartition("#")[0] for name in space.names})


def _none(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.full_like(wide(tensor), torch.nan) for tensor in tensors)


def _site_scores(response: Response, site: str, a: Tensor, scales: Tensor) -> Tensor:
    above, total = response.above(site), torch.zeros_like(wide(a))
    for scale in scales.tolist():
        total += wide(a) * above.gradient(a * scale, response.samples)[1]
    return (total / len(scales)).abs()
