"""F-Fidelity: fine-tune once on randomly masked images, then remove no more than that (Zheng et al., ICLR 2025)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from math import floor

import torch
from torch import Tensor, nn

from critpath.draws import sample_generators
from critpath.errors import NumericalError, TargetError
from critpath.evaluation.fills import Fill, Filling, filled, filling
from critpath.evaluation.removal import SLACK, Order, removal_order
from critpath.evaluation.retraining.curve import check_shares
from critpath.evaluation.retraining.recipe import Recipe
from critpath.evaluation.retraining.split import AT_ONCE, Split, checked_split, checked_splits
from critpath.evaluation.values import Model, checked_maps
from critpath.neurons import wide
from critpath.options import check_choice, check_count, check_number

BUDGET = 0.1
"""The paper's beta: the most of an image that is ever masked."""

SIZES = tuple(k / 20 for k in range(1, 20))
"""Sizes of the explanation, 5 % to 95 % of the pixels."""

RESPONSES = ("probability", "accuracy")


@dataclass(frozen=True, eq=False)
class Fidelity:
    """What random removals inside (``plus``) and outside (``minus``) of an explanation cost: both [n, shares], float64.

    A faithful map has a large ``plus`` and a small ``minus``. ``start`` [n] is the response to the whole image.
    """

    shares: tuple[float, ...]
    start: Tensor
    plus: Tensor
    minus: Tensor

    @property
    def gap(self) -> Tensor:
        """plus - minus, the mean over the shares [n]: one number a map, 0 on average where maps are random."""
        return (self.plus - self.minus).mean(dim=1)


def fine_tuning(model: nn.Module, *, epochs: int = 10, batch: int = 128, lr: float = 1e-4) -> Recipe:
    """The rate, weight decay and batch of the paper's released code, which goes on for 100 epochs, from this model."""
    return Recipe(partial(deepcopy, model), epochs=epochs, batch=batch, lr=lr, step=epochs)


def fidelity_model(
    model: nn.Module,
    train: Split,
    validation: Split,
    recipe: Recipe | None = None,
    max_share: float = BUDGET,
    seed: int = 0,
    *,
    fill: Fill = "mean",
    mean: Fill = 0.0,
) -> nn.Module:
    """A copy of ``model``, fine-tuned on images with random pixels masked, the same for every explanation.

    The paper's: each training image, after crop and flip, loses at most ``max_share`` (beta) of its pixels. Ours: how
    many is uniform from none to all of that, so that whole images stay in; all channels of a pixel go; the epoch kept
    is the best on the validation images and on masked copies of them together. ``recipe`` gives the numbers (its
    ``model`` goes unused), by default ``fine_tuning``; ``fill`` and ``mean`` are those of ``f_fidelity``.

    Raises OptionError, InputError, MismatchError, NumericalError where training diverges.
    """
    check_number("max_share", max_share, 0, 1, above=True)
    check_count("seed", seed, 0)
    train, validation = checked_splits(training=train, validation=validation)
    mask = partial(_masked, max_share=max_share, fill=fill, mean=mean)
    copies = mask(validation.x, torch.Generator().manual_seed(seed))
    both = Split(torch.cat([validation.x, copies]), validation.y.repeat(2))
    how = fine_tuning(model) if recipe is None else replace(recipe, model=partial(deepcopy, model))
    return how.fit(train, both, seed, mask).model


