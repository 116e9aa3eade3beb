"""``Network``: the user's module, run with its neurons in view, and left as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from critpath.errors import CritpathError, ForwardError, NoSitesError, OptionError
from critpath.network.activations import ATTENTION
from critpath.network.boundaries import Boundaries, boundaries
from critpath.network.doctor import Diagnosis, diagnose
from critpath.network.footprint import footprint
from critpath.network.inputs import (
    ModelInput,
    batch_size,
    call_arguments,
    check_finite,
    describe,
    map_tensors,
    of_another_size,
    tensors_of,
    tokens_of,
)
from critpath.network.layout import Layout, settle
from critpath.network.observer import Call, Embed, Notice, Observer, Rewrite, plain_name
from critpath.network.run import Run
from critpath.network.slopes import slopes
from critpath.network.state import parameters_of, untouched
from critpath.network.suffix import Reruns, Suffix, suffix
from critpath.network.tokens import Lookup
from critpath.network.wrappers import check_mode, eager, unwrapped
from critpath.neurons import NeuronSpace, Site

NO_BATCH = "has no dimension that counts samples"
NOT_WANTED = "left out by only="

Rule = Callable[[Site, Tensor], Tensor]
"""Given a site and its activations [batch, *shape], the values that the network goes on with."""


class _InRule(Exception):  # noqa: N818
    """Carries what a rule raised through the model, so that it is not taken for the model's own failure."""


class _GraphDropped(RuntimeError):  # noqa: N818
    """Something goes back through a run that was made without its graph: the caller, or the model as it runs."""


