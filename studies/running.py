"""Runs of a study's plans, and what they gave."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from critpath.errors import StorageError
from critpath.report.data import script_json
from critpath.runs.fold import folded
from critpath.runs.page import run_content
from studies.folders import ROOT, Study
from studies.pages import PROVENANCE

DONE = (0, 3)
"""Exit codes of runs that came to their end; 3: something failed, which is recorded."""

STOPPED = 130
"""The exit code of a run that was stopped by Ctrl-C."""


def do(study: Study, plan: str, folder: Path, more: Sequence[str] = ()) -> dict[str, Any]:
    """Do a plan of a study, or what is left of it, and return the run as ``critpath show --json`` prints it.

    ``more`` are options of ``critpath run``. Raises StorageError where the run did not come to its end,
    KeyboardInterrupt where it was stopped.
    """
    command = [sys.executable, "-m", "critpath.cli", "run", str(study.plan(plan)), "-o", str(folder), *more]
    code = ended(command)
    if code == STOPPED:
        raise KeyboardInterrupt
    if code not in DONE:
        raise StorageError(f"the run of {study.name}, {plan}, ended with {code}; its folder is {folder}")
    return shown_run(folder)


def ended(command: Sequence[str]) -> int:
    """The exit code of a command. Ctrl-C, which it is told too, lets it end by itself."""
    with subprocess.Popen(command, cwd=ROOT) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


def shown_run(folder: Path) -> dict[str, Any]:
    """A run in a folder, as ``critpath show --json`` prints it."""
    found: dict[str, Any] = json.loads(script_json(run_content(folded(folder))))
    return found


def merged(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several runs as one: their tables and failures one after the other, parts of programs of one name together."""
    found: dict[str, Any] = dict(runs[0])
    for run in runs[1:]:
        for name in ("tables", "agreements", "failures", "coverages", "warnings", "parts"):
            found[name] = [*found.get(name, ()), *run.get(name, ())]
        for name in ("programs", "program_seconds"):
            known = found.get(name, {})
            found[name] = {**known, **{p: {**known.get(p, {}), **parts} for p, parts in run.get(name, {}).items()}}
    return found


def missing_of(run: Mapping[str, Any]) -> str:
    """How much of a run is there, "69 of 94 there"; "" of a complete one."""
    done, total = (sum(part[what] for part in run.get("parts", ())) for what in ("done", "total"))
    return f"{done:,} of {total:,} there" if done < total else ""


def results_of(study: Study, plans: Sequence[str], run: Mapping[str, Any]) -> dict[str, Any]:
    """What the study keeps of a run, and what made it."""
    known = dict(run.get("provenance", ()))
    versions = known.get("Begun with", "").split(", platform ")[0]
    seconds = sum(t for parts in run.get("program_seconds", {}).values() for t in parts.values())
    made = {
        "plan": " and ".join(f"{plan}.yaml" for plan in plans),
        "with": versions,
        "on": known.get("Device", "cpu"),
        **({"threads": known["Threads a worker"]} if "Threads a worker" in known else {}),
        **({"tasks": missing} if (missing := missing_of(run)) else {}),
        **({"seconds in programs": f"{seconds:,.0f}"} if seconds else {}),
    }
    return {**study.page.kept(run), PROVENANCE: made}
