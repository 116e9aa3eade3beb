"""Models that mislead: coincidences of sizes, ways that depend on the data, odd modules and flags."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.reference.twins import ARCHITECTURES, case_of
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import critpath as cp
from critpath import errors
from critpath.network import sample_of


def x(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def built(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


def assert_batch_equals_loop(model: nn.Module, inputs: Any, batch: int, target: Any = 0) -> None:
    net = cp.Network(model)
    whole = cp.score(net, inputs, target=target)
    for i in range(batch):
        alone = cp.score(cp.Network(model), sample_of(inputs, i), target=target)
        assert alone.space.difference(whole.space) == ""
        assert torch.allclose(whole.sample(i).flatten(), alone.flatten(), rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------------------ which dimension is the batch
class Frames(nn.Module):
    """Frames folded into the batch; their convolution has four channels."""

    def __init__(self, time_first: bool = False) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.time_first = time_first

    def forward(self, t: Tensor) -> Tensor:
        b, f = t.shape[:2]
        folded = (t.transpose(0, 1) if self.time_first else t).flatten(0, 1)
        h = F.relu(self.conv(folded)).mean((2, 3))
        h = h.unflatten(0, (f, b)).transpose(0, 1) if self.time_first else h.unflatten(0, (b, f))
        return self.out(F.relu(h.mean(1)))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6])
def test_folded_frames_whatever_the_batch(batch: int) -> None:
    model = built(Frames())
    inputs = x(batch, 3, 3, 5, 5)
    assert cp.Network(model).sites(inputs).sites[0].shape == (3, 4, 3, 3)
    assert_batch_equals_loop(model, inputs, batch)


def test_time_first_frames_belong_to_no_sample_and_are_left_out() -> None:
    found = cp.Network(built(Frames(time_first=True))).doctor(x(4, 3, 3, 5, 5))
    assert [r.site.name for r in found.sites] == ["#1"]
    assert ("#0", "has no dimension that counts samples") in found.not_covered


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("batch", [1, 2, 4, 6])
def test_the_same_sites_at_every_batch_size(name: str, batch: int) -> None:
    case = case_of(name)
    three = cp.Network(case.model).sites(case.x)

    def resized(t: Tensor) -> Tensor:
        return torch.cat([t, t])[:batch]

    inputs = resized(case.x) if isinstance(case.x, Tensor) else (
        {k: resized(v) for k, v in case.x.items()} if isinstance(case.x, dict) else tuple(map(resized, case.x))
    )  # fmt: skip
    assert cp.Network(case.model).sites(inputs).difference(three) == ""


class Picked(nn.Module):
    """Only some rows go through the layer, as in a mixture of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.out = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, t: Tensor) -> Tensor:
        rows = t.flatten(0, 1)
        pick = torch.tensor([0, 1, 2])
        rows = rows.index_put((pick,), F.relu(self.one(rows[pick])))
        return self.out(torch.tanh(rows.unflatten(0, t.shape[:2])).mean(1))


def test_rows_that_are_as_many_as_samples_by_chance_are_no_site() -> None:
    net = cp.Network(built(Picked()))
    assert net.sites(x(3, 4, 4)).names == ("#1",)


