"""Rules of integration and what they say of their error, against exact integrals."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from tests.reference import exactline
from tests.tiny import NETWORKS, numbers, seeded
from torch import Tensor, nn

import critpath as cp
from critpath.lines.quadrature import (
    coarser,
    gauss,
    gauss_subset,
    is_smooth,
    kinks,
    remaining_smooth,
    spread,
    trapezoid,
)

EXACT = {
    "conductance": exactline.conductance,
    "influence": exactline.influence,
    "intgrad": exactline.intgrad,
}
METHODS = tuple(EXACT)
SLIVER = 1e-5
"""Errors below this part of the scores are those of the line's first 1e-6, which is left out."""


def mlp() -> nn.Sequential:
    """Some ten kinks."""
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)
    )


def conv() -> nn.Sequential:
    """Some seventy kinks."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 10),
        nn.ReLU(),
        nn.Linear(10, 3),
    )


def smooth(activation: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, 3))


def mixed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.GELU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


BUILDERS = {"mlp": (mlp, (3, 8)), "conv": (conv, (2, 2, 6, 6))}


class Exact:
    """A random ReLU network with its input, the predicted classes and the exact integrals."""

    def __init__(self, kind: str, seed: int) -> None:
        build, shape = BUILDERS[kind]
        self.model = seeded(build, seed)
        self.x = numbers(*shape, seed=100 + seed)
        self.targets = self.model(self.x).argmax(dim=1)
        self.scores = {name: exact(self.model, self.x, self.targets) for name, exact in EXACT.items()}

    @property
    def alive(self) -> bool:
        return bool((self.model[:-1](self.x) > 0).any(dim=1).all())

    def score(self, method: str, **options: Any) -> cp.NeuronValues:
        return cp.score(cp.Network(self.model), self.x, method, self.targets, **options)

    def error(self, method: str, scores: cp.NeuronValues) -> Tensor:
        """Σ |score - exact score| [batch, sites]."""
        pairs = zip(scores.tensors, self.scores[method], strict=True)
        return torch.stack([(a - b).abs().flatten(1).sum(dim=1) for a, b in pairs], dim=1)

    def scale(self, method: str) -> Tensor:
        """Σ |exact score| [batch, sites]."""
        return torch.stack([exact.abs().flatten(1).sum(dim=1) for exact in self.scores[method]], dim=1)


@cache
def cases(kind: str, count: int) -> tuple[Exact, ...]:
    """Random networks of which no sample is dead."""
    found = (case for case in (Exact(kind, seed) for seed in range(count)) if case.alive)
    return tuple(found)


def relative_errors(kind: str, count: int, method: str, **options: Any) -> Tensor:
    """True errors relative to the exact scores, of all samples and sites."""
    parts = [case.error(method, case.score(method, **options)) / case.scale(method) for case in cases(kind, count)]
    return torch.cat([part.flatten() for part in parts]).nan_to_num(0)


def estimates_by_true_errors(kind: str, count: int, method: str, **options: Any) -> Tensor:
    """Estimated by true error, of all samples and sites where there is one."""
    ratios = []
    for case in cases(kind, count):
        scores = case.score(method, **options)
        true = case.error(method, scores)
        ratios.append((scores.error.error / true)[true > SLIVER * case.scale(method)])
    return torch.cat(ratios)


# ---------------------------------------------------------------------------------------------------- the oracle
def test_the_oracle_is_complete_at_every_site() -> None:
    for case in (*cases("mlp", 4), *cases("conv", 2)):
        rows = torch.arange(len(case.x))
        change = case.model(case.x)[rows, case.targets] - case.model(torch.zeros_like(case.x))[rows, case.targets]
        for exact in case.scores["conductance"]:
            assert torch.allclose(exact.flatten(1).sum(dim=1), change, rtol=1e-12, atol=1e-12)


def test_the_oracle_takes_all_kinks_of_a_network_without_biases_at_once() -> None:
    """The line from zero is one piece: conductance, intgrad and gradient times activation are the same."""
    model = seeded(
        lambda: nn.Sequential(
            nn.Linear(4, 9, bias=False), nn.ReLU(), nn.Linear(9, 9, bias=False), nn.ReLU(), nn.Linear(9, 2)
        )
    )
    x, targets = numbers(2, 4), torch.tensor([0, 1])
    assert exactline.kinks(model, x[:1], 0) == 0
    taylor = cp.score(cp.Network(model), x, "taylor", targets)
    for exact in (exactline.conductance, exactline.intgrad):
        assert all(torch.allclose(a, b) for a, b in zip(exact(model, x, targets), taylor.tensors, strict=True))


# ------------------------------------------------------------------------------------------------- convergence
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", BUILDERS)
def test_the_rules_converge_to_the_exact_integrals(kind: str, method: str) -> None:
    by_rule = {}
    for rule, points in (("bisection", (9, 33, 129)), ("trapezoid", (9, 33, 129))):
        mean = [float(relative_errors(kind, 2, method, rule=rule, points=n).mean()) for n in points]
        assert mean[0] > 1.5 * mean[1] > 3 * mean[2]
        by_rule[rule] = mean
    assert by_rule["bisection"][-1] < 1e-3
    assert by_rule["trapezoid"][-1] < 1e-2
    assert by_rule["bisection"][2] < by_rule["trapezoid"][2]


@pytest.mark.parametrize("baseline", [0.7, -1.0])
def test_conductance_from_another_baseline_is_exact_too(baseline: float) -> None:
    case = cases("mlp", 4)[0]
    exact = exactline.conductance(case.model, case.x, case.targets, torch.full_like(case.x, baseline))
    scores = case.score("conductance", baseline=baseline, points=200)
    for a, b in zip(scores.tensors, exact, strict=True):
        assert (a - b).abs().sum() < 5e-3 * b.abs().sum()


# ----------------------------------------------------------------------------------------------------- tolerance
@pytest.mark.parametrize("rule", ["bisection", "trapezoid"])
@pytest.mark.parametrize("tolerance", [0.1, 0.03])
def test_a_tolerance_holds_for_most_and_four_times_it_for_all(tolerance: float, rule: str) -> None:
    errors = [relative_errors("conv", 8, method, tolerance=tolerance, rule=rule) for method in METHODS]
    both = torch.cat(errors)
    assert len(both) >= 100
    assert (both <= 4 * tolerance).all()
    assert (both <= tolerance).double().mean() >= 0.85


@pytest.mark.parametrize("tolerance", [0.1, 0.03])
def test_with_a_handful_of_kinks_a_tolerance_holds_for_four_of_five(tolerance: float) -> None:
    """Where one kink makes the error, what it may be is known better than what it is."""
    both = torch.cat([relative_errors("mlp", 20, method, tolerance=tolerance) for method in METHODS])
    assert len(both) >= 400
    assert (both <= 4 * tolerance).double().mean() >= 0.98
    assert (both <= tolerance).double().mean() >= 0.8


@pytest.mark.parametrize("points", [8, 16, 32, 64])
@pytest.mark.parametrize("rule", ["bisection", "trapezoid"])
def test_the_estimated_error_is_about_the_true_error(rule: str, points: int) -> None:
    parts = [estimates_by_true_errors("conv", 8, method, rule=rule, points=points) for method in METHODS]
    ratios = torch.cat(parts)
    assert len(ratios) > 50
    assert 0.5 < float(ratios.median()) < 3
    assert (ratios > 0.25).double().mean() >= 0.95
    assert ((ratios > 0.5) & (ratios < 2)).double().mean() >= 0.7


def test_a_tolerance_over_the_network_takes_fewer_points() -> None:
    for method in METHODS:
        site, network = (
            cases("conv", 8)[0].score(method, tolerance=0.02, tolerance_of=of) for of in ("site", "network")
        )
        assert network.error.points.sum() <= site.error.points.sum()
        assert (network.error.overall <= 0.02).all()
        assert (site.error.relative <= 0.02).all()
        assert network.error.met
        assert site.error.met
        assert network.error.stopped == site.error.stopped == "tolerance"


@pytest.mark.parametrize("rule", ["bisection", "trapezoid", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_points_are_a_budget_where_there_is_a_tolerance(method: str, rule: str) -> None:
    case = cases("conv", 8)[0]
    with pytest.warns(cp.ToleranceWarning, match=r"the tolerance was not met.*NOT met"):
        scores = case.score(method, tolerance=1e-7, points=20, rule=rule)
    assert not scores.error.met
    assert scores.error.stopped == "points"
    assert (scores.error.points <= 20).all()
    assert (scores.error.relative > 1e-7).any()


def test_without_a_tolerance_all_points_are_spent() -> None:
    for rule in ("bisection", "trapezoid", "gauss"):
        scores = cases("conv", 8)[0].score("conductance", points=20, rule=rule)
        assert (scores.error.points == 20).all()
        assert scores.error.rule == rule
        assert scores.error.met


def test_where_nothing_is_left_to_refine_bisection_ends() -> None:
    """One linear piece: the gradient is the same everywhere."""
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2)).double().eval()
    model[0].weight.data.abs_()
    scores = cp.score(cp.Network(model), numbers(1, 3).abs(), "conductance", tolerance=1e-3)
    assert int(scores.error.points.max()) == 9
    assert scores.error.stopped == "tolerance"


def test_a_few_kinks_are_found_to_the_resolution() -> None:
    """A line with two kinks in all ends long before its points."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [1.0]]))
        model[0].bias.copy_(torch.tensor([-0.3, 0.0]))
        model[2].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -0.4]]))
        model[2].bias.zero_()
        model[4].weight.fill_(1.0)
    x = torch.ones(1, 1, dtype=torch.float64)
    scores = cp.score(cp.Network(model), x, "conductance", target=0, points=1000)
    assert scores.error.stopped == "resolution"
    assert int(scores.error.points.max()) < 200
    exact = exactline.conductance(model, x, torch.tensor([0]))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(scores.tensors, exact, strict=True))


