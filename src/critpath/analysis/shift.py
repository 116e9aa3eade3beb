"""How far the pathway of an adversarial input lies from the pathways of its two classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import nan
from typing import Any

import torch
from torch import Tensor

from critpath.analysis.classes import ClassPathways
from critpath.analysis.overlap import overlap
from critpath.analysis.sketch import Sketch, sketch_like
from critpath.errors import InputError, MismatchError
from critpath.network import ModelInput, Network, batch_size
from critpath.neurons import rows
from critpath.options import check_type
from critpath.pathway import Pathway
from critpath.response import Response, respond
from critpath.selection import find_in_response
from critpath.targets import class_scores

PATHS = ("clean", "adversarial")
CLASSES = ("original", "moved to")


@dataclass(frozen=True, eq=False)
class AdversarialShift:
    """Likeness of clean and adversarial pathways to those of the original class and of the class moved to.

    ``original`` and ``moved_to`` [images] are the classes predicted; ``moved`` [images] whether they differ.
    ``likeness`` and ``chance`` are [images, 2 (clean, adversarial), 2 (original class, class moved to)], NaN where the
    reference has no pathway of the class. ``measure`` is what they are: ``"jaccard"``, the mean Jaccard with the
    reference pathways of the class; or ``"share"``, the mean share of the pathway that is on a reference pathway of the
    class. ``own`` and ``own_chance`` [images]: the Jaccard of the clean with the adversarial pathway.
    """

    measure: str
    original: Tensor
    moved_to: Tensor
    likeness: Tensor
    chance: Tensor
    own: Tensor
    own_chance: Tensor

    @property
    def moved(self) -> Tensor:
        """Whether the adversarial input has another class: booleans [images]."""
        return self.original != self.moved_to

    def __str__(self) -> str:
        """Means over the images that moved."""
        likeness, chance = (t[self.moved].nanmean(dim=0).tolist() for t in (self.likeness, self.chance))
        own, own_chance = (float(t[self.moved].mean()) for t in (self.own, self.own_chance))
        lines = [
            f"{path} pathway, class {of}: {likeness[i][j]:.4f} (chance {chance[i][j]:.4f})"
            for i, path in enumerate(PATHS)
            for j, of in enumerate(CLASSES)
        ]
        head = f"{int(self.moved.sum())} of {len(self.moved)} images moved to another class; mean {self.measure}"
        return "\n".join([head, *lines, f"clean with adversarial pathway: {own:.4f} (chance {own_chance:.4f})"])


def adversarial_shift(
    net: Network,
    x: ModelInput,
    adversarial: ModelInput,
    reference: Sketch | ClassPathways,
    method: str = "taylor",
    sparsity: float = 0.9,
    **options: Any,
) -> AdversarialShift:
    """Where the pathways of adversarial inputs go: each is that of the class predicted on its own input.

    ``reference`` are pathways of other images, found by the same method at the same sparsity: a ``Sketch`` with labels
    (then Jaccards) or ``ClassPathways`` (then shares). Raises InputError, MismatchError, OptionError.
    """
    if not isinstance(reference, ClassPathways):
        check_type("reference", reference, Sketch, "give a Sketch or ClassPathways")
    if batch_size(x) != batch_size(adversarial):
        raise InputError(f"{batch_size(x)} inputs and {batch_size(adversarial)} adversarial ones; give one for each")
    responses = [respond(net, one) for one in (x, adversarial)]
    classes = [class_scores(response.run).detach().argmax(dim=1).cpu() for response in responses]
    paths = [_found(response, method, sparsity, options) for response in responses]
    if difference := reference.space.difference(paths[0].space):
        raise MismatchError(f"the reference belongs to another network or input shape: {difference}")
    likeness, chance = _likeness(paths, classes, reference)
    own = overlap(paths[0], paths[1])
    measure = "jaccard" if isinstance(reference, Sketch) else "share"
    before, after = classes
    return AdversarialShift(measure, before, after, likeness, chance, own.jaccard.cpu(), own.chance.cpu())


def _found(response: Response, method: str, sparsity: float, options: dict[str, Any]) -> Pathway:
    return find_in_response(response, method, sparsity, **options)


def _likeness(
    paths: Sequence[Pathway], classes: Sequence[Tensor], reference: Sketch | ClassPathways
) -> tuple[Tensor, Tensor]:
    """Likeness of each sample's pathways to those of its classes, and its chance: [images, paths, classes] each.

    One class of the reference is looked at after the other.
    """
    own = [_samples(path, reference) for path in paths]
    labels = torch.stack(list(classes), dim=1)
    found = torch.empty(2, len(labels), len(paths), len(classes), dtype=torch.float64)
    for label in sorted(set(labels.flatten().tolist())):
        to_class = _to_sketch(reference, label) if isinstance(reference, Sketch) else _to_counts(reference, label)
        for (i, c), p in product((labels == label).nonzero().tolist(), range(len(paths))):
            found[:, i, p, c] = torch.tensor(to_class(own[p][i]), dtype=torch.float64)
    return found[0], found[1]


def _samples(pathway: Pathway, reference: Sketch | ClassPathways) -> list[Any]:
    """Each sample's pathway, in the form in which it is compared."""
    if isinstance(reference, ClassPathways):
        return [pathway.sample(i) for i in range(pathway.batch)]
    own = sketch_like(pathway, reference)
    return [own.taken(torch.tensor([i])) for i in range(len(own))]


def _to_sketch(reference: Sketch, label: int) -> Callable[[Sketch], tuple[float, float]]:
    """Mean Jaccard of a pathway with those of a class, and its chance; NaN where there is none."""
    of_class = reference.of_class(label)
    return lambda own: (float(own.jaccards(of_class).nanmean()), float(own.chances(of_class).nanmean()))


def _to_counts(reference: ClassPathways, label: int) -> Callable[[Pathway], tuple[float, float]]:
    """Mean share of a pathway that is on a pathway of the class, and the share of all neurons that is."""
    if label not in reference.images:
        return lambda own: (nan, nan)
    frequency = reference.frequency(label)
    mean = float(frequency.site_sums().double().sum()) / reference.space.neurons

    def share(own: Pathway) -> tuple[float, float]:
        pairs = zip(frequency.tensors, own.keep.tensors, strict=True)
        held = sum(float((rows(f).double() * rows(keep.cpu())).sum()) for f, keep in pairs)
        size = int(own.size)
        return held / size if size else nan, mean

    return share
