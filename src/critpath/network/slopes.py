"""Forward-mode derivatives of activations: how they change as the input moves along a line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from critpath.errors import MismatchError
from critpath.network.inputs import ModelInput, batch_size, map_tensors, tokens_of
from critpath.network.observer import Call, Embed, Observer, Rewrite
from critpath.network.state import Modules, untouched
from critpath.network.wrappers import eager
from critpath.neurons import NeuronSpace

if TYPE_CHECKING:
    from critpath.network.model import Network


def slopes(
    net: Network,
    x: ModelInput,
    directions: Sequence[Tensor | None],
    space: NeuronSpace,
    embed: Embed | None,
    rewrite: Rewrite | None = None,
) -> tuple[Tensor, ...]:
    """See ``Network.slopes``. Attention runs by its plain formula: the fused ones have no such derivative."""
    modules = dict(net.model.named_modules())

    def observed() -> tuple[Observer, tuple[Tensor, ...]]:
        duals = _duals(x, directions)
        names = frozenset(space.names)
        observer = Observer(
            rewrite, frozenset(), net.also, False, tokens_of(duals), embed, names, attention=net.attention
        )
        net.call(observer, modules, duals)
        return observer, _of_sites(net, observer, space, batch_size(x))

    with forward_mode(modules):
        observer, found = observed()
    if not net.learn_layouts(x, observer.calls, batch_size(x)):
        return found
    with forward_mode(modules):  # of calls that were new it was not known where samples lie
        return observed()[1]


@contextmanager
def forward_mode(modules: Modules) -> Iterator[None]:
    """Inside, a model runs with dual tensors and without a graph, and is put back after."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*")  # torch's own, at the first derivative
        for context in untouched(modules), eager(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            stack.enter_context(context)
        stack.enter_context(forward_ad.dual_level())
        yield


def _of_sites(net: Network, observer: Observer, space: NeuronSpace, batch: int) -> tuple[Tensor, ...]:
    found = {call.name: call for call in observer.calls}
    return tuple(_slope(net, found[site.name], batch) if site.name in found else _gone(site.name) for site in space)


def _slope(net: Network, call: Call, batch: int) -> Tensor:
    tangent = forward_ad.unpack_dual(call.tensor).tangent  # type: ignore[no-untyped-call]
    slope = torch.zeros_like(call.tensor) if tangent is None else tangent
    layout = net.layout_of(call, batch)
    return slope if layout is None else layout.to_samples(slope, batch)


def _gone(name: str) -> Tensor:
    raise MismatchError(f"the network does not call {name} on the way from the baseline to the input")


def _duals(x: ModelInput, directions: Sequence[Tensor | None]) -> ModelInput:
    """The input with its tangents; copies, which the model may overwrite."""
    waiting = iter(directions)

    def with_tangent(tensor: Tensor) -> Tensor:
        direction = next(waiting)
        return tensor.clone() if direction is None else dual(tensor.clone(), direction)

    return map_tensors(x, with_tangent)


def dual(tensor: Tensor, tangent: Tensor) -> Tensor:
    """A tensor that carries its derivative along."""
    made: Tensor = forward_ad.make_dual(tensor, tangent)  # type: ignore[no-untyped-call]
    return made
