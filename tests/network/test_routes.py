"""Which sites every route from the input to the response passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.tiny import NETWORKS, numbers
from torch import Tensor, nn

import critpath as cp
from critpath.network.routes import are_cuts


class Layers(nn.Module):
    """A forward pass ``way(layers, x)`` through three linear layers [6, 6]."""

    def __init__(self, way: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.relu = nn.ReLU(inplace=True)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def cuts_of(model: nn.Module, x: Any, **options: Any) -> dict[str, bool]:
    """By site, for the first output."""
    run = cp.Network(model.double().eval(), **options).run(x)
    return dict(zip(run.space.names, run.cuts(run.output[:, 0]), strict=True))


def cuts_on(way: Callable[[Any, Tensor], Tensor]) -> list[bool]:
    return list(cuts_of(Layers(way), numbers(2, 6)).values())


def test_every_site_of_a_chain_is_a_cut() -> None:
    assert cuts_on(lambda m, x: m.layers[2](m.layers[1](m.layers[0](x).relu()).relu())) == [True, True]


def test_a_residual_branch_is_no_cut_what_follows_the_sum_is() -> None:
    assert cuts_on(lambda m, x: m.layers[2]((x + m.layers[1](m.layers[0](x).relu())).relu())) == [False, True]


def test_branches_that_are_joined_are_no_cuts() -> None:
    def way(m: Any, x: Tensor) -> Tensor:
        joined = torch.cat([m.layers[0](x).relu(), m.layers[1](x).relu()], dim=1)
        return joined[:, 3:9].tanh()

    assert cuts_on(way) == [False, False, True]


def test_a_site_that_the_response_ignores_is_no_cut() -> None:
    def way(m: Any, x: Tensor) -> Tensor:
        m.layers[1](x).relu()
        return m.layers[2](m.layers[0](x).relu())

    assert cuts_on(way) == [False, True]


def test_a_site_that_is_used_twice_is_a_cut() -> None:
    def way(m: Any, x: Tensor) -> Tensor:
        h = m.layers[0](x).relu()
        return m.layers[1](h) * m.layers[2](h)

    assert cuts_on(way) == [True]


def test_in_place_activations_are_cuts() -> None:
    assert cuts_on(lambda m, x: m.layers[2](m.layers[1](m.layers[0](x).relu_()).relu_())) == [True, True]


def test_what_is_done_in_place_to_an_activation_does_not_bypass_it() -> None:
    def way(m: Any, x: Tensor) -> Tensor:
        h = m.layers[0](x).relu()
        h += 1
        return m.layers[1](h)

    assert cuts_on(way) == [True]


def test_a_module_that_is_called_twice_has_two_sites() -> None:
    assert cuts_on(lambda m, x: m.layers[1](m.relu(m.layers[1](m.relu(m.layers[0](x)))))) == [True, True]
    assert cuts_on(lambda m, x: m.layers[1](x + m.relu(m.layers[1](m.relu(m.layers[0](x)))))) == [False, False]


def test_many_branches_one_after_the_other_are_counted_exactly() -> None:
    """2^200 routes, more than a float64 could tell apart."""

    def way(m: Any, x: Tensor) -> Tensor:
        x = m.layers[0](x).relu()
        for _ in range(200):
            x = x + 0.001 * x
        return x + 1e-9 * m.layers[1](x).tanh()

    assert cuts_on(way) == [True, False]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv", [True, True, True]),
        ("residual", [False, True, False, True]),
        ("mlp", [True, True]),
        ("transformer", [False]),
        ("two_inputs", [False, False, True]),
        ("dict_output", [True, True]),
    ],
)
def test_cuts_of_the_tiny_networks(name: str, expected: list[bool]) -> None:
    tiny = NETWORKS[name]
    run = cp.Network(tiny.build()).run(tiny.inputs(2))
    logits = run.output["logits"] if isinstance(run.output, dict) else run.output
    assert list(run.cuts(logits[:, 0])) == expected


def test_tokens_reach_the_response_through_their_embeddings() -> None:
    model = nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 6), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))
    assert cuts_of(model, torch.arange(8).view(2, 4) % 7) == {"2#0": True}


def test_a_response_that_depends_on_no_leaf_has_no_cuts() -> None:
    leaf, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    site = other * 2
    assert are_cuts(site.sum(), [leaf], [site]) == (False,)
    assert are_cuts(torch.ones(2).sum(), [leaf], [site]) == (False,)
