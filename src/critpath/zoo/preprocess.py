"""A picture to what a network takes: resize, centre crop, normalise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from critpath.errors import ImageError, OptionError
from critpath.zoo.images import MAX_PIXELS

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

_RESAMPLING = {method.name.lower(): method for method in Image.Resampling}


@dataclass(frozen=True)
class Preprocess:
    """Resize the short side to `resize` pixels, cut the central `crop` x `crop`, normalise.

    The same numbers as torchvision's Resize, CenterCrop, ToTensor and Normalize on a PIL image.

    Attributes:
        mean, std: of each channel, for RGB in [0, 1].
        interpolation: nearest, box, bilinear, hamming, bicubic or lanczos.
        squash: resize both sides to `resize`, whatever the picture's proportions.

    Raises:
        OptionError: a size, `std` or `interpolation` is out of its range.
    """

    resize: int
    crop: int
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    interpolation: str = "bilinear"
    squash: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        _check(self)

    def view(self, image: Image.Image) -> Image.Image:
        """The part of `image` that the network sees: RGB, `crop` x `crop`.

        Raises:
            ImageError: the picture is so narrow that resizing would make it enormous.
        """
        width, height = size = self._resized(*image.size)
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"A picture of {image.size[0]} x {image.size[1]} pixels is too narrow: with its short side "
                f"at {self.resize} it would have {width} x {height}. Crop it first."
            )
        resized = image.convert("RGB").resize(size, _RESAMPLING[self.interpolation])
        left, top = round((width - self.crop) / 2), round((height - self.crop) / 2)
        return resized.crop((left, top, left + self.crop, top + self.crop))

    def __call__(self, image: Image.Image) -> Tensor:
        """The network's input: float32 `[3, crop, crop]`, normalised."""
        pixels = torch.from_numpy(np.array(self.view(image))).permute(2, 0, 1).contiguous()
        return (pixels.to(torch.float32) / 255 - self._column(self.mean)) / self._column(self.std)

    @property
    def black(self) -> Tensor:
        """A black picture as the network's input, one value per channel `[3, 1, 1]`: a baseline."""
        return -self._column(self.mean) / self._column(self.std)

    def pixels(self, x: Tensor) -> Tensor:
        """The inverse of the normalisation: `[..., 3, H, W]` to RGB, in [0, 1] for a real picture."""
        return x * self._column(self.std).to(x) + self._column(self.mean).to(x)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if self.squash:
            return self.resize, self.resize
        if width <= height:
            return self.resize, int(self.resize * height / width)
        return int(self.resize * width / height), self.resize

    @staticmethod
    def _column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32).view(3, 1, 1)


def _check(p: Preprocess) -> None:
    if not 1 <= p.crop <= p.resize:
        raise OptionError(f"Preprocess needs 1 <= crop <= resize; got crop={p.crop}, resize={p.resize}.")
    if len(p.mean) != 3 or len(p.std) != 3 or min(p.std) <= 0:
        raise OptionError(
            "Preprocess needs three means and three positive standard deviations, for RGB in [0, 1]; "
            f"got mean={p.mean}, std={p.std}."
        )
    if p.interpolation not in _RESAMPLING:
        raise OptionError(f"Unknown interpolation {p.interpolation!r}. Known: {', '.join(_RESAMPLING)}.")
