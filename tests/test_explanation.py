"""The numbers of an explanation, each computed again in plain PyTorch."""

from __future__ import annotations

import html
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import critpath as cp
from critpath.errors import InputError, NumericalError, OptionError, StorageError
from critpath.selection import random_within
from tests import tiny

SPARSITIES = (0.3, 0.8, 0.99)


def run(model: nn.Sequential, x: Tensor, masks: tuple[Tensor, ...] | None = None, freeze: bool = False) -> Any:
    """A chain with ReLUs, its neurons off the mask frozen or set to zero; output and activations."""
    activations = []
    given = iter(masks or ())
    for module in model:
        if not isinstance(module, nn.ReLU):
            x = module(x)
            continue
        x = torch.relu(x)
        activations.append(x)
        if masks is not None:
            mask = next(given)
            x = torch.where(mask, x, x.detach() if freeze else torch.zeros_like(x))
    return x, activations


def gradient(model: nn.Sequential, x: Tensor, target: int, masks: tuple[Tensor, ...] | None = None) -> Tensor:
    x = x.clone().requires_grad_()
    out, _ = run(model, x, masks, freeze=True)
    return torch.autograd.grad(out[0, target], x)[0]


def naive_scores(model: nn.Sequential, x: Tensor, target: int) -> list[Tensor]:
    out, activations = run(model, x.clone().requires_grad_())
    return [a.detach() * g for a, g in zip(activations, torch.autograd.grad(out[0, target], activations), strict=True)]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return tiny.NETWORKS["conv"].build()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return tiny.NETWORKS["conv"].inputs(1)


@pytest.fixture(scope="module")
def found(model: nn.Module, x: Tensor) -> cp.Explanation:
    return cp.explain(cp.Network(model), x, sparsity=0.9, sparsities=SPARSITIES, seed=5, draws=3)


@pytest.fixture(scope="module")
def target(model: nn.Module, x: Tensor) -> int:
    return int(model(x).argmax())


