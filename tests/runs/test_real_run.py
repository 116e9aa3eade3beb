"""Runs of a real plan in a process of their own: killed and resumed, and refused where something has changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from critpath.cli import main

MODELS = """
import time
import torch
import parts.scale
from torch import nn
from critpath.zoo import Preprocess

def net():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 4))
    model = nn.Sequential(*layers)
    with torch.no_grad():
        model[0].weight += torch.load("weights.pt") if __import__("os").path.exists("weights.pt") else 0
    return model, Preprocess(resize=8, crop=8)

def slow(model):
    def explain(x, target):
        time.sleep(0.05)
        return x * parts.scale.FACTOR
    return explain
"""

PLAN = """\
version: 1
threads: 1
batch: 2
memory: 64 MiB
models: {net: {load: m.py:net}}
data: {a: {images: pics}}
methods: {gradient: , smoothgrad: {samples: 4}, mine: {python: "m.py:slow"}}
metrics: {lerf: {metric: pixel_perturbation, shares: [0.1, 0.2]}, emprt: {metric: efficient_mprt}}
"""

COMMAND = "from critpath.cli import main; main()"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    Path("plan.yaml").write_text(PLAN)
    Path("m.py").write_text(MODELS)
    Path("parts").mkdir()
    Path("parts/scale.py").write_text("FACTOR = 1.0\n")
    Path("pics").mkdir()
    draws = np.random.RandomState(0)
    for number in range(7):
        Image.fromarray(draws.randint(0, 256, (8, 8, 3), np.uint8)).save(f"pics/{number}.png")
    yield tmp_path
    torch.set_num_threads(threads)


def started(*words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", COMMAND, "run", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["run", *words])


def shards(root: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(root, "shards").glob("*.safetensors")}


def test_killed_and_resumed(place: Path) -> None:
    with started("plan.yaml", "-o", "killed") as process:
        end = time.monotonic() + 60
        while len(shards("killed") if Path("killed/shards").exists() else ()) < 5:
            assert time.monotonic() < end, "it never came to that"
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    there = len(shards("killed"))
    assert process.returncode == -signal.SIGKILL
    assert run("--resume", "killed").exit_code == 0
    assert run("plan.yaml", "-o", "undisturbed").exit_code == 0
    assert 5 <= there < len(shards("undisturbed"))
    assert shards("killed") == shards("undisturbed")
    assert not list(Path("killed").rglob("*.tmp"))


def begin(root: str) -> None:
    """A run of which one shard is missing."""
    result = run("plan.yaml", "-o", root)
    assert result.exit_code == 0, result.output
    next(Path(root, "shards").glob("maps.*")).unlink()


def refused(root: str, *words: str) -> None:
    result = run("--resume", root)
    assert result.exit_code == 1, result.output
    for word in words:
        assert word in result.stderr


def test_what_has_changed_is_not_mixed(place: Path) -> None:
    begin("out")
    picture = Path("pics/3.png")
    before = picture.read_bytes()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
    refused("out", "the data 'a'", "contents")
    picture.write_bytes(before)
    scale = Path("parts/scale.py")
    scale.write_text("FACTOR = 2.0\n")
    refused("out", "scale.py has changed")
    scale.write_text("FACTOR = 1.0\n")
    torch.save(torch.ones(4, 3, 3, 3), "weights.pt")
    refused("out", "the weights of the model 'net'")
    Path("weights.pt").unlink()
    assert run("--resume", "out").exit_code == 0


def test_a_file_that_a_module_did_not_import(place: Path) -> None:
    begin("out")
    Path("torch.py").write_text("")
    refused("out", "torch.py is imported by", "and was not")


def test_data_in_the_runs_own_folder(place: Path) -> None:
    Path("out").mkdir()
    Path("pics").rename("out/pics")
    Path("plan.yaml").write_text(PLAN.replace("images: pics", "images: out/pics"))
    result = run("plan.yaml", "-o", "out")
    assert result.exit_code == 1
    assert "out/pics lies in the run's own folder" in result.stderr
