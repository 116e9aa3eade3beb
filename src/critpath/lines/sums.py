"""What integrals add up to, for neurons or straight away for groups of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.groups import Groups
from critpath.lines.line import Line, Tensors
from critpath.neurons import wide

Add = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
"""Adds to a total, from the gradient g, the step in y, the step in α, and a weight."""

INTEGRANDS: dict[str, Add] = {
    "conductance": lambda total, g, dy, da, weight: total.addcmul_(g, dy, value=weight),
    "influence": lambda total, g, dy, da, weight: total.add_(g, alpha=weight * da),
}
"""∫ dΦ/dy dy and ∫ dΦ/dy dα."""

COORDINATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "conductance": lambda y, alphas: y,
    "influence": lambda y, alphas: alphas.unsqueeze(1).expand_as(y),
}
"""Over what each is integrated, from y [n, m] and α [n]."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Totals of each integrand: [batch, *shape] per site, or [batch, groups] where there are ``groups``."""

    totals: dict[str, Tensors]
    groups: Groups | None = None

    def add(self, sample: int, g: Sequence[Tensor], dy: Sequence[Tensor], da: float, weight: float) -> None:
        """One point of one sample's line: g and dy are [*shape] per site."""
        for name, totals in self.totals.items():
            for position, (gradient, step) in enumerate(zip(g, dy, strict=True)):
                if self.groups is None:
                    INTEGRANDS[name](totals[position][sample], gradient, step, da, weight)
                else:
                    term = INTEGRANDS[name](torch.zeros_like(gradient), gradient, step, da, weight)
                    columns = self.groups.columns(position).to(term.device)
                    reduced = self.groups.reduce(position, term.unsqueeze(0))[0]
                    totals[0][sample].index_add_(0, columns.to(totals[0].device), reduced.to(totals[0]))

    def clear(self, sample: int) -> None:
        """Start again with one sample."""
        for totals in self.totals.values():
            for total in totals:
                total[sample] = 0

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for totals in self.totals.values() for t in totals)


def zeros(line: Line, names: Sequence[str], groups: Groups | None) -> Sums:
    """Nothing added yet. Groups are summed in float64 where the device has it."""
    values = line.response.run.values()
    if groups is not None:
        home = values.tensors[0].device
        double = torch.float32 if home.type == "mps" else torch.float64
        totals: dict[str, Tensors] = {
            n: (torch.zeros(values.batch, len(groups), dtype=double, device=home),) for n in names
        }
        return Sums(totals, groups)
    like = [values[site.name] for site in line.space]
    return Sums({n: tuple(torch.zeros_like(wide(t)) for t in like) for n in names})
