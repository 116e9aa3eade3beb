"""Seeing, and rewriting, every call of an activation function while a model runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from critpath.errors import OptionError, UnsupportedModelError
from critpath.network.activations import (
    ATTENTION,
    BENDING,
    CHANNELS_FIRST,
    CHANNELS_LAST,
    HIDDEN_INSIDE,
    MODULE,
    Kind,
    is_composite_activation,
    known_kinds,
    recognise,
    writes_in_place,
)
from critpath.network.attention import ATTENDS, MULTI_HEAD, seen_inside
from critpath.network.state import Modules
from critpath.network.tokens import Lookup, Places, padding_of

GRADIENTS_OFF = "called where gradients are off (a custom autograd.Function, or no_grad in the model)"
CHECKPOINTED = (
    "uses gradient checkpointing, which runs a part of it again, unobserved, on the way back: switch that "
    "off (model.gradient_checkpointing_disable() in transformers, memory_efficient=False in torchvision's DenseNet)"
)
INDEPENDENT = "no gradient reaches it from the input"


@dataclass(frozen=True)
class Call:
    """One activation call: its name, what was computed, and how it was written.

    ``tensor`` is the output, in the graph; ``version`` its count of in-place changes at that moment.
    """

    name: str
    kind: Kind
    tensor: Tensor
    version: int
    module: str
    functional: bool
    in_place: bool
    channels_last: bool

    @property
    def spoiled(self) -> bool:
        """Whether the model has since overwritten the output, so that it is no longer the activation."""
        return self.tensor._version != self.version


Embed = Callable[[int, Tensor], Tensor]
"""Given the number of a lookup of the input's tokens, and what was looked up, what the model goes on with."""


@dataclass(frozen=True)
class Bend:
    """A call that may bend the network: its name, the function and its arguments, before it is made.

    ``kind`` is that of an activation, None for other functions, whose ``result`` is known. ``node`` is where what was
    given comes from in the graph.
    """

    name: str
    kind: Kind | None
    function: str
    given: Tensor
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    node: Node | None
    result: Any = None


Notice = Callable[[Bend], Any]
"""Told of every bend, activations before they are computed and perhaps overwrite; gives what to keep of it."""

Rewrite = Callable[[Call], Tensor]
"""Given a call, the tensor that the model shall go on with; ``call.tensor`` itself to change nothing."""