# -------------------------------------------------------------------------------------------------- completeness
def test_the_completeness_gap_is_small_at_every_cut() -> None:
    for case in (*cases("mlp", 3), *cases("conv", 1)):
        for method in ("conductance", "intgrad"):
            error = case.score(method, points=257).error
            assert (error.gap <= 1e-3 * error.scale + 1e-9).all()


@pytest.mark.parametrize(
    ("name", "cut"),
    [("residual", [False, True, False, True]), ("two_inputs", [False, False, True]), ("conv", [True] * 3)],
)
def test_the_gap_is_defined_at_cuts_only_and_for_intgrad_everywhere(name: str, cut: list[bool]) -> None:
    tiny = NETWORKS[name]
    net, x = cp.Network(tiny.build()), tiny.inputs(2)
    gaps = {method: cp.score(net, x, method, points=65).error.gap for method in METHODS}
    assert gaps["conductance"].isnan().tolist() == [[not c for c in cut]] * 2
    assert gaps["influence"].isnan().all()
    assert not gaps["intgrad"].isnan().any()
    assert float(gaps["conductance"].nan_to_num(0).max()) < 0.02
    assert float(gaps["intgrad"].max()) < 0.02


# --------------------------------------------------------------------------------------- smooth and mixed networks
@pytest.mark.parametrize("activation", [nn.GELU, nn.Tanh])
@pytest.mark.parametrize("method", METHODS)
def test_gauss_is_exact_on_smooth_networks(method: str, activation: type[nn.Module]) -> None:
    net, x = cp.Network(seeded(lambda: smooth(activation))), numbers(2, 6)
    found = cp.score(net, x, method, points=32, rule="gauss")
    reference = cp.score(net, x, method, points=128, rule="gauss")
    for a, b in zip(found.tensors, reference.tensors, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-8)
    if method != "influence":
        assert float(found.error.gap.max()) < 1e-8
    assert (found.error.relative < 1e-6).all()


