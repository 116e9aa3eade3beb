"""Random numbers that belong to a sample."""

from __future__ import annotations

import pytest
import torch

import critpath as cp
from critpath.draws import sample_generators
from critpath.evaluation import filled, removal_order
from critpath.evaluation.fills import NOISE


def drawn(x: torch.Tensor, seed: int = 0, purpose: str = "ties") -> torch.Tensor:
    return torch.stack([torch.rand(5, generator=g) for g in sample_generators([x], seed, purpose)])


def test_they_depend_on_the_sample_the_seed_and_the_purpose_and_nothing_else() -> None:
    x = torch.randn(4, 3)
    whole = drawn(x)
    assert torch.equal(whole[2:3], drawn(x[2:3]))
    assert torch.equal(whole[[1]], drawn(torch.cat([x[1:2], x[:1]]))[[0]])
    assert len({tuple(row.tolist()) for row in (*whole, *drawn(x, 1), *drawn(x, 0, "fidelity"))}) == 12


def test_a_seed_that_is_none_is_refused() -> None:
    with pytest.raises(cp.CritpathError, match="seed is -1"):
        sample_generators([torch.zeros(1, 2)], -1, "ties")


def test_the_noise_of_an_imputation_is_not_the_random_map() -> None:
    """They share the seed and the image in every plan; so do the random order of ties and random maps."""
    x = torch.zeros(1, 1, 16, 16).index_fill_(3, torch.arange(0, 16, 2), 1.0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(392, 3))
    noise_map = cp.attribute(cp.Network(model.eval()), x, "random", seed=0).flatten()
    mask = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    mask[0, 0, 0, 0] = False
    imputed = (filled(x, mask, "linear", seed=0) - filled(x, mask, "linear", seed=0).mean()).flatten() / NOISE
    ties = removal_order(torch.zeros_like(x), ties="random", seed=0, x=x).ranks.double().flatten()
    for other in (imputed, ties):
        assert abs(torch.corrcoef(torch.stack([noise_map.double(), other.double()]))[0, 1]) < 0.3
