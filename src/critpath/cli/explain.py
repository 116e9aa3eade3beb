"""``critpath explain``: a page for each image, or each text."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from critpath.cli.shared import DEFAULT_MODEL, errors_in_one_line, model_options, warnings_in_one_line
from critpath.cli.subjects import Photograph, Subject, Text, check_asked
from critpath.errors import ImageError, OptionError
from critpath.files import writable, write_whole

if TYPE_CHECKING:
    from critpath.explanation import Explanation, Progress
    from critpath.report import IndexEntry
    from critpath.zoo import LoadedModel


@click.command()
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Which model; see `critpath models`.")
@click.option("--text", "texts", multiple=True, help="A text to explain, with a text model; may be given again.")
@click.option("--like", help="Explain how alike a text is to this one, for a sentence encoder.")
@click.option("--target", help="Class to explain, by number or name.  [default: the predicted class]")
@click.option("--method", default="taylor", show_default=True, help="Contribution that ranks the neurons.")
@click.option("--points", type=int, help="Points to integrate along (intgrad, conductance, influence).")
@click.option("--tolerance", type=float, help="Relative error wanted of the scores, for instance 0.05.")
@click.option(
    "--baseline",
    help="Start of conductance and influence: zero, black, mean or blurred; of a text's maps: zero, mask or padding.  "
    "[default: zero]",
)
@click.option("--memory", help="Memory limit for scores, such as 4GiB.  [default: half of what is free]")
@click.option("--sparsity", default=0.9, show_default=True, help="Share of neurons left out, in [0, 1).")
@click.option("--scope", default="network", show_default=True, help="Rank over the network, per site or per channel.")
@click.option(
    "--seed",
    default=0,
    type=click.IntRange(0, 2**63 - 1),
    show_default=True,
    help="Of the random sets that are compared with.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Report (.html), or a folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON; write a report only with -o.")
@click.option("--demo", is_flag=True, help="Explain the photograph that comes with critpath[demo].")
@model_options
@errors_in_one_line
def explain(
    images: tuple[Path, ...], texts: tuple[str, ...], output: Path | None, as_json: bool, demo: bool, **options: Any
) -> None:
    """Explain images or texts: which pathway made the response, and what it sees. Writes a self-contained page.

    IMAGES are files, or folders of them. One image or text gives one report, several give a folder with an index.
    """
    from critpath.zoo import demo_images, find_images, load

    check_asked(images, texts, demo, options)
    files = [] if texts else find_images(demo_images()[:1] if demo and not images else images)
    subjects = [*map(Text, texts), *map(Photograph, files)]
    pages = _page_paths(subjects, output, as_json)
    with redirect_stdout(sys.stderr), warnings_in_one_line():
        loaded = load(
            options["model"], arch=options["arch"], allow_pickle=options["allow_pickle"], device=options["device"]
        )
    done: list[_Done] = []
    try:
        with redirect_stdout(sys.stderr), warnings_in_one_line():  # what a model prints is not part of the answer
            done.extend(_explained(subjects, pages, loaded, options, quiet=as_json))
    finally:
        made = _write_index(done) if len(subjects) > 1 else pages[0]
    if as_json:
        click.echo(json.dumps([{**one.subject.named, **json.loads(one.numbers)} for one in done], indent=2))
    elif made is not None:
        click.echo(f"Report: {made}")
    if len(done) < len(subjects):
        raise ImageError(
            f"{len(subjects) - len(done)} of {len(subjects)} images could not be read; they are named above"
        )


@dataclass(frozen=True)
class _Done:
    """What is kept of a subject that was explained: its page, its numbers as JSON, its line in the index."""

    subject: Subject
    page: Path | None
    numbers: str
    entry: IndexEntry | None


def _page_paths(subjects: Sequence[Subject], output: Path | None, as_json: bool) -> list[Path | None]:
    """Where each subject's page goes, checked before any work.

    One goes to a file where -o ends in .html; else pages go into a folder, each under a name of its own.
    """
    if output is None and as_json:
        return [None] * len(subjects)
    names_a_file = output is None or output.suffix.lower() in {".html", ".htm"}
    if len(subjects) == 1 and names_a_file:
        page = output or Path("critpath-report.html")
        writable(page)
        return [page]
    if output is not None and names_a_file:
        raise OptionError(
            f"{len(subjects)} {subjects[0].kind}s give one page each: name a folder with -o, not the file {output}"
        )
    folder = output or Path("critpath-reports")
    _check_folder(folder)
    return [folder / f"{number:04d}-{one.stem}.html" for number, one in enumerate(subjects, start=1)]


def _check_folder(folder: Path) -> None:
    """A folder that is there takes an index; one that is not can be made (which is done with the first page)."""
    if folder.is_dir():
        writable(folder / "index.html")
        return
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if folder.exists() or not above.is_dir() or not os.access(above, os.W_OK):
        raise OptionError(f"cannot make the folder {folder}: name one that is not a file, where you may write")


def _explained(
    subjects: Sequence[Subject],
    pages: Sequence[Path | None],
    loaded: LoadedModel,
    options: dict[str, Any],
    quiet: bool,
) -> Iterator[_Done]:
    """Explain and save one subject after the other. Of several images, one that cannot be read is left out."""
    from critpath.network import Network

    net = Network(loaded.model)
    with _progress(len(subjects), quiet) as tell:
        for subject, page in zip(subjects, pages, strict=True):
            try:
                yield _saved(subject.explained(net, loaded, options, tell(subject.title)), subject, page)
            except ImageError as error:
                if len(subjects) == 1:
                    raise
                click.echo(f"Left out: {error}", err=True)


def _saved(explanation: Explanation, subject: Subject, page: Path | None) -> _Done:
    from critpath.report import index_entry

    if page is None:
        return _Done(subject, None, explanation.to_json(), None)
    page.parent.mkdir(parents=True, exist_ok=True)
    explanation.save(page)
    return _Done(subject, page, explanation.to_json(), index_entry(explanation.content, page.name))


@contextmanager
def _progress(subjects: int, quiet: bool) -> Iterator[Callable[[str], Progress]]:
    """A progress bar on standard error; nothing where that is no terminal or nothing is wanted."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    steps = 13
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=subjects * steps)
        started: list[str] = []

        def begin(title: str) -> Callable[[str], None]:
            bar.update(task, completed=len(started) * steps)
            started.append(title)
            return lambda words: bar.update(task, advance=1, description=f"{title}: {words}")

        yield begin
        bar.update(task, completed=subjects * steps)


def _write_index(done: Sequence[_Done]) -> Path | None:
    """The page that links to the others; None where there are none."""
    from critpath.report import render_index

    entries = [one.entry for one in done if one.entry is not None]
    if not entries or done[0].page is None:
        return None
    return write_whole(done[0].page.parent / "index.html", render_index(entries).encode())
