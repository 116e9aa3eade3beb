"""The budget against a loop over every image and sparsity, and what is kept between its steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import critpath as cp
from critpath.baselines import mean_activations
from critpath.errors import InputError, MismatchError, NumericalError, OptionError, StorageError
from critpath.intervals import bootstrap_interval
from critpath.pathway import SearchWarning
from critpath.response import respond
from critpath.selection import find_budget
from tests import tiny
from tests.reference.twins import case_of

BATCHES = tuple(tiny.numbers(n, *tiny.IMAGE, seed=20 + n) for n in (3, 1, 4))


def sharp() -> nn.Sequential:
    """A network that is sure of its classes."""
    model = tiny.NETWORKS["conv"].build()
    with torch.no_grad():
        for layer, factor in zip((model[0], model[3], model[7], model[9]), (2, 3, 4, 6), strict=True):
            layer.weight *= factor
    return model


def network() -> cp.Network:
    return cp.Network(sharp())


def pruned_by_hand(model: nn.Sequential, x: Tensor, keep: list[Tensor], other: list[Tensor] | None = None) -> Tensor:
    masks = iter(keep)
    others = iter(other) if other is not None else None
    for module in model:
        x = module(x)
        if isinstance(module, nn.ReLU):
            x = torch.where(next(masks), x, next(others) if others is not None else torch.zeros_like(x))
    return x


def change_by_hand(sparsity: float, target: int | None = None, other: list[Tensor] | None = None, **how: Any) -> float:
    """Image by image, every score computed again."""
    model, changes = sharp(), []
    for batch in BATCHES:
        for image in batch.split(1):
            p = model(image).softmax(1)[0].detach()
            c = int(p.argmax()) if target is None else target
            scores = cp.score(network(), image, how.get("method", "taylor"), target)
            keep = cp.select(scores, sparsity, how.get("scope", "network")).keep.tensors
            after = pruned_by_hand(model, image, list(keep), other).softmax(1)[0].detach()
            changes.append(float((after[c] - p[c]).abs() / p[c]))
    return sum(changes) / len(changes)


class TestSparsity:
    @pytest.mark.parametrize("share", [0.02, 0.15, 0.4])
    def test_every_point_and_the_crossing(self, share: float) -> None:
        found = find_budget(network(), BATCHES, share, highest=0.99)
        assert found.images == 8
        assert found.met
        assert [point.sparsity for point in found.curve] == sorted({point.sparsity for point in found.curve})
        for point in found.curve:
            assert point.mean == pytest.approx(change_by_hand(point.sparsity), rel=1e-9, abs=1e-12)
            assert point.low <= point.mean <= point.high
            sizes = [cp.find_pathway(network(), x, sparsity=point.sparsity).sparsity for x in BATCHES]
            assert point.realised == pytest.approx(float(torch.cat(sizes).mean()))
        place = next(i for i, point in enumerate(found.curve) if point.sparsity == found.sparsity)
        assert found.curve[place].mean == found.change <= share < found.curve[place + 1].mean
        assert found.curve[place + 1].sparsity - found.sparsity <= 0.005

    @pytest.mark.parametrize("how", [{"method": "activation"}, {"scope": "site"}, {"target": 2}])
    def test_options(self, how: dict[str, Any]) -> None:
        found = find_budget(network(), BATCHES, 0.1, within=0.2, **how)
        assert found.change == pytest.approx(change_by_hand(found.sparsity, **how), rel=1e-9)

    def test_other_values_elsewhere(self) -> None:
        means = mean_activations(network(), BATCHES)
        found = find_budget(network(), BATCHES, 0.6, elsewhere=means, within=0.1)
        assert found.change == pytest.approx(change_by_hand(found.sparsity, other=list(means.tensors)), rel=1e-9)
        assert found.curve[0].mean > 1e-6  # dead neurons are set to their means already at 0

    def test_connected(self) -> None:
        plain = find_budget(network(), BATCHES, 0.2, "activation", within=0.2)
        found = find_budget(network(), BATCHES, 0.2, "activation", within=0.2, connected=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SearchWarning)
            at = found.curve[-2].sparsity
            parts = [cp.find_pathway(network(), x, "activation", at, connected=True) for x in BATCHES]
        model, changes = sharp(), []
        for x, part in zip(BATCHES, parts, strict=True):
            before = model(x).softmax(1).detach()
            after = pruned_by_hand(model, x, list(part.keep.tensors)).softmax(1)
            c = before.argmax(1, keepdim=True)
            changes.append(((after - before).abs() / before).gather(1, c))
        assert found.curve[-2].mean == pytest.approx(float(torch.cat(changes).detach().mean()), rel=1e-9)
        assert [p.mean for p in plain.curve] != [p.mean for p in found.curve]

    def test_batches_are_only_a_matter_of_speed(self) -> None:
        whole = find_budget(network(), [torch.cat(BATCHES)], 0.1)
        split = find_budget(network(), [image for batch in BATCHES for image in batch.split(1)], 0.1)
        assert whole.sparsity == split.sparsity
        for one, other in zip(whole.curve, split.curve, strict=True):
            assert one.mean == pytest.approx(other.mean, rel=1e-9, abs=1e-12)
            assert one.low == pytest.approx(other.low, rel=1e-9, abs=1e-12)

    def test_caller_under_no_grad_and_the_random_state(self) -> None:
        before = torch.random.get_rng_state()
        expected = find_budget(network(), BATCHES, 0.1, within=0.1)
        net = network()
        with torch.inference_mode():
            assert find_budget(net, BATCHES, 0.1, within=0.1) == expected
        assert torch.equal(before, torch.random.get_rng_state())


class TestInterval:
    def test_covers_what_resampling_gives(self) -> None:
        """Against numpy's own percentile bootstrap of the same changes."""
        changes = tiny.numbers(50, seed=3) ** 2
        found = tuple(float(end) for end in bootstrap_interval(changes, seed=0))
        rng = np.random.default_rng(1)
        means = rng.choice(changes.numpy(), (20000, 50)).mean(1)
        low, high = np.percentile(means, [2.5, 97.5])
        assert found == (pytest.approx(low, rel=0.05), pytest.approx(high, rel=0.05))

    def test_seed(self) -> None:
        one, two, other = (find_budget(network(), BATCHES, 0.1, within=0.3, seed=s) for s in (0, 0, 1))
        assert one == two
        assert [p.low for p in one.curve] != [p.low for p in other.curve]
        assert [p.mean for p in one.curve] == [p.mean for p in other.curve]


