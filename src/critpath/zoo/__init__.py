"""Models, preprocessing, images and data sets by name."""

from critpath.zoo.data import DataSet, load_data
from critpath.zoo.default import DEFAULT_MODEL
from critpath.zoo.images import demo_images, find_images, read_image
from critpath.zoo.models import available, load
from critpath.zoo.packages import import_timm, import_torchvision
from critpath.zoo.preprocess import Preprocess
from critpath.zoo.values import LoadedModel, ModelInfo, imagenet_classes

__all__ = [
    "DEFAULT_MODEL",
    "DataSet",
    "LoadedModel",
    "ModelInfo",
    "Preprocess",
    "available",
    "demo_images",
    "find_images",
    "imagenet_classes",
    "import_timm",
    "import_torchvision",
    "load",
    "load_data",
    "read_image",
]
