"""Distances in the input: in its own units, or in scaled ones; and the neurons whose boundaries count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.errors import MismatchError, OptionError
from critpath.network import Boundaries, Boundary, ModelInput, Network, Rule, map_tensors, tensors_of
from critpath.neurons import NeuronValues, rows, wide
from critpath.options import check_type, shown
from critpath.pathway import Pathway
from critpath.response import keeping, respond
from critpath.targets import TargetLike

Scale = float | Sequence[float] | Tensor | None


@dataclass(frozen=True, eq=False)
class Geometry:
    """The boundaries of one network on one input, and the l2 norm in which they are measured.

    ``scales`` has, for each input that moves, the units that one of its own is worth (broadcast over [batch, ...]).
    ``counted`` [batch, n] or None (all) for each boundary: those of neurons that act.
    """

    found: Boundaries
    scales: tuple[Tensor, ...]
    counted: tuple[Tensor | None, ...]
    rule: Rule | None
    ties: bool = True

    @property
    def batch(self) -> int:
        return self.found.batch

    @property
    def to_take(self) -> int:
        """Boundaries that count for any sample."""
        pairs = zip(self.found.items, self.counted, strict=True)
        return sum(item.size if keep is None else int(keep.any(0).sum()) for item, keep in pairs)

    @property
    def most(self) -> int:
        """Boundaries that count for the sample that has most."""
        pairs = zip(self.found.items, self.counted, strict=True)
        counts = [torch.tensor([item.size]) if keep is None else keep.sum(1).cpu() for item, keep in pairs]
        return int(sum(counts, torch.zeros(1, dtype=torch.long)).max())

    def norms(self, gradients: Sequence[Tensor], leading: int = 1) -> Tensor:
        """Norms of gradients [..., *sample.shape] in the measured units, over all but the leading dimensions."""
        parts = [
            (wide(g) / wide(s)).double().reshape(*g.shape[:leading], -1).square().sum(-1)
            for g, s in zip(gradients, self.scales, strict=True)
        ]
        return torch.stack(parts).sum(0).sqrt()

    def only_counted(self, distances: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Distances [batch, n], infinite at boundaries that do not count; how many ties there were [batch]."""
        pairs = zip(distances, self.counted, strict=True)
        found = [d if keep is None else d.masked_fill(~keep, torch.inf) for d, keep in pairs]
        ties = torch.stack([(d == 0).sum(1) for d in found]).sum(0)
        return (found if self.ties else [d.masked_fill(d == 0, torch.inf) for d in found]), ties

    def normals(self, gradients: Sequence[Tensor], margins: Tensor) -> ModelInput:
        """Like the input: the way to a boundary, of length 1 in the measured units; zeros for what does not move.

        ``gradients`` are those of the margins [batch].
        """
        norm = self.norms(gradients)
        size = (torch.where(margins > 0, -1.0, 1.0) / norm).nan_to_num(0, 0, 0)
        ways = {
            number: (size.view(-1, *[1] * (g.dim() - 1)) * (g / s / s).double()).to(g.dtype)
            for number, g, s in zip(self.found.moving, gradients, self.scales, strict=True)
        }
        numbers = iter(range(1 << 30))

        def way(tensor: Tensor) -> Tensor:
            found = ways.get(next(numbers))
            return torch.zeros_like(tensor) if found is None else found

        return map_tensors(self.found.x, way)

    def resolution(self) -> Tensor:
        """How far rounding moves each sample, about: [batch]."""
        pairs = zip(self.found.inputs, self.scales, strict=True)
        parts = [torch.finfo(x.dtype).eps * rows(wide(x.detach() * s)).double().norm(dim=1) for x, s in pairs]
        return torch.stack(parts).square().sum(0).sqrt()


def geometry(
    net: Network,
    x: ModelInput,
    pathway: Pathway | None = None,
    target: TargetLike = None,
    scale: Scale = None,
    pools: bool = True,
    ties: bool = True,
) -> Geometry:
    """The boundaries of the network, or of the pathway's frozen network. Raises what ``linear_radius`` raises."""
    if pathway is not None:
        check_type("pathway", pathway, Pathway)
    values = None if pathway is None and target is None else respond(net, x, target, graph=False).run.values()
    rule = None if pathway is None or values is None else keeping(_fitted(pathway, values), values)
    found = net.boundaries(x, rule)
    scales = tuple(_scale(scale, leaf, len(found.inputs)) for leaf in found.inputs)
    return Geometry(found, scales, tuple(_counted(item, pathway, pools) for item in found.items), rule, ties)


def moved(x: ModelInput, way: ModelInput, steps: Tensor) -> ModelInput:
    """``x`` after a step [batch] along a way that is like it."""
    ways = iter(tensors_of(way))

    def step(tensor: Tensor) -> Tensor:
        found = next(ways)
        if not tensor.is_floating_point() or not tensor.dim() or len(tensor) != len(steps):
            return tensor
        size = steps.to(tensor.device).double().view(-1, *[1] * (tensor.dim() - 1))
        return (tensor.double() + size * found.double()).to(tensor.dtype)

    return map_tensors(x, step)


def _fitted(pathway: Pathway, values: NeuronValues) -> Pathway:
    if difference := values.space.difference(pathway.space):
        raise MismatchError(f"the pathway belongs to another network or input shape: {difference}")
    if pathway.batch not in (1, values.batch):
        raise MismatchError(f"pathways of {pathway.batch} samples, an input of {values.batch}")
    return pathway


def _scale(scale: Scale, leaf: Tensor, inputs: int) -> Tensor:
    """Shaped to be broadcast over the input; one factor a channel counts for dimension 1."""
    if scale is None:
        return leaf.new_ones(())
    factors = _factors(scale, leaf)
    if inputs > 1 and factors.dim():
        raise OptionError(f"the input has {inputs} tensors that move; scale is one number for all of them")
    if not bool((torch.isfinite(factors) & (factors > 0)).all()):
        raise OptionError(f"scale holds {factors.flatten()[:4].tolist()}; its factors are positive and finite")
    if factors.dim() == 1 and leaf.dim() > 1 and len(factors) in (1, leaf.shape[1]):
        factors = factors.view(-1, *[1] * (leaf.dim() - 2))
    try:
        return factors.expand(leaf.shape[1:])
    except RuntimeError:
        raise OptionError(
            f"scale has shape {list(factors.shape)}; give one number, one for each of the {leaf.shape[1]} channels, "
            f"or a tensor like one sample {list(leaf.shape[1:])}"
        ) from None


def _factors(scale: float | Sequence[float] | Tensor, leaf: Tensor) -> Tensor:
    try:
        return torch.as_tensor(scale, dtype=leaf.dtype, device=leaf.device).detach()
    except (TypeError, ValueError, RuntimeError):
        raise OptionError(f"scale is {shown(scale)}; it is a number, several, or a tensor") from None


def _counted(item: Boundary, pathway: Pathway | None, pools: bool) -> Tensor | None:
    if item.pool and not pools:
        return torch.zeros(1, 1, dtype=torch.bool, device=item.given.device)
    if pathway is None or item.site is None:
        return None
    return rows(pathway.keep[item.name]).to(item.given.device)
