"""How far a run is: a live table on a terminal, lines elsewhere; never on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import IO, TYPE_CHECKING, Protocol

from critpath.runs.task import Task

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

Summary = Callable[[], Sequence[tuple[str, str]]]
"""Intermediate results to show: (name, value) rows."""

STOPPING = "stopping: the tasks at work end, no other begins; press Ctrl-C again to end at once"


class Watcher(Protocol):
    """Is told of a run as it goes on."""

    def started(self, tasks: Sequence[Task], found: Sequence[Task]) -> None:
        """All tasks of the run, and those whose shards were there."""

    def finished(self, task: Task, seconds: float) -> None: ...

    def failed(self, task: Task, message: str) -> None: ...

    def died(self, task: Task, times: int) -> None:
        """A worker died over a task, which is taken up again."""

    def stopping(self) -> None:
        """Called from a signal handler: it may take no lock."""

    def ended(self) -> None: ...


class Silent:
    """Says nothing."""

    def started(self, tasks: Sequence[Task], found: Sequence[Task]) -> None: ...
    def finished(self, task: Task, seconds: float) -> None: ...
    def failed(self, task: Task, message: str) -> None: ...
    def died(self, task: Task, times: int) -> None: ...
    def stopping(self) -> None: ...
    def ended(self) -> None: ...


@dataclass(frozen=True)
class Tally:
    """The tasks of one kind: how many, how far, and what they took (``seconds`` of workers, for ``spent`` cost)."""

    tasks: int = 0
    found: int = 0
    done: int = 0
    failed: int = 0
    images: int = 0
    left: float = 0.0
    spent: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Count:
    """A tally by kind, and since when (seconds of a monotonic clock)."""

    kinds: dict[str, Tally]
    since: float

    def after(self, task: Task, seconds: float) -> Count:
        """With one task done."""
        t = self.kinds[task.kind]
        return self._with(
            task,
            done=t.done + 1,
            images=t.images + task.images,
            left=t.left - task.cost,
            spent=t.spent + task.cost,
            seconds=t.seconds + seconds,
        )

    def without(self, task: Task) -> Count:
        """With one task failed."""
        t = self.kinds[task.kind]
        return self._with(task, failed=t.failed + 1, left=t.left - task.cost)

    def _with(self, task: Task, **changes: float) -> Count:
        return replace(self, kinds={**self.kinds, task.kind: replace(self.kinds[task.kind], **changes)})  # type: ignore[arg-type]


def counted(tasks: Sequence[Task], found: Sequence[Task], now: float) -> Count:
    """The count at the beginning."""
    there = {task.name for task in found}
    kinds: dict[str, Tally] = {}
    for task in tasks:
        t = kinds.get(task.kind, Tally())
        is_there = task.name in there
        cost = 0.0 if is_there else task.cost
        kinds[task.kind] = replace(t, tasks=t.tasks + 1, found=t.found + is_there, left=t.left + cost)
    return Count(kinds, now)


def at_once(count: Count, now: float) -> float:
    """Tasks at work at the same time so far, at least one."""
    return max(1.0, sum(t.seconds for t in count.kinds.values()) / max(now - count.since, 1e-9))


def rate(count: Count, kind: str, now: float) -> float | None:
    """Images a second of one kind while its tasks are at work, all workers together; None before any."""
    t = count.kinds[kind]
    return t.images / t.seconds * at_once(count, now) if t.images and t.seconds else None


def time_left(count: Count, now: float, kind: str | None = None) -> float | None:
    """Seconds until the tasks, of one kind or all, are done, by what a unit of cost took; None before any.

    Kinds of which no task was done yet count as nothing, as their units are others: see ``is_known``.
    """
    chosen = list(count.kinds.values()) if kind is None else [count.kinds[kind]]
    if not any(t.spent for t in chosen):
        return None
    return sum(t.left * t.seconds / t.spent for t in chosen if t.spent) / at_once(count, now)


def is_known(count: Count) -> bool:
    """A task was done of every kind that has any left."""
    return all(t.spent or t.left <= 0 for t in count.kinds.values())


def all_left(count: Count, now: float) -> str:
    """The time left for everything, as far as it is known."""
    left = time_left(count, now)
    return duration(left) if left is None or is_known(count) else f"more than {duration(left)}"


def duration(seconds: float | None) -> str:
    """``1:02:03``, ``2:03`` (minutes and seconds), or a dash."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass(eq=False)
