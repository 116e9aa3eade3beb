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
    "Budget": "selection",
    "Channel": "targets",
    "CritpathError": "errors",
    "Decoded": "decoding",
    "Direction": "targets",
    "Explanation": "explanation",
    "Faithfulness": "analysis",
    "FinderComparison": "analysis",
    "GroupValues": "groups",
    "LinearRadius": "analysis",
    "Margin": "targets",
    "Network": "network",
    "Neuron": "targets",
    "NeuronSpace": "neurons",
    "NeuronValues": "neurons",
    "Overlap": "analysis",
    "Pathway": "pathway",
    "PathwayComparison": "comparison",
    "Probability": "targets",
    "Response": "response",
    "Search": "pathway",
    "SearchWarning": "pathway",
    "Site": "neurons",
    "SiteActivation": "targets",
    "ToleranceWarning": "accuracy",
    "TopExamples": "decoding",
    "UnitMaps": "attribution",
    "attribute": "attribution",
    "attribution_names": "attribution",
    "check_linear": "analysis",
    "class_pathways": "analysis",
    "compare_finders": "analysis",
    "compare_pathways": "comparison",
    "conductance_maps": "attribution",
    "connected_part": "selection",
    "contribution_names": "contributions",
    "dead_share": "analysis",
    "decode": "decoding",
    "deletion": "evaluation",
    "efficient_mprt": "evaluation",
    "explain": "explanation",
    "explainer": "attribution",
    "f_fidelity": "evaluation",
    "faithfulness": "analysis",
    "feature_selection": "evaluation",
    "fgsm": "analysis",
    "find_budget": "selection",
    "find_pathway": "selection",
    "finder_names": "selection",
    "gradient_stability": "analysis",
    "insertion": "evaluation",
    "linear_radius": "analysis",
    "load_pathway": "store",
    "load_values": "store",
    "map_agreement": "evaluation",
    "mean_activations": "baselines",
    "nearest": "analysis",
    "nesting": "analysis",
    "overlap": "analysis",
    "parameter_randomisation": "evaluation",
    "pgd": "analysis",
    "pixel_perturbation": "evaluation",
    "respond": "response",
    "roar": "evaluation",
    "save_pathway": "store",
    "save_values": "store",
    "score": "contributions",
    "score_many": "contributions",
    "select": "selection",
    "sketch": "analysis",
    "summarise": "evaluation",
    "top_examples": "decoding",
    "top_neuron": "decoding",
}

__all__ = [
    "Accuracy",
    "Budget",
    "Channel",
    "CritpathError",
    "Decoded",
    "Direction",
    "Explanation",
    "Faithfulness",
    "FinderComparison",
    "GroupValues",
    "LinearRadius",
    "Margin",
    "Network",
    "Neuron",
    "NeuronSpace",
    "NeuronValues",
    "Overlap",
    "Pathway",
    "PathwayComparison",
    "Probability",
    "Response",
    "Search",
    "SearchWarning",
    "Site",
    "SiteActivation",
    "ToleranceWarning",
    "TopExamples",
    "UnitMaps",
    "__version__",
    "attribute",
    "attribution_names",
    "check_linear",
    "class_pathways",
    "compare_finders",
    "compare_pathways",
    "conductance_maps",
    "connected_part",
    "contribution_names",
    "dead_share",
    "decode",
    "deletion",
    "efficient_mprt",
    "explain",
    "explainer",
    "f_fidelity",
    "faithfulness",
    "feature_selection",
    "fgsm",
    "find_budget",
    "find_pathway",
    "finder_names",
    "gradient_stability",
    "insertion",
    "linear_radius",
    "load_pathway",
    "load_values",
    "map_agreement",
    "mean_activations",
    "nearest",
    "nesting",
    "overlap",
    "parameter_randomisation",
    "pgd",
    "pixel_perturbation",
    "respond",
    "roar",
    "save_pathway",
    "save_values",
    "score",
    "score_many",
    "select",
    "sketch",
    "summarise",
    "top_examples",
    "top_neuron",
]

if TYPE_CHECKING:
    from critpath.accuracy import Accuracy, ToleranceWarning
    from critpath.analysis import (
        Faithfulness,
        FinderComparison,
        LinearRadius,
        Overlap,
        check_linear,
        class_pathways,
        compare_finders,
        dead_share,
        faithfulness,
        fgsm,
        gradient_stability,
        linear_radius,
        nearest,
        nesting,
        overlap,
        pgd,
        sketch,
    )
    from critpath.attribution import UnitMaps, attribute, attribution_names, conductance_maps, explainer
    from critpath.baselines import mean_activations
    from critpath.comparison import PathwayComparison, compare_pathways
    from critpath.contributions import contribution_names, score, score_many
    from critpath.decoding import Decoded, TopExamples, decode, top_examples, top_neuron
    from critpath.errors import CritpathError
    from critpath.evaluation import (
        deletion,
        efficient_mprt,
        f_fidelity,
        feature_selection,
        insertion,
        map_agreement,
        parameter_randomisation,
        pixel_perturbation,
        roar,
        summarise,
    )
    from critpath.explanation import Explanation, explain
    from critpath.groups import GroupValues
    from critpath.network import Network
    from critpath.neurons import NeuronSpace, NeuronValues, Site
    from critpath.pathway import Pathway, Search, SearchWarning
    from critpath.response import Response, respond
    from critpath.selection import Budget, connected_part, find_budget, find_pathway, finder_names, select
    from critpath.store import load_pathway, load_values, save_pathway, save_values
    from critpath.targets import Channel, Direction, Margin, Neuron, Probability, SiteActivation


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
