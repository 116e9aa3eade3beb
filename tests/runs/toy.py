"""A run of toy tasks, to be disturbed: ``python -m tests.runs.toy FOLDER FACTS`` executes it in a process of its own.

Facts (all optional): ``sleep`` seconds a task; names of tasks that are ``raising``, that kill their process
``always``, or only once (``dying``, with a mark left in the folder ``once``); ``freeze`` the name of a task whose
shard's write stops between temporary file and rename, for good; ``how`` options of ``execute``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from critpath.runs.execute import Outcome, execute
from critpath.runs.folder import RunFolder, create_run
from critpath.runs.shard import Shard
from critpath.runs.task import Perform, Task

DRAWS = 8
PLAN = "toy: 1\n"


def tasks(draws: int = DRAWS) -> tuple[Task, ...]:
    """``draws`` of seeded numbers, sums of pairs of them, and a total that comes first in the list."""
    drawn = [Task("draw", f"draw-{i}", {"seed": i}, images=10) for i in range(draws)]
    sums = [Task("sum", f"sum-{i}", {}, (f"draw-{i}", f"draw-{i + 1}"), cost=2.0) for i in range(draws - 1)]
    return (Task("sum", "total", {}, tuple(task.name for task in sums)), *drawn, *sums)


def factory(facts: Mapping[str, Any], device: str) -> Perform:
    def perform(task: Task, read: Callable[[str], Shard]) -> Shard:
        time.sleep(facts.get("sleep", 0))
        if task.name in facts.get("raising", ()):
            raise ArithmeticError(f"{task.name} has no result")
        if task.name in facts.get("dying", ()):
            _die_once(Path(facts["once"]) / task.name)
        if task.name in facts.get("always", ()):
            os.kill(os.getpid(), signal.SIGKILL)
        if task.kind == "draw":
            return _draw(task, device)
        return Shard({"values": sum(read(name).tensors["values"] for name in task.needs)}, {"of": list(task.needs)})

    return perform


def _draw(task: Task, device: str) -> Shard:
    seed = task.facts["seed"]
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Shard({"values": (values @ values.T).to(device)}, {"failures": [[seed, "unreadable"]] if seed == 3 else []})


def _die_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def run(
    root: Path, facts: Mapping[str, Any] | None = None, chosen: Sequence[Task] | None = None, **how: Any
) -> Outcome:
    """Execute the toy tasks in a folder. What disturbs the run is no part of its plan."""
    return execute(chosen or tasks(), folder(root), factory, facts or {}, **how)


def folder(root: Path) -> RunFolder:
    return create_run(root, PLAN, {"toy": 1})


def shards(root: Path) -> dict[str, str]:
    """The digest of the bytes of each file in ``shards/``."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((root / "shards").iterdir())}


def _freeze_write(name: str) -> None:
    replace = os.replace

    def stop(source: Any, target: Any) -> None:
        if Path(target).name == f"{name}.safetensors":
            print("frozen", flush=True)
            time.sleep(60)
        replace(source, target)

    os.replace = stop  # type: ignore[assignment]


def main(root: str, text: str) -> None:
    facts = json.loads(text)
    if "freeze" in facts:
        _freeze_write(facts["freeze"])
    outcome = run(Path(root), facts, **facts.get("how", {}))
    print(json.dumps({"done": outcome.done, "found": outcome.found, "interrupted": outcome.interrupted}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