class Lines:
    """A line now and then: at the beginning, every ``every`` seconds, for what fails, and at the end."""

    stream: IO[str]
    summary: Summary | None = None
    every: float = 10.0
    _count: Count = field(default_factory=lambda: Count({}, 0.0))
    _said: float = 0.0

    def started(self, tasks: Sequence[Task], found: Sequence[Task]) -> None:
        self._count = counted(tasks, found, monotonic())
        self._said = monotonic()
        self._say(f"{len(tasks)} tasks, {len(found)} of them found done")

    def finished(self, task: Task, seconds: float) -> None:
        self._count = self._count.after(task, seconds)
        if monotonic() - self._said >= self.every:
            self._said = monotonic()
            self._say(line_of(self._count, monotonic()))
            for name, value in self.summary() if self.summary else ():
                self._say(f"  {name}: {value}")

    def failed(self, task: Task, message: str) -> None:
        self._count = self._count.without(task)
        self._say(f"{task.name} failed: {message}")

    def died(self, task: Task, times: int) -> None:
        self._say(f"a worker died over {task.name} ({times} so far); it is done again")

    def stopping(self) -> None:
        with suppress(OSError, ValueError):
            os.write(self.stream.fileno(), f"{STOPPING}\n".encode())

    def ended(self) -> None:
        if self._count.kinds:
            self._say(line_of(self._count, monotonic()))

    def _say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)


def line_of(count: Count, now: float) -> str:
    """How far all kinds are, in one line."""
    kinds = ", ".join(f"{kind} {_done(t)}" for kind, t in count.kinds.items())
    return f"{duration(now - count.since)} {kinds}; left {all_left(count, now)}"


def _done(t: Tally) -> str:
    return f"{t.found + t.done}/{t.tasks}" + (f" ({t.failed} failed)" if t.failed else "")


@dataclass(eq=False)
class Table:
    """A table that is kept up to date on a terminal, with intermediate results every few seconds."""

    console: Console
    summary: Summary | None = None
    every: float = 3.0
    _count: Count = field(default_factory=lambda: Count({}, 0.0))
    _rows: Sequence[tuple[str, str]] = ()
    _asked: float = 0.0
    _stopping: bool = False
    _live: Live | None = None

    def started(self, tasks: Sequence[Task], found: Sequence[Task]) -> None:
        from rich.live import Live

        self._count = counted(tasks, found, monotonic())
        self._live = Live(console=self.console, get_renderable=self._shown, refresh_per_second=2, redirect_stdout=False)
        self._live.start()

    def finished(self, task: Task, seconds: float) -> None:
        self._count = self._count.after(task, seconds)
        if self.summary and monotonic() - self._asked >= self.every:
            self._rows, self._asked = self.summary(), monotonic()

    def failed(self, task: Task, message: str) -> None:
        self._count = self._count.without(task)
        self.console.print(f"{task.name} failed: {message}", markup=False, highlight=False)

    def died(self, task: Task, times: int) -> None:
        self.console.print(f"a worker died over {task.name} ({times} so far); it is done again", markup=False)

    def stopping(self) -> None:
        self._stopping = True

    def ended(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _shown(self) -> RenderableType:
        return table_of(self._count, monotonic(), self._rows, STOPPING if self._stopping else "")


def table_of(count: Count, now: float, rows: Sequence[tuple[str, str]] = (), note: str = "") -> RenderableType:
    """A row for each kind of task, intermediate results below."""
    from rich.console import Group
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid("task", "done", "of", "images/s", "left", box=None, pad_edge=False)
    for kind, t in count.kinds.items():
        speed = rate(count, kind, now)
        done = f"{t.found + t.done}" + (f" ({t.failed} failed)" if t.failed else "")
        left = duration(time_left(count, now, kind) if t.left > 0 else 0)
        grid.add_row(kind, done, f"{t.tasks}", "–" if speed is None else f"{speed:.3g}", left)
    overall = f"{duration(now - count.since)} so far, {all_left(count, now)} left"
    results = [Text(f"{name}  {value}") for name, value in rows]
    return Group(grid, Text(overall), *results, *([Text(note)] if note else []))


def watcher(summary: Summary | None = None, stream: IO[str] | None = None) -> Watcher:
    """A table where the stream (standard error) is a terminal, else lines."""
    from rich.console import Console

    stream = stream or sys.stderr
    console = Console(file=stream)
    return Table(console, summary) if console.is_terminal else Lines(stream, summary)
