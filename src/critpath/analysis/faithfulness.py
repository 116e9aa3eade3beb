"""Faithfulness: what the pathways of a ranking keep of the response, and what it is without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import torch
from torch import Tensor

from critpath.baselines import activations_of
from critpath.errors import InputError, MismatchError, NumericalError, OptionError
from critpath.neurons import NeuronValues, wide
from critpath.pathway import Pathway
from critpath.registry import check_known
from critpath.response import Response
from critpath.selection.threshold import keep_largest

ABLATIONS = ("zero", "mean", "resample")
"""What the neurons that do not act are set to."""


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What a ranking's pathways do to the response, over their size.

    ``sizes`` [sizes]: shares of neurons kept (``kept``) or taken out (``without``), ascending, in (0, 1].
    ``kept`` and ``without`` [images, sizes]: the response when only the pathway acts, and when only the pathway is
    taken out, as shares of the way from ``floor`` to ``whole``: (Φ - floor) / (whole - floor), NaN where the two are
    equal or the response is not defined (a model that divides by what is now 0).
    ``whole`` and ``floor`` [images]: the response of the unmodified network, and of the network without any neuron.
    ``ablation`` is what the neurons that do not act are set to.

    For ``kept`` 1 is best: above it the pathway gives more than the network does. The areas [images] are means over
    the logarithm of the size, in [0, 1]: of max(0, 1 - |1 - kept|), where higher is better, and of ``without``, cut off
    at 0 and 1, where lower is better.
    """

    ablation: str
    sizes: Tensor
    kept: Tensor
    without: Tensor
    whole: Tensor
    floor: Tensor

    @cached_property
    def kept_area(self) -> Tensor:
        """Mean of max(0, 1 - |1 - kept|) over the logarithm of the size, by the trapezoidal rule: [images]."""
        return log_mean(self.sizes, (1 - (1 - self.kept).abs()).clamp(min=0))

    @cached_property
    def without_area(self) -> Tensor:
        """Mean of ``without``, cut off at 0 and 1, over the logarithm of the size, trapezoidal rule: [images]."""
        return log_mean(self.sizes, self.without.clamp(0, 1))


def default_sizes(count: int = 10, smallest: float = 0.001) -> Tensor:
    """Shares of neurons from ``smallest`` to 1 in equal steps of their logarithm: float64 [count]."""
    exponents = torch.linspace(1, 0, count, dtype=torch.float64)
    return smallest**exponents


def log_mean(sizes: Tensor, curves: Tensor) -> Tensor:
    """Mean of ``curves`` [..., sizes] over log(size), by the trapezoidal rule: [...]."""
    if len(sizes) == 1:
        return curves[..., 0]
    logs = sizes.log()
    return torch.trapezoid(curves, logs, dim=-1) / (logs[-1] - logs[0])


def faithfulness(
    response: Response,
    ranking: NeuronValues,
    sizes: Sequence[float] | Tensor | None = None,
    ablation: str = "zero",
    elsewhere: NeuronValues | None = None,
) -> Faithfulness:
    """The response kept by a ranking's pathways alone, and what it is without them, over their size.

    Parameters
    ----------
    ranking
        Values whose largest |value| are taken first, of one sample or of each. Neurons of value 0 are never taken, so
        the pathway stops growing where no others are left. Of n neurons, round(size n) are taken, at least one.
    sizes
        Ascending shares of neurons, in (0, 1]; by default ten from 0.001 to 1 in equal steps of their logarithm.
    ablation
        What neurons that do not act are set to: ``"zero"``; ``"mean"``, to ``elsewhere``, for instance
        ``mean_activations(net, batches)``; ``"resample"``, to ``elsewhere``, by default the activations of the next
        sample of the batch (of the first for the last one), which makes the result depend on the batch.

    All neurons above one that was changed are recomputed. Raises OptionError, MismatchError, InputError.
    """
    shares = check_sizes(sizes)
    ranking = _fitted(ranking, response)
    rest = elsewhere_of(response, ablation, elsewhere)
    floor = _alone(response, nothing(response), rest)
    whole = response.value.detach().double().cpu()
    columns = [_both(response, top_of(ranking, share), rest) for share in shares.tolist()]
    kept, without = (share_of_way(torch.stack(column, dim=1), whole, floor) for column in zip(*columns, strict=True))
    return Faithfulness(ablation, shares, kept, without, whole, floor)


def nothing(response: Response) -> Pathway:
    """The pathway of no neuron, of one sample."""
    return Pathway(response.run.values().sample(0).map(lambda a: torch.zeros_like(a, dtype=torch.bool)))


