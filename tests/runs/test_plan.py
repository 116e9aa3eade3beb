"""Plans: what they may say, what is filled in, and one clear error, with its line, for everything that is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from critpath.attribution.family import ATTRIBUTIONS
from critpath.errors import MismatchError, OptionError, StorageError
from critpath.runs.checks import read_plan
from critpath.runs.document import parse
from critpath.runs.kinds import KINDS, checked_kind
from critpath.runs.loading import opened
from critpath.runs.plan import Plan, check_files, file_digest, plan_of

MODELS = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4))

def explain_by_input(model):
    return lambda x, target: x

def pictures():
    return torch.rand(5, 1, 8, 8), torch.arange(5) % 4

def bad():
    return 3
"""

PLAN = """\
version: 1
models:
  net: {load: m.py:net}
data:
  arrays: {arrays: a.npz}
methods:
  gradient:
metrics:
  pixel_perturbation: {shares: [0.1, 0.2]}
"""

Read = Callable[[str], Plan]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text(MODELS)
    images = np.random.RandomState(0).rand(9, 1, 8, 8).astype(np.float32)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(9) % 4)
    np.savez(tmp_path / "copy.npz", images=images, labels=np.arange(9) % 4)
    np.savez(tmp_path / "unlabelled.npz", images=images)
    return tmp_path


@pytest.fixture
def read(place: Path) -> Read:
    def reading(text: str) -> Plan:
        (place / "plan.yaml").write_text(text)
        return read_plan(place / "plan.yaml")

    return reading


