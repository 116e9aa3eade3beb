"""Captum's maps: equal where Captum is right, and where it is silently wrong, how ours differ."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.reference import naive
from tests.reference.twins import case_of
from tests.tiny import numbers, seeded
from torch import Tensor, nn
from torch.nn import functional as F

import critpath as cp

attr = pytest.importorskip("captum.attr", reason="captum is not installed: nothing is compared with it")

X = numbers(3, 2, 9, 9)
TARGET = torch.tensor([1, 0, 2])


class Modules(nn.Module):
    """Every activation a module of its own, as Captum needs it; the middle one not in place."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3)
        self.hidden, self.out = nn.Linear(4, 6), nn.Linear(6, 3)
        self.first, self.second, self.third = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.two(self.first(self.one(x))))
        return self.out(self.third(self.hidden(x.mean(dim=(2, 3)))))


class Functional(Modules):
    """The same network, its activations called as functions."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.two(self.one(x).relu()))
        return self.out(torch.relu(self.hidden(x.mean(dim=(2, 3)))))


class Reused(Modules):
    """The same network, with one activation module for all."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.two(self.first(self.one(x))))
        return self.out(self.first(self.hidden(x.mean(dim=(2, 3)))))


def captums(model: nn.Module, method: str, **options: Any) -> Tensor:
    """What Captum says, without its warnings about hooks."""
    made = {
        "gradient": lambda: attr.Saliency(model).attribute(X, target=TARGET, abs=False),
        "input_gradient": lambda: attr.InputXGradient(model).attribute(X, target=TARGET),
        "integrated_gradients": lambda: attr.IntegratedGradients(model).attribute(X, target=TARGET, **options),
        "guided_backprop": lambda: attr.GuidedBackprop(model).attribute(X, target=TARGET),
        "gradcam": lambda: attr.LayerAttribution.interpolate(
            attr.LayerGradCam(model, model.second).attribute(X, target=TARGET, relu_attributions=True),
            (9, 9),
            interpolate_mode="bilinear",
        ).expand_as(X),
        "guided_gradcam": lambda: attr.GuidedGradCam(model, model.second).attribute(
            X, target=TARGET, interpolate_mode="bilinear"
        ),
    }
    return made[method]().detach()


def ours(model: nn.Module, method: str, **options: Any) -> Tensor:
    return cp.attribute(cp.Network(model), X, method, target=TARGET, **options)


def close(found: Tensor, expected: Tensor) -> bool:
    """As far as Captum's points on a line are exact, which are float32 whatever the model is."""
    return float((found - expected).abs().max()) < 1e-7 * float(expected.abs().max())


EQUAL = ["gradient", "input_gradient", "integrated_gradients", "guided_backprop", "gradcam", "guided_gradcam"]


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients")
@pytest.mark.parametrize("method", EQUAL)
def test_both_are_equal_on_a_network_of_modules(method: str) -> None:
    model = seeded(Modules)
    expected = captums(model, method)
    assert expected.any()
    assert close(ours(model, method), expected)


@pytest.mark.parametrize("points", [7, 50])
def test_integrated_gradients_from_another_baseline_are_equal(points: int) -> None:
    model, baseline = seeded(Modules), numbers(1, 2, 9, 9, seed=8)
    expected = captums(model, "integrated_gradients", baselines=baseline, n_steps=points)
    found = ours(model, "integrated_gradients", baseline=baseline, points=points)
    assert close(found, expected)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients")
def test_captums_guided_backprop_of_a_functional_network_is_the_plain_gradient() -> None:
    modules, functional = seeded(Modules), seeded(Functional)
    assert torch.equal(modules(X), functional(X))
    assert torch.equal(captums(functional, "guided_backprop"), captums(functional, "gradient"))
    assert torch.equal(ours(functional, "guided_backprop"), ours(modules, "guided_backprop"))
    assert not torch.allclose(ours(functional, "guided_backprop"), ours(functional, "gradient"), rtol=0.1)


def test_captums_gradcam_of_a_reused_module_is_that_of_its_last_call() -> None:
    """It cannot be asked for the convolution's activation: the module was called again after it."""
    modules, reused = seeded(Modules), seeded(Reused)
    assert torch.equal(modules(X), reused(X))
    last = attr.LayerGradCam(reused, reused.first).attribute(X, target=TARGET)
    assert last.dim() == 2
    assert torch.equal(ours(reused, "gradcam", site="first#1"), ours(modules, "gradcam", site="second#0"))
    assert torch.equal(ours(reused, "gradcam"), ours(modules, "gradcam"))
    assert torch.equal(ours(reused, "guided_backprop"), ours(modules, "guided_backprop"))


def test_ours_of_an_in_place_reused_network_is_the_definition() -> None:
    case = case_of("reused")
    found = cp.attribute(cp.Network(case.model), case.x, "guided_backprop")
    assert torch.allclose(found, naive.guided_backprop(case)[0], atol=1e-12)
