"""What is done for each kind of task: the metric's own numbers, and one failing image alone fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from critpath.attribution.explainer import explainer
from critpath.errors import OptionError, StorageError
from critpath.evaluation.agreement import map_agreement
from critpath.evaluation.channels import channel_features
from critpath.evaluation.feature_selection import compare_selection, label_sets
from critpath.evaluation.perturbation import pixel_perturbation
from critpath.evaluation.randomisation import efficient_mprt, parameter_randomisation
from critpath.evaluation.removal import reduced
from critpath.evaluation.retraining.fidelity import f_fidelity, fidelity_model, fine_tuning
from critpath.evaluation.retraining.split import train_and_validation
from critpath.network import Network
from critpath.runs.checks import read_plan
from critpath.runs.shard import Shard, shard_bytes
from critpath.runs.tasks import tasks_of
from critpath.runs.work import workshop
from critpath.runs.work.rows import rowwise
from critpath.zoo import load

MODELS = """
import warnings
import torch
from torch import nn
from critpath.pathway import SearchWarning

def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ).double()

def by_input(model):
    return lambda x, target: x

def raising(model):
    def explain(x, target):
        if (x[:, 0, 0, 0] > 5).any():
            raise ValueError("this one is too large")
        warnings.warn("odd", SearchWarning)
        return x / x.abs().amax(dim=0, keepdim=True).clamp(max=1e-9) * 0 + x
    return explain

def always(model):
    def explain(x, target):
        raise RuntimeError("never")
    return explain

def nan(model):
    return lambda x, target: torch.where(x[:, :1, :1, :1] > 5, torch.nan, x)

def full(model):
    def explain(x, target):
        raise MemoryError("full")
    return explain
