"""Gates: one factor per neuron or channel that multiplies the activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from critpath.errors import MismatchError, OptionError
from critpath.network import Rule
from critpath.neurons import NeuronSpace, NeuronValues, Site
from critpath.options import check_number

STREAM = 0x6A09E667
"""Sets these draws apart from those of the ``random`` finder, which pathways are held against, at the same seed."""

GRANULARITIES = ("neuron", "channel")


def gated(space: NeuronSpace, gates: Sequence[Tensor]) -> Rule:
    """The rule a → λ a; ``gates`` [batch, *shape], or what broadcasts to it, per site. In the graph of the gates.

    The rule raises MismatchError at a site that is not in the space.
    """

    def rule(site: Site, a: Tensor) -> Tensor:
        if site.name not in space:
            raise MismatchError(f"the gates made the network take another way: it called {site.name}")
        return a * gates[space.position(site.name)].to(a)

    return rule


def gate_shape(site: Site, granularity: str) -> tuple[int, ...]:
    """The shape of one sample's gates at a site: the site's own, or 1 in all dimensions but that of the channels."""
    if granularity == "neuron" or not site.shape:
        return site.shape
    return tuple(n if d == site.channel_dim else 1 for d, n in enumerate(site.shape))


def initial(init: object, like: NeuronValues, granularity: str, seed: int, clamp: float) -> list[Tensor]:
    """Gates to start from, at least float32, in [0, clamp]: ones, uniform in (0, 1], a number, or given values.

    Uniform ones are the same for every sample, whatever the batch. Given values are of one sample or of each; a
    channel gets their mean over its positions. Raises OptionError, MismatchError.
    """
    dtypes = [torch.promote_types(tensor.dtype, torch.float32) for tensor in like.tensors]
    start = _start(init, like.space, granularity, seed)
    shapes = [(like.batch, *gate_shape(site, granularity)) for site in like.space]
    try:
        return [
            values.to(device=a.device, dtype=dtype).clamp(0, clamp).expand(shape).clone()
            for values, a, dtype, shape in zip(start, like.tensors, dtypes, shapes, strict=True)
        ]
    except RuntimeError:
        got = len(start[0]) if start else 0
        raise MismatchError(f"init holds {got} samples; give 1, or {like.batch}, one for each input") from None


def _start(init: object, space: NeuronSpace, granularity: str, seed: int) -> list[Tensor]:
    if init == "ones":
        return [torch.ones(()) for _ in space]
    if init == "uniform":
        generator = torch.Generator().manual_seed(seed ^ STREAM)
        return [1 - torch.rand((1, *gate_shape(site, granularity)), generator=generator) for site in space]
    if isinstance(init, NeuronValues):
        return _given(init, space, granularity)
    if isinstance(init, str):
        raise OptionError(f"init is {init!r}; it is 'ones', 'uniform', a number, or NeuronValues")
    check_number("init", init, 0, float("inf"))
    return [torch.tensor(float(init)) for _ in space]  # type: ignore[arg-type]


def _given(init: NeuronValues, space: NeuronSpace, granularity: str) -> list[Tensor]:
    if difference := space.difference(init.space):
        raise MismatchError(f"init belongs to another network or input shape: {difference}")
    return [_coarse(t.detach(), site, granularity) for site, t in init.items()]


def _coarse(values: Tensor, site: Site, granularity: str) -> Tensor:
    over = [d + 1 for d, n in enumerate(gate_shape(site, granularity)) if n != site.shape[d]]
    return values.mean(dim=over, keepdim=True) if over else values


def spread(space: NeuronSpace, gates: Sequence[Tensor]) -> NeuronValues:
    """The gates as values of the neurons: [batch, *shape] per site."""
    pairs = zip(space, gates, strict=True)
    return NeuronValues(space, tuple(gate.detach().expand(len(gate), *site.shape) for site, gate in pairs))


def per_sample(function: Callable[[Tensor], Tensor], gates: Sequence[Tensor]) -> Tensor:
    """The sum over all gates of each sample of ``function`` of them: [batch], on the device of the first."""
    return torch.stack([function(g).reshape(len(g), -1).sum(dim=1).to(gates[0].device) for g in gates]).sum(dim=0)


def per_row(numbers: Tensor, like: Tensor) -> Tensor:
    """One number a sample, [batch], shaped to broadcast over [batch, ...]."""
    return numbers.reshape(-1, *[1] * (like.dim() - 1))
