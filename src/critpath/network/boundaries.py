"""Where a piecewise linear network stops to be linear: kinks of activations, and ties in max pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from critpath.errors import InputError, UnsupportedModelError
from critpath.network.activations import kinks
from critpath.network.bends import check_piecewise_linear, nodes_between
from critpath.network.inputs import ModelInput, batch_size, check_finite, map_tensors, samples_of, tensors_of, tokens_of
from critpath.network.layout import Layout
from critpath.network.observer import Bend, Call, Observer
from critpath.network.run import batched_gradients
from critpath.network.slopes import dual, forward_mode
from critpath.network.windows import windows_of
from critpath.neurons import Site, rows, wide

if TYPE_CHECKING:
    from critpath.network.model import Network, Rule


@dataclass(frozen=True, eq=False)
class Boundary:
    """One activation call's kinks, or one max pooling's ties, for every sample.

    Kinks: one margin z - c for each neuron, c being the kink nearest to its pre-activation z. Ties: one margin
    a_p - a_q for each window and place q in it, p being the place that won (0 at p itself and in the padding).
    ``shape`` is that of one sample's margins: the neurons', or [windows, places]. ``given`` is what the activation
    or the pooling was given, in the graph. ``site`` is None for pooling, and for activations that are no site.
    """

    name: str
    shape: tuple[int, ...]
    given: Tensor
    layout: Layout
    batch: int
    kinks: tuple[float, ...] = ()
    places: Tensor | None = None
    site: Site | None = None

    @property
    def pool(self) -> bool:
        return self.places is not None

    @property
    def size(self) -> int:
        """Margins of one sample."""
        return int(torch.Size(self.shape).numel())

    def margins(self) -> Tensor:
        """[batch, size], at least float32."""
        flat = wide(self._flat(self.given.detach()))
        if self.places is not None:
            return self._ties(flat.unsqueeze(0))[0]
        distances = torch.stack([flat - kink for kink in self.kinks])
        return distances.gather(0, distances.abs().argmin(0, keepdim=True))[0]

    def changes(self, tangents: Tensor, repeats: int) -> Tensor:
        """How the margins change as what was given changes by ``tangents``: [repeats, batch, size].

        ``tangents`` is shaped as ``given`` of the batch repeated, one after the other.
        """
        samples = wide(rows(self.layout.to_samples(tangents, repeats * self.batch)))
        flat = samples.reshape(repeats, self.batch, -1)
        return flat if self.places is None else self._ties(flat)

    def pick(self, margins: Tensor, samples: Tensor) -> Tensor:
        """The weights of ``given`` in one margin [n] of each of these samples [n]: zeros elsewhere, shaped as given."""
        found = torch.zeros_like(self._flat(self.given.detach()))
        if self.places is None:
            found[samples, margins] = 1
        else:
            window, place = margins // self.shape[1], margins % self.shape[1]
            rival = self.places[window, place]
            inside = (rival >= 0).to(found.dtype)
            found[samples, self._winners[samples, window]] += inside
            found[samples, rival.clamp(min=0)] -= inside
        shape = self.layout.to_samples(self.given.detach(), self.batch).shape
        return self.layout.from_samples(found.reshape(shape))

    def crossed(self, there: Boundary, ties: bool = True) -> Tensor:
        """Which neurons [batch, size] are on another side of a kink in another run; or which windows [batch, windows]
        have another place that is larger than the one that won here. Without ``ties``, not where the two were equal."""
        z, w = self._flat(self.given.detach()), there._flat(there.given.detach())
        if self.places is not None:
            one, other = self._winners, there._winners
            found = w.gather(1, one) < w.gather(1, other)
            return found if ties else found & (z.gather(1, one) > z.gather(1, other))
        sides = [((z > kink) != (w > kink)) & ((z != kink) | ties) for kink in self.kinks]
        return torch.stack(sides).any(0)

    def crossed_by(self, there: Boundary, margin: int, sample: int) -> Tensor:
        """Which of ``crossed`` [size or windows] of one sample belong to a margin: several windows may share a tie."""
        found = self.crossed(there)[sample]
        mine = torch.zeros_like(found)
        if self.places is None:
            mine[margin] = True
            return found & mine
        window, place = divmod(margin, self.shape[1])
        winner, rival = self._winners[sample, window], self._places[window, place]
        return found & (self._winners[sample] == winner) & (there._winners[sample] == rival)

    def competitors(self, margin: int, sample: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of a tie: coordinates of the winner and of its rival in one sample of what was given to the pooling."""
        window, place = divmod(margin, self.shape[1])
        shape = self.layout.to_samples(self.given, self.batch).shape[1:]
        pair = self._winners[sample, window].cpu(), self._places[window, place].cpu()
        first, second = (tuple(int(i) for i in torch.unravel_index(flat, shape)) for flat in pair)
        return first, second

    @cached_property
    def _winners(self) -> Tensor:
        """Which place of the input each window took: [batch, windows]."""
        places = self._places
        values = self._flat(self.given.detach())[:, places.clamp(min=0)]
        best = values.masked_fill(places < 0, float("-inf")).argmax(dim=-1, keepdim=True)
        return places.expand(self.batch, *places.shape).gather(-1, best)[..., 0]

    @property
    def _places(self) -> Tensor:
        assert self.places is not None
        return self.places

    def _ties(self, flat: Tensor) -> Tensor:
        """[repeats, batch, elements] as differences [repeats, batch, windows * places]."""
        top = flat.gather(2, self._winners.expand(len(flat), *self._winners.shape))
        others = flat[:, :, self._places.clamp(min=0)]
        return torch.where(self._places < 0, 0, top.unsqueeze(3) - others).flatten(2)

    def _flat(self, raw: Tensor) -> Tensor:
        return rows(self.layout.to_samples(raw, self.batch))


