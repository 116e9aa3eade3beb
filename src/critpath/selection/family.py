"""The registry of pathway finders: network, input -> pathway."""

from __future__ import annotations

from collections.abc import Callable

from critpath.pathway import Pathway
from critpath.registry import Registry

FINDERS: Registry[Callable[..., Pathway]] = Registry("finder")
"""Functions of a ``Response``, a sparsity and keyword options."""
