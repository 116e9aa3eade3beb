"""A run killed on the way, and in the middle of a write, then resumed: the bytes of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runs import toy

from critpath.errors import StorageError

REPOSITORY = Path(__file__).resolve().parents[2]
COUNT = len(toy.tasks())


@contextmanager
def begun(root: Path, **facts: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that executes the toy run; gone at the end."""
    command = [sys.executable, "-m", "tests.runs.toy", str(root), json.dumps(facts)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(met: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def shards_of(root: Path) -> int:
    return len(list((root / "shards").glob("*.safetensors"))) if (root / "shards").exists() else 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    toy.run(root)
    return root


def assert_same(root: Path, undisturbed: Path) -> None:
    assert toy.shards(root) == toy.shards(undisturbed)
    totals = [toy.folder(path).read("total").tensors["values"] for path in (root, undisturbed)]
    assert torch.equal(*totals)
    assert not list(root.rglob("*.tmp"))


def test_killed_on_the_way(tmp_path: Path, undisturbed: Path) -> None:
    with begun(tmp_path, sleep=0.1) as process:
        wait_for(lambda: shards_of(tmp_path) >= 3)
        with pytest.raises(StorageError, match=f"in use by process {process.pid}"):
            toy.run(tmp_path)
        process.kill()
        process.wait()
    there = shards_of(tmp_path)
    assert 3 <= there < COUNT
    outcome = toy.run(tmp_path)
    assert (outcome.found, outcome.done) == (there, COUNT - there)
    assert_same(tmp_path, undisturbed)


def test_killed_in_the_middle_of_a_write(tmp_path: Path, undisturbed: Path) -> None:
    with begun(tmp_path, freeze="draw-4") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "frozen\n"
        process.kill()
        process.wait()
    assert len(list((tmp_path / "shards").glob(".critpath-*.tmp"))) == 1
    assert not (tmp_path / "shards" / "draw-4.safetensors").exists()
    assert toy.run(tmp_path).found == 4
    assert_same(tmp_path, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_asked_to_end(tmp_path: Path, undisturbed: Path, number: int) -> None:
    with begun(tmp_path, sleep=0.1) as process:
        wait_for(lambda: shards_of(tmp_path) >= 2)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    said = json.loads(out)
    assert said["interrupted"]
    assert said["done"] == shards_of(tmp_path) < COUNT
    assert process.returncode == 0
    assert not list(tmp_path.rglob("*.tmp"))
    toy.run(tmp_path)
    assert_same(tmp_path, undisturbed)
