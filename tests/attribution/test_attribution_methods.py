"""What single attribution methods promise beyond the contract: options, limits, default sites, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.reference.twins import case_of
from tests.tiny import NETWORKS, numbers, seeded
from torch import Tensor, nn
from torch.nn import functional as F

import critpath as cp
from critpath.attribution import ATTRIBUTIONS, explainer
from critpath.attribution.images import blurred, spatial_cuts
from critpath.evaluation.values import explained

X = numbers(3, 3, 8, 8)


def conv_net() -> cp.Network:
    return cp.Network(NETWORKS["conv"].build())


def norms(maps: Tensor) -> Tensor:
    return maps.flatten(1).norm(dim=1)


# ----------------------------------------------------------------------------------------------- maps inside
class Blocks(nn.Module):
    """A stem and three residual blocks, of which the last two are smaller; then a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.inside = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.outside = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.head = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 3)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for number, (inside, outside) in enumerate(zip(self.inside, self.outside, strict=True)):
            x = F.relu(outside(F.relu(inside(x))) + x)
            x = F.avg_pool2d(x, 2) if number == 0 else x
        return self.head[1](F.relu(self.head[0](x.mean(dim=(2, 3)))))


def test_default_sites_are_those_of_the_papers() -> None:
    """The stem is #0, the blocks' outputs are #2, #4 and #6, the head's activation is #7."""
    net = cp.Network(seeded(Blocks))
    cuts = [site.name for site in spatial_cuts(cp.respond(net, X), "gradcam")]
    assert cuts == ["#0", "#2", "#4", "#6"]
    for method, site in (("prunegrad_mid", "#4"), ("gradcam", "#6"), ("guided_gradcam", "#6")):
        found = cp.attribute(net, X, method)
        assert torch.equal(found, cp.attribute(net, X, method, site=site))
        assert not torch.equal(found, cp.attribute(net, X, method, site="#2"))


class Joined(nn.Module):
    """Two branches over an image, joined; the last activation is one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)
        self.join, self.head = nn.Identity(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        joined = self.join(torch.cat([self.left(x).relu(), self.right(x).relu()], dim=1))
        return self.head(joined.mean(dim=(2, 3)))


def test_a_branch_is_not_taken_for_all_there_is() -> None:
    net = cp.Network(seeded(Joined))
    with pytest.raises(cp.CritpathError, match=r"^gradcam needs an activation .* that everything passes"):
        cp.attribute(net, X, "gradcam")
    assert cp.attribute(net, X, "gradcam", site="#1").any()
    whole = cp.Network(seeded(Joined), also=["join"])
    a = whole.run(X).activation("join#0").detach()
    weights = net.model.head.weight[net.model(X).argmax(dim=1)] / 36
    cam = torch.einsum("nc,nchw->nhw", weights, a).relu()
    expected = F.interpolate(cam.unsqueeze(1), size=(8, 8), mode="bilinear").expand_as(X)
    assert torch.allclose(cp.attribute(whole, X, "gradcam"), expected, atol=1e-12)

    class Later(Joined):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.relu(x))

    with pytest.raises(cp.CritpathError, match=r"the last site .*, #2, is one branch .* everything passes is #0"):
        cp.attribute(cp.Network(seeded(Later)), X, "guided_gradcam")


def test_a_site_without_a_plane_is_refused() -> None:
    net = conv_net()
    for method in ("prunegrad_mid", "gradcam", "guided_gradcam"):
        with pytest.raises(cp.CritpathError, match=r"site 8#0 has the shape \[10\].* two spatial dimensions"):
            cp.attribute(net, X, method, site="8#0")
        with pytest.raises(cp.CritpathError, match="no site is called '1' among the 3 sites"):
            cp.attribute(net, X, method, site="1")


class ChannelsLast(nn.Module):
    """The same function as a convolution of size 1, with its activation [n, h, w, channels]."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.mix, self.head, self.last = nn.Linear(3, 5), nn.Linear(5, 3), last

    def forward(self, x: Tensor) -> Tensor:
        if self.last:
            return self.head(F.relu(self.mix(x.permute(0, 2, 3, 1))).amax(dim=(1, 2)))
        return self.head(F.relu(F.conv2d(x, self.mix.weight[:, :, None, None], self.mix.bias)).amax(dim=(2, 3)))


