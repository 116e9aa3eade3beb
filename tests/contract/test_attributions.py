"""What every registered attribution promises, and the properties of the pathway gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.reference import naive
from tests.reference.twins import ARCHITECTURES, KINDS, Case, case_of, every_case, relu
from tests.tiny import numbers, seeded
from torch import Tensor, nn

import critpath as cp
from critpath.attribution import ATTRIBUTIONS
from critpath.network import map_tensors, sample_of
from critpath.response import respond

METHODS = cp.attribution_names()
ALONG_A_PATHWAY = [m.name for m in ATTRIBUTIONS if "pathway" in m.options()]

IMAGES = {*KINDS, "reused", "dense"}
"""The cases whose input is an image."""

NOT_RECTIFYING = {
    *("LeakyReLU", "PReLU", "hardtanh", "hardtanh in place", "hardswish", "GELU", "GELU tanh", "SiLU", "SiLU in place"),
    *("ELU", "Mish", "sigmoid", "sigmoid in place", "tanh", "softplus"),
    *("overwritten", "sequence first", "attention", "two inputs", "keywords", "windows", "two tables"),
}
"""The cases that have a site which is not rectifying."""

OVER_IMAGES = ("edges", "gradcam", "guided_gradcam", "prunegrad_mid")
FOR_RELU = ("guided_backprop", "guided_gradcam")
"""Methods that are not defined everywhere."""


def maps_of(result: object) -> list[Tensor]:
    return [t for t in naive.tensors(result) if t is not None]


def pathway_at(case: Case, sparsity: float) -> cp.Pathway:
    return cp.select(cp.score(cp.Network(case.model), case.x), sparsity)


DIRECTIONS = {
    *("gradient", "smoothgrad", "guided_backprop", "rectgrad", "pathway_gradient", "prunegrad", "prune_pgd"),
}
"""Methods of which a map over embeddings is told by its length; of others by its sum."""


def over_tokens(case: Case, method: str, maps: list[Tensor]) -> list[Tensor]:
    """Maps over what moves as they are reported: those over embeddings as one over tokens."""
    if not case.tokens:
        return maps
    if method in DIRECTIONS:
        return [torch.cat(maps, dim=2).square().sum(dim=2).sqrt()]
    return [sum(one.sum(dim=2) for one in maps)]


def refusal(method: str, name: str) -> str:
    """What a method says of a case for which it is not defined; empty where it is."""
    if method in OVER_IMAGES and name not in IMAGES:
        return rf"^{method} makes a map over an image, .* (floating-point tensors are \[\d, |it holds tokens)"
    if method in FOR_RELU and name in NOT_RECTIFYING:
        return rf"^{method} is defined for ReLU .* site \S+ is \w+, which is not rectifying"
    return ""


def attributed(case: Case, method: str, x: Any = None, **options: Any) -> list[Tensor] | None:
    """The maps; None where the method is refused, with the reason that it must give."""
    net, x = cp.Network(case.model), case.x if x is None else x
    if not (why := refusal(method, case.name)):
        return maps_of(cp.attribute(net, x, method, **options))
    with pytest.raises(cp.CritpathError, match=why) as caught:
        cp.attribute(net, x, method, **options)
    assert isinstance(caught.value, ValueError)
    return None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", every_case())
def test_it_equals_its_definition_on_the_twin(name: str, method: str) -> None:
    case = case_of(name)
    path = pathway_at(case, 0.6)
    options = {"pathway": path} if method in ALONG_A_PATHWAY else {}
    got = attributed(case, method, **options, **naive.ATTRIBUTION_OPTIONS.get(method, {}))
    if got is None:
        return
    expected = over_tokens(case, method, naive.ATTRIBUTIONS[method](case, path.keep.tensors))
    assert [g.shape for g in got] == [g.shape for g in expected]
    for g, want in zip(got, expected, strict=True):
        assert torch.allclose(g, want, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_batch_equals_a_loop(name: str, method: str) -> None:
    case = case_of(name)
    whole = attributed(case, method)
    for i in range(3):
        alone = attributed(case, method, sample_of(case.x, i))
        for w, a in zip(whole or [], alone or [], strict=True):
            assert torch.allclose(w[i : i + 1], a, rtol=1e-7, atol=1e-12)


class Captioned(nn.Module):
    """An image by keyword, as in transformers, and a mask of integers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 2), nn.Linear(4, 3)

    def forward(self, *, mask: Tensor, pixel_values: Tensor) -> dict[str, Tensor]:
        x = torch.relu(self.two(torch.relu(self.one(pixel_values)))).mean(dim=(2, 3))
        return {"logits": self.out(x * mask)}