class TestNumbers:
    def test_predictions(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        logits = model(x)[0].detach()
        order = logits.argsort(descending=True).tolist()
        assert [p.label for p in found.content.predictions] == [f"class {i}" for i in order]
        assert [p.logit for p in found.content.predictions] == pytest.approx(logits[order].tolist())
        assert sum(p.probability for p in found.content.predictions) == pytest.approx(1)
        assert found.content.response == pytest.approx(float(logits[target]))
        assert found.content.target == f"class {target}"

    def test_scores_and_pathway(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        for ours, naive in zip(found.scores.tensors, naive_scores(model, x, target), strict=True):
            assert torch.allclose(ours, naive)
        assert found.pathway == cp.select(found.scores, 0.9)
        assert found.pathway.requested == 0.9

    def test_maps(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        assert torch.allclose(found.gradient, gradient(model, x, target))
        assert torch.allclose(found.pathway_gradient, gradient(model, x, target, found.pathway.keep.tensors))
        settings = {"mode": "zeroed", "times_input": True, "blur": 8 / 28}
        assert torch.allclose(found.map, cp.attribute(cp.Network(model), x, "pathway_average", target, **settings))
        assert found.content.overview is not None
        assert np.allclose(found.content.overview, found.map[0].abs().sum(0).numpy(), rtol=1e-5)
        plain = gradient(model, x, target)[0].abs().sum(0)
        assert np.allclose(found.content.plain, plain.numpy(), rtol=1e-5)
        assert found.content.plain.shape == (8, 8)

    def test_levels(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        levels = found.content.levels
        assert [level.requested for level in levels] == [0.3, 0.8, 0.9, 0.99]
        assert levels[found.content.main_level].requested == 0.9
        for level in levels:
            pathway = cp.select(found.scores, level.requested)
            keep = pathway.keep.tensors
            assert level.realised == pytest.approx(1 - float(sum(k.sum() for k in keep)) / found.scores.space.neurons)
            naive = gradient(model, x, target, keep)
            assert np.allclose(level.map, naive[0].abs().sum(0).numpy(), rtol=1e-5)
            assert level.reaches_input is bool(naive.any())
            alone = run(model, x, keep)[0][0].detach()
            assert level.kept.pathway == pytest.approx(float(alone[target]))
            assert level.kept.pathway_keeps_class is (int(alone.argmax()) == target)
            random = [run(model, x, random_within(pathway, 5 + d).keep.tensors)[0].detach() for d in range(3)]
            assert level.kept.random == pytest.approx([float(r[0, target]) for r in random])
            assert len(set(level.kept.random)) > 1 or level.requested == 0.99

    def test_sites(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        scores, (_, activations) = naive_scores(model, x, target), run(model, x)
        total = sum(float(s.abs().sum()) for s in scores)
        rows = found.content.sites
        assert [row.name for row in rows] == ["1#0", "4#0", "8#0"]
        assert sum(row.contribution for row in rows) == pytest.approx(1)
        for row, score, activation, keep in zip(rows, scores, activations, found.pathway.keep.tensors, strict=True):
            assert row.shape == tuple(score.shape[1:])
            assert row.neurons == score.numel()
            assert row.density == pytest.approx(float(keep.double().mean()))
            assert row.contribution == pytest.approx(float(score.abs().sum()) / total)
            assert row.dead == pytest.approx(float((activation <= 0).double().mean()))
            assert row.kind == "relu"

    def test_top_neurons(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        scores = naive_scores(model, x, target)
        flat = torch.cat([s.flatten() for s in scores])
        order = flat.abs().argsort(descending=True)[:8]
        shown = found.content.top_neurons
        assert [unit.contribution for unit in shown] == pytest.approx(flat[order].tolist())
        assert [unit.share for unit in shown] == pytest.approx((flat[order].abs() / flat.abs().sum()).tolist())
        for unit, index in zip(shown, order.tolist(), strict=True):
            site, place = found.scores.space.locate(index)
            assert unit.site == site.name
            at = f"channel {place[0]} at ({place[1]}, {place[2]})" if len(place) == 3 else f"neuron {place[0]}"
            assert unit.unit == at
            number = found.scores.space.position(site.name)
            assert np.allclose(unit.where, self._where(model, x, target, number, place), rtol=1e-4, atol=1e-9)

    def _where(self, model: nn.Module, x: Tensor, target: int, site: int, place: tuple[int, ...]) -> np.ndarray:
        x = x.clone().requires_grad_()
        out, activations = run(model, x)
        weight = torch.autograd.grad(out[0, target], activations[site], retain_graph=True)[0][(0, *place)]
        (looks,) = torch.autograd.grad(activations[site][(0, *place)] * weight, x)
        return looks[0].abs().sum(0).numpy()

    def test_top_channels(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        scores = naive_scores(model, x, target)
        total = sum(float(s.abs().sum()) for s in scores)
        sums = [
            (abs(float(s[0, c].sum())), i, c) for i, s in enumerate(scores) if s.dim() == 4 for c in range(len(s[0]))
        ]
        expected = sorted(sums, reverse=True)[:8]
        for unit, (size, site, channel) in zip(found.content.top_channels, expected, strict=False):
            assert unit.site == ("1#0", "4#0")[site]
            assert unit.unit.startswith(f"channel {channel}, all ")
            assert abs(unit.contribution) == pytest.approx(size)
            assert unit.share == pytest.approx(float(scores[site][0, channel].abs().sum()) / total)
            assert unit.where.shape == (8, 8)
        assert len(found.content.top_channels) == 8

    def test_reach(self, found: cp.Explanation, model: nn.Module, x: Tensor, target: int) -> None:
        reach = found.content.reach
        assert reach.last is not None
        assert reach.first_lost is not None
        assert gradient(model, x, target, cp.select(found.scores, reach.last).keep.tensors).any()
        lost = cp.select(found.scores, reach.first_lost).keep.tensors
        assert not gradient(model, x, target, lost).any()
        assert reach.first_lost - reach.last <= 1e-3

    def test_a_map_that_is_lost_is_said_in_words(self, found: cp.Explanation, model: nn.Module, x: Tensor) -> None:
        lost = found.content.levels[-1]
        assert not lost.reaches_input
        assert not lost.map.any()
        dark = cp.explain(cp.Network(model), x, sparsity=0.99, sparsities=())
        assert any("does not reach the input" in text for text in dark.content.warnings)
        assert not any("does not reach" in text for text in found.content.warnings)

    def test_coverage_and_provenance(self, found: cp.Explanation, model: nn.Module) -> None:
        coverage, facts = dict(found.content.coverage), dict(found.content.provenance)
        assert coverage["Sites"] == "3 activation calls, 362 neurons"
        assert coverage["Activations"] == "3 relu"
        assert coverage["Piecewise linear"] == "3 of 3 sites"
        assert coverage["Output with and without observation"] == "the same, bit for bit"
        assert facts["Seed"] == "5"
        assert cp.Network(model).fingerprint() in facts["Network"]
        assert "float64 on cpu" in facts["Network"]
        assert cp.__version__ in facts["Versions"]
        assert torch.__version__ in facts["Versions"]

    def test_model_is_left_alone(self, model: nn.Module, x: Tensor) -> None:
        state = {name: value.clone() for name, value in model.state_dict().items()}
        before = torch.random.get_rng_state()
        cp.explain(cp.Network(model), x)
        assert torch.equal(before, torch.random.get_rng_state())
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
        assert all(p.requires_grad and p.grad is None for p in model.parameters())
        assert not x.requires_grad


class TestError:
    def test_it_is_in_words_and_at_every_site(self, model: nn.Module, x: Tensor) -> None:
        found = cp.explain(cp.Network(model), x, method="intgrad", tolerance=0.2, draws=0, top=0)
        error = found.scores.error
        assert error is not None
        assert [row.error for row in found.content.sites] == pytest.approx(error.relative[0].tolist())
        assert "Wanted was 20%, which was reached." in found.content.accuracy
        assert not any("less exact" in warning for warning in found.content.warnings)

    def test_a_tolerance_that_was_not_met_is_a_warning_on_the_page(self, model: nn.Module, x: Tensor) -> None:
        with pytest.warns(cp.ToleranceWarning):
            found = cp.explain(
                cp.Network(model), x, method="conductance", tolerance=1e-9, points=6, rule="trapezoid", draws=0, top=0
            )
        assert "which was NOT reached" in found.content.accuracy
        assert any("less exact than was asked for" in warning for warning in found.content.warnings)

    def test_scores_by_definition_say_nothing(self, model: nn.Module, x: Tensor) -> None:
        found = cp.explain(cp.Network(model), x, draws=0, top=0)
        assert found.content.accuracy == ""
        assert all(row.error is None for row in found.content.sites)


class TestOptions:
    def test_deterministic_given_the_seed(self, model: nn.Module, x: Tensor) -> None:
        first, second, other = (self._numbers(cp.explain(cp.Network(model), x, seed=s)) for s in (3, 3, 4))
        assert first == second
        random = [[level["kept"].pop("random") for level in numbers["levels"]] for numbers in (first, other)]
        assert random[0] != random[1]
        assert first == other

    def _numbers(self, found: cp.Explanation) -> dict[str, Any]:
        numbers = json.loads(found.to_json())
        numbers["provenance"] = [row for row in numbers["provenance"] if row[0] not in ("Made", "Seed")]
        return numbers

    def test_class_names_title_and_notes(self, model: nn.Module, x: Tensor) -> None:
        picture = np.zeros((8, 8, 3), dtype=np.uint8)
        found = cp.explain(
            cp.Network(model),
            x,
            3,
            classes=["a", "b", "c", "<d>", "e"],
            title="T & T",
            model="mine",
            notes=[("Where", "here")],
            picture=picture,
        )
        assert found.content.target == "<d>"
        assert found.content.picture is picture
        assert ("Where", "here") in found.content.provenance
        page = found._repr_html_()
        assert "<d>" not in page
        assert (found.content.title, found.content.model) == ("T & T", "mine")

    def test_progress_is_told(self, model: nn.Module, x: Tensor) -> None:
        told: list[str] = []
        cp.explain(cp.Network(model), x, sparsities=(0.5,), progress=told.append)
        assert told[0] == "scores"
        assert "sparsity 0.5" in told
        assert "sparsity 0.9" in told

    @pytest.mark.parametrize("method", cp.contribution_names())
    @pytest.mark.parametrize("scope", ["network", "site", "channel"])
    def test_methods_and_scopes(self, model: nn.Module, x: Tensor, method: str, scope: str) -> None:
        net = cp.Network(model)
        found = cp.explain(net, x, method=method, scope=scope, sparsities=(0.5,), top=2, draws=1)
        assert found.pathway == cp.find_pathway(net, x, method, scope=scope)
        assert torch.allclose(found.pathway_gradient, cp.attribute(net, x, pathway=found.pathway))
        assert found.content.method == method

    def test_nothing_to_show(self, model: nn.Module, x: Tensor) -> None:
        found = cp.explain(cp.Network(model), x, sparsities=(), top=0, draws=0)
        assert len(found.content.levels) == 1
        assert found.content.top_neurons == found.content.top_channels == ()
        assert found.content.levels[0].kept.random == ()
        assert found._repr_html_()

    def test_sparsity_that_is_on_the_slider_is_there_once(self, model: nn.Module, x: Tensor) -> None:
        found = cp.explain(cp.Network(model), x, sparsity=0.5, sparsities=[0.5, 0.7, 0.5])
        assert [level.requested for level in found.content.levels] == [0.5, 0.7]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"sparsity": 1.0}, "sparsity is 1"),
            ({"sparsity": float("nan")}, "sparsity is nan"),
            ({"sparsities": (0.5, 1.5)}, "sparsity is 1.5"),
            ({"sparsities": (0.5, float("nan"))}, "sparsity is nan"),
            ({"method": "tailor"}, "Did you mean 'taylor'"),
            ({"scope": "layer"}, "network, site, channel"),
            ({"top": -1}, "negative"),
            ({"draws": -1}, "negative"),
        ],
        ids=str,
    )
    def test_wrong(self, model: nn.Module, x: Tensor, options: dict[str, Any], words: str) -> None:
        with pytest.raises(OptionError, match=words.replace(".", r"\.")):
            cp.explain(cp.Network(model), x, **options)

    @pytest.mark.parametrize("target", [cp.Probability(1), cp.Margin(1, 2), cp.Margin(), lambda y: y[:, 0]])
    def test_targets(self, model: nn.Module, x: Tensor, target: Any) -> None:
        net = cp.Network(model)
        found = cp.explain(net, x, target, sparsities=())
        assert torch.equal(found.scores.flatten(), cp.score(net, x, target=target).flatten())
        assert found.content.target

    def test_hidden_neuron_and_channel(self, model: nn.Module, x: Tensor) -> None:
        net = cp.Network(model)
        site = net.run(x).values()["4#0"]
        place = tuple(int(i) for i in np.unravel_index(int(site[0].argmax()), site.shape[1:]))
        found = cp.explain(net, x, cp.Neuron("4#0", place))
        assert found.content.response == pytest.approx(float(site.max()))
        assert found.content.target == f"neuron {place} of 4#0"
        assert all(level.kept.pathway_keeps_class is None for level in found.content.levels)
        assert found.content.sites[2].contribution == 0
        channel = cp.explain(net, x, cp.Channel("4#0", place[0]))
        assert channel.content.response == pytest.approx(float(site[0, place[0]].mean()))
        assert channel.content.target == f"channel {place[0]} of 4#0 (mean)"


class TestInputs:
    def test_vectors(self) -> None:
        kind = tiny.NETWORKS["mlp"]
        found = cp.explain(cp.Network(kind.build()), kind.inputs(1))
        assert found.content.picture is None
        assert found.content.plain.shape == (6,)
        assert found.content.top_channels == ()
        assert found.map.shape == (1, 6)
        assert torch.equal(found.map, found.pathway_gradient)
        assert found.content.overview is None
        assert found._repr_html_()

    def test_several_inputs(self) -> None:
        kind = tiny.NETWORKS["two_inputs"]
        net, x = cp.Network(kind.build()), kind.inputs(1)
        found = cp.explain(net, x)
        assert found.content.plain.shape == (8, 8)
        assert torch.equal(found.gradient, cp.attribute(net, x, "gradient")[0])
        assert found._repr_html_()

    def test_keyword_inputs(self) -> None:
        kind = tiny.NETWORKS["dict_output"]
        net, x = cp.Network(kind.build()), kind.inputs(1)
        found = cp.explain(net, x)
        assert torch.equal(found.gradient, cp.attribute(net, x, "gradient")["values"])

    def test_smooth_activations(self) -> None:
        kind = tiny.NETWORKS["transformer"]
        found = cp.explain(cp.Network(kind.build()), kind.inputs(1))
        assert [row.dead for row in found.content.sites] == [None]
        assert any("not piecewise linear" in text for text in found.content.caveats)
        assert dict(found.content.coverage)["Piecewise linear"].startswith("0 of 1 sites; local linearity")
        assert found.content.plain.ndim == 1 or found.content.plain.shape == (7, 8)
        assert json.loads(found.to_json())["sites"][0]["dead"] is None
        assert found._repr_html_()

    def test_relu_networks_carry_no_such_caveat(self, found: cp.Explanation) -> None:
        assert not any("piecewise" in text for text in found.content.caveats)

    @pytest.mark.parametrize("name", tiny.NETWORKS)
    def test_every_network_gives_a_page(self, name: str, tmp_path: Path) -> None:
        kind = tiny.NETWORKS[name]
        page = cp.explain(cp.Network(kind.build()), kind.inputs(1), sparsities=(0.5,), top=3, draws=1)
        assert page.save(tmp_path / "page.html").read_text("utf-8").lower().startswith("<!doctype html>")

    @pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 6, 8, 8), (1, 3, 2, 8, 8), (1, 3, 9)], ids=str)
    def test_other_shapes(self, shape: tuple[int, ...]) -> None:
        size = math.prod(shape)
        model = tiny.seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(size, 9), nn.ReLU(), nn.Linear(9, 3)))
        found = cp.explain(cp.Network(model), tiny.numbers(*shape))
        assert found._repr_html_()
        assert found.gradient.shape == shape

    def test_one_class_only(self) -> None:
        model = tiny.seeded(lambda: tiny.MLP(classes=1))
        found = cp.explain(cp.Network(model), tiny.numbers(1, 6))
        assert found.content.predictions == ()
        assert found._repr_html_()

    @pytest.mark.parametrize("batch", [2, 5])
    def test_a_batch_is_refused(self, model: nn.Module, batch: int) -> None:
        with pytest.raises(InputError, match=rf"a batch of one, got {batch}: call it for x\[i:i\+1\]"):
            cp.explain(cp.Network(model), tiny.NETWORKS["conv"].inputs(batch))

    def test_integers_that_nothing_looks_up(self) -> None:
        class Counts(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = tiny.MLP()

            def forward(self, counts: Tensor) -> Tensor:
                return self.body(counts.double())

        with pytest.raises(InputError, match="integers only"):
            cp.explain(cp.Network(tiny.seeded(Counts)), torch.tensor([[1, 2, 3, 4, 5, 6]]))

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_not_finite(self, model: nn.Module, x: Tensor, bad: float) -> None:
        broken = x.clone()
        broken[0, 0, 0, 0] = bad
        with pytest.raises(InputError, match="NaN or infinite"):
            cp.explain(cp.Network(model), broken)

    def test_constant_output(self, x: Tensor) -> None:
        model = tiny.NETWORKS["conv"].build()
        nn.init.zeros_(model[9].weight)
        with pytest.raises(NumericalError, match="no neuron contributes"):
            cp.explain(cp.Network(model), x)


class TestShown:
    def test_notebook(self, found: cp.Explanation) -> None:
        frame = found._repr_html_()
        assert frame.startswith("<iframe")
        page = html.unescape(frame.split('srcdoc="')[1].split('" style=')[0])
        assert page.lower().lstrip().startswith("<!doctype html>")
        assert "1#0" in page

    def test_json(self, found: cp.Explanation) -> None:
        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        numbers = json.loads(found.to_json(), parse_constant=refuse)
        assert numbers["method"] == "taylor"
        assert numbers["response"] == found.content.response
        assert [row["name"] for row in numbers["sites"]] == ["1#0", "4#0", "8#0"]
        assert [level["requested"] for level in numbers["levels"]] == [0.3, 0.8, 0.9, 0.99]
        assert len(found.to_json()) < 20_000

    def test_repr(self, found: cp.Explanation) -> None:
        assert repr(found).startswith(f"Explanation({found.content.target}: ")
        assert "neurons=362" in repr(found)

    def test_save(self, found: cp.Explanation, tmp_path: Path) -> None:
        page = found.save(tmp_path / "page.html")
        assert page == tmp_path / "page.html"
        assert os.listdir(tmp_path) == ["page.html"]
        text = page.read_text("utf-8")
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text

    def test_save_where_it_cannot(self, found: cp.Explanation, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="its folder does not exist"):
            found.save(tmp_path / "a" / "page.html")
        with pytest.raises(StorageError, match="it is a folder"):
            found.save(tmp_path)
        assert os.listdir(tmp_path) == []
