"""PrunePGD: what has to be added to the input for the pruned network to respond most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.given import pathway_or_found
from critpath.attribution.inputs import as_inputs, moving, norm, reciprocal, scaled
from critpath.network import Rule
from critpath.neurons import wide
from critpath.pathway import Pathway
from critpath.response import Response, keeping


@ATTRIBUTIONS.register("prune_pgd", forwards=21, backwards=21)
def prune_pgd(
    response: Response,
    *,
    steps: int = 20,
    step: float = 0.01,
    radius: float = 0.1,
    pathway: Pathway | None = None,
    sparsity: float = 0.9,
    finder: str = "taylor",
    scope: str = "network",
) -> InputMaps:
    """argmax_δ f_p(x + δ) with ‖δ‖₂ ≤ ``radius``, by projected ascent from δ = 0: PruneGrad, section 3.4.

    ``steps`` times δ ← δ + ``step`` ∇f_p / ‖∇f_p‖₂, and back into the ball where it has left it. Norms are those of a
    sample over all its inputs, in units of the (preprocessed) input. The pathway is that of x throughout. A sample
    whose gradient is 0 stays where it is. Without ``pathway`` the one of ``finder`` at ``sparsity`` and ``scope``; at
    sparsity 0 nothing is pruned, neurons that are dead on x included (PrunePGD_0).
    """
    rule = None
    if pathway is not None or sparsity > 0:
        rule = keeping(pathway_or_found(response, pathway, sparsity, finder, scope))
    delta = [None if x is None else torch.zeros_like(x) for x in moving(response)]
    for _ in range(steps):
        gradient = _gradient(response, delta, rule)
        delta = _projected(_sum(delta, scaled(gradient, step * reciprocal(norm(gradient)))), radius)
    return as_inputs(delta, response)


def _gradient(response: Response, delta: Sequence[Tensor | None], rule: Rule | None) -> list[Tensor | None]:
    """∇f_p(x + δ) for the inputs that move."""
    values = [None if x is None or d is None else x + d for x, d in zip(moving(response), delta, strict=True)]
    run = response.run_at(values, response.samples, rule)
    found = run.input_gradients(response.of_rows(run, response.samples))
    return [None if d is None or g is None else wide(g) for d, g in zip(delta, found, strict=True)]


def _sum(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if a is None or b is None else a + b for a, b in zip(first, second, strict=True)]


def _projected(parts: Sequence[Tensor | None], radius: float) -> list[Tensor | None]:
    """The nearest point of the ball: what lies inside stays."""
    length = norm(parts)
    return scaled(parts, torch.where(length > radius, radius * reciprocal(length), 1))