class Observer(TorchFunctionMode):
    """Collects the activation calls of one forward pass, and lets ``rewrite`` change their outputs.

    Calls are seen as functions, so ``nn.ReLU``, ``F.relu``, ``x.relu_()`` and ``torch.clamp(x, min=0)``
    are alike; module hooks only tell which module is running. ``protect`` names calls whose output the
    model overwrites later: they hand the model a copy. ``tokens`` is the input that embeddings are looked up by;
    ``lookups`` are what was found for them, as leaves of the graph, and ``embed`` may change it; ``mixed`` names
    modules that looked up integers made of several tokens. ``seeds`` are other tensors made to require gradients
    because nothing before them does. With ``forward_only``, names of calls, these are recorded and no graph is
    expected. With ``attention``, attention's heads are sites. ``notice`` is told of activations and ``BENDING``
    functions; ``noticed`` is what it gave.
    """

    def __init__(
        self,
        rewrite: Rewrite | None,
        protect: frozenset[str],
        as_sites: frozenset[str],
        has_float_input: bool,
        tokens: Tensor | None = None,
        embed: Embed | None = None,
        forward_only: frozenset[str] = frozenset(),
        notice: Notice | None = None,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.left_out: dict[str, str] = {}
        self.hidden: Counter[str] = Counter()
        self.seeds: list[Tensor] = []
        self.lookups: list[Lookup] = []
        self.mixed: list[str] = []
        self._places, self._embed, self._forward_only = Places(tokens), embed, forward_only
        self.noticed: list[Any] = []
        self._notice, self._bends = notice, Counter[str]()
        self._attention = attention
        self._rewrite, self._protect, self._as_sites = rewrite, protect, as_sites
        self._seed_sites = not has_float_input
        self._running: list[tuple[str, nn.Module]] = [("", nn.Module())]
        self._counts: Counter[str] = Counter()
        self._muted = 0
        self._outer_hooks: object = None
        self._channels_last: dict[int, bool] = {}

    @contextmanager
    def watching(self, modules: Modules) -> Iterator[None]:
        """While inside, what these modules do is observed. The hooks are torch's global ones: none is put on them."""
        names = {module: plain_name(name) for name, module in modules.items()}
        whole = {module: kind for module, name in names.items() if (kind := self._whole_site(name, module))}

        def before(module: nn.Module, args: object) -> None:
            if module in names:
                self._running.append((names[module], module))
                self._muted += module in whole

        def after(module: nn.Module, args: object, output: Any) -> Any:
            return self._left(whole.get(module), output) if module in names else None

        self._outer_hooks = _saved_tensor_hooks()
        with ExitStack() as stack:
            stack.callback(register_module_forward_pre_hook(before).remove)
            stack.callback(register_module_forward_hook(after, always_call=True).remove)
            stack.enter_context(self)
            yield

    def _whole_site(self, name: str, module: nn.Module) -> Kind | None:
        """The kind of a module whose output is one site, whatever it calls inside; None for all others."""
        if name in self._as_sites:
            return MODULE
        return Kind(type(module).__name__) if is_composite_activation(module) else None

    def _left(self, whole: Kind | None, output: Any) -> Any:
        """A module has returned (or raised: then the output is None); its output if that is to change."""
        changed = None
        if whole is not None:
            self._muted -= 1
            changed = self._module_output(whole, output)
        self._running.pop()
        return changed

    def _module_output(self, kind: Kind, output: Any) -> Any:
        if self._muted or output is None:
            return None
        first = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(first, Tensor) or not first.is_floating_point():
            name, module = self._running[-1]
            raise OptionError(
                f"also= names {name!r} ({type(module).__name__}), which returns {type(output).__name__}; a "
                "module that is a site returns a floating-point tensor, or a tuple that starts with one"
            )
        changed = self._pass_on(kind, first, in_place=False)
        if changed is first:
            return None
        if hasattr(output, "_replace"):
            return output._replace(**{output._fields[0]: changed})
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").partition(".")[0]
        if _saved_tensor_hooks() != self._outer_hooks:
            raise UnsupportedModelError(f"{self._running[-1][0] or 'the model'} {CHECKPOINTED}")
        kind = None if self._muted else recognise(name, args, kwargs)
        if kind is None:
            result = self._noted(name, self._attended(name, func, args, kwargs))
            if self._notice and name in BENDING and not self._muted:
                self._notice_other(name, args, kwargs, result)
            return self._entered(name, func, result, args, kwargs)
        given = args[0] if args else kwargs["input"]
        if not given.is_floating_point():
            return self._entered(name, func, func(*args, **kwargs), args, kwargs)
        if not torch.is_grad_enabled() and not self._forward_only:
            self.hidden[f"{kind.name} {GRADIENTS_OFF}"] += 1
            return func(*args, **kwargs)
        if self._notice:
            self.noticed.append(self._notice(Bend(self._name(), kind, name, given, args, kwargs, given.grad_fn)))
        if not writes_in_place(name, kwargs):
            return self._pass_on(kind, func(*args, **kwargs), in_place=False)
        return self._in_place(kind, func, given, args, kwargs)

    def _attended(self, name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a function gives, where attention is asked for with what each head gives as a site."""
        if not self._attention or self._muted or not (torch.is_grad_enabled() or self._forward_only):
            return func(*args, **kwargs)
        if name == MULTI_HEAD:
            func = seen_inside(func, self._heads)
        found = func(*args, **kwargs)
        return self._heads(found) if name == ATTENDS else found

    def _heads(self, output: Tensor) -> Tensor:
        return self._pass_on(ATTENTION, output, in_place=False)

    def _notice_other(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        given = args[0] if args else kwargs.get("input")
        if self._notice is None or not isinstance(given, Tensor) or not given.is_floating_point():
            return
        running = self._running[-1][0]
        self._bends[running] += 1
        number = f"{running}#{self._bends[running] - 1}"
        self.noticed.append(self._notice(Bend(number, None, name, given, args, kwargs, given.grad_fn, result)))

    def _in_place(
        self,
        kind: Kind,
        func: Callable[..., Any],
        given: Tensor,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Tensor:
        """In place is left in place where it can be; else computed beside and written back.

        Written back: where the value is to be changed, where the model overwrites it again, on a view, whose
        base carries the gradient, and where the graph starts here.
        """
        plainly = given.requires_grad and not given._is_view() and self._name() not in self._protect
        if self._rewrite is None and plainly:
            return self._pass_on(kind, func(*args, **kwargs), in_place=True)
        copied = {**kwargs, "input": given.clone()} if not args else kwargs
        result = func(*([given.clone(), *args[1:]] if args else []), **copied)
        changed = self._pass_on(kind, result, in_place=True)
        return given.copy_(changed)

    def _pass_on(self, kind: Kind, output: Tensor, in_place: bool) -> Tensor:
        """Record the call under its name and return what the model goes on with."""
        name = self._name()
        self._counts[self._running[-1][0]] += 1
        if not output.requires_grad and name not in self._forward_only:
            if self._forward_only or not self._seed_sites or output.dim() < 2:
                self.left_out[name] = INDEPENDENT
                return output
            output = self._seed(output)
        call = self._call(name, kind, output, in_place)
        changed = output if self._rewrite is None else self._rewrite(call)
        self.calls.append(call if changed is output else self._call(name, kind, changed, in_place))
        return changed.clone() if name in self._protect and not in_place else changed

    def _call(self, name: str, kind: Kind, tensor: Tensor, in_place: bool) -> Call:
        module = self._running[-1][1]
        functional = kind in known_kinds() and not type(module).__module__.startswith("torch.nn.modules.activation")
        last = self._channels_last.get(tensor.dim(), tensor.dim() <= 3) and kind is not ATTENTION
        return Call(name, kind, tensor, tensor._version, type(module).__name__, functional, in_place, last)

    def _name(self) -> str:
        running = self._running[-1][0]
        return f"{running}#{self._counts[running]}"

    def _noted(self, name: str, result: Any) -> Any:
        if (name in CHANNELS_FIRST or name in CHANNELS_LAST) and isinstance(result, Tensor):
            self._channels_last[result.dim()] = name in CHANNELS_LAST
        if name in HIDDEN_INSIDE:
            self.hidden[HIDDEN_INSIDE[name]] += 1
        return result

    def _entered(
        self, name: str, func: Callable[..., Any], result: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What was looked up for tokens, or by other indices in an embedding, as the start of a graph."""
        places = self._places.looked_up(name, args, kwargs)
        mixes = self._places.mixes(name, args, kwargs)
        if places is None and not mixes and name != "embedding":
            return self._places.follow(name, func, args, kwargs, result)
        if not result.is_floating_point():
            self._places.note(result, places)  # tokens of another vocabulary
            return result
        if result.requires_grad or not (torch.is_grad_enabled() or self._forward_only):
            return result
        found = None if places is None else self._places.gathered(result, places)
        if places is not None and found is not None:
            return self._looked_up(result, found, places, padding_of(kwargs))
        if mixes or places is not None:
            self.mixed.append(self._running[-1][0])
        return result if self._forward_only else self._seed(result)

    def _looked_up(self, result: Tensor, found: Tensor, places: Tensor, padding: int | None) -> Tensor:
        values = self._embed(len(self.lookups), found) if self._embed else found
        if not self._forward_only:
            values = values.detach().requires_grad_()
        self.lookups.append(Lookup(self._running[-1][0], values, padding))
        handed = self._places.handed(values, places, result)
        return handed.clone() if handed is values else handed

    def _seed(self, tensor: Tensor) -> Tensor:
        """The same values, as the start of a graph; a copy is handed on so that it may be overwritten."""
        seed = tensor.detach().requires_grad_()
        self.seeds.append(seed)
        return seed.clone()


def _saved_tensor_hooks() -> object:
    """What is done with tensors that autograd saves; torch.utils.checkpoint puts in hooks of its own."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


def plain_name(name: str) -> str:
    """A module's name without the wrappers of torch.compile."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod") if "_orig_mod" in name else name