@dataclass(frozen=True, eq=False)
class Boundaries:
    """All boundaries of a network on one input, in one graph; ``rule`` is what rewrote its activations.

    Margins are numbered through all boundaries. ``inputs`` are the leaves of the graph that may move, and
    ``moving`` their numbers among the input's tensors. The distance to a boundary is |margin| / ||its gradient||.
    """

    net: Network
    x: ModelInput
    rule: Rule | None
    items: tuple[Boundary, ...]
    inputs: tuple[Tensor, ...]
    moving: tuple[int, ...]

    @property
    def batch(self) -> int:
        return batch_size(self.x)

    @property
    def size(self) -> int:
        """Margins of one sample."""
        return sum(item.size for item in self.items)

    def margins(self) -> Tensor:
        """All margins: [batch, size], at least float32."""
        return torch.cat([item.margins() for item in self.items], dim=1)

    def locate(self, number: int) -> tuple[Boundary, int]:
        """The boundary of a margin, and its number there."""
        for item in self.items:
            if number < item.size:
                return item, number
            number -= item.size
        raise IndexError(number)

    def gradients(self, numbers: Tensor, samples: Tensor) -> tuple[Tensor, ...]:
        """Gradients of one margin [n] of each of these samples [n] (none twice): like the inputs, zeros elsewhere.

        One backward pass, over the graph that all share.
        """
        outputs, weights, first = [], [], 0
        for item in self.items:
            mine = (numbers >= first) & (numbers < first + item.size)
            if bool(mine.any()):
                outputs.append(item.given)
                weights.append(item.pick(numbers[mine] - first, samples[mine]))
            first += item.size
        return self._back(outputs, weights)

    def every_gradient(self, item: Boundary, numbers: Sequence[int]) -> list[Tensor]:
        """Gradients of these margins of one boundary, of all samples: [numbers, *input.shape] for each input."""
        everyone = torch.arange(self.batch, device=item.given.device)
        weights = torch.stack([item.pick(torch.full_like(everyone, number), everyone) for number in numbers])
        return batched_gradients([item.given], list(self.inputs), [weights])

    def squares(self, directions: Sequence[Tensor]) -> list[Tensor]:
        """Sums over directions of (gradient · direction)² for all margins: [batch, size] for each boundary.

        ``directions`` holds [repeats, *input.shape] for each input that moves. One forward-mode pass over the
        batch repeated.
        """
        repeats = len(directions[0])
        by_name = {(item.pool, item.name): item for item in self.items}

        def notice(bend: Bend) -> tuple[Boundary, Tensor] | None:
            item = by_name.get((bend.kind is None, bend.name))
            tangent = forward_ad.unpack_dual(bend.given).tangent  # type: ignore[no-untyped-call]
            return (item, item.changes(tangent, repeats).square().sum(0)) if item and tangent is not None else None

        found = {id(pair[0]): pair[1] for pair in self._forward(directions, repeats, notice) if pair}
        zeros = torch.zeros(self.batch, 1, device=self.inputs[0].device)
        return [found.get(id(item), zeros.expand(-1, item.size)) for item in self.items]

    def _forward(self, directions: Sequence[Tensor], repeats: int, notice: Callable[[Bend], Any]) -> list[Any]:
        modules = dict(self.net.model.named_modules())
        order = torch.arange(self.batch).repeat(repeats)
        x, waiting = samples_of(self.x, order), dict(zip(self.moving, directions, strict=True))
        numbers = iter(range(len(tensors_of(x))))

        def with_tangent(tensor: Tensor) -> Tensor:
            direction = waiting.get(next(numbers))
            return tensor.clone() if direction is None else dual(tensor.clone(), direction.flatten(0, 1))

        rewrite = None if self.rule is None else self._rewrite(self.rule, repeats)
        names = frozenset(item.name for item in self.items if not item.pool)
        with forward_mode(modules):
            duals = map_tensors(x, with_tangent)
            tokens = tokens_of(duals)
            observer = Observer(
                rewrite, frozenset(), self.net.also, False, tokens, None, names, notice, self.net.attention
            )
            self.net.call(observer, modules, duals)
        return observer.noticed

    def _rewrite(self, rule: Rule, repeats: int) -> Callable[[Call], Tensor]:
        """The rule for one batch, asked for each repeat of it."""
        sites = {item.name: (item.site, item.layout) for item in self.items if item.site is not None}

        def rewrite(call: Call) -> Tensor:
            if call.name not in sites:
                return call.tensor
            site, layout = sites[call.name]
            parts = torch.split(layout.to_samples(call.tensor, repeats * self.batch), self.batch)
            return layout.from_samples(torch.cat([rule(site, part) for part in parts]))

        return rewrite

    def _back(self, outputs: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
        if not outputs:
            return tuple(torch.zeros_like(leaf) for leaf in self.inputs)
        found = torch.autograd.grad(outputs, self.inputs, weights, retain_graph=True, allow_unused=True)
        return tuple(
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(self.inputs, found, strict=True)
        )


def boundaries(net: Network, x: ModelInput, rule: Rule | None = None) -> Boundaries:
    """See ``Network.boundaries``."""
    batch = batch_size(x)
    check_finite(x)
    _check_can_move(x, batch)
    rewrite = rule and net.rewrite(rule, batch)
    observer, _, leaves = net.observe(x, rewrite, notice=_kept)
    if net.learn_layouts(x, observer.calls, batch):
        return boundaries(net, x, rule)
    calls = {call.name: call for call in observer.calls}
    bends = [
        bend for bend in observer.noticed if bend.given.requires_grad and (bend.kind is None or bend.name in calls)
    ]
    known = {node for bend in bends for node in _own_nodes(bend, calls)}
    moving = tuple(i for i, leaf in enumerate(leaves) if leaf is not None and leaf.dim() and len(leaf) == batch)
    items = tuple(item for bend in bends if (item := _boundary(net, bend, calls, batch)) is not None)
    check_piecewise_linear(observer, bends, [item.given for item in items], known)
    return Boundaries(net, x, rule, items, tuple(leaf for i in moving if (leaf := leaves[i]) is not None), moving)


def _check_can_move(x: ModelInput, batch: int) -> None:
    if not any(t.is_floating_point() and t.dim() and len(t) == batch for t in tensors_of(x)):
        raise InputError(
            "the input holds no floating-point tensor [batch, ...]: tokens do not move, so there is no ball around them"
        )


def _kept(bend: Bend) -> Bend:
    return replace(bend, given=bend.given.clone())


def _own_nodes(bend: Bend, calls: dict[str, Call]) -> set[Any]:
    """What the activation or the pooling itself put into the graph."""
    result = calls[bend.name].tensor if bend.kind is not None else bend.result
    result = result[0] if isinstance(result, tuple) else result
    if bend.kind is None and windows_of(bend.function, bend.args, bend.kwargs, bend.given, result) is None:
        return set()
    return nodes_between(result, bend.node)


def _boundary(net: Network, bend: Bend, calls: dict[str, Call], batch: int) -> Boundary | None:
    if bend.kind is None:
        return _pool(bend, batch)
    if not bend.kind.piecewise_linear:
        return None
    call = calls[bend.name]
    layout, found = net.batch_layout(call, batch), kinks(bend.function, bend.args, bend.kwargs)
    if layout is None or found is None:
        why = "has no dimension that counts samples" if layout is None else "has bounds that are tensors"
        raise UnsupportedModelError(f"the boundaries of {bend.name} are not known: it {why}")
    site = net.site_of(call, batch)
    shape = tuple(layout.to_samples(call.tensor.detach(), batch).shape[1:])
    return Boundary(bend.name, shape, bend.given, layout, batch, found, site=site)


def _pool(bend: Bend, batch: int) -> Boundary | None:
    result = bend.result[0] if isinstance(bend.result, tuple) else bend.result
    places = windows_of(bend.function, bend.args, bend.kwargs, bend.given, result)
    if places is None or bend.given.shape[0] % batch:
        return None
    folds = bend.given.shape[0] // batch
    if folds > 1:
        step = bend.given[0].numel()
        places = torch.cat([torch.where(places < 0, -1, places + i * step) for i in range(folds)])
    layout = Layout(folded=folds > 1)
    return Boundary(bend.name, tuple(places.shape), bend.given, layout, batch, places=places)
