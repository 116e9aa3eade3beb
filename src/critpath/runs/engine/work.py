"""What an engine is given, what it reports, and which task may begin when."""

from __future__ import annotations

import heapq
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from critpath.errors import OptionError
from critpath.runs.folder import RunFolder
from critpath.runs.shard import Shard, shard_bytes
from critpath.runs.task import Factory, Perform, Task, users_of


@dataclass(frozen=True)
class Work:
    """What is left of a run: ``tasks`` in order, ``digests`` of all tasks by name, and how they are done."""

    tasks: tuple[Task, ...]
    digests: Mapping[str, str]
    folder: RunFolder
    factory: Factory
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Resources:
    """Who does it: a worker per device, ``threads`` of torch in each, the ``address`` of a cluster of Ray."""

    devices: tuple[str, ...] = ("cpu",)
    threads: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class Done:
    """The shard of a task was written; its facts, and the seconds it took."""

    task: Task
    seconds: float
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """A task raised, or its workers died; nothing was written."""

    task: Task
    message: str


@dataclass(frozen=True)
class Died:
    """A worker died for the ``times``-th time over a task, which another takes up again."""

    task: Task
    times: int


Event = Done | Failed | Died
Engine = Callable[[Work, Resources, Callable[[], bool]], Generator[Event, None, None]]
"""Does the work; begins nothing more once the last argument gives True. Raises StorageError where a shard
cannot be written."""


def perform_one(perform: Perform, task: Task, digests: Mapping[str, str], folder: RunFolder) -> Done | Failed:
    """Do one task and write its shard. Raises StorageError where that cannot be written."""
    start = perf_counter()
    try:
        shard = perform(task, _reader(task, digests, folder))
        data = shard_bytes(shard, digests[task.name])
    except (Exception, SystemExit) as error:  # a user's own function may call sys.exit
        return Failed(task, described(error))
    folder.write(task.name, data)
    return Done(task, perf_counter() - start, shard.facts)


def described(error: BaseException) -> str:
    """An error in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def _reader(task: Task, digests: Mapping[str, str], folder: RunFolder) -> Callable[[str], Shard]:
    def read(name: str) -> Shard:
        if name not in task.needs:
            raise OptionError(f"task {task.name!r} reads {name!r}, which it does not name among its needs")
        return folder.read(name, digests[name])

    return read


@dataclass(eq=False)
class Schedule:
    """Which task may begin: the first in order of those whose needs are done."""

    tasks: Sequence[Task]
    _open: dict[str, set[str]] = field(init=False)
    _ready: list[int] = field(init=False)

    def __post_init__(self) -> None:
        names = {task.name for task in self.tasks}
        self._place = {task.name: index for index, task in enumerate(self.tasks)}
        self._open = {task.name: names.intersection(task.needs) for task in self.tasks}
        self._users = users_of([_within(task, names) for task in self.tasks])
        self._ready = [index for index, task in enumerate(self.tasks) if not self._open[task.name]]

    def take(self) -> Task | None:
        """The next task, or None where all others wait for tasks at work, or none is left."""
        return self.tasks[heapq.heappop(self._ready)] if self._ready else None

    def ready(self) -> bool:
        """A task may begin."""
        return bool(self._ready)

    def put_back(self, task: Task) -> None:
        heapq.heappush(self._ready, self._place[task.name])

    def finished(self, task: Task) -> None:
        for user in self._users[task.name]:
            if user in self._open:
                self._open[user].discard(task.name)
                if not self._open[user]:
                    heapq.heappush(self._ready, self._place[user])


def blocked_by(failed: Sequence[str], tasks: Sequence[Task]) -> tuple[str, ...]:
    """The tasks, of ``tasks`` in order, that need a failed one, or need one that does."""
    lost = set(failed)
    for task in tasks:
        if lost.intersection(task.needs):
            lost.add(task.name)
    return tuple(task.name for task in tasks if task.name in lost and task.name not in failed)


def _within(task: Task, names: set[str]) -> Task:
    return Task(task.kind, task.name, {}, tuple(need for need in task.needs if need in names))