class Network:
    """A trained model whose neurons can be seen and rewritten while it runs.

    The model is not changed: after every call it has the same hooks, modes, flags, buffers and random
    state as before, also where it raised. Not to be used from two threads at once.

    Parameters
    ----------
    model
        Any ``nn.Module`` in eval mode. A model compiled with ``torch.compile`` is run uncompiled; ``DataParallel`` and
        ``DistributedDataParallel`` are unwrapped.
    only
        Patterns (``fnmatch``) of site names; calls that match none are no sites.
    also
        Names of modules whose output is a site, an attention block for one; what they call inside is not.
    attention
        Make what attention's heads give sites, too: every call of scaled dot product attention, with samples
        [heads, length, features] and heads as channels. Raises NoSitesError, when run, where none is called.
    allow_training
        Run a model that is in training mode as it is, dropout and batch statistics included.
    export
        Whether reruns that start at a site run a graph made by ``torch.export`` (True), the whole network (False), or
        the graph where that pays, from 100,000 neurons per sample on (None). The results are the same.

    Raises
    ------
    TrainingModeError, UnsupportedModelError, OptionError
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        only: Iterable[str] | None = None,
        also: Iterable[str] = (),
        attention: bool = False,
        allow_training: bool = False,
        export: bool | None = None,
    ) -> None:
        self.model = unwrapped(model)
        self._only = None if only is None else tuple(only)
        self.also = frozenset(also)
        self.attention = attention
        self._allow_training = allow_training
        self._layouts: dict[tuple[str, tuple[int, ...], int], Layout | None] = {}
        self._protect: frozenset[str] = frozenset()
        self._fingerprint: tuple[object, str] = (None, "")
        self._footprints: dict[object, int] = {}
        self.reruns = Reruns(export)
        self._check_names()
        check_mode(dict(self.model.named_modules()), allow_training)

    def __repr__(self) -> str:
        return f"Network({type(self.model).__name__}, fingerprint={self.fingerprint()})"

    def run(self, x: ModelInput, rule: Rule | None = None, graph: bool = True, embed: Embed | None = None) -> Run:
        """One forward pass with all neurons in view.

        ``x`` is a tensor [batch, ...], a tuple of positional arguments or a mapping of keyword ones. ``rule``
        gives the values that the network goes on with at each site. Without ``graph`` nothing is kept for a
        backward pass. ``embed`` changes what embeddings give for the tokens of the input: it takes the number of
        the lookup and [batch, length, features].

        Raises InputError, NoSitesError, ForwardError, TrainingModeError.
        """
        batch = batch_size(x)
        check_finite(x)
        observer, output, leaves = self.observe(x, rule and self.rewrite(rule, batch), graph, embed)
        if self.learn_layouts(x, observer.calls, batch) and rule is not None:
            return self.run(x, rule, graph, embed)  # the rule has not been asked at calls that were new
        return self._packed(observer, output, leaves, batch)

    def sites(self, x: ModelInput) -> NeuronSpace:
        """The sites that a run of ``x`` calls, in order."""
        return self.run(x, graph=False).space

    def doctor(self, x: ModelInput) -> Diagnosis:
        """What is seen of this network on ``x``, what is not and why, and what each method will cost."""
        return diagnose(self, x)

    def lookups(self, x: ModelInput) -> tuple[Lookup, ...]:
        """What the model's embeddings find for the tokens of the input; nothing for other inputs."""
        found = self.observe(x, graph=False)[0].lookups
        return tuple(replace(lookup, values=lookup.values.detach()) for lookup in found)

    def slopes(
        self,
        x: ModelInput,
        directions: Sequence[Tensor | None],
        space: NeuronSpace,
        embed: Embed | None = None,
        rule: Rule | None = None,
    ) -> tuple[Tensor, ...]:
        """How fast every activation changes as the input moves: [batch, *shape] per site, by forward-mode derivatives.

        ``directions`` has one tensor for each floating-point tensor of the input and None for the others; ``embed``
        may return dual tensors. ``rule`` is that of ``run``, given dual tensors: what it sets to a constant has slope
        zero. Raises ForwardError where the model has no forward-mode derivative.
        """
        return slopes(self, x, directions, space, embed, rule and self.rewrite(rule, batch_size(x)))

    def boundaries(self, x: ModelInput, rule: Rule | None = None) -> Boundaries:
        """Where the network, its activations rewritten by ``rule``, stops to be linear; see ``Boundaries``.

        Raises UnsupportedModelError where it is not piecewise linear, naming what bends it; InputError where no
        tensor of the input is floating-point.
        """
        return boundaries(self, x, rule)

    def device(self, x: ModelInput) -> torch.device:
        """Where the input is (of a model over several devices, where it starts)."""
        return tensors_of(x)[0].device

    def footprint(self, x: ModelInput) -> int:
        """Bytes that one sample's forward and backward pass takes, measured on the first sample."""
        key = tuple((tuple(t.shape[1:]), t.dtype, t.device) for t in tensors_of(x))
        if key not in self._footprints:
            self._footprints[key] = footprint(self, x)
        return self._footprints[key]

    def suffix(self, x: ModelInput, run: Run, site: str) -> Suffix:
        """Reruns of ``run`` (of ``x``) from one site on, its activation replaced; see ``Suffix``."""
        return suffix(self, x, run, site)

    def fingerprint(self) -> str:
        """16 hexadecimal digits of the parameters' and buffers' names, shapes and (sampled) values.

        Not noticed until the network is wrapped anew: values written in place through ``tensor.data``.
        """
        modules = dict(self.model.named_modules())
        tensors = [
            *parameters_of(modules),
            *(b for m in modules.values() for b in m._buffers.values() if b is not None),
        ]
        key = tuple((id(t), t._version, t.data_ptr()) for t in tensors if not t.is_inference())
        if self._fingerprint[0] != key:
            self._fingerprint = (key, _digest(self.model))
        return self._fingerprint[1]

    def observe(
        self,
        x: ModelInput,
        rewrite: Rewrite | None = None,
        graph: bool = True,
        embed: Embed | None = None,
        notice: Notice | None = None,
    ) -> tuple[Observer, Any, tuple[Tensor | None, ...]]:
        """The observed calls, the model's output, and the inputs as leaves; ``run`` makes a ``Run`` of them.

        Where the model overwrites an activation later on, it is run once more with that call protected.
        """
        try:
            seen = self._once(x, rewrite, graph, embed, notice)
        except _GraphDropped:  # the model itself takes gradients as it runs
            return self.observe(x, rewrite, True, embed, notice)
        spoiled = {call.name for call in seen[0].calls if call.spoiled}
        if not spoiled:
            return seen
        self._protect |= spoiled
        return self._once(x, rewrite, graph, embed, notice)

    def call(self, observer: Observer, modules: dict[str, nn.Module], arguments: ModelInput) -> Any:
        """The model's output, its calls observed; what it raises is told as its own failure."""
        check_mode(modules, self._allow_training)
        args, kwargs = call_arguments(arguments)
        try:
            with observer.watching(modules):
                return self.model(*args, **kwargs)
        except _InRule as error:
            raise error.__cause__ or error from None
        except (CritpathError, _GraphDropped):
            raise
        except Exception as error:
            raise ForwardError(self._failure(error, arguments)) from error

    def layout_of(self, call: Call, batch: int) -> Layout | None:
        """How the call's output holds the batch; None where it does not, or is not wanted."""
        wanted = self._only is None or any(fnmatchcase(call.name, pattern) for pattern in self._only)
        return self._layouts.get(_layout_key(call, batch)) if wanted else None

    def batch_layout(self, call: Call, batch: int) -> Layout | None:
        """How the call's output holds the batch, also of a call left out by ``only``; None where it does not."""
        return self._layouts.get(_layout_key(call, batch))

    def site_of(self, call: Call, batch: int) -> Site | None:
        """The site that a call is, None where it is none."""
        layout = self.layout_of(call, batch)
        return None if layout is None else _site(call, layout, batch)

    def reason_left_out(self, call: Call, batch: int) -> str:
        """Why a call is no site; empty where it is one."""
        if self.layout_of(call, batch) is not None:
            return ""
        return NO_BATCH if self._layouts.get(_layout_key(call, batch)) is None else NOT_WANTED

    def _once(
        self, x: ModelInput, rewrite: Rewrite | None, graph: bool, embed: Embed | None, notice: Notice | None
    ) -> tuple[Observer, Any, tuple[Tensor | None, ...]]:
        modules = dict(self.model.named_modules())
        with untouched(modules), eager(), _graph(graph):
            arguments, leaves = _with_leaves(x)
            floats = any(leaf is not None for leaf in leaves)
            tokens, attention = tokens_of(arguments), self.attention
            observer = Observer(
                rewrite, self._protect, self.also, floats, tokens, embed, notice=notice, attention=attention
            )
            return observer, self.call(observer, modules, arguments), leaves

    def rewrite(self, rule: Rule, batch: int) -> Rewrite:
        """The rule as it is asked at a call: at sites only, with samples first."""

        def rewrite(call: Call) -> Tensor:
            layout = self.layout_of(call, batch)
            if layout is None:
                return call.tensor
            samples = layout.to_samples(call.tensor, batch)
            try:
                changed = rule(_site(call, layout, batch), samples)
            except Exception as error:
                raise _InRule from error
            return layout.from_samples(changed)

        return rewrite

    def learn_layouts(self, x: ModelInput, calls: list[Call], batch: int) -> bool:
        """Settle the layout of calls that were not seen before; whether there were any."""
        new = [call for call in calls if _layout_key(call, batch) not in self._layouts]
        if not new:
            return False
        other, size = of_another_size(x)
        try:
            again = {call.name: call.tensor for call in self.observe(other, graph=False)[0].calls}
        except ForwardError:  # a model may need just this number of samples
            again = {}
        for call in new:
            self._layouts[_layout_key(call, batch)] = settle(call.tensor, batch, again.get(call.name), size)
        return True

    def _packed(self, observer: Observer, output: Any, leaves: tuple[Tensor | None, ...], batch: int) -> Run:
        placed = [(call, layout) for call in observer.calls if (layout := self.layout_of(call, batch))]
        if not placed:
            raise NoSitesError(self._nothing_seen(observer, batch))
        if self.attention and not any(call.kind is ATTENTION for call in observer.calls):
            raise NoSitesError(
                f"attention=True, but {type(self.model).__name__} calls scaled_dot_product_attention nowhere that can "
                "be seen: load a transformers model with attn_implementation='sdpa', call nn.MultiheadAttention with "
                "need_weights=False, or name attention modules with also="
            )
        return Run(
            space=NeuronSpace(tuple(_site(call, lay, batch) for call, lay in placed), self.fingerprint()),
            batch=batch,
            output=output,
            inputs=leaves,
            lookups=tuple(lookup.values for lookup in observer.lookups),
            seeds=tuple(observer.seeds),
            activations=tuple(call.tensor for call, _ in placed),
            layouts=tuple(layout for _, layout in placed),
            mixed=tuple(observer.mixed),
        )

    def _nothing_seen(self, observer: Observer, batch: int) -> str:
        left_out = [f"{c.name} {self.reason_left_out(c, batch)}" for c in observer.calls]
        left_out += [f"{name} {why}" for name, why in observer.left_out.items()] + list(observer.hidden)
        seen = f" Seen but no sites: {'; '.join(left_out[:6])}." if left_out else ""
        return (
            f"{type(self.model).__name__} called no activation function that could be a site (ReLU, GELU, sigmoid "
            f"and the like, as modules, functions or methods).{seen} Name modules whose output shall be a site "
            "with Network(model, also=[...])."
        )

    def _failure(self, error: Exception, x: ModelInput) -> str:
        first = next(self.model.parameters(), None)
        kept = (
            f"; its parameters are {str(first.dtype).removeprefix('torch.')} on {first.device}"
            if first is not None
            else ""
        )
        return (
            f"{type(self.model).__name__} cannot run this input: {type(error).__name__}: {error}. "
            f"The input was {describe(x)}{kept}."
        )

    def _check_names(self) -> None:
        known = {plain_name(name) for name, _ in self.model.named_modules()}
        if missing := sorted(self.also - known):
            raise OptionError(f"also= names {missing[0]!r}, which is no module of {type(self.model).__name__}")


