"""``critpath run``: do what a plan says, or go on where a run was stopped."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from critpath.cli.shared import errors_in_one_line, printable
from critpath.errors import MissingDependencyError, OptionError

if TYPE_CHECKING:
    from critpath.runs.execute import Outcome
    from critpath.runs.folder import RunFolder
    from critpath.runs.plan import Plan
    from critpath.runs.task import Task

FAILED, STOPPED = 3, 130
"""Exit codes: it came to its end but images or tasks failed; it was stopped, and can go on."""

SHOWN = 5
"""Failures that are named on the terminal; `critpath show` has all."""


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Where the work is done."""
    for option in reversed(
        (
            click.option(
                "--engine",
                type=click.Choice(["local", "ray"]),
                default="local",
                show_default=True,
                help="One process, or workers of Ray.",
            ),
            click.option("--address", help="A cluster of Ray, or `auto`.  [default: Ray on this machine]"),
            click.option(
                "--workers",
                type=click.IntRange(1),
                help="How many workers of Ray.  [default: one per GPU, or as the cores allow]",
            ),
            click.option(
                "--device", "devices", multiple=True, help="Where to run, once for each worker.  [default: the plan's]"
            ),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("plan", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the run: new, empty, or this plan's.")
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with the run in this folder.")
@engine_options
@click.option(
    "--export",
    "exports",
    multiple=True,
    type=click.Choice(["csv", "parquet", "zarr"]),
    help="Write results.csv, results.parquet or maps.zarr into the folder in the end; may be given more than once.",
)
@click.option("--dry", is_flag=True, help="Only check the plan, and say what would be done.")
@errors_in_one_line
def run(
    plan: Path | None,
    output: Path | None,
    resume: Path | None,
    engine: str,
    address: str | None,
    workers: int | None,
    devices: tuple[str, ...],
    exports: tuple[str, ...],
    dry: bool,
) -> None:
    """Do what PLAN (a YAML file) says: maps of attribution methods, and metrics of them, over data sets.

    Results are kept shard by shard in a folder; what is there is not computed again. Ends with 0, with 1 for an
    error, with 3 where images or tasks failed, and with 130 where it was stopped by Ctrl-C.
    """
    from critpath.runs.export import check_export

    _check_arguments(plan, output, resume, dry)
    for kind in exports:
        check_export(kind)
    if engine == "local" and (address or workers):
        raise OptionError("--address and --workers go with --engine ray")
    if dry:
        _show_tasks(_planned(plan, resume))
        return
    folder, settled = reopened(resume) if resume else begun(plan or Path(), output or Path())
    outcome = carry_out(folder, settled, engine=engine, address=address, workers=workers, devices=devices)
    finish(folder, outcome, exports)


def begun(plan: Path, output: Path) -> tuple[RunFolder, Plan]:
    """A new run of a plan in a folder, or the same plan's run that is there. Raises OptionError, StorageError."""
    from critpath.runs.checks import read_plan
    from critpath.runs.folder import create_run
    from critpath.runs.loading import with_models
    from critpath.runs.plan import check_files

    with redirect_stdout(sys.stderr):  # what a user's functions print is not part of the answer
        settled = read_plan(plan)
        check_files(settled, output)
        settled = with_models(settled)
    return create_run(output, plan.read_text("utf-8-sig"), settled.resolved()), settled


def reopened(folder: Path) -> tuple[RunFolder, Plan]:
    """The run in a folder and its plan, if what the plan names is as it was when the run began."""
    from critpath.runs.folder import open_run
    from critpath.runs.loading import check_sources
    from critpath.runs.plan import check_files, plan_of

    found = open_run(folder)
    settled = plan_of(found.facts)
    check_files(settled, folder)
    with redirect_stdout(sys.stderr):
        check_sources(settled)
    for name, (then, now) in found.other_versions().items():
        begun_with = printable(f"{name} {then}")
        click.echo(f"Warning: the run began with {begun_with}, and this is {now}: results may differ", err=True)
    return found, settled


def carry_out(
    folder: RunFolder,
    plan: Plan,
    *,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    devices: Sequence[str] = (),
) -> Outcome:
    """Do the tasks of a plan that are not done yet, and show how far they are on standard error."""
    from critpath.runs.execute import execute
    from critpath.runs.live import live_summary
    from critpath.runs.progress import watcher
    from critpath.runs.tasks import tasks_of
    from critpath.runs.work import workshop

    watch = watcher(lambda: live_summary(folder.root), sys.stderr)
    try:
        with redirect_stdout(sys.stderr):
            return execute(
                tasks_of(plan), folder, workshop, plan.resolved(), engine=engine, address=address, workers=workers,
                devices=devices or places(plan, engine, address, workers), threads=plan.threads, watch=watch,
            )  # fmt: skip
    except KeyboardInterrupt:
        click.echo(_how_to_resume(folder.root), err=True)
        raise SystemExit(STOPPED) from None


def places(plan: Plan, engine: str, address: str | None, workers: int | None) -> Sequence[str]:
    """A device for each worker, where none is named: the plan's, every GPU, or as often the CPU as its cores allow."""
    import torch

    if engine == "local" or workers is not None or address is not None:
        return (plan.device,)
    if plan.device == "cuda":
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [plan.device] * (max(1, (os.cpu_count() or 1) // plan.threads) if plan.device == "cpu" else 1)


def finish(folder: RunFolder, outcome: Outcome, exports: Sequence[str] = ()) -> None:
    """Write exports and the page, say what was done and what failed, and end with the exit code that says so."""
    from critpath.runs.fold import folded
    from critpath.runs.maps import write_export
    from critpath.runs.page import save_page

    click.echo(f"{outcome.done} tasks done in {outcome.seconds:.0f} s, {outcome.found} were there.")
    if outcome.interrupted:
        click.echo(_how_to_resume(folder.root), err=True)
        raise SystemExit(STOPPED)
    found = folded(folder.root)
    for kind in exports:
        click.echo(f"Export: {write_export(found, kind)}")
    try:
        click.echo(f"Report: {save_page(found)}")
    except MissingDependencyError as error:
        click.echo(f"No report: {error}", err=True)
    click.echo(f"Tables: critpath show {folder.root}")
    if lines := _failures(outcome):
        click.echo(printable("\n".join(lines)), err=True)
        raise SystemExit(FAILED)


def _check_arguments(plan: Path | None, output: Path | None, resume: Path | None, dry: bool) -> None:
    if (plan is None) == (resume is None):
        both = "; here are both" if plan else ", for instance critpath run plan.yaml -o DIR"
        raise OptionError(f"give a plan or --resume DIR{both}")
    if resume is not None and output is not None:
        raise OptionError("-o goes with a plan; with --resume DIR the run stays in its folder")
    if plan is not None and output is None and not dry:
        raise OptionError(f"name the folder for the results: critpath run {plan} -o DIR")


def _planned(plan: Path | None, resume: Path | None) -> Sequence[Task]:
    from critpath.runs.checks import read_plan
    from critpath.runs.loading import with_models
    from critpath.runs.tasks import tasks_of

    with redirect_stdout(sys.stderr):
        return tasks_of(with_models(read_plan(plan)) if plan else reopened(resume or Path())[1])


def _show_tasks(tasks: Sequence[Task]) -> None:
    """Tasks by kind and metric, and what they cost: forward passes of one image, as far as that can be foretold.

    Parts of programs by name: what they cost is not known.
    """
    parts: dict[str, list[str]] = {}
    for task in tasks:
        if task.kind == "program":
            parts.setdefault(task.facts["program"], []).append(task.facts["part"])
    for name, own in parts.items():
        click.echo(f"program {name}  {len(own):,} tasks: {', '.join(own)}")
    if evaluated := [task for task in tasks if task.kind != "program"]:
        _show_costs(evaluated)


def _show_costs(tasks: Sequence[Task]) -> None:
    rows = [(" ".join((task.kind, task.facts.get("metric", ""))).strip(), task) for task in tasks]
    number: Counter[str] = Counter(name for name, _ in rows)
    passes: dict[str, float] = {name: sum(t.cost for other, t in rows if other == name) for name in number}
    width = max(map(len, number))
    for name, count in number.items():
        click.echo(f"{name:<{width}}  {count:>7,} tasks  {passes[name]:>15,.0f} forward passes")
    total = sum(passes.values())
    click.echo(f"{'in all':<{width}}  {len(tasks):>7,} tasks  {total:>15,.0f} forward passes of one image, about")


def _failures(outcome: Outcome) -> list[str]:
    """What failed, the first of each kind named."""
    lines: list[str] = []
    if outcome.failed:
        lines.append(f"{len(outcome.failed)} tasks failed, and {len(outcome.blocked)} that need them were not done:")
        lines += [f"  {name}: {message}" for name, message in list(outcome.failed.items())[:SHOWN]]
    if outcome.image_failures:
        lines.append(f"images failed in {len(outcome.image_failures)} tasks, for instance:")
        lines += [f"  {name}: {count} images" for name, count in list(outcome.image_failures.items())[:SHOWN]]
    return [*lines, "All failures are recorded: critpath show lists them."] if lines else []


def _how_to_resume(folder: Path) -> str:
    return f"Stopped. To go on: critpath run --resume {folder}"
