"""Captum's side: the model as Captum can see it, its loops over sites, and its formula for all sites at once."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from contributions.cases import Case
from contributions.setting import timed

BATCHES = (None, 4, 8)
"""``internal_batch_size``: the fastest of these on one site is used."""


class Separate:
    """A model with a module of its own for every ReLU call: Captum sees modules only, each once a pass.

    Other activations must already be modules that are called once.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        modules = dict(case.model.named_modules())
        plain = {name: name.rsplit("#", 1)[0] for name in case.space.names}
        once = len(set(plain.values())) == len(plain)
        if once and not any(isinstance(modules[module], nn.ReLU) for module in plain.values()):
            self.model, self.layers = case.model, {name: modules[module] for name, module in plain.items()}
        else:
            self.model, layers = separated(case.model)
            self.layers = dict(zip(case.space.names, layers, strict=True))
        self._check()

    def conductance(self, site: str, points: int, batch: int | None = None) -> Tensor:
        """``LayerConductance`` with ``points`` evaluations, which are n_steps + 1."""
        from captum.attr import LayerConductance

        return self._attributed(LayerConductance, site, n_steps=points - 1, internal_batch_size=batch)

    def intgrad(self, site: str, steps: int, batch: int | None = None) -> Tensor:
        """``LayerIntegratedGradients`` with ``steps`` evaluations."""
        from captum.attr import LayerIntegratedGradients

        return self._attributed(LayerIntegratedGradients, site, n_steps=steps, internal_batch_size=batch)

    def neuron_map(self, site: str, index: tuple[int, ...], points: int, batch: int | None = None) -> Tensor:
        """``NeuronConductance`` of one neuron, by Gauss-Legendre."""
        from captum.attr import NeuronConductance

        options = {"n_steps": points, "internal_batch_size": batch, "method": "gausslegendre"}
        return self._attributed(NeuronConductance, site, neuron_selector=index, **options)

    def _attributed(self, kind: Any, site: str, /, **options: Any) -> Tensor:
        case = self.case
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = kind(self.model, self.layers[site]).attribute(
                case.x, baselines=case.baseline, target=case.target, **options
            )
        return (found[0] if isinstance(found, tuple) else found).detach()

    def _check(self) -> None:
        """The same output, and the same activations in the same order."""
        seen: list[tuple[int, ...]] = []
        hooks = [m.register_forward_hook(lambda *a: seen.append(tuple(a[2].shape[1:]))) for m in self.layers.values()]
        try:
            with torch.no_grad():
                torch.testing.assert_close(self.model(self.case.x), self.case.model(self.case.x))
        finally:
            for hook in hooks:
                hook.remove()
        assert seen[: len(self.layers)] == [site.shape for site in self.case.space], "the sites differ"


def separated(model: nn.Module) -> tuple[fx.GraphModule, list[nn.Module]]:
    """A copy of the model with one ``nn.ReLU(inplace=False)`` for every ReLU call, and these in order."""
    traced = fx.symbolic_trace(copy.deepcopy(model))
    layers: list[nn.Module] = []
    for node in [node for node in traced.graph.nodes if _is_relu(traced, node)]:
        name = f"site_{len(layers)}"
        layers.append(nn.ReLU(inplace=False))
        traced.add_submodule(name, layers[-1])
        with traced.graph.inserting_before(node):
            node.replace_all_uses_with(traced.graph.call_module(name, node.args[:1]))
        traced.graph.erase_node(node)
    traced.recompile()
    return traced.eval(), layers


def _is_relu(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), nn.ReLU)
    functions = (F.relu, F.relu_, torch.relu, torch.relu_)
    return (node.op == "call_function" and node.target in functions) or (
        node.op == "call_method" and node.target in ("relu", "relu_")
    )


def nodes(evaluations: int) -> list[float]:
    """Captum's points: Gauss-Legendre nodes in (0, 1)."""
    return ((1 + np.polynomial.legendre.leggauss(evaluations)[0]) / 2).tolist()


def left(y: Sequence[Tensor], g: Sequence[Tensor]) -> Tensor:
    """Captum's conductance from the activations and gradients at its nodes: Σ_k g_k (y_k+1 - y_k)."""
    terms = (gradient * (after - before) for gradient, before, after in zip(g[:-1], y[:-1], y[1:], strict=True))
    return torch.stack(list(terms)).sum(dim=0)


def fastest(call: Callable[[int | None], object], device: str) -> tuple[int | None, dict[str, float]]:
    """The internal batch size with which a call is fastest, and the seconds of each."""
    call(BATCHES[0])  # none of them is the first
    seconds = {}
    for batch in BATCHES:
        seconds[batch] = timed(lambda batch=batch: call(batch), device)[0]
    return min(seconds, key=lambda batch: seconds[batch]), {str(batch): s for batch, s in seconds.items()}
