"""How pictures are made: the options of ``decode``, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

from critpath.decoding.canvas import CANVASES
from critpath.decoding.warp import Transform, Warp
from critpath.errors import OptionError
from critpath.registry import check_known

Transforms: TypeAlias = "str | Sequence[Warp | Transform]"
"""``"robust"``, a ``Warp`` with its defaults, in proportion for pictures of other than 128 pixels; ``"none"``; or
several, one after the other."""

SIZE = 128


@dataclass(frozen=True)
class Settings:
    """How pictures were made.

    ``size`` is height and width in pixels, ``rate`` Adam's rate of learning, ``deviation`` the standard deviation of
    the normally distributed first parameters.
    """

    size: tuple[int, int]
    steps: int = 256
    lr: float = 0.05
    parametrisation: str = "fourier"
    decorrelate: bool = True
    transforms: Transforms = "robust"
    restriction: str = "zeroed"
    deviation: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_known("parametrisation", self.parametrisation, tuple(CANVASES))
        check_known("restriction", self.restriction, ("zeroed", "frozen"))
        if isinstance(self.transforms, str):
            check_known("transform", self.transforms, ("robust", "none"))
        _check_whole("steps", self.steps, 1)
        _check_whole("seed", self.seed, 0)
        for side in self.size:
            _check_whole("size", side, 2)
        if not isfinite(self.lr) or self.lr <= 0 or not isfinite(self.deviation) or self.deviation < 0:
            raise OptionError(f"lr is above 0 and the deviation not negative; got {self.lr} and {self.deviation}")
        for warp in self.steps_of_transform:
            if isinstance(warp, Warp):
                warp.check(self.size)

    @property
    def steps_of_transform(self) -> tuple[Warp | Transform, ...]:
        """What is done to the pictures in each step, before they are resized. Raises OptionError for no callable."""
        if isinstance(self.transforms, str):
            return (Warp().scaled(min(self.size) / SIZE),) if self.transforms == "robust" else ()
        if not all(callable(step) for step in self.transforms):
            raise OptionError(f"transforms are functions of pictures, or a Warp; got {self.transforms!r}")
        return tuple(self.transforms)


PRESETS: dict[str, dict[str, Any]] = {
    "lucid": {"steps": 512},
    "khakzar2021": {"steps": 512, "parametrisation": "pixels", "decorrelate": False, "transforms": "none"},
}
"""Options that differ from the defaults: Lucid's, and those of the paper's pictures (128 pixels, as they are)."""


def settings_of(
    preset: str | None, shape: tuple[int, ...], size: int | tuple[int, int] | None, **given: Any
) -> Settings:
    """The preset's settings with those that are given (not None) instead, for a model's input shape.

    Raises OptionError where one is out of its range, or unknown.
    """
    if preset is not None:
        check_known("preset", preset, tuple(PRESETS))
    least = (min(SIZE, shape[1]), min(SIZE, shape[2]))
    both = least if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2:
        raise OptionError(f"size is {size!r}; give one number of pixels, or height and width")
    chosen = {name: value for name, value in given.items() if value is not None}
    return Settings(both, **{**(PRESETS[preset] if preset else {}), **chosen})


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise OptionError(f"{name} is {value!r}; it is an integer from {least} on")
