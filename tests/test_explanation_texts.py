"""The maps of a text, each computed again by calling the model with embeddings by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import critpath as cp
from critpath import zoo
from critpath.errors import InputError
from critpath.explanation.texts import FEWER, LONG, MORE, POINTS, Control, text_of
from critpath.lines.quadrature import gauss
from tests import texts, tiny

WORDS = ["not", "read", "##ing", "<b>", "film"]
IDS = torch.tensor([[3, 1, 4, 1, 5]])
SPARSITIES = (0.6, 0.85)


class Windows(nn.Module):
    """An embedding, windows of three tokens, ReLU, a mean over the windows, another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.windows = nn.Embedding(9, 4), nn.Conv1d(4, 6, 3, padding=1)
        self.middle, self.last = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.above(self.windows(self.table(tokens).mT).relu())

    def above(self, hidden: Tensor) -> Tensor:
        return self.last(self.middle(hidden.mean(-1)).relu())


def naive(model: Windows, start: Tensor, keep: list[Tensor], target: int) -> Tensor:
    """(e - e') ∫ ∇ of the response, neurons that are not kept standing still, summed over features: [1, length]."""
    end = model.table(IDS).detach()
    total = torch.zeros(IDS.shape, dtype=torch.float64)
    for alpha, weight in zip(*gauss(POINTS), strict=True):
        e = (start + float(alpha) * (end - start)).requires_grad_()
        hidden = model.windows(e.mT).relu()
        hidden = torch.where(keep[0], hidden, hidden.detach())
        second = model.middle(hidden.mean(-1)).relu()
        second = torch.where(keep[1], second, second.detach())
        gradient = torch.autograd.grad(model.last(second)[0, target], e)[0]
        total += float(weight) * (gradient * (end - start)).sum(-1)
    return total


@pytest.fixture(scope="module")
def model() -> Windows:
    made = tiny.seeded(Windows)
    assert isinstance(made, Windows)
    return made


@pytest.fixture(scope="module")
def found(model: Windows) -> cp.Explanation:
    return cp.explain(cp.Network(model), IDS, words=WORDS, sparsity=0.85, sparsities=SPARSITIES, top=3, draws=2)


@pytest.fixture(scope="module")
def target(model: Windows) -> int:
    return int(model(IDS).argmax())


class TestNumbers:
    def test_maps(self, found: cp.Explanation, model: Windows, target: int) -> None:
        everything = [torch.ones(1, 6, 5, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool)]
        start = torch.zeros(1, 5, 4).double()
        assert torch.allclose(found.gradient, naive(model, start, everything, target))
        assert found.gradient.shape == (1, 5)
        whole = cp.attribute(cp.Network(model), IDS, "integrated_gradients", target, points=POINTS)
        assert torch.allclose(found.gradient, whole)
        assert not np.allclose(*(level.map for level in found.content.levels))
        for level in found.content.levels:
            keep = list(cp.select(found.scores, level.requested).keep.tensors)
            own = naive(model, start, keep, target)
            assert np.allclose(level.map, own[0].numpy(), atol=1e-6)
        assert (found.gradient < 0).any()
        assert torch.allclose(found.map, naive(model, start, list(found.pathway.keep.tensors), target))
        assert torch.equal(found.map, found.pathway_gradient)

    def test_another_baseline(self, model: Windows, target: int) -> None:
        other = torch.tensor([[3, 0, 0, 0, 5]])
        found = cp.explain(
            cp.Network(model), IDS, words=WORDS, sparsities=(0.85,), sparsity=0.85, baseline=other, top=2
        )
        start = model.table(other).detach()
        assert torch.allclose(found.map, naive(model, start, list(found.pathway.keep.tensors), target))
        assert not found.map[0, [0, 4]].any()
        assert not any(unit.where[[0, 4]].any() for unit in found.content.top_channels)
        assert found.content.baseline == "the baseline given"

    def test_top_units(self, found: cp.Explanation, model: Windows, target: int) -> None:
        net, sites = cp.Network(model), found.scores.space.names
        (channel, *_), (neuron, *_) = found.content.top_channels, found.content.top_neurons
        number = int(channel.unit.split()[1].rstrip(","))
        flow = cp.conductance_maps(net, IDS, [cp.Channel(sites[0], number)], target, points=POINTS).maps
        assert np.allclose(channel.where, flow[0, 0].numpy(), atol=1e-6)
        total = cp.score(net, IDS, "conductance", target, by=[cp.Channel(sites[0], number)], points=64)
        assert float(channel.where.sum()) == pytest.approx(float(total.values[0, 0]), rel=0.2)
        assert neuron.contribution == pytest.approx(float(max(found.scores.flatten()[0], key=abs)))
        places = [unit.unit for unit in found.content.top_neurons if unit.site == sites[0]]
        assert all("at “" in place and "(token " in place for place in places)

    def test_the_map_of_the_whole_network_adds_up(self, found: cp.Explanation, model: Windows, target: int) -> None:
        silent = model.above(model.windows(torch.zeros(1, 4, 5).double()).relu()).detach()[0, target]
        change = float(model(IDS).detach()[0, target] - silent)
        assert float(found.gradient.sum()) == pytest.approx(change, rel=0.05)
        said = dict(found.content.provenance)["Map of the whole network"]
        assert said.startswith(f"adds up to {float(found.gradient.sum()):.4g} of {change:.4g}")

    def test_a_long_text_has_fewer_points(self, model: Windows) -> None:
        ids = torch.arange(LONG + 1).remainder(9).unsqueeze(0)
        found = cp.explain(cp.Network(model), ids, sparsities=(0.6,), sparsity=0.6, top=1, draws=1)
        said = dict(found.content.provenance)["Map of the whole network"]
        assert said.endswith((f"({FEWER} points)", f"({MORE * FEWER} points)"))
        text = text_of(ids, None, None)
        assert text is not None
        assert text.points == FEWER
        assert found.content.tokens[4].text == "#4"

    @pytest.mark.parametrize("name", texts.KINDS)
    def test_transformers(self, name: str) -> None:
        """Against integrated gradients of the model called with embeddings."""
        pytest.importorskip("transformers")
        stated, config, _ = texts.configuration(name)
        config.pad_token_id = 0  # decoders need one to take several points of the line at once
        kind = getattr(texts.import_transformers(), stated)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = kind(config).double().eval()
            for parameter in made.parameters():
                nn.init.normal_(parameter, 0.0, 0.2)
        ids = torch.tensor([[5, 9, 11, 7]])
        x = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        found = cp.explain(cp.Network(made), x, 1, sparsities=(0.5,), sparsity=0.5, top=2, draws=1)
        end = made.get_input_embeddings()(ids).detach()
        total = torch.zeros(1, 4).double()
        for alpha, weight in zip(*gauss(POINTS), strict=True):
            e = (float(alpha) * end).requires_grad_()
            gradient = torch.autograd.grad(made(inputs_embeds=e, attention_mask=x["attention_mask"]).logits[0, 1], e)[0]
            total += float(weight) * (gradient * end).sum(-1)
        assert torch.allclose(found.gradient, total, atol=1e-8)
        assert found.content.top_neurons[0].where.shape == (4,)