@pytest.mark.parametrize("method", ["gradcam", "prunegrad_mid"])
def test_channels_may_come_last(method: str) -> None:
    first, last = (cp.Network(seeded(lambda last=last: ChannelsLast(last))) for last in (False, True))
    assert last.sites(X).sites[0].shape == (8, 8, 5)
    found = cp.attribute(last, X, method)
    assert found.any()
    assert torch.allclose(found, cp.attribute(first, X, method), atol=1e-12)


@pytest.mark.parametrize(
    ("channels", "reduce"),
    [
        ("sum_abs", lambda g: g.abs().sum(dim=1)),
        ("max_abs", lambda g: g.abs().amax(dim=1)),
        ("l2", lambda g: g.norm(dim=1)),
    ],
)
def test_channels_are_reduced_as_asked(channels: str, reduce: Any) -> None:
    net = conv_net()
    path = cp.find_pathway(net, X, sparsity=0.3)
    pruned = cp.respond(net, X).pruned(path)
    (gradient,) = torch.autograd.grad(pruned.value.sum(), [pruned.run.activation("1#0")])
    found = cp.attribute(net, X, "prunegrad_mid", site="1#0", channels=channels, pathway=path)
    assert gradient.shape[-2:] == (8, 8)
    assert torch.allclose(found, reduce(gradient).unsqueeze(1).expand_as(X), atol=1e-12)


# ------------------------------------------------------------------------------------------------- prune_pgd
def test_the_ball_binds() -> None:
    """Ten steps of 0.01 reach its border."""
    net = conv_net()
    inside = cp.attribute(net, X, "prune_pgd", steps=5, sparsity=0.5)
    assert (norms(inside) <= 0.05 + 1e-12).all()
    assert (norms(inside) > 0.03).all()
    full = cp.attribute(net, X, "prune_pgd", sparsity=0.5)
    assert (norms(full) <= 0.1 + 1e-12).all()
    assert torch.allclose(norms(full), torch.full((3,), 0.1, dtype=torch.float64), rtol=0.05)


def test_one_step_goes_along_the_gradient_of_the_pruned_network() -> None:
    net = conv_net()
    path = cp.find_pathway(net, X, sparsity=0.6)
    gradient = cp.attribute(net, X, "prunegrad", pathway=path)
    found = cp.attribute(net, X, "prune_pgd", pathway=path, steps=1, step=0.03)
    assert torch.allclose(found, 0.03 * gradient / norms(gradient).view(-1, 1, 1, 1), atol=1e-14)


def test_it_raises_the_pruned_response() -> None:
    net = conv_net()
    path = cp.find_pathway(net, X, sparsity=0.6)
    target = net.model(X).argmax(dim=1)
    delta = cp.attribute(net, X, "prune_pgd", pathway=path, step=0.05, radius=0.5)

    def pruned(x: Tensor) -> Tensor:
        output = net.run(x, lambda site, a: a * path.keep[site.name]).output
        return output.gather(1, target.unsqueeze(1)).squeeze(1)

    linear = 0.5 * norms(cp.attribute(net, X, "prunegrad", pathway=path))
    assert ((pruned(X + delta) - pruned(X)) > 0.5 * linear).all()


def test_without_sparsity_nothing_is_pruned() -> None:
    """Neurons that are dead on x may wake on the way: with the active pathway they may not."""
    net = cp.Network(NETWORKS["mlp"].build())
    x = numbers(4, 6)
    whole = cp.Pathway(cp.respond(net, x).run.values().map(lambda a: torch.ones_like(a, dtype=torch.bool)))
    options = {"steps": 8, "step": 0.5, "radius": 4.0}
    found = cp.attribute(net, x, "prune_pgd", sparsity=0, **options)
    assert torch.equal(found, cp.attribute(net, x, "prune_pgd", pathway=whole, **options))
    active = cp.attribute(net, x, "prune_pgd", finder="active", **options)
    assert not torch.allclose(found, active)


