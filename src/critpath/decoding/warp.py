"""Random changes of place and size, that a picture has to withstand: what is made of them is no noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.errors import OptionError
from critpath.options import check_number

Transform = Callable[[Tensor], Tensor]
"""From pictures [pictures, channels, height, width] to pictures, differentiably."""

BORDER = 0.5
"""What surrounds a picture: grey."""

DRAWS = 6
"""Uniform numbers that one step takes for one picture."""

UPRIGHT = 5 / 26
"""How often a picture is not turned beyond its share: five of 26 draws, with 21 angles (Lucid)."""


@dataclass(frozen=True)
class Warp:
    """Pad, shift, scale, turn and shift again, in one resampling (bilinear) straight to the size that is asked for.

    ``pad`` pixels of grey on every side; a shift by ``jitter`` pixels cut off there (so up to half of it either way);
    a scale of 1 ± ``scale``, in 11 steps; an angle of ± ``degrees``, in 21 steps and more often none; and a shift by
    ``second_jitter``. The window that remains, height + 2 pad - both jitters, has the size asked for. All at zero
    leave a picture as it is. The defaults are those of Lucid (Olah et al. 2017).
    """

    pad: int = 12
    jitter: int = 8
    scale: float = 0.1
    degrees: float = 10
    second_jitter: int = 4

    def __post_init__(self) -> None:
        for name in ("pad", "jitter", "degrees", "second_jitter"):
            check_number(f"{name} of a Warp", getattr(self, name), 0)
        check_number("scale of a Warp", self.scale, 0, 1, below=True)

    def __call__(self, pictures: Tensor, size: tuple[int, int], draws: Tensor) -> Tensor:
        """[pictures, channels, *size]; ``draws`` [pictures, 6] are uniform in [0, 1)."""
        grid = F.affine_grid(
            self.matrices(draws, tuple(pictures.shape[-2:])).to(pictures),
            [len(pictures), pictures.shape[1], *size],
            align_corners=False,
        )
        return F.grid_sample(pictures - BORDER, grid, align_corners=False) + BORDER

    def matrices(self, draws: Tensor, shape: tuple[int, ...]) -> Tensor:
        """[pictures, 2, 3]: from a place in the result to one in the picture, both from -1 to 1."""
        half = torch.tensor([shape[1], shape[0]], dtype=draws.dtype) / 2
        window = half + self.pad - (self.jitter + self.second_jitter) / 2
        turn = _rotations(self._angles(draws[:, 3])) / self._scales(draws[:, 2]).view(-1, 1, 1)
        first, second = _shifts(draws[:, 0:2], self.jitter), _shifts(draws[:, 4:6], self.second_jitter)
        offset = first + (turn @ second.unsqueeze(2)).squeeze(2)
        return torch.cat([turn * window, offset.unsqueeze(2)], dim=2) / half.view(2, 1)

    def scaled(self, share: float) -> Warp:
        """The same for pictures of another size: pads and jitters times ``share``, in whole pixels."""
        pad, jitter, second = (round(pixels * share) for pixels in (self.pad, self.jitter, self.second_jitter))
        return replace(self, pad=pad, jitter=jitter, second_jitter=second)

    def check(self, shape: tuple[int, int]) -> None:
        """Raises OptionError where the jitters leave nothing of a picture."""
        if min(shape) + 2 * self.pad <= self.jitter + self.second_jitter:
            raise OptionError(f"{self} leaves nothing of a picture of {shape[0]} x {shape[1]}: pad more, or shift less")

    def _scales(self, draws: Tensor) -> Tensor:
        return 1 + self.scale * ((draws * 11).floor() - 5) / 5

    def _angles(self, draws: Tensor) -> Tensor:
        """In radians."""
        steps = ((draws - UPRIGHT) / (1 - UPRIGHT) * 21).floor() - 10
        return torch.where(draws < UPRIGHT, 0, steps) / 10 * self.degrees * pi / 180


def _shifts(draws: Tensor, jitter: int) -> Tensor:
    """[pictures, 2]: across and down, in whole pixels from where the middle of the window would be."""
    return (draws * (jitter + 1)).floor() - jitter / 2


def _rotations(angles: Tensor) -> Tensor:
    """[pictures, 2, 2]"""
    c, s = angles.cos(), angles.sin()
    return torch.stack([torch.stack([c, -s], dim=1), torch.stack([s, c], dim=1)], dim=1)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """[pictures, channels, *size], bilinear, corner on corner."""
    if tuple(pictures.shape[-2:]) == size:
        return pictures
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=True)
