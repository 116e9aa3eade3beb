"""The folder of a run: the plan as given, what it was resolved to, a lock, and the shards.

plan.yaml   as the user wrote it
run.json    schema, versions, the resolved plan and its digest
lock        held while somebody computes here
failed.json the tasks that raised when they were last tried, with their messages
shards/     one file a task, <name>.safetensors
"""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from critpath.errors import MismatchError, StorageError
from critpath.files import PARTIAL, remove_partials, write_whole
from critpath.runs.shard import Shard, read_shard
from critpath.runs.task import SCHEMA, canonical, check_name
from critpath.version import __version__

PLAN, FACTS, LOCK, SHARDS, FAILED = "plan.yaml", "run.json", "lock", "shards", "failed.json"
ENDING = ".safetensors"
FACTS_LIMIT = 64 * 2**20
"""Bytes that run.json and plan.yaml may have."""


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds a run: ``facts`` is the resolved plan, ``versions`` of what began it."""

    root: Path
    facts: Mapping[str, Any]
    digest: str
    versions: Mapping[str, str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """The file of a task's shard. Raises OptionError for a name that no task has, StorageError for a link
        that leads out of the folder."""
        return _inside(self.root, f"{SHARDS}/{check_name(name)}{ENDING}")

    def write(self, name: str, data: bytes) -> None:
        """Write a shard's bytes (``shard_bytes``), whole or not at all. Raises StorageError."""
        write_whole(self.path(name), data)

    def read(self, name: str, digest: str | None = None) -> Shard:
        """Read a task's shard. Raises StorageError where it is not there, damaged, or not of this digest."""
        return read_shard(self.path(name), digest)

    def found(self, name: str, digest: str) -> Shard | None:
        """The shard of a task if it is there, whole and of this digest, else None."""
        try:
            return self.read(name, digest)
        except StorageError:
            return None

    def names(self) -> tuple[str, ...]:
        """The tasks that have a file here, sorted; nothing is said about what is in it."""
        files = _inside(self.root, SHARDS).glob(f"*{ENDING}")
        return tuple(sorted(path.name.removesuffix(ENDING) for path in files))

    def plan_text(self) -> str:
        """The plan as the user wrote it. Raises StorageError."""
        return _text(self.root, PLAN)

    def failed(self) -> dict[str, str]:
        """The messages of tasks that raised, by name; a task may have been done since. Empty where that is not known.

        Raises StorageError for a link that leads out of the folder.
        """
        path = _inside(self.root, FAILED)
        try:
            stored = _json(path, _text(self.root, FAILED)).get("tasks") if path.exists() else {}
        except StorageError:  # only told, and written anew by the next run
            return {}
        return {str(name): str(message) for name, message in stored.items()} if isinstance(stored, dict) else {}

    def write_failed(self, failed: Mapping[str, str]) -> None:
        """Keep the messages of tasks that raised, in place of those that are there; only under the lock."""
        content = {"schema": SCHEMA, "tasks": dict(sorted(failed.items()))}
        write_whole(_inside(self.root, FAILED), (json.dumps(content, indent=1) + "\n").encode())

    def other_versions(self) -> dict[str, tuple[str, str]]:
        """What differs from when the run began: name -> (then, now)."""
        now = versions()
        return {name: (then, now.get(name, "")) for name, then in self.versions.items() if then != now.get(name)}


def create_run(root: str | os.PathLike[str], plan_text: str, facts: Mapping[str, Any]) -> RunFolder:
    """Make a folder for a run, or open the one that holds a run of the same resolved plan.

    Raises StorageError for a folder that cannot be written to, that holds something else or another plan, or in
    which somebody computes.
    """
    path = Path(root)
    if (path / FACTS).exists():
        return _same(open_run(path), facts)
    _check_empty(path, plan_text)
    _made(path / SHARDS)
    with locked(path):
        write_whole(_inside(path, PLAN), plan_text.encode())
        write_whole(_inside(path, FACTS), _facts_text(facts))
    return open_run(path)


