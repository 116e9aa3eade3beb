"""Decoding: pictures of what a network, or its pathway alone, responds to most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from critpath.decoding.ascent import Model, Studio, ascend
from critpath.decoding.decoded import Decoded
from critpath.decoding.settings import Transforms, settings_of
from critpath.decoding.warp import Transform, resized
from critpath.errors import InputError, MismatchError, ModelError, OptionError
from critpath.memory import rows_at_once
from critpath.network import Network, Rule, gradients_on
from critpath.neurons import NeuronSpace, NeuronValues
from critpath.options import check_count, check_type, shown
from critpath.pathway import Pathway
from critpath.response import Response, keeping
from critpath.targets import Target, TargetLike, as_target

SHAPE = (3, 224, 224)

Normalise: TypeAlias = Any
"""A function of pictures, a pair (mean, std) of numbers per channel, or an object that has ``mean`` and ``std``."""


@gradients_on()
def decode(
    net: Network,
    pathway: Pathway | None = None,
    objective: TargetLike | Response = None,
    *,
    normalise: Normalise = None,
    restriction: str = "zeroed",
    elsewhere: NeuronValues | None = None,
    pictures: int | None = None,
    preset: str | None = None,
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    lr: float | None = None,
    parametrisation: str | None = None,
    decorrelate: bool | None = None,
    transforms: Transforms | None = None,
    shape: Sequence[int] = SHAPE,
    like: Tensor | None = None,
    start: Tensor | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    memory: str | int | None = None,
) -> Decoded:
    """Pictures that raise an objective of the network restricted to a pathway, by gradient ascent (Adam).

    Parameters
    ----------
    pathway
        Of one sample, for every picture; or of several, a picture for each. None: the whole network.
    objective
        A class, one class for each picture, a target (``Neuron``, ``Channel``, ``Direction``, ``SiteActivation``, their
        sums and differences), a function of the model's output, or a ``Response``, whose target it then is. A
        ``Margin`` without a foil is over the strongest other class of each step.
    normalise
        From RGB in [0, 1] to the model's input: a ``critpath.zoo.Preprocess``, or (mean, std), or a function. None:
        the model takes pictures as they are.
    restriction, elsewhere
        ``"zeroed"``: neurons off the pathway are 0. ``"frozen"``: they have the values ``elsewhere``, the activations
        of the input that the pathway was found on (``net.run(x).values()``).
    pictures
        How many; picture i is made with ``seed + i``, the same as if it was made alone.
    preset
        ``"lucid"`` (512 steps), or ``"khakzar2021"``, the paper's: 512 steps, pixels, no transforms. Options that are
        given come before the preset's.
    size
        Of the pictures, in pixels: a number, or height and width. By default 128, or the model's input where that is
        smaller. Pictures are resized to the model's input.
    steps, lr
        256 steps at a rate of 0.05 by default.
    parametrisation, decorrelate
        ``"fourier"`` (default) or ``"pixels"``; whether colours are decorrelated (default, for three channels).
    transforms
        What the pictures have to withstand at every step: ``"robust"`` (default: ``Warp()``, in proportion to the
        size, drawn for each picture), ``"none"``, or several functions of pictures, a ``Warp`` among them.
    shape, like
        The model's input without its batch, (3, 224, 224) by default; or such an input, which is where the pictures
        are made and in what precision (by default as the model's parameters).
    start
        Pictures in [0, 1] to start from, [channels, height, width] or one for each; by default grey noise.
    progress
        Hears of every step, in words.

    Raises
    ------
    OptionError, InputError, TargetError
    MismatchError
        The pathway is of another network or input shape, or its samples are not as many as the pictures.
    NumericalError
        The objective is not finite (the message has the step), or does not depend on the picture.
    """
    if not isinstance(net, Network):
        raise ModelError(f"the first argument is {type(net).__name__}; wrap the model: net = Network(model)")
    target = _target_of(objective)
    _check_types(pathway, elsewhere, like, start)
    model_input = _model_input(net, shape, like)
    settings = settings_of(
        preset, tuple(model_input.shape[1:]), size, steps=steps, lr=lr, parametrisation=parametrisation,
        decorrelate=decorrelate, transforms=transforms, restriction=restriction, seed=seed,
    )  # fmt: skip
    _check_restriction(restriction, pathway, elsewhere)
    count = _count(pictures, pathway, elsewhere, target)
    studio = Studio(net, model_input, _normalisation(normalise, model_input), settings)
    _check_belongs(net.sites(model_input), *([pathway.keep] if pathway else []), *([elsewhere] if elsewhere else []))
    first = _starts(start, studio, count)
    at_once = rows_at_once(net, model_input, memory) if target.any_batch else count
    images, curves, values = [], [], []
    for model in _models(studio, _spread(target, count), pathway, elsewhere, count, at_once):
        own = first[model.samples] if first is not None else None
        made, curve = ascend(model, own, _teller(progress, model.samples, settings.steps))
        images.append(made)
        curves.append(curve)
        values.append(model.value(made))
    return Decoded(torch.cat(images), torch.cat(curves, dim=1), torch.cat(values), settings)


def _check_types(pathway: object, elsewhere: object, like: object, start: object) -> None:
    wanted = {
        "pathway": (pathway, Pathway, "the objective comes after it, and None is the whole network"),
        "elsewhere": (elsewhere, NeuronValues, "net.run(x).values() gives them"),
        "like": (like, Tensor, "an input of the model"),
        "start": (start, Tensor, "pictures in [0, 1]"),
    }
    for name, (value, kind, hint) in wanted.items():
        if value is not None:
            check_type(name, value, kind, hint)


def _target_of(objective: TargetLike | Response) -> Target:
    target = objective.target if isinstance(objective, Response) else as_target(objective)
    if target.follows_prediction:
        raise OptionError(
            "the objective names no class, and noise has no prediction worth following: give objective= a class, a "
            "target such as Channel, or the Response that the pathway is of"
        )
    return target


def _model_input(net: Network, shape: Sequence[int], like: Tensor | None) -> Tensor:
    """Zeros [1, channels, height, width]."""
    wanted = tuple(like.shape[-3:]) if like is not None else tuple(shape) if isinstance(shape, Sequence) else ()
    if len(wanted) != 3 or not all(isinstance(side, int) and side > 0 for side in wanted):
        got = shown(shape if like is None else list(like.shape))
        raise OptionError(f"pictures are for models that take [channels, height, width]; got {got}")
    source = like if like is not None else _first_float(net)
    return torch.zeros((1, *wanted), dtype=source.dtype, device=source.device)


def _first_float(net: Network) -> Tensor:
    return next((p.detach() for p in net.model.parameters() if p.is_floating_point()), torch.zeros(()))


def _check_restriction(restriction: str, pathway: Pathway | None, elsewhere: NeuronValues | None) -> None:
    if restriction == "frozen" and (pathway is None or elsewhere is None):
        raise OptionError(
            "restriction='frozen' keeps neurons off the pathway at the values that they had: give the pathway, and "
            "elsewhere=net.run(x).values() of the input that it was found on"
        )
    if restriction != "frozen" and elsewhere is not None:
        raise OptionError("elsewhere= goes with restriction='frozen'; zeroed neurons are 0")


def _check_belongs(space: NeuronSpace, *values: NeuronValues) -> None:
    for given in values:
        if difference := space.difference(given.space):
            raise MismatchError(
                f"the pathway, or its values elsewhere, are of another network or input shape: {difference}; shape= "
                "and like= say what the model takes"
            )


def _count(pictures: int | None, pathway: Pathway | None, elsewhere: NeuronValues | None, target: Target) -> int:
    """How many pictures are asked for."""
    if pictures is not None:
        check_count("pictures", pictures, 1)
    asked = {
        "pictures": pictures,
        "samples of the pathway": pathway.batch if pathway else None,
        "samples of elsewhere": elsewhere.batch if elsewhere else None,
        "objectives": target.for_samples,
    }
    several = {name: number for name, number in asked.items() if number is not None and number != 1}
    if pictures == 1:
        several = {"pictures": 1, **several}
    if len(set(several.values())) > 1:
        raise MismatchError(f"there are {', '.join(f'{number} {name}' for name, number in several.items())}")
    return next(iter(several.values()), 1)


def _spread(target: Target, count: int) -> Target:
    """A target that is made for one sample, for all of them."""
    return target.taken(torch.zeros(count, dtype=torch.long)) if target.for_samples == 1 else target


def _normalisation(normalise: Normalise, like: Tensor) -> Transform:
    if normalise is None:
        return lambda pictures: pictures
    if hasattr(normalise, "mean") and hasattr(normalise, "std") and not isinstance(normalise, Tensor):
        return _standardise(normalise.mean, normalise.std, like)
    if callable(normalise):
        return cast(Transform, normalise)
    if isinstance(normalise, Sequence | Tensor) and len(normalise) == 2:
        return _standardise(normalise[0], normalise[1], like)
    raise OptionError(f"normalise is {type(normalise).__name__}; give (mean, std), a function, or a Preprocess")


def _standardise(mean: Any, std: Any, like: Tensor) -> Transform:
    refused = OptionError(
        f"normalise is ({shown(mean)}, {shown(std)}) for {like.shape[1]} channels: give a mean and a positive standard "
        "deviation for each"
    )
    try:
        columns = [torch.as_tensor(v, dtype=torch.float64, device=like.device).reshape(-1, 1, 1) for v in (mean, std)]
    except (TypeError, ValueError, RuntimeError):
        raise refused from None
    if any(len(column) not in (1, like.shape[1]) for column in columns) or not (columns[1] > 0).all():
        raise refused
    return lambda pictures: (pictures - columns[0].to(pictures)) / columns[1].to(pictures)


def _starts(start: Tensor | None, studio: Studio, count: int) -> Tensor | None:
    """[count, channels, height, width], resized."""
    if start is None:
        return None
    given = start.detach().unsqueeze(0) if start.dim() == 3 else start.detach()
    if given.dim() != 4 or given.shape[1] != studio.like.shape[1] or len(given) not in (1, count):
        raise InputError(
            f"start is {list(start.shape)}; it is [channels={studio.like.shape[1]}, height, width], or [{count}, ...]"
        )
    if not ((given >= 0) & (given <= 1)).all():
        raise InputError("start is a picture in [0, 1], before it is normalised")
    return resized(given.to(studio.like.device), studio.settings.size).expand(count, -1, -1, -1)


def _models(
    studio: Studio,
    target: Target,
    pathway: Pathway | None,
    elsewhere: NeuronValues | None,
    count: int,
    at_once: int,
) -> Iterator[Model]:
    """The network for some of the pictures, then for others, as memory allows."""
    for samples in torch.split(torch.arange(count), at_once):
        taken = target.taken(samples) if target.any_batch else target
        yield Model(studio, taken, _rule(pathway, elsewhere, samples, studio), samples)


def _rule(pathway: Pathway | None, elsewhere: NeuronValues | None, samples: Tensor, studio: Studio) -> Rule | None:
    if pathway is None:
        return None
    kept = Pathway(_of_samples(pathway.keep, samples, studio))
    return keeping(kept, elsewhere and _of_samples(elsewhere, samples, studio))


def _of_samples(values: NeuronValues, samples: Tensor, studio: Studio) -> NeuronValues:
    device = studio.like.device
    return values.map(lambda v: (v if len(v) == 1 else v[samples.to(v.device)]).to(device))


def _teller(progress: Callable[[str], None] | None, samples: Tensor, steps: int) -> Callable[[int, Tensor], None]:
    if progress is None:
        return lambda step, value: None
    first, last = int(samples[0]), int(samples[-1])
    whose = f"picture {first}" if first == last else f"pictures {first} to {last}"
    return lambda step, value: progress(f"{whose}: step {step + 1} of {steps}, objective {float(value.mean()):.4g}")
