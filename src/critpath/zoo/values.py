"""What the zoo hands out: a model with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from torch import nn

from critpath.zoo.preprocess import Preprocess
from critpath.zoo.sentences import MEAN, Pooling
from critpath.zoo.tokens import Tokenizer


@dataclass(frozen=True)
class LoadedModel:
    """A model, how pictures or texts become its input, and where it is from.

    Attributes:
        name: what it was asked for by.
        model: in evaluation mode.
        preprocess: picture to input; None where it is not known.
        classes: a name for each output; None where they are not known.
        source: where the weights came from, for a report.
        licence: of the weights, as far as their source states it.
        tokenizer: texts to input; None for a model of pictures.
        pooling: how a sentence encoder makes one vector of its tokens.
    """

    name: str
    model: nn.Module
    preprocess: Preprocess | None = None
    classes: tuple[str, ...] | None = None
    source: str = "not stated"
    licence: str = "not stated"
    tokenizer: Tokenizer | None = None
    pooling: Pooling = MEAN


@dataclass(frozen=True)
class ModelInfo:
    """A line of `critpath models`: what can be asked for, and whether it would load now without a network.

    Attributes:
        name: as `load` takes it; capitals in it stand for something to fill in.
        family: default, torchvision, timm, hf or file.
        description: what it is.
        offline: it loads now, without a network.
        note: what is missing, or what to do, where `offline` is False.
    """

    name: str
    family: str
    description: str
    offline: bool
    note: str = ""


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The names of the 1000 ImageNet classes, in the order of the outputs (from torchvision, BSD-3)."""
    text = files("critpath.zoo").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def class_names(model: nn.Module) -> tuple[str, ...] | None:
    """ImageNet's names for a model with 1000 outputs, which is taken to be ImageNet's; else None."""
    names = imagenet_classes()
    return names if _outputs(model) == len(names) else None


def _outputs(model: nn.Module) -> int | None:
    if isinstance(stated := getattr(model, "num_classes", None), int):
        return stated
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    sizes = [layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels for layer in layers]
    return sizes[-1] if sizes else None
