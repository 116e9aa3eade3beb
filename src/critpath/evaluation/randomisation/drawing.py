"""New values for parameters."""

from __future__ import annotations

import hashlib
import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from critpath.evaluation.randomisation.parts import Parts, Tensors, owner, restoring
from critpath.network.state import untouched
from critpath.options import check_choice, check_count, check_number

HOW = ("gaussian", "reinitialised", "shuffled")
BUFFERS = ("kept", "reset")
OWN = "reset_parameters of its module"
DEFAULT = "torch's default for its shape (its module has no initialiser for it)"


@dataclass(frozen=True)
class Change:
    """How parameters are randomised; see ``parameter_randomisation``. Raises OptionError."""

    how: str = "gaussian"
    std: float | str = 0.1
    buffers: str = "kept"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("how", self.how, HOW)
        check_choice("buffers", self.buffers, BUFFERS)
        check_count("seed", self.seed, 0)
        if self.std != "matched":
            check_number("std", self.std, 0, above=True)


@dataclass(frozen=True, eq=False)
class New:
    """Values for one tensor, and in words where they come from."""

    values: Tensor
    words: str


Draw = Callable[[Tensor, torch.Generator], New]


def new_values(parts: Parts, saved: Tensors, names: Sequence[str], change: Change, repeat: int) -> dict[str, New]:
    """What the tensors of these names become; each is drawn by a generator of its seed, repeat and name alone."""
    kinds = {use.name: use.kind for use in parts.uses}
    statistics = [name for name in names if kinds[name] == "buffer"]
    parameters = [name for name in names if kinds[name] == "parameter"]
    return _reset(parts.model, statistics) | _randomised(parts.model, saved, parameters, change, repeat)


def generator_of(name: str, seed: int, repeat: int) -> torch.Generator:
    """A generator of its own for every tensor and repeat."""
    return torch.Generator().manual_seed(_seed(name, seed, repeat))


def _seed(name: str, seed: int, repeat: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {repeat} {name}".encode()).digest()[:8], "little") >> 1


def _randomised(model: nn.Module, saved: Tensors, names: Sequence[str], change: Change, repeat: int) -> dict[str, New]:
    own = _own_values(model, names, change.seed, repeat) if change.how == "reinitialised" else {}
    draw = _DRAWS[change.how](change.std)
    others = [name for name in names if name not in own]
    return own | {name: draw(saved[name], generator_of(name, change.seed, repeat)) for name in others}


# ------------------------------------------------------------------------------------------- from a generator
def _gaussian(std: float | str) -> Draw:
    if isinstance(std, str):
        return _matched
    return lambda old, generator: New(_normal(old, generator) * std, f"normal, std {std:g}")


def _matched(old: Tensor, generator: torch.Generator) -> New:
    """Normal, with the mean and standard deviation of the values before."""
    values = old.to(torch.promote_types(old.dtype, torch.float64))
    return New(_normal(old, generator) * values.std(correction=0) + values.mean(), "normal, its own mean and std")


def _shuffled(std: float | str) -> Draw:
    def draw(old: Tensor, generator: torch.Generator) -> New:
        values, alike = old.flatten(), bool((old == old.flatten()[:1]).all())
        while torch.equal(new := values[_order(values, generator)], values) and not alike:
            pass  # a few values may well come in the order in which they were
        return New(new.view(old.shape), "shuffled")

    return draw


def _default(std: float | str) -> Draw:
    """Uniform within 1/sqrt(inputs), as torch's linear and convolution layers; of a vector, its length."""

    def draw(old: Tensor, generator: torch.Generator) -> New:
        inputs = prod(old.shape[1:]) if old.dim() > 1 else old.numel()
        middle = 0.5 + 0.5j if old.is_complex() else 0.5
        uniform = torch.rand(old.shape, generator=generator, dtype=_drawn_in(old)) - middle
        return New((uniform * 2 / inputs**0.5).to(old.device), DEFAULT)

    return draw


_DRAWS: dict[str, Callable[[float | str], Draw]] = {
    "gaussian": _gaussian,
    "shuffled": _shuffled,
    "reinitialised": _default,
}


def _order(values: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randperm(len(values), generator=generator).to(values.device)


def _normal(old: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal, drawn on the CPU so that every device gets the same; where ``old`` is."""
    return torch.randn(old.shape, generator=generator, dtype=_drawn_in(old)).to(old.device)


def _drawn_in(old: Tensor) -> torch.dtype:
    """Single precision, so that every type of a model gets the same."""
    return torch.complex64 if old.is_complex() else torch.float32


# ------------------------------------------------------------------------------------ from the module itself
def _own_values(model: nn.Module, names: Sequence[str], seed: int, repeat: int) -> dict[str, New]:
    """What the modules' own initialisers give to those of these parameters that they set."""
    found: dict[str, New] = {}
    for module in dict.fromkeys(name.rpartition(".")[0] for name in names):
        initialiser = _initialiser(model.get_submodule(module))
        if initialiser is not None:
            values = _after(model.get_submodule(module), initialiser, _seed(module, seed, repeat))
            found |= {_below(module, name): New(value, OWN) for name, value in values.items()}
    return {name: found[name] for name in names if name in found}


def _reset(model: nn.Module, names: Sequence[str]) -> dict[str, New]:
    """Running statistics as they are before training."""
    found: dict[str, New] = {}
    for name in names:
        module = owner(model, name)
        value = _after(module, getattr(module, "reset_running_stats"), 0)[name.rpartition(".")[2]]  # noqa: B009
        found[name] = New(value, "reset")
    return found


def _initialiser(module: nn.Module) -> Callable[[], object] | None:
    """The method that sets a module's parameters: ``reset_parameters``, or torch's ``_reset_parameters``."""
    for name in ("reset_parameters", "_reset_parameters"):
        method = getattr(module, name, None)
        if callable(method) and _takes_nothing(method):
            return method  # type: ignore[no-any-return]
    return None


def _takes_nothing(method: Callable[..., object]) -> bool:
    try:
        inspect.signature(method).bind()
    except (TypeError, ValueError):
        return False
    return True


def _after(module: nn.Module, act: Callable[[], object], seed: int) -> dict[str, Tensor]:
    """Values of a module's own parameters and buffers once ``act`` has run, those that it sets; all is put back."""
    parameters = dict(module.named_parameters())
    with restoring(parameters), _same_parameters(module), untouched(dict(module.named_modules())):
        for parameter in parameters.values():
            _blank(parameter)
        _seed_everything(seed)
        act()
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        return {name: tensor.detach().clone() for name, tensor in tensors if not tensor.isnan().any()}


@contextmanager
def _same_parameters(module: nn.Module) -> Iterator[None]:
    """Afterwards the module and those in it hold the parameters that they held, also where they were replaced."""
    before = [(part, dict(part._parameters)) for part in module.modules()]
    try:
        yield
    finally:
        for part, parameters in before:
            part._parameters.clear()
            part._parameters.update(parameters)


def _blank(parameter: Tensor) -> None:
    """NaN shows later what was not set."""
    if parameter.is_floating_point() or parameter.is_complex():
        parameter.data.fill_(torch.nan)


def _seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _below(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name
