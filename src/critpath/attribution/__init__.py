"""Attribution: what in the input a response, or its pathway, goes back to."""

from __future__ import annotations

from critpath.attribution import (  # noqa: F401  (they register)
    conductance,
    edges,
    gradcam,
    gradient,
    guided_backprop,
    input_gradient,
    integrated_gradients,
    pathway_average,
    pathway_gradient,
    prune_pgd,
    prunegrad,
    prunegrad_mid,
    random,
    rectgrad,
    smoothgrad,
)
from critpath.attribution.attributing import attribute, attribution_names
from critpath.attribution.conductance import UnitMaps, conductance_maps
from critpath.attribution.explainer import explainer
from critpath.attribution.family import ATTRIBUTIONS, InputMaps

__all__ = [
    "ATTRIBUTIONS",
    "InputMaps",
    "UnitMaps",
    "attribute",
    "attribution_names",
    "conductance_maps",
    "explainer",
]