@pytest.mark.parametrize("activation", [nn.GELU, nn.Tanh])
def test_gauss_agrees_with_fine_trapezoids(activation: type[nn.Module]) -> None:
    net, x = cp.Network(seeded(lambda: smooth(activation))), numbers(2, 6)
    for method in METHODS:
        found = cp.score(net, x, method, points=16, rule="gauss")
        fine = cp.score(net, x, method, points=513, rule="trapezoid")
        assert all(torch.allclose(a, b, rtol=0, atol=1e-5) for a, b in zip(found.tensors, fine.tensors, strict=True))


@pytest.mark.parametrize(
    ("activation", "rule"),
    [(nn.GELU, "gauss"), (nn.Tanh, "gauss"), (nn.ReLU, "bisection"), (nn.LeakyReLU, "bisection")],
)
def test_auto_picks_the_rule_that_suits_the_activations(activation: type[nn.Module], rule: str) -> None:
    net, x = cp.Network(seeded(lambda: smooth(activation))), numbers(2, 6)
    for method in METHODS[:2]:
        assert cp.score(net, x, method).error.rule == rule
    assert rule in cp.score(net, x, "intgrad").error.rule  # above the last site gradients are constant: either will do


@pytest.mark.parametrize("method", METHODS)
def test_a_network_with_smooth_and_sharp_parts_is_integrated(method: str) -> None:
    model = seeded(mixed)
    net, x = cp.Network(model), numbers(2, 2, 6, 6)
    found = cp.score(net, x, method, tolerance=0.01)
    fine = cp.score(net, x, method, points=1025, rule="trapezoid")
    for a, b in zip(found.tensors, fine.tensors, strict=True):
        assert (a - b).abs().sum() <= 0.03 * b.abs().sum()
    if method != "influence":
        assert (found.error.gap <= 0.03 * found.error.scale).all()


