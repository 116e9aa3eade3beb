"""How a network is trained, from nothing and by a seed: the same bits every time on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from critpath.errors import InputError, NumericalError, OptionError
from critpath.evaluation.retraining.resnet8 import ResNet8
from critpath.evaluation.retraining.split import Split, accuracy_of, checked_splits
from critpath.evaluation.values import Model
from critpath.network import gradients_on
from critpath.neurons import wide
from critpath.options import check_choice, check_count, check_flag, check_number, shown

Train: TypeAlias = Callable[[Split, Split, int], Model]
"""Training part, validation part, seed -> a trained model in evaluation mode. Wherever a ``Recipe`` goes."""

Alter: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
"""What is done to a batch of training images after crop and flip."""

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model, in evaluation mode, and its validation accuracy in [0, 1] after every epoch.

    The model is the one with the best accuracy, the earliest of several.
    """

    model: nn.Module
    accuracies: tuple[float, ...]

    @property
    def validation_accuracy(self) -> float:
        return max(self.accuracies)

    @property
    def epochs(self) -> int:
        """Epochs after which the model was kept."""
        return self.accuracies.index(self.validation_accuracy) + 1


@dataclass(frozen=True)
class Recipe:
    """Adam on cross-entropy, the rate times ``gamma`` every ``step`` epochs, the best epoch in validation kept.

    model
        A function without arguments that makes the untrained network; its random numbers are the seed's.
    padding, pad_value, flip
        Augmentation of training images: a border of ``padding`` pixels of ``pad_value``, in the inputs' units, a
        random crop of the old size, a flip in half of the cases.
    precision
        "bfloat16": convolutions and products of a training step are computed in it (autocast, channels last), for
        float32 images. Weights, validation and the result stay float32. "float32": the images' type throughout.

    Raises OptionError. Numbers are those of the papers' CIFAR-10 recipe.
    """

    model: Callable[[], nn.Module]
    epochs: int = 50
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 1e-4
    step: int = 10
    gamma: float = 0.5
    padding: int = 4
    pad_value: float = 0.0
    flip: bool = True
    precision: str = "float32"

    def __post_init__(self) -> None:
        if not callable(self.model) or isinstance(self.model, nn.Module):
            raise OptionError(
                f"model is {shown(self.model)}; give a function that makes an untrained network: partial(Net, classes)"
            )
        for name in ("epochs", "batch", "step"):
            check_count(name, getattr(self, name), 1)
        check_count("padding", self.padding, 0)
        check_number("lr", self.lr, 0, above=True)
        check_number("weight_decay", self.weight_decay, 0)
        check_number("gamma", self.gamma, 0, above=True)
        check_number("pad_value", self.pad_value)
        check_flag("flip", self.flip)
        check_choice("precision", self.precision, PRECISIONS)

    def train(self, train: Split, validation: Split, seed: int) -> nn.Module:
        """A network trained from nothing, in evaluation mode."""
        return self.fit(train, validation, seed).model

    def fit(self, train: Split, validation: Split, seed: int, alter: Alter | None = None) -> Fitted:
        """Train, and say how it went. Everything random comes from ``seed``; the global random state stays.

        The network takes the images' type and device. Raises InputError, MismatchError, OptionError, and
        NumericalError where training diverges.
        """
        check_count("seed", seed, 0)
        train, validation = checked_splits(training=train, validation=validation)
        _check_precision(self.precision, train.x)
        with _seeded(seed, train.x.device), gradients_on():
            model = _fresh(self.model, train.x).to(memory_format=_layout(self.precision))  # type: ignore[call-overload]
            generator = torch.Generator().manual_seed(seed)
            return _fitted(self, model, train, validation, generator, alter or _unaltered)

    def augmented(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Training images [n, C, H, W], randomly cropped and flipped, each on its own."""
        n, _, height, width = x.shape
        down = torch.randint(2 * self.padding + 1, (n, 1), generator=generator) + torch.arange(height)
        right = torch.randint(2 * self.padding + 1, (n, 1), generator=generator) + torch.arange(width)
        if self.flip:
            right = right.where(torch.rand(n, 1, generator=generator) < 0.5, right.flip(1))
        bordered = F.pad(x, [self.padding] * 4, value=self.pad_value)
        return _window(bordered, down.to(x.device), right.to(x.device))


def papers_recipe(classes: int, channels: int = 3, *, width: int = 64, **changes: Any) -> Recipe:
    """ResNet-8 for 50 epochs, as the pathway papers retrain on CIFAR-10; ``changes`` are other fields of ``Recipe``."""
    return Recipe(partial(ResNet8, classes, channels, width), **changes)


def _window(bordered: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels at rows [n, H] and columns [n, W] of images [n, C, ...]."""
    n, channels = bordered.shape[:2]
    image, channel = torch.arange(n, device=rows.device), torch.arange(channels, device=rows.device)
    return bordered[image[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None]]


def _unaltered(x: Tensor, generator: torch.Generator) -> Tensor:
    return x


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's own random numbers, which layers are initialised by, are the seed's."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.default_generators[device.index].manual_seed(seed)
        yield


def _fresh(factory: Callable[[], nn.Module], like: Tensor) -> nn.Module:
    model = factory()
    if not isinstance(model, nn.Module):
        raise OptionError(f"the recipe's model gives {type(model).__name__}, not a torch.nn.Module")
    return model.to(like).requires_grad_(True)


def _fitted(
    recipe: Recipe, model: nn.Module, train: Split, validation: Split, generator: torch.Generator, alter: Alter
) -> Fitted:
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, recipe.step, recipe.gamma)
    accuracies: list[float] = []
    best = model.state_dict()
    for epoch in range(recipe.epochs):
        loss = _epoch(recipe, model.train(), train, optimiser, generator, alter)
        _check_loss(loss, epoch, recipe)
        schedule.step()
        accuracies.append(accuracy_of(model.eval(), validation))
        if accuracies[-1] > max(accuracies[:-1], default=-1.0):
            best = deepcopy(model.state_dict())
    model.load_state_dict(best)
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return Fitted(model.eval(), tuple(accuracies))


