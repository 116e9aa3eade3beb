"""How much the output and the gradient change when all but the critical neurons are set to zero."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import critpath as cp
from critpath.evaluation.removal import reduced
from critpath.evaluation.similarity import spearman_abs
from critpath.response import Response, respond
from critpath.targets import Logit, Probability, class_scores
from critpath.zoo import LoadedModel
from studies import data, networks
from studies.trained import normalised

SPARSITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
SEED = 0
"""Of the order of the photographs."""

Numbers = list[list[float | None]]
"""[sparsities, images]."""


@dataclass(frozen=True)
class Subject:
    """A network and its images: ``photographs`` or CIFAR-10's.

    Its change is that of the predicted class's ``probability``, else of its score. ``maps`` are compared, too.
    """

    build: Callable[[], LoadedModel]
    photographs: bool = True
    probability: bool = True
    maps: bool = True


def vgg16_channels() -> LoadedModel:
    """VGG-16's trained convolutions; its outputs are the mean activations of the last one's 512 channels."""
    whole = networks.vgg16()
    convolutions = whole.model.get_submodule("features")
    model = nn.Sequential(convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return LoadedModel("vgg16 (convolutions)", model.eval(), whole.preprocess, None, whole.source, whole.licence)


SUBJECTS = {
    "resnet50": Subject(networks.resnet50),
    "squeezenet1_1": Subject(networks.squeezenet1_1, probability=False, maps=False),
    "vgg16": Subject(vgg16_channels, probability=False, maps=False),
    "resnet8": Subject(networks.resnet8, photographs=False),
}


def parts(photographs: int = 1000, cifar: int = 10000, chunk: int = 4, maps: int = 1000) -> list[str]:
    """A part is a chunk of images of one network: ``chunk`` photographs, or 25 times as many of CIFAR-10."""
    return [
        f"{name}.{start}"
        for name, subject in SUBJECTS.items()
        for start in _starts(subject, photographs, cifar, chunk)
    ]  # fmt: skip


def run(part: str, photographs: int = 1000, cifar: int = 10000, chunk: int = 4, maps: int = 1000) -> dict[str, Any]:
    """What ``changes`` gives of a chunk; the maps of the first ``maps`` images are compared, too."""
    name, start = part.split(".")
    subject, first = SUBJECTS[name], int(start)
    limit, size = _sizes(subject, photographs, cifar, chunk)
    loaded = subject.build()
    x = _images(subject, loaded, range(first, min(first + size, limit)))
    found = changes(cp.Network(loaded.model), x, SPARSITIES, subject.probability, subject.maps and first < maps)
    return {"network": name, "sparsities": list(SPARSITIES), **found}


def changes(
    net: cp.Network, x: Tensor, sparsities: Sequence[float], probability: bool = True, maps: bool = True
) -> dict[str, Any]:
    """NeuronMCT's pathways of images [n, ...] at every sparsity, the other neurons at zero.

    ``dead`` [n], the share of neurons that are 0 anyway. Lists [sparsities][n] of ``realised`` sparsity; ``change``,
    |p' - p| / p of the predicted class (without ``probability``, of its score); ``keeps``, whether the class stays;
    ``likeness`` (with ``maps``), the rank correlation of the absolute gradient with that of the unpruned network.
    """
    response = respond(net, x)
    classes = class_scores(response.run).detach().argmax(dim=1)
    measure = Probability(classes) if probability else Logit(classes)
    before = measure.of(response.run).detach().double()
    scores = cp.score(net, x, "taylor", target=classes)
    gradient = cp.attribute(net, x, "gradient", target=classes) if maps else None
    found: dict[str, Numbers] = {"realised": [], "change": [], "keeps": [], "likeness": []}
    for sparsity in sparsities:
        path = cp.select(scores, sparsity=sparsity)
        realised = path.sparsity.tolist()
        if found["realised"] and found["realised"][-1] == realised:  # nested, so the same pathway
            _repeat(found)
            continue
        pruned = response.pruned(path, graph=False)
        after = measure.of(pruned.run).detach().double()
        found["realised"].append(realised)
        found["change"].append(((after - before).abs() / before).tolist())
        found["keeps"].append(_kept(response, pruned))
        if gradient is not None:
            own = cp.attribute(net, x, "prunegrad", target=classes, pathway=path)
            found["likeness"].append(_likeness(own, gradient))
    dead = cp.find_pathway(net, x, "active", sparsity=0.5).sparsity
    return {"dead": dead.tolist(), **found}


def _repeat(found: dict[str, Numbers]) -> None:
    for numbers in found.values():
        numbers += numbers[-1:]


def _kept(response: Response, pruned: Response) -> list[float | None]:
    kept = response.keeps_class(pruned)
    return [] if kept is None else kept.double().tolist()


def _likeness(maps: Tensor, gradient: Tensor) -> list[float | None]:
    """None where a map is constant."""
    found = spearman_abs(reduced(maps), reduced(gradient))
    return [None if value != value else value for value in found.tolist()]


def _sizes(subject: Subject, photographs: int, cifar: int, chunk: int) -> tuple[int, int]:
    """How many images there are, and how many are one part."""
    return (photographs, chunk) if subject.photographs else (cifar, 25 * chunk)


def _starts(subject: Subject, photographs: int, cifar: int, chunk: int) -> Iterable[int]:
    limit, size = _sizes(subject, photographs, cifar, chunk)
    return range(0, limit, size)


def _images(subject: Subject, loaded: LoadedModel, rows: range) -> Tensor:
    if not subject.photographs:
        images, labels = data.cifar10_test()
        return normalised(images[rows.start : rows.stop], labels[rows.start : rows.stop]).x
    source = data.photographs()
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(SEED)).tolist()
    x, unread = source.taken(order).inputs(rows, loaded.preprocess)
    if unread:
        raise ValueError(f"photographs that cannot be read: {unread}")
    return x
