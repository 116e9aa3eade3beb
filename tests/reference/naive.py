"""Slow, obvious definitions, computed on a twin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.reference.twins import Case


def tensors(x: Any) -> list[Tensor]:
    parts = [x] if isinstance(x, Tensor) else list(x.values()) if isinstance(x, dict) else list(x)
    return [p for p in parts if isinstance(p, Tensor)]


def with_grad(x: Any) -> Any:
    """The input with every floating-point tensor a fresh leaf."""

    def leaf(t: Tensor) -> Tensor:
        return t.detach().clone().requires_grad_() if t.is_floating_point() else t

    if isinstance(x, Tensor):
        return leaf(x)
    return {k: leaf(v) for k, v in x.items()} if isinstance(x, dict) else tuple(leaf(v) for v in x)


def predicted(case: Case) -> Tensor:
    return case.twin(case.model, case.x, lambda i, a: a).argmax(dim=1)


def activations_and_gradients(case: Case) -> list[tuple[Tensor, Tensor]]:
    """(a, dΦ/da) per site for the predicted class, by adding a zero leaf to every activation."""
    leaves: list[Tensor] = []
    seen: list[Tensor] = []

    def rule(number: int, a: Tensor) -> Tensor:
        leaves.append(torch.zeros_like(a).requires_grad_())
        seen.append(a.detach())
        return a + leaves[-1]

    out = case.twin(case.model, case.x, rule)
    response = out.gather(1, predicted(case)[:, None]).sum()
    gradients = torch.autograd.grad(response, leaves, allow_unused=True)
    return [(a, torch.zeros_like(a) if g is None else g) for a, g in zip(seen, gradients, strict=True)]


def input_gradients(case: Case, rule: Any = lambda i, a: a) -> list[Tensor]:
    """The gradient of the predicted class's logit with every activation passed through ``rule``."""
    x = with_grad(case.x)
    out = case.twin(case.model, x, rule)
    response = out.gather(1, predicted(case)[:, None]).sum()
    leaves = [t for t in tensors(x) if t.is_floating_point()]
    gradients = torch.autograd.grad(response, leaves, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, gradients, strict=True)]


CONTRIBUTIONS = {
    "taylor": lambda a, g: a * g,
    "gradient_activation": lambda a, g: g * a,
    "activation": lambda a, g: a,
}
"""The definition of every registered contribution that is local in a and dΦ/da."""

ATTRIBUTION_RULES = {
    "gradient": lambda keep: lambda i, a: a,
    "pathway_gradient": lambda keep: lambda i, a: keep[i] * a + ((~keep[i]) * a).detach(),
    "prunegrad": lambda keep: lambda i, a: keep[i] * a,
}
"""For every registered attribution along a pathway: what it does to an activation."""
