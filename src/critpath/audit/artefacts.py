"""The four places where the papers' released code departs from the papers, as a table."""

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


def artefacts() -> str:
    """The table in words."""
    return "\n".join(str(artefact) for artefact in ARTEFACTS)