class TestInputs:
    def test_words(self, found: cp.Explanation) -> None:
        assert [token.text for token in found.content.tokens] == ["not", "read", "ing", "<b>", "film"]
        assert [token.joined for token in found.content.tokens] == [False, False, True, False, False]

    def test_without_words_tokens_have_their_numbers(self, model: Windows) -> None:
        found = cp.explain(cp.Network(model), IDS, sparsities=(0.6,), sparsity=0.6, top=0, draws=0)
        assert [token.text for token in found.content.tokens] == ["#3", "#1", "#4", "#1", "#5"]
        assert found.content.top_neurons == ()

    def test_words_have_to_fit(self, model: Windows) -> None:
        with pytest.raises(InputError, match=r"tokens are \[1, 5\], and there are 4 words"):
            cp.explain(cp.Network(model), IDS, words=WORDS[:4])
        with pytest.raises(InputError, match="holds no tokens"):
            cp.explain(cp.Network(tiny.seeded(tiny.MLP)), tiny.numbers(1, 6), words=WORDS)

    def test_one_text_at_a_time(self, model: Windows) -> None:
        with pytest.raises(InputError, match="a batch of one, got 2"):
            cp.explain(cp.Network(model), IDS.repeat(2, 1), words=WORDS)

    @pytest.mark.parametrize(
        ("method", "baseline"), [("taylor", "zero"), ("conductance", IDS * 0), ("intgrad", IDS * 0), ("taylor", None)]
    )
    def test_a_baseline_goes_with_every_method(self, method: str, baseline: Any, model: Windows) -> None:
        options = {} if baseline is None else {"baseline": baseline}
        found = cp.explain(
            cp.Network(model), IDS, method=method, sparsities=(0.6,), sparsity=0.6, top=1, draws=0, **options
        )
        assert found.map.any()

    def test_a_mask_of_floats_is_no_input_to_show(self) -> None:
        class Masked(Windows):
            def forward(self, input_ids: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]
                return self.above(self.windows((self.table(input_ids) * weight.unsqueeze(-1)).mT).relu())

        x = {"input_ids": IDS, "weight": torch.ones(1, 5).double()}
        found = cp.explain(
            cp.Network(tiny.seeded(Masked)), x, words=WORDS, sparsities=(0.6,), sparsity=0.6, top=2, draws=0
        )
        assert found.map.shape == (1, 5)
        assert found.content.tokens


