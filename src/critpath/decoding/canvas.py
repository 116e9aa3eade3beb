"""Canvases: from parameters that are optimised to pictures in [0, 1], and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""A square root of the covariance of RGB values over ImageNet's pixels, from its singular value decomposition."""

CONTRAST = 4.0
"""By this the pictures of a spectrum are divided, which sets the rate of learning in usual units."""

EDGE = 1e-3
"""A picture to start from is kept this far from 0 and 1, where the sigmoid has no inverse."""


@dataclass(frozen=True)
class Canvas(ABC):
    """Pictures [pictures, channels, height, width] as parameters: sigmoid(colours(plane(parameters))).

    ``decorrelate``: the parameters' three channels are uncorrelated in natural pictures, instead of being RGB.
    """

    channels: int
    height: int
    width: int
    decorrelate: bool

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one picture's parameters, which are real."""

    @abstractmethod
    def plane(self, parameters: Tensor) -> Tensor:
        """Values [pictures, channels, height, width] on the real line."""

    @abstractmethod
    def parameters_of(self, plane: Tensor) -> Tensor:
        """The inverse of ``plane``."""

    def pictures(self, parameters: Tensor) -> Tensor:
        """[pictures, channels, height, width] in [0, 1]."""
        plane = self.plane(parameters)
        return torch.sigmoid(_mixed(plane, colour_matrix(plane)) if self.decorrelate else plane)

    def parameters(self, pictures: Tensor) -> Tensor:
        """Parameters of given pictures in [0, 1], exact but for values within ``EDGE`` of 0 or 1."""
        plane = torch.logit(pictures.clamp(EDGE, 1 - EDGE))
        return self.parameters_of(_mixed(plane, colour_matrix(plane).inverse()) if self.decorrelate else plane)


@dataclass(frozen=True)
class Pixels(Canvas):
    """Every pixel is a parameter."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, self.height, self.width

    def plane(self, parameters: Tensor) -> Tensor:
        return parameters

    def parameters_of(self, plane: Tensor) -> Tensor:
        return plane


@dataclass(frozen=True)
class Fourier(Canvas):
    """The parameters are the spectrum, each frequency scaled by the reciprocal of its size (Olah et al. 2017).

    A step of the optimiser so changes all frequencies as natural pictures vary in them.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, self.height, self.width // 2 + 1, 2

    def plane(self, parameters: Tensor) -> Tensor:
        spectrum = torch.view_as_complex(parameters) * self._scale(parameters)
        plane: Tensor = torch.fft.irfft2(spectrum, s=(self.height, self.width), norm="ortho")
        return plane / CONTRAST

    def parameters_of(self, plane: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(plane * CONTRAST, norm="ortho")
        return torch.view_as_real(spectrum / self._scale(plane)).contiguous()

    def _scale(self, like: Tensor) -> Tensor:
        """[height, width // 2 + 1]: 1 / frequency in cycles a pixel; that of the mean is the longer side."""
        down = torch.fft.fftfreq(self.height, dtype=like.dtype, device=like.device)
        across = torch.fft.rfftfreq(self.width, dtype=like.dtype, device=like.device)
        frequency = torch.hypot(down.unsqueeze(1), across.unsqueeze(0))
        return 1 / frequency.clamp(min=1 / max(self.height, self.width))


CANVASES: dict[str, type[Canvas]] = {"fourier": Fourier, "pixels": Pixels}


def colour_matrix(like: Tensor) -> Tensor:
    """[3, 3]: RGB values from uncorrelated ones; ``COLOURS``, its longest column at length 1."""
    matrix = torch.tensor(COLOURS, dtype=like.dtype, device=like.device)
    return matrix / matrix.square().sum(dim=0).max().sqrt()


def _mixed(plane: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("rc,nchw->nrhw", matrix, plane)
