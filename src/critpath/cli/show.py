"""``critpath show``: the tables of a run, also of one that is going on or was stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from critpath.cli.shared import errors_in_one_line, printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from critpath.report import AgreementTable, MetricTable, RunContent

SHOWN = 20
"""Failures that are listed; --json has all."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print all numbers as JSON.")
@click.option(
    "--export",
    "exports",
    multiple=True,
    type=click.Choice(["csv", "parquet", "zarr"]),
    help="Write results.csv, results.parquet or maps.zarr into the folder; may be given more than once.",
)
@click.option("--report", type=click.Path(path_type=Path), help="Write the page of the run to this file.")
@errors_in_one_line
def show(folder: Path, as_json: bool, exports: tuple[str, ...], report: Path | None) -> None:
    """Show the results in the FOLDER of a run: tables, exports, the page.

    Nothing is computed, no model is loaded, and nothing in the folder is executed.
    """
    from critpath.report.data import script_json
    from critpath.report.run_page import save_run
    from critpath.runs.export import check_export
    from critpath.runs.fold import folded
    from critpath.runs.maps import write_export
    from critpath.runs.page import run_content

    for kind in exports:
        check_export(kind)
    run = folded(folder)
    content = run_content(run)
    written = [write_export(run, kind) for kind in exports]
    if report is not None:
        save_run(content, report)
    if as_json:
        click.echo(printable(script_json(content)))
        return
    show_content(content)
    for path in written:
        click.echo(f"Export: {path}")
    if report is not None:
        click.echo(f"Report: {report}")


def show_content(content: RunContent) -> None:
    """Print what a run found so far."""
    from rich.console import Console

    from critpath.report import run_words as said

    console = Console(highlight=False, soft_wrap=False)
    first = (content.title, said.state(content), content.resume, said.overall(content))
    for line in (*filter(None, first), *(f"Warning: {warning}" for warning in content.warnings)):
        console.print(text(line))
    for table in content.tables:
        title = f"{said.heading(table, content.tables)} ({said.DIRECTION[table.better]})"
        console.print("\n", text(title, "bold"), sep="")
        console.print(metric_grid(table))
        console.print(text(said.finding(table)))
    for agreement in content.agreements:
        console.print("\n", text(agreement.title, "bold"), sep="")
        console.print(agreement_grid(agreement))
    for name, parts in content.programs.items():
        console.print("\n", text(f"Program {name}", "bold"), sep="")
        console.print(program_grid(parts))
    for number, line in enumerate(failure_lines(content)):
        console.print(*(["\n"] if not number else []), text(line), sep="")


def text(words: str, style: str = "") -> Text:
    """One line as it is, without markup: names and messages of a run may be anybody's."""
    from rich.text import Text

    return Text(printable(words).replace("\n", " "), style=style)


def metric_grid(table: MetricTable) -> Table:
    """A row a method, the best first where one direction is better, with intervals."""
    from rich.table import Table

    from critpath.report import run_words as said

    grid = Table(box=None, pad_edge=False)
    grid.add_column("method", no_wrap=True)
    reference = [f"to {table.reference}"] if table.reference else []
    for column in ("n", table.columns[0], "95 % interval", *reference, ""):
        grid.add_column(text(column), justify="right")
    known = [row.method for row in table.ranked]
    for row in (*table.ranked, *(row for row in table.rows if row.method not in known)):
        against = [said.difference(row.to_reference)] if table.reference else []
        numbers = (f"{row.n}", said.number(row.main.mean), said.interval(row.main), *against)
        grid.add_row(text(row.method), *numbers, said.verdict(table, row.to_reference))
    return grid


def program_grid(parts: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row a part of a program, with the numbers and short texts that it gave."""
    from rich.table import Table

    from critpath.report import run_words as said

    grid = Table("part", box=None, pad_edge=False)
    columns = said.columns(parts)
    for column in columns:
        grid.add_column(text(column), justify="right")
    for name, result in parts.items():
        grid.add_row(text(name), *(text(said.cell(result.get(column))) for column in columns))
    return grid


def agreement_grid(table: AgreementTable) -> Table:
    """The correlation of every two."""
    from rich.table import Column, Table

    grid = Table("", *(Column(text(name)) for name in table.names), box=None, pad_edge=False)
    for name, row in zip(table.names, table.values, strict=True):
        grid.add_row(text(name), *(f"{value.mean:.2f}" if value.mean == value.mean else "n/a" for value in row))
    return grid


def failure_lines(content: RunContent) -> Iterator[str]:
    """What failed, the first ones named."""
    if not content.failures:
        return
    yield f"{len(content.failures)} failure{'s' * (len(content.failures) > 1)}:"
    for one in content.failures[:SHOWN]:
        image = "" if one.image is None else f", image {one.image}{f' ({one.name})' if one.name else ''}"
        yield f"  {one.where}{f', {one.method}' if one.method else ''}{image}: {one.message}"
    if len(content.failures) > SHOWN:
        yield f"  and {len(content.failures) - SHOWN} more: critpath show --json"
