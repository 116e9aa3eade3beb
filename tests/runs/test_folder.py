"""The folder of a run: what is made, what is refused, and that nothing outside it is touched."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from critpath.errors import MismatchError, OptionError, StorageError
from critpath.files import remove_partials, write_whole
from critpath.runs.folder import RunFolder, clean, create_run, locked, open_run, plan_digest
from critpath.runs.shard import Shard, shard_bytes

PLAN = "models: [a]  # as written\n"
FACTS = {"models": ["a"], "seed": 0, "share": 0.1}
DATA = shard_bytes(Shard({"x": torch.arange(3.0)}, {"n": 1}), "d")
TEMPORARY = ".critpath-0123456789ab.tmp"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return create_run(tmp_path / "runs" / "first", PLAN, FACTS)


def tree(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


class TestMade:
    def test_what_is_in_it(self, run: RunFolder) -> None:
        assert tree(run.root) == ["lock", "plan.yaml", "run.json", "shards"]
        assert run.plan_text() == PLAN
        stored = json.loads((run.root / "run.json").read_text())
        assert stored["plan"] == FACTS
        assert stored["digest"] == plan_digest(FACTS) == run.digest
        assert {"critpath", "torch", "python"} <= set(stored["versions"])

    def test_opened_again(self, run: RunFolder) -> None:
        assert open_run(run.root) == run
        assert create_run(run.root, PLAN, dict(reversed(FACTS.items()))) == run

    def test_an_empty_folder_will_do(self, tmp_path: Path) -> None:
        assert create_run(tmp_path, PLAN, FACTS).facts == FACTS

    def test_what_a_killed_beginning_left_will_do(self, tmp_path: Path) -> None:
        (tmp_path / "shards").mkdir()
        (tmp_path / "lock").touch()
        (tmp_path / "plan.yaml").write_text(PLAN)
        (tmp_path / TEMPORARY).touch()
        assert create_run(tmp_path, PLAN, FACTS).facts == FACTS

    def test_versions_that_changed(self, run: RunFolder) -> None:
        assert run.other_versions() == {}
        path = run.root / "run.json"
        stored = json.loads(path.read_text())
        stored["versions"]["torch"] = "1.0"
        path.write_text(json.dumps(stored))
        assert open_run(run.root).other_versions() == {"torch": ("1.0", torch.__version__)}


class TestRefused:
    def test_another_plan(self, run: RunFolder) -> None:
        with pytest.raises(MismatchError, match="run of another plan"):
            create_run(run.root, PLAN, {**FACTS, "seed": 1})

    @pytest.mark.parametrize("name", ["notes.txt", "plan.yaml", "shards/old.safetensors", ".git/config"])
    def test_a_folder_with_other_things(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
        before = tree(tmp_path)
        with pytest.raises(StorageError, match="and no run"):
            create_run(tmp_path, PLAN, FACTS)
        assert tree(tmp_path) == before
        assert (tmp_path / name).read_text() == "mine"

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        with pytest.raises(StorageError, match="is a file"):
            create_run(tmp_path / "x", PLAN, FACTS)

    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="is no folder of a run"):
            open_run(tmp_path)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"schema": 2}, "schema version 2"),
            ({"plan": {"other": 1}}, "differs from its digest"),
            ({"plan": [1]}, "damaged"),
            ({"versions": None}, "damaged"),
        ],
    )
    def test_run_json_changed(self, run: RunFolder, changes: dict[str, Any], message: str) -> None:
        path = run.root / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        with pytest.raises(StorageError, match=message):
            open_run(run.root)

    @pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, b"\xff\xfe"])
    def test_run_json_that_is_none(self, run: RunFolder, text: Any) -> None:
        (run.root / "run.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(StorageError, match=r"damaged|cannot read"):
            open_run(run.root)

    @pytest.mark.parametrize("step", ["mkdir", "open"])
    def test_a_folder_that_is_read_only(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        def refuse(path: Any, *rest: Any, **options: Any) -> Any:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

        monkeypatch.setattr(os, step, refuse)
        with pytest.raises(StorageError, match="Read-only file system"):
            create_run(tmp_path / "x", PLAN, FACTS)

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for this user")
    def test_a_folder_that_is_really_read_only(self, run: RunFolder) -> None:
        (run.root / "lock").chmod(0o400)
        with pytest.raises(StorageError, match="cannot be written"), locked(run.root):
            pass

    @pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", ".hidden", "A"])
    def test_names(self, run: RunFolder, name: str) -> None:
        for use in (run.path, run.read, lambda n: run.write(n, DATA), lambda n: run.found(n, "d")):
            with pytest.raises(OptionError, match="no name for a task"):
                use(name)


class TestShards:
    def test_written_and_found(self, run: RunFolder) -> None:
        run.write("a", DATA)
        assert run.names() == ("a",)
        assert run.read("a", "d").facts == {"n": 1}
        assert run.found("a", "d") is not None

    def test_not_found(self, run: RunFolder) -> None:
        run.write("a", DATA)
        assert run.found("b", "d") is None
        assert run.found("a", "e") is None
        run.path("a").write_bytes(DATA[:-1])
        assert run.found("a", "d") is None

    def test_a_file_that_is_a_link_out(self, run: RunFolder, tmp_path: Path) -> None:
        outside = tmp_path / "outside.safetensors"
        outside.write_bytes(DATA)
        (run.root / "shards" / "a.safetensors").symlink_to(outside)
        for use in (lambda: run.read("a"), lambda: run.write("a", b"x")):
            with pytest.raises(StorageError, match="leads out"):
                use()
        assert run.found("a", "d") is None
        assert outside.read_bytes() == DATA

    def test_a_folder_of_shards_that_is_a_link_out(self, run: RunFolder, tmp_path: Path) -> None:
        (run.root / "shards").rmdir()
        (tmp_path / "elsewhere").mkdir()
        (run.root / "shards").symlink_to(tmp_path / "elsewhere")
        for use in (lambda: run.write("a", DATA), run.names, lambda: clean(run)):
            with pytest.raises(StorageError, match="leads out"):
                use()
        assert tree(tmp_path / "elsewhere") == []

    @pytest.mark.parametrize("name", ["run.json", "plan.yaml"])
    def test_facts_that_are_links_out(self, run: RunFolder, tmp_path: Path, name: str) -> None:
        (run.root / name).rename(tmp_path / "moved")
        (run.root / name).symlink_to(tmp_path / "moved")
        with pytest.raises(StorageError, match="leads out"):
            open_run(run.root).plan_text()

    def test_a_lock_that_is_a_link(self, run: RunFolder, tmp_path: Path) -> None:
        (run.root / "lock").unlink()
        (run.root / "lock").symlink_to(tmp_path / "made")
        with pytest.raises(StorageError, match="cannot compute"), locked(run.root):
            pass
        assert not (tmp_path / "made").exists()

    def test_the_whole_folder_may_be_reached_by_a_link(self, run: RunFolder, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(run.root)
        linked = open_run(tmp_path / "link")
        linked.write("a", DATA)
        assert run.names() == ("a",)


class TestLock:
    def test_two_are_refused_with_the_others_process(self, run: RunFolder) -> None:
        with locked(run.root):
            other = f"from critpath.runs.folder import locked\nwith locked({str(run.root)!r}): pass"
            done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True)
            assert done.returncode == 1
            assert f"is in use by process {os.getpid()}" in done.stderr
        with locked(run.root):
            pass

    def test_also_within_one_process(self, run: RunFolder) -> None:
        with locked(run.root), pytest.raises(StorageError, match="is in use"), locked(run.root):
            pass

    def test_freed_when_it_raises(self, run: RunFolder) -> None:
        with pytest.raises(KeyError), locked(run.root):
            raise KeyError
        with locked(run.root):
            pass


class TestTemporaryFiles:
    def test_only_ours_and_only_inside_are_removed(self, run: RunFolder, tmp_path: Path) -> None:
        others = [".critpath-0123456789ab.tmp.bak", ".critpath-xyz.tmp", "notes.tmp", f"x{TEMPORARY}"]
        for folder in (run.root, run.root / "shards"):
            for name in (*others, TEMPORARY):
                (folder / name).touch()
        (tmp_path / TEMPORARY).touch()
        (run.root / ".critpath-aaaaaaaaaaaa.tmp").symlink_to(tmp_path / TEMPORARY)
        (run.root / ".critpath-bbbbbbbbbbbb.tmp").mkdir()
        assert clean(run) == 2
        assert (tmp_path / TEMPORARY).exists()
        assert {path.name for path in (run.root / "shards").iterdir()} == set(others)

    def test_a_name_in_use_is_such_a_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        replace = os.replace

        def look(source: Any, target: Any) -> None:
            seen.append(Path(source).name)
            replace(source, target)

        monkeypatch.setattr(os, "replace", look)
        write_whole(tmp_path / "a", b"x")
        (tmp_path / seen[0]).touch()
        assert remove_partials(tmp_path) == 1
        assert tree(tmp_path) == ["a"]

    def test_the_folder_is_flushed_after_the_rename(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        steps = []
        replace = os.replace
        monkeypatch.setattr(os, "fsync", lambda number: steps.append("folder" if _is_folder(number) else "file"))
        monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("rename"), replace(a, b)))
        write_whole(tmp_path / "a", b"x")
        assert steps == ["file", "rename", "folder"]


def _is_folder(number: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{number}") if os.path.isdir("/proc/self/fd") else os.fstat(number).st_size > 1
