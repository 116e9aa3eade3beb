"""What whole protocols take on 1, 8 and 64 devices: unit costs are measured, everything else is counted."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from critpath.attribution.explainer import explainer
from critpath.evaluation import SIMILARITIES, pixel_perturbation, reduced
from critpath.evaluation.retraining.recipe import papers_recipe
from critpath.network import Network
from evaluation.clock import seconds
from evaluation.subjects import Subject

Row = dict[str, Any]

DEVICES = (1, 8, 64)

METHODS: dict[str, Row] = {
    "gradient": {},
    "input_gradient": {},
    "guided_backprop": {},
    "gradcam": {},
    "pathway_gradient": {},
    "prunegrad": {},
    "integrated_gradients": {"points": 32},
    "smoothgrad": {"samples": 25},
}
"""Eight methods; an option is named where it decides the cost."""

LONG = 4.0

COMPARED = ("ssim", "spearman", "spearman_abs", "hog")


@dataclass(frozen=True)
class Images:
    """LeRF, MoRF (10 steps each) and a cascading sanity check, of all methods on so many photographs."""

    images: int = 50_000
    chunk: int = 8
    stages: int = 18
    perturbations: int = 2


@dataclass(frozen=True)
class Roar:
    """The full protocol: every method, share and seed is a training from nothing, and so is every seed without removal.

    Maps are made of all images, once.
    """

    train: int = 45_000
    validation: int = 5_000
    test: int = 10_000
    shares: int = 5
    seeds: int = 3
    epochs: int = 50
    chunk: int = 100


@dataclass(frozen=True)
class Units:
    """Seconds an image on one device.

    ``explain`` by method; ``perturb`` a whole curve of ten steps; ``compare`` a pair of maps by four similarities;
    ``read`` a photograph from its file to the network's input, on the processor; ``predict`` a forward pass.
    ``small_explain``, ``train``, ``test``: the same of CIFAR-10 and ResNet-8, ``train`` one image of one step.
    ``fold``: a shard of the fold, on the processor.
    """

    explain: Mapping[str, float]
    perturb: float
    compare: float
    read: float
    predict: float
    small_explain: Mapping[str, float]
    train: float
    test: float
    fold: float


def table(units: Units, images: Images = Images(), roar: Roar = Roar()) -> list[Row]:
    """A row for each protocol and number of devices."""
    return [row for n in DEVICES for row in (images_row(units, images, n), roar_row(units, roar, n))]


def images_row(units: Units, of: Images, devices: int) -> Row:
    """A chunk has, for each method, a task of maps, one a perturbation and one of sanity.

    A worker reads a chunk once for all of its tasks; several workers that share the tasks of a chunk each read it.
    """
    kinds = [
        kind
        for method in units.explain.values()
        for kind in (method, *[units.perturb] * of.perturbations, of.stages * (method + units.compare))
    ]
    reading = (units.read + units.predict) * min(devices, len(kinds)) / len(kinds)
    chunks = math.ceil(of.images / of.chunk)
    tasks = [(kind + reading) * of.chunk for kind in kinds]
    ends = list_schedule((task for _ in range(chunks) for task in tasks), devices)
    own = of.images * (sum(kinds) + reading * len(kinds))
    return _row("images", devices, own, ends, max(tasks), chunks * len(tasks), units.fold)


def roar_row(units: Units, of: Roar, devices: int) -> Row:
    """Maps of all images first; then (methods x shares + 1) x seeds trainings."""
    total = of.train + of.validation + of.test
    maps = [cost * of.chunk for cost in units.small_explain.values() for _ in range(math.ceil(total / of.chunk))]
    one = of.epochs * (of.train * units.train + of.validation * units.test) + of.test * units.test
    trainings = [one] * ((len(units.small_explain) * of.shares + 1) * of.seeds)
    ends = list_schedule(maps, devices) + list_schedule(trainings, devices)
    own = sum(maps) + sum(trainings)
    return _row("roar", devices, own, ends, one, len(maps) + len(trainings), units.fold)


def list_schedule(tasks: Iterable[float], devices: int) -> float:
    """When the last task ends, if each in order goes to the device that is free first."""
    free = [0.0] * devices
    for task in tasks:
        heapq.heapreplace(free, free[0] + task)
    return max(free)


def _row(protocol: str, devices: int, own: float, ends: float, longest: float, tasks: int, fold: float) -> Row:
    return {
        "protocol": protocol,
        "devices": devices,
        "seconds": ends + tasks * fold,
        "device_seconds": own,
        "longest_task": longest,
        "tasks": tasks,
        "fold": tasks * fold,
        "used": own / (devices * (ends + tasks * fold)),
    }


def units(of: Subject, read: float, fold: float, device: str, rounds: int) -> Units:
    """The unit costs of a device, all photographs of ``of`` at a time; training is in steps of 256 small images."""
    n, maps = len(of.x), of.explain(of.x, of.target)
    small, x, y = _small(device, max(16, n))
    return Units(
        explain=explanations(of.model, of.x, of.target, device, rounds),
        perturb=_each(lambda: pixel_perturbation(of.model, of.x, of.target, maps), n, device, rounds),
        compare=_each(partial(_compared, reduced(maps), reduced(maps.flip(-1))), n, device, rounds),
        read=read,
        predict=_each(lambda: _forward(of.model, of.x), n, device, rounds),
        small_explain=explanations(small, x, y, device, rounds),
        train=training_step(device, rounds),
        test=_each(lambda: _forward(small, x), len(x), device, rounds),
        fold=fold,
    )


def explanations(model: nn.Module, x: Tensor, target: Tensor, device: str, rounds: int) -> dict[str, float]:
    """Seconds an image by method."""
    net = Network(model)
    calls = {name: explainer(net, name, **options) for name, options in METHODS.items()}
    return {name: _each(partial(call, x, target), len(x), device, rounds) for name, call in calls.items()}


def training_step(device: str, rounds: int, width: int = 64, batch: int = 256) -> float:
    """Seconds of one image of a step of the papers' recipe, with its augmentation."""
    recipe = papers_recipe(10, width=width)
    model, x, y = _small(device, batch, width)
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    draws = torch.Generator().manual_seed(0)

    def step() -> None:
        loss = F.cross_entropy(model(recipe.augmented(x, draws)), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return _each(step, batch, device, rounds)


def known(found: Row) -> Units:
    """The unit costs of a results file."""
    return Units(**found)


def plain(found: Units) -> Row:
    """The unit costs for a results file."""
    return asdict(found)


def _small(device: str, batch: int, width: int = 64) -> tuple[nn.Module, Tensor, Tensor]:
    """ResNet-8 with random weights, and random images; neither changes what a pass takes."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = papers_recipe(10, width=width).model().eval().to(device)
    x = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
    return model, x, torch.arange(batch, device=device) % 10


def _each(call: Callable[[], object], images: int, device: str, rounds: int) -> float:
    """Median seconds an image after a first call; one that took longer than ``LONG`` seconds is the only one."""
    first = seconds(call, device)
    times = [first] if first > LONG else [seconds(call, device) for _ in range(rounds)]
    return statistics.median(times) / images


def _compared(a: Tensor, b: Tensor) -> None:
    for name in COMPARED:
        SIMILARITIES[name](a, b)


@torch.no_grad()
def _forward(model: nn.Module, x: Tensor) -> Tensor:
    scores: Tensor = model(x)
    return scores
