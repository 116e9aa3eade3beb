"""Executing tasks in one process: order, failures, what is found again, and what a full disk does."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.runs import toy

from critpath.errors import CritpathError, MissingDependencyError, OptionError, StorageError
from critpath.runs.engine import machine_devices, resources
from critpath.runs.engine.work import Schedule, blocked_by
from critpath.runs.execute import execute
from critpath.runs.folder import locked
from critpath.runs.progress import Lines, Silent, Table, all_left, counted, duration, rate, table_of, time_left, watcher
from critpath.runs.shard import Shard, shard_bytes
from critpath.runs.task import Task, digests

COUNT = len(toy.tasks())


class Notes(Silent):
    """Writes down what it is told; ``stop_at`` a task it sends the process a signal."""

    def __init__(self, stop_at: str = "", times: int = 1, number: int = signal.SIGINT) -> None:
        self.names: list[str] = []
        self.notes: list[str] = []
        self.stop_at, self.times, self.number = stop_at, times, number

    def started(self, tasks: Sequence[Task], found: Sequence[Task]) -> None:
        self.notes.append(f"started {len(tasks)} {len(found)}")

    def finished(self, task: Task, seconds: float) -> None:
        assert seconds >= 0
        self.names.append(task.name)
        if task.name == self.stop_at:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

    def failed(self, task: Task, message: str) -> None:
        self.notes.append(f"{task.name}: {message}")

    def died(self, task: Task, times: int) -> None:
        self.notes.append(f"{task.name} died {times}")

    def stopping(self) -> None:
        self.notes.append("stopping")

    def ended(self) -> None:
        self.notes.append("ended")


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, str]:
    toy.run(tmp_path / "undisturbed")
    return toy.shards(tmp_path / "undisturbed")


def leftovers(root: Path) -> list[Path]:
    return list(root.rglob("*.tmp"))


class TestAll:
    def test_each_after_what_it_needs_and_right(self, tmp_path: Path) -> None:
        notes = Notes()
        outcome = toy.run(tmp_path, watch=notes)
        assert (outcome.done, outcome.found, outcome.complete) == (COUNT, 0, True)
        assert outcome.image_failures == {"draw-3": 1}
        assert notes.names == [*[f"draw-{i}" for i in range(8)], *[f"sum-{i}" for i in range(7)], "total"]
        folder = toy.folder(tmp_path)
        draws = [folder.read(f"draw-{i}").tensors["values"] for i in range(8)]
        total = folder.read("total").tensors["values"]
        assert torch.allclose(total, sum(draws) * 2 - draws[0] - draws[-1])

    def test_again_finds_all(self, tmp_path: Path) -> None:
        toy.run(tmp_path)
        before = toy.shards(tmp_path)
        notes = Notes()
        outcome = toy.run(tmp_path, {"raising": [task.name for task in toy.tasks()]}, watch=notes)
        assert (outcome.done, outcome.found, outcome.complete) == (0, COUNT, True)
        assert outcome.image_failures == {"draw-3": 1}
        assert notes.notes == [f"started {COUNT} {COUNT}", "ended"]
        assert toy.shards(tmp_path) == before

    def test_order_of_the_list_is_no_matter(self, tmp_path: Path, undisturbed: dict[str, str]) -> None:
        toy.run(tmp_path / "b", chosen=tuple(reversed(toy.tasks())))
        assert toy.shards(tmp_path / "b") == undisturbed

    def test_a_changed_task_and_what_needs_it_are_done_again(self, tmp_path: Path) -> None:
        toy.run(tmp_path)
        changed = [replace(t, facts={"seed": 100}) if t.name == "draw-0" else t for t in toy.tasks()]
        notes = Notes()
        outcome = toy.run(tmp_path, chosen=changed, watch=notes)
        assert notes.names == ["draw-0", "sum-0", "total"]
        assert outcome.found == COUNT - 3

    def test_no_task(self, tmp_path: Path) -> None:
        assert execute((), toy.folder(tmp_path), toy.factory, {}).complete

    def test_perform_is_made_once_and_only_for_work(self, tmp_path: Path) -> None:
        made: list[tuple[Any, str]] = []

        def factory(facts: Any, device: str) -> Any:
            made.append((facts, device))
            return toy.factory({}, device)

        for _ in range(2):
            execute(toy.tasks(), toy.folder(tmp_path), factory, {"f": 1}, devices=("cpu",))
        assert made == [({"f": 1}, "cpu")]

    def test_threads_are_as_before(self, tmp_path: Path) -> None:
        before, seen = torch.get_num_threads(), []

        def factory(facts: Any, device: str) -> Any:
            seen.append(torch.get_num_threads())
            return toy.factory({}, device)

        execute(toy.tasks(), toy.folder(tmp_path), factory, {}, threads=before + 1)
        assert seen == [before + 1]
        assert torch.get_num_threads() == before

    def test_in_another_thread(self, tmp_path: Path) -> None:
        """Where no signal can be handled."""
        outcomes: list[Any] = []
        thread = threading.Thread(target=lambda: outcomes.append(toy.run(tmp_path)))
        thread.start()
        thread.join()
        assert outcomes[0].complete


class TestFailures:
    def test_one_raises_and_the_others_go_on(self, tmp_path: Path, undisturbed: dict[str, str]) -> None:
        notes = Notes()
        outcome = toy.run(tmp_path / "a", {"raising": ["draw-2"]}, watch=notes)
        assert list(outcome.failed) == ["draw-2"]
        assert outcome.failed["draw-2"].startswith("ArithmeticError: draw-2 has no result (")
        assert "toy.py:" in outcome.failed["draw-2"]
        assert outcome.blocked == ("sum-1", "sum-2", "total")
        assert outcome.done == COUNT - 4
        assert not outcome.complete
        assert not outcome.interrupted
        assert notes.notes[1].startswith("draw-2: ArithmeticError")
        toy.run(tmp_path / "a")
        assert toy.shards(tmp_path / "a") == undisturbed

    @pytest.mark.parametrize(
        ("result", "message"),
        [
            (Shard({"x": torch.zeros(1)}, {"n": float("nan")}), "OptionError: the facts of a shard"),
            (None, "AttributeError"),
        ],
    )
    def test_a_result_that_is_none(self, tmp_path: Path, result: Any, message: str) -> None:
        outcome = execute([Task("k", "a", {})], toy.folder(tmp_path), lambda *_: lambda *_: result, {})
        assert outcome.failed["a"].startswith(message)
        assert toy.shards(tmp_path) == {}

    def test_reading_what_is_not_needed(self, tmp_path: Path) -> None:
        tasks = [Task("k", "a", {}), Task("k", "b", {})]
        empty = Shard({})
        outcome = execute(
            tasks, toy.folder(tmp_path), lambda *_: lambda t, read: read("a") if t.name == "b" else empty, {}
        )
        assert "does not name among its needs" in outcome.failed["b"]

    def test_the_factory_raises(self, tmp_path: Path) -> None:
        def factory(facts: Any, device: str) -> Any:
            raise OptionError("no such model")

        with pytest.raises(OptionError, match="no such model"):
            execute(toy.tasks(), toy.folder(tmp_path), factory, {})
        assert toy.run(tmp_path).complete

    def test_two_runs_in_one_folder(self, tmp_path: Path) -> None:
        folder = toy.folder(tmp_path)
        with locked(folder.root), pytest.raises(StorageError, match=f"in use by process {os.getpid()}"):
            toy.run(tmp_path)

    def test_an_unknown_engine(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"no engine is called 'rya'\. Did you mean 'ray'"):
            toy.run(tmp_path, engine="rya")

    @pytest.mark.parametrize("how", [{"workers": 2}, {"devices": ("cpu", "cpu")}, {"address": "auto", "workers": 1}])
    def test_what_the_local_engine_has_not(self, tmp_path: Path, how: Any) -> None:
        with pytest.raises(OptionError, match="engine='ray'"):
            toy.run(tmp_path, **how)

    def test_ray_that_is_not_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "ray", None)
        with pytest.raises(MissingDependencyError, match=r"critpath\[ray\]"):
            toy.run(tmp_path, engine="ray")
        assert issubclass(MissingDependencyError, CritpathError)

    def test_resources(self) -> None:
        assert resources().devices == ("cpu",)
        assert resources(many=True).devices == machine_devices()
        assert resources(address="auto", workers=2, devices=["cuda"]).devices == ("cuda", "cuda")
        assert resources(workers=3).devices == ("cpu",) * 3
        assert resources(devices=["cuda"], workers=2).devices == ("cuda", "cuda")
        assert resources(devices=["cuda:0", "cuda:1"], workers=2).devices == ("cuda:0", "cuda:1")
        for wrong in ({"workers": 0}, {"threads": 0}, {"workers": 3, "devices": ["a", "b"]}, {"address": "auto"}):
            with pytest.raises(OptionError):
                resources(**wrong)  # type: ignore[arg-type]


class TestDamage:
    @pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "gone", "schema", "digest", "rubbish"])
    def test_is_done_again(self, tmp_path: Path, undisturbed: dict[str, str], how: str) -> None:
        root = tmp_path / "a"
        toy.run(root)
        path, data = root / "shards" / "sum-3.safetensors", (root / "shards" / "sum-3.safetensors").read_bytes()
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(
                {
                    "truncated": data[:-5],
                    "flipped": data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
                    "empty": b"",
                    "schema": data.replace(rb"\"format\": 1", rb"\"format\": 7"),
                    "digest": shard_bytes(toy.folder(root).read("sum-3"), "0" * 64),
                    "rubbish": os.urandom(1000),
                }[how]
            )
            assert path.read_bytes() != data
        notes = Notes()
        outcome = toy.run(root, watch=notes)
        assert notes.names == ["sum-3"]
        assert outcome.found == COUNT - 1
        assert toy.shards(root) == undisturbed

    @pytest.mark.parametrize("step", ["fsync", "replace", "write"])
    def test_full_disk(
        self, tmp_path: Path, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        root, notes = tmp_path / "a", Notes()
        toy.run(root, chosen=toy.tasks()[1:4])

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            if step == "write":
                patch.setattr("critpath.files._write_durably", lambda path, data: (path.touch(), full()))
            else:
                patch.setattr(os, step, full)
            with pytest.raises(StorageError, match="No space left on device"):
                toy.run(root, watch=notes)
        assert notes.notes[-1] == "ended"
        assert len(toy.shards(root)) == 3
        assert leftovers(root) == []
        assert toy.run(root).found == 3
        assert toy.shards(root) == undisturbed

    def test_leftovers_of_the_killed_are_removed(self, tmp_path: Path) -> None:
        toy.folder(tmp_path)
        (tmp_path / "shards" / ".critpath-0123456789ab.tmp").write_bytes(b"half")
        toy.run(tmp_path)
        assert leftovers(tmp_path) == []


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_first_stops_and_the_rest_is_resumed(
        self, tmp_path: Path, undisturbed: dict[str, str], number: int
    ) -> None:
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        notes = Notes("draw-5", number=number)
        outcome = toy.run(tmp_path / "a", watch=notes)
        assert outcome.interrupted
        assert not outcome.complete
        assert outcome.done == 6
        assert notes.notes[1:] == ["stopping", "ended"]
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
        assert leftovers(tmp_path) == []
        assert toy.run(tmp_path / "a").found == 6
        assert toy.shards(tmp_path / "a") == undisturbed

    def test_the_second_ends_at_once(self, tmp_path: Path) -> None:
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        notes = Notes("draw-5", times=2)
        with pytest.raises(KeyboardInterrupt):
            toy.run(tmp_path, watch=notes)
        assert notes.notes[-1] == "ended"
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
        assert toy.run(tmp_path).found == 6

    def test_one_after_the_last_task_interrupts_nothing(self, tmp_path: Path) -> None:
        outcome = toy.run(tmp_path, watch=Notes("total"))
        assert outcome.complete


class TestSchedule:
    def test_put_back_comes_first_again(self) -> None:
        schedule = Schedule([Task("k", "a", {}), Task("k", "b", {}, ("a", "there")), Task("k", "c", {})])
        first = schedule.take()
        assert first is not None
        assert first.name == "a"
        schedule.put_back(first)
        assert [task.name for task in iter(schedule.take, None)] == ["a", "c"]
        assert not schedule.ready()
        schedule.finished(first)
        assert [task.name for task in iter(schedule.take, None)] == ["b"]

    def test_blocked(self) -> None:
        tasks = [Task("k", "b", {}, ("a",)), Task("k", "c", {}, ("b",)), Task("k", "d", {})]
        assert blocked_by(("a",), tasks) == ("b", "c")
        assert blocked_by((), tasks) == ()


class TestProgress:
    TASKS = (
        *[Task("maps", f"m{i}", {}, images=10, cost=1.0) for i in range(4)],
        *[Task("train", f"t{i}", {}, cost=5.0) for i in range(2)],
    )

    def test_time_left_follows_the_costs(self) -> None:
        count = counted(self.TASKS, self.TASKS[:1], 0.0)
        assert time_left(count, 1.0) is None
        assert rate(count, "maps", 1.0) is None
        count = count.after(self.TASKS[1], 2.0)
        assert time_left(count, 2.0) == pytest.approx(2 * 2.0)
        assert all_left(count, 2.0) == "more than 0:04"
        assert time_left(count, 2.0, "maps") == pytest.approx(4.0)
        assert rate(count, "maps", 2.0) == pytest.approx(5.0)
        count = count.after(self.TASKS[4], 40.0)
        assert time_left(count, 42.0) == pytest.approx(2 * 2.0 + 40.0)
        assert all_left(count, 42.0) == "0:44"
        assert time_left(count, 21.0) == pytest.approx((2 * 2.0 + 40.0) / 2)
        assert rate(count, "maps", 21.0) == pytest.approx(10.0)
        count = count.without(self.TASKS[5])
        assert time_left(count, 42.0) == pytest.approx(4.0)

    @pytest.mark.parametrize(("seconds", "text"), [(None, "–"), (0.4, "0:00"), (75, "1:15"), (3661, "1:01:01")])
    def test_duration(self, seconds: float | None, text: str) -> None:
        assert duration(seconds) == text

    def test_lines(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        stream = StringIO()
        toy.run(tmp_path, {"raising": ["sum-0"]}, watch=Lines(stream, lambda: [("accuracy", "0.5")], every=0.0))
        text = stream.getvalue()
        assert f"{COUNT} tasks, 0 of them found done" in text
        assert "sum-0 failed: ArithmeticError" in text
        assert "  accuracy: 0.5" in text
        assert "draw 8/8" in text.splitlines()[-1]
        assert "sum 6/8 (1 failed)" in text.splitlines()[-1]
        assert capsys.readouterr().out == ""

    def test_table(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        console = Console(file=StringIO(), force_terminal=True, width=100)
        watch = Table(console, lambda: [("accuracy", "0.5")], every=0.0)
        toy.run(tmp_path, {"raising": ["sum-0"]}, watch=watch)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        for part in ("draw", "images/s", "accuracy  0.5", "sum-0 failed", "6 (1 failed)"):
            assert part in text
        assert capsys.readouterr().out == ""

    def test_table_that_is_stopping(self) -> None:
        console = Console(file=StringIO(), width=120)
        console.print(table_of(counted(self.TASKS, [], 0.0), 61.0, [("a", "[b]")], "stopping"))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "1:01 so far, – left" in text
        assert "a  [b]" in text
        assert "stopping" in text

    def test_which_watcher(self) -> None:
        assert isinstance(watcher(stream=StringIO()), Lines)

    def test_stopping_on_a_stream_without_a_file(self) -> None:
        Lines(StringIO()).stopping()

    def test_digests_are_all_there(self) -> None:
        assert set(digests(toy.tasks())) == {task.name for task in toy.tasks()}
