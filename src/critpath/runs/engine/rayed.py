"""Tasks done by workers of Ray, on this machine or on a cluster."""

from __future__ import annotations

import os
import pickle
import platform
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from critpath.errors import CritpathError, StorageError
from critpath.runs.engine.session import session, set_environment
from critpath.runs.engine.work import Died, Done, Event, Failed, Resources, Schedule, Work, perform_one
from critpath.runs.folder import RunFolder, open_run
from critpath.runs.task import Perform, Task

DEATHS = 3
"""Workers that may die over one task before it counts as failed."""

QUEUED = 2
"""Tasks that a worker has at a time: the one at work, and the next."""


def run_on_ray(work: Work, resources: Resources, stopping: Callable[[], bool]) -> Generator[Event, None, None]:
    """Do the tasks with a worker of Ray for each device.

    Workers write the shards themselves: on a cluster the folder must be on a file system that all machines
    share, under one path. A worker that dies is replaced and its task done again, up to ``DEATHS`` times.
    Raises MissingDependencyError where Ray is not installed.
    """
    with session(resources) as ray:
        crew = Crew(ray, work, resources)
        try:
            yield from _all(crew, Schedule(work.tasks), stopping)
        finally:
            crew.end()


def _all(crew: Crew, schedule: Schedule, stopping: Callable[[], bool]) -> Generator[Event, None, None]:
    while True:
        if stopping():
            crew.wind_down()
        else:
            crew.fill(schedule)
        if not crew.busy() and (stopping() or not schedule.ready()):
            return
        for event in crew.next_events(schedule):
            if isinstance(event, Done):
                schedule.finished(event.task)
            yield event


@dataclass(eq=False)
class Worker:
    """An actor, its device, and the calls it was given, oldest first: one of no task prepares it, then come tasks."""

    actor: Any
    device: str
    calls: deque[tuple[Task | None, Any]] = field(default_factory=deque)


