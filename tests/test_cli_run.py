"""``critpath run``: plans done, stopped and resumed, what is said, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from critpath.cli import main
from critpath.cli.run import places
from critpath.runs.fold import fold
from critpath.runs.folder import locked, open_run
from critpath.runs.plan import Plan

MODELS = """
import os
import signal
import torch
from pathlib import Path
from torch import nn

def net():
    torch.manual_seed(0)
    print("the model prints")
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4))

def broken():
    raise KeyError("layers")

def by_input(model):
    return lambda x, target: x

def stopping(model):
    def explain(x, target):
        flag = Path(__file__).with_name("stopped")
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGINT)
        return x
    return explain

def raising(model):
    def explain(x, target):
        if (x > 5).any():
            raise ValueError("too large")
        return x
    return explain

def failing(model):
    def explain(x, target):
        raise MemoryError("no memory")
    return explain
"""

PLAN = """\
version: 1
threads: 1
batch: 3
models: {net: {load: m.py:net}}
data: {a: {arrays: a.npz}}
methods: {mine: {python: "m.py:METHOD"}}
metrics: {pixel_perturbation: {shares: [0.1, 0.2]}}
"""

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    images = np.random.RandomState(0).rand(7, 1, 8, 8).astype(np.float32)
    np.savez("a.npz", images=images, labels=np.arange(7) % 4)
    images[4] = 6
    np.savez("large.npz", images=images, labels=np.arange(7) % 4)
    plan("plan.yaml", "by_input")
    return tmp_path


def plan(name: str, method: str, data: str = "a.npz") -> None:
    Path(name).write_text(PLAN.replace("METHOD", method).replace("a.npz", data))


@pytest.fixture
def run(place: Path) -> Run:
    def running(*words: object) -> Result:
        return CliRunner().invoke(main, ["run", *map(str, words)])

    return running


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.stderr
    for word in words:
        assert word in errors[0], errors[0]


def numbers(folder: str) -> dict[str, list[object]]:
    """All values of a run, as text that tells bits apart."""
    records = fold(folder).records
    return {str(key): [name, *(map(str, t.double().flatten().tolist()))] for key, record in records.items()
            for name, t in record.values.items()}  # fmt: skip


def test_a_plan_is_done_and_found_done(run: Run) -> None:
    result = run("plan.yaml", "-o", "out", "--export", "csv")
    assert result.exit_code == 0, result.output
    assert "12 tasks done" in result.stdout
    assert "Export: out/results.csv" in result.stdout
    assert "Report: out/report.html" in result.stdout
    assert "the model prints" not in result.stdout
    assert Path("out/results.csv").is_file()
    assert Path("out/report.html").is_file()
    assert Path("out/plan.yaml").read_text() == Path("plan.yaml").read_text()
    again = run("plan.yaml", "-o", "out")
    assert again.exit_code == 0
    assert "0 tasks done" in again.stdout
    assert "12 were there" in again.stdout


def test_a_stopped_run_is_resumed(run: Run) -> None:
    plan("stop.yaml", "stopping")
    result = run("stop.yaml", "-o", "stopped-run")
    assert result.exit_code == 130, result.output
    assert "Stopped. To go on: critpath run --resume stopped-run" in result.stderr
    resumed = run("--resume", "stopped-run")
    assert resumed.exit_code == 0, resumed.output
    assert "of them found done" in resumed.stderr
    undisturbed = run("stop.yaml", "-o", "undisturbed")
    assert undisturbed.exit_code == 0
    assert numbers("stopped-run") == numbers("undisturbed")


def test_images_that_fail_give_an_exit_code_of_their_own(run: Run) -> None:
    plan("bad.yaml", "raising", "large.npz")
    result = run("bad.yaml", "-o", "out")
    assert result.exit_code == 3, result.output
    assert "images failed in 1 tasks" in result.stderr
    assert "maps.net.a.mine.000001: 1 images" in result.stderr
    again = run("--resume", "out")
    assert again.exit_code == 3


def test_tasks_that_fail_give_it_too_and_others_go_on(run: Run) -> None:
    plan("bad.yaml", "failing")
    result = run("bad.yaml", "-o", "out")
    assert result.exit_code == 3, result.output
    assert "3 tasks failed, and 3 that need them were not done" in result.stderr
    assert "no memory" in result.stderr
    assert "6 tasks done" in result.stdout


def test_a_changed_file_is_not_resumed(run: Run) -> None:
    assert run("plan.yaml", "-o", "out").exit_code == 0
    Path("m.py").write_text(MODELS + "# changed\n")
    refused(run("--resume", "out"), "m.py has changed")


def test_files_in_the_runs_own_folder_are_refused(run: Run, place: Path) -> None:
    refused(run("plan.yaml", "-o", place), "own folder")


def test_a_folder_in_use_is_refused(run: Run) -> None:
    assert run("plan.yaml", "-o", "out").exit_code == 0
    with locked("out"):
        refused(run("--resume", "out"), "in use")


def test_another_plan_in_the_same_folder_is_refused(run: Run) -> None:
    assert run("plan.yaml", "-o", "out").exit_code == 0
    Path("plan.yaml").write_text(Path("plan.yaml").read_text() + "seed: 3\n")
    refused(run("plan.yaml", "-o", "out"), "another plan")


def test_other_versions_are_told(run: Run) -> None:
    assert run("plan.yaml", "-o", "out").exit_code == 0
    facts = json.loads(Path("out/run.json").read_text())
    facts["versions"]["torch"] = "0.1"
    Path("out/run.json").write_text(json.dumps(facts))
    result = run("--resume", "out")
    assert result.exit_code == 0
    assert "began with torch 0.1" in result.stderr


def test_dry(run: Run) -> None:
    result = run("plan.yaml", "--dry")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["maps", "6"], ["measure", "pixel_perturbation"], ["in", "all"]]
    assert "12 tasks" in lines[-1]
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), ["give a plan or --resume DIR"]),
        (("plan.yaml", "--resume", "out"), ["here are both"]),
        (("--resume", "out", "-o", "out"), ["-o goes with a plan"]),
        (("plan.yaml",), ["-o DIR"]),
        (("gone.yaml", "-o", "out"), ["gone.yaml", "cannot be read"]),
        (("--resume", "gone"), ["gone is no folder of a run"]),
        (("plan.yaml", "-o", "out", "--workers", "2"), ["--engine ray"]),
        (("plan.yaml", "-o", "plan.yaml"), ["plan.yaml is a file"]),
    ],
)
def test_wrong_arguments(run: Run, words: tuple[str, ...], said: list[str]) -> None:
    refused(run(*words), *said)


def test_wrong_plans_and_models(run: Run) -> None:
    Path("wrong.yaml").write_text(Path("plan.yaml").read_text().replace("methods", "method"))
    refused(run("wrong.yaml", "-o", "out"), "wrong.yaml:6: 'method' is no key of a plan; did you mean 'methods'")
    Path("broken.yaml").write_text(Path("plan.yaml").read_text().replace("m.py:net", "m.py:broken"))
    refused(run("broken.yaml", "-o", "out"), "the model 'net' cannot be loaded", "KeyError")
    assert not Path("out").exists()


def test_devices_that_are_not_there(run: Run) -> None:
    Path("gpu.yaml").write_text(Path("plan.yaml").read_text() + "device: nowhere:0\n")
    refused(run("gpu.yaml", "-o", "out"), "nowhere:0")


def test_help_is_quick_to_import() -> None:
    code = "import sys; import critpath.cli; sys.exit('torch' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_what_the_folder_says_of_itself(run: Run, place: Path) -> None:
    assert run("plan.yaml", "-o", "out").exit_code == 0
    facts = open_run("out").facts
    assert facts["models"]["net"]["load"] == f"{place}/m.py:net"
    assert facts["threads"] == 1


@pytest.mark.parametrize(
    ("device", "engine", "workers", "expected"),
    [
        ("cpu", "local", None, ["cpu"]),
        ("cpu", "ray", 3, ["cpu"]),
        ("cpu", "ray", None, ["cpu"] * 2),
        ("cuda", "ray", None, ["cuda:0", "cuda:1"]),
        ("cuda:1", "ray", None, ["cuda:1"]),
    ],
)
def test_where_workers_are_by_default(
    device: str, engine: str, workers: int | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    plan = Plan({}, {}, {}, {}, (), device=device, threads=3)
    assert list(places(plan, engine, None, workers)) == expected
