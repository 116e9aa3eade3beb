"""The radius of local linearity, against every gradient taken one at a time, and by walking."""

from __future__ import annotations

import pytest
import torch
from tests.reference.pieces import KINDS, nearest, pieces, pooled_case
from tests.tiny import NETWORKS, sample
from torch import Tensor, nn

import critpath as cp
from critpath.analysis.linearity import LinearRadius, linear_radius, radius
from critpath.analysis.linearity.result import CURVE
from critpath.errors import InputError, MismatchError, OptionError, TargetError, UnsupportedModelError
from critpath.neurons import rows

PIECEWISE = ("conv", "residual", "mlp", "two_inputs", "dict_output")
CASES = [(kind, seed, 10.0 if kind == "relu6" else 1.0) for kind in KINDS for seed in range(1 + (kind == "relu"))]


def flat_index(model: nn.Module, found: LinearRadius, i: int, x: Tensor) -> tuple[object, int]:
    """Site number and flat neuron of what decides, as the reference names them."""
    decider, space = found.deciders[i], cp.Network(model).sites(x)
    assert decider is not None
    shape = space[decider.site].shape
    flat = sum(n * int(torch.Size(shape[d + 1 :]).numel()) for d, n in enumerate(decider.index))
    return space.position(decider.site), flat


@pytest.mark.parametrize(("kind", "seed", "scale"), CASES)
@pytest.mark.parametrize("sparsity", [None, 0.6])
def test_exact_is_the_smallest_of_all_distances(kind: str, seed: int, scale: float, sparsity: float | None) -> None:
    model, x = pooled_case(kind, seed, scale)
    net = cp.Network(model)
    path = None if sparsity is None else cp.find_pathway(net, x, "random", sparsity, seed=seed)
    values = net.run(x, graph=False).values().tensors
    found = linear_radius(net, x, pathway=path)
    assert found.method == "exact"
    for i in range(2):
        one = x[i : i + 1].clone().requires_grad_()
        keep = None if path is None else [t[i : i + 1] for t in path.keep.tensors]
        here = pieces(model, kind, one, keep, [v[i : i + 1] for v in values])
        radius, owner, way = nearest(here, one)
        assert float(found.radius[i]) == pytest.approx(radius, rel=1e-9)
        decider = found.deciders[i]
        assert decider is not None
        assert decider.kind == ("pool" if owner[0] == "pool" else "site")
        if owner[0] != "pool":
            assert flat_index(model, found, i, x) == owner
        assert torch.allclose(found.normal[i], way[0], atol=1e-9)


def test_pooling_decides_somewhere_and_can_be_left_out() -> None:
    kinds, larger = set(), []
    for seed in range(6):
        model, x = pooled_case("relu", seed)
        net = cp.Network(model)
        found, without = linear_radius(net, x), linear_radius(net, x, pools=False)
        kinds |= {d.kind for d in found.deciders if d is not None}
        assert {d.kind for d in without.deciders if d is not None} == {"site"}
        assert bool((without.radius >= found.radius).all())
        larger += (without.radius > found.radius).tolist()
    assert kinds == {"site", "pool"}
    assert any(larger)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sparsity", [None, 0.7])
def test_nothing_flips_inside_and_something_does_just_outside(kind: str, sparsity: float | None) -> None:
    model, x = pooled_case(kind, 4, 10.0 if kind == "relu6" else 1.0)
    net = cp.Network(model)
    path = None if sparsity is None else cp.find_pathway(net, x, "taylor", sparsity)
    values = net.run(x, graph=False).values().tensors
    found = linear_radius(net, x, pathway=path)
    generator = torch.Generator().manual_seed(0)
    for i in range(2):
        keep = None if path is None else [t[i : i + 1] for t in path.keep.tensors]

        def pattern(y: Tensor, i: int = i, keep: list[Tensor] | None = keep) -> list[int]:
            return pieces(model, kind, y, keep, [v[i : i + 1] for v in values]).pattern

        one, r = x[i : i + 1], float(found.radius[i])
        for _ in range(12):
            way = torch.randn(one.shape, generator=generator, dtype=torch.float64)
            assert pattern(one + 0.999 * r * way / way.norm()) == pattern(one)
        assert pattern(one + 0.999 * r * found.normal[i : i + 1]) == pattern(one)
        assert pattern(one + 1.001 * r * found.normal[i : i + 1]) != pattern(one)


