"""One forward pass with its neuron sites, and backward passes over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from critpath.errors import NumericalError, UnsupportedModelError
from critpath.network.layout import Layout
from critpath.network.routes import are_cuts
from critpath.neurons import NeuronSpace, NeuronValues, Site, all_finite, wide

SiteFunction = Callable[[Tensor, Tensor], Tensor]
AtSite = Callable[[int, Tensor], Tensor | None]
BackwardRule = Callable[[Site, Tensor, Tensor], Tensor]
"""Given a site, its activations and the gradient that comes back to them, [batch, *shape] both, what goes on back."""


@dataclass(frozen=True, eq=False)
class Run:
    """One forward pass: the model's output, its neurons' activations, and the graph that joins them.

    ``inputs`` are the floating-point inputs, as leaves of the graph (None for integer ones), ``lookups`` what was
    looked up for tokens, [batch, length, features]; ``seeds`` are other tensors that stand in for inputs. ``mixed``
    names modules that looked up integers made of several tokens, which stay. Any number of backward passes may be made;
    the graph lives as long as the run does.
    """

    space: NeuronSpace
    batch: int
    output: Any
    inputs: tuple[Tensor | None, ...]
    lookups: tuple[Tensor, ...]
    seeds: tuple[Tensor, ...]
    activations: tuple[Tensor, ...]
    layouts: tuple[Layout, ...]
    mixed: tuple[str, ...] = ()

    @property
    def moving(self) -> tuple[Tensor | None, ...]:
        """What a method may move: one entry for each input, None for integer ones, then one for each lookup."""
        return (*self.inputs, *self.lookups)

    def values(self) -> NeuronValues:
        """The activations, detached: [batch, *shape] per site."""
        return NeuronValues(self.space, tuple(self._samples(i, a.detach()) for i, a in enumerate(self.activations)))

    def activation(self, site: str) -> Tensor:
        """The activations of one site, in the graph: [batch, *shape]."""
        position = self.space.position(site)
        return self._samples(position, self.activations[position])

    def read(self, response: Tensor, function: SiteFunction, last: bool = False) -> NeuronValues:
        """``function(a, dresponse/da)`` at every site, in one backward pass.

        ``response`` is [batch], one scalar per sample. Values are at least float32. A site that the
        response does not depend on gets zeros. Raises NumericalError where a value is not finite. The ``last``
        backward pass of a run frees its graph on the way, and leaves it to the caller to look for values that
        are not finite.
        """
        found: list[Tensor | None] = [None] * len(self.space)

        def at_site(position: int, gradient: Tensor) -> None:
            activation = self._samples(position, self.activations[position].detach())
            found[position] = function(wide(activation), wide(self._samples(position, gradient)))

        self._backward(response, at_site, keep_graph=not last)
        values = [f if f is not None else self._zeros(i) for i, f in enumerate(found)]
        if not last:
            self._check(self.space.sites, values)
        return NeuronValues(self.space, tuple(values))

    def input_gradients(
        self, response: Tensor, keep: NeuronValues | None = None, rule: BackwardRule | None = None
    ) -> tuple[Tensor | None, ...]:
        """dresponse/dinput for everything that is ``moving``, and None where that has None.

        ``rule`` rewrites the gradient at every site that it reaches. ``keep`` stands for one such rule: booleans, by
        which the gradient stops at every neuron that is not kept, which so acts as a constant. Give one of the two.
        """
        change = rule if keep is None else _stopping(keep)

        def at_site(position: int, gradient: Tensor) -> Tensor | None:
            if change is None:
                return None
            activation = self._samples(position, self.activations[position].detach())
            changed = change(self.space.sites[position], activation, self._samples(position, gradient))
            return self.layouts[position].from_samples(changed).to(gradient)

        gradients = self._backward(response, at_site if change is not None else None)
        for gradient in gradients:
            if gradient is not None and not all_finite(gradient):
                raise NumericalError(
                    f"the gradient with respect to the input, {list(gradient.shape)}, is not finite everywhere; "
                    "run in float32 or float64, or check the weights for extreme values"
                )
        return gradients

    def site_gradients(self, response: Tensor, positions: Sequence[int]) -> list[Tensor]:
        """dresponse/da at some sites, [batch, *shape] each, going back no further than these."""
        found = _gradients(response, [self.activations[p] for p in positions])
        whole = [_or_zeros(g, self.activations[p]) for p, g in zip(positions, found, strict=True)]
        self._check([self.space.sites[p] for p in positions], whole)
        return [self._samples(p, gradient) for p, gradient in zip(positions, whole, strict=True)]

    def from_sites(self, positions: Sequence[int], weights: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Gradients of several weighted sums of activations with respect to what is ``moving``: [units, *its shape].

        ``weights`` holds [units, batch, *shape] for each site. The forward pass is shared by all units.
        """
        raw = [_each(w, self.layouts[p].from_samples) for p, w in zip(positions, weights, strict=True)]
        leaves = [leaf for leaf in self.moving if leaf is not None]
        gradients = iter(batched_gradients([self.activations[p] for p in positions], leaves, raw))
        return tuple(None if leaf is None else next(gradients) for leaf in self.moving)

    def cuts(self, response: Tensor) -> tuple[bool, ...]:
        """For each site, whether every route from the input to the response passes it.

        A residual branch is no cut, nor is one branch of several that are joined later.
        """
        leaves = [leaf for leaf in self.moving if leaf is not None] or self.seeds
        return are_cuts(response, leaves, self.activations)

    def _backward(self, response: Tensor, at_site: AtSite | None, keep_graph: bool = True) -> tuple[Tensor | None, ...]:
        leaves = [leaf for leaf in (*self.moving, *self.seeds) if leaf is not None]
        if not response.requires_grad:
            raise NumericalError(
                "the response does not depend on any neuron through differentiable operations: it is constant, or "
                "the model detaches what it is made of"
            )
        with self._hooks(at_site):
            found = _gradients(response, leaves, keep_graph)
        gradients = iter(found)
        return tuple(None if leaf is None else _or_zeros(next(gradients), leaf) for leaf in self.moving)

    @contextmanager
    def _hooks(self, at_site: AtSite | None) -> Iterator[None]:
        hooks = [partial(at_site, position) for position in range(len(self.activations))] if at_site else []
        pairs = zip(self.activations, hooks, strict=False)
        handles = [activation.register_hook(hook) for activation, hook in pairs]  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _samples(self, position: int, raw: Tensor) -> Tensor:
        return self.layouts[position].to_samples(raw, self.batch)

    def _zeros(self, position: int) -> Tensor:
        return torch.zeros_like(wide(self._samples(position, self.activations[position].detach())))

    def _check(self, sites: Sequence[Site], values: Sequence[Tensor]) -> None:
        for site, value in zip(sites, values, strict=True):
            if not all_finite(value):
                raise NumericalError(
                    f"the values at site {site.name} {list(site.shape)} are not finite: NaN or infinity in its "
                    "activation or gradient; run in float32 or float64, or check the weights"
                )


