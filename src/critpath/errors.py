"""Everything that critpath raises on purpose.

    CritpathError
    ├── ModelError              the model cannot be observed
    │   ├── TrainingModeError      it is in training mode
    │   ├── UnsupportedModelError  it hides its activations (scripted, sharded)
    │   ├── NoSitesError           it calls no activation function that could be seen
    │   └── ForwardError           it raised on this input
    ├── InputError              the input is not one that can be explained
    │   └── ImageError          a file is not an image that can be read
    ├── TargetError             the target names nothing in the model's output
    ├── OptionError             an option is out of its range, or a name is unknown
    ├── NumericalError          NaN, infinity, or a response that does not depend on the input
    ├── MismatchError           values or a pathway of one network used with another
    ├── StorageError            a file cannot be read or written
    └── MissingDependencyError  an optional package is not installed

Each message says what was wrong, where, with which shapes, and what to do. Errors about a value
are also ``ValueError``; errors about the environment are also ``RuntimeError``.
"""

from __future__ import annotations


class CritpathError(Exception):
    """Base class of all errors raised by critpath."""


class ModelError(CritpathError, RuntimeError):
    """The model cannot be observed."""


class TrainingModeError(ModelError):
    """The model, or a part of it, is in training mode."""


class UnsupportedModelError(ModelError):
    """The model hides its activation functions from Python."""


class NoSitesError(ModelError):
    """The forward pass called no activation function that could be seen."""


class ForwardError(ModelError):
    """The model raised while it ran on the given input."""


class InputError(CritpathError, ValueError):
    """The input is not one that can be explained."""


class ImageError(InputError):
    """A file is not an image that can be read."""


class TargetError(CritpathError, ValueError):
    """The target names nothing in the model's output."""


class OptionError(CritpathError, ValueError):
    """An option is out of its range, or a name is unknown."""


class NumericalError(CritpathError, ArithmeticError):
    """NaN, infinity, or a response that does not depend on what it is explained by."""


class MismatchError(CritpathError, ValueError):
    """Values or a pathway of one network were used with another."""


class StorageError(CritpathError, RuntimeError):
    """A file cannot be read or written."""


class MissingDependencyError(CritpathError, RuntimeError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'critpath[{extra}]'"
        )
