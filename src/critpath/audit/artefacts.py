"""The places where the papers' released code departs from the papers, as tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Artefact:
    """``what`` the released code does, the call that reproduces it (``released``), and the one without (``right``)."""

    name: str
    what: str
    released: str
    right: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}\n    released: {self.released}\n    right:    {self.right}"


ARTEFACTS = (
    Artefact(
        "alphas",
        "NeuronIntGrad adds each step to the scale of the activations in place of replacing it: α = j(j+1)/(2n), up "
        "to (n+1)/2, where the integral ends at 1",
        'released_intgrad(response, points, alphas="released", calls="all")',
        'released_intgrad(response, points, alphas="right", calls="all"); find_pathway(net, x, "intgrad")',
    ),
    Artefact(
        "calls",
        "NeuronIntGrad takes modules for calls: where modules are called several times (ResNet), only as many sites "
        "as there are modules have scores, and no later site is ever pruned",
        'percentile_pathway(released_intgrad(response, points, alphas="right", calls="released"), percent)',
        'released_intgrad(response, points, alphas="right", calls="all")',
    ),
    Artefact(
        "revival",
        "GreedyPruning sets the mask to 1 wherever the score is 0, which includes all it has pruned; 99 rounds "
        "whatever the sparsity",
        "oscillating_greedy(response, rounds=99)",
        'find_pathway(net, x, "greedy", sparsity)',
    ),
    Artefact(
        "ties",
        "selection keeps scores above a percentile and drops those equal to it: where more are 0 than shall be "
        "left out, all others are kept; where many gates share a value, all of them go",
        'percentile_pathway(scores, percent, ties="drop")',
        "select(scores, sparsity), which keeps exactly as many as asked of those that are not 0",
    ),
)


MAP_ARTEFACTS = (
    Artefact(
        "zeroed",
        "the pathway gradient of the first paper is computed by setting the other neurons to zero, where the paper "
        "freezes them at their values",
        'attribute(net, x, "prunegrad", sparsity=s)',
        'attribute(net, x, "pathway_gradient", sparsity=s)',
    ),
    Artefact(
        "sum",
        "the map of integrated gradients is the sum of n + 1 gradients, both ends included, divided by n",
        "summed_gradients(response, points)",
        'attribute(net, x, "integrated_gradients")',
    ),
    Artefact(
        "signs",
        "pixels are ranked by the largest signed value of the map's channels, so that the most negative count least",
        'pixel_perturbation(..., reduce="max")',
        "pixel_perturbation(...), which ranks by the largest absolute value",
    ),
    Artefact(
        "eight bits",
        "maps are stored in 256 levels between attribution and ROAR: the many small values become equal, and their "
        "positions decide which are removed",
        "remove(x, eight_bit(maps.abs().amax(1, keepdim=True)), share)",
        "remove(x, maps, share)",
    ),
    Artefact(
        "class",
        "after parameters are randomised, the class that is then predicted is explained",
        "parameter_randomisation(..., reselect=True)",
        "parameter_randomisation(...), which explains the original network's class",
    ),
)
"""Of maps and their evaluation; those of pathways, which ``audit`` compares, are ``ARTEFACTS``."""


def artefacts() -> str:
    """Both tables in words."""
    return "\n".join(str(artefact) for artefact in (*ARTEFACTS, *MAP_ARTEFACTS))
