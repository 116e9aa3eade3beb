"""The worked examples of the conductance paper, with their corrections, each as a small network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import critpath as cp


class Formula(nn.Module):
    """A function of its input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def formula(hidden: Callable[[Tensor], Tensor], output: Callable[[Tensor], Tensor]) -> cp.Network:
    """output(hidden(x)), with everything that ``hidden`` returns a neuron of the site ``0#0``."""
    return cp.Network(nn.Sequential(Formula(hidden), Formula(output)).eval(), also=["0"])


def column(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def hidden(net: cp.Network, x: Tensor, method: str, **options: Any) -> list[float]:
    """The scores of the first site's neurons for the only output."""
    scores: list[float] = cp.score(net, x, method, target=0, **options).tensors[0][0].tolist()
    return scores


def test_a_saturated_neuron_keeps_its_conductance() -> None:
    """y = 2x, z = min(y, 1) at x = 1: the gradient is 0 there (the paper prints max)."""
    net = formula(lambda x: 2 * x, lambda y: y.clamp(0, 1))
    assert hidden(net, column(1), "gradient_activation") == [0]
    assert hidden(net, column(1), "conductance", tolerance=1e-5) == pytest.approx([1], abs=1e-4)


@pytest.mark.parametrize("beyond", [0.01, 0.1, 0.5])
def test_conductance_does_not_overshoot(beyond: float) -> None:
    """f(x) = x, g(y) = max(y - 1, 0) at x = 1 + ε (the paper prints 1 - ε): the output is ε only."""
    net = formula(lambda x: x + 0, lambda y: torch.relu(y - 1))
    assert hidden(net, column(1 + beyond), "gradient_activation") == pytest.approx([1 + beyond])
    assert hidden(net, column(1 + beyond), "conductance", points=1024) == pytest.approx([beyond], abs=1e-4)


def test_conductance_has_the_sign_of_the_neurons_change() -> None:
    """f(x) = -x, g(y) = y at x = 1: influence says +1, the output fell by 1."""
    net = formula(lambda x: -x, lambda y: y + 0)
    assert hidden(net, column(1), "influence") == pytest.approx([1], abs=1e-5)
    assert hidden(net, column(1), "conductance") == pytest.approx([-1], abs=1e-5)


def test_integrating_over_a_layer_is_not_integrating_over_the_input() -> None:
    """Theorem 2: h = (x1², x2), g = √y1 y2 at (1, 1): 1/3 and 2/3 over the layer (the paper prints 2/3 for y1)."""
    net = formula(lambda x: torch.stack([x[:, 0] ** 2, x[:, 1]], dim=1), lambda y: (y[:, 0].sqrt() * y[:, 1])[:, None])
    x = column(1, 1)
    assert hidden(net, x, "intgrad", points=64) == pytest.approx([1 / 3, 2 / 3], abs=1e-4)
    assert hidden(net, x, "conductance", points=64) == pytest.approx([1 / 2, 1 / 2], abs=1e-5)
    assert cp.attribute(net, x, "conductance", target=0)[0].tolist() == pytest.approx([1 / 2, 1 / 2], abs=1e-6)


def test_splitting_a_neuron_does_not_change_the_others() -> None:
    """Appendix 8.2: x1 x2 written as √x1 √x1 x2; what multiplies contributions by values gives 1/3 each."""
    whole = formula(lambda x: x + 0, lambda y: y.prod(dim=1, keepdim=True))
    split = formula(
        lambda x: torch.stack([x[:, 0].sqrt(), x[:, 0].sqrt(), x[:, 1]], dim=1), lambda y: y.prod(dim=1, keepdim=True)
    )
    x = column(1, 1)
    assert hidden(whole, x, "conductance", points=64) == pytest.approx([1 / 2, 1 / 2], abs=1e-4)
    assert hidden(split, x, "conductance", points=64) == pytest.approx([1 / 4, 1 / 4, 1 / 2], abs=1e-4)
    assert hidden(split, x, "shapley") == pytest.approx([1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("method", "expected"), [("intgrad", 0.5), ("conductance", 0.5), ("taylor", 1), ("ablation", 0.5), ("shapley", 0.5)]
)
def test_one_neuron_whose_square_is_the_response(method: str, expected: float) -> None:
    """Φ = a² / 2 at a = 1: complete methods give Φ, the gradient gives twice that."""
    net = cp.Network(nn.Sequential(nn.ReLU(), Formula(lambda a: a**2 / 2)).eval())
    assert hidden(net, column(1), method) == pytest.approx([expected], abs=1e-5)