def top_of(ranking: NeuronValues, share: float) -> Pathway:
    """The pathway of round(share n) of the n neurons of largest |value| for every sample, at least one of them."""
    count = max(1, round(share * ranking.space.neurons))
    kept = [keep_largest([wide(t[i]) for t in ranking.tensors], count) for i in range(ranking.batch)]
    return Pathway(NeuronValues(ranking.space, tuple(torch.stack(site) for site in zip(*kept, strict=True))))


def elsewhere_of(response: Response, ablation: str, elsewhere: NeuronValues | None) -> NeuronValues | None:
    """What neurons that do not act are set to. Raises OptionError or InputError where that is not known."""
    check_known("ablation", ablation, ABLATIONS)
    if ablation == "zero":
        if elsewhere is not None:
            raise OptionError("elsewhere= is for ablation='mean' or 'resample'; with 'zero' neurons are set to 0")
        return None
    if elsewhere is not None:
        return activations_of(elsewhere, response.run.values())
    if ablation == "mean":
        raise OptionError("ablation='mean' needs elsewhere=mean_activations(net, batches), the means over some data")
    if response.run.batch < 2:
        raise InputError(
            "ablation='resample' takes the activations of another sample, and this batch has one: give a batch of two "
            "or more, or elsewhere= the activations of another input, net.run(other).values()"
        )
    return response.run.values().map(lambda a: a.roll(-1, dims=0))


def check_sizes(sizes: Sequence[float] | Tensor | None) -> Tensor:
    """Sizes as float64 [sizes]. Raises OptionError unless they ascend within (0, 1]."""
    given = default_sizes() if sizes is None else torch.as_tensor(sizes, dtype=torch.float64, device="cpu")
    ascending = given.dim() == 1 and len(given) > 0 and bool((given.diff() > 0).all())
    if not ascending or not float(given[0]) > 0 or not float(given[-1]) <= 1 or not isfinite(float(given.sum())):
        raise OptionError(f"sizes are {given.tolist()}; they are shares of neurons, ascending, above 0 and at most 1")
    return given


def joined(parts: Sequence[Faithfulness]) -> Faithfulness:
    """Curves of several batches, one after the other. Raises MismatchError where they were asked for differently."""
    first = parts[0]
    if any(p.ablation != first.ablation or not torch.equal(p.sizes, first.sizes) for p in parts):
        raise MismatchError("faithfulness of different ablations or sizes cannot be joined")
    kept, without, whole, floor = (
        torch.cat([getattr(p, name) for p in parts]) for name in ("kept", "without", "whole", "floor")
    )
    return Faithfulness(first.ablation, first.sizes, kept, without, whole, floor)


def _fitted(ranking: NeuronValues, response: Response) -> NeuronValues:
    """One ranking for each sample, where the activations are."""
    if not isinstance(response, Response) or not isinstance(ranking, NeuronValues):
        raise OptionError(
            f"faithfulness is of a response (cp.respond(net, x)) and a ranking (scores), got {type(response).__name__} "
            f"and {type(ranking).__name__}"
        )
    if difference := response.space.difference(ranking.space):
        raise MismatchError(f"the ranking belongs to another network or input shape: {difference}")
    if ranking.batch not in (1, response.run.batch):
        raise MismatchError(f"the ranking holds {ranking.batch} samples; give 1, or {response.run.batch}, one for each")
    return for_each_sample(ranking, response)


def for_each_sample(values: NeuronValues, response: Response) -> NeuronValues:
    """Values of one sample, or of each, as values of each sample, where the activations are."""
    pairs = zip(values.tensors, response.run.activations, strict=True)
    return NeuronValues(values.space, tuple(v.to(a.device).expand(response.run.batch, *v.shape[1:]) for v, a in pairs))


def _both(response: Response, pathway: Pathway, rest: NeuronValues | None) -> tuple[Tensor, Tensor]:
    return _alone(response, pathway, rest), _alone(response, ~pathway, rest)


def _alone(response: Response, pathway: Pathway, rest: NeuronValues | None) -> Tensor:
    """The response [batch] when only the pathway acts, in float64 on the CPU; NaN where that is not defined."""
    found = alone(response, pathway, rest)
    return torch.full((response.run.batch,), torch.nan).double() if found is None else _on_cpu(found.value)


def _on_cpu(value: Tensor) -> Tensor:
    return value.detach().double().cpu()


def alone(response: Response, pathway: Pathway, rest: NeuronValues | None = None) -> Response | None:
    """The response when only the pathway acts; None where it is not defined: a model that divides by what is now 0."""
    try:
        return response.pruned(pathway, graph=False, elsewhere=rest)
    except NumericalError:
        return None


def share_of_way(values: Tensor, whole: Tensor, floor: Tensor) -> Tensor:
    """(Φ - floor) / (whole - floor): [images, sizes], NaN where the two are equal."""
    way = (whole - floor).unsqueeze(1)
    return ((values - floor.unsqueeze(1)) / way).where(way != 0, torch.nan)