class Crew:
    """The workers of a run. Only what it started is ended."""

    def __init__(self, ray: Any, work: Work, resources: Resources) -> None:
        self.ray, self.work, self.resources = ray, work, resources
        self.deaths: dict[str | None, int] = {}
        self.shared = ray.put((work.folder, work.factory, dict(work.facts), dict(work.digests)))
        count = min(len(resources.devices), len(work.tasks))
        self.workers = [self._new(device) for device in resources.devices[:count]]

    def fill(self, schedule: Schedule) -> None:
        """Give every worker that is prepared a task, and then each its next one."""
        prepared = [worker for worker in self.workers if not worker.calls or worker.calls[0][0] is not None]
        for size in range(1, QUEUED + 1):
            for worker in prepared:
                if len(worker.calls) < size and (task := schedule.take()):
                    worker.calls.append((task, worker.actor.perform.remote(task)))

    def busy(self) -> bool:
        """A worker has a task."""
        return any(task is not None for worker in self.workers for task, _ in worker.calls)

    def next_events(self, schedule: Schedule) -> Iterator[Event]:
        """What the workers report next; waits a moment at most, so that signals are heard."""
        heads = {worker.calls[0][1]: worker for worker in self.workers if worker.calls}
        ready, _ = self.ray.wait(list(heads), num_returns=1, timeout=0.2)
        for head in ready:
            yield from self._reported(heads[head], schedule)

    def wind_down(self) -> None:
        """Leave each worker only the task at work, and end those that have none.

        What is queued in a worker cannot be taken back, so a worker is ended as soon as its task is.
        """
        for worker in self.workers:
            worker.calls = deque(call for call in list(worker.calls)[:1] if call[0] is not None)
            if not worker.calls:
                self._end(worker)

    def end(self) -> None:
        for worker in self.workers:
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        with suppress(Exception):
            self.ray.kill(worker.actor)

    def _reported(self, worker: Worker, schedule: Schedule) -> Iterator[Event]:
        task, call = worker.calls[0]
        try:
            report = self.ray.get(call)
        except self.ray.exceptions.RayActorError as error:
            yield from self._died(worker, schedule, _in_short(str(error)))
            return
        except self.ray.exceptions.RayError as error:
            raise CritpathError(f"a worker could not be given its work: {error}") from error
        worker.calls.popleft()
        if isinstance(report, Exception):
            raise report
        if task is not None:
            yield report

    def _died(self, worker: Worker, schedule: Schedule, reason: str) -> Iterator[Event]:
        """A new worker in its place; the call at work is to blame, those queued behind it are not.

        A task whose shard is there was done, though the worker died before its report arrived.
        """
        calls = deque(task for task, _ in worker.calls)
        while len(calls) > 1 and (done := self._written(calls[0])):
            calls.popleft()
            yield done
        blamed, *rest = calls
        queued = [task for task in rest if task]
        name = blamed.name if blamed else None
        self.deaths[name] = self.deaths.get(name, 0) + 1
        if blamed is None and self.deaths[name] >= DEATHS:
            raise CritpathError(f"{DEATHS} workers died before their first task. The last: {reason}")
        self._end(worker)
        self.workers[self.workers.index(worker)] = self._new(worker.device)
        for task in queued:
            schedule.put_back(task)
        if blamed and self.deaths[name] >= DEATHS:
            yield Failed(blamed, f"{DEATHS} workers died over it. The last: {reason}")
        elif blamed:
            schedule.put_back(blamed)
            yield Died(blamed, self.deaths[name])

    def _written(self, task: Task | None) -> Done | None:
        shard = task and self.work.folder.found(task.name, self.work.digests[task.name])
        return Done(task, 0.0, shard.facts) if task and shard else None

    def _new(self, device: str) -> Worker:
        on_cluster = self.resources.address is not None
        gpus = 1 if on_cluster and device.startswith("cuda") else 0
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        actor = self.ray.remote(**options)(Performer).remote()
        # On this machine a device's name means in a worker what it means here; a cluster gives each a GPU of its own.
        visible = {} if on_cluster else {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES")}
        threads = self.resources.threads or _share_of_threads(len(self.resources.devices), on_cluster)
        worker = Worker(actor, "cuda:0" if gpus else device)
        worker.calls.append((None, actor.prepare.remote(self.shared, worker.device, threads, visible)))
        return worker


class Performer:
    """What runs in a worker: makes ``perform`` once, then does task after task."""

    perform_task: Perform

    def prepare(
        self, shared: Any, device: str, threads: int, environment: Mapping[str, str | None]
    ) -> Exception | None:
        """Makes ``perform``; returns what it raises, for the driver to raise."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at a terminal reaches all processes; the driver decides
        try:
            set_environment(environment)
            torch.set_num_threads(threads)
            self.folder, factory, facts, self.digests = shared
            _check_shared(self.folder)
            self.perform_task = factory(facts, device)
        except Exception as error:
            return portable(error)
        return None

    def perform(self, task: Task) -> Done | Failed | Exception:
        """Does a task and writes its shard; returns what stops the run."""
        try:
            return perform_one(self.perform_task, task, self.digests, self.folder)
        except StorageError as error:
            return portable(error)


def portable(error: Exception) -> Exception:
    """The error if it can travel between processes, else one with the same message."""
    try:
        return error if type(pickle.loads(pickle.dumps(error))) is type(error) else CritpathError(str(error))
    except Exception:
        return CritpathError(f"{type(error).__name__}: {error}")


def _in_short(reason: str) -> str:
    """What Ray says of a worker's end, without the long tail of advice."""
    text = " ".join(reason.split())
    detail = text.rpartition("Worker exit type:")[2].strip()
    return (detail or text).partition("Some common causes")[0].strip()[:400]


def _share_of_threads(workers: int, on_cluster: bool) -> int:
    """On one machine the workers share the threads that torch has here, on a cluster each has one."""
    return 1 if on_cluster else max(1, torch.get_num_threads() // workers)


def _check_shared(folder: RunFolder) -> None:
    """Raises StorageError where this machine does not see the run's folder."""
    with suppress(StorageError):
        if open_run(folder.root).digest == folder.digest:
            return
    raise StorageError(
        f"the worker on {platform.node()} does not see the run's folder {folder.root}: with workers on other machines "
        "it must be on a file system that all share, under one path"
    )
