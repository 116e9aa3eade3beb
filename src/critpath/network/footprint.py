"""How much memory a forward and backward pass takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from critpath.network.inputs import ModelInput, sample_of

if TYPE_CHECKING:
    from critpath.network.model import Network
    from critpath.network.run import Run

AROUND = 1.2
"""What passes take beside the tensors that can be counted: workspaces of convolutions, gaps in the heap."""


def footprint(net: Network, x: ModelInput) -> int:
    """Bytes for one sample: what autograd saves, the activations, and as much again as these for their gradients."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        run = net.run(sample_of(x, 0))
    for parameter in net.model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    activations = {a.untyped_storage().data_ptr(): a.untyped_storage().nbytes() for a in run.activations}
    return round(AROUND * (sum((kept | activations).values()) + _gradients(run)))


def _gradients(run: Run) -> int:
    """Those at the sites, which are read, and two of the largest on their way."""
    sizes = [a.numel() * max(4, a.element_size()) for a in run.activations]
    return sum(sizes) + 2 * max(sizes)