@pytest.mark.parametrize("method", METHODS)
def test_in_float32_errors_are_estimated_down_to_rounding(method: str) -> None:
    case = cases("conv", 8)[0]
    single = cp.score(cp.Network(seeded(conv, 0).float()), case.x.float(), method, case.targets, tolerance=0.01)
    assert single.tensors[0].dtype == torch.float32
    assert (case.error(method, single) <= 0.04 * case.scale(method)).all()
    assert (single.error.relative > 0).all()


def test_a_tolerance_below_rounding_is_not_met() -> None:
    model = seeded(lambda: smooth(nn.Tanh)).float()
    with pytest.warns(cp.ToleranceWarning):
        scores = cp.score(cp.Network(model), numbers(2, 6).float(), "conductance", tolerance=1e-9, points=128)
    assert not scores.error.met


def test_met_tolerances_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cases("conv", 8)[0].score("conductance", tolerance=0.05).error.met


# ---------------------------------------------------------------------------------------------------- quadrature
@pytest.mark.parametrize("points", [8, 16, 32])
@pytest.mark.parametrize("step", [1, 2, 4])
def test_every_part_of_gauss_nodes_integrates_polynomials(points: int, step: int) -> None:
    nodes, _ = gauss(points)
    weights = np.asarray(gauss_subset(nodes, step))
    assert np.count_nonzero(weights) == points // step
    for degree in range(points // step):
        assert float(weights @ np.asarray(nodes) ** degree) == pytest.approx(1 / (degree + 1), rel=1e-9)


@pytest.mark.parametrize("points", [4, 9, 32])
def test_gauss_weights_integrate_twice_the_degree(points: int) -> None:
    nodes, weights = gauss(points)
    for degree in range(2 * points):
        assert float(np.dot(weights, np.asarray(nodes) ** degree)) == pytest.approx(1 / (degree + 1))
    assert all(0 < node < 1 for node in nodes)


def test_trapezoids_are_exact_where_the_gradient_is_linear_in_the_activation() -> None:
    y = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64)[:, None]
    assert float(trapezoid(y, 3 * y + 1)) == pytest.approx(2.5)


def test_a_single_kink_errs_by_its_bound_at_most() -> None:
    y = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    for kink in (0.26, 0.4, 0.49):
        g = (y > kink).double()
        assert abs(float(trapezoid(y, g)) - (1 - kink)) <= float(kinks(y, g).sum())


def test_coarser_points_keep_both_ends_and_join_every_segment_to_another() -> None:
    assert coarser(9, 2) == [0, 2, 4, 6, 8]
    assert coarser(8, 2) == [0, 2, 4, 7]
    assert coarser(8, 4) == [0, 7]
    assert coarser(8, 1) == list(range(8))


def test_the_error_of_kinks_adds_up_as_squares() -> None:
    bounds = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
    assert spread(bounds).tolist() == pytest.approx([5 / 3**0.5, 0])


def test_a_rule_is_smooth_where_twice_the_points_change_much_less() -> None:
    one = torch.tensor(1.0)
    assert is_smooth(one, 4 * one)
    assert not is_smooth(one, 2 * one)
    assert not is_smooth(0 * one, 0 * one)


@pytest.mark.parametrize("points", [8, 9, 32, 33])
def test_a_kink_in_the_last_segment_is_seen(points: int) -> None:
    model = chain(([[1.0]], [0.0]), ([[1.0], [1.0]], [0.0, -0.985]), [[1.0, 60.0]])
    found = cp.score(cp.Network(model), torch.ones(1, 1).double(), "conductance", 0, points=points, rule="trapezoid")
    assert abs(float(found.tensors[0]) - 1.9) <= float(found.error.error[0, 0])


def test_two_kinks_that_hide_each_other_are_found_by_the_gap() -> None:
    model = chain(([[1.0]], [0.0]), ([[1.0], [1.0], [1.0]], [0.0, -0.3, -0.4]), [[1.0, 5.0, -5.0]])
    found = cp.score(cp.Network(model), torch.ones(1, 1).double(), "conductance", 0, tolerance=0.01)
    assert float(found.tensors[0]) == pytest.approx(1.5, rel=0.01)


def chain(*layers: Any) -> nn.Sequential:
    """Linear layers by weight and bias with ReLUs between them; the last has a weight only."""
    modules: list[nn.Module] = []
    for weight, bias in [*layers[:-1], (layers[-1], [0.0])]:
        linear = nn.Linear(len(weight[0]), len(weight)).double()
        linear.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1]).eval()


def test_what_remains_of_a_gauss_rule_shrinks_as_its_last_doubling_did() -> None:
    one = torch.tensor([1.0], dtype=torch.float64)
    assert float(remaining_smooth(1e-3 * one, one)) == pytest.approx(1e-6)
    assert float(remaining_smooth(one, 0.1 * one)) == 1
    assert float(remaining_smooth(0 * one, 0 * one)) == 0
