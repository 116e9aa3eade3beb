"""Which tensors of a model its forward pass uses, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from critpath.errors import ForwardError
from critpath.network.inputs import ModelInput, call_arguments, describe, map_tensors
from critpath.network.model import Network
from critpath.network.state import untouched
from critpath.network.wrappers import eager, unwrapped

_READS = frozenset({"item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "__bool__", "__float__", "__int__"})
"""Functions that look at values and give no tensor; other functions that give none (``shape``) look at none."""


Key = tuple[int, int, int]
"""A piece of memory; see ``memory_of``."""


@dataclass(frozen=True)
class Use:
    """One parameter or buffer, and when the forward pass uses it.

    ``also`` are further names of the same tensor. ``first`` and ``last`` number the occasions on which functions were
    given any of the model's tensors, from 0 on; both are None where the forward pass never uses this one.
    """

    name: str
    also: tuple[str, ...]
    kind: str
    shape: tuple[int, ...]
    first: int | None
    last: int | None

    @property
    def module(self) -> str:
        """The name of the module that owns it; of a parametrised tensor, the module that it is parametrised for."""
        parts = self.name.split(".")[:-1]
        return ".".join(parts[: parts.index("parametrizations")] if "parametrizations" in parts else parts)

    @property
    def used(self) -> bool:
        return self.first is not None


def parameter_usage(model: nn.Module | Network, x: ModelInput) -> tuple[Use, ...]:
    """Every parameter and buffer in the order of its first use in the forward pass of ``x``; the unused ones last.

    Use is seen in what torch's functions are given, so it does not matter which module owns a tensor or whether one
    runs at all. Tensors that share all their memory are one. What is not a torch function (a kernel called through
    ctypes, say) is not seen. The model is left as it was. Raises ForwardError, UnsupportedModelError, InputError.
    """
    inside = unwrapped(model.model if isinstance(model, Network) else model)
    named = named_tensors(inside)
    keys = {name: memory_of(tensor) for name, (_, tensor) in named.items()}
    modules = dict(inside.named_modules())
    with untouched(modules), eager():
        running = named_tensors(inside)  # buffers are copies here
        watch = _Watch(_Known([*_by_name(named, keys), *_by_name(running, keys)]))
        _call(inside, x, watch)
    return _in_order(named, keys, watch)


def named_tensors(model: nn.Module) -> dict[str, tuple[str, Tensor]]:
    """Every name of every parameter and buffer -> "parameter" or "buffer", and the tensor, in registration order."""
    parameters = {name: ("parameter", p) for name, p in model.named_parameters(remove_duplicate=False)}
    return parameters | {name: ("buffer", b) for name, b in model.named_buffers(remove_duplicate=False)}


def memory_of(tensor: Tensor) -> Key:
    """What tensors over the same memory have in common, transposed or not: their storage, and from which byte to which.

    A tensor without memory of its own has a negative number instead of a storage.
    """
    storage = _storage(tensor)
    if not storage or not tensor.numel():
        return (-1 - id(tensor), 0, 0)
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    start = int(tensor.storage_offset())
    return (storage, start * tensor.itemsize, (start + last + 1) * tensor.itemsize)


def _by_name(named: Mapping[str, tuple[str, Tensor]], keys: Mapping[str, Key]) -> list[tuple[Tensor, Key]]:
    return [(tensor, keys[name]) for name, (_, tensor) in named.items()]


def _in_order(named: Mapping[str, tuple[str, Tensor]], keys: Mapping[str, Key], watch: _Watch) -> tuple[Use, ...]:
    names = defaultdict(list)
    for name, key in keys.items():
        names[key].append(name)
    uses = [
        Use(first, tuple(rest), *_described(named[first]), watch.first.get(key), watch.last.get(key))
        for key, (first, *rest) in names.items()
    ]
    return tuple(sorted(uses, key=lambda use: watch.seen if use.first is None else use.first))


def _described(entry: tuple[str, Tensor]) -> tuple[str, tuple[int, ...]]:
    return entry[0], tuple(entry[1].shape)


def _call(model: nn.Module, x: ModelInput, watch: _Watch) -> None:
    args, kwargs = call_arguments(map_tensors(x, lambda tensor: tensor.detach().clone()))
    try:
        with watch:
            model(*args, **kwargs)
    except Exception as error:
        raise ForwardError(
            f"{type(model).__name__} cannot run this input: {type(error).__name__}: {error}. "
            f"The input was {describe(x)}."
        ) from error


class _Known:
    """Tensors by identity, and by the memory that they lie in."""

    def __init__(self, tensors: Sequence[tuple[Tensor, Key]]) -> None:
        self._tensors = [tensor for tensor, _ in tensors]  # kept, so that no identity is given to another
        self._by_identity = {id(tensor): key for tensor, key in tensors}
        self._by_storage: dict[int, dict[Key, Key]] = defaultdict(dict)
        for tensor, key in tensors:
            memory = memory_of(tensor)
            self._by_storage[memory[0]][memory] = key

    def of(self, tensor: Tensor) -> Iterable[Key]:
        """The tensor itself, or those that it is a view of, whole or in part."""
        if (found := self._by_identity.get(id(tensor))) is not None:
            return (found,)
        storage, low, high = memory_of(tensor)
        near = self._by_storage.get(storage, {})
        return tuple(key for (_, start, end), key in near.items() if start < high and low < end)


@dataclass
class _Seen:
    seen: int = 0
    first: dict[Key, int] = field(default_factory=dict)
    last: dict[Key, int] = field(default_factory=dict)


class _Watch(TorchFunctionMode, _Seen):
    """Notes which of the known tensors functions are given."""

    def __init__(self, known: _Known) -> None:
        TorchFunctionMode.__init__(self)
        _Seen.__init__(self)
        self._known = known

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [key for tensor in _tensors((args, kwargs or {})) for key in self._known.of(tensor)]
        result = func(*args, **(kwargs or {}))
        if given and (getattr(func, "__name__", "") in _READS or next(_tensors(result), None) is not None):
            for key in given:
                self._note(key)
        return result

    def _note(self, key: Key) -> None:
        self.first.setdefault(key, self.seen)
        self.last[key] = self.seen
        self.seen += 1


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested arguments, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _storage(tensor: Tensor) -> int:
    """Where a tensor's memory starts; 0 where it has none of its own."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse, or wrapped by a function transform
        return 0