def refused(read: Read, text: str, line: int, *words: str) -> None:
    with pytest.raises(OptionError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith(f"plan.yaml:{line}: "), message
    for word in words:
        assert word in message, message


def changed(old: str, new: str) -> str:
    assert old in PLAN
    return PLAN.replace(old, new)


def test_defaults_are_filled_in(read: Read, place: Path) -> None:
    plan = read(PLAN)
    assert (plan.seed, plan.batch, plan.maps, plan.device) == (0, 8, "reduced", "cpu")
    assert plan.threads == len(os.sched_getaffinity(0))
    assert plan.models["net"].load == f"{place}/m.py:net"
    assert plan.models["net"].files == {f"{place}/m.py": file_digest(place / "m.py")}
    assert (plan.data["arrays"].images, plan.data["arrays"].labelled) == (9, True)
    assert list(plan.methods) == ["gradient", "random"]
    options = plan.metrics["pixel_perturbation"].options
    assert options == {**KINDS["pixel_perturbation"].options, "shares": [0.1, 0.2]}
    (evaluation,) = plan.evaluations
    assert (evaluation.name, evaluation.model, evaluation.data) == ("net-arrays", "net", "arrays")
    assert tuple(evaluation.methods) == ("gradient", "random")


def test_resolved_is_json_and_comes_back(read: Read) -> None:
    resolved = read(PLAN).resolved()
    assert plan_of(json.loads(json.dumps(resolved))).resolved() == resolved


def test_a_plan_of_another_version_or_shape_is_refused(read: Read) -> None:
    resolved = read(PLAN).resolved()
    with pytest.raises(OptionError, match="version 2"):
        plan_of({**resolved, "version": 2})
    with pytest.raises(OptionError, match="no resolved plan"):
        plan_of({name: value for name, value in resolved.items() if name != "data"})
    with pytest.raises(OptionError, match="fields of a ModelEntry"):
        plan_of({**resolved, "models": {"net": {"lode": "x"}}})


def test_the_plans_seed_is_the_default_of_others(read: Read) -> None:
    plan = read(PLAN + "seed: 7\n")
    assert plan.methods["random"].options == {"seed": 7}
    assert plan.metrics["pixel_perturbation"].options["seed"] == 7
    given = read(changed("  gradient:", "  smoothgrad: {seed: 3}") + "seed: 7\n")
    assert given.methods["smoothgrad"].options == {"seed": 3}


def test_random_row(read: Read) -> None:
    assert list(read(PLAN + "random: false\n").methods) == ["gradient"]
    own = read(changed("  gradient:", "  gradient:\n  chance: {method: random, seed: 5}"))
    assert list(own.methods) == ["gradient", "chance"]
    listed = read(PLAN + "evaluations:\n  - {methods: [gradient]}\n")
    assert tuple(listed.evaluations[0].methods) == ("gradient", "random")


def test_methods_and_metrics_as_lists(read: Read) -> None:
    plan = read(
        changed("  gradient:", "  [gradient, input_gradient]").replace(
            "  pixel_perturbation: {shares: [0.1, 0.2]}", "  - pixel_perturbation\n  - map_agreement"
        )
    )
    assert list(plan.methods) == ["gradient", "input_gradient", "random"]
    assert list(plan.metrics) == ["pixel_perturbation", "map_agreement"]


def test_paths_start_from_the_plans_folder(read: Read, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert read(PLAN).data["arrays"].where == f"{place}/a.npz"


def test_own_functions_are_digested_and_data_functions_run(read: Read, place: Path) -> None:
    text = changed("{arrays: a.npz}", "{python: m.py:pictures}").replace(
        "  gradient:", "  mine: {python: m.py:explain_by_input}"
    )
    plan = read(text)
    digest = file_digest(place / "m.py")
    assert plan.methods["mine"].python == f"{place}/m.py:explain_by_input"
    assert plan.methods["mine"].files == plan.data["arrays"].files == {f"{place}/m.py": digest}
    assert plan.data["arrays"].images == 5


def test_short_numbers_are_numbers(read: Read) -> None:
    text = changed("{shares: [0.1, 0.2]}", "{shares: [1e-1, .2]}")
    assert read(text).metrics["pixel_perturbation"].options["shares"] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (changed("version: 1\n", ""), 1, ["version: 1"]),
        (changed("version: 1", "version: 2"), 1, ["version is 2", "version 1"]),
        (changed("models:", "modles:"), 2, ["'modles'", "did you mean 'models'"]),
        (changed("metrics:\n  pixel_perturbation: {shares: [0.1, 0.2]}\n", ""), 1, ["no metrics"]),
        (PLAN + "seed: -1\n", 10, ["seed is -1", "at least 0"]),
        (PLAN + "batch: 1.5\n", 10, ["batch is 1.5", "whole number"]),
        (PLAN + "batch: true\n", 10, ["batch is True"]),
        (PLAN + "maps: half\n", 10, ["'half'", "reduced, full"]),
        (PLAN + "device: /dev/gpu\n", 10, ["device", "cuda:0"]),
        (PLAN + "memory: much\n", 10, ["memory is 'much'", "4GiB"]),
        (PLAN + "memory:\n", 10, ["memory"]),
        (PLAN + "random: 3\n", 10, ["random is 3", "True or False"]),
        (PLAN + "seed: 1\nseed: 2\n", 11, ["'seed' is there twice", "line 10"]),
        (PLAN + "seed: 2026-01-01\n", 10, ["date", "quotes"]),
        (PLAN + "seed: !!python/object:os.system x\n", 10, ["python/object", "not taken"]),
        (PLAN + "seed: &a 1\nbatch: *a\n", 11, ["*a", "references"]),
        (PLAN + "   bad: indent\n", 10, ["YAML"]),
        (changed("{load: m.py:net}", "{laod: m.py:net}"), 3, ["'laod'", "did you mean 'load'"]),
        (changed("{load: m.py:net}", "{arch: torchvision:resnet18}"), 3, ["load: SPEC"]),
        (changed("m.py:net", "gone.py:net"), 3, ["no file", "gone.py"]),
        (changed("m.py:net", "m.py:nte"), 3, ["no function 'nte'", "did you mean 'net'"]),
        (changed("m.py:net", "resnet18"), 3, ["Unknown model", "torchvision:resnet18"]),
        (changed("m.py:net", "file:gone.safetensors@m.py:net"), 3, ["no weights file"]),
        (changed("{load: m.py:net}", "3"), 3, ["it is a model"]),
        (changed("net: {load", "Net: {load"), 3, ["'Net'", "small letters"]),
        (changed("net: {load", "a.b: {load"), 3, ["'a.b'"]),
        (changed("{arrays: a.npz}", "{arrays: gone.npz}"), 5, ["no file", "gone.npz"]),
        (changed("{arrays: a.npz}", "{images: gone}"), 5, ["no folder", "gone"]),
        (changed("{arrays: a.npz}", "{digits: all, images: .}"), 5, ["one source", "digits and images", "cifar10"]),
        (changed("{arrays: a.npz}", "{limit: 3}"), 5, ["has none", "huggingface"]),
        (changed("{arrays: a.npz}", "{arrays: a.npz, limt: 3}"), 5, ["'limt'", "did you mean 'limit'"]),
        (changed("{arrays: a.npz}", "{arrays: a.npz, limit: 0}"), 5, ["limit is 0", "at least 1"]),
        (changed("{arrays: a.npz}", "{arrays: a.npz, start: 9}"), 5, ["none is left"]),
        (changed("{arrays: a.npz}", "{torchvision: CIFAR10, root: .}"), 5, ["pickle", "cifar10: FOLDER"]),
        (changed("{arrays: a.npz}", "{cifar10: .}"), 5, ["test_batch.bin", "binary version"]),
        (changed("{arrays: a.npz}", "{python: m.py:bad}"), 5, ["returned a int", "(images, labels)"]),
        (changed("  gradient:", "  gradiant:"), 7, ["'gradiant'", "did you mean 'gradient'"]),
        (changed("  gradient:", "  gradient: {point: 3}"), 7, ["'point'", "the method gradient"]),
        (changed("  gradient:", "  ig:\n    method: integrated_gradients\n    points: 0"), 7, ["points is 0"]),
        (changed("  gradient:", "  pathway_gradient: {sparsity: 2}"), 7, ["sparsity", "2"]),
        (changed("  gradient:", "  mine: {python: m.py:gone}"), 7, ["no function 'gone'"]),
        (changed("  gradient:", "  mine: {python: m.py:net, seed: 3}"), 7, ["'seed'", "method of one's own"]),
        (changed("  gradient:", "  random: {method: gradient}"), 6, ["random: false"]),
        (changed("  gradient:", "  [gradient, gradient]"), 6, ["one twice"]),
        (changed("pixel_perturbation: {", "pixel_pertubation: {"), 9, ["did you mean 'pixel_perturbation'"]),
        (changed("{shares: [0.1, 0.2]}", "{share: [0.1, 0.2]}"), 9, ["'share'", "did you mean 'shares'"]),
        (changed("{shares: [0.1, 0.2]}", "{shares: [0.1, 2]}"), 9, ["2"]),
        (changed("{shares: [0.1, 0.2]}", "{fill: wite}"), 9, ["'wite'", "mean"]),
        (changed("{shares: [0.1, 0.2]}", "{unit: scalar}"), 8, ["all channels", "maps: full"]),
        (PLAN + "evaluations:\n  - {model: nett}\n", 11, ["'nett'", "did you mean 'net'"]),
        (PLAN + "evaluations:\n  - {metrics: [roar]}\n", 11, ["'roar'", "pixel_perturbation"]),
        (PLAN + "evaluations:\n  - {}\n  - {}\n", 12, ["two evaluations", "net-arrays"]),
        (PLAN + "evaluations:\n  - {name: Mine}\n", 11, ["'Mine'"]),
        (PLAN + "evaluations: []\n", 10, ["not empty"]),
        (PLAN + "evaluations:\n  - {modle: net}\n", 11, ["did you mean 'model'"]),
    ],
)
def test_wrong_plans(read: Read, text: str, line: int, words: list[str]) -> None:
    refused(read, text, line, *words)


