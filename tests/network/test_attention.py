"""Attention's heads as sites."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests import tokens as of
from tests.tiny import numbers
from torch import Tensor, nn
from torch.nn import functional as F

import critpath as cp
from critpath.errors import NoSitesError


class Attends(nn.Module):
    """nn.MultiheadAttention and a ReLU, on [batch, tokens, 8]."""

    def __init__(self, need_weights: bool = False, batch_first: bool = True) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.out, self.need_weights, self.batch_first = nn.Linear(8, 3), need_weights, batch_first

    def forward(self, x: Tensor) -> Tensor:
        given = x if self.batch_first else x.transpose(0, 1)
        found, _ = self.attention(given, given, given, need_weights=self.need_weights)
        return self.out(F.relu(found if self.batch_first else found.transpose(0, 1)).mean(1))


def by_hand(model: Attends, x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """What the heads give [batch, heads, tokens, 4], and the output with each times ``keep`` [heads]."""
    own = model.attention
    parts = F.linear(x, own.in_proj_weight, own.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in parts)
    heads = (q @ k.mT / 2).softmax(-1) @ v
    joined = own.out_proj((heads * keep.view(2, 1, 1)).transpose(1, 2).flatten(2))
    return heads, model.out(F.relu(joined).mean(1))


def attends(**options: bool) -> Attends:
    torch.manual_seed(1)
    return Attends(**options).double().eval()


@pytest.mark.parametrize("batch_first", [True, False])
def test_heads_inside_torchs_attention_are_seen_and_rewritten(batch_first: bool) -> None:
    model, x = attends(batch_first=batch_first), numbers(3, 5, 8)
    net, kernel = cp.Network(model, attention=True), F.multi_head_attention_forward
    heads, plain = by_hand(model, x, torch.ones(2))
    run = net.run(x)
    site = run.space["attention#0"]
    assert (site.shape, site.kind, site.channel_dim, site.channels) == ((2, 5, 4), "attention", 0, 2)
    assert torch.allclose(run.activation("attention#0"), heads, atol=1e-12)
    assert torch.allclose(run.output, plain, atol=1e-12)
    scores = cp.score(net, x, "ablation", target=1, by=[cp.Channel("attention#0", h) for h in (0, 1)])
    for head in (0, 1):
        without = by_hand(model, x, torch.arange(2) != head)[1]
        assert torch.allclose(scores.values[:, head], (plain - without)[:, 1], atol=1e-12)
    assert F.multi_head_attention_forward is kernel


def test_without_attention_nothing_changes() -> None:
    assert cp.Network(attends()).sites(numbers(3, 5, 8)).names == ("#0",)


@pytest.mark.parametrize("make", [lambda: attends(need_weights=True), lambda: of.built(lambda: nn.Linear(8, 3))])
def test_a_model_without_visible_attention_says_so(make: Callable[[], nn.Module]) -> None:
    net = cp.Network(nn.Sequential(make(), nn.ReLU()).eval(), attention=True)
    with pytest.raises(NoSitesError, match=r"calls scaled_dot_product_attention nowhere.*need_weights=False"):
        net.run(numbers(3, 5, 8))


@pytest.mark.parametrize("name", ["bert", "llama", "encoder"])
def test_a_batch_of_heads_equals_a_loop(name: str) -> None:
    net = cp.Network(of.built(of.HUGGING_FACE.get(name, of.Encoder)), attention=True)
    x = of.texts((6, 6, 6))
    sites = [site for site in net.sites(x) if site.kind == "attention"]
    assert [site.shape for site in sites] == [(2, 6, 4)] * 2
    methods = {"taylor": {}, "conductance": {"points": 3, "rule": "trapezoid"}}
    for method, options in methods.items():
        whole = cp.score(net, x, method, target=1, by="channels", **options)
        for i in range(3):
            alone = cp.score(net, of.one(x, i), method, target=1, by="channels", **options)
            assert torch.allclose(whole.values[i : i + 1], alone.values, rtol=1e-7, atol=1e-11)


def test_heads_share_out_the_response() -> None:
    """Everything passes the attention, so its heads' conductances add up to the change of the response."""
    model, x = attends(), numbers(3, 5, 8)
    net, line = cp.Network(model, attention=True), {"points": 257, "rule": "trapezoid"}
    scores = cp.score(net, x, "conductance", target=1, by="channels", **line)
    heads = scores.values[:, [name.startswith("attention#0") for name in scores.names]]
    change = (model(x) - model(0 * x))[:, 1]
    assert heads.shape == (3, 2)
    assert torch.allclose(heads.sum(1), change, rtol=1e-3)


def test_eager_attention_of_transformers_has_no_kernel() -> None:
    model = of.built(lambda: of.bert(attn_implementation="eager"))
    with pytest.raises(NoSitesError, match="attn_implementation='sdpa'"):
        cp.Network(model, attention=True).run(of.texts())
