"""Methods along lines as they are called: baselines, batches, memory, targets, groups, precision, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.tiny import NETWORKS, numbers, seeded
from torch import Tensor, nn

import critpath as cp

METHODS = ("conductance", "influence", "intgrad")
ALONG_INPUTS = ("conductance", "influence")
INPUT = (2, 6, 6)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def net_of(architecture: Callable[[], nn.Module] = small) -> cp.Network:
    return cp.Network(seeded(architecture))


X = numbers(3, *INPUT)


def flat(scores: cp.NeuronValues) -> Tensor:
    return scores.flatten()


def scored(method: str = "conductance", x: Any = X, target: Any = None, **options: Any) -> Tensor:
    """Scores of the small network [batch, neurons], by 9 points at equal distances where nothing is said."""
    options = {"points": 9, "rule": "trapezoid"} | options
    return flat(cp.score(net_of(), x, method, target, **options))


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-9, atol=1e-13)


# ----------------------------------------------------------------------------------------------------- baselines
@pytest.mark.parametrize("method", ALONG_INPUTS)
@pytest.mark.parametrize(
    ("name", "same"),
    [
        (None, torch.zeros_like(X)),
        ("zero", torch.zeros_like(X)),
        ("mean", X.mean(dim=(2, 3), keepdim=True).expand_as(X)),
        (0.25, torch.full_like(X, 0.25)),
        (-1, torch.full_like(X, -1.0)),
        (torch.tensor([0.5, -0.5])[:, None, None], torch.tensor([0.5, -0.5]).double()[:, None, None].expand_as(X)),
        (X[0] / 2, (X[:1] / 2).expand_as(X)),
        (X[:1] / 2, (X[:1] / 2).expand_as(X)),
    ],
)
def test_a_baseline_may_be_given_in_many_ways(name: Any, same: Tensor, method: str) -> None:
    assert close(scored(method, baseline=name), scored(method, baseline=same))


def test_baselines_differ_from_sample_to_sample() -> None:
    baseline = X.flip(0) / 2
    whole = scored(baseline=baseline)
    for i in range(3):
        one = scored(x=X[i : i + 1], target=int(net_of().model(X).argmax(dim=1)[i]), baseline=baseline[i])
        assert close(whole[i : i + 1], one)


def test_a_blurred_baseline_keeps_what_is_coarse() -> None:
    """A constant image is its own blur, so nothing is left to explain; a pattern is not."""
    constant = torch.ones_like(X)
    with pytest.raises(cp.CritpathError, match="the baseline equals the input"):
        scored(x=constant, baseline="blurred")
    blurred, zero = scored(baseline="blurred"), scored()
    assert blurred.any()
    assert not close(blurred, zero)


@pytest.mark.parametrize("method", ALONG_INPUTS)
def test_several_baselines_are_averaged(method: str) -> None:
    several: list[Any] = [None, "mean", 0.5, X.roll(1, 0)]
    each = [scored(method, baseline=one) for one in several]
    assert close(scored(method, baseline=several), torch.stack(each).mean(dim=0))
    scores = cp.score(net_of(), X, method, baseline=several, points=9, rule="trapezoid")
    assert (scores.error.points == 4 * 9).all()
    by_channels = cp.score(net_of(), X, method, baseline=several, points=9, rule="trapezoid", by="channels")
    alone = [cp.score(net_of(), X, method, baseline=b, points=9, rule="trapezoid", by="channels") for b in several]
    assert close(by_channels.values, sum(a.values for a in alone) / 4)


def test_completeness_holds_for_every_baseline() -> None:
    for baseline in ("mean", "blurred", 0.5, X.roll(1, 0)):
        error = cp.score(net_of(), X, "conductance", baseline=baseline, points=129).error
        assert (error.gap < 1e-3 * error.scale).all()


def test_tuples_and_mappings_have_baselines_of_their_structure() -> None:
    tiny = NETWORKS["two_inputs"]
    net, (image, vector) = cp.Network(tiny.build()), tiny.inputs(2)
    options: dict[str, Any] = {"points": 9, "rule": "trapezoid"}
    default = flat(cp.score(net, (image, vector), **options, method="conductance"))
    zeros = (torch.zeros_like(image), torch.zeros_like(vector))
    assert close(flat(cp.score(net, (image, vector), "conductance", baseline=zeros, **options)), default)
    half = flat(cp.score(net, (image, vector), "conductance", baseline=(image / 2, vector * 0), **options))
    assert not close(half, default)
    named = NETWORKS["dict_output"]
    net, x = cp.Network(named.build()), named.inputs(2)
    default = flat(cp.score(net, x, "conductance", **options))
    zero = {"values": torch.zeros_like(x["values"])}
    assert close(flat(cp.score(net, x, "conductance", baseline=zero, **options)), default)
    with pytest.raises(cp.CritpathError, match=r"the baseline has the entries \['other'\]"):
        cp.score(net, x, "conductance", baseline={"other": x["values"]})


def tokens_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Embedding(7, 4), nn.Linear(4, 6), nn.ReLU(), nn.Flatten(), nn.Linear(18, 5), nn.Tanh(), nn.Linear(5, 3)
    )


TOKENS = torch.tensor([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("baseline", [None, torch.zeros_like(TOKENS), torch.tensor([0, 6, 0])])
def test_tokens_are_followed_through_their_embeddings(baseline: Tensor | None) -> None:
    net = net_of(tokens_net)
    embedding, above = net.model[0], net.model[1:].eval()
    found = cp.score(net, TOKENS, "conductance", target=1, baseline=baseline, points=65, rule="trapezoid")
    start = 0.0 if baseline is None else embedding(baseline).detach()
    direct = cp.score(
        cp.Network(above),
        embedding(TOKENS).detach(),
        "conductance",
        target=1,
        baseline=start,
        points=65,
        rule="trapezoid",
    )
    assert close(flat(found), flat(direct))
    assert not found.error.gap.isnan().any()
    assert (found.error.gap < 1e-3 * found.error.scale).all()


def test_mean_activations_are_a_baseline_of_intgrad() -> None:
    net = net_of()
    batches = [numbers(4, *INPUT, seed=seed) for seed in (5, 6)]
    mean = cp.mean_activations(net, batches)
    together = net.run(torch.cat(batches)).values()
    assert all(close(m, t.mean(dim=0, keepdim=True)) for m, t in zip(mean.tensors, together.tensors, strict=True))
    scores = cp.score(net, X, "intgrad", baseline=mean, points=129)
    assert (scores.error.gap < 1e-3 * scores.error.scale).all()
    logits = net.model(X)
    targets = logits.argmax(dim=1)
    at_mean = net.model[4:](mean.tensors[1]).expand(3, -1)
    change = (logits - at_mean)[torch.arange(3), targets]
    assert torch.allclose(scores.tensors[1].flatten(1).sum(dim=1), change, atol=1e-9)
    with pytest.raises(cp.CritpathError, match="there is no data"):
        cp.mean_activations(net, [])


def test_a_baseline_of_activations_is_checked() -> None:
    net = net_of()
    with pytest.raises(cp.CritpathError, match="the baseline is Tensor"):
        cp.score(net, X, "intgrad", baseline=X)
    with pytest.raises(cp.CritpathError, match="holds 2 samples"):
        cp.score(net, X, "intgrad", baseline=net.run(X[:2]).values())
    with pytest.raises(cp.CritpathError, match="another network or input shape"):
        cp.score(net, X, "intgrad", baseline=cp.Network(NETWORKS["mlp"].build()).run(numbers(3, 6)).values())


# ------------------------------------------------------------------------------------------ batches, memory, targets
@pytest.mark.parametrize("rule", ["bisection", "trapezoid", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_a_loop(method: str, rule: str) -> None:
    whole = scored(method, rule=rule, points=12)
    for i in range(3):
        assert close(whole[i : i + 1], scored(method, x=X[i : i + 1], rule=rule, points=12))


@pytest.mark.parametrize("rule", ["bisection", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_with_a_tolerance_a_batch_equals_a_loop(method: str, rule: str) -> None:
    whole = cp.score(net_of(), X, method, tolerance=0.05, rule=rule)
    for i in range(3):
        alone = cp.score(net_of(), X[i : i + 1], method, tolerance=0.05, rule=rule)
        assert close(flat(whole)[i : i + 1], flat(alone))
        assert torch.equal(whole.error.points[i : i + 1], alone.error.points)


@pytest.mark.parametrize("rule", ["bisection", "trapezoid", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_a_memory_limit_changes_nothing_but_the_time(method: str, rule: str) -> None:
    one = net_of().footprint(X)
    plenty = scored(method, rule=rule, points=16, memory="1GiB")
    for memory in (3 * one, 8 * one, "1MiB"):
        assert close(scored(method, rule=rule, points=16, memory=memory), plenty)


@pytest.mark.parametrize("method", METHODS)
def test_a_limit_below_one_sample_says_what_is_needed(method: str) -> None:
    with pytest.raises(cp.CritpathError, match=r"memory=.* but one sample needs about .* KiB") as caught:
        scored(method, memory="1KiB")
    assert isinstance(caught.value, ValueError)
    with pytest.raises(cp.CritpathError, match="it is a number of bytes, or text like"):
        scored(method, memory="much")


@pytest.mark.parametrize("rule", ["bisection", "trapezoid", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_a_function_of_the_whole_batch_equals_its_logit(method: str, rule: str) -> None:
    labels = torch.tensor([2, 0, 1])
    custom = scored(method, target=lambda out: out[torch.arange(3), labels], rule=rule, points=12)
    assert close(custom, scored(method, target=labels, rule=rule, points=12))


@pytest.mark.parametrize("method", METHODS)
def test_a_function_of_the_whole_batch_takes_a_tolerance(method: str) -> None:
    labels = torch.tensor([2, 0, 1])
    custom, logit = (
        cp.score(net_of(), X, method, target, tolerance=0.02)
        for target in (lambda out: out[torch.arange(3), labels], labels)
    )
    assert close(flat(custom), flat(logit))
    assert torch.equal(custom.error.points, logit.error.points)


# ------------------------------------------------------------------------------------------------ groups, several
UNITS: dict[str, Any] = {
    "first": "1#0",
    "some": [cp.Channel("1#0", 1), cp.Neuron("3#0", (2, 1, 0))],
    "all": ["1#0", "3#0"],
}


@pytest.mark.parametrize("rule", ["bisection", "trapezoid", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_groups_are_sums_of_their_neurons(method: str, rule: str) -> None:
    neurons = cp.score(net_of(), X, method, points=12, rule=rule)
    first, second = neurons.tensors
    channels, sites, named = (
        cp.score(net_of(), X, method, points=12, rule=rule, by=by) for by in ("channels", "sites", UNITS)
    )
    assert close(channels.of("1#0"), first.sum(dim=(2, 3)))
    assert close(channels.of("3#0"), second.sum(dim=(2, 3)))
    assert close(sites.values, torch.stack([first.flatten(1).sum(dim=1), second.flatten(1).sum(dim=1)], dim=1))
    assert close(named["first"], first.flatten(1).sum(dim=1))
    assert close(named["some"], first[:, 1].flatten(1).sum(dim=1) + second[:, 2, 1, 0])
    assert close(named["all"], sites.values.sum(dim=1))


@pytest.mark.parametrize("method", METHODS)
def test_absolute_sums_are_of_magnitudes(method: str) -> None:
    first, second = cp.score(net_of(), X, method, points=12).tensors
    sites = cp.score(net_of(), X, method, points=12, by="sites", absolute=True)
    magnitudes = [t.abs().flatten(1).sum(dim=1) for t in (first, second)]
    assert close(sites.values, torch.stack(magnitudes, dim=1))


def test_groups_keep_the_gap_where_they_cover_a_site() -> None:
    neurons = cp.score(net_of(), X, "conductance", points=12)
    assert close(cp.score(net_of(), X, "conductance", points=12, by="channels").error.gap, neurons.error.gap)
    some = cp.score(net_of(), X, "conductance", points=12, by=[cp.Channel("1#0", 0)]).error.gap
    assert some.isnan().all()


def test_many_methods_at_once_equal_each_alone() -> None:
    methods = ["taylor", "conductance", "influence", "intgrad"]
    many = cp.score_many(net_of(), X, methods, points=10, rule="trapezoid")
    assert list(many) == methods
    for method in methods[1:]:
        assert close(flat(many[method]), scored(method, points=10))
    assert torch.equal(flat(many["taylor"]), flat(cp.score(net_of(), X, "taylor")))


def test_the_first_of_many_methods_says_where_the_points_are() -> None:
    many = cp.score_many(net_of(), X, ["taylor", "conductance", "influence"], tolerance=0.02)
    alone = cp.score(net_of(), X, "conductance", tolerance=0.02)
    assert torch.equal(flat(many["conductance"]), flat(alone))
    assert torch.equal(many["influence"].error.points, alone.error.points)
    options: dict[str, Any] = {"by": "channels", "points": 12, "rule": "trapezoid"}
    by = cp.score_many(net_of(), X, ["conductance", "influence"], **options)
    assert close(by["influence"].values, cp.score(net_of(), X, "influence", **options).values)


# ------------------------------------------------------------------------------------------ what models may do
class TwoWays(nn.Module):
    """Another way for dark inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        if x.detach().abs().sum() > 0.5:
            x = self.two(x).tanh()
        return self.out(x)