class TestMarked:
    def test_one_image(self) -> None:
        found = find_budget(network(), [BATCHES[1]], 0.1, within=0.1)
        assert found.images == 1
        assert "one image: there is no interval" in found.note
        assert all(math.isnan(p.low) and math.isnan(p.high) for p in found.curve)
        assert "over 1 image (" in str(found)
        assert "nan" not in str(found)

    def test_never_reached(self) -> None:
        found = find_budget(network(), BATCHES, 50, highest=0.5)
        assert (found.sparsity, found.met, len(found.curve)) == (0.5, False, 2)
        assert "not reached up to sparsity 0.5" in found.note
        assert "not reached" in str(found)

    def test_no_sparsity_meets_it(self) -> None:
        far = mean_activations(network(), BATCHES).map(lambda a: a + 9)
        with pytest.raises(OptionError, match=r"no sparsity meets a share of 0\.001: leaving out only"):
            find_budget(network(), BATCHES, 0.001, elsewhere=far)

    def test_in_words(self) -> None:
        lines = str(find_budget(network(), BATCHES, 0.15, within=0.3)).splitlines()
        assert lines[0].startswith("sparsity 0.")
        assert "0.15 allowed" in lines[0]
        assert "over 8 images" in lines[0]
        assert all("95 % interval" in line for line in lines[2:])

    def test_not_steady(self) -> None:
        """Two hidden neurons that cancel: one alone changes the output, both do not."""

        class Cancel(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                a = x.relu()
                return torch.stack([3 * a[:, 0] - 3 * a[:, 1] * 0.99 + a[:, 2], a[:, 2] * 0], dim=1)

        found = find_budget(cp.Network(Cancel().eval()), [torch.ones(2, 3).double()], 0.2, highest=0.7, within=0.05)
        assert "does not grow steadily" in found.note


class TestResponseWithoutProbability:
    @pytest.mark.parametrize("target", [cp.Channel("1", 2), lambda out: out[:, 1] * 3, cp.Margin(1, 2)])
    def test_relative_change_of_the_response(self, target: Any) -> None:
        if isinstance(target, cp.Channel):
            target = cp.Channel(network().sites(BATCHES[0]).names[1], 2)
        x = BATCHES[2]
        found = find_budget(network(), [x], 0.2, within=0.2, target=target)
        response = respond(network(), x, target)
        for point in found.curve:
            path = cp.find_pathway(network(), x, sparsity=point.sparsity, target=target)
            after = response.pruned(path).value
            expected = ((after - response.value).abs() / response.value.abs()).detach().mean()
            assert point.mean == pytest.approx(float(expected), rel=1e-9)

    def test_one_class_has_no_probability(self) -> None:
        model = tiny.seeded(lambda: tiny.MLP(classes=1))
        found = find_budget(cp.Network(model), [tiny.numbers(4, 6)], 0.2, within=0.2)
        assert found.curve[-1].mean > 0

    def test_zero_has_no_relative_change(self) -> None:
        with pytest.raises(NumericalError, match="output of image 3 is 0"):
            find_budget(network(), [BATCHES[0], BATCHES[1]], target=lambda out: out[:, 0] * (len(out) > 1))


class TestKept:
    def test_a_generator_that_reuses_its_buffer(self) -> None:
        def loader() -> Iterator[Tensor]:
            buffer = torch.empty(2, *tiny.IMAGE, dtype=torch.float64)
            for x in torch.cat(BATCHES).split(2):
                buffer.copy_(x)
                yield buffer

        assert find_budget(network(), loader(), 0.1) == find_budget(network(), torch.cat(BATCHES).split(2), 0.1)

    @pytest.mark.parametrize("name", ["keywords", "two inputs", "reused"])
    def test_files_hold_the_same(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        case, seen = case_of(name), []
        inputs = [case.x, case.x]
        expected = find_budget(cp.Network(case.model), inputs, 0.2, within=0.1)
        monkeypatch.setattr("critpath.selection.kept_batches.limit_of", lambda memory, device: 10)
        tell = lambda words: seen.append(len(list(tmp_path.rglob("*.safetensors"))))  # noqa: E731
        found = find_budget(cp.Network(case.model), inputs, 0.2, within=0.1, cache=tmp_path, progress=tell)
        assert found == expected
        assert seen[:3] == [0, 1, 2]
        assert list(tmp_path.iterdir()) == []

    def test_part_in_memory(self, tmp_path: Path) -> None:
        expected = find_budget(network(), BATCHES, 0.1, within=0.1)
        seen: set[int] = set()
        tell = lambda words: seen.add(len(list(tmp_path.rglob("*.safetensors"))))  # noqa: E731
        found = find_budget(network(), BATCHES, 0.1, within=0.1, memory="40 kB", cache=tmp_path, progress=tell)
        assert found == expected
        assert seen == {0, 1}

    def test_removed_when_something_fails(self, tmp_path: Path) -> None:
        def loader() -> Iterator[Tensor]:
            yield BATCHES[0]
            raise RuntimeError("the disk is gone")

        with pytest.raises(RuntimeError, match="the disk is gone"):
            find_budget(network(), loader(), memory=10, cache=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="cannot make a folder"):
            find_budget(network(), BATCHES, cache=tmp_path / "not" / "there")

    def test_progress(self) -> None:
        said: list[str] = []
        find_budget(network(), BATCHES, 0.1, within=0.3, progress=said.append)
        assert said[:3] == ["3 images scored", "4 images scored", "8 images scored"]
        assert said[3].startswith("sparsity 0.0000: the output changes by 0.")


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"share": 0}, "share is 0"),
            ({"share": math.nan}, "share is nan"),
            ({"within": 0}, "within is 0"),
            ({"highest": 1}, "sparsity is 1"),
            ({"method": "tailor"}, "Did you mean 'taylor'"),
            ({"method": "random"}, "no contribution is called 'random'"),
            ({"scope": "layer"}, "scope is 'layer'"),
            ({"points": 3}, "does not take the option 'points'"),
            ({"memory": "much"}, "memory is 'much'"),
        ],
    )
    def test_options(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(OptionError, match=words):
            find_budget(network(), BATCHES, **options)

    @pytest.mark.parametrize(("data", "words"), [([], "no data"), (BATCHES[0], "is Tensor"), (3, "is int")])
    def test_data(self, data: Any, words: str) -> None:
        with pytest.raises(InputError, match=words):
            find_budget(network(), data)

    def test_values_of_another_network(self) -> None:
        mlp = tiny.NETWORKS["mlp"]
        with pytest.raises(MismatchError):
            find_budget(network(), BATCHES, elsewhere=mean_activations(cp.Network(mlp.build()), [mlp.inputs(2)]))
