"""Baselines: where a line of integration starts. Missing evidence, as an input or as activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.errors import InputError, MismatchError, OptionError
from critpath.network import Lookup, ModelInput, Network, gradients_on, map_tensors, tensors_of, tokens_of
from critpath.neurons import NeuronValues, all_finite
from critpath.registry import check_known
from critpath.response import Response

InputBaseline: TypeAlias = "str | float | ModelInput | list[Any] | None"
"""``None`` or ``"zero"``, ``"mean"``, ``"blurred"``, a number, values shaped like the input (or like one sample, or
broadcast to one), or a list of several of these, over which results are averaged.

The embeddings of tokens start at zero, at those of other tokens (given like the input, or as integers [length] or
[batch, length]), or at that of ``"padding"``. Other lookups, of positions and types, stay as they are."""

Start: TypeAlias = tuple[Tensor | None, ...]
"""A baseline for one batch: where each of ``Run.moving`` starts, None for what does not move."""


def starts_of(baseline: InputBaseline, response: Response) -> list[Start]:
    """The baselines that were asked for, checked against the input.

    Raises InputError where one does not fit the input, OptionError for a name that is unknown.
    """
    if isinstance(baseline, list) and not baseline:
        raise OptionError("baseline=[] names no baseline; leave it out for zero, or give one at least")
    several = baseline if isinstance(baseline, list) else [baseline]
    return [_start(one, response) for one in several]


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


def _start(baseline: Any, response: Response) -> Start:
    _check_moves(baseline, response)
    inputs, lookups = _inputs(baseline, response), _lookups(baseline, response)
    batch = response.run.batch
    return (*(t if t is not None and t.dim() and len(t) == batch else None for t in inputs), *lookups)


def _check_moves(baseline: Any, response: Response) -> None:
    """Of tokens only zero, or other tokens, can be a baseline: their embeddings move, and have no mean or blur."""
    if isinstance(baseline, int | float) and not isfinite(baseline):
        raise InputError(f"the baseline is {baseline}; it is a finite number")
    if _is_padding(baseline) and not response.run.lookups:
        raise InputError("the baseline 'padding' is one of tokens, and no lookup of tokens in an embedding was seen")
    if any(t.is_floating_point() for t in tensors_of(response.x)) or baseline is None or _is_padding(baseline):
        return
    if isinstance(baseline, str) and baseline == "zero":
        return
    if not isinstance(baseline, Tensor | Mapping | tuple) or any(t.is_floating_point() for t in tensors_of(baseline)):
        given = repr(baseline) if isinstance(baseline, str | float) else type(baseline).__name__
        raise InputError(
            f"the input holds tokens only, and the baseline is {given}: leave it out for zero embeddings, or give "
            "tokens of the input's shape"
        )


def _inputs(baseline: Any, response: Response) -> list[Tensor | None]:
    """For each of the input's tensors where it starts; None for integers."""
    x = tensors_of(response.x)
    if baseline is None or _is_padding(baseline) or _is_tokens(baseline, response):
        baseline = "zero"
    if isinstance(baseline, str):
        make = NAMED[_known(baseline)]
        return [make(t) if t.is_floating_point() and t.dim() else None for t in x]
    if isinstance(baseline, int | float) and not isinstance(baseline, bool):
        return [torch.full_like(t, baseline) if t.is_floating_point() else None for t in x]
    given = _as_structure(baseline, response.x)
    return [_fit(start, t) if t.is_floating_point() else None for start, t in zip(given, x, strict=True)]


def _known(name: str) -> str:
    if name == "black":
        raise OptionError(
            "what is black depends on the preprocessing: give the tensor, for instance preprocess.black of a model "
            "from critpath.zoo, or -mean / std as [channels, 1, 1]"
        )
    check_known("baseline", name, (*NAMED, PADDING))
    return name


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

PADDING = "padding"
"""The baseline of tokens that their embedding counts as padding."""


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


def _lookups(baseline: Any, response: Response) -> list[Tensor]:
    """Where what was looked up for tokens starts."""
    found = [lookup.detach() for lookup in response.run.lookups]
    if not found:
        return []
    if _is_padding(baseline):
        return _of_padding(response)
    tokens = _tokens_of(baseline, response)
    return [torch.zeros_like(t) for t in found] if tokens is None else _found_for(tokens, response)


def _is_padding(baseline: Any) -> bool:
    return isinstance(baseline, str) and baseline == PADDING


def _is_tokens(baseline: Any, response: Response) -> bool:
    """Whether a baseline is tokens by themselves, of an input that may hold more."""
    return isinstance(baseline, Tensor) and not baseline.is_floating_point() and bool(response.run.lookups)


def _tokens_of(baseline: Any, response: Response) -> Tensor | None:
    """The tokens of a baseline, shaped like the input's; None where it has none."""
    if _is_tokens(baseline, response):
        return _like(baseline, _own_tokens(response))
    if not isinstance(baseline, Tensor | Mapping | tuple):
        return None
    pairs = zip(_as_structure(baseline, response.x), tensors_of(response.x), strict=True)
    return next(_like(start, own) for start, own in pairs if own is tokens_of(response.x))


def _own_tokens(response: Response) -> Tensor:
    tokens = tokens_of(response.x)
    assert tokens is not None
    return tokens


def _of_padding(response: Response) -> list[Tensor]:
    """Each lookup as of its embedding's padding."""
    own, paddings = _own_tokens(response), [_padding(lookup) for lookup in response.net.lookups(response.x)]
    return [_found_for(torch.full_like(own, padding), response)[i] for i, padding in enumerate(paddings)]


def _padding(lookup: Lookup) -> int:
    if lookup.padding is None:
        raise OptionError(
            f"the embedding {lookup.module or 'of the model'} names no padding_idx, so there is no baseline 'padding': "
            "give the token, baseline=torch.tensor([id]), or leave it out for zero embeddings"
        )
    return lookup.padding


def _found_for(tokens: Tensor, response: Response) -> list[Tensor]:
    """What is looked up for other tokens in the place of the input's. Raises MismatchError."""
    own = _own_tokens(response)
    found = [one.values for one in response.net.lookups(map_tensors(response.x, lambda t: tokens if t is own else t))]
    if [f.shape for f in found] != [f.shape for f in response.run.lookups]:
        raise MismatchError("the network looks tokens up in another way for the baseline's tokens than for the input's")
    return found


def _like(start: Tensor, tokens: Tensor) -> Tensor:
    if start.is_floating_point():
        raise InputError(f"the baseline of tokens has dtype {start.dtype}: give tokens, or leave it out for zero")
    try:
        return start.to(tokens).expand_as(tokens)
    except RuntimeError:
        raise InputError(
            f"the baseline has shape {list(start.shape)}, the input's tokens {list(tokens.shape)}"
        ) from None