"""

Shards = dict[str, Shard]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(10, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def y() -> Tensor:
    return torch.arange(10) % 3


def done(place: Path, x: Tensor, y: Tensor, text: str, device: str = "cpu") -> Shards:
    """Every task of a plan, done in order; each shard also has to go into a file."""
    (place / "m.py").write_text(MODELS)
    np.savez(place / "a.npz", images=x.numpy(), labels=y.numpy())
    (place / "plan.yaml").write_text(
        "version: 1\nthreads: 1\nbatch: 4\nmodels: {net: {load: m.py:net}}\ndata: {a: {arrays: a.npz}}\n" + text
    )
    plan = read_plan(place / "plan.yaml")
    perform = workshop(plan.resolved(), device)
    shards: Shards = {}
    for task in tasks_of(plan):
        shards[task.name] = perform(task, {name: shards[name] for name in task.needs}.__getitem__)
        shard_bytes(shards[task.name], "digest")
    return shards


def joined(shards: Shards, start: str, name: str) -> Tensor:
    """A value over all chunks."""
    parts = [shards[key].tensors[name] for key in sorted(shards) if key.startswith(start)]
    assert len(parts) == 3
    return torch.cat(parts)


def model(place: Path) -> torch.nn.Module:
    return load(f"{place}/m.py:net").model


PERTURBED = "metrics: {lerf: {metric: pixel_perturbation, shares: [0.1, 0.3], mean: 0}}\n"


def test_maps_are_the_methods_for_the_predicted_class(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    shards = done(tmp_path, x, y, "methods: {gradient: }\n" + PERTURBED)
    net = model(tmp_path)
    target = net(x).argmax(dim=1)
    wanted = reduced(explainer(Network(net), "gradient")(x, target)).float()
    assert torch.equal(joined(shards, "maps.net.a.gradient", "target"), target)
    assert torch.equal(joined(shards, "maps.net.a.gradient", "labels"), y)
    assert torch.equal(joined(shards, "maps.net.a.gradient", "images"), torch.arange(10))
    assert joined(shards, "maps.net.a.gradient", "maps").dtype == torch.float32
    assert torch.allclose(joined(shards, "maps.net.a.gradient", "maps"), wanted)
    assert shards["maps.net.a.gradient.000000"].facts["ids"] == ["0", "1", "2", "3"]


def test_full_maps_have_all_channels(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    shards = done(tmp_path, x, y, "maps: full\nmethods: {mine: {python: m.py:by_input}}\n" + PERTURBED)
    assert torch.equal(joined(shards, "maps.net.a.mine", "maps"), x.float())


def test_perturbation_is_the_metrics_own(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    shards = done(tmp_path, x, y, "methods: {mine: {python: m.py:by_input}}\n" + PERTURBED)
    net = model(tmp_path)
    wanted = pixel_perturbation(net, x, net(x).argmax(dim=1), reduced(x).float(), shares=[0.1, 0.3])
    assert torch.allclose(joined(shards, "net-a.lerf.mine", "start"), wanted.start)
    assert torch.allclose(joined(shards, "net-a.lerf.mine", "curve"), wanted.curve)
    facts = shards["net-a.lerf.mine.000000"].facts
    assert facts["shares"] == [0.1, 0.3]
    assert (facts["evaluation"], facts["model"], facts["data"]) == ("net-a", "net", "a")
    assert (facts["method"], facts["metric"], facts["kind"]) == ("mine", "lerf", "pixel_perturbation")


def test_randomisation_is_the_metrics_own(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    options = "repeats: 2, similarities: [ssim, spearman], stages: ['0', ['2', '5']]"
    metrics = f"metrics: {{sanity: {{metric: parameter_randomisation, {options}}}, efficient_mprt: }}\n"
    shards = done(tmp_path, x, y, "methods: {input_gradient: }\nrandom: false\n" + metrics)
    net = model(tmp_path)
    explain = explainer(Network(net), "input_gradient")
    wanted = parameter_randomisation(
        net, explain, x, repeats=2, similarities=("ssim", "spearman"), stages=("0", ("2", "5"))
    )
    for name in ("ssim", "spearman"):
        found = joined(shards, "net-a.sanity", name)
        assert found.shape == (10, len(wanted.stages), 2)
        assert torch.allclose(found, wanted.values[name], atol=1e-5)
    facts = shards["net-a.sanity.input_gradient.000000"].facts
    assert facts["stages"] == list(wanted.stages)
    assert facts["coverage"].startswith("6 of 6 parameters changed")
    rise = efficient_mprt(net, explain, x)
    assert torch.allclose(joined(shards, "net-a.efficient_mprt", "value"), rise.value, atol=1e-2)


def test_the_model_is_the_same_after_all(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    """Randomisation, done between two chunks of maps, leaves nothing behind."""
    metrics = "metrics: {parameter_randomisation: {similarities: [ssim]}, lerf: {metric: pixel_perturbation}}\n"
    both = done(tmp_path, x, y, "methods: {gradient: }\n" + metrics)
    alone = done(tmp_path, x, y, "methods: {gradient: }\nmetrics: {lerf: {metric: pixel_perturbation}}\n")
    for name, shard in alone.items():
        for value, tensor in shard.tensors.items():
            assert torch.equal(both[name].tensors[value], tensor)


def test_fidelity_is_by_the_tuned_model(tmp_path: Path, x: Tensor) -> None:
    y = torch.arange(10) // 9
    metric = "{metric: f_fidelity, mean: 0, shares: [0.2], samples: 3, max_share: 0.2, tuning: {epochs: 2}}"
    text = f"methods: {{mine: {{python: m.py:by_input}}}}\nmetrics: {{fid: {metric}}}\nevaluations: [{{train: a}}]\n"
    shards = done(tmp_path, x, y, text)
    net = model(tmp_path)
    tuned = fidelity_model(net, *train_and_validation(x, y), fine_tuning(net, epochs=2), 0.2, 0)
    wanted = f_fidelity(tuned, x, net(x).argmax(dim=1), reduced(x).float(), [0.2], max_share=0.2, samples=3)
    assert torch.allclose(joined(shards, "net-a.fid.mine", "plus"), wanted.plus)
    assert torch.allclose(joined(shards, "net-a.fid.mine", "minus"), wanted.minus)


def test_feature_selection_is_the_metrics_own(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    options = "counts: [1, 3], sets: 2, size: 2, methods: [activation, taylor], train_share: 0.5"
    shards = done(tmp_path, x, y, f"methods: {{gradient: }}\nmetrics: {{feature_selection: {{{options}}}}}\n")
    found = channel_features(Network(model(tmp_path)), x, None, ["activation", "taylor"])
    given = {name: values.float() for name, values in found.importances.items()}
    sets = label_sets(y, 2, 2, 0)
    wanted = compare_selection(given, found.features.float(), y, sets, (1, 3), train_share=0.5)
    shard = shards["net-a.feature_selection.all"]
    assert torch.equal(shard.tensors["accuracy"], wanted.accuracy)
    assert shard.facts["methods"] == ["activation", "taylor", "random"]
    assert shard.facts["sets"] == [list(one) for one in sets]


def test_agreement_of_methods(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    methods = "methods: {gradient: , mine: {python: m.py:by_input}}\nrandom: false\n"
    shards = done(tmp_path, x, y, methods + "metrics: {map_agreement: }\n")
    maps = {m: joined(shards, f"maps.net.a.{m}", "maps") for m in ("gradient", "mine")}
    wanted = map_agreement(maps).values[0, 1]
    assert torch.allclose(joined(shards, "net-a.map_agreement", "spearman")[:, 0], wanted)
    assert shards["net-a.map_agreement.000000"].facts["pairs"] == [["gradient", "mine"]]


def same_rows(one: Shards, other: Shards, but: int) -> None:
    """Everywhere the same bits, except in the rows of one image, which are NaN in the first."""
    for name, shard in one.items():
        images = shard.tensors["images"].tolist()
        for value, tensor in shard.tensors.items():
            for row, image in enumerate(images):
                if image == but and tensor.is_floating_point():
                    assert tensor[row].isnan().all(), (name, value)
                elif image != but:
                    assert torch.equal(tensor[row], other[name].tensors[value][row]), (name, value, image)


def test_a_method_that_raises_on_one_image_fails_there_alone(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    text = "random: false\nmethods: {raising: {python: m.py:raising}}\n" + PERTURBED
    usual = done(tmp_path, x, y, text)
    x[6, 0, 0, 0] = 6
    found = done(tmp_path, x, y, text)
    same_rows(found, usual, 6)
    assert found["maps.net.a.raising.000001"].facts["failures"] == [[6, "ValueError: this one is too large"]]
    assert found["maps.net.a.raising.000000"].facts["failures"] == []
    assert found["net-a.lerf.raising.000001"].facts["failures"] == []
    assert found["maps.net.a.raising.000000"].facts["warnings"] == ["odd"]


def test_nan_maps_are_failures(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    text = "random: false\nmethods: {nan: {python: m.py:nan}}\n" + PERTURBED
    usual = done(tmp_path, x, y, text)
    x[0, 0, 0, 0] = 6
    found = done(tmp_path, x, y, text)
    same_rows(found, usual, 0)
    ((image, message),) = found["maps.net.a.nan.000000"].facts["failures"]
    assert image == 0
    assert "NaN or infinity" in message


def test_inputs_that_cannot_be_read_are_failures(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    metrics = "metrics: {lerf: {metric: pixel_perturbation, shares: [0.1], mean: 0}, alike: {metric: map_agreement}}\n"
    text = "methods: {gradient: }\n" + metrics
    usual = done(tmp_path, x, y, text)
    x[9, 0, 0, 0] = torch.nan
    found = done(tmp_path, x, y, text)
    same_rows(found, usual, 9)
    shard = found["maps.net.a.gradient.000002"]
    assert shard.tensors["target"].tolist()[1] == -1
    assert shard.facts["failures"][0][0] == 9
    assert "9: " in shard.facts["failures"][0][1]


def test_a_method_that_always_raises_leaves_no_maps(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    metrics = "metrics: {lerf: {metric: pixel_perturbation, shares: [0.1], mean: 0}, alike: {metric: map_agreement}}\n"
    found = done(tmp_path, x, y, "random: false\nmethods: {gradient: , always: {python: m.py:always}}\n" + metrics)
    shard = found["maps.net.a.always.000000"]
    assert "maps" not in shard.tensors
    assert shard.facts["failures"] == [[i, "RuntimeError: never"] for i in range(4)]
    assert set(found["net-a.lerf.always.000000"].tensors) == {"images"}
    assert found["net-a.alike.000000"].tensors["spearman"].isnan().all()


def test_errors_that_are_not_about_an_image_are_passed_on(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    with pytest.raises(MemoryError):
        done(tmp_path, x, y, "methods: {full: {python: m.py:full}}\n" + PERTURBED)
    for error in (StorageError("full"), OptionError("wrong")):
        with pytest.raises(type(error)):
            rowwise(_raising(error), (x,), {})


def _raising(error: Exception) -> Any:
    def function(*rows: Tensor) -> dict[str, Tensor]:
        raise error

    return function


def test_rows_that_fail_together_and_not_alone(x: Tensor) -> None:
    """What raises for a batch and for no row of it is done row by row."""

    def alone(rows: Tensor) -> dict[str, Tensor]:
        if len(rows) > 1:
            raise ValueError("one at a time")
        return {"sum": rows.flatten(1).sum(dim=1)}

    found, failures = rowwise(alone, (x,), {2: "unread"})
    assert failures == {}
    assert found["sum"][2].isnan()
    others = [row for row in range(10) if row != 2]
    assert torch.equal(found["sum"][others], x.flatten(1).sum(dim=1)[others])


def test_a_good_row_stands_in_for_a_bad_one(x: Tensor) -> None:
    seen = []

    def function(rows: Tensor) -> dict[str, Tensor]:
        seen.append(rows)
        return {"first": rows[:, 0, 0, 0]}

    found, _ = rowwise(function, (x,), {0: "unread"})
    assert len(seen) == 1
    assert torch.equal(seen[0][0], x[1])
    assert found["first"].isnan().tolist() == [True] + [False] * 9
    assert rowwise(function, (x,), dict.fromkeys(range(10), "unread")) == ({}, {})


def test_a_long_message_is_cut_and_on_one_line(x: Tensor) -> None:
    _, failures = rowwise(_raising(ValueError("a\nb" * 1000)), (x[:1],), {})
    assert len(failures[0]) == 500
    assert "\n" not in failures[0]


def test_other_peoples_warnings_are_shown(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    text = "random: false\nmethods: {mine: {python: w.py:explain}}\n" + PERTURBED
    (tmp_path / "w.py").write_text(
        "import warnings\ndef explain(model):\n    def of(x, target):\n        warnings.warn('theirs')\n"
        "        return x\n    return of\n"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = done(tmp_path, x, y, text)
    assert any(str(w.message) == "theirs" for w in caught)
    assert found["maps.net.a.mine.000000"].facts["warnings"] == []


def test_what_is_no_explanation_is_refused(tmp_path: Path, x: Tensor, y: Tensor) -> None:
    (tmp_path / "w.py").write_text("def explain(model):\n    return 3\n")
    with pytest.raises(OptionError, match="returned a int"):
        done(tmp_path, x, y, "methods: {mine: {python: w.py:explain}}\n" + PERTURBED)


def test_values_are_contiguous_also_for_one_image(x: Tensor) -> None:
    """A file takes bytes in order; a view of one row has strides of its own."""
    found, _ = rowwise(lambda rows: {"first": rows.flatten(1)[:, 0]}, (x[:1],), {})
    assert found["first"].stride() == (1,)


def test_other_rows_are_done_in_a_batch_as_large(x: Tensor) -> None:
    """Sums depend on how many rows go together, so a failure must not change that for the others."""

    def function(rows: Tensor) -> dict[str, Tensor]:
        if (rows[:, 0, 0, 0] > 5).any():
            raise ValueError("too large")
        return {"rows": torch.full((len(rows),), float(len(rows)))}

    x[3, 0, 0, 0] = 6
    found, failures = rowwise(function, (x,), {7: "unread"})
    assert failures == {3: "ValueError: too large"}
    assert found["rows"].isnan().nonzero().flatten().tolist() == [3, 7]
    assert found["rows"].nansum() == 10 * 8