class Tokens(nn.Module):
    """A table, a gate and a position table: only what tokens go through is a site."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(9, 5), nn.Parameter(torch.randn(4, 5))
        self.gate, self.out = nn.Parameter(torch.randn(4, 5)), nn.Linear(5, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.table(tokens)
        h.relu_()
        h = h * torch.sigmoid(self.gate) + torch.tanh(self.places)
        return self.out(F.relu(h).mean(1))


@pytest.mark.parametrize("batch", [1, 2, 4, 5])
def test_token_models_have_the_same_sites_at_every_batch_size(batch: int) -> None:
    model = built(Tokens())
    tokens = torch.randint(0, 9, (batch, 4), generator=torch.Generator().manual_seed(2))
    assert cp.Network(model).sites(tokens).names == ("#0", "#3")
    assert_batch_equals_loop(model, tokens, batch)
    assert cp.score(cp.Network(model), tokens, target=0)["#0"].any()


def test_an_in_place_call_on_a_bare_table_keeps_its_gradient() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Parameter(torch.randn(9, 5)), nn.Linear(5, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            h = self.table[tokens]
            h.relu_()
            return self.out(h.mean(1))

    model = built(Bare())
    tokens = torch.tensor([[1, 2], [3, 4]])
    expected = F.relu(model.table[tokens]) * model.out.weight[1] / 2
    assert torch.allclose(cp.score(cp.Network(model), tokens, target=1)["#0"], expected)


def test_a_shared_mask_as_long_as_the_batch() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

        def forward(self, t: Tensor, mask: Tensor) -> Tensor:
            return self.out(F.relu(t + self.attention(t, t, t, attn_mask=mask, need_weights=False)[0]).mean(1))

    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    net = cp.Network(built(Masked()))
    for batch in (2, 5):
        assert net.sites((x(batch, 5, 8), mask)).sites[0].shape == (5, 8)
    assert cp.attribute(net, (x(5, 5, 8), mask))[0].shape == (5, 5, 8)


def test_channels_after_squeeze_and_excitation_by_linear_layers() -> None:
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.squeeze, self.out = nn.Conv2d(3, 8, 1), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, t: Tensor) -> Tensor:
            h = self.conv(t)
            h = F.relu(h * torch.sigmoid(self.squeeze(h.mean((2, 3))))[:, :, None, None])
            return self.out(h.mean((2, 3)))

    sites = cp.Network(built(Squeeze())).sites(x(2, 3, 5, 7))
    assert [(s.shape, s.channel_dim) for s in sites] == [((8,), 0), ((8, 5, 7), 0)]


# -------------------------------------------------------------------------------- ways that depend on the data
class Forked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, t: Tensor) -> Tensor:
        h = F.relu(self.one(t))
        if float(t.detach().sum()) > 0:
            h = F.relu(self.two(h))
        return self.out(h)


def test_a_rule_is_asked_at_sites_that_were_never_seen() -> None:
    net = cp.Network(built(Forked()))
    inputs = x(2, 4).abs()
    net.sites(-inputs)
    asked: list[str] = []

    def rule(site: cp.Site, a: Tensor) -> Tensor:
        asked.append(site.name)
        return a * 0

    assert torch.equal(net.run(inputs, rule).output, net.model.out.bias.expand(2, 2))
    assert asked[-2:] == ["#0", "#1"]


class Shy(nn.Module):
    """Pruning it makes it call another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(4, 20), nn.Linear(20, 20), nn.Linear(20, 2)

    def forward(self, t: Tensor) -> Tensor:
        h = F.relu(self.one(t))
        if int((h > 0).sum()) < 5:
            h = F.relu(self.two(h + 1))
        return self.out(h)


def test_pruning_that_changes_the_way_is_an_error_every_time_and_no_number_on_the_page() -> None:
    net = cp.Network(built(Shy()))
    inputs = x(1, 4)
    for _ in range(2):
        with pytest.raises(errors.MismatchError, match="pruning made the network take another way: it called #1"):
            cp.attribute(net, inputs, "prunegrad", sparsity=0.9)
    level = cp.explain(net, inputs, sparsities=[0.9], draws=1).content.levels[0]
    assert level.kept.pathway != level.kept.pathway  # NaN


def test_an_empty_layer_that_divides_by_zero_is_no_number_on_the_page() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.out = nn.Linear(4, 9), nn.Linear(9, 9), nn.Linear(9, 2)

        def forward(self, t: Tensor) -> Tensor:
            h = F.relu(self.one(t))
            return self.out(F.relu(self.two(h / h.norm(dim=1, keepdim=True))))

    found = cp.explain(cp.Network(built(Normed())), x(1, 4), sparsities=[0.5], sparsity=0.94, draws=2)
    assert found.content.levels[-1].kept.pathway != found.content.levels[-1].kept.pathway
    assert "n/a" in found._repr_html_()


def test_what_a_rule_raises_is_its_own() -> None:
    net = cp.Network(built(Forked()))
    with pytest.raises(ZeroDivisionError):
        net.run(x(2, 4), lambda site, a: a * (1 / 0))


# ------------------------------------------------------------------------------------------- odd models
def test_a_module_that_overrides_call() -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(4, 3)

        def __call__(self, t: Tensor) -> Tensor:
            return F.relu(F.linear(t, self.one.weight))

    assert cp.Network(built(Direct())).sites(x(2, 4)).names == ("#0",)