def two(train: str, test: str) -> str:
    """A plan that trains on one data set and tests on another."""
    return (
        ROAR.replace("  arrays: {arrays: a.npz}", f"  arrays: {train}\n  b: {test}")
        + "evaluations:\n  - {train: arrays, data: b, test: b}\n"
    )


ROAR = changed("  pixel_perturbation: {shares: [0.1, 0.2]}", "  roar: {seeds: [0]}")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (ROAR, 1, ["names no train data", "arrays"]),
        (ROAR + "evaluations:\n  - {train: arrays}\n", 11, ["names no test data"]),
        (ROAR + "evaluations:\n  - {train: arrays, test: arrays}\n", 11, ["tested on", "train 'arrays'", "are one"]),
        (two("{arrays: a.npz, limit: 5}", "{arrays: a.npz, start: 4}"), 12, ["images of one source in common"]),
        (two("{arrays: a.npz, limit: 5}", "{arrays: copy.npz, limit: 5}"), 12, ["the same images"]),
        (two("{arrays: a.npz, limit: 4}", "{arrays: a.npz, start: 4, shuffle: 1}"), 12, ["shuffled differently"]),
        (two("{digits: all, limit: 1300}", "{digits: validation}"), 12, ["in common"]),
        (
            ROAR.replace("a.npz", "unlabelled.npz") + "evaluations:\n  - {train: arrays, test: arrays}\n",
            11,
            ["labels", "have none"],
        ),
        (ROAR.replace("{seeds: [0]}", "{seeds: [0, 0]}"), 9, ["one is there twice"]),
        (ROAR.replace("{seeds: [0]}", "{shares: [0.5, 0.1]}"), 9, ["ascend"]),
        (ROAR.replace("{seeds: [0]}", "{recipe: {epoch: 3}}"), 9, ["'epoch'", "epochs"]),
        (ROAR.replace("{seeds: [0]}", "{recipe: {epochs: 0}}"), 9, ["epochs is 0"]),
        (ROAR.replace("{seeds: [0]}", "{recipe: {model: m.py:nte}}"), 9, ["no function 'nte'"]),
    ],
)
def test_wrong_retrainings(read: Read, text: str, line: int, words: list[str]) -> None:
    refused(read, text, line, *words)


