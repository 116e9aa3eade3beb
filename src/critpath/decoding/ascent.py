"""Gradient ascent: pictures that raise an objective of a network, or of its pathway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from critpath.decoding.canvas import CANVASES, Canvas
from critpath.decoding.settings import Settings
from critpath.decoding.warp import DRAWS, Transform, Warp, resized
from critpath.descent import adam
from critpath.errors import NumericalError
from critpath.network import Network, Rule
from critpath.neurons import wide
from critpath.targets import Target

CONTRASTS = (1, 4, -4, 16, -16, 64, -64, 256, -256)
"""How much stronger the first noise is made, and its negative, one after the other while the objective is silent."""


@dataclass(frozen=True, eq=False)
class Studio:
    """How pictures become the model's input; ``like`` [1, channels, height, width] is one such input."""

    net: Network
    like: Tensor
    normalise: Transform
    settings: Settings

    @cached_property
    def canvas(self) -> Canvas:
        channels, settings = self.like.shape[1], self.settings
        decorrelate = settings.decorrelate and channels == 3
        return CANVASES[settings.parametrisation](channels, *settings.size, decorrelate)

    @property
    def warps(self) -> int:
        return sum(isinstance(step, Warp) for step in self.settings.steps_of_transform)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        return self.like.shape[2], self.like.shape[3]

    def shown(self, pictures: Tensor) -> Tensor:
        """The pictures as the model takes them, only resized."""
        return self.normalise(resized(pictures, self.size)).to(self.like.dtype)

    def changed(self, pictures: Tensor, draws: Tensor) -> Tensor:
        """The pictures as the model takes them, changed by chance; ``draws`` [pictures, warps, 6] are in [0, 1)."""
        steps, waiting = self.settings.steps_of_transform, iter(draws.unbind(dim=1))
        for number, step in enumerate(steps):
            if isinstance(step, Warp):
                size = self.size if number == len(steps) - 1 else self.settings.size
                pictures = step(pictures, size, next(waiting))
            else:
                pictures = step(pictures)
        return self.shown(pictures)

    def noise(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Each picture's own by its seed: first parameters [n, *shape], and draws [n, steps, warps, 6]."""
        found = [self._noise(self.settings.seed + int(i)) for i in samples]
        first, draws = (torch.stack(parts) for parts in zip(*found, strict=True))
        return first.to(wide(self.like)), draws

    def _noise(self, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        first = torch.randn(self.canvas.shape, generator=generator, dtype=torch.float64) * self.settings.deviation
        shape = (self.settings.steps, self.warps, DRAWS)
        return first, torch.rand(shape, generator=generator, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Model:
    """Some pictures' samples of the network: what is to rise, in the network restricted by ``rule``."""

    studio: Studio
    target: Target
    rule: Rule | None
    samples: Tensor

    def climb(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The objective [n] of these inputs, and its gradient, shaped like them. Raises NumericalError."""
        run = self.studio.net.run(x.detach(), self.rule)
        value = self.target.fixed(run).of(run)
        if not torch.isfinite(value).all():
            raise NumericalError(f"the objective is NaN or infinite: {value.tolist()[:8]}")
        (gradient,) = run.input_gradients(value)
        assert gradient is not None
        return value.detach(), gradient

    def value(self, pictures: Tensor) -> Tensor:
        """The objective [n] of finished pictures."""
        run = self.studio.net.run(self.studio.shown(pictures), self.rule, graph=False)
        return self.target.fixed(run).of(run).detach()


def ascend(model: Model, start: Tensor | None, tell: Callable[[int, Tensor], None]) -> tuple[Tensor, Tensor]:
    """The pictures [n, C, h, w] and the objective at every step [steps, n]; ``tell`` hears of each.

    Raises NumericalError, with the step, where something is not finite, or nothing depends on a picture.
    """
    studio, (parameters, draws) = model.studio, _awake(model, start)
    move, curve = adam([parameters], studio.settings.lr), []
    for step in range(studio.settings.steps):
        value, slope = _slope(model, parameters, draws[:, step], step)
        move([-slope])
        curve.append(value)
        tell(step, value)
    return studio.canvas.pictures(parameters), torch.stack(curve)


def _slope(model: Model, parameters: Tensor, draws: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The objective [n] and its gradient with respect to the parameters."""
    leaves = parameters.detach().requires_grad_()
    x = model.studio.changed(model.studio.canvas.pictures(leaves), draws)
    try:
        value, gradient = model.climb(x)
    except NumericalError as error:
        raise NumericalError(f"at step {step} of {model.studio.settings.steps}: {error}") from error
    (slope,) = torch.autograd.grad(x, leaves, gradient)
    return value, slope


def _awake(model: Model, start: Tensor | None) -> tuple[Tensor, Tensor]:
    """First parameters at which the objective has a gradient, and the draws.

    Noise of little contrast may leave every neuron on the way silent: then it gets more, picture by picture.
    """
    noise, draws = model.studio.noise(model.samples)
    base = torch.zeros_like(noise) if start is None else model.studio.canvas.parameters(start.to(noise))
    contrast, silent = noise.new_ones(len(noise), *[1] * (noise.dim() - 1)), noise.new_ones(len(noise)).bool()
    for factor in CONTRASTS:
        contrast[silent] = factor
        _, slope = _slope(model, base + contrast * noise, draws[:, 0], 0)
        silent = ~slope.flatten(1).any(dim=1)
        if not silent.any():
            return base + contrast * noise, draws
    raise NumericalError(
        f"the objective does not change with the picture (of samples {model.samples[silent.cpu()].tolist()[:8]}): the "
        "pathway cuts it off from the input, or its neurons are silent on every first picture that was tried; give "
        "another objective or pathway, or start= a picture that it answers to"
    )
