"""Maps over tokens: of what a model looks up for them, one value a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests import tokens as of
from tests.tokens import one, texts
from torch import Tensor, nn
from torch.nn import functional as F

import critpath as cp
from critpath.errors import InputError, OptionError

MODELS: dict[str, Callable[[], nn.Module]] = {**of.HUGGING_FACE, "encoder": of.Encoder}
POINTS, TARGET = 8, 1


def net_of(name: str) -> cp.Network:
    return cp.Network(of.built(MODELS[name]))


def table_of(model: nn.Module) -> nn.Embedding:
    return next(module for module in model.modules() if isinstance(module, nn.Embedding))


def by_hand(model: nn.Module, embedded: Tensor, x: dict[str, Tensor]) -> Tensor:
    """The class scores of a model that is handed its embeddings."""

    def replaced(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return embedded

    handle = table_of(model).register_forward_hook(replaced)
    try:
        output = model(**x)
    finally:
        handle.remove()
    found: Tensor = getattr(output, "logits", output)
    return found


def naive_gradient(model: nn.Module, x: dict[str, Tensor], alpha: float = 1.0, start: Tensor | None = None) -> Tensor:
    end = table_of(model)(x["input_ids"]).detach()
    start = torch.zeros_like(end) if start is None else start
    point = (start + alpha * (end - start)).requires_grad_()
    return torch.autograd.grad(by_hand(model, point, x)[:, TARGET].sum(), point)[0]


def naive_integrated(model: nn.Module, x: dict[str, Tensor], start: Tensor | None = None) -> Tensor:
    """(e - e') ∫ dΦ/de dα, summed over features."""
    end = table_of(model)(x["input_ids"]).detach()
    direction = end if start is None else end - start
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    pairs = zip((nodes + 1) / 2, weights / 2, strict=True)
    return sum(w * direction * naive_gradient(model, x, a, start) for a, w in pairs).sum(2)


@pytest.mark.parametrize("name", list(MODELS))
def test_gradient_and_integrated_gradients_equal_their_definitions(name: str) -> None:
    net, x = net_of(name), texts()
    options = {"target": TARGET}
    gradient = naive_gradient(net.model, x)
    found = cp.attribute(net, x, "gradient", **options)
    assert torch.allclose(found["input_ids"], gradient.norm(dim=2), rtol=1e-7, atol=1e-12)
    assert found["attention_mask"] is None
    each = cp.attribute(net, x, "gradient", embedding="each", **options)["input_ids"]
    assert torch.allclose(each, gradient, rtol=1e-7, atol=1e-12)
    total = cp.attribute(net, x, "gradient", embedding="sum", **options)["input_ids"]
    assert torch.allclose(total, gradient.sum(2), rtol=1e-7, atol=1e-12)
    maps = cp.attribute(net, x, "integrated_gradients", points=POINTS, **options)["input_ids"]
    assert torch.allclose(maps, naive_integrated(net.model, x), rtol=1e-7, atol=1e-12)


def naive_conductance(model: nn.Module, module: nn.Module, mask: Tensor, x: dict[str, Tensor]) -> Tensor:
    """Equation 2 for the neurons in ``mask`` of an activation module's output, summed over features."""
    end = table_of(model)(x["input_ids"]).detach()
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    total = torch.zeros_like(end)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        point, seen = (float(node) * end).requires_grad_(), []
        handle = module.register_forward_hook(lambda m, args, output, seen=seen: seen.append(output))
        value = by_hand(model, point, x)[:, TARGET].sum()
        handle.remove()
        (above,) = torch.autograd.grad(value, seen[0], retain_graph=True)
        (below,) = torch.autograd.grad(seen[0], point, above * mask)
        total += float(weight) * end * below
    return total.sum(2)


@pytest.mark.parametrize("name", list(of.HUGGING_FACE))
def test_conductance_maps_equal_equation_2(name: str) -> None:
    net, x = net_of(name), texts()
    site = of.MLPS[name][1][0]
    module = net.model.get_submodule(site.partition("#")[0])
    masks = {"site": torch.ones(1, 1), "channel": torch.zeros(1, 12 if name != "gpt2" else 32), "neuron": None}
    masks["channel"][0, 3] = 1
    masks["neuron"] = torch.zeros(6, masks["channel"].shape[1])
    masks["neuron"][2, 3] = 1
    units = {"site": [site], "channel": [cp.Channel(site, 3)], "neuron": [cp.Neuron(site, (2, 3))]}
    found = cp.conductance_maps(net, x, units, target=TARGET, points=POINTS)
    assert found.maps["input_ids"].shape == (3, 3, 6)
    assert found.maps["attention_mask"] is None
    for unit, mask in masks.items():
        expected = naive_conductance(net.model, module, mask, x)
        assert torch.allclose(found[unit]["input_ids"], expected, rtol=1e-6, atol=1e-12), unit


@pytest.mark.parametrize("baseline", [None, "padding", torch.tensor([7])])
def test_maps_add_up_to_the_change_of_the_response(baseline: Any) -> None:
    net, x = net_of("bert"), texts()
    ids = x["input_ids"]
    table = table_of(net.model)
    other = {None: None, "padding": 0}.get(baseline, 7) if not isinstance(baseline, Tensor) else 7
    start = torch.zeros_like(table(ids)) if other is None else table(torch.full_like(ids, other))
    change = (by_hand(net.model, table(ids), x) - by_hand(net.model, start, x))[:, TARGET]
    options = {"target": TARGET, "baseline": baseline, "points": 32}
    maps = cp.attribute(net, x, "integrated_gradients", **options)["input_ids"]
    assert torch.allclose(maps.sum(1), change, rtol=1e-3, atol=1e-8)
    through = cp.conductance_maps(net, x, ["bert.pooler.activation#0"], **options)  # all passes it
    assert torch.allclose(through.maps["input_ids"][0].sum(1), change, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize(
    "baseline",
    [
        torch.full((3, 6), 4),
        torch.full((6,), 4),
        {"input_ids": torch.full((1, 6), 4), "attention_mask": torch.ones(3, 6).long()},
        [torch.tensor(4), torch.full((3, 6), 4)],
    ],
)
def test_tokens_are_a_baseline_in_several_forms(baseline: Any) -> None:
    net, x = net_of("bert"), texts()
    start = table_of(net.model)(torch.full((3, 6), 4)).detach()
    found = cp.attribute(net, x, "integrated_gradients", target=TARGET, baseline=baseline, points=POINTS)["input_ids"]
    assert torch.allclose(found, naive_integrated(net.model, x, start), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("baseline", "why"),
    [
        ("mean", "holds tokens only, and the baseline is 'mean'"),
        (0.5, "holds tokens only"),
        (torch.zeros(3, 6), "holds tokens only"),
        (torch.zeros(3, 5).long(), r"shape \[3, 5\], the input's tokens \[3, 6\]"),
        ({"input_ids": torch.zeros(3, 6).long()}, "has the entries"),
        ("nothing", "holds tokens only"),
    ],
)
def test_what_is_no_baseline_of_tokens_is_refused(baseline: Any, why: str) -> None:
    with pytest.raises(cp.CritpathError, match=why):
        cp.attribute(net_of("bert"), texts(), "integrated_gradients", baseline=baseline, points=2)


def test_padding_needs_an_embedding_that_names_it() -> None:
    with pytest.raises(OptionError, match=r"transformer\.wte names no padding_idx"):
        cp.attribute(net_of("gpt2"), texts(), "integrated_gradients", baseline="padding", points=2)
    image = cp.Network(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval())
    with pytest.raises(InputError, match="'padding' is one of tokens"):
        cp.attribute(image, torch.ones(2, 3), "integrated_gradients", baseline="padding", points=2)


DRAWING = ("random", "smoothgrad")
"""Methods whose noise depends on the shape of a sample, so that padding changes it."""

PADDED: dict[str, dict[str, Any]] = {
    "gradient": {},
    "input_gradient": {},
    "integrated_gradients": {"points": POINTS},
    "conductance": {"points": POINTS},
    "prune_pgd": {"sparsity": 0, "steps": 3},
}


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("method", list(PADDED))
def test_a_padded_batch_equals_a_loop_over_texts_without_padding(name: str, method: str) -> None:
    net, x, options = net_of(name), texts(), {"target": TARGET, **PADDED[method]}
    whole = cp.attribute(net, x, method, **options)["input_ids"]
    for i in range(3):
        alone = one(x, i)
        length = alone["input_ids"].shape[1]
        expected = cp.attribute(net, alone, method, **options)["input_ids"]
        assert torch.allclose(whole[i : i + 1, :length], expected, rtol=1e-6, atol=1e-10)
        assert (whole[i, length:].abs() <= 1e-12 * whole[i].abs().max()).all()


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("method", ["taylor", "gradient_activation", "conductance"])
def test_scores_of_a_padded_batch_are_those_of_the_texts(name: str, method: str) -> None:
    net, x = net_of(name), texts()
    options = {"points": 5, "rule": "trapezoid"} if method == "conductance" else {}
    whole = cp.score(net, x, method, target=TARGET, **options)
    for i in range(3):
        alone = cp.score(net, one(x, i), method, target=TARGET, **options)
        for site in alone.space:
            got, expected = whole[site.name][i : i + 1], alone[site.name]
            if len(site.shape) > 1:
                rest = got[:, expected.shape[1] :]
                assert (rest.abs() <= 1e-12 * got.abs().max()).all()
                got = got[:, : expected.shape[1]]
            assert torch.allclose(got, expected, rtol=1e-6, atol=1e-10), site.name


@pytest.mark.parametrize("method", ["pathway_gradient", "pathway_average", "prunegrad"])
def test_a_pathway_of_a_padded_text_has_no_padded_neuron(method: str) -> None:
    """Their scores are 0; they count in the number of neurons, so a share of these is more than of the text's own."""
    net, x = net_of("encoder"), texts((6, 3))
    path = cp.find_pathway(net, x, "taylor", 0.9, target=TARGET)
    assert all(not keep[1, 3:].any() for keep in path.keep.tensors)
    alone = cp.find_pathway(net, one(x, 1), "taylor", 0.8, target=TARGET)
    assert int(alone.size) == int(path.size[1])
    kept = [keep[1:2, :3] for keep in path.keep.tensors]
    assert all(torch.equal(a, b) for a, b in zip(kept, alone.keep.tensors, strict=True))
    found = cp.attribute(net, x, method, target=TARGET)["input_ids"]
    assert not found[1, 3:].any()
    assert found[1, :3].any()


def test_lookups_in_several_tables_count_together() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Embedding(9, 4), nn.Embedding(9, 3)
            self.out = nn.Linear(7, 3)

        def forward(self, ids: Tensor) -> Tensor:
            return self.out(F.relu(torch.cat([self.one(ids), self.two(ids)], dim=2)).mean(1))

    torch.manual_seed(0)
    net, ids = cp.Network(Two().double().eval()), torch.tensor([[1, 2, 3]])
    joined = torch.cat([net.model.one(ids), net.model.two(ids)], dim=2).detach()
    gradient = (joined > 0) * net.model.out.weight[0] / 3
    assert torch.allclose(cp.attribute(net, ids, "gradient", target=0), gradient.norm(dim=2))
    assert torch.allclose(cp.attribute(net, ids, "input_gradient", target=0), (joined * gradient).sum(2))
    with pytest.raises(OptionError, match=r"same features, and these have \[4\], \[3\]"):
        cp.attribute(net, ids, "gradient", target=0, embedding="each")


def test_how_features_become_tokens_is_checked() -> None:
    net, x = net_of("bert"), texts()
    with pytest.raises(OptionError, match="embedding"):
        cp.attribute(net, x, "gradient", embedding="mean")
    image = cp.Network(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval())
    with pytest.raises(OptionError, match="for maps over tokens, and this input has none"):
        cp.attribute(image, torch.ones(2, 3), "gradient", embedding="l2")


def test_a_layer_norm_after_the_embedding_makes_the_sum_of_a_gradient_zero() -> None:
    """So the length of a gradient is what is told by default."""
    net, x = net_of("bert"), texts()
    total = cp.attribute(net, x, "gradient", target=TARGET, embedding="sum")["input_ids"]
    length = cp.attribute(net, x, "gradient", target=TARGET)["input_ids"]
    assert (total.abs() < 1e-12 * length.max()).all()
    assert (length[x["attention_mask"] == 1] > 1e-6).all()


def test_integers_that_are_changed_out_of_their_places_are_told() -> None:
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look, self.out = nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, ids: Tensor) -> Tensor:
            return self.out(F.relu(self.look(ids.sort(dim=1).values)).mean(1))

    net = cp.Network(Sorted().eval())
    with pytest.raises(InputError, match=r"no lookup of them in an embedding was seen.*'input_ids', or the first"):
        cp.attribute(net, torch.tensor([[3, 1, 2]]))