def captioned(dtype: torch.dtype) -> tuple[nn.Module, dict[str, Tensor]]:
    x = {"mask": torch.ones(3, 1, dtype=torch.long), "pixel_values": numbers(3, 2, 6, 6).to(dtype)}
    return seeded(Captioned).to(dtype), x


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_map_has_the_inputs_structure_shape_and_dtype(method: str, dtype: torch.dtype) -> None:
    model, x = captioned(dtype)
    found = cp.attribute(cp.Network(model), x, method)
    assert list(found) == ["mask", "pixel_values"]
    assert found["mask"] is None
    assert found["pixel_values"].shape == (3, 2, 6, 6)
    assert found["pixel_values"].dtype == dtype
    assert found["pixel_values"].any()
    assert not found["pixel_values"].requires_grad


@pytest.mark.parametrize("method", [m for m in METHODS if not refusal(m, "keywords")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_several_inputs_have_a_map_each(method: str, dtype: torch.dtype) -> None:
    case = case_of("keywords")
    x = map_tensors(case.x, lambda t: t.to(dtype) if t.is_floating_point() else t)
    found = cp.attribute(cp.Network(case.model.to(dtype)), x, method)
    assert list(found) == ["left", "right", "mask"]
    assert found["mask"] is None
    assert (found["left"].shape, found["right"].shape) == ((3, 3), (3, 4))
    assert (found["left"].dtype, found["right"].dtype) == (dtype, dtype)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", METHODS)
def test_the_callers_gradient_mode_and_random_state_do_not_matter(method: str, mode: Any) -> None:
    model, x = captioned(torch.float64)
    state = {name: t.clone() for name, t in model.state_dict().items()}
    expected = cp.attribute(cp.Network(model), x, method)["pixel_values"]
    torch.manual_seed(11)
    drawn = torch.rand(2)
    torch.manual_seed(11)
    with mode():
        found = cp.attribute(cp.Network(model), x, method)["pixel_values"]
    assert torch.equal(torch.rand(2), drawn)
    assert torch.equal(found, expected)
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.parametrize("method", ALONG_A_PATHWAY)
def test_without_a_pathway_it_finds_the_taylor_pathway(method: str) -> None:
    case = case_of("reused")
    net = cp.Network(case.model)
    given = cp.attribute(net, case.x, method, pathway=pathway_at(case, 0.8))
    assert torch.equal(cp.attribute(net, case.x, method, sparsity=0.8), given)


@pytest.mark.parametrize("method", ALONG_A_PATHWAY)
def test_a_pathway_of_another_network_or_batch_is_refused(method: str) -> None:
    case, other = case_of("reused"), case_of("dense")
    net = cp.Network(case.model)
    with pytest.raises(cp.CritpathError, match="another network or input shape"):
        cp.attribute(net, case.x, method, pathway=pathway_at(other, 0.5))
    with pytest.raises(cp.CritpathError, match="holds 1 samples, the input 3"):
        cp.attribute(net, case.x, method, pathway=pathway_at(case, 0.5).sample(0))


@pytest.mark.parametrize("name", ["nn.ReLU", "reused", "dense", "encoder", "branching", "overwritten"])
def test_a_path_of_all_active_neurons_gives_the_plain_gradient(name: str) -> None:
    """Where the rest is dead; a smooth site has no dead neurons, so there all are kept."""
    case = case_of(name)
    net = cp.Network(case.model)
    active = cp.Pathway(respond(net, case.x).run.values().map(lambda a: a != 0))
    plain = cp.attribute(net, case.x, "gradient")
    assert torch.equal(cp.attribute(net, case.x, "pathway_gradient", pathway=active), plain)


@pytest.mark.parametrize("name", ["nn.ReLU", "reused", "branching", "overwritten", "gated", "windows"])
def test_the_empty_path_gives_zero_where_no_route_bypasses_the_sites(name: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model)
    nothing = cp.Pathway(respond(net, case.x).run.values().map(lambda a: torch.zeros_like(a, dtype=torch.bool)))
    found = maps_of(cp.attribute(net, case.x, "pathway_gradient", pathway=nothing))

    assert all((g == 0).all() for g in found)


def test_the_empty_path_leaves_what_bypasses_the_sites() -> None:
    case = case_of("encoder")
    net = cp.Network(case.model)
    nothing = cp.Pathway(respond(net, case.x).run.values().map(lambda a: torch.zeros_like(a, dtype=torch.bool)))
    assert cp.attribute(net, case.x, "pathway_gradient", pathway=nothing).any()


@pytest.mark.parametrize("name", every_case())
def test_frozen_values_are_those_of_the_network_bit_for_bit(name: str) -> None:
    """The rule m a + (1 - m) stopgrad(a), run as a forward of its own, changes no value."""
    case = case_of(name)
    net = cp.Network(case.model)
    path = pathway_at(case, 0.6)
    plain = net.run(case.x)

    def frozen(site: cp.Site, a: Tensor) -> Tensor:
        return torch.where(path.keep[site.name], a, a.detach())

    again = net.run(case.x, frozen)
    assert all(torch.equal(a, b) for a, b in zip(plain.values().tensors, again.values().tensors, strict=True))
    assert torch.equal(case.logits(plain.output), case.logits(again.output))


# -------------------------------------------------------- Propositions 4 and 5 of the critical-pathways paper
class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 10), nn.Linear(10, 10), nn.Linear(10, 10)])
        self.out = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.out(x)


