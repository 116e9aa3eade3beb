"""Retraining in a run: every method on the same images, removed pixels by the data's mean, random maps by the seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from critpath.errors import InputError
from critpath.evaluation.perturbation import deletion, insertion, pixel_perturbation
from critpath.evaluation.removal import reduced
from critpath.evaluation.retraining.degrade import channel_means, random_maps
from critpath.evaluation.retraining.recipe import papers_recipe
from critpath.evaluation.retraining.roar import retrained_accuracy
from critpath.evaluation.retraining.split import Split, train_and_validation
from critpath.runs.checks import read_plan
from critpath.runs.fold import metric_facts
from critpath.runs.measures import groups
from critpath.runs.readings import measures
from critpath.runs.results import Results, joined, result_of
from critpath.runs.shard import Shard
from critpath.runs.tasks import tasks_of
from critpath.runs.work import workshop
from critpath.runs.work.means import data_means
from critpath.zoo import Preprocess, load
from critpath.zoo.data import of_arrays

FUNCTIONS = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3)).double()

def by_input(model):
    return lambda x, target: x

def picky(model):
    return lambda x, target: torch.where(x[:, :1, :1, :1] > 5, torch.nan, x)

def mostly(model):
    return lambda x, target: torch.where(x[:, :1, :1, :1] > -1, torch.nan, x)

def never(model):
    def explain(x, target):
        raise RuntimeError("never")
    return explain
"""
PARTS = {"train": slice(0, 24), "validation": slice(24, 30), "test": slice(30, 40)}
ROAR = "roar: {shares: [0.3], seeds: [0, 4], recipe: {epochs: 2, width: 4, batch: 4, padding: 1}}"
X = torch.randn(40, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
Y = torch.arange(40) % 3


def done(place: Path, x: Tensor, y: Tensor, methods: str, metrics: str = ROAR, parts: str = "tvs") -> dict[str, Shard]:
    """Every task of a plan on three parts of these images (``t``, ``v``, ``s``), in order."""
    (place / "m.py").write_text(FUNCTIONS)
    for part, rows in PARTS.items():
        np.savez(place / f"{part}.npz", images=x[rows].numpy(), labels=y[rows].numpy())
    named = [part for part in PARTS if part[0] in parts or (part == "test" and "s" in parts)]
    (place / "plan.yaml").write_text(
        "version: 1\nthreads: 1\nbatch: 5\nmodels: {net: {load: m.py:net}}\n"
        f"data: {{{', '.join(f'{part}: {{arrays: {part}.npz}}' for part in named)}}}\n"
        f"methods: {{{', '.join(f'{m}: {{python: m.py:{m}}}' for m in methods.split())}}}\n"
        f"metrics: {{{metrics}}}\n"
        f"evaluations: [{{name: e, data: test, {', '.join(f'{part}: {part}' for part in named)}}}]\n"
    )
    plan = read_plan(place / "plan.yaml")
    perform = workshop(plan.resolved(), "cpu")
    shards: dict[str, Shard] = {}
    for task in tasks_of(plan):
        found = perform(task, {name: shards[name] for name in task.needs}.__getitem__)
        shards[task.name] = Shard(
            found.tensors, {**metric_facts(plan, task.facts), **found.facts} if "metric" in task.facts else found.facts
        )
    return shards


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def parts_of(x: Tensor, y: Tensor, without: tuple[int, ...] = ()) -> list[Split]:
    kept = [[i for i in range(40)[rows] if i not in without] for rows in PARTS.values()]
    return [Split(x[rows], y[rows]) for rows in kept]


RECIPE = papers_recipe(3, 2, width=4, epochs=2, batch=4, padding=1)


def accuracy(splits: list[Split], share: float, seed: int, mean: Tensor, maps: Any = None) -> float:
    train, validation, test = splits
    given = None if share == 0 else (maps(train.x), maps(validation.x), maps(test.x))
    return retrained_accuracy(train, validation, test, given, share, seed, RECIPE, mean=mean.tolist()).accuracy


def by_input(x: Tensor) -> Tensor:
    return reduced(x).float()


def of(shards: Mapping[str, Shard], name: str) -> float:
    return float(shards[f"e.{name}"].tensors["accuracy"])


def test_trainings_are_the_metrics_own_and_random_maps_anew_for_each_seed(tmp_path: Path) -> None:
    shards, splits = done(tmp_path, X, Y, "by_input"), parts_of(X, Y)
    mean = channel_means(X[:24])
    for seed in (0, 4):
        assert of(shards, f"roar.by_input.0.3.{seed}") == accuracy(splits, 0.3, seed, mean, by_input)
        assert of(shards, f"roar.unmodified.{seed}") == accuracy(splits, 0.0, seed, mean)
        assert of(shards, f"roar.random.0.3.{seed}") == accuracy(
            splits, 0.3, seed, mean, lambda x, s=seed: random_maps(x, s)
        )
    facts = shards["e.roar.by_input.0.3.4"].facts
    assert (facts["share"], facts["seed"], facts["keep"]) == (0.3, 4, False)
    assert facts["mean"] == pytest.approx(mean.tolist())
    assert "maps.net.train.random.000000" not in shards


def test_all_methods_are_compared_on_the_images_that_each_has_a_map_of(tmp_path: Path) -> None:
    x, bad = X.clone(), (3, 26, 38)
    x[list(bad), 0, 0, 0] = 6
    shards, splits = done(tmp_path, x, Y, "by_input picky"), parts_of(x, Y, bad)
    mean = channel_means(x[:24])
    expected = accuracy(splits, 0.3, 0, mean, by_input)
    assert of(shards, "roar.picky.0.3.0") == of(shards, "roar.by_input.0.3.0") == expected
    assert of(shards, "roar.unmodified.0") == accuracy(splits, 0.0, 0, mean)
    assert of(shards, "roar.random.0.3.0") == accuracy(splits, 0.3, 0, mean, lambda x: random_maps(x, 0))
    for name in ("roar.unmodified.0", "roar.random.0.3.0", "roar.by_input.0.3.4", "roar.picky.0.3.0"):
        assert shards[f"e.{name}"].facts["left_out"] == {"train": 1, "validation": 1, "test": 1}
    (notes,) = notes_of(shards).values()
    assert any("1 of the train images, 1 of the validation images, 1 of the test images" in note for note in notes)
    assert any("fewer than 3 seeds" in note for note in notes)
    assert any(f"{float(mean[0]):.4g}, {float(mean[1]):.4g} in the units of the inputs" in note for note in notes)


def test_a_failing_image_changes_no_other_images_part(tmp_path: Path) -> None:
    """Where the plan names no validation images they are the last of each class, whichever of them can be used."""
    x = X.clone()
    x[1, 0, 0, 0] = 6  # without it its class would be too small to validate with
    shards = done(tmp_path, x, Y, "picky", parts="ts")
    places = torch.arange(24, dtype=torch.float64).view(-1, 1, 1, 1)
    train, validation = (part.x.flatten().long() for part in train_and_validation(places, Y[:24]))
    splits = [Split(x[rows], Y[rows]) for rows in (train, validation, torch.arange(30, 40))]
    assert of(shards, "roar.picky.0.3.0") == accuracy(splits, 0.3, 0, channel_means(x[:24]), by_input)


@pytest.mark.parametrize("method", ["never", "mostly"])
def test_a_method_with_few_maps_does_not_take_the_images_from_all(tmp_path: Path, method: str) -> None:
    shards = done(tmp_path, X, Y, f"by_input {method}")
    assert of(shards, "roar.by_input.0.3.0") == accuracy(parts_of(X, Y), 0.3, 0, channel_means(X[:24]), by_input)
    assert math.isnan(of(shards, f"roar.{method}.0.3.0"))
    facts = shards[f"e.roar.{method}.0.3.0"].facts
    assert facts["left_out"] == {"train": 0, "validation": 0, "test": 0}
    assert facts["warnings"] == [facts["dropped"]]
    assert (
        f"{method} has maps of {0 if method == 'never' else (X[:, 0, 0, 0] <= -1).sum()} of 40 images"
        in facts["dropped"]
    )
    (notes,) = notes_of(shards).values()
    assert sum(facts["dropped"] in note for note in notes) == 1


def test_nothing_is_left(tmp_path: Path) -> None:
    x = X.clone()
    x[30:, 0, 0, 0] = 6
    with pytest.raises(InputError, match="no image of a part"):
        done(tmp_path, x, Y, "picky")


def notes_of(shards: Mapping[str, Shard]) -> dict[str, tuple[str, ...]]:
    kinds = [name for name in shards if name.startswith("e.")]
    results: Results = joined([result_of(shards[name]) for name in kinds if "kind" in shards[name].facts])
    return {measure.group.metric: measure.notes for measure in measures(groups(results))}


# ------------------------------------------------------------------------------------------------- the data's mean
CURVES = (
    "lerf: {metric: pixel_perturbation, shares: [0.2]}, out: {metric: deletion, steps: 3}, "
    "in: {metric: insertion, steps: 2}, own: {metric: deletion, steps: 2, mean: 0.5}"
)


def test_removed_pixels_become_the_mean_of_the_training_images(tmp_path: Path) -> None:
    shards = done(tmp_path, X, Y, "by_input", CURVES)
    net, x = load(f"{tmp_path}/m.py:net").model, X[30:35]
    mean, maps, target = channel_means(X[:24]), reduced(x).float(), net(x).argmax(dim=1)
    wanted = {
        "lerf": pixel_perturbation(net, x, target, maps, shares=[0.2], mean=mean),
        "out": deletion(net, x, target, maps, steps=3, mean=mean),
        "in": insertion(net, x, target, maps, steps=2),
        "own": deletion(net, x, target, maps, steps=2, mean=0.5),
    }
    for name, curve in wanted.items():
        shard = shards[f"e.{name}.by_input.000000"]
        torch.testing.assert_close(shard.tensors["curve"], curve.curve)
        assert shard.facts["shares"] == list(curve.shares)
    notes = notes_of(shards)
    assert notes["lerf"] == (
        f"Removed pixels become the mean, {mean[0]:.4g}, {mean[1]:.4g} in the units of the inputs.",
    )
    assert notes["own"] == ("Removed pixels become the mean, 0.5 in the units of the inputs.",)
    assert notes["in"] == ()
    kinds = [name for name in shards if name.startswith("e.")]
    found = {m.group.metric: m for m in measures(groups(joined([result_of(shards[name]) for name in kinds])))}
    assert (found["out"].better, found["in"].better) == ("lower", "higher")
    assert next(iter(found["out"].columns)) == next(iter(found["in"].columns)) == "mean response"
    torch.testing.assert_close(
        found["out"].columns["mean response"]["by_input"][:5], wanted["out"].response_area(), rtol=1e-6, atol=1e-9
    )


def test_without_training_images_it_is_the_mean_of_the_images(tmp_path: Path) -> None:
    shards = done(tmp_path, X, Y, "by_input", "lerf: {metric: pixel_perturbation}", parts="s")
    assert shards["e.lerf.by_input.000001"].facts["mean"] == pytest.approx(channel_means(X[30:]).tolist())


def bench(source: Any, preprocess: Preprocess | None) -> Any:
    return SimpleNamespace(data=lambda name: source, model=lambda name: SimpleNamespace(preprocess=preprocess))


def test_pictures_that_are_normalised_have_the_mean_0() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    pictures = [Image.fromarray(p) for p in pixels]

    class Source:
        ids = ("a", "b", "c")

        def __len__(self) -> int:
            return 3

        def read(self, number: int) -> Image.Image:
            return pictures[number]

        def inputs(self, rows: Any, preprocess: Preprocess) -> Any:
            return torch.stack([preprocess(pictures[i]) for i in rows]), {}

    assert data_means(bench(Source(), Preprocess(6, 6)), "m", "d") == [0.0]
    plain = Preprocess(6, 6, mean=(0, 0, 0), std=(1, 1, 1))
    expected = pixels.astype(float).mean(axis=(0, 1, 2)) / 255
    assert data_means(bench(Source(), plain), "m", "d") == pytest.approx(expected.tolist(), rel=1e-6)


def test_inputs_that_cannot_be_read_do_not_count_in_the_mean() -> None:
    x = torch.randn(70, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    broken = x.clone()
    broken[[0, 40]] = torch.nan
    kept = [i for i in range(70) if i not in (0, 40)]
    assert data_means(bench(of_arrays("a", broken), Preprocess(6, 6)), "m", "d") == pytest.approx(
        channel_means(x[kept]).tolist(), rel=1e-12
    )
    with pytest.raises(InputError, match="no image of d"):
        data_means(bench(of_arrays("a", broken[:1]), None), "m", "d")


# ------------------------------------------------------------------------------------------------- labels
SELECTION = (
    "features: {metric: feature_selection, counts: [2], sets: 3, size: 2, methods: [activation], train_share: 0.5}"
)


def test_labels_with_one_usable_image_are_left_out(tmp_path: Path) -> None:
    x, y = X.clone(), Y.clone()
    y[30:] = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 3, 4])
    x[35] = torch.nan  # one of the two of label 2
    shard = done(tmp_path, x, y, "by_input", SELECTION, parts="s")["e.features.all"]
    assert shard.facts["left_out_labels"] == [2, 4]
    assert sorted(map(tuple, shard.facts["sets"])) == [(0, 1), (0, 3), (1, 3)]
    assert shard.facts["images"] == 7
    assert shard.tensors["accuracy"].isfinite().all()
    (notes,) = notes_of({"e.features.all": shard}).values()
    assert notes[-1].endswith("are left out: 2, 4.")


def test_fewer_sets_than_asked_for(tmp_path: Path) -> None:
    y = Y.clone()
    y[30:] = torch.tensor([0, 0, 0, 1, 1, 1, 0, 0, 0, 4])
    shard = done(tmp_path, X, y, "by_input", SELECTION, parts="s")["e.features.all"]
    assert shard.facts["sets"] == [[0, 1]]
    (notes,) = notes_of({"e.features.all": shard}).values()
    assert notes[-1] == "The labels give 1 sets, fewer than were asked for."


def test_one_image_a_label_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 labels have two images or more"):
        done(tmp_path, X, torch.arange(40), "by_input", SELECTION, parts="s")
