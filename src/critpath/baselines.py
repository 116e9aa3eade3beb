"""Baselines: where a line of integration starts. Missing evidence, as an input or as activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.errors import InputError, MismatchError, OptionError
from critpath.network import ModelInput, Network, gradients_on, map_tensors, tensors_of
from critpath.neurons import NeuronValues, all_finite
from critpath.registry import check_known

InputBaseline: TypeAlias = "str | float | ModelInput | list[Any] | None"
"""``None`` or ``"zero"``, ``"mean"``, ``"blurred"``, a number, values shaped like the input (or like one sample, or
broadcast to one), or a list of several of these, over which results are averaged."""


@dataclass(frozen=True, eq=False)
class Start:
    """A baseline for one batch: ``x`` is shaped like the input; ``lookups`` are baselines of embedded tokens.

    Tokens of the input stay as they are in ``x``: their embeddings start at ``lookups``, or at zero.
    """

    x: ModelInput
    lookups: tuple[Tensor, ...] = ()

    def embedding(self, number: int, found: Tensor, samples: Tensor) -> Tensor:
        """The baseline of what a lookup found for the tokens of ``samples``."""
        if not self.lookups:
            return torch.zeros_like(found)
        return self.lookups[number][samples.to(self.lookups[number].device)].to(found)


def starts_of(baseline: InputBaseline, net: Network, x: ModelInput) -> list[Start]:
    """The baselines that were asked for, checked against the input.

    Raises InputError where one does not fit the input, OptionError for a name that is unknown.
    """
    if isinstance(baseline, list) and not baseline:
        raise OptionError("baseline=[] names no baseline; leave it out for zero, or give one at least")
    several = baseline if isinstance(baseline, list) else [baseline]
    return [_start(one, net, x) for one in several]


def activations_of(baseline: object, like: NeuronValues) -> NeuronValues:
    """A baseline of activations for every sample: zeros, or the given ones (of one sample, or of each).

    Raises OptionError for what is no NeuronValues, MismatchError for those of other sites or another batch.
    """
    if baseline is None or (isinstance(baseline, str | int) and baseline in ("zero", 0)):
        return like.map(lambda a: a.new_zeros(()).expand_as(a))
    if not isinstance(baseline, NeuronValues):
        raise OptionError(
            f"the baseline is {repr(baseline) if isinstance(baseline, str) else type(baseline).__name__}; this method "
            "starts from activations: 'zero' (the default) or NeuronValues, for instance mean_activations(net, batches)"
        )
    if difference := like.space.difference(baseline.space):
        raise MismatchError(f"the baseline belongs to another network or input shape: {difference}")
    if baseline.batch not in (1, like.batch):
        raise MismatchError(f"the baseline holds {baseline.batch} samples; give 1, or {like.batch}, one for each input")
    pairs = zip(baseline.tensors, like.tensors, strict=True)
    return NeuronValues(like.space, tuple(b.to(a).expand_as(a) for b, a in pairs))


@gradients_on()
def mean_activations(net: Network, batches: Iterable[ModelInput]) -> NeuronValues:
    """The mean activation of every neuron over some data, a baseline for intgrad or ablation.

    [1, *shape] per site, in float64.

    Raises InputError where there is no data, MismatchError where inputs have different shapes.
    """
    total, count = None, 0
    for x in batches:
        run = net.run(x, graph=False)
        sums = run.values().map(lambda a: a.sum(dim=0, keepdim=True, dtype=torch.float64))
        total = sums if total is None else total.map(torch.add, sums)
        count += run.batch
    if total is None:
        raise InputError("there is no data to take the mean of: the iterable of batches is empty")
    return total.map(lambda sums: sums / count)


def _start(baseline: Any, net: Network, x: ModelInput) -> Start:
    _check_moves(baseline, x)
    if isinstance(baseline, int | float) and not isfinite(baseline):
        raise InputError(f"the baseline is {baseline}; it is a finite number")
    if baseline is None or isinstance(baseline, str):
        make = NAMED[_known("zero" if baseline is None else baseline)]
        return Start(_of_inputs(lambda t: make(t), x))
    if isinstance(baseline, int | float) and not isinstance(baseline, bool):
        return Start(_of_inputs(lambda t: torch.full_like(t, baseline), x))
    given = _as_structure(baseline, x)
    return Start(_fitted(given, x), _lookups(given, net, x))


def _check_moves(baseline: Any, x: ModelInput) -> None:
    """Of tokens only zero, or other tokens, can be a baseline: their embeddings move, and have no mean or blur."""
    if any(t.is_floating_point() for t in tensors_of(x)) or baseline is None or baseline == "zero":
        return
    if not isinstance(baseline, Tensor | Mapping | tuple) or any(t.is_floating_point() for t in tensors_of(baseline)):
        given = repr(baseline) if isinstance(baseline, str | float) else type(baseline).__name__
        raise InputError(
            f"the input holds tokens only, and the baseline is {given}: leave it out for zero embeddings, or give "
            "tokens of the input's shape"
        )


def _known(name: str) -> str:
    if name == "black":
        raise OptionError(
            "what is black depends on the preprocessing: give the tensor, for instance preprocess.black of a model "
            "from critpath.zoo, or -mean / std as [channels, 1, 1]"
        )
    check_known("baseline", name, tuple(NAMED))
    return name


def _of_inputs(make: Callable[[Tensor], Tensor], x: ModelInput) -> ModelInput:
    return map_tensors(x, lambda t: make(t) if t.is_floating_point() and t.dim() else t)


def _blurred(x: Tensor) -> Tensor:
    """Each image [n, C, H, W] blurred by a Gaussian of a tenth of its height, other inputs by their mean."""
    if x.dim() != 4:
        return _mean(x)
    radius = max(1, min(x.shape[-2:]) // 4)
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / (0.4 * radius)) ** 2).to(x.dtype)
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, -1)
    padded = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    across = F.conv2d(padded, weights, groups=x.shape[1])
    return F.conv2d(across, weights.mT, groups=x.shape[1])


def _mean(x: Tensor) -> Tensor:
    """Each channel at its mean over the positions of the sample."""
    return x.mean(dim=tuple(range(2, x.dim())) or 1, keepdim=True).expand_as(x) if x.dim() > 1 else torch.zeros_like(x)


NAMED: dict[str, Callable[[Tensor], Tensor]] = {"zero": torch.zeros_like, "mean": _mean, "blurred": _blurred}
"""Baselines by name, each a function of the input [batch, ...]."""


def _as_structure(baseline: Any, x: ModelInput) -> list[Tensor]:
    """The baseline's tensors, in the order of the input's."""
    if isinstance(x, Mapping) and isinstance(baseline, Mapping) and set(baseline) != set(x):
        raise InputError(f"the baseline has the entries {sorted(baseline)}, the input {sorted(x)}")
    ordered = (
        {key: baseline[key] for key in x} if isinstance(baseline, Mapping) and isinstance(x, Mapping) else baseline
    )
    if not isinstance(ordered, Tensor | Mapping | tuple):
        raise OptionError(f"the baseline is {type(baseline).__name__}; give a name, a number, or values like the input")
    found, wanted = tensors_of(ordered), tensors_of(x)
    if len(found) != len(wanted):
        raise InputError(f"the baseline holds {len(found)} tensors, the input {len(wanted)}: give one for each")
    return found


def _fitted(given: list[Tensor], x: ModelInput) -> ModelInput:
    """The baseline shaped like the input; tokens stay the input's."""
    waiting = iter(given)

    def fit(tensor: Tensor) -> Tensor:
        start = next(waiting)
        return _fit(start, tensor) if tensor.is_floating_point() else tensor

    return map_tensors(x, fit)


def _fit(start: Tensor, like: Tensor) -> Tensor:
    try:
        fitted = start.detach().to(like).expand_as(like)
    except RuntimeError:
        raise InputError(
            f"the baseline has shape {list(start.shape)}, which does not broadcast to the input's {list(like.shape)}: "
            "give one value per channel [channels, 1, 1], one sample, or one baseline for each sample"
        ) from None
    if not all_finite(fitted):
        raise InputError(f"the baseline, of shape {list(start.shape)}, holds NaN or infinity")
    return fitted


def _lookups(given: list[Tensor], net: Network, x: ModelInput) -> tuple[Tensor, ...]:
    """What the embeddings give for the baseline's tokens, where it has other tokens than the input."""
    if not any(not t.is_floating_point() for t in given):
        return ()
    waiting = iter(given)
    return net.embeddings(map_tensors(x, lambda t: _like(next(waiting), t)))


def _like(start: Tensor, like: Tensor) -> Tensor:
    try:
        return start.to(like).expand_as(like)
    except RuntimeError:
        raise InputError(f"the baseline has shape {list(start.shape)}, the input's tokens {list(like.shape)}") from None