@pytest.mark.parametrize("name", PIECEWISE)
@pytest.mark.parametrize("sparsity", [None, 0.8])
def test_estimate_finds_the_exact_minimum(name: str, sparsity: float | None) -> None:
    net, x = cp.Network(NETWORKS[name].build()), NETWORKS[name].inputs(3)
    path = None if sparsity is None else cp.find_pathway(net, x, "taylor", sparsity)
    exact = linear_radius(net, x, pathway=path, method="exact")
    found = linear_radius(net, x, pathway=path, method="estimate", directions=32)
    assert torch.allclose(found.radius, exact.radius, rtol=1e-9)
    assert found.deciders == exact.deciders
    assert bool(found.complete.all())
    assert found.gradients < 60
    assert found.products == 32
    assert torch.equal(found.boundaries, exact.boundaries)
    assert float((found.curve - exact.curve).abs().max()) < 0.3


def test_the_estimate_is_as_good_as_it_says() -> None:
    """K n̂² / n² is chi-squared: the mean of the squared ratio is 1, its variance 2 / K."""
    from critpath.analysis.linearity.distances import estimated, exactly
    from critpath.analysis.linearity.geometry import geometry

    place = geometry(cp.Network(NETWORKS["residual"].build()), NETWORKS["residual"].inputs(2), scale=[0.5, 1, 2])
    exact = torch.cat(exactly(place, 64).distances, dim=1)
    ratios = torch.cat([(exact / torch.cat(estimated(place, 16, 4, seed)[0], dim=1)) for seed in range(6)]).square()
    assert float(ratios.mean()) == pytest.approx(1, abs=0.1)
    assert float(ratios.var()) == pytest.approx(2 / 16, rel=0.3)


def test_too_few_candidates_are_told() -> None:
    net, x = cp.Network(NETWORKS["residual"].build()), NETWORKS["residual"].inputs(3)
    found = linear_radius(net, x, method="estimate", directions=2, candidates=1)
    assert not bool(found.complete.all())
    assert "limit of candidates" in str(found)
    assert bool((found.radius >= linear_radius(net, x).radius * (1 - 1e-9)).all())


@pytest.mark.parametrize("name", PIECEWISE)
@pytest.mark.parametrize("method", ["exact", "estimate"])
def test_batch_equals_loop(name: str, method: str) -> None:
    net, x = cp.Network(NETWORKS[name].build()), NETWORKS[name].inputs(3)
    path = cp.find_pathway(net, x, "taylor", 0.6)
    for kept in (None, path):
        together = linear_radius(net, x, pathway=kept, method=method, directions=16)
        for i in range(3):
            alone = linear_radius(net, sample(x, i), pathway=kept and kept.sample(i), method=method, directions=16)
            assert torch.allclose(together.radius[i], alone.radius[0], rtol=1e-9)
            assert together.deciders[i] == alone.deciders[0]
            assert torch.allclose(together.curve[i], alone.curve[0])
            assert torch.allclose(together.missed[i], alone.missed[0], rtol=1e-6, atol=0)
            assert alone.gradients <= together.gradients