def frozen_forward(model: Deep, x: Tensor, at: Tensor, keep: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Φ(x; e): neurons off the path are the constants they were at ``at``. Returns output and pre-activations."""
    constants, pre = [], []
    h = at
    for layer in model.layers:
        h = relu(layer(h))
        constants.append(h.detach())
    h = x
    for layer, k, constant in zip(model.layers, keep, constants, strict=True):
        z = layer(h)
        pre.append(z)
        h = torch.where(k, relu(z), constant)
    return model.out(h), pre


def radius(model: Deep, x: Tensor, keep: list[Tensor]) -> float:
    """min |z| / ||∇z|| over the path's neurons in the frozen network (equation 7)."""
    distances = []
    for site, k in enumerate(keep):
        for j in k[0].nonzero().flatten().tolist():
            leaf = x.clone().requires_grad_()
            z = frozen_forward(model, leaf, x, keep)[1][site][0, j]
            norm = torch.autograd.grad(z, leaf)[0].norm() if z.requires_grad else torch.tensor(0.0)
            if norm > 0:
                distances.append(float(z.detach().abs() / norm))
    return min(distances, default=float("inf"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9])
def test_propositions_4_and_5_hold_inside_the_radius(seed: int, sparsity: float) -> None:
    """A path of contributing neurons is locally linear: inside the ball its gradient does not change."""
    torch.manual_seed(seed)
    model = Deep().double().eval()
    x = torch.randn(1, 6, dtype=torch.float64)
    net = cp.Network(model)
    target = int(model(x).argmax())
    path = cp.find_pathway(net, x, "taylor", sparsity)
    keep = list(path.keep.tensors)
    assert path.size > 0
    assert all((a[k] > 0).all() for a, k in zip(respond(net, x).run.values().tensors, keep, strict=True))  # Prop. 5
    ball = radius(model, x, keep)
    assert ball > 0  # Proposition 4
    at_x = cp.attribute(net, x, "pathway_gradient", target=target, pathway=path)
    response = frozen_forward(model, x, x, keep)[0][0, target]
    for trial in range(20):
        step = torch.randn(1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(trial))
        step = 0.999 * min(ball, 1e3) * step / step.norm()
        leaf = (x + step).requires_grad_()
        moved = frozen_forward(model, leaf, x, keep)[0][0, target]
        gradient = torch.autograd.grad(moved, leaf, allow_unused=True)[0] if moved.requires_grad else None
        gradient = torch.zeros_like(x) if gradient is None else gradient
        assert torch.allclose(gradient, at_x, atol=1e-12)
        assert torch.allclose(moved, response + (at_x * step).sum(), atol=1e-9)