def open_run(root: str | os.PathLike[str]) -> RunFolder:
    """The run that a folder holds. Raises StorageError where there is none, or one of another version."""
    path = Path(root)
    if not (path / FACTS).exists():
        raise StorageError(f"{path} is no folder of a run: it has no {FACTS}")
    stored = _json(path / FACTS, _text(path, FACTS))
    if stored.get("schema") != SCHEMA:
        raise StorageError(
            f"{path / FACTS} has schema version {stored.get('schema')}, this critpath reads version {SCHEMA}: "
            "begin the run again in a new folder, or use the critpath that began it"
        )
    facts, found = stored.get("plan"), stored.get("versions")
    if not isinstance(facts, dict) or not isinstance(found, dict) or stored.get("digest") != plan_digest(facts):
        raise StorageError(f"{path / FACTS} is damaged: its plan differs from its digest")
    return RunFolder(path, facts, stored["digest"], found)


@contextmanager
def locked(root: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a run's folder, so that nobody else computes in it; freed when the process ends, however it ends.

    Raises StorageError where another holds it, with the other's process.
    """
    import fcntl

    number = _opened(Path(root))
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(number, 200, 0).decode(errors="replace").strip() or "another process"
            raise StorageError(
                f"{root} is in use by {holder}: wait until that run ends, or stop it; two runs need two folders"
            ) from error
        os.truncate(number, 0)
        os.pwrite(number, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(number)


def clean(folder: RunFolder) -> int:
    """Delete temporary files of writers that were killed, and return their number; only under the lock."""
    return sum(remove_partials(path) for path in (folder.root, _made(_inside(folder.root, SHARDS))))


def versions() -> dict[str, str]:
    """What the numbers of a run may depend on besides its plan."""
    import numpy as np
    import torch

    return {
        "critpath": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def plan_digest(facts: Mapping[str, Any]) -> str:
    """What tells resolved plans apart."""
    return sha256(canonical([SCHEMA, dict(facts)], "a resolved plan")).hexdigest()


def _same(folder: RunFolder, facts: Mapping[str, Any]) -> RunFolder:
    if folder.digest != (other := plan_digest(facts)):
        raise MismatchError(
            f"{folder.root} holds a run of another plan (digest {folder.digest[:12]}, this one has {other[:12]}): "
            f"choose a new folder, or resume that run; what it does is in {folder.root / PLAN}"
        )
    return folder


def _check_empty(path: Path, plan_text: str) -> None:
    """Nothing may be there but what a run leaves that was killed while it made the folder."""
    if path.exists() and not path.is_dir():
        raise StorageError(f"{path} is a file; a run takes a folder")
    with suppress(FileNotFoundError):
        others = [p for p in path.iterdir() if not _left_behind(p, plan_text)]
        if others:
            raise StorageError(f"{path} holds {others[0].name!r} and no run: choose a new or an empty folder")


def _left_behind(path: Path, plan_text: str) -> bool:
    if path.name == PLAN:
        return _text(path.parent, PLAN) == plan_text
    if path.name == SHARDS:
        return path.is_dir() and not any(path.iterdir())
    return path.name == LOCK or PARTIAL.fullmatch(path.name) is not None


def _made(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path}: {error.strerror or error}") from error
    return path


def _facts_text(facts: Mapping[str, Any]) -> bytes:
    content = {"schema": SCHEMA, "versions": versions(), "digest": plan_digest(facts), "plan": dict(facts)}
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _inside(root: Path, name: str) -> Path:
    """A path in the folder. Raises StorageError where links lead out of it."""
    path = root / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise StorageError(f"{path} is a link that leads out of the run's folder: remove it")
    return path


def _opened(root: Path) -> int:
    try:
        return os.open(root / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as error:
        raise StorageError(f"cannot compute in {root}: its {LOCK} cannot be written ({error.strerror})") from error


def _text(root: Path, name: str) -> str:
    path = _inside(root, name)
    try:
        if not path.is_file() or path.stat().st_size > FACTS_LIMIT:
            raise StorageError(f"cannot read {path}: it is not a file of at most {FACTS_LIMIT} bytes")
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read {path}: {error}") from error


def _json(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{path} is damaged: it is no JSON ({error})") from error
    if not isinstance(content, dict):
        raise StorageError(f"{path} is damaged: it holds no mapping")
    return content
