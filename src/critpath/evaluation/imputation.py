"""Linear imputation of removed pixels: each becomes the weighted mean of its neighbours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.neurons import wide

TOLERANCE = 1e-5
"""Largest residual, as a share of the right-hand side: norms over a channel, each pixel divided by its diagonal."""

AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Numbers solved for at a time; what a processor's cache holds is solved in half the time."""

CHECKED = 8
"""Iterations between two looks at whether all have ended."""


def imputed(x: Tensor, mask: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Images [n, C, H, W] in which every pixel under ``mask`` [n, 1 or C, H, W] is the mean of its neighbours.

    Solves, for the removed pixels i of each channel, Σ_j w_ij (u_i - u_j) = 0 over the neighbours j inside the image,
    by conjugate gradients, to ``tolerance``; an image ends where it would end alone. 0 where nothing of a channel is
    left. In float32 at least, the type of ``x`` otherwise.
    """
    channels = wide(x).flatten(0, 1).unsqueeze(1)
    removed = mask.expand_as(x).flatten(0, 1).unsqueeze(1).to(channels.dtype)
    rows = max(1, AT_ONCE.get(x.device.type, 1 << 22) // max(1, channels[:1].numel()))
    parts = [
        _solved(*part, tolerance) for part in zip(torch.split(channels, rows), torch.split(removed, rows), strict=True)
    ]
    return torch.cat(parts).view(x.shape) if parts else wide(x)


def _solved(x: Tensor, removed: Tensor, tolerance: float) -> Tensor:
    """Channels [rows, 1, H, W] with the removed pixels solved for."""
    inside = neighbours(torch.ones_like(x[:1])).clamp_min(1)
    known = x * (1 - removed)
    right = removed * neighbours(known)
    diagonal = removed * inside

    def matrix(u: Tensor) -> Tensor:
        return (diagonal * u).addcmul_(removed, neighbours(u), value=-1)

    return known + conjugate_gradients(matrix, right, removed / inside, tolerance, limit=20 * sum(x.shape[2:]))


def neighbours(u: Tensor) -> Tensor:
    """The sum over the eight neighbours of each pixel of [..., H, W], in twelfths: twice the direct ones.

    By (1, 2, 1) down and across, without the pixel's own part; outside is 0.
    """
    padded = F.pad(u, (1, 1, 1, 1))
    down = (padded[..., :-2, :] + padded[..., 2:, :]).add_(padded[..., 1:-1, :], alpha=2)
    across = (down[..., :-2] + down[..., 2:]).add_(down[..., 1:-1], alpha=2)
    return across.sub_(u, alpha=4)


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor], right: Tensor, inverse_diagonal: Tensor, tolerance: float, limit: int
) -> Tensor:
    """Solves ``matrix(u) = right`` for each row [rows, ...], the matrix positive definite where the diagonal is not 0.

    From 0, preconditioned by the diagonal, until a row's residual is at most ``tolerance`` of its right-hand side, or
    for ``limit`` iterations; a row that has ended does not move any more. Hestenes and Stiefel 1952.
    """
    u, residual = torch.zeros_like(right), right.clone()
    direction = z = inverse_diagonal * right
    product = _dot(right, z)
    goal = tolerance**2 * product
    for i in range(limit):
        open_rows = product > goal
        if i % CHECKED == 0 and not open_rows.any():
            break
        through = matrix(direction)
        length = torch.where(open_rows, product / _dot(direction, through), 0.0)
        u.addcmul_(length, direction)
        residual.addcmul_(length, through, value=-1)
        z = inverse_diagonal * residual
        before, product = product, _dot(residual, z)
        direction = torch.addcmul(z, torch.where(open_rows, product / before, 0.0), direction)
    return u


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """[rows, 1, ...]."""
    return (a * b).sum(dim=tuple(range(1, a.dim())), keepdim=True)
