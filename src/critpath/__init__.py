"""critpath: the critical pathway of a neural network's response.

Which neurons made this output, which sparse pathway they form, which input features it encodes, and how
far that answer can be trusted. torch is loaded when the first of these names is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from critpath.version import __version__

_PUBLIC = {
    "Accuracy": "accuracy",
    "Channel": "targets",
    "CritpathError": "errors",
    "Explanation": "explanation",
    "GroupValues": "groups",
    "Margin": "targets",
    "Network": "network",
    "Neuron": "targets",
    "NeuronSpace": "neurons",
    "NeuronValues": "neurons",
    "Overlap": "analysis",
    "Pathway": "pathway",
    "Probability": "targets",
    "Site": "neurons",
    "ToleranceWarning": "accuracy",
    "UnitMaps": "attribution",
    "attribute": "attribution",
    "attribution_names": "attribution",
    "conductance_maps": "attribution",
    "contribution_names": "contributions",
    "explain": "explanation",
    "find_pathway": "selection",
    "finder_names": "selection",
    "load_pathway": "store",
    "load_values": "store",
    "mean_activations": "baselines",
    "overlap": "analysis",
    "save_pathway": "store",
    "save_values": "store",
    "score": "contributions",
    "score_many": "contributions",
    "select": "selection",
}

__all__ = [
    "Accuracy",
    "Channel",
    "CritpathError",
    "Explanation",
    "GroupValues",
    "Margin",
    "Network",
    "Neuron",
    "NeuronSpace",
    "NeuronValues",
    "Overlap",
    "Pathway",
    "Probability",
    "Site",
    "ToleranceWarning",
    "UnitMaps",
    "__version__",
    "attribute",
    "attribution_names",
    "conductance_maps",
    "contribution_names",
    "explain",
    "find_pathway",
    "finder_names",
    "load_pathway",
    "load_values",
    "mean_activations",
    "overlap",
    "save_pathway",
    "save_values",
    "score",
    "score_many",
    "select",
]

if TYPE_CHECKING:
    from critpath.accuracy import Accuracy, ToleranceWarning
    from critpath.analysis import Overlap, overlap
    from critpath.attribution import UnitMaps, attribute, attribution_names, conductance_maps
    from critpath.baselines import mean_activations
    from critpath.contributions import contribution_names, score, score_many
    from critpath.errors import CritpathError
    from critpath.explanation import Explanation, explain
    from critpath.groups import GroupValues
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
