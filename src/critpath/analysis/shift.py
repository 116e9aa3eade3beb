"""How far the pathway of an adversarial input lies from the pathways of its two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from critpath.analysis.classes import ClassPathways
from critpath.analysis.overlap import overlap
from critpath.analysis.sketch import Sketch, sketch_like
from critpath.errors import InputError, MismatchError
from critpath.network import ModelInput, Network, batch_size
from critpath.neurons import rows
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
    if batch_size(x) != batch_size(adversarial):
        raise InputError(f"{batch_size(x)} inputs and {batch_size(adversarial)} adversarial ones; give one for each")
    responses = [respond(net, one) for one in (x, adversarial)]
    classes = [class_scores(response.run).detach().argmax(dim=1).cpu() for response in responses]
    paths = [_found(response, method, sparsity, options) for response in responses]
    if difference := reference.space.difference(paths[0].space):
        raise MismatchError(f"the reference belongs to another network or input shape: {difference}")
    measured = [[_likeness(path, of, reference) for of in classes] for path in paths]
    likeness, chance = (
        torch.stack([torch.stack([pair[k] for pair in row], dim=1) for row in measured], dim=1) for k in (0, 1)
    )
    own = overlap(paths[0], paths[1])
    measure = "jaccard" if isinstance(reference, Sketch) else "share"
    before, after = classes
    return AdversarialShift(measure, before, after, likeness, chance, own.jaccard.cpu(), own.chance.cpu())


def _found(response: Response, method: str, sparsity: float, options: dict[str, Any]) -> Pathway:
    return find_in_response(response, method, sparsity, **options)


def _likeness(pathway: Pathway, classes: Tensor, reference: Sketch | ClassPathways) -> tuple[Tensor, Tensor]:
    """Likeness of each sample's pathway to those of its class, and its chance: [images] each."""
    if isinstance(reference, Sketch):
        own = sketch_like(pathway, reference)
        queries = [own.taken(torch.tensor([i])) for i in range(len(own))]
        pairs = [_to_sketch(q, reference.of_class(c)) for q, c in zip(queries, classes.tolist(), strict=True)]
    else:
        pairs = [_to_counts(pathway.sample(i), reference, c) for i, c in enumerate(classes.tolist())]
    likeness, chance = torch.tensor(pairs, dtype=torch.float64).T
    return likeness, chance


def _to_sketch(own: Sketch, of_class: Sketch) -> tuple[float, float]:
    """Mean Jaccard with the pathways of a class, NaN where there is none."""
    return float(own.jaccards(of_class).nanmean()), float(own.chances(of_class).nanmean())


def _to_counts(own: Pathway, reference: ClassPathways, label: int) -> tuple[float, float]:
    """Mean share of the pathway that is on a pathway of the class, and the share of all neurons that is."""
    if label not in reference.images:
        return float("nan"), float("nan")
    frequency = reference.frequency(label)
    keeps = [keep.cpu() for keep in own.keep.tensors]
    held = sum(float((rows(f).double() * rows(k)).sum()) for f, k in zip(frequency.tensors, keeps, strict=True))
    size = int(own.size)
    mean = float(frequency.site_sums().double().sum()) / reference.space.neurons
    return held / size if size else float("nan"), mean
