"""One unit of a run's work: its name, what its result depends on, and the digest that says so."""

from __future__ import annotations

import heapq
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from critpath.errors import OptionError
from critpath.runs.shard import Shard

SCHEMA = 1
"""Version of what a task's facts and its shard mean; a shard of another version is computed again."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,149}")
"""What a task may be called: its shard's file has the same name."""


@dataclass(frozen=True)
class Task:
    """What is computed and kept as one shard.

    ``facts`` are JSON values: everything that the result depends on, besides the shards that the task
    ``needs`` (by name). ``images`` counts towards the rate, ``cost`` (relative) towards the time left.
    Raises OptionError where a field is out of its range.
    """

    kind: str
    name: str
    facts: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    images: int = 0
    cost: float = 1.0

    def __post_init__(self) -> None:
        check_name(self.name)
        canonical(self.facts, f"the facts of task {self.name!r}")
        if self.images < 0 or not (math.isfinite(self.cost) and self.cost > 0):
            raise OptionError(
                f"task {self.name!r} has images={self.images} and cost={self.cost}: "
                "images are 0 or more, a cost is above 0 and finite"
            )


Perform = Callable[[Task, Callable[[str], Shard]], Shard]
"""Does a task; the second argument reads the shard of a task that it needs, by name."""

Factory = Callable[[Mapping[str, Any], str], Perform]
"""Makes a ``Perform`` from the run's facts and a device, once per worker."""


def check_name(name: str) -> str:
    """The name, if a task may be called so. Raises OptionError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise OptionError(
            f"{name!r} is no name for a task: it takes 1 to 150 of the characters a-z, 0-9, '.', '_' and '-', "
            "and begins with a letter or a digit"
        )
    return name


def canonical(value: Any, what: str = "a value") -> bytes:
    """The JSON text of a value, the same for equal values. Raises OptionError for what is no JSON."""
    try:
        plain = dict(value) if isinstance(value, Mapping) else value
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise OptionError(
            f"{what} cannot be written as JSON ({error}): use numbers, text, lists and mappings"
        ) from None


def in_order(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks as given, except that each comes after those it needs.

    Raises OptionError where two have one name, where a task needs one that is not there, or itself in the end.
    """
    place = _places(tasks)
    open_needs = {task.name: len(set(task.needs)) for task in tasks}
    users = users_of(tasks)
    ready = [place[name] for name, count in open_needs.items() if not count]
    heapq.heapify(ready)
    found: list[Task] = []
    while ready:
        task = tasks[heapq.heappop(ready)]
        found.append(task)
        for user in users[task.name]:
            open_needs[user] -= 1
            if not open_needs[user]:
                heapq.heappush(ready, place[user])
    if len(found) < len(tasks):
        stuck = ", ".join(name for name, count in open_needs.items() if count)
        raise OptionError(f"these tasks need each other in a circle, so none can begin: {stuck}")
    return tuple(found)


def users_of(tasks: Sequence[Task]) -> dict[str, list[str]]:
    """For each task the names of the tasks that need it."""
    users: dict[str, list[str]] = {task.name: [] for task in tasks}
    for task in tasks:
        for need in dict.fromkeys(task.needs):
            users[need].append(task.name)
    return users


def digests(tasks: Sequence[Task]) -> dict[str, str]:
    """By name: sha256 over the schema, the task's kind and facts, and the digests of what it needs."""
    found: dict[str, str] = {}
    for task in in_order(tasks):
        content = [SCHEMA, task.kind, dict(task.facts), [found[need] for need in task.needs]]
        found[task.name] = sha256(canonical(content)).hexdigest()
    return found


def _places(tasks: Sequence[Task]) -> dict[str, int]:
    place = {task.name: index for index, task in enumerate(tasks)}
    if len(place) < len(tasks):
        names = [task.name for task in tasks]
        twice = next(name for name in names if names.count(name) > 1)
        raise OptionError(f"two tasks are called {twice!r}: a name is given once in a run")
    for task in tasks:
        if missing := [need for need in task.needs if need not in place]:
            raise OptionError(f"task {task.name!r} needs {missing[0]!r}, which is no task of this run")
    return place
