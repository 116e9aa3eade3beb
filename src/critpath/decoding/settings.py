"""How pictures are made: the options of ``decode``, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from critpath.decoding.canvas import CANVASES
from critpath.decoding.warp import Transform, Warp
from critpath.errors import OptionError
from critpath.options import check_count, check_flag, check_number, shown
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
        _check_transforms(self.transforms)
        check_flag("decorrelate", self.decorrelate)
        check_count("steps", self.steps, 1)
        check_count("seed", self.seed, 0)
        for side in self.size:
            check_count("size", side, 2)
        check_number("lr", self.lr, 0, above=True)
        check_number("deviation", self.deviation, 0)
        for warp in self.steps_of_transform:
            if isinstance(warp, Warp):
                warp.check(self.size)

    @property
    def steps_of_transform(self) -> tuple[Warp | Transform, ...]:
        """What is done to the pictures in each step, before they are resized."""
        if isinstance(self.transforms, str):
            return (Warp().scaled(min(self.size) / SIZE),) if self.transforms == "robust" else ()
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
    both = least if size is None else tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(both) != 2 or isinstance(size, str):
        raise OptionError(f"size is {shown(size)}; give one number of pixels, or height and width")
    chosen = {name: value for name, value in given.items() if value is not None}
    return Settings(both, **{**(PRESETS[preset] if preset else {}), **chosen})


def _check_transforms(transforms: object) -> None:
    if isinstance(transforms, str):
        check_known("transform", transforms, ("robust", "none"))
    elif not isinstance(transforms, Sequence) or not all(callable(step) for step in transforms):
        raise OptionError(f"transforms are a list of functions of pictures, or of Warps; got {shown(transforms)}")
