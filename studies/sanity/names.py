"""What methods and similarities are called, and what was published of them."""

from __future__ import annotations

from functools import cache
from statistics import fmean

from studies.sanity.published import CURVES

NAMES = {
    "gradient": "Gradient",
    "gbp": "GBP",
    "gradcam": "GradCAM",
    "input-mct": "InputMCT",
    "input-intgrad": "InputIntGrad",
    "neuron-mct": "NeuronMCT (frozen)",
    "neuron-intgrad": "NeuronIntGrad (frozen)",
    "prunegrad": "PruneGrad (zeroed)",
    "prunegrad-90": "PruneGrad, 90 %",
    "prunegrad-mid": "PruneGrad-Mid",
    "prune-pgd": "PrunePGD",
    "rectgrad": "RectGrad",
    "rectgrad-50": "RectGrad, half kept",
    "smoothgrad": "SmoothGrad",
    "edges": "edges (no network)",
    "random": "random",
}

AS_PUBLISHED = {"prunegrad": "neuron-mct"}
"""What P's released code computes under another name."""

NETWORKS = {"resnet50": "ResNet-50", "resnet18": "ResNet-18"}

SIMILARITIES = {"ssim": "SSIM", "spearman_abs": "Spearman of |map|", "spearman": "Spearman"}
"""As a run's tables call them."""


def bare(method: str) -> str:
    """A name as the papers write it."""
    return NAMES[method].split(" (")[0]


@cache
def published_means() -> dict[tuple[str, str], float]:
    """The mean of a published curve over the 18 stages, by method and similarity."""
    return {(method, key): fmean(line[1:]) for key, lines in CURVES.items() for method, line in lines.items()}
