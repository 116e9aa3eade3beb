"""Exact integrals along a line through a ReLU network: ExactLine (Sotoudeh & Thakur, 2019), plain and slow.

The network is an ``nn.Sequential`` of linear maps (convolutions, fully connected, average pooling, flattening) and
``nn.ReLU``, in float64. Between two kinks it is linear, so all gradients are constant there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ZERO = 1e-12
"""Pre-activations of this size are 0: on a kink, where the direction decides which side comes next."""


@dataclass(frozen=True)
class Piece:
    """From one kink to the next: its length, and at the input and behind every ReLU the gradient and the slope."""

    length: float
    gradients: list[Tensor]
    slopes: list[Tensor]


Term = Callable[[Piece, int], Tensor]
"""What a piece adds, per unit of its length, at the input (0) or behind a ReLU (1, 2, ...)."""


def conductance(model: nn.Sequential, x: Tensor, targets: Tensor, baseline: Tensor | None = None) -> list[Tensor]:
    """∫ g (dy/dα) dα, one tensor [batch, *shape] for each ReLU."""
    return _batched(model, x, targets, baseline, lambda piece, i: piece.gradients[i] * piece.slopes[i])[1:]


def influence(model: nn.Sequential, x: Tensor, targets: Tensor, baseline: Tensor | None = None) -> list[Tensor]:
    """∫ g dα, one tensor [batch, *shape] for each ReLU."""
    return _batched(model, x, targets, baseline, lambda piece, i: piece.gradients[i])[1:]


def intgrad(model: nn.Sequential, x: Tensor, targets: Tensor) -> list[Tensor]:
    """a ∫ dΦ(α a)/da dα: each ReLU's output as the input of what comes after it."""
    found, y = [], x
    for number, module in enumerate(model):
        y = module(y).detach()
        if isinstance(module, nn.ReLU):
            above = model[number + 1 :]
            found.append(_batched(above, y, targets, None, lambda piece, i: piece.gradients[i] * piece.slopes[i])[0])
    return found


def pieces(model: nn.Sequential, start: Tensor, end: Tensor, target: int) -> Iterator[Piece]:
    """The pieces of the line from ``start`` to ``end``, [1, ...] each, in order; their lengths add up to 1."""
    alpha = 0.0
    while alpha < 1:
        after, gradients, slopes = _at(model, torch.lerp(start, end, alpha), end - start, target)
        length = min(after, 1 - alpha)
        yield Piece(length, gradients, slopes)
        alpha = 1.0 if length == 1 - alpha else alpha + length


def kinks(model: nn.Sequential, x: Tensor, target: int) -> int:
    """How many kinks the line from 0 to ``x`` [1, ...] has."""
    return len(list(pieces(model, torch.zeros_like(x), x, target))) - 1


def _at(model: nn.Sequential, x: Tensor, direction: Tensor, target: int) -> tuple[float, list[Tensor], list[Tensor]]:
    """Just after a point: how far the next kink is, and gradients and slopes until there."""
    y = x.detach().requires_grad_()
    dy = direction
    values, slopes, after = [y], [dy], float("inf")
    for module in model:
        if isinstance(module, nn.ReLU):
            after = min(after, _next_kink(y.detach(), dy))
            on = torch.where(y.detach().abs() > ZERO, y.detach(), dy) > 0
            y, dy = y * on, dy * on
            values.append(y)
            slopes.append(dy)
        else:
            y, dy = module(y), (module(dy) - module(torch.zeros_like(dy))).detach()
    return after, list(torch.autograd.grad(y[0, target], values)), slopes


def _next_kink(z: Tensor, dz: Tensor) -> float:
    """The smallest step > 0 at which a pre-activation becomes 0; those that are 0 here are leaving it."""
    towards = (z.abs() > ZERO) & (z * dz < 0)
    return float((-z[towards] / dz[towards]).min()) if towards.any() else float("inf")


def _batched(model: nn.Sequential, x: Tensor, targets: Tensor, baseline: Tensor | None, term: Term) -> list[Tensor]:
    start = torch.zeros_like(x) if baseline is None else baseline.expand_as(x)
    rows = []
    for i, target in enumerate(targets.tolist()):
        terms = [
            [piece.length * term(piece, site) for site in range(len(piece.slopes))]
            for piece in pieces(model, start[i : i + 1], x[i : i + 1], target)
        ]
        rows.append([torch.stack(column).sum(dim=0) for column in zip(*terms, strict=True)])
    return [torch.cat(column) for column in zip(*rows, strict=True)]
