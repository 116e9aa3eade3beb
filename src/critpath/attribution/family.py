"""The registry of attribution methods: network, input, pathway -> a map over the input."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from critpath.registry import Registry

InputMaps = tuple[Tensor | None, ...]
"""A map for each of ``Run.moving``, shaped like it: for each input tensor (None for integers), then for each lookup of
tokens."""

ATTRIBUTIONS: Registry[Callable[..., InputMaps]] = Registry("attribution method")
"""Functions of a ``Response`` and keyword options; those that take ``pathway`` go along one."""