def test_a_gradient_of_zero_moves_nothing() -> None:
    """One dead sample among others: it stays, and they are as they are alone."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).double().eval()
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.zero_()
    net, x = cp.Network(model), torch.tensor([[-1.0, -2.0], [1.0, 2.0]], dtype=torch.float64)
    found = cp.attribute(net, x, "prune_pgd", target=0, sparsity=0)
    assert not found[0].any()
    assert torch.equal(found[1:], cp.attribute(net, x[1:], "prune_pgd", target=0, sparsity=0))
    assert torch.isfinite(found).all()
    average = cp.attribute(net, x[1:].repeat(2, 1), "pathway_average", target=0, sparsities=[0.5])
    assert torch.allclose(average.sum(dim=1), torch.ones(2, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------- baselines
def test_integrated_gradients_are_complete() -> None:
    net = cp.Network(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double().eval())
    x = numbers(3, 4)
    found = cp.attribute(net, x, "integrated_gradients", target=1, baseline=0.5, points=20)
    change = (net.model(x) - net.model(torch.full_like(x, 0.5)))[:, 1]
    assert torch.allclose(found.sum(dim=1), change, atol=1e-12)


@pytest.mark.parametrize("memory", [60_000, "1GiB"])
def test_smoothgrad_does_not_depend_on_how_many_fit(memory: Any) -> None:
    case = case_of("two inputs")
    net = cp.Network(case.model)
    target = case.model(*case.x).argmax(dim=1)
    found = cp.attribute(net, case.x, "smoothgrad", memory=memory, samples=9)
    a_batch_at_a_time = cp.attribute(
        net, case.x, "smoothgrad", target=lambda out: out.gather(1, target[:, None])[:, 0], samples=9
    )
    assert all(torch.allclose(a, b, atol=1e-14) for a, b in zip(found, a_batch_at_a_time, strict=True))


def test_smoothgrads_noise_is_a_share_of_each_samples_range() -> None:
    """Of Φ = Σ ½ relu(x)² the mean gradient is E[relu(x + ε)], which at x = 0 is σ / sqrt(2 π)."""

    class Squares(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (0.5 * F.relu(x).square()).sum(dim=1, keepdim=True).expand(-1, 2)

    x = torch.tensor([[0.0, 4.0, 0.0], [0.0, 40.0, 0.0]], dtype=torch.float64)
    net = cp.Network(Squares().eval())
    found = cp.attribute(net, x, "smoothgrad", target=0, samples=2000, noise=0.1)
    expected = torch.tensor([0.4, 4.0], dtype=torch.float64) / (2 * np.pi) ** 0.5
    assert torch.allclose(found[:, [0, 2]].mean(dim=1), expected, rtol=0.1)
    assert torch.allclose(cp.attribute(net, x, "smoothgrad", target=0, noise=0), x)


@pytest.mark.parametrize("method", ["random", "smoothgrad"])
def test_the_seed_decides(method: str) -> None:
    net = conv_net()
    first, again, other = (cp.attribute(net, X, method, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_random_maps_are_standard_normal() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)).double().eval()
    x = numbers(2, 3, 64, 64)
    model(x)
    found = cp.attribute(cp.Network(model), x, "random")
    assert found.mean().abs() < 0.02
    assert (found.std() - 1).abs() < 0.02
    assert not torch.equal(found[0], found[1])


def test_edges_are_scipys_sobel() -> None:
    planes = X.flatten(0, 1).numpy()
    slopes = [[ndimage.sobel(plane, axis=axis, mode="nearest") / 8 for axis in (0, 1)] for plane in planes]
    expected = torch.tensor(np.array(slopes)).view(3, 6, 8, 8).norm(dim=1, keepdim=True).expand_as(X)
    assert torch.allclose(cp.attribute(conv_net(), X, "edges"), expected, atol=1e-12)


@pytest.mark.parametrize("quantile", [0.0, 0.29, 0.5, 0.98])
def test_rectgrad_keeps_what_lies_above_the_quantile(quantile: float) -> None:
    """At one site, of a R that has both signs."""
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 2)).double().eval()
    net, x = cp.Network(model), numbers(3, 6)
    run = cp.respond(net, x, 0).run
    product = (run.activation("1#0") * model[2].weight[0]).detach().numpy()
    above = product > np.quantile(product, quantile, axis=1, keepdims=True)
    slopes = torch.from_numpy(above) * (run.activation("1#0") > 0) * model[2].weight[0]
    expected = (slopes @ model[0].weight).detach()
    assert torch.allclose(cp.attribute(net, x, "rectgrad", target=0, quantile=quantile), expected, atol=1e-12)
    times = cp.attribute(net, x, "rectgrad", target=0, quantile=quantile, times_input=True)
    assert torch.allclose(times, x * expected, atol=1e-12)
    size = np.abs(product)
    chosen = torch.from_numpy(size > np.quantile(size, quantile, axis=1, keepdims=True))
    expected = ((chosen * (run.activation("1#0") > 0) * model[2].weight[0]) @ model[0].weight).detach()
    assert torch.allclose(cp.attribute(net, x, "rectgrad", target=0, quantile=quantile, absolute=True), expected)


# ------------------------------------------------------------------------------------------- pathway_average
@pytest.mark.parametrize("deviation", [0.6, 2.0, 5.0])
def test_the_blur_is_scipys(deviation: float) -> None:
    expected = ndimage.gaussian_filter(X.numpy(), (0, 0, deviation, deviation), mode="nearest", truncate=4)
    assert torch.allclose(blurred(X, deviation), torch.from_numpy(expected), atol=1e-12)


def test_an_average_of_one_is_the_methods_own_map() -> None:
    net = conv_net()

    def share(maps: Tensor) -> Tensor:
        return maps.abs() / maps.abs().sum(dim=(1, 2, 3), keepdim=True)

    for mode, method in (("frozen", "pathway_gradient"), ("zeroed", "prunegrad")):
        own = cp.attribute(net, X, method, sparsity=0.7)
        found = cp.attribute(net, X, "pathway_average", sparsities=[0.7], mode=mode)
        assert torch.allclose(found, share(own), atol=1e-14)
        times = cp.attribute(net, X, "pathway_average", sparsities=[0.7], mode=mode, times_input=True)
        assert torch.allclose(times, share(X * own), atol=1e-14)
        soft = cp.attribute(net, X, "pathway_average", sparsities=[0.7], mode=mode, blur=1.5)
        expected = ndimage.gaussian_filter(share(own).mean(dim=1).numpy(), (0, 1.5, 1.5), mode="nearest")
        assert torch.allclose(soft, torch.from_numpy(expected).unsqueeze(1).expand_as(X), atol=1e-12)
    own = cp.attribute(net, X, "pathway_gradient", sparsity=0.7, finder="magnitude", scope="site")
    found = cp.attribute(net, X, "pathway_average", sparsities=(0.7,), finder="magnitude", scope="site")
    assert torch.allclose(found, share(own), atol=1e-14)


def test_a_blur_needs_an_image() -> None:
    net = cp.Network(NETWORKS["mlp"].build())
    with pytest.raises(cp.CritpathError, match=r"^pathway_average with a blur makes a map over an image"):
        cp.attribute(net, numbers(2, 6), "pathway_average", blur=1.0)


# --------------------------------------------------------------------------------------------------- options
WRONG = [
    ("pathway_average", {"sparsities": []}, "sparsities is"),
    ("pathway_average", {"sparsities": [0.5, 1.0]}, "sparsity is 1.0"),
    ("pathway_average", {"mode": "thawed"}, "mode is 'thawed'; it is one of frozen, zeroed"),
    ("pathway_average", {"blur": -1}, "blur is -1"),
    ("prunegrad_mid", {"channels": "sum"}, "channels is 'sum'"),
    ("prunegrad_mid", {"finder": "taylr"}, "no finder is called 'taylr'. Did you mean 'taylor'"),
    ("prunegrad", {"scope": "layer"}, "the scope is 'layer'"),
    ("gradcam", {"site": 3}, "site is 3; it is the name of a site"),
    ("prune_pgd", {"steps": 0}, "steps is 0"),
    ("prune_pgd", {"step": 0}, "step is 0"),
    ("prune_pgd", {"radius": -0.1}, "radius is -0.1"),
    ("prune_pgd", {"sparsity": 1}, "sparsity is 1"),
    ("smoothgrad", {"samples": 2.5}, "samples is 2.5"),
    ("smoothgrad", {"noise": float("nan")}, "noise is nan"),
    ("smoothgrad", {"seed": -1}, "seed is -1"),
    ("rectgrad", {"quantile": 1.0}, "quantile is 1.0"),
    ("rectgrad", {"absolute": 1}, "absolute is 1"),
    ("integrated_gradients", {"points": 0}, "points is 0"),
    ("random", {"steps": 3}, "random does not take the option 'steps'; it takes seed"),
    ("gradcamm", {}, "no attribution method is called 'gradcamm'. Did you mean 'gradcam'"),
]


@pytest.mark.parametrize(("method", "options", "message"), WRONG, ids=lambda value: str(value)[:24])
def test_a_wrong_option_is_refused_before_anything_runs(method: str, options: dict[str, Any], message: str) -> None:
    net = conv_net()
    net.run = None  # type: ignore[assignment,method-assign]
    with pytest.raises(cp.CritpathError, match=message) as caught:
        cp.attribute(net, X, method, **options)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(cp.CritpathError, match=message):
        explainer(net, method, **options)


def test_every_option_is_checked() -> None:
    """But for those that are values of their own: pathways, baselines, units, memory."""
    from critpath.attribution.options import CHECKS

    known = {*CHECKS, "pathway", "baseline", "through", "memory"}
    assert {name for method in ATTRIBUTIONS for name in method.options()} == known


# ------------------------------------------------------------------------------------------------- explainer
@pytest.mark.parametrize("method", cp.attribution_names())
def test_an_explainer_is_what_evaluations_take(method: str) -> None:
    net, target = conv_net(), torch.tensor([1, 0, 4])
    explain = explainer(net, method)
    found = explained(explain, X, target)
    assert found.shape == X.shape
    assert torch.equal(found, cp.attribute(net, X, method, target=target))


def test_an_explainer_takes_a_network_and_tensors() -> None:
    with pytest.raises(cp.CritpathError, match="wrap the model"):
        explainer(NETWORKS["conv"].build(), "gradient")  # type: ignore[arg-type]
    with pytest.raises(cp.CritpathError, match="an explainer takes one tensor"):
        explainer(conv_net(), "gradient")((X,), torch.zeros(3, dtype=torch.long))  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------- predicted cost
@pytest.mark.parametrize("method", [m.name for m in ATTRIBUTIONS])
def test_the_passes_are_those_that_the_doctor_predicts(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in samples, so that it does not matter how many go at once."""
    net, counts = conv_net(), {"forwards": 0, "backwards": 0}
    observe, backward = cp.Network.observe, torch.autograd.grad

    def seen(self: cp.Network, x: Any, *args: Any, **kwargs: Any) -> Any:
        counts["forwards"] += len(x)
        return observe(self, x, *args, **kwargs)

    def back(outputs: Any, *args: Any, **kwargs: Any) -> Any:
        counts["backwards"] += len(outputs)
        return backward(outputs, *args, **kwargs)

    cp.attribute(net, X, method)  # it then knows the shapes of all its batches
    monkeypatch.setattr(cp.Network, "observe", seen)
    monkeypatch.setattr(torch.autograd, "grad", back)
    cp.attribute(net, X, method)
    assert (counts["forwards"] / 3, counts["backwards"] / 3) == ATTRIBUTIONS[method].passes(net.sites(X))