def _epoch(
    recipe: Recipe,
    model: nn.Module,
    train: Split,
    optimiser: torch.optim.Adam,
    generator: torch.Generator,
    alter: Alter,
) -> float:
    """One pass over the training images; the sum of the batches' losses."""
    total = torch.zeros((), dtype=torch.float64, device=train.x.device)
    for members in _batches(len(train.y), recipe.batch, generator):
        at = members.to(train.x.device)
        x = alter(recipe.augmented(train.x[at], generator), generator)
        with _computing(recipe.precision, x.device):
            scores = model(x.contiguous(memory_format=_layout(recipe.precision)))
        loss = F.cross_entropy(wide(scores), train.y[at])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.detach()
    return float(total)


def _computing(precision: str, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def _layout(precision: str) -> torch.memory_format:
    """Channels last where it pays; in float32 it would change the last digits."""
    return torch.channels_last if precision == "bfloat16" else torch.contiguous_format


def _check_precision(precision: str, x: Tensor) -> None:
    if precision == "bfloat16" and x.dtype != torch.float32:
        raise InputError(f"precision='bfloat16' takes float32 images, got {x.dtype}; give images.float()")


def _batches(n: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """All images in a random order; a last one that would be alone, without batch statistics, joins the others."""
    parts = list(torch.split(torch.randperm(n, generator=generator), size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _check_loss(loss: float, epoch: int, recipe: Recipe) -> None:
    if not abs(loss) < float("inf"):
        raise NumericalError(
            f"training diverged: the loss is {loss} in epoch {epoch + 1} of {recipe.epochs}. Lower lr ({recipe.lr:g}), "
            "or scale the inputs"
        )
