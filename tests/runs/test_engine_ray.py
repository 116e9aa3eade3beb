"""The engine of Ray: the bytes of the local one, workers that die, and the end of all that it started."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.runs import test_programs as programs
from tests.runs import toy
from tests.runs.test_engine import Notes
from tests.runs.test_killed import begun, shards_of, wait_for

from critpath.errors import OptionError, StorageError
from critpath.runs.execute import execute

ray = pytest.importorskip("ray", reason="Ray is NOT INSTALLED: its engine is not tested")

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",  # Ray leaves sockets and processes to the collector
    "ignore:.*:DeprecationWarning:ray",
)
COUNT = len(toy.tasks())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("undisturbed")
    toy.run(root)
    return toy.shards(root)


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    """One session of Ray for most tests, joined by the engine as a caller's own would be."""
    ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, object_store_memory=80 * 2**20)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("session")
class TestWorkers:
    @pytest.mark.parametrize("workers", [1, 3], ids=["one", "more than there is room for"])
    def test_same_bytes_as_local(self, tmp_path: Path, undisturbed: dict[str, str], workers: int) -> None:
        outcome = toy.run(tmp_path, engine="ray", workers=workers)
        assert (outcome.done, outcome.complete) == (COUNT, True)
        assert outcome.image_failures == {"draw-3": 1}
        assert toy.shards(tmp_path) == undisturbed
        assert toy.run(tmp_path, engine="ray", workers=workers).found == COUNT

    def test_programs_give_equal_results(self, tmp_path: Path) -> None:
        (tmp_path / "work.py").write_text(programs.WORK)
        (tmp_path / "helper.py").write_text("def double(x):\n    return 2.0 * x\n")
        plan = programs.read(tmp_path, programs.PLAN)
        local = programs.results(programs.done(plan, tmp_path / "local"))
        assert len(local) == 4
        assert programs.results(programs.done(plan, tmp_path / "ray", engine="ray", workers=2)) == local

    def test_workers_die(self, tmp_path: Path, undisturbed: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
        """One task kills its worker once and is done in the end, one always does, another only raises."""
        facts = {"dying": ["sum-4"], "once": str(tmp_path), "always": ["draw-0"], "raising": ["draw-7"]}
        root, notes = tmp_path / "run", Notes()
        outcome = toy.run(root, facts, engine="ray", workers=2, watch=notes)
        assert sorted(outcome.failed) == ["draw-0", "draw-7"]
        assert outcome.failed["draw-7"].startswith("ArithmeticError: draw-7 has no result")
        assert outcome.failed["draw-0"].startswith("3 workers died over it. The last: ")
        assert outcome.blocked == ("sum-0", "sum-6", "total")
        assert sorted(note for note in notes.notes if " died " in note and ":" not in note) == [
            "draw-0 died 1",
            "draw-0 died 2",
            "sum-4 died 1",
        ]
        assert capfd.readouterr().out == ""
        assert not list(tmp_path.rglob("*.tmp"))
        toy.run(root)
        assert toy.shards(root) == undisturbed

    def test_the_factory_raises(self, tmp_path: Path) -> None:
        def factory(facts: Any, device: str) -> Any:
            raise OptionError("no such model")

        with pytest.raises(OptionError, match="no such model"):
            execute(toy.tasks(), toy.folder(tmp_path), factory, {}, engine="ray", workers=1)

    def test_a_full_disk(self, tmp_path: Path) -> None:
        def factory(facts: Any, device: str) -> Any:
            def full(*_: Any) -> None:
                raise OSError(28, "No space left on device")

            os.fsync = full
            return toy.factory({}, device)

        with pytest.raises(StorageError, match="No space left"):
            execute(toy.tasks(), toy.folder(tmp_path), factory, {}, engine="ray", workers=1)
        assert not list(tmp_path.rglob("*.tmp"))

    def test_stopped_and_resumed(self, tmp_path: Path, undisturbed: dict[str, str]) -> None:
        notes = Notes("draw-4")
        outcome = toy.run(tmp_path, {"sleep": 0.05}, engine="ray", workers=2, watch=notes)
        assert outcome.interrupted
        assert outcome.done < COUNT
        assert notes.notes[1:] == ["stopping", "ended"]
        assert not list(tmp_path.rglob("*.tmp"))
        toy.run(tmp_path)
        assert toy.shards(tmp_path) == undisturbed

    def test_the_callers_session_goes_on(self) -> None:
        assert ray.is_initialized()


def descendants(root: int) -> set[int]:
    found = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in found.splitlines()[1:]]
    below, size = {root}, 0
    while len(below) > size:
        size = len(below)
        below |= {pid for pid, parent in pairs if parent in below}
    return below - {root}


def command(pid: int) -> str:
    """What a process is; nothing once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def folders_of(pids: set[int]) -> set[str]:
    return {match for pid in pids for match in re.findall(r"/\w+/critpath-\w+", command(pid))}


def remove(pids: set[int], folders: set[str]) -> None:
    """End what is left of a killed session (Ray's agents wait a minute for it), and delete its files."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_driver_killed_while_another_run_goes_on(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    """Each in a session of its own: the killed one's workers end, the other is undisturbed and says nothing."""
    how = {"engine": "ray", "workers": 1}
    with begun(tmp_path / "a", sleep=0.2, how=how) as first, begun(tmp_path / "b", sleep=0.1, how=how) as second:
        wait_for(lambda: shards_of(tmp_path / "a") >= 2 and shards_of(tmp_path / "b") >= 1)
        started = descendants(first.pid)
        workers = {pid for pid in started if "Performer" in command(pid)}
        files = folders_of(started)
        assert workers
        assert files
        first.send_signal(signal.SIGKILL)
        out, err = second.communicate(timeout=60)
        wait_for(lambda: not any(command(pid) for pid in workers), 20)
        remove(started, files)
    assert json.loads(out) == {"done": COUNT, "found": 0, "interrupted": False}
    assert err == ""
    assert toy.shards(tmp_path / "b") == undisturbed
    there = shards_of(tmp_path / "a")
    assert toy.run(tmp_path / "a").found == there
    assert toy.shards(tmp_path / "a") == undisturbed