def test_every_kind_takes_its_own_defaults() -> None:
    for name in KINDS:
        options = checked_kind(name, {}, 5)
        assert json.loads(json.dumps(options)) == options
        assert options.get("seed", 5) == 5


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("parameter_randomisation", {"mode": "sideways"}),
        ("parameter_randomisation", {"similarities": ["likeness"]}),
        ("parameter_randomisation", {"stages": "layer*"}),
        ("parameter_randomisation", {"repeats": 0}),
        ("efficient_mprt", {"bins": 0}),
        ("smooth_mprt", {"samples": 0}),
        ("f_fidelity", {"removed": 2}),
        ("f_fidelity", {"tuning": {"epoch": 3}}),
        ("f_fidelity", {"tuning": {"lr": -1}}),
        ("map_agreement", {"reduce": "most"}),
        ("feature_selection", {"methods": ["taylr"]}),
        ("feature_selection", {"train_share": 1}),
        ("roar", {"fill": "snow"}),
        ("roar", {"recipe": {"lr": 0}}),
    ],
)
def test_metrics_own_checks(kind: str, options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        checked_kind(kind, options, 0)


def test_a_channels_own_fill_is_no_matter_of_three(read: Read) -> None:
    assert checked_kind("pixel_perturbation", {"fill": [0.5]}, 0)["fill"] == [0.5]


def test_every_registered_method_can_be_named(read: Read) -> None:
    names = ATTRIBUTIONS.names()
    plan = read(changed("  gradient:", "\n".join(f"  {name}:" for name in names)))
    assert list(plan.methods) == list(names)


def test_deep_and_long_plans_are_refused(place: Path) -> None:
    with pytest.raises(OptionError, match="too deeply"):
        parse("[" * 5000, "plan.yaml")
    (place / "long.yaml").write_text("#" * (2**20 + 1))
    with pytest.raises(OptionError, match="are not read"):
        read_plan(place / "long.yaml")
    (place / "latin.yaml").write_bytes(b"version: 1\nmodels: \xff\n")
    with pytest.raises(OptionError, match=r"latin\.yaml:2: .*UTF-8"):
        read_plan(place / "latin.yaml")
    with pytest.raises(StorageError, match="No such file"):
        read_plan(place / "gone.yaml")
    (place / "empty.yaml").write_text("")
    with pytest.raises(OptionError, match=r"empty\.yaml:1: "):
        read_plan(place / "empty.yaml")


def test_files_of_a_plan_stay_outside_and_as_they_were(read: Read, place: Path) -> None:
    plan = read(PLAN)
    check_files(plan, place / "run")
    with pytest.raises(OptionError, match="own folder"):
        check_files(plan, place)
    (place / "m.py").write_text(MODELS + "\n# changed\n")
    with pytest.raises(MismatchError, match="has changed"):
        check_files(plan, place / "run")
    (place / "m.py").unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        check_files(plan, place / "run")


def test_a_python_file_without_its_digest_is_not_run(read: Read, place: Path) -> None:
    resolved = read(PLAN).resolved()
    resolved["models"]["net"]["files"] = {}
    with pytest.raises(OptionError, match="changed by hand"):
        check_files(plan_of(resolved), place / "run")
    resolved["models"]["net"]["load"] = "digits"
    resolved["methods"]["gradient"] = {"python": "/tmp/evil.py:explain"}
    with pytest.raises(OptionError, match=r"evil\.py"):
        check_files(plan_of(resolved), place / "run")


def test_data_that_were_exchanged_are_refused(place: Path, read: Read) -> None:
    for name in ("a", "b"):
        (place / "p").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(place / "p" / f"{name}.png")
    entry = read(changed("{arrays: a.npz}", "{images: p}")).data["arrays"]
    assert list(opened("arrays", entry).ids) == ["a.png", "b.png"]
    (place / "p" / "b.png").rename(place / "p" / "c.png")
    with pytest.raises(MismatchError, match="not those that the run began with"):
        opened("arrays", entry)


def test_names_of_classes(read: Read) -> None:
    entry = read(changed("{arrays: a.npz}", "{arrays: a.npz, names: [n, e, s, w]}")).data["arrays"]
    assert opened("arrays", entry).classes == ("n", "e", "s", "w")
    assert torch.equal(opened("arrays", entry).labels, torch.arange(9) % 4)  # type: ignore[arg-type]


def test_the_plan_of_the_documentation_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/evaluation.md").read_text("utf-8")
    (tmp_path / "plan.yaml").write_text(page.split("```yaml\n")[1].split("```")[0], "utf-8")
    (tmp_path / "my_model.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(2, 2)\n", "utf-8")
    (tmp_path / "my_maps.py").write_text("def make(model):\n    return lambda x, target: x\n", "utf-8")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "one.png")
    assert set(read_plan(tmp_path / "plan.yaml").methods) == {"gradient", "sparse", "own", "random"}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("{arrays: a.npz, limit: 4}", "{arrays: a.npz, start: 4}"),
        ("{arrays: a.npz, limit: 4, shuffle: 1}", "{arrays: a.npz, start: 4, shuffle: 1}"),
        ("{digits: train}", "{digits: validation}"),
        ("{digits: all, limit: 1197}", "{digits: test}"),
    ],
)
def test_parts_without_common_images(read: Read, train: str, test: str) -> None:
    assert read(two(train, test)).evaluations[0].train == "arrays"


