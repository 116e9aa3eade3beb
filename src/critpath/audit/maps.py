"""Maps as the released code hands them on: in 8 bits, and with one point too many in the sum."""

from __future__ import annotations

import torch
from torch import Tensor

from critpath.errors import InputError
from critpath.network import gradients_on
from critpath.options import check_count, check_type
from critpath.response import Response

LEVELS = 255


def eight_bit(maps: Tensor) -> Tensor:
    """Each map [n, ...] scaled from its least to its largest value and cut to 256 levels: 0 to 255, floats.

    As maps are stored between attribution and ROAR: small values of a map with a large one become equal, and the order
    of removal among them is that of their positions. A constant map becomes 0. Raises OptionError, InputError.
    """
    check_type("maps", maps, Tensor)
    if maps.dim() < 2 or not maps.is_floating_point():
        raise InputError(f"the maps are {maps.dtype} {list(maps.shape)}; give floating point [n, ...]")
    flat = maps.detach().flatten(1)
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    scaled = (flat - low) / (high - low).where(high > low, 1)
    return (scaled * LEVELS).floor().view(maps.shape)


@gradients_on()
def summed_gradients(response: Response, points: int = 50) -> Tensor:
    """Integrated gradients with n + 1 gradients, at α = j / n for j = 0 to n, in a sum that is divided by n.

    The baseline is zero. The map [batch, ...] of a linear network is (n + 1) / n times too large;
    ``attribute(..., "integrated_gradients")`` is the method to use.
    Raises OptionError, InputError where the input is not one tensor.
    """
    check_count("points", points, 1)
    x = response.x
    if not isinstance(x, Tensor):
        raise InputError(f"the input is {type(x).__name__}; give one tensor")
    total = torch.zeros_like(x)
    for j in range(points + 1):
        run = response.net.run(x * (j / points))
        total += torch.as_tensor(run.input_gradients(response.target.of(run))[0]) / points
    return total * x
