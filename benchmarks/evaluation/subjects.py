"""What is measured on: trained networks with photographs, and runs on CIFAR-10."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, images x [n, 3, H, W], and the classes that it predicts."""

    name: str
    model: nn.Module
    x: Tensor
    target: Tensor

    def explain(self, x: Tensor, target: Tensor) -> Tensor:
        """The plain gradient of the class score, see ``gradient``."""
        return gradient(self.model, x, target)


def subject(name: str, images: int, device: str) -> Subject:
    """A network of ``studies/networks.py`` and the first photographs of the study."""
    sys.path.insert(0, str(ROOT))
    from studies.pathways.plan import photographs, picture

    from studies import networks

    loaded = getattr(networks, name)()
    x = torch.cat([picture(loaded, file) for file in photographs()[:images]]).to(device)
    model = loaded.model.to(device).requires_grad_(False)
    with torch.no_grad():
        return Subject(name, model, x, model(x).argmax(dim=1))


def seconds_to_read(images: int) -> float:
    """Seconds to read a photograph and make it ResNet-50's input, after a first one."""
    sys.path.insert(0, str(ROOT))
    from studies.pathways.plan import photographs, picture

    from studies import networks

    loaded, files = networks.resnet50(), photographs()
    picture(loaded, files[images])
    start = time.perf_counter()
    for file in files[:images]:
        picture(loaded, file)
    return (time.perf_counter() - start) / images


def gradient(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The gradient [n, C, H, W] of the class score to the input, as anyone would write it."""
    leaf = x.clone().requires_grad_()
    scores = model(leaf).gather(1, target.unsqueeze(1)).sum()
    return torch.autograd.grad(scores, leaf)[0]


def cifar_plan(images: int, batch: int, methods: str, metrics: str) -> str:
    """A plan on CIFAR-10's test images and its ResNet-20, one thread a worker."""
    return f"""\
version: 1
threads: 1
batch: {batch}
models: {{resnet20: {{load: "{ROOT}/studies/networks.py:resnet20_cifar"}}}}
data: {{cifar10: {{python: "{ROOT}/studies/data.py:cifar10_test", limit: {images}}}}}
methods: {methods}
metrics: {metrics}
"""
