"""Classification models of torchvision, with the weights it downloads or without weights."""

from __future__ import annotations

import http.client
import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from critpath.errors import OptionError, StorageError
from critpath.zoo.packages import close_matches, import_torchvision, installed
from critpath.zoo.preprocess import Preprocess
from critpath.zoo.values import LoadedModel, ModelInfo, class_names

_LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms may apply"


def load_torchvision(name: str) -> LoadedModel:
    """`resnet50`, or `resnet50@IMAGENET1K_V1` for other weights than torchvision's default ones.

    Raises:
        OptionError: torchvision has no such classification model, or no such weights of it.
        StorageError: the weights cannot be downloaded, or the downloaded file is damaged.
        MissingDependencyError: torchvision is not installed.
    """
    architecture, _, wanted = name.partition("@")
    weights = _weights(_known(architecture), wanted)
    try:
        with _weights_only():
            model = import_torchvision().models.get_model(architecture, weights=weights)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, http.client.HTTPException) as error:
        raise _not_obtained(architecture, weights, error) from error
    classes = tuple(weights.meta["categories"])
    source = f"torchvision {import_torchvision().__version__}, {weights}, {weights.url}"
    return LoadedModel(f"torchvision:{name}", model, preprocess_of(weights), classes, source, _LICENCE)


def untrained_torchvision(name: str) -> LoadedModel:
    """The architecture with random weights; preprocessing as for torchvision's own default weights.

    Raises:
        OptionError: torchvision has no such classification model.
        MissingDependencyError: torchvision is not installed.
    """
    weights = _weights(_known(name), "")
    options = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = import_torchvision().models.get_model(name, weights=None, **options)
    return LoadedModel(f"torchvision:{name}", model, preprocess_of(weights), class_names(model))


def preprocess_of(weights: Any) -> Preprocess:
    """What a torchvision weights entry does to a picture, from its own `transforms()`."""
    transforms = weights.transforms()
    return Preprocess(
        transforms.resize_size[0],
        transforms.crop_size[0],
        mean=transforms.mean,
        std=transforms.std,
        interpolation=transforms.interpolation.value,
    )


def torchvision_infos() -> tuple[ModelInfo, ...]:
    """A line for every classification model; one that says how to install it where it is missing."""
    if not installed("torchvision"):
        note = "pip install 'critpath[vision]'"
        return (ModelInfo("torchvision:NAME", "torchvision", "ImageNet classifiers", False, note),)
    return tuple(_info(name, _weights(name, "")) for name in _names())


@contextmanager
def _weights_only() -> Iterator[None]:
    """Inside, torch.load unpickles tensors and nothing else, whatever its caller asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _names() -> list[str]:
    models = import_torchvision().models
    return list(models.list_models(module=models))


def _known(name: str) -> str:
    if name not in (names := _names()):
        raise OptionError(
            f"torchvision has no classification model {name!r}.{close_matches(name, names)} "
            "`critpath models` lists them."
        )
    return name


def _weights(architecture: str, wanted: str) -> Any:
    known = import_torchvision().models.get_model_weights(architecture)
    if wanted and wanted not in known.__members__:
        raise OptionError(
            f"torchvision's {architecture} has no weights {wanted!r}. It has: {', '.join(known.__members__)}."
        )
    return known[wanted or "DEFAULT"]


def _cached(weights: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def _not_obtained(name: str, weights: Any, error: BaseException) -> StorageError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return StorageError(
        f"torchvision could not get the weights {weights} ({reason}). Without a network: download "
        f"{weights.url} elsewhere, and put it at {_cached(weights)}, or name a file of your own: "
        f"file:WEIGHTS.safetensors@torchvision:{name}. If the file is there, it is damaged: delete it."
    )


def _info(name: str, weights: Any) -> ModelInfo:
    meta = weights.meta
    top1 = meta["_metrics"]["ImageNet-1K"]["acc@1"]
    description = f"{meta['num_params'] / 1e6:.1f} M parameters, ImageNet top-1 {top1:.1f} %"
    ready = _cached(weights).is_file()
    note = "" if ready else f"downloads {meta['_file_size']:.0f} MB"
    return ModelInfo(f"torchvision:{name}", "torchvision", description, ready, note)