def f_fidelity(
    model: Model,
    x: Tensor,
    y: Tensor,
    maps: Tensor,
    shares: Sequence[float] = SIZES,
    *,
    max_share: float = BUDGET,
    removed: float = 0.5,
    samples: int = 50,
    response: str = "probability",
    fill: Fill = "mean",
    mean: Fill = 0.0,
    reduce: str = "max_abs",
    ties: str = "stable",
    seed: int = 0,
    batch: int = AT_ONCE,
) -> Fidelity:
    """FFid+ and FFid- of maps, by a model that ``fidelity_model`` fine-tuned with the same ``max_share`` and fill.

    For each share s the explanation is the s most relevant pixels. FFid+ is the response to the image less the mean
    response where a random part of the explanation is removed; FFid- the same for a part of all other pixels. The
    paper's: the part is ``removed`` (alpha+ and alpha-) of the pixels, but never more than ``max_share`` (beta) of the
    image; 50 ``samples``. Ours: exactly floor(min(alpha m, beta d)) of m pixels are drawn without replacement, where
    the paper removes each with that probability and so leaves the budget now and then; pixels are drawn in an order
    that belongs to the image and the seed, the same for every map and share, so that methods compare on equal draws.

    ``y`` are classes [n], labels or predictions; the response is their softmax probability, or 1 where they are
    predicted and 0 elsewhere ("accuracy"). ``batch`` images go through the model at once. Others as for ``remove``.

    Raises OptionError, InputError, TargetError, NumericalError.
    """
    check_shares(shares)
    check_number("max_share", max_share, 0, 1, above=True)
    check_number("removed", removed, 0, 1, above=True)
    check_choice("response", response, RESPONSES)
    check_count("samples", samples, 1)
    check_count("batch", batch, 1)
    x, y = checked_split("evaluated", Split(x, y))
    order = removal_order(checked_maps(maps, x), order="morf", reduce=reduce, ties=ties, seed=seed, x=x)
    answers = partial(_answers, model, response=response, batch=batch)
    draws = _Draws(removed, max_share * x[0, 0].numel(), samples, max(1, batch // samples))
    start, inside, outside = answers(x, y), [], []
    for i, generator in enumerate(sample_generators([x], seed, "fidelity")):
        explanation = Order(order.ranks[i : i + 1], order.units[i : i + 1]).masks(shares)[0, :, 0]
        pixels = torch.stack([torch.randperm(x[0, 0].numel(), generator=generator) for _ in range(samples)])
        fill_in = filling(x[i : i + 1], fill, mean=mean, seed=seed)
        of = partial(_without_parts, answers, y[i], fill_in, pixels.to(x.device), draws)
        inside.append(of(explanation))
        outside.append(of(~explanation))
    plus, minus = (start.unsqueeze(1) - torch.stack(rows) for rows in (inside, outside))
    return Fidelity(tuple(shares), start, plus, minus)


@dataclass(frozen=True)
class _Draws:
    """``removed`` of the allowed pixels but at most ``most``, so many ``samples``; ``at_once`` sets in one pass."""

    removed: float
    most: float
    samples: int
    at_once: int

    def counts(self, allowed: Tensor) -> list[int]:
        """How many pixels go of each set of allowed ones [sets, H, W]."""
        sizes = allowed.flatten(1).sum(dim=1).tolist()
        return [floor(min(self.removed * size, self.most) + SLACK) for size in sizes]


def random_parts(allowed: Tensor, pixels: Tensor, counts: Sequence[int]) -> Tensor:
    """Parts bool [sets, samples, d] of the allowed pixels bool [sets, d]: the first ``counts`` [sets] of them.

    In the order in which each row of ``pixels`` [samples, d] names them.
    """
    inside = allowed[:, pixels]
    chosen = inside & (inside.cumsum(dim=-1) <= torch.tensor(counts, device=allowed.device)[:, None, None])
    return torch.zeros_like(chosen).scatter_(-1, pixels.expand_as(chosen), chosen)


def _without_parts(
    answers: Callable[[Tensor, Tensor], Tensor],
    y: Tensor,
    fill: Filling,
    pixels: Tensor,
    draws: _Draws,
    allowed: Tensor,
) -> Tensor:
    """Mean responses [sets] to one image without random parts of the allowed pixels bool [sets, H, W]."""
    found = []
    for some in torch.split(allowed, draws.at_once):
        masks = random_parts(some.flatten(1), pixels, draws.counts(some))
        images = fill(masks.view(1, -1, 1, *some.shape[1:])).squeeze(0)
        found.append(answers(images, y.expand(len(images))).view(len(some), draws.samples).mean(dim=1))
    return torch.cat(found)


def _answers(model: Model, x: Tensor, y: Tensor, response: str, batch: int) -> Tensor:
    """Responses float64 [n] for the classes."""
    with torch.no_grad():
        scores = torch.cat([wide(model(part)) for part in torch.split(x, batch)])
    if scores.dim() != 2 or int(y.max()) >= scores.shape[1]:
        raise TargetError(f"class {int(y.max())} is not in the model's output {list(scores.shape)}")
    if not torch.isfinite(scores).all():
        raise NumericalError("the class scores hold NaN or infinity")
    if response == "accuracy":
        return (scores.argmax(dim=1) == y).double()
    return scores.double().softmax(dim=1).gather(1, y.unsqueeze(1)).squeeze(1)


def _masked(x: Tensor, generator: torch.Generator, max_share: float, fill: Fill, mean: Fill) -> Tensor:
    """Images of which random pixels are masked, from none to ``max_share``, each number equally often."""
    n, d = len(x), x[0, 0].numel()
    counts = torch.randint(floor(max_share * d + SLACK) + 1, (n, 1), generator=generator)
    places = torch.rand(n, d, generator=generator, dtype=torch.float64).argsort(dim=1).argsort(dim=1)
    seed = int(torch.randint(2**31, (), generator=generator))
    return filled(x, (places < counts).view(n, 1, *x.shape[2:]).to(x.device), fill, mean=mean, seed=seed)