@pytest.mark.parametrize("rule", ["bisection", "gauss"])
def test_a_network_that_takes_another_way_at_the_baseline_is_refused(rule: str) -> None:
    net = net_of(TwoWays)
    with torch.no_grad():
        net.model.one.bias.zero_()
    with pytest.raises(cp.CritpathError, match="takes another way between the baseline and the input") as caught:
        cp.score(net, 3 * numbers(2, 4), "conductance", rule=rule)
    assert "MismatchError" in type(caught.value).__name__


class Cubed(torch.autograd.Function):
    """x³ without a forward-mode derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class AfterCube(nn.Module):
    def __init__(self, cube: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.cube, self.one, self.two = cube, nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(self.cube(x))))


@pytest.mark.parametrize("method", ALONG_INPUTS)
def test_without_forward_mode_derivatives_there_are_differences(method: str) -> None:
    x = numbers(2, 4)
    custom, plain = (
        cp.score(net_of(lambda cube=cube: AfterCube(cube)), x, method, points=16, rule="gauss")
        for cube in (Cubed.apply, lambda t: t**3)
    )
    assert torch.allclose(flat(custom), flat(plain), rtol=1e-4, atol=1e-5)
    assert (custom.error.gap.nan_to_num(0) < 1e-4).all()


class Root(nn.Module):
    """√relu(x), whose derivative is infinite at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4, bias=False), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).relu().sqrt())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rule", ["bisection", "gauss"])
