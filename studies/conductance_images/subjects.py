"""The networks of the study, their candidate filters, and images with few labels to tell apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from critpath.errors import ModelError
from critpath.evaluation.seeds import derived
from critpath.network import Network
from critpath.zoo import LoadedModel, Preprocess
from studies.conductance_images.wordnet import read_groups
from studies.data import cifar10_test, photographs
from studies.networks import CIFAR10, resnet18, resnet20_cifar, resnet56_cifar, squeezenet1_1

DOGS = ("terrier", "hound", "sporting dog", "shepherd dog", "other working dog")
OTHERS = ("bird", "wheeled vehicle", "musical instrument", "structure", "produce")

ALL, OUTPUTS = "all sites", "block outputs"

_CIFAR_STAGES = {f"stage {i}": (f"layer{i}.*",) for i in (1, 2, 3)}


@dataclass(frozen=True)
class Subject:
    """A network; patterns of its sites by a name for them, and whether its images are CIFAR-10's.

    ``stages`` are in the order of the network. What is in none of them is no candidate.
    """

    load: Callable[[], LoadedModel]
    cifar: bool
    outputs: tuple[str, ...]
    stages: Mapping[str, tuple[str, ...]]

    def candidates(self) -> dict[str, tuple[str, ...]]:
        """Patterns of sites to choose filters from: all pooled, the outputs of blocks, one stage, ..."""
        together = tuple(pattern for patterns in self.stages.values() for pattern in patterns)
        return {ALL: together, OUTPUTS: self.outputs, **self.stages}

    def stage_of(self, site: str) -> str | None:
        """The stage that a site is in."""
        return next((name for name, patterns in self.stages.items() if matches(site, patterns)), None)


SUBJECTS: Mapping[str, Subject] = {
    "resnet20": Subject(resnet20_cifar, True, ("layer*.relu2*",), {"stem": ("relu*",), **_CIFAR_STAGES}),
    "resnet56": Subject(resnet56_cifar, True, ("layer*.relu2*",), {"stem": ("relu*",), **_CIFAR_STAGES}),
    "resnet18": Subject(
        resnet18,
        False,
        ("layer*.relu#1",),
        {"stem": ("relu*",), **{f"stage {i}": (f"layer{i}.*",) for i in (1, 2, 3, 4)}},
    ),
    "squeezenet": Subject(
        squeezenet1_1,
        False,
        ("features.*.expand*",),
        {
            "stem": ("features.1#*", "features.1"),
            "fire 2 and 3": ("features.3.*", "features.4.*"),
            "fire 4 and 5": ("features.6.*", "features.7.*"),
            "fire 6 to 9": ("features.9.*", "features.1[0-2].*"),
        },
    ),
}
"""SqueezeNet's last activation is left out: its 1000 filters are the classes, not hidden."""


def matches(site: str, patterns: Sequence[str]) -> bool:
    """Whether a site is meant."""
    return any(fnmatchcase(site, pattern) for pattern in patterns)


def columns_at(sites: Sequence[str], patterns: Sequence[str]) -> list[int]:
    """Which filters lie at such sites."""
    return [i for i, site in enumerate(sites) if matches(site, patterns)]


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its images ``x`` [n, 3, H, W] with their labels [n], the labels' names, and a black image."""

    subject: Subject
    net: Network
    x: Tensor
    labels: Tensor
    names: list[str]
    black: Tensor


def prepared(name: str, per_label: int, groups: Sequence[str] | None, seed: int) -> Case:
    """A network with at most ``per_label`` images of each label: of CIFAR-10, or of some groups, drawn by ``seed``."""
    subject = SUBJECTS[name]
    loaded = subject.load()
    preprocess = preprocess_of(loaded)
    if subject.cifar:
        x, labels, names = _cifar(preprocess, per_label)
    else:
        x, labels, names = _grouped(preprocess, per_label, groups, seed)
    return Case(subject, Network(loaded.model), x, labels, names, preprocess.black)


def preprocess_of(loaded: LoadedModel) -> Preprocess:
    if loaded.preprocess is None:
        raise ModelError(f"{loaded.name} does not say how a picture becomes its input")
    return loaded.preprocess


def _grouped(
    preprocess: Preprocess, per_label: int, groups: Sequence[str] | None, seed: int
) -> tuple[Tensor, Tensor, list[str]]:
    known = read_groups()
    names = list(groups or known)
    drawn = [_drawn(known[name], per_label, derived(seed, "photographs", name)) for name in names]
    labels = torch.tensor([number for number, classes in enumerate(drawn) for _ in classes])
    return photographs_of([i for classes in drawn for i in classes], preprocess), labels, names


def photographs_of(classes: Sequence[int], preprocess: Preprocess) -> Tensor:
    """The photographs of some classes, as inputs."""
    data = photographs()
    labels = [] if data.labels is None else data.labels.tolist()
    where = {label: number for number, label in enumerate(labels)}
    inputs, _ = data.inputs([where[label] for label in classes], preprocess)
    return inputs


def _cifar(preprocess: Preprocess, per_label: int) -> tuple[Tensor, Tensor, list[str]]:
    """The first test images of every class."""
    images, labels = cifar10_test()
    chosen = torch.cat([(labels == label).nonzero().flatten()[:per_label] for label in range(len(CIFAR10))])
    pixels = images[chosen].permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(row).view(3, 1, 1) for row in (preprocess.mean, preprocess.std))
    return (pixels - mean) / deviation, labels[chosen], list(CIFAR10)


def _drawn(classes: Sequence[int], number: int, seed: int) -> list[int]:
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))
    return [classes[i] for i in order[:number].tolist()]
