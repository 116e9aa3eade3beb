"""How far an adversarial change has to go before it is more than the gradient: PrunePGD in balls of several radii."""

from __future__ import annotations

from typing import Any

import critpath as cp
from critpath.evaluation import pixel_perturbation
from critpath.evaluation.removal import reduced
from critpath.evaluation.similarity import spearman_abs
from critpath.response import respond
from critpath.targets import class_scores
from studies import data, networks
from studies.trained import normalised

RADII = (0.1, 1.0, 5.0, 20.0)
"""In units of the normalised input; the paper's first."""

STEPS = 20
"""Each a tenth of the radius, as the paper's 0.01 is of 0.1."""

PGD: dict[str, dict[str, Any]] = {"pgd-0": {"sparsity": 0.0}, "pgd-dead": {"finder": "active"}}


def parts(images: int = 200, chunk: int = 20) -> list[str]:
    """A part is a chunk of CIFAR-10's test images."""
    return [str(start) for start in range(0, images, chunk)]


def run(part: str, images: int = 200, chunk: int = 20) -> dict[str, Any]:
    """For every radius, [images] each: the rank correlation of both absolute maps, that of each with the gradient's,
    and the areas of LeRF and MoRF.
    """
    rows = slice(int(part), min(int(part) + chunk, images))
    pictures, labels = data.cifar10_test()
    x = normalised(pictures[rows], labels[rows]).x
    model = networks.resnet8().model
    net = cp.Network(model)
    target = class_scores(respond(net, x).run).detach().argmax(dim=1)
    gradient = reduced(cp.attribute(net, x, "gradient", target=target))
    found = []
    for radius in RADII:
        how: dict[str, Any] = {"steps": STEPS, "step": radius / 10, "radius": radius}
        maps = {
            m: reduced(cp.attribute(net, x, "prune_pgd", target=target, **how, **given)) for m, given in PGD.items()
        }
        one: dict[str, list[float]] = {"both": spearman_abs(*maps.values()).tolist()}
        for method, of in maps.items():
            one[f"{method} gradient"] = spearman_abs(of, gradient).tolist()
            for order in ("lerf", "morf"):
                one[f"{method} {order}"] = pixel_perturbation(model, x, target, of, order=order).area().tolist()
        found.append({"radius": radius, **one})
    return {"radii": found}
