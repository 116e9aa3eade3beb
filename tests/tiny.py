"""Small seeded float64 networks in evaluation mode, one of each kind, and inputs for them.

``NETWORKS`` maps a name to a ``Tiny``: ``build()`` gives a fresh model with the same weights each time,
``inputs(batch)`` what it is called with (a tensor, a tuple or a mapping; no two samples alike).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from critpath import NeuronSpace, NeuronValues, Site

CLASSES = 5
IMAGE = (3, 8, 8)


def conv_net() -> nn.Module:
    """Convolutions and ReLU modules, no way around the sites."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 10),
        nn.ReLU(),
        nn.Linear(10, CLASSES),
    )


class Residual(nn.Module):
    """Two residual blocks with batch norm; one ReLU module that is called in place four times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(4))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in (0, 2):
            inside = self.relu(self.norms[block](self.convs[block](x)))
            x = self.relu(x + self.norms[block + 1](self.convs[block + 1](inside)))
        return self.head(x.mean(dim=(2, 3)))


class MLP(nn.Module):
    """Functional ReLUs on vectors."""

    def __init__(self, inputs: int = 6, hidden: int = 12, classes: int = CLASSES) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.second(self.first(x).relu())))


class Transformer(nn.Module):
    """Single-head attention spelled out, layer norm and GELU, on vectors [batch, tokens, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.mix = nn.Linear(8, 8)
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(16, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norms[0](x)).chunk(3, dim=-1)
        x = x + self.mix((q @ k.transpose(1, 2) / 8**0.5).softmax(dim=-1) @ v)
        x = x + self.down(F.gelu(self.up(self.norms[1](x))))
        return self.head(x.mean(dim=1))


class TwoInputs(nn.Module):
    """An image and a vector, as positional arguments; joined in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 4, 3, stride=2)
        self.read = nn.Linear(5, 6)
        self.join = nn.Linear(4 * 9 + 6, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        parts = self.see(image).relu().flatten(1), self.read(vector).relu()
        return self.head(self.join(torch.cat(parts, dim=1)).relu())


class DictOutput(nn.Module):
    """A keyword-only forward that gives a mapping with logits and other tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = MLP()

    def forward(self, *, values: Tensor) -> dict[str, Tensor]:
        return {"hidden": self.body.first(values), "logits": self.body(values)}


class Answering(nn.Module):
    """An MLP whose output is put in a form by ``answer``."""

    def __init__(self, answer: Callable[[Tensor], Any], classes: int = CLASSES) -> None:
        super().__init__()
        self.body = MLP(classes=classes)
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(self.body(x))


def with_logits(logits: Tensor) -> SimpleNamespace:
    """Like the outputs of transformers: an object with ``logits`` among other things."""
    return SimpleNamespace(loss=None, logits=logits, hidden_states=(logits,))


@dataclass(frozen=True)
class Tiny:
    """How to build one network, and what to call it with."""

    architecture: Callable[[], nn.Module]
    inputs: Callable[[int], Any]
    seed: int = 0

    def build(self) -> nn.Module:
        return seeded(self.architecture, self.seed)


def seeded(architecture: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """The model in float64 and evaluation mode, its weights and statistics drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = architecture().double().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.2)
                nn.init.normal_(module.bias, 0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return model


def numbers(*shape: int, seed: int = 1) -> Tensor:
    """Normally distributed float64 values, the same for the same shape and seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NETWORKS: dict[str, Tiny] = {
    "conv": Tiny(conv_net, lambda batch: numbers(batch, *IMAGE)),
    "residual": Tiny(Residual, lambda batch: numbers(batch, *IMAGE)),
    "mlp": Tiny(MLP, lambda batch: numbers(batch, 6)),
    "transformer": Tiny(Transformer, lambda batch: numbers(batch, 7, 8)),
    "two_inputs": Tiny(TwoInputs, lambda batch: (numbers(batch, *IMAGE), numbers(batch, 5, seed=2))),
    "dict_output": Tiny(DictOutput, lambda batch: {"values": numbers(batch, 6)}),
}


def sample(x: Any, index: int) -> Any:
    """One sample of an input, as a batch of one."""
    if isinstance(x, Tensor):
        return x[index : index + 1]
    if isinstance(x, dict):
        return {name: value[index : index + 1] for name, value in x.items()}
    return tuple(value[index : index + 1] for value in x)


def space_of(*shapes: tuple[int, ...], channels_last: bool = False) -> NeuronSpace:
    """A space with sites s0, s1, ... of these shapes."""
    return NeuronSpace(
        tuple(
            Site(f"s{i}", shape, "relu", channel_dim=max(len(shape) - 1, 0) if channels_last else 0)
            for i, shape in enumerate(shapes)
        ),
        "f1",
    )


def values_of(*tensors: Tensor, channels_last: bool = False) -> NeuronValues:
    """Values over ``space_of`` the tensors' own shapes; the first dimension is the batch."""
    space = space_of(*(tuple(t.shape[1:]) for t in tensors), channels_last=channels_last)
    return NeuronValues(space, tensors)
