"""The registry of contributions: network, input -> one signed value per neuron."""

from __future__ import annotations

from collections.abc import Callable

from critpath.groups import GroupValues
from critpath.neurons import NeuronValues
from critpath.registry import Registry

CONTRIBUTIONS: Registry[Callable[..., NeuronValues | GroupValues]] = Registry("contribution")
"""Functions of a ``Response`` and keyword options."""
