"""Cases that once went wrong: each a small network, and what must be said of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import critpath as cp


def small(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), activation(), nn.Conv2d(4, 12, 3), activation(), nn.Flatten(), nn.Linear(48, 3)]
    return nn.Sequential(*layers).double().eval()


X = torch.randn(2, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Bump(nn.Module):
    """Φ = relu(h - 0.3) - relu(h - 0.6): gone again where the line ends, at both of its ends."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(x)
        return torch.relu(h - 0.3) - torch.relu(h - 0.6)


def test_scores_of_zero_that_should_not_be_are_no_good_scores() -> None:
    x = torch.ones(1, 1, dtype=torch.float64)
    with pytest.warns(cp.ToleranceWarning):
        found = cp.score(cp.Network(Bump().eval()), x, "intgrad", 0, points=2, tolerance=0.05)
    assert found.error is not None
    assert not found.error.met
    assert float(found.error.relative.max()) >= 0.3


@pytest.mark.parametrize("batch", [1, 2])
def test_maps_for_a_function_of_the_whole_batch(batch: int) -> None:
    labels = torch.tensor([1, 2])[:batch]
    net, x = cp.Network(small()), X[:batch]
    custom = cp.attribute(net, x, "conductance", lambda out: out.gather(1, labels[:, None])[:, 0], points=8)
    assert torch.allclose(custom, cp.attribute(net, x, "conductance", labels, points=8))


def test_two_points_on_a_smooth_network() -> None:
    found = cp.score(cp.Network(small(nn.GELU)), X, "conductance", points=2)
    assert found.error is not None
    assert found.error.rule == "bisection"


def test_groups_that_repeat_each_other_are_no_partition() -> None:
    half = [cp.Channel("3#0", c) for c in range(6)]
    found = cp.score(cp.Network(small()), X, "conductance", by={"a": half, "b": half})
    assert found.error is not None
    assert found.error.gap[:, 1].isnan().all()


@pytest.mark.parametrize("method", ["conductance", "intgrad", "taylor"])
def test_the_error_is_never_below_the_gap(method: str) -> None:
    for by in (None, "channels"):
        error = cp.score(cp.Network(small()), X, method, by=by, error=True).error
        assert error is not None
        assert (error.error >= error.gap.nan_to_num(nan=0.0)).all()


@pytest.mark.parametrize(
    ("method", "options"),
    [("ablation", {"by": "channels"}), ("shapley", {"by": "channels"}), ("taylor", {}), ("conductance", {})],
)
def test_absolute_sums_are_refused_where_nothing_is_summed(method: str, options: dict[str, Any]) -> None:
    with pytest.raises(cp.CritpathError, match="absolute=True sums"):
        cp.score(cp.Network(small()), X, method, absolute=True, **options)


@pytest.mark.parametrize("by", [None, "channels"])
def test_a_baseline_that_is_the_input_is_told(by: Any) -> None:
    with pytest.raises(cp.CritpathError, match="the baseline equals the input"):
        cp.score(cp.Network(small()), X, "conductance", baseline=X, by=by)


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Embedding(20, 4), nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.embed(tokens))).mean(dim=1))


@pytest.mark.parametrize("baseline", ["mean", "blurred", 7.0, torch.zeros(2, 5), torch.zeros(2, 4, dtype=torch.long)])
def test_tokens_have_no_such_baseline(baseline: Any) -> None:
    tokens = torch.randint(20, (2, 5), generator=torch.Generator().manual_seed(2))
    with pytest.raises(cp.CritpathError, match="tokens"):
        cp.score(cp.Network(Reader().eval()), tokens, "conductance", baseline=baseline)


def test_one_map_a_neuron_is_not_made_unasked() -> None:
    with pytest.raises(cp.CritpathError, match="name those that are wanted"):
        cp.conductance_maps(cp.Network(small()), X, "neurons")


def test_values_computed_by_definition_are_not_called_estimates_on_a_page() -> None:
    found = cp.explain(cp.Network(small()), X[:1], method="taylor", error=True, draws=0, top=0)
    assert found.content.accuracy == ""
