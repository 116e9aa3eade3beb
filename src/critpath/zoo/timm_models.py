"""Models of timm, with the weights it downloads or without weights."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from critpath.errors import OptionError, StorageError
from critpath.zoo.packages import close_matches, import_timm, installed
from critpath.zoo.preprocess import Preprocess
from critpath.zoo.values import LoadedModel, ModelInfo, class_names


def load_timm(name: str) -> LoadedModel:
    """A timm model with its pretrained weights, e.g. `resnet18` or `resnet18.a1_in1k`.

    Raises:
        OptionError: timm has no such model, or its preprocessing is not supported.
        StorageError: there are no such weights, or they cannot be downloaded.
        MissingDependencyError: timm or torchvision is not installed.
    """
    timm = import_timm()
    _check_known(timm, name)
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # from timm, huggingface_hub and the network: no common class
        raise StorageError(
            f"timm could not get pretrained weights for {name!r} ({' '.join(str(error).split())[:200]}). "
            "Without a network, name a file of your own: file:WEIGHTS.safetensors@timm:"
            f"{name.partition('.')[0]}."
        ) from error
    return _loaded(timm, name, model, f"timm {timm.__version__}, {_origin(model)}")


def untrained_timm(name: str) -> LoadedModel:
    """The architecture with random weights, and timm's preprocessing for it.

    Raises:
        OptionError: timm has no such model, or its preprocessing is not supported.
        MissingDependencyError: timm or torchvision is not installed.
    """
    timm = import_timm()
    _check_known(timm, name)
    return _loaded(timm, name, timm.create_model(name, pretrained=False), "random weights")


def preprocess_of(name: str, config: dict[str, Any]) -> Preprocess:
    """What timm's data configuration does to a picture.

    Raises:
        OptionError: the input is not square RGB, or is padded (crop mode `border`).
    """
    channels, height, width = config["input_size"]
    if channels != 3 or height != width or config["crop_mode"] not in {"center", "squash"}:
        raise OptionError(
            f"The preprocessing of timm:{name} is not supported: input {config['input_size']}, crop mode "
            f"{config['crop_mode']!r}; it has to be 3 x N x N, 'center' or 'squash'. "
            "Write a function that returns (model, Preprocess) and use module.py:function."
        )
    return Preprocess(
        math.floor(height / config["crop_pct"]),
        height,
        mean=config["mean"],
        std=config["std"],
        interpolation=config["interpolation"],
        squash=config["crop_mode"] == "squash",
    )


def timm_info() -> ModelInfo:
    """One line for all of timm, which has over a thousand models."""
    note = "downloads from Hugging Face" if installed("timm") else "pip install 'critpath[vision]'"
    description = "any timm classifier; timm.list_models(pretrained=True) lists them"
    return ModelInfo("timm:NAME", "timm", description, False, note)


def _check_known(timm: Any, name: str) -> None:
    if not timm.is_model(name):
        names = timm.list_models()
        raise OptionError(f"timm has no model {name!r}.{close_matches(name, names)} timm.list_models() lists them.")


def _origin(model: nn.Module) -> str:
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    return str(config.get("hf_hub_id") or config.get("url") or "weights of unknown origin")


def _loaded(timm: Any, name: str, model: nn.Module, source: str) -> LoadedModel:
    preprocess = preprocess_of(name, timm.data.resolve_model_data_config(model))
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    licence = str(config.get("license") or "not stated")
    return LoadedModel(f"timm:{name}", model, preprocess, class_names(model), source, licence)
