"""A run: what is there is found, what is not is done, and nothing is left half written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from types import FrameType
from typing import Any

from critpath.errors import StorageError
from critpath.runs.engine import Done, Event, Failed, Work, blocked_by, engine_named, resources
from critpath.runs.folder import RunFolder, clean, locked
from critpath.runs.progress import Silent, Watcher
from critpath.runs.task import Factory, Task, digests, in_order

SOON = 50
"""Failures that are written at once; all are at the end."""

LONGEST = 4000
"""Characters of a message that is kept."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    ``done`` tasks were done now, ``found`` were there; ``failed`` raised, with their messages; ``blocked`` need
    one that failed; ``image_failures`` are the images that shards record as failed, per task. ``interrupted``:
    it was stopped, and the rest is done when it is resumed.
    """

    done: int = 0
    found: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    blocked: tuple[str, ...] = ()
    image_failures: Mapping[str, int] = field(default_factory=dict)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Every task has its shard."""
        return not (self.interrupted or self.failed or self.blocked)


def execute(
    tasks: Sequence[Task],
    folder: RunFolder,
    factory: Factory,
    facts: Mapping[str, Any],
    *,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    devices: Sequence[str] | None = None,
    threads: int | None = None,
    watch: Watcher | None = None,
) -> Outcome:
    """Do the tasks whose shards are not in the folder, each after those it needs.

    ``engine="ray"`` has a worker for each of ``devices``, or ``workers`` on the CPU, or one for all that this
    machine has; ``address`` is a cluster's. A task that raises is reported, kept in the folder's ``failed.json`` until
    it is done, and the others go on. The first SIGINT
    or SIGTERM lets the tasks at work end and begins no other; a second one raises KeyboardInterrupt at once.
    Equal bits from any number of workers on the CPU take an equal number of ``threads``. Raises StorageError where
    another computes in the folder or a shard cannot be written, OptionError for wrong tasks or options, and what
    ``factory`` raises.
    """
    run, granted = engine_named(engine), resources(address, workers, devices, threads, many=engine == "ray")
    ordered, known, watching = in_order(tasks), digests(tasks), watch or Silent()
    start = perf_counter()
    with locked(folder.root), _interruptible(watching) as stopping:
        clean(folder)
        found = _image_failures(ordered, folder, known)
        left = tuple(task for task in ordered if task.name not in found)
        watching.started(ordered, [task for task in ordered if task.name in found])
        events: list[Event] = []
        try:
            if left:
                work = Work(left, known, folder, factory, facts)
                _follow(run(work, granted, stopping), watching, events, lambda: _keep_failed(folder, left, events))
            return _outcome(events, found, left, stopping, start)
        finally:
            watching.ended()
            with suppress(StorageError):  # where nothing can be written, that has been raised
                _keep_failed(folder, left, events)
            clean(folder)


def _follow(events: Generator[Event, None, None], watch: Watcher, seen: list[Event], keep: Callable[[], None]) -> None:
    """All events, each told to the watcher, the first failures kept at once; the engine is ended however this ends."""
    with closing(events):
        for event in events:
            seen.append(event)
            _tell(watch, event)
            if isinstance(event, Failed) and sum(isinstance(one, Failed) for one in seen) <= SOON:
                keep()


def _keep_failed(folder: RunFolder, left: Sequence[Task], events: Sequence[Event]) -> None:
    """Write the messages of tasks that raised, now or before, and have not been done since."""
    before, open_tasks = folder.failed(), {task.name for task in left}
    known = {name: message for name, message in before.items() if name in open_tasks}
    known |= {event.task.name: event.message[:LONGEST] for event in events if isinstance(event, Failed)}
    for event in events:
        if isinstance(event, Done):
            known.pop(event.task.name, None)
    if known != before:
        folder.write_failed(known)


def _tell(watch: Watcher, event: Event) -> None:
    if isinstance(event, Done):
        watch.finished(event.task, event.seconds)
    elif isinstance(event, Failed):
        watch.failed(event.task, event.message)
    else:
        watch.died(event.task, event.times)


def _image_failures(tasks: Sequence[Task], folder: RunFolder, known: Mapping[str, str]) -> dict[str, int]:
    """By name of each task whose shard is there and right, how many images failed in it."""
    shards = ((task.name, folder.found(task.name, known[task.name])) for task in tasks)
    return {name: _failures(shard.facts) for name, shard in shards if shard is not None}


def _failures(facts: Mapping[str, Any]) -> int:
    return len(facts.get("failures", ()))


def _outcome(
    events: Sequence[Event],
    found: Mapping[str, int],
    left: Sequence[Task],
    stopping: Callable[[], bool],
    start: float,
) -> Outcome:
    done = {event.task.name: _failures(event.facts) for event in events if isinstance(event, Done)}
    failed = {event.task.name: event.message for event in events if isinstance(event, Failed)}
    blocked = blocked_by(tuple(failed), left)
    return Outcome(
        len(done),
        len(found),
        failed,
        blocked,
        {name: count for name, count in {**found, **done}.items() if count},
        stopping() and len(done) + len(failed) + len(blocked) < len(left),
        perf_counter() - start,
    )


@contextmanager
def _interruptible(watch: Watcher) -> Iterator[Callable[[], bool]]:
    """The first signal to end gives True from now on, the second raises; only in the main thread."""
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        watch.stopping()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