def test_auto_counts_the_boundaries_of_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pathways of four neurons each: a batch takes the way that each of its samples takes alone."""
    net, x = cp.Network(NETWORKS["mlp"].build()), NETWORKS["mlp"].inputs(3)
    keep = [torch.zeros(3, 12, dtype=torch.bool) for _ in range(2)]
    for i in range(3):
        keep[0][i, 4 * i : 4 * i + 4] = True
    path = cp.Pathway(cp.NeuronValues(net.sites(x), tuple(keep)))
    for small, method in ((4, "exact"), (3, "estimate")):
        monkeypatch.setattr(radius, "SMALL", small)
        assert linear_radius(net, x, pathway=path).method == method
        assert linear_radius(net, sample(x, 1), pathway=path.sample(1)).method == method
    for small, method in ((24, "exact"), (23, "estimate")):
        monkeypatch.setattr(radius, "SMALL", small)
        assert linear_radius(net, x).method == method


def test_memory_and_seed_change_only_what_they_should() -> None:
    net, x = cp.Network(NETWORKS["conv"].build()), NETWORKS["conv"].inputs(2)
    state = torch.get_rng_state()
    one, two = (linear_radius(net, x, method="estimate", memory=m) for m in (None, 2 * 10**6))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.allclose(one.curve, two.curve)
    assert torch.equal(one.radius, two.radius)
    other = linear_radius(net, x, method="estimate", seed=1)
    assert torch.allclose(one.radius, other.radius)
    assert not torch.equal(one.missed, other.missed)


def test_scale_gives_the_radius_in_other_units() -> None:
    model, x = pooled_case("relu", 0)
    scale = torch.tensor([0.25, 4.0], dtype=torch.float64).view(2, 1, 1)

    class Unscaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, u: Tensor) -> Tensor:
            out: Tensor = self.inner(u / scale)
            return out

    wanted = linear_radius(cp.Network(Unscaled().eval()), x * scale)
    for given in ([0.25, 4.0], scale, scale.expand(2, 5, 5)):
        for method in ("exact", "estimate"):
            found = linear_radius(cp.Network(model), x, scale=given, method=method)
            assert torch.allclose(found.radius, wanted.radius)
            assert torch.allclose(found.normal, wanted.normal / scale)
    assert torch.allclose(
        linear_radius(cp.Network(model), x, scale=3.0).radius, 3 * linear_radius(cp.Network(model), x).radius
    )


@pytest.mark.parametrize("name", ["residual", "mlp"])
@pytest.mark.parametrize("method", ["taylor", "intgrad", "active"])
def test_active_paths_have_a_radius(name: str, method: str) -> None:
    """Propositions 4 and 5 of P: if every neuron of the path is active, the frozen network's radius is positive."""
    net, x = cp.Network(NETWORKS[name].build()), NETWORKS[name].inputs(3)
    path = cp.find_pathway(net, x, method, 0.6)
    values = net.run(x, graph=False).values()
    assert all(bool((a[k] > 0).all()) for a, k in zip(values.tensors, path.keep.tensors, strict=True))
    assert bool((linear_radius(net, x, pathway=path).radius > 0).all())


class Still(nn.Module):
    """Two neurons: one exactly at its kink, and one that the input does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.weight)


def test_on_a_boundary_off_all_boundaries() -> None:
    net = cp.Network(Still().eval())
    x = torch.tensor([[0.0, 5.0], [2.0, 5.0]], dtype=torch.float64)
    for method in ("exact", "estimate"):
        found = linear_radius(net, x, method=method)
        assert found.radius.tolist() == pytest.approx([0, 2])
        assert found.ties.tolist() == [1, 0]
        assert found.boundaries.tolist() == [1, 1]
        apart = linear_radius(net, x, method=method, ties=False)
        assert apart.radius.tolist() == pytest.approx([float("inf"), 2])
        assert apart.deciders[0] is None
        assert not bool(apart.normal[0].any())
        assert "infinite" in str(apart)
        assert "exactly" in str(found)
    dead = cp.Pathway(cp.NeuronValues(net.sites(x), (torch.zeros(2, 2, dtype=torch.bool),)))
    assert bool(linear_radius(net, x, pathway=dead).radius.isinf().all())


def test_dead_ties_do_not_count() -> None:
    """Two dead ReLUs in one window are equal, and stay so."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Unflatten(1, (1, 2)), nn.MaxPool1d(2), nn.Flatten()).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [2.0]]))
        model[0].bias.copy_(torch.tensor([-3.0, -8.0]))
    found = linear_radius(cp.Network(model.eval()), torch.ones(1, 1, dtype=torch.float64))
    assert float(found.radius[0]) == pytest.approx(2)
    assert int(found.ties[0]) == 0
    assert found.deciders[0] is not None
    assert found.deciders[0].index == (0,)


