"""Where a small network stops to be linear, written out: every pre-activation, every pair in a pooling window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor], Tensor], tuple[float, ...]]] = {
    "relu": (lambda: nn.ReLU(inplace=True), lambda z: z * (z > 0), (0.0,)),
    "relu6": (nn.ReLU6, lambda z: z * (z > 0) * (z < 6) + 6 * (z >= 6), (0.0, 6.0)),
    "leaky": (lambda: nn.LeakyReLU(0.1), lambda z: z * (0.1 + 0.9 * (z > 0)), (0.0,)),
    "hardtanh": (lambda: nn.Hardtanh(-0.5, 0.75), lambda z: z.clamp(-0.5, 0.75), (-0.5, 0.75)),
}


class Pooled(nn.Module):
    """conv, activation, overlapping padded max pooling, conv, batch norm, activation, linear."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 2)
        self.norm = nn.BatchNorm2d(2)
        self.first, self.second = KINDS[kind][0](), KINDS[kind][0]()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.out = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.first(self.one(x)))
        return self.out(self.second(self.norm(self.two(x))).flatten(1))


@dataclass(frozen=True)
class Pieces:
    """Of one sample: all margins, which of them are kinks of which site, and the pattern.

    ``owners``: (site, flat neuron), or ("pool", window). ``pattern``: sides of kinks, and winners.
    """

    margins: list[Tensor]
    owners: list[tuple[Any, int]]
    pattern: list[int]
    output: Tensor


def pieces(
    model: Any, kind: str, x: Tensor, keep: list[Tensor] | None = None, values: list[Tensor] | None = None
) -> Pieces:
    """For one sample x [1, 2, 5, 5]; with ``keep`` the neurons that are not kept have the constants ``values``."""
    f, kinks = KINDS[kind][1:]
    margins: list[Tensor] = []
    owners: list[tuple[Any, int]] = []
    pattern: list[int] = []

    def activation(site: int, z: Tensor) -> Tensor:
        for i, one in enumerate(z.flatten().tolist()):
            if keep is not None and not keep[site].flatten()[i]:
                continue
            margins.extend(z.flatten()[i] - c for c in kinks)
            owners.extend((site, i) for _ in kinks)
            pattern.append(sum(one > c for c in kinks))
        a = f(z)
        return a if keep is None or values is None else torch.where(keep[site], a, values[site])

    def pooled(a: Tensor) -> Tensor:
        rows = [[[window(a[0, c], i, j, c) for j in range(3)] for i in range(3)] for c in range(3)]
        return torch.stack([torch.stack([torch.stack(row) for row in channel]) for channel in rows])[None]

    def window(a: Tensor, i: int, j: int, c: int) -> Tensor:
        numbers = a.tolist()
        places = [(r, s) for r in range(2 * i - 1, 2 * i + 2) for s in range(2 * j - 1, 2 * j + 2)]
        inside = [(r, s) for r, s in places if 0 <= r < 5 and 0 <= s < 5]
        best = max(inside, key=lambda place: numbers[place[0]][place[1]])
        margins.extend(a[best] - a[place] for place in inside if place != best)
        owners.extend(("pool", c * 9 + i * 3 + j) for place in inside if place != best)
        pattern.append(best[0] * 5 + best[1])
        return a[best]

    hidden = pooled(activation(0, model.one(x)))
    second = activation(1, model.norm(model.two(hidden)))
    return Pieces(margins, owners, pattern, model.out(second.flatten(1)))


def nearest(found: Pieces, x: Tensor) -> tuple[float, tuple[Any, int], Tensor]:
    """The smallest distance, whose it is, and the unit way there; one gradient at a time."""
    best: tuple[float, tuple[Any, int], Tensor] = (float("inf"), ("none", -1), torch.zeros_like(x))
    for margin, owner in zip(found.margins, found.owners, strict=True):
        (gradient,) = (
            torch.autograd.grad(margin, x, retain_graph=True, allow_unused=True) if margin.requires_grad else (None,)
        )
        if gradient is None or not bool(gradient.any()):
            continue
        distance = float(margin.detach().abs() / gradient.norm())
        if distance < best[0]:
            best = distance, owner, -gradient * margin.detach().sign() / gradient.norm()
    return best


def pooled_case(kind: str, seed: int, scale: float = 1.0) -> tuple[Pooled, Tensor]:
    """A seeded network in float64 and three inputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Pooled(kind).double().eval()
        model.norm.running_mean.normal_(0, 0.3)
        model.norm.running_var.uniform_(0.5, 2)
        return model, scale * torch.randn(3, 2, 5, 5, dtype=torch.float64)
