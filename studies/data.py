"""The data of the studies as a plan takes them (`python: studies/data.py:cifar10_test`).

They are no part of this project: see `networks.py` for where they are looked for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from critpath.zoo import DataSet, load_data
from studies.networks import asset


def photographs() -> DataSet:
    """The 1000 sample photographs, one a class, with ImageNet's classes."""
    labels = asset("imagenet1k_sample/labels.csv")
    return load_data("images", labels.parent / "images", labels=labels)


def cifar10_test() -> tuple[Tensor, Tensor]:
    """CIFAR-10's 10,000 test images uint8 [n, 32, 32, 3], and their classes [n]."""
    return _grids(asset("cifar10/test/labels.bin").parent)


def cifar10_train() -> tuple[Tensor, Tensor]:
    """The first 1000 training images of each of CIFAR-10's classes, as in ``cifar10_test``."""
    return _grids(asset("cifar10/train10k/labels.bin").parent)


def _grids(folder: Path) -> tuple[Tensor, Tensor]:
    """Lossless grids of 1000 images, 40 rows of 25."""
    grids = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(folder.glob("*.webp"))]
    images = [g.reshape(40, 32, 25, 32, 3).transpose(0, 2, 1, 3, 4).reshape(1000, 32, 32, 3) for g in grids]
    labels = np.frombuffer((folder / "labels.bin").read_bytes(), np.uint8).astype(np.int64)
    return torch.from_numpy(np.concatenate(images)), torch.from_numpy(labels)
