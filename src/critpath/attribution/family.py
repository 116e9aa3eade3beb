"""The registry of attribution methods: network, input, pathway -> a map over the input."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from critpath.registry import Registry

InputMaps = tuple[Tensor | None, ...]
"""One map per input tensor, shaped like it; None for integer inputs."""

ATTRIBUTIONS: Registry[Callable[..., InputMaps]] = Registry("attribution method")
"""Functions of a ``Response`` and keyword options; those that take ``pathway`` go along one."""
