"""All tasks in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import torch

from critpath.errors import OptionError
from critpath.runs.engine.work import Done, Event, Resources, Schedule, Work, perform_one


def run_here(work: Work, resources: Resources, stopping: Callable[[], bool]) -> Generator[Event, None, None]:
    """Do the tasks in order on the one device. Raises OptionError for more than one, or for an address."""
    if len(resources.devices) != 1 or resources.address is not None:
        raise OptionError(
            f"the local engine has one worker on one device; devices={list(resources.devices)} and "
            f"address={resources.address!r} take engine='ray'"
        )
    schedule = Schedule(work.tasks)
    with torch_threads(resources.threads):
        perform = work.factory(work.facts, resources.devices[0])
        while not stopping() and (task := schedule.take()):
            event = perform_one(perform, task, work.digests, work.folder)
            if isinstance(event, Done):
                schedule.finished(task)
            yield event


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """This many threads in torch, or as many as there are; as before at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