def test_curve_counts_boundaries() -> None:
    net, x = cp.Network(NETWORKS["mlp"].build()), NETWORKS["mlp"].inputs(2)
    found = linear_radius(net, x)
    place = found.curve[0]
    assert bool((place[float(found.radius[0]) > CURVE] == 0).all())
    assert float(place[float(found.radius[0]) <= CURVE][0]) >= 1 / 24
    assert float(place[-1]) == 1
    z = net.model.first(x)
    distances = z.abs() / net.model.first.weight.norm(dim=1)
    whole = cp.NeuronValues(net.sites(x), (torch.ones(2, 12, dtype=torch.bool), torch.zeros(2, 12, dtype=torch.bool)))
    curve = linear_radius(net, x, pathway=cp.Pathway(whole)).curve
    for r, share in zip(CURVE.tolist(), curve[0].tolist(), strict=True):
        assert share == pytest.approx(float((distances[0] <= r).double().mean()))


def test_float32_says_where_it_cannot_resolve() -> None:
    model, x = pooled_case("relu", 0)
    found = linear_radius(cp.Network(model.float()), x.float())
    assert found.radius.dtype == torch.float64
    assert bool(found.resolved.all())
    close = x.float() + (found.radius * (1 - 1e-6)).view(-1, 1, 1, 1).float() * found.normal
    again = linear_radius(cp.Network(model), close)
    assert not bool(again.resolved.any())
    assert "precision" in str(again)


def test_half_precision_runs() -> None:
    model, x = pooled_case("relu", 0)
    model = model.to(torch.bfloat16)
    for method in ("exact", "estimate"):
        found = linear_radius(cp.Network(model), x.to(torch.bfloat16), method=method)
        assert found.radius.shape == (3,)
        assert rows(found.normal).shape == (3, 50)


def test_bad_input() -> None:
    net, x = cp.Network(NETWORKS["conv"].build()), NETWORKS["conv"].inputs(2)
    for options in (
        {"method": "quick"}, {"directions": 0}, {"confidence": 1.0}, {"candidates": 0}, {"scale": [1.0, 2.0]},
        {"scale": 0.0}, {"memory": "lots"}, {"confidence": "a"}, {"scale": "a"}, {"scale": ["a"]}, {"pathway": x},
        {"seed": "a"}, {"seed": -1}, {"directions": 1.5},
    ):  # fmt: skip
        with pytest.raises(OptionError, match=rf"^{next(iter(options))}[ =]"):
            linear_radius(net, x, **options)
    with pytest.raises(TargetError):
        linear_radius(net, x, 99)
    other = cp.Network(NETWORKS["residual"].build())
    path = cp.find_pathway(other, NETWORKS["residual"].inputs(2), "taylor")
    with pytest.raises(MismatchError, match="another network"):
        linear_radius(net, x, pathway=path)
    with pytest.raises(MismatchError, match="2 samples"):
        linear_radius(other, NETWORKS["residual"].inputs(3), pathway=path)
    with pytest.raises(InputError, match="NaN"):
        linear_radius(net, x * float("nan"))
    with pytest.raises(UnsupportedModelError, match="gelu"):
        linear_radius(cp.Network(nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Linear(3, 3)).eval()), torch.ones(1, 3))


def test_tokens_do_not_move() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    with pytest.raises(InputError, match="tokens"):
        linear_radius(cp.Network(model), torch.tensor([[1, 2, 3]]))