def _with_leaves(x: ModelInput) -> tuple[ModelInput, tuple[Tensor | None, ...]]:
    """Copies of the inputs to hand to the model, and the leaves of the graph they come from."""
    leaves = [t.detach().clone().requires_grad_() if t.is_floating_point() else None for t in tensors_of(x)]
    waiting = iter(leaves)

    def copy(tensor: Tensor) -> Tensor:
        leaf = next(waiting)
        return tensor.clone() if leaf is None else leaf.clone()

    return map_tensors(x, copy), tuple(leaves)


def _graph(kept: bool) -> AbstractContextManager[object]:
    """Without a graph: what autograd would save is dropped, but what depends on the input is still known."""
    return nullcontext() if kept else saved_tensors_hooks(lambda tensor: None, _no_graph)


def _no_graph(saved: None) -> Tensor:
    raise _GraphDropped("this run was made with graph=False, so there is nothing to go back through")


def _layout_key(call: Call, batch: int) -> tuple[str, tuple[int, ...], int]:
    return call.name, tuple(call.tensor.shape), batch


def _site(call: Call, layout: Layout, batch: int) -> Site:
    shape = tuple(layout.to_samples(call.tensor.detach(), batch).shape[1:])
    last = max(len(shape) - 1, 0)
    channel_dim = last if call.channels_last else min(int(layout.folded), last)
    return Site(call.name, shape, call.kind.name, channel_dim, call.kind.piecewise_linear, call.kind.rectifying)


def _digest(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        if tensor.is_meta:  # offloaded by accelerate: elsewhere, and known by name and shape only
            continue
        flat = tensor.detach().flatten()
        digest.update(flat[:: max(1, len(flat) // 256)].double().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