def test_gradients_that_are_not_finite_are_refused(rule: str, method: str) -> None:
    with pytest.raises(cp.CritpathError, match=r"not finite|NaN or infinite") as caught:
        cp.score(net_of(Root), numbers(2, 4), method, rule=rule)
    assert isinstance(caught.value, ArithmeticError)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rule", ["bisection", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_gives_float32_scores(method: str, rule: str, dtype: torch.dtype) -> None:
    target = net_of().model(X).argmax(dim=1)
    exact = scored(method, target=target, rule=rule, points=32)
    half = cp.score(cp.Network(seeded(small).to(dtype)), X.to(dtype), method, target, rule=rule, points=32)
    assert all(t.dtype == torch.float32 for t in half.tensors)
    assert float((flat(half) - exact).abs().sum() / exact.abs().sum()) < 0.1
    groups = cp.score(cp.Network(seeded(small).to(dtype)), X.to(dtype), method, target, points=32, by="sites")
    assert groups.values.isfinite().all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("rule", ["bisection", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_the_callers_no_grad_does_not_matter(method: str, rule: str, mode: Callable[[], Any]) -> None:
    net = net_of()
    expected = flat(cp.score(net, X, method, rule=rule, points=9))
    with mode():
        assert torch.equal(flat(cp.score(net, X, method, rule=rule, points=9)), expected)


@pytest.mark.parametrize("rule", ["bisection", "trapezoid", "gauss"])
@pytest.mark.parametrize("method", METHODS)
def test_the_model_and_the_input_are_left_as_they_were(method: str, rule: str) -> None:
    model, x = seeded(NETWORKS["residual"].architecture), numbers(2, 3, 8, 8)
    before, given = {name: t.clone() for name, t in model.state_dict().items()}, x.clone()
    state = torch.get_rng_state()
    cp.score(cp.Network(model), x, method, rule=rule, points=8)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert torch.equal(x, given)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


# ------------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 0}, "points is 0"),
        ({"points": 1}, "points is 1"),
        ({"points": -3}, "points is -3"),
        ({"points": 8.0}, "points is 8.0"),
        ({"points": True}, "points is True"),
        ({"points": 3, "rule": "gauss"}, "a line needs 4 points or more by the rule gauss"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"tolerance": -1}, "tolerance is -1"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
        ({"tolerance": float("inf")}, "tolerance is inf"),
        ({"tolerance_of": "neuron"}, "neuron"),
        ({"rule": "simpson"}, "simpson"),
        ({"by": ["nowhere"]}, "no site is called 'nowhere'"),
        ({"by": {"empty": []}}, "the group 'empty' is empty"),
        ({"by": ["no*"]}, "matches none"),
        ({"by": "rows"}, "by='rows' is none of"),
        ({"by": [cp.Neuron("1#0", (9, 9, 9))]}, "is not in site 1#0"),
    ],
)
def test_options_out_of_range_are_refused(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(cp.CritpathError, match=message) as caught:
        cp.score(net_of(), X, method, **options)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("method", ALONG_INPUTS)
@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (torch.zeros(3, 3, 3), r"shape \[3, 3, 3\], which does not broadcast to the input's \[3, 2, 6, 6\]"),
        (torch.zeros(2, 2, 6, 6), "does not broadcast"),
        (torch.full((2, 1, 1), float("nan")), "holds NaN or infinity"),
        (float("nan"), "the baseline is nan"),
        (float("inf"), "the baseline is inf"),
        ("black", "what is black depends on the preprocessing"),
        ("grey", "grey"),
        ([], "names no baseline"),
        ((X, X), "holds 2 tensors, the input 1"),
        (True, "the baseline is bool"),
    ],
)
def test_baselines_that_do_not_fit_are_refused(baseline: Any, message: str, method: str) -> None:
    with pytest.raises(cp.CritpathError, match=message):
        cp.score(net_of(), X, method, baseline=baseline)


def test_a_baseline_that_is_the_input_leaves_nothing_to_explain() -> None:
    with pytest.raises(cp.CritpathError, match="the baseline equals the input"):
        cp.score(net_of(), X, "conductance", baseline=X)
    gradients = flat(cp.score(net_of(), X, "influence", baseline=X))
    activations = flat(cp.score(net_of(), X, "activation"))
    assert torch.allclose(gradients * activations, flat(cp.score(net_of(), X, "taylor")), rtol=1e-5)
