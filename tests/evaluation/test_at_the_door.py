"""What evaluations refuse before they run, with words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import critpath as cp

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MAPS = X.abs()


def net(classes: int = 3) -> nn.Module:
    layers = (nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(72, classes))
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("evaluate", [cp.pixel_perturbation, cp.deletion, cp.insertion])
def test_a_model_in_training_mode_is_refused_and_left_as_it_was(evaluate: Any) -> None:
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(cp.CritpathError, match=r"training mode.*model\.eval\(\)"):
        evaluate(model, X, None, MAPS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_probability_of_the_only_class_is_refused() -> None:
    with pytest.raises(cp.CritpathError, match="take response='logit'"):
        cp.pixel_perturbation(net(1), X, None, MAPS)
    assert cp.pixel_perturbation(net(1), X, None, MAPS, response="logit").area().shape == (2,)


@pytest.mark.parametrize("model", ["resnet18", None])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(cp.CritpathError, match="a callable that gives class scores"):
        cp.pixel_perturbation(model, X, None, MAPS)


def test_a_name_is_no_explanation() -> None:
    with pytest.raises(cp.CritpathError, match=r"critpath\.explainer\(net, 'gradient'\)"):
        cp.parameter_randomisation(net(), "gradient", X)  # type: ignore[arg-type]


def test_one_class_for_all() -> None:
    model = net()
    one = cp.pixel_perturbation(model, X, 2, MAPS)
    assert torch.equal(one.curve, cp.pixel_perturbation(model, X, torch.tensor([2, 2]), MAPS).curve)
