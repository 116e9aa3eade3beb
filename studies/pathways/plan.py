"""What the study runs: networks, photographs, finders and their options."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from critpath.zoo import LoadedModel, read_image
from studies import networks

SPARSITIES = (0.8, 0.9, 0.99)
SIZES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0)
"""Shares of neurons at which faithfulness is measured."""

RANKED = ("taylor", "intgrad", "magnitude", "random")
SEARCHED = ("greedy", "dgr_ones", "dgr_random", "l0")

Finder = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Subject:
    """One network of the study. ``counts``: how many photographs each part takes at most.

    ``iterations`` of Distillation Guided Routing; the learning rate is scaled so that iterations x rate stays what
    was released, 1000 x 0.01. ``loss`` compares class scores, or responses where there are no classes.
    """

    name: str
    load: Callable[[], LoadedModel]
    counts: dict[str, int]
    iterations: int
    points: int = 16
    loss: str = "soft_ce"

    @property
    def finders(self) -> dict[str, Finder]:
        """Every finder by its name in the study: the method and its options."""
        gates = {
            "preset": "khakzar2021",
            "binarise": "topk",
            "loss": self.loss,
            "iterations": self.iterations,
            "lr": 0.01 * 1000 / self.iterations,
        }
        return {
            "taylor": ("taylor", {}),
            "intgrad": ("intgrad", {"points": self.points}),
            "magnitude": ("magnitude", {}),
            "random": ("random", {"scope": "site"}),
            "greedy": ("greedy", {"step": 0.01}),
            "dgr_ones": ("dgr", {**gates, "init": "ones"}),
            "dgr_random": ("dgr", {**gates, "init": "uniform", "seed": 0}),
            "taylor_connected": ("taylor", {"connected": True}),
            "l0": ("l0", {"loss": self.loss}),
        }


class StrongestChannel(nn.Module):
    """VGG-16's trained convolutions; the "classes" are the 512 channels of its last activation, by their mean.

    There is no trained head, so the response is a hidden one: the channel that is strongest on the photograph.
    """

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features[:30]

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 3, 224, 224]` to `[N, 512]`."""
        return self.features(x).mean((2, 3))


def vgg16_channel() -> LoadedModel:
    """The convolutional part of VGG-16 with a hidden channel as the response."""
    loaded = networks.vgg16()
    model = StrongestChannel(loaded.model.features).eval()
    return LoadedModel("vgg16 (strongest channel)", model, loaded.preprocess, None, loaded.source, loaded.licence)


SUBJECTS = (
    Subject(
        "squeezenet1_1",
        networks.squeezenet1_1,
        {"ranked": 50, "searched": 8, "connected": 20, "released": 10, "linear": 3, "decoded": 2, "iterations": 2},
        iterations=250,
    ),
    Subject("resnet18", networks.resnet18, {"ranked": 30, "searched": 4, "connected": 5, "decoded": 1}, iterations=250),
    Subject("resnet50", networks.resnet50, {"ranked": 16, "searched": 2, "linear": 1}, iterations=250, points=8),
    Subject(
        "vgg16", vgg16_channel, {"ranked": 12, "searched": 2, "released": 2, "decoded": 1}, 250, points=8, loss="mse"
    ),
)


def subject(name: str) -> Subject:
    """One of ``SUBJECTS`` by its name."""
    return next(one for one in SUBJECTS if one.name == name)


def photographs() -> list[Path]:
    """The 1000 sample photographs in one fixed random order, so that the first n are a sample of all."""
    folder = assets() / "imagenet1k_sample"
    with (folder / "labels.csv").open() as rows:
        files = sorted(folder / "images" / Path(row["file"]).name for row in csv.DictReader(rows))
    random.Random(0).shuffle(files)
    return files


def assets() -> Path:
    """The folder of networks and data: CRITPATH_ASSETS, or ``../shared/assets`` beside the repository."""
    return Path(os.environ.get("CRITPATH_ASSETS") or Path(__file__).resolve().parents[3] / "shared" / "assets")


def picture(loaded: LoadedModel, file: Path) -> Tensor:
    """A photograph as a batch of one."""
    assert loaded.preprocess is not None
    return torch.as_tensor(loaded.preprocess(read_image(file))).unsqueeze(0)
