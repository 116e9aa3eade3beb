"""Models that accelerate has placed: dispatched over devices, or with weights that come only when a module runs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import critpath as cp

accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 20), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(20, 3)).eval()


PLACED: dict[str, Callable[[nn.Module], Any]] = {
    "dispatched": lambda m: accelerate.dispatch_model(m, {"": "cpu"}, main_device="cpu", force_hooks=True),
    "offloaded": lambda m: accelerate.cpu_offload(m, execution_device=torch.device("cpu")),
}
"""A map over several devices takes the same hooks; here is one device only."""


@pytest.mark.parametrize("placed", PLACED)
@pytest.mark.parametrize("method", ["taylor", "conductance", "intgrad", "ablation"])
def test_scores_are_those_of_the_model_itself(method: str, placed: str) -> None:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    want = cp.score(cp.Network(model()), x, method, target=[0, 1])
    other = PLACED[placed](copy.deepcopy(model()))
    devices = [p.device for p in other.parameters()]
    got = cp.score(cp.Network(other), x, method, target=[0, 1])
    assert torch.equal(got.flatten(), want.flatten())
    assert [p.device for p in other.parameters()] == devices


def test_an_empty_model_is_still_refused() -> None:
    with torch.device("meta"):
        empty = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    with pytest.raises(cp.CritpathError, match="meta device"):
        cp.Network(empty)
