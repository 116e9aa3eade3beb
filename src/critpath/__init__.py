"""critpath: the critical pathway of a neural network's response.

Which neurons made this output, which sparse pathway they form, which input features it encodes, and how
far that answer can be trusted. torch is loaded when the first of these names is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from critpath.version import __version__

_PUBLIC = {
    "Channel": "targets",
    "CritpathError": "errors",
    "Explanation": "explanation",
    "Margin": "targets",
    "Network": "network",
    "Neuron": "targets",
    "NeuronSpace": "neurons",
    "NeuronValues": "neurons",
    "Overlap": "analysis",
    "Pathway": "pathway",
    "Probability": "targets",
    "Site": "neurons",
    "attribute": "attribution",
    "attribution_names": "attribution",
    "contribution_names": "contributions",
    "explain": "explanation",
    "find_pathway": "selection",
    "finder_names": "selection",
    "load_pathway": "store",
    "load_values": "store",
    "overlap": "analysis",
    "save_pathway": "store",
    "save_values": "store",
    "score": "contributions",
    "select": "selection",
}

__all__ = [
    "Channel",
    "CritpathError",
    "Explanation",
    "Margin",
    "Network",
    "Neuron",
    "NeuronSpace",
    "NeuronValues",
    "Overlap",
    "Pathway",
    "Probability",
    "Site",
    "__version__",
    "attribute",
    "attribution_names",
    "contribution_names",
    "explain",
    "find_pathway",
    "finder_names",
    "load_pathway",
    "load_values",
    "overlap",
    "save_pathway",
    "save_values",
    "score",
    "select",
]

if TYPE_CHECKING:
    from critpath.analysis import Overlap, overlap
    from critpath.attribution import attribute, attribution_names
    from critpath.contributions import contribution_names, score
    from critpath.errors import CritpathError
    from critpath.explanation import Explanation, explain
    from critpath.network import Network
    from critpath.neurons import NeuronSpace, NeuronValues, Site
    from critpath.pathway import Pathway
    from critpath.selection import find_pathway, finder_names, select
    from critpath.store import load_pathway, load_values, save_pathway, save_values
    from critpath.targets import Channel, Margin, Neuron, Probability


def __getattr__(name: str) -> Any:
    """Load a public name, and with it every registered method."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'critpath' has no attribute {name!r}")
    for module in sorted(set(_PUBLIC.values())):
        import_module(f"critpath.{module}")
    value = getattr(import_module(f"critpath.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
