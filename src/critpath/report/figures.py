"""Maps and pictures -> PNG and JPEG data URIs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from critpath.report.content import Map, Picture

PERCENTILE = 99.0
"""Each map is divided by this percentile of its own values."""

SHADES = 64
"""Steps of a map's colours: finer ones cannot be told apart and cost a third more bytes."""

_INFERNO = bytes.fromhex(
    "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754"
    "d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4"
)
"""Seventeen even stops of the colour map inferno (public domain, CC0)."""

_STOPS = np.frombuffer(_INFERNO, np.uint8).reshape(-1, 3)

COLOUR_STOPS = tuple(f"#{stop.tobytes().hex()}" for stop in _STOPS)


def colours(shades: int = SHADES) -> NDArray[np.uint8]:
    """The colour map, ``[shades, 3]``, from zero (black) to large (pale yellow)."""
    at, known = np.linspace(0, 1, shades), np.linspace(0, 1, len(_STOPS))
    return np.stack([np.interp(at, known, stop) for stop in _STOPS.T], axis=1).round().astype(np.uint8)


def unit_scale(values: Map) -> Map:
    """A map divided by its 99th percentile and cut to [0, 1]; NaN and negative values become 0.

    Where more than 99 % of the map is zero, its largest value takes the percentile's place.
    """
    clean = np.clip(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), 0, None)
    top = np.percentile(clean, PERCENTILE) or clean.max(initial=0)
    return np.asarray(np.clip(clean / top, 0, 1) if top else clean, np.float32)


@dataclass(frozen=True)
class Spot:
    """A frame around the little part of a map that is not dark, in percent of its width and height."""

    left: float
    top: float
    width: float
    height: float


def spot(values: Map, smallest: float = 18.0, largest: float = 40.0) -> Spot | None:
    """Where a map is concentrated, at least ``smallest`` percent wide; None where it is spread out or dark."""
    bright = np.argwhere(np.nan_to_num(values) > 0.1 * np.nan_to_num(values).max(initial=0))
    if values.ndim != 2 or not len(bright):
        return None
    extent = np.array(values.shape)
    middle = 100 * (bright.min(axis=0) + bright.max(axis=0) + 1) / 2 / extent
    size = np.maximum(100 * (np.ptp(bright, axis=0) + 1) / extent, smallest)
    if size.max() > largest:
        return None
    top, left = np.clip(middle - size / 2, 0, 100 - size)
    return Spot(*(round(float(v), 1) for v in (left, top, size[1], size[0])))


def map_uri(values: Map, side: int) -> str:
    """A two-dimensional map in colour, at most ``side`` pixels wide and high, as a PNG data URI."""
    image = Image.fromarray(_shades(values, side))
    image.putpalette(colours().tobytes())
    return _uri(image, "png")


def picture_uri(picture: Picture, side: int) -> str:
    """The picture as a data URI: PNG where it is tiny, otherwise JPEG."""
    image = _fit(Image.fromarray(_rgb(picture)), side)
    return _uri(image, "png" if max(image.size) <= 64 else "jpeg")


def backdrop_uri(picture: Picture, side: int) -> str:
    """The picture in dark grey, which a map is laid over by the blend mode *screen*."""
    image = _fit(Image.fromarray(_dimmed(picture)), side)
    return _uri(image, "png" if max(image.size) <= 64 else "jpeg")


def overlay_uri(picture: Picture, values: Map, side: int) -> str:
    """A map over the dark grey picture, composed here, as a JPEG data URI."""
    heat = Image.fromarray(colours()[_shades(values, side)])
    under = Image.fromarray(_dimmed(picture)).convert("RGB").resize(heat.size)
    return _uri(Image.fromarray(_screen(np.asarray(under), np.asarray(heat))), "jpeg")


def fit_size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Width and height of a ``[height, width]`` array, shrunk to at most ``side``."""
    shrink = min(1.0, side / max(shape[:2]))
    return max(1, round(shape[1] * shrink)), max(1, round(shape[0] * shrink))


def _shades(values: Map, side: int) -> NDArray[np.uint8]:
    clean = np.nan_to_num(np.asarray(values, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    small = np.asarray(_fit(Image.fromarray(clean), side))
    return (unit_scale(small) * (SHADES - 1)).round().astype(np.uint8)


def _fit(image: Image.Image, side: int) -> Image.Image:
    size = fit_size((image.height, image.width), side)
    return image if size == image.size else image.resize(size, Image.Resampling.BOX)


def _rgb(picture: Picture) -> Picture:
    if picture.ndim == 2 or picture.shape[2] == 1:
        return np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def _dimmed(picture: Picture) -> Picture:
    grey = _rgb(picture) @ np.array([0.299, 0.587, 0.114])
    return np.asarray(grey * 0.5, np.uint8)


def _screen(under: Picture, over: Picture) -> Picture:
    dark = (255.0 - under) * (255.0 - over) / 255.0
    return np.asarray(255.0 - dark, np.uint8)


def _uri(image: Image.Image, kind: Literal["png", "jpeg"]) -> str:
    stream = BytesIO()
    options = {"optimize": True} if kind == "png" else {"quality": 86}
    image.save(stream, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