def test_memory_is_in_the_plan(read: Read) -> None:
    assert read(PLAN).resolved()["memory"] == "1GiB"
    plan = read(PLAN + "memory: 2 GiB\n")
    assert plan_of(plan.resolved()).memory == "2 GiB"


def test_files_that_a_users_file_imports_are_its_own(read: Read, place: Path) -> None:
    (place / "helper.py").write_text("X = 1\n")
    (place / "m.py").write_text("import helper\n" + MODELS)
    plan = read(PLAN)
    assert set(plan.files()) >= {str(place / "helper.py"), str(place / "m.py")}
    check_files(plan, place / "run")
    (place / "helper.py").write_text("X = 2\n")
    with pytest.raises(MismatchError, match=r"helper\.py has changed"):
        check_files(plan, place / "run")


@pytest.mark.parametrize(
    "change",
    [
        {"source": "torchvision", "where": "CIFAR10", "options": {"root": "run/root", "allow_pickle": True}},
        {"source": "images", "where": "run/pics"},
        {"source": "images", "where": "pics", "options": {"labels": "run/labels.csv"}},
    ],
)
def test_data_of_the_runs_own_folder(read: Read, place: Path, change: dict[str, object]) -> None:
    resolved = read(PLAN).resolved()
    for name in ("where", "options"):
        if name in change:
            change[name] = json.loads(json.dumps(change[name]).replace("run/", f"{place}/run/"))
    resolved["data"]["arrays"].update(change, files={})
    with pytest.raises(OptionError, match="own folder"):
        check_files(plan_of(resolved), place / "run")
