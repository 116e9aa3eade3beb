"""After every call, and after one in which the model raised, the model is as it was."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.reference.twins import ARCHITECTURES, case_of
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

import critpath as cp
from critpath.errors import InputError


def hooks_of(model: nn.Module) -> list[int]:
    kinds = [name for name in vars(nn.Module()) if "hooks" in name]
    own = [len(getattr(m, kind)) for m in model.modules() for kind in kinds]
    shared = [
        len(value)
        for name, value in vars(torch_module).items()
        if name.startswith("_global") and hasattr(value, "__len__")
    ]
    return own + shared


def state_of(model: nn.Module) -> dict[str, Any]:
    return {
        "hooks": hooks_of(model),
        "modes": [m.training for m in model.modules()],
        "flags": [p.requires_grad for p in model.parameters()],
        "parameters": [(id(p), p.detach().clone()) for p in model.parameters()],
        "gradients": [None if p.grad is None else (id(p.grad), p.grad.clone()) for p in model.parameters()],
        "buffers": [(id(b), b.clone()) for b in model.buffers()],
        "names": list(model.state_dict()),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),
        "python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "attributes": [sorted(vars(m)) for m in model.modules()],
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def assert_untouched(before: dict[str, Any], model: nn.Module) -> None:
    after = state_of(model)
    assert [key for key in before if not same(before[key], after[key])] == []


CALLS = {
    "sites": lambda net, x: net.sites(x),
    "doctor": lambda net, x: net.doctor(x),
    "rewrite": lambda net, x: net.run(x, lambda site, a: a * 0.5),
    **{m: (lambda net, x, m=m: cp.score(net, x, m)) for m in cp.contribution_names()},
    **{m: (lambda net, x, m=m: cp.attribute(net, x, m)) for m in cp.attribution_names()},
    **{f"find {m}": (lambda net, x, m=m: cp.find_pathway(net, x, m)) for m in cp.finder_names()},
}


@pytest.mark.filterwarnings("ignore::critpath.pathway.SearchWarning")
@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_is_left_behind(name: str, call: str) -> None:
    case = case_of(name)
    for p in list(case.model.parameters())[::2]:
        p.grad = torch.ones_like(p)
    next(case.model.parameters()).requires_grad_(False)
    before = state_of(case.model)
    x_before = [t.clone() for t in (case.x.values() if isinstance(case.x, dict) else [*case.x])]
    with suppress(InputError):  # some attributions are not defined for every case
        CALLS[call](cp.Network(case.model), case.x)
    assert_untouched(before, case.model)
    assert all(
        torch.equal(a, b)
        for a, b in zip(x_before, case.x.values() if isinstance(case.x, dict) else case.x, strict=True)
    )


class Wild(nn.Module):
    """Changes everything that a forward pass can change, and raises if told to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.out = nn.Linear(4, 64), nn.BatchNorm1d(64), nn.Linear(64, 3)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("last", torch.zeros(2))
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = torch.rand(2) * random.random() * np.random.rand()
        self.train()
        for p in self.parameters():
            p.requires_grad_(True)
        x.mul_(2)
        hidden = F.dropout(F.relu(self.norm(self.layer(x)), inplace=True), 0.5)
        if self.fails:
            raise KeyError("no luck")
        return self.out(hidden)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("call", ["sites", "taylor", "prunegrad", "doctor"])
def test_a_model_that_changes_itself_is_put_back(call: str, fails: bool) -> None:
    model = Wild().eval().requires_grad_(False)
    net = cp.Network(model)
    x = torch.randn(5, 4)
    given = x.clone()
    before = state_of(model)
    net.sites(x)
    model.fails = fails
    before["attributes"] = state_of(model)["attributes"]
    if fails:
        with pytest.raises(cp.CritpathError, match="cannot run this input: KeyError: 'no luck'") as caught:
            CALLS[call](net, x)
        assert isinstance(caught.value.__cause__, KeyError)
    else:
        CALLS[call](net, x)
    assert_untouched(before, model)
    assert torch.equal(x, given)


def test_the_same_noise_every_time() -> None:
    net = cp.Network(Wild().eval())
    x = torch.randn(5, 4)
    assert torch.equal(cp.score(net, x).flatten(), cp.score(net, x).flatten())


def test_batch_statistics_are_put_back_where_training_mode_was_asked_for() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).train()
    x = torch.randn(6, 4)
    before = state_of(model)
    cp.score(cp.Network(model, allow_training=True), x)
    assert_untouched(before, model)


def test_the_users_own_hooks_stay_and_run() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    seen: list[str] = []
    model[1].register_forward_hook(lambda m, args, out: seen.append("hook"))
    x = torch.ones(1, 4)
    before = state_of(model)
    cp.score(cp.Network(model), x, target=lambda out: out.sum(1))
    assert set(seen) == {"hook"}
    assert_untouched(before, model)


def test_an_error_in_a_rule_is_the_callers_own_and_leaves_nothing() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).eval()
    x = torch.randn(2, 4)
    before = state_of(model)

    def rule(site: cp.Site, a: Tensor) -> Tensor:
        raise cp.CritpathError("mine")

    with pytest.raises(cp.CritpathError, match=r"^mine$"):
        cp.Network(model).run(x, rule)
    assert_untouched(before, model)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_gradient_mode_stays(mode: Any) -> None:
    case = case_of("reused")
    with mode():
        before = state_of(case.model)
        cp.attribute(cp.Network(case.model), case.x)
        assert_untouched(before, case.model)