def _stopping(keep: NeuronValues) -> BackwardRule:
    return lambda site, activation, gradient: gradient * keep[site.name].to(gradient.device)


def _gradients(response: Tensor, leaves: list[Tensor], keep_graph: bool = True) -> tuple[Tensor | None, ...]:
    ones = torch.ones_like(response)
    try:
        return torch.autograd.grad(response, leaves, ones, retain_graph=keep_graph, allow_unused=True)
    except RuntimeError as error:
        raise UnsupportedModelError(f"the response cannot be differentiated: {error}") from error


def _each(weights: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.stack([function(one) for one in weights])


def batched_gradients(outputs: list[Tensor], leaves: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    """All units in one vectorised backward pass, or one after the other where an operation cannot be vectorised."""
    found: Sequence[Tensor | None]
    try:
        found = torch.autograd.grad(
            outputs, leaves, weights, retain_graph=True, allow_unused=True, is_grads_batched=True
        )
    except RuntimeError:
        rows = [
            torch.autograd.grad(outputs, leaves, list(row), retain_graph=True, allow_unused=True)
            for row in zip(*weights, strict=True)
        ]
        found = tuple(_stacked(column) for column in zip(*rows, strict=True))
    units = len(weights[0])
    return [_or_zeros(g, leaf.expand(units, *leaf.shape)) for g, leaf in zip(found, leaves, strict=True)]


def _stacked(column: Sequence[Tensor | None]) -> Tensor | None:
    return None if column[0] is None else torch.stack([one for one in column if one is not None])


def _or_zeros(gradient: Tensor | None, leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if gradient is None else gradient
