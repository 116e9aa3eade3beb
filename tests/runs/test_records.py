"""What a run says of itself: tasks that raised, devices and versions of its shards, shards that are damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.runs import toy
from tests.runs.toy_run import make_plan, make_run, shard_of

import critpath.memory
from critpath import Network, attribute
from critpath.errors import MismatchError, OptionError
from critpath.memory import limit_of, limited_to
from critpath.report import render_run
from critpath.runs.execute import execute
from critpath.runs.fold import Folded, folded
from critpath.runs.folder import RunFolder, create_run
from critpath.runs.live import live_summary
from critpath.runs.loading import loaded, with_models
from critpath.runs.page import run_content
from critpath.runs.plan import ModelEntry, Plan
from critpath.runs.progress import Silent
from critpath.runs.results import part_of
from critpath.runs.shard import Shard, read_shard, shard_bytes
from critpath.runs.task import Perform, Task, digests
from critpath.runs.tasks import tasks_of
from critpath.runs.work import made_with, workshop

WANTED = ("lerf", "morf")


def failing(plan: Plan, *names: str) -> Callable[[Mapping[str, Any], str], Perform]:
    """A factory that raises for these tasks."""

    def factory(facts: Mapping[str, Any], device: str) -> Perform:
        def perform(task: Task, read: Callable[[str], Shard]) -> Shard:
            if task.name in names:
                raise ValueError(f"no \x1b[2J result of {task.name}")
            return shard_of(plan, task)

        return perform

    return factory


class TestFailures:
    def run(self, folder: RunFolder, plan: Plan, *names: str) -> None:
        execute(tasks_of(plan), folder, failing(plan, *names), {})

    def test_are_kept_until_they_are_done(self, tmp_path: Path) -> None:
        folder = toy.folder(tmp_path)
        assert folder.failed() == {}
        toy.run(tmp_path, {"raising": ["draw-2", "draw-5"]})
        assert set(folder.failed()) == {"draw-2", "draw-5"}
        assert "draw-2 has no result" in folder.failed()["draw-2"]
        toy.run(tmp_path, {"raising": ["draw-5"]})
        assert set(folder.failed()) == {"draw-5"}
        toy.run(tmp_path)
        assert folder.failed() == {}

    def test_are_kept_where_the_run_is_killed_later(self, tmp_path: Path) -> None:
        """The first ones are written at once."""
        seen: list[dict[str, str]] = []

        class Watch(Silent):
            def finished(self, task: Task, seconds: float) -> None:
                seen.append(toy.folder(tmp_path).failed())

        toy.run(tmp_path, {"raising": ["draw-0"]}, watch=Watch())
        assert set(seen[0]) == {"draw-0"}

    def test_nothing_is_written_where_nothing_fails(self, tmp_path: Path) -> None:
        toy.run(tmp_path)
        assert not (tmp_path / "failed.json").exists()

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"tasks": 3}', "\ud800".encode("utf-8", "surrogatepass")])
    def test_a_damaged_file_says_nothing(self, tmp_path: Path, text: str | bytes) -> None:
        folder = toy.folder(tmp_path)
        (tmp_path / "failed.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        assert folder.failed() == {}

    def test_are_on_the_page(self, tmp_path: Path) -> None:
        plan = make_plan(WANTED)
        folder = create_run(tmp_path / "r", "version: 1\n", plan.resolved())
        name = "maps.net.digits.mine.000001"
        self.run(folder, plan, name)
        content = run_content(folded(folder.root))
        (one,) = [failure for failure in content.failures if failure.image is None]
        assert (one.where, one.method) == (f"task {name}", "mine")
        assert "result of maps" in one.message
        assert any("need one that failed" in warning for warning in content.warnings)
        assert "Nothing failed" not in render_run(content)

    def test_missing_tasks_are_not_nothing_failed(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "r", make_plan(("lerf",)), lambda task: task.facts.get("chunk") == 0)
        content = replace(run_content(folded(run.root)), failures=())
        assert "No failure is recorded, but" in render_run(content)


def rewritten(run: RunFolder, name: str, **facts: Any) -> None:
    """A shard with other facts, as whole as before."""
    shard, digest = read_shard(run.path(name)), digests(tasks_of(folded(run.root).plan))[name]
    run.write(name, shard_bytes(Shard(shard.tensors, {**shard.facts, **facts}), digest))


class TestMade:
    def told(self, run: Folded) -> str:
        return " ".join(run_content(run).warnings)

    def test_a_mix_is_said(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "r", make_plan(WANTED))
        names = run.names()
        for number, name in enumerate(names):
            rewritten(run, name, made={"device": "cuda (G)" if not number else "cpu", "torch": "2.6"})
        found = folded(run.root)
        assert found.made["device"] == {"cpu": len(names) - 1, "cuda (G)": 1}
        assert f"device cpu {len(names) - 1} tasks, cuda (G) 1 task" in self.told(found)
        assert "torch 2.6" not in self.told(found)
        assert dict(run_content(found).provenance)["Device"] == "cpu, cuda (G)"
        rewritten(run, names[0], made={"device": "cpu", "torch": "2.7"})
        assert f"torch 2.6 {len(names) - 1} tasks, 2.7 1 task" in self.told(folded(run.root))

    def test_every_shard_says_it(self) -> None:
        resolved = make_plan(("lerf",)).resolved()
        perform = workshop({**resolved, "threads": torch.get_num_threads()}, "cpu")
        task = next(task for task in tasks_of(make_plan(("lerf",))) if task.kind == "maps")
        with pytest.raises(MismatchError, match="the data 'digits'"):  # it is asked for, though it is not there
            perform(task, lambda name: Shard({}))
        assert made_with("cpu")["device"] == "cpu"
        assert made_with("cpu")["torch"] == torch.__version__


class TestLive:
    def test_a_damaged_shard_is_passed_over_until_it_is_whole(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "r", make_plan(("lerf",)))
        path = run.path(next(name for name in run.names() if name.startswith("toy.lerf.mine")))
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        assert dict(live_summary(run.root))["toy, lerf"].endswith("(11 images)")
        assert "mine" not in dict(live_summary(run.root))["toy, lerf"]
        path.write_bytes(data)
        assert "toy, lerf" in dict(live_summary(run.root))


def test_shares_alike_to_six_digits_are_told_apart() -> None:
    assert part_of({"share": 0.1234567}) != part_of({"share": 0.1234568})
    assert (part_of({"share": 0.0}), part_of({"share": 0.7}), part_of({})) == ("0", "0.7", "")


class TestModels:
    def test_the_plan_knows_their_weights(self) -> None:
        plan = with_models(make_plan(("lerf",)))
        entry = plan.models["net"]
        assert len(entry.digest) == 64
        assert loaded("net", entry, "cpu").model is not None
        with pytest.raises(MismatchError, match="weights of the model 'net'"):
            loaded("net", replace(entry, digest="0" * 64), "cpu")
        with pytest.raises(OptionError, match="the model 'net' cannot be loaded"):
            with_models(replace(plan, models={"net": ModelEntry("gone.py:net")}))

    def test_other_weights_are_other_tasks(self) -> None:
        plan = make_plan(WANTED)
        other = replace(plan, models={"net": replace(plan.models["net"], digest="1" * 64)})
        one, two = digests(tasks_of(plan)), digests(tasks_of(other))
        assert all(one[name] != two[name] for name in one)


class TestMemory:
    def test_other_limits_are_other_tasks(self) -> None:
        plan = make_plan(WANTED)
        one, two = digests(tasks_of(plan)), digests(tasks_of(replace(plan, memory="2GiB")))
        assert all(one[name] != two[name] for name in one)

    @pytest.mark.parametrize(
        ("method", "options"),
        [
            ("smoothgrad", {"samples": 8}),
            ("integrated_gradients", {"points": 8}),
            ("pathway_gradient", {"finder": "conductance"}),
            ("pathway_gradient", {"finder": "ablation"}),
        ],
    )
    def test_what_is_free_is_no_matter(
        self, method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        net, x = tiny(), torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))

        def free(device: torch.device) -> int:
            raise AssertionError("the free memory was asked for")

        monkeypatch.setattr(critpath.memory, "_free", free)
        with limited_to("64 MiB"):
            attribute(net, x, method, **options)
        with pytest.raises(AssertionError, match="was asked for"):
            attribute(net, x, method, **options)

    def test_what_is_given_comes_first(self) -> None:
        with limited_to("64 MiB"):
            assert limit_of(None, torch.device("cpu")) == 64 * 2**20
            assert limit_of("1 MiB", torch.device("cpu")) == 2**20
        with pytest.raises(OptionError, match="memory is 'much'"), limited_to("much"):
            pass

    def test_too_little_is_the_plans_fault(self) -> None:
        net, x = tiny(), torch.rand(2, 1, 6, 6)
        with limited_to(100), pytest.raises(OptionError, match="memory=100"):
            attribute(net, x, "smoothgrad")


def tiny() -> Network:
    torch.manual_seed(0)
    nn = torch.nn
    return Network(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval())


def test_run_json_holds_what_the_tasks_depend_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", with_models(make_plan(("lerf",))))
    facts = json.loads((run.root / "run.json").read_text())["plan"]
    assert facts["memory"] == "1GiB"
    assert len(facts["models"]["net"]["digest"]) == 64
    assert dict(run_content(folded(run.root)).provenance)["Model net"].startswith("digits, weights ")
