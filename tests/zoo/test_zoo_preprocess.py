"""Preprocessing: the numbers of torchvision's own transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from critpath import zoo
from critpath.errors import ImageError, OptionError
from critpath.zoo import Preprocess

SIZES = [(64, 64), (97, 64), (64, 101), (33, 200), (300, 41), (7, 9)]


def torchvision_transforms() -> Any:
    return zoo.import_torchvision().transforms


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(40, 32), (43, 32), (32, 32)])
def test_equals_torchvision(size: tuple[int, int], interpolation: str, resize: int, crop: int) -> None:
    T = torchvision_transforms()

    p = Preprocess(resize, crop, interpolation=interpolation)
    view = T.Compose([T.Resize(resize, T.InterpolationMode(interpolation)), T.CenterCrop(crop)])
    whole = T.Compose([view, T.ToTensor(), T.Normalize(p.mean, p.std)])
    picture = noise(*size)
    assert np.array_equal(np.asarray(p.view(picture)), np.asarray(view(picture)))
    torch.testing.assert_close(p(picture), whole(picture), rtol=0, atol=0)


def test_squash_ignores_the_proportions() -> None:
    picture = noise(90, 30)
    p = Preprocess(32, 32, squash=True)
    assert np.array_equal(np.asarray(p.view(picture)), np.asarray(picture.resize((32, 32), Image.BILINEAR)))


def test_shape_dtype_and_other_modes() -> None:
    x = Preprocess(40, 32)(noise(50, 60, "L"))
    assert x.shape == (3, 32, 32)
    assert x.dtype == torch.float32
    assert x.is_contiguous()


def test_pixels_is_the_inverse() -> None:
    p = Preprocess(40, 32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    picture = noise(50, 60)
    expected = torch.from_numpy(np.array(p.view(picture))).permute(2, 0, 1) / 255
    torch.testing.assert_close(p.pixels(p(picture)[None].double())[0], expected.double(), atol=1e-6, rtol=0)


def test_it_is_a_value() -> None:
    assert Preprocess(40, 32, mean=[0, 0, 0]) == Preprocess(40, 32, mean=(0.0, 0.0, 0.0))
    assert len({Preprocess(40, 32), Preprocess(40, 32)}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 41}, "1 <= crop <= resize"),
        ({"crop": 0}, "1 <= crop <= resize"),
        ({"std": (1.0, 0.0, 1.0)}, "three positive"),
        ({"mean": (0.5,)}, "three means"),
        ({"interpolation": "cubic"}, "Unknown interpolation 'cubic'. Known: nearest"),
    ],
)
def test_impossible_values(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Preprocess(**{"resize": 40, "crop": 32} | options)


def test_an_extremely_narrow_picture() -> None:
    with pytest.raises(ImageError, match="too narrow"):
        Preprocess(256, 224).view(Image.new("RGB", (2_000_000, 1)))
