"""Gradient descent on tensors that are moved in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

OPTIMISERS = ("sgd", "adam")

Step = Callable[[Sequence[Tensor]], None]
"""Moves the tensors, in place, given their gradients."""


def sgd(tensors: Sequence[Tensor], lr: float, momentum: float) -> Step:
    """v ← momentum v + g; t ← t - lr v."""
    velocity = [torch.zeros_like(tensor) for tensor in tensors]

    def step(gradients: Sequence[Tensor]) -> None:
        for tensor, v, g in zip(tensors, velocity, gradients, strict=True):
            v.mul_(momentum).add_(g)
            tensor.sub_(v, alpha=lr)

    return step


def adam(
    tensors: Sequence[Tensor], lr: float, momentum: float = 0.9, second: float = 0.999, tiny: float = 1e-8
) -> Step:
    """Adam (Kingma and Ba 2015): ``momentum`` is its β1, ``second`` its β2, ``tiny`` its ε."""
    means, squares = ([torch.zeros_like(tensor) for tensor in tensors] for _ in range(2))
    count = 0

    def step(gradients: Sequence[Tensor]) -> None:
        nonlocal count
        count += 1
        for tensor, m, s, g in zip(tensors, means, squares, gradients, strict=True):
            m.lerp_(g, 1 - momentum)
            s.lerp_(g * g, 1 - second)
            tensor.sub_(lr / (1 - momentum**count) * m / ((s / (1 - second**count)).sqrt() + tiny))

    return step


def descent(optimiser: str, tensors: Sequence[Tensor], lr: float, momentum: float) -> Step:
    """The optimiser of this name, over these tensors."""
    return {"sgd": sgd, "adam": adam}[optimiser](tensors, lr, momentum)
