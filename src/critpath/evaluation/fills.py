"""What stands where something was removed from an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from critpath.baselines import NAMED
from critpath.draws import sample_generators
from critpath.errors import InputError, OptionError
from critpath.evaluation.imputation import imputed
from critpath.neurons import wide
from critpath.options import check_count, check_type, shown
from critpath.registry import check_known

Fill: TypeAlias = "str | float | Sequence[float] | Tensor"
"""A name among ``FILLS``, or the values themselves: a number, or one for each channel, in the units of the inputs."""

Filling: TypeAlias = Callable[[Tensor], Tensor]
"""Masks [n, steps, 1 or C, H, W] -> images [n, steps, C, H, W]."""

NOISE = 0.01
"""Standard deviation of what is added to linearly imputed pixels, in the units of the inputs (Rong et al. 2022)."""


@torch.no_grad()
def filled(x: Tensor, mask: Tensor, fill: Fill = "mean", *, mean: Fill = 0.0, seed: int = 0) -> Tensor:
    """Images [n, C, H, W] with other values where ``mask`` [n, 1 or C, H, W] is True.

    ``"mean"``
        The mean of the data set, given as ``mean`` in the units of ``x``: a number or one for each channel. By
        default 0, which is the mean of inputs that were normalised by it. What the papers do.
    ``"zero"``
        0 in the units of ``x``, whatever ``mean`` is: black where inputs are colours in [0, 1].
    ``"blur"``
        The image, blurred by a Gaussian of a tenth of its height.
    ``"linear"``
        Noisy linear imputation (ROAD, Rong et al. 2022): every removed pixel is the weighted mean of its neighbours,
        1/6 for direct and 1/12 for diagonal ones (as shares of those inside the image), plus noise of ``NOISE``
        drawn from ``seed`` and the image. ``mean`` where nothing of a channel is left.
    a number, or one for each channel
        These values.

    Raises OptionError for another fill, InputError for what is no batch of images or a mask that does not fit.
    """
    check_type("mask", mask, Tensor)
    check_type("x", x, Tensor)
    fits = mask.dtype == torch.bool and mask.shape in ((len(x), 1, *x.shape[2:]), x.shape)
    if not fits:
        raise InputError(
            f"the mask is {mask.dtype} {list(mask.shape)}, the inputs {list(x.shape)}: give booleans, shaped like the "
            "inputs or with one channel"
        )
    return filling(x, fill, mean=mean, seed=seed)(mask.to(x.device).unsqueeze(1)).squeeze(1)


def filling(x: Tensor, fill: Fill = "mean", *, mean: Fill = 0.0, seed: int = 0) -> Filling:
    """A function that fills these images under several masks each; what does not depend on the mask is made once.

    Options and errors as for ``filled``.
    """
    check_type("x", x, Tensor)
    check_count("seed", seed, 0)
    if x.dim() != 4 or not x.is_floating_point():
        raise InputError(f"the inputs are {x.dtype} {list(x.shape)}; give real images [n, channels, height, width]")
    means = _per_channel("mean", mean, x)
    if isinstance(fill, str):
        check_known("fill", fill, tuple(FILLS))
        return FILLS[fill](x, means, seed)
    return _values(x, _per_channel("fill", fill, x))


def _values(x: Tensor, values: Tensor) -> Filling:
    """``values`` broadcast to the images."""
    images, others = x.unsqueeze(1), values.unsqueeze(1)
    return lambda mask: torch.where(mask, others, images)


def _linear(x: Tensor, mean: Tensor, seed: int) -> Filling:
    noise = [torch.randn(x.shape[1:], generator=g) for g in sample_generators((x,), seed, "imputation")]
    drawn = NOISE * torch.stack(noise).to(x.device) if noise else torch.zeros_like(x)
    return partial(_imputed, x, mean, drawn)


def _imputed(x: Tensor, mean: Tensor, noise: Tensor, mask: Tensor) -> Tensor:
    steps = mask.shape[1]
    images = x.repeat_interleave(steps, dim=0)
    found = imputed(images, mask.flatten(0, 1)).view(len(x), steps, *x.shape[1:])
    nothing_left = mask.all(dim=-1, keepdim=True).all(dim=-2, keepdim=True)
    values = torch.where(nothing_left, mean.unsqueeze(1), found + noise.unsqueeze(1))
    return torch.where(mask, values.to(x.dtype), x.unsqueeze(1))


FILLS: dict[str, Callable[[Tensor, Tensor, int], Filling]] = {
    "mean": lambda x, mean, seed: _values(x, mean),
    "zero": lambda x, mean, seed: _values(x, torch.zeros_like(mean)),
    "blur": lambda x, mean, seed: _values(x, NAMED["blurred"](wide(x)).to(x.dtype)),
    "linear": _linear,
}
"""Fills by name: images [n, C, H, W], the data set's mean [1, C, 1, 1] and a seed -> how to fill them."""


def _per_channel(name: str, given: Fill, x: Tensor) -> Tensor:
    """[1, C, 1, 1] in the type and on the device of the images."""
    try:
        values = torch.as_tensor(given, dtype=x.dtype, device=x.device).detach().flatten()
    except (TypeError, ValueError, RuntimeError):
        raise OptionError(f"{name} is {shown(given)}; it is a number, or one for each channel") from None
    if len(values) not in (1, x.shape[1]) or not values.isfinite().all():
        raise OptionError(
            f"{name} is {shown(given)}; it is one finite number, or {x.shape[1]}, one for each channel of the inputs"
        )
    return values.expand(x.shape[1]).view(1, -1, 1, 1)