@pytest.mark.parametrize("inside", ["norm", "activation"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_never_ends_in_a_bare_error(inside: str, reentrant: bool) -> None:
    class Saving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm, self.out = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)

        def part(self, t: Tensor) -> Tensor:
            h = self.norm(self.one(t))
            return h if inside == "norm" else torch.tanh(h)

        def forward(self, t: Tensor) -> Tensor:
            return self.out(F.relu(checkpoint(self.part, t, use_reentrant=reentrant)))

    with pytest.raises(errors.UnsupportedModelError):
        cp.score(cp.Network(built(Saving())), x(2, 4))


def test_a_model_that_takes_gradients_as_it_runs() -> None:
    class Forces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(3, 8), nn.Linear(8, 1)

        def forward(self, t: Tensor) -> Tensor:
            t = t if t.requires_grad else t.requires_grad_()
            energy = self.two(torch.tanh(self.one(t)))
            (force,) = torch.autograd.grad(energy.sum(), t, create_graph=True)
            return force

    net = cp.Network(built(Forces()))
    assert net.sites(x(2, 3)).names == ("#0",)
    assert cp.score(net, x(2, 3), target=0).batch == 2


def test_parameters_of_inference_mode_and_parallel_parts_are_refused() -> None:
    with torch.inference_mode():
        made = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    with pytest.raises(errors.UnsupportedModelError, match="inference_mode"):
        cp.Network(made)
    with pytest.raises(errors.UnsupportedModelError, match=r"0 is a DataParallel inside the model"):
        cp.Network(nn.Sequential(nn.DataParallel(nn.Linear(2, 2)), nn.ReLU()).eval())


def test_a_named_tuple_and_a_dict_of_a_module_that_is_a_site() -> None:
    Pair = namedtuple("Pair", "h rest")

    class Inner(nn.Module):
        def __init__(self, as_dict: bool) -> None:
            super().__init__()
            self.one, self.as_dict = nn.Linear(4, 4), as_dict

        def forward(self, t: Tensor) -> Any:
            h = torch.tanh(self.one(t))
            return {"h": h} if self.as_dict else Pair(h, 1)

    class Outer(nn.Module):
        def __init__(self, as_dict: bool = False) -> None:
            super().__init__()
            self.inner, self.out = Inner(as_dict), nn.Linear(4, 2)

        def forward(self, t: Tensor) -> Tensor:
            found = self.inner(t)
            return self.out(found["h"] if isinstance(found, dict) else found.h)

    net = cp.Network(built(Outer()), also=["inner"])
    assert net.sites(x(2, 4)).names == ("inner#0",)
    assert torch.equal(net.run(x(2, 4), lambda site, a: a * 0).output, net.model.out.bias.expand(2, 2))
    with pytest.raises(errors.OptionError, match=r"'inner' .* returns dict"):
        cp.Network(built(Outer(as_dict=True)), also=["inner"]).sites(x(2, 4))


def test_the_fingerprint_follows_parameters_and_buffers() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU()).eval()
    net = cp.Network(model)
    seen = {net.fingerprint()}
    model[0].weight.data = model[0].weight.data * 2
    seen.add(net.fingerprint())
    model[1].running_mean += 3
    seen.add(net.fingerprint())
    with torch.no_grad():
        model[0].bias.add_(1)
    seen.add(net.fingerprint())
    assert len(seen) == 4


def test_exactly_k_where_sites_have_different_precisions() -> None:
    sites = (cp.Site("a", (500,), "relu"), cp.Site("b", (500,), "relu"))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        base = torch.rand(1, 500, generator=generator, dtype=torch.float64)
        values = cp.NeuronValues(cp.NeuronSpace(sites), (base.float(), base + 1e-10))
        assert int(cp.select(values, 0.7).size) == 300


def test_an_interrupt_leaves_nothing() -> None:
    class Slow(nn.Sequential):
        def forward(self, t: Tensor) -> Tensor:
            super().forward(t)
            raise KeyboardInterrupt

    model = built(Slow(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))
    flags = [p.requires_grad for p in model.parameters()]
    with pytest.raises(KeyboardInterrupt):
        cp.score(cp.Network(model), x(2, 4))
    assert [p.requires_grad for p in model.parameters()] == flags
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
