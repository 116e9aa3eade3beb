"""Networks of the study, with the images that they are asked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import critpath as cp
from critpath.zoo import LoadedModel, Preprocess
from studies import networks
from studies.data import cifar10_test, photographs

LOADERS: dict[str, Callable[[], LoadedModel]] = {
    "resnet8": networks.resnet8,
    "resnet20": networks.resnet20_cifar,
    "resnet18": networks.resnet18,
    "resnet50": networks.resnet50,
    "squeezenet": networks.squeezenet1_1,
}
CIFAR = ("resnet8", "resnet20")


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, images [n, 3, H, W] as it takes them, and the classes [n] that it predicts for them."""

    net: cp.Network
    x: Tensor
    target: Tensor


def subject(name: str, images: slice, seed: int) -> Subject:
    """Some of the images in the order that ``seed`` draws: CIFAR-10's test images, or the sample photographs."""
    loaded = LOADERS[name]()
    assert loaded.preprocess is not None
    if name == "resnet20":
        _share_activations(loaded)
    x = _cifar(loaded.preprocess, images, seed) if name in CIFAR else _photographs(loaded.preprocess, images, seed)
    with torch.no_grad():
        return Subject(cp.Network(loaded.model), x, loaded.model(x).argmax(dim=1))


def _share_activations(loaded: LoadedModel) -> None:
    """One ReLU module for both calls of a block, as torchvision's ResNets and the papers' ResNet-8 have it."""
    for module in loaded.model.modules():
        if isinstance(module, networks.BasicBlock):
            module.relu2 = module.relu1


def _cifar(preprocess: Preprocess, wanted: slice, seed: int) -> Tensor:
    images = cifar10_test()[0]
    chosen = images[_drawn(len(images), wanted, seed)].permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocess.mean, preprocess.std))
    return (chosen - mean) / std


def _photographs(preprocess: Preprocess, wanted: slice, seed: int) -> Tensor:
    data = photographs()
    x, failed = data.inputs(_drawn(len(data), wanted, seed).tolist(), preprocess)
    assert not failed
    return x


def _drawn(of: int, wanted: slice, seed: int) -> Tensor:
    return torch.randperm(of, generator=torch.Generator().manual_seed(seed))[wanted]