class TestShown:
    def test_json_has_the_maps(self, found: cp.Explanation) -> None:
        content = json.loads(found.to_json())
        assert content["tokens"][2] == {"text": "ing", "joined": True, "special": False, "unknown": False}
        assert content["plain"] == pytest.approx(found.gradient[0].tolist(), rel=1e-3)
        assert content["levels"][1]["map"] == pytest.approx(found.map[0].tolist(), rel=1e-3)
        assert len(content["top_channels"][0]["where"]) == 5

    def test_the_page(self, found: cp.Explanation) -> None:
        page = found._repr_html_()
        assert "&amp;lt;b&amp;gt;" in page
        assert "embeddings of zeros" in page

    def test_cautions_come_first(self, model: Windows) -> None:
        found = cp.explain(
            cp.Network(model), IDS, sparsities=(0.6,), sparsity=0.6, top=0, draws=0, cautions=["Cut off."]
        )
        assert found.content.warnings[0] == "Cut off."


def test_the_names_of_places_need_a_position_for_each_token() -> None:
    class Pooled(Windows):
        def forward(self, tokens: Tensor) -> Tensor:
            return self.last(self.middle(self.windows(self.table(tokens).mT).amax(-1).unsqueeze(1)).relu().mean(1))

    build: Callable[[], nn.Module] = Pooled
    found = cp.explain(cp.Network(tiny.seeded(build)), IDS, words=WORDS, sparsities=(0.6,), sparsity=0.6, draws=0)
    assert not any("token" in unit.unit for unit in found.content.top_neurons)


class TestGivenWrongly:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"words": [WORDS]}, r"words=tokens\.words\[0\]"),
            ({"words": "The film"}, "words is the string 'The film'"),
            ({"classes": ["good", "bad"]}, "2 names, and the output has 3 scores"),
        ],
    )
    def test_words_and_classes(self, options: dict[str, Any], said: str, model: Windows) -> None:
        with pytest.raises(InputError, match=said):
            cp.explain(cp.Network(model), IDS, **options)

    def test_no_batch(self, model: Windows) -> None:
        with pytest.raises(InputError, match="without the dimension of the batch"):
            cp.explain(cp.Network(model), IDS[0], words=WORDS)

    def test_tokens_whole(self, model: Windows) -> None:
        tokens = zoo.OwnTokenizer(lambda text: (WORDS, IDS[0]))(["any"])
        found = cp.explain(cp.Network(model), tokens, sparsities=(0.6,), sparsity=0.6, top=0, draws=0)
        assert [token.text for token in found.content.tokens][:2] == ["not", "read"]
        with pytest.raises(InputError, match=r"Tokens their \.x"):
            cp.attribute(cp.Network(model), tokens, "gradient")


class TestConvergence:
    def test_a_norm_right_after_the_embedding(self) -> None:
        """From zero all of the change lies next to zero; from other tokens it does not."""

        class Normed(Windows):
            def forward(self, tokens: Tensor) -> Tensor:
                e = self.table(tokens)
                return self.above(self.windows((e / (e.square().mean(-1, keepdim=True) + 1e-6).sqrt()).mT).relu())

        net, short = cp.Network(tiny.seeded(Normed)), {"sparsities": (0.6,), "sparsity": 0.6, "top": 0, "draws": 0}
        found = cp.explain(net, IDS, words=WORDS, cautions=["Cut off."], **short)  # type: ignore[arg-type]
        assert "have not converged" in found.content.warnings[1]
        assert f"{float(found.gradient.sum()):.4g}, and the response changes by" in found.content.warnings[1]
        assert "--baseline padding" in json.loads(found.to_json())["warnings"][1]
        other = cp.explain(net, IDS, words=WORDS, baseline=IDS * 0 + 2, **short)  # type: ignore[arg-type]
        assert not any("converged" in warning for warning in other.content.warnings)

    @pytest.mark.parametrize(
        ("total", "change", "size", "fine"),
        [(1.05, 1.0, 1.0, True), (1.2, 1.0, 1.0, False), (0.3, 0.0, 40.0, True), (2.94, 0.174, 6.0, False)],
    )
    def test_when(self, total: float, change: float, size: float, fine: bool) -> None:
        control = Control(total, change, size, "zero", (64, 16))
        assert control.converged is fine
        assert bool(control.warnings) is not fine


def test_labels_that_do_not_exclude_each_other(model: Windows) -> None:
    class Labels(Windows):
        config = type("Config", (), {"problem_type": "multi_label_classification"})

    made = tiny.seeded(Labels)
    found = cp.explain(cp.Network(made), IDS, sparsities=(0.6,), sparsity=0.6, top=0, draws=0).content
    best = found.predictions[0]
    assert best.probability == pytest.approx(1 / (1 + np.exp(-best.logit)))
    assert any("do not add up to 100%" in caveat for caveat in found.caveats)
