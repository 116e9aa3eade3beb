"""``critpath pathways``: several finders on the same images, on one page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from critpath.cli.shared import DEFAULT_MODEL, class_number, errors_in_one_line, model_options, warnings_in_one_line
from critpath.errors import ImageError, OptionError
from critpath.files import writable

if TYPE_CHECKING:
    from torch import Tensor

    from critpath.comparison import PathwayComparison, Progress
    from critpath.comparison.plan import Plan
    from critpath.zoo import LoadedModel

FINDERS = "taylor,intgrad,greedy,dgr"
POINTS, GREEDY_STEP, DGR_ITERATIONS = 8, 0.05, 100
"""Coarser than the library's defaults, so that a comparison takes minutes; the page names them."""

INTEGRALS = ("intgrad", "conductance", "influence")


@click.command()
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option("--finders", default=FINDERS, show_default=True, help="Names joined by commas; controls are added.")
@click.option(
    "--sparsity",
    "sparsities",
    multiple=True,
    type=float,
    help="Share of neurons left out; more than once for nesting, the first is the main one.  [default: 0.9]",
)
@click.option(
    "--ablation",
    "ablations",
    multiple=True,
    type=click.Choice(["zero", "mean", "resample"]),
    help="What neurons that do not act are set to; may be given more than once.  [default: zero]",
)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Which model; see `critpath models`.")
@click.option("--target", help="Class to explain, by number or name.  [default: each image's predicted class]")
@click.option("--decode", default=1, show_default=True, type=click.IntRange(0), help="Images to decode pictures for.")
@click.option("--decode-steps", default=128, show_default=True, type=click.IntRange(1), help="Steps for a picture.")
@click.option(
    "--points",
    default=POINTS,
    show_default=True,
    type=click.IntRange(1),
    help="Points to integrate along (intgrad, conductance, influence).",
)
@click.option("--greedy-step", default=GREEDY_STEP, show_default=True, help="Share of neurons pruned in a round.")
@click.option(
    "--dgr-iterations",
    default=DGR_ITERATIONS,
    show_default=True,
    type=click.IntRange(1),
    help="Steps of Distillation Guided Routing.",
)
@click.option("--connected/--no-connected", default=True, help="Also find the connected share.  [default: connected]")
@click.option("--limit", type=click.IntRange(1), help="Look at the first so many images only.")
@click.option("--batch", default=2, show_default=True, type=click.IntRange(1), help="Images in memory at a time.")
@click.option(
    "--seed",
    default=0,
    type=click.IntRange(0, 2**63 - 1),
    show_default=True,
    help="Of the random control, of searches that draw, and of the pictures.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Page.  [default: critpath-pathways.html]")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON; write a page only with -o.")
@click.option("--demo", is_flag=True, help="Compare on the photographs that come with critpath[demo].")
@model_options
@errors_in_one_line
def pathways(images: tuple[Path, ...], output: Path | None, as_json: bool, demo: bool, **options: Any) -> None:
    """Compare pathway finders on images: sizes, dead neurons, overlaps, faithfulness, decoded pictures.

    IMAGES are files, or folders of them. Writes one self-contained page. The controls random and magnitude are
    always compared with.
    """
    from critpath.zoo import demo_images, find_images

    files = find_images(demo_images() if demo and not images else images)[: options["limit"]]
    plan = _plan(options)
    page = None if as_json and output is None else output or Path("critpath-pathways.html")
    if page is not None:
        writable(page)
    good, bad = _readable(files)
    with redirect_stdout(sys.stderr), warnings_in_one_line():  # what a model prints is not part of the answer
        found = _compare(good, bad, plan, options, quiet=as_json)
        if page is not None:
            found.save(page)
    click.echo(found.to_json() if as_json else f"Report: {page}")
    if bad:
        raise ImageError(f"{len(bad)} of {len(files)} images could not be read; they are named above")


def _plan(options: dict[str, Any]) -> Plan:
    """What is compared, checked before a model is loaded."""
    from critpath.comparison import CONTROLS, check_pathways

    names = [name.strip() for name in options["finders"].split(",") if name.strip()]
    if not names:
        raise OptionError("--finders names no finder; give for instance --finders taylor,greedy")
    given = {
        **{name: {"points": options["points"]} for name in INTEGRALS},
        "greedy": {"step": options["greedy_step"]},
        "dgr": {"iterations": options["dgr_iterations"]},
    }
    main, *others = options["sparsities"] or (0.9,)
    chosen = {name: given[name] for name in (*names, *CONTROLS) if name in given}
    return check_pathways(names, main, others, options=chosen, seed=options["seed"])


def _readable(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files that are images, and those that are not, each of which is named. One alone that is not is an error."""
    from critpath.zoo import read_image

    good, bad = [], []
    for file in files:
        try:
            read_image(file)
            good.append(file)
        except ImageError as error:
            if len(files) == 1:
                raise
            click.echo(f"Left out: {error}", err=True)
            bad.append(file)
    if not good:
        raise ImageError(f"none of {len(files)} images could be read; they are named above")
    return good, bad


@dataclass(frozen=True)
class _Batches:
    """The images as inputs, read when they are needed, as often as they are asked for."""

    files: Sequence[Path]
    loaded: LoadedModel
    size: int
    device: str

    def __len__(self) -> int:
        return -(-len(self.files) // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        for start in range(0, len(self.files), self.size):
            yield torch.stack([self._input(file) for file in self.files[start : start + self.size]]).to(self.device)

    def _input(self, file: Path) -> Tensor:
        from critpath.zoo import read_image

        assert self.loaded.preprocess is not None
        return self.loaded.preprocess(read_image(file))


def _compare(
    good: Sequence[Path], bad: Sequence[Path], plan: Plan, options: dict[str, Any], quiet: bool
) -> PathwayComparison:
    from critpath.comparison import compare_pathways, step_count
    from critpath.network import Network
    from critpath.zoo import load

    loaded = load(
        options["model"], arch=options["arch"], allow_pickle=options["allow_pickle"], device=options["device"]
    )
    if loaded.preprocess is None:
        raise OptionError(
            f"{loaded.name} comes without its preprocessing: let the function return (model, Preprocess(resize=256, "
            "crop=224)), with critpath.zoo.Preprocess"
        )
    batches = _Batches(good, loaded, options["batch"], options["device"])
    decode = min(options["decode"], len(good))
    with _progress(step_count(plan, len(batches), decode), quiet) as tell:
        return compare_pathways(
            Network(loaded.model),
            batches,
            plan.finders,
            plan.sparsity,
            class_number(options["target"], loaded.classes),
            sparsities=plan.sparsities,
            options=plan.options,
            ablations=options["ablations"] or ("zero",),
            connected=options["connected"],
            decode=decode,
            decode_steps=options["decode_steps"],
            normalise=loaded.preprocess,
            seed=plan.seed,
            classes=loaded.classes,
            titles=[file.name for file in good],
            pictures=_views(good, loaded),
            title=f"Pathways of {good[0].name if len(good) == 1 else f'{len(good):,} images'}",
            model=loaded.name,
            notes=_notes(good, loaded, options, decode),
            warnings=[f"Left out, because it could not be read: {file.name}" for file in bad],
            progress=tell,
        )


def _views(files: Sequence[Path], loaded: LoadedModel) -> list[Any]:
    """What the network sees of the images that the page shows."""
    import numpy as np

    from critpath.comparison.watch import SHOWN
    from critpath.zoo import read_image

    assert loaded.preprocess is not None
    return [np.asarray(loaded.preprocess.view(read_image(file))) for file in files[:SHOWN]]


def _notes(files: Sequence[Path], loaded: LoadedModel, options: dict[str, Any], decode: int) -> list[tuple[str, str]]:
    folders = sorted({str(file.parent) for file in files})
    return [
        ("Images", f"{len(files):,}, from {', '.join(folders[:3])}{' and others' if len(folders) > 3 else ''}"),
        ("Weights", loaded.source),
        ("Licence of the weights", loaded.licence),
        *([("Decoded", f"{options['decode_steps']} steps a picture")] if decode else []),
    ]


@contextmanager
def _progress(steps: int, quiet: bool) -> Iterator[Progress]:
    """A progress bar on standard error with the rate and the time left; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=steps, rate="")
        yield _teller(bar, task)
        bar.update(task, completed=steps)


def _teller(bar: Any, task: Any) -> Callable[[int, str], None]:
    def tell(done: int, words: str) -> None:
        elapsed = bar.tasks[0].elapsed or 0.0
        rate = f"{60 * done / elapsed:.1f} a minute" if done and elapsed else ""
        bar.update(task, completed=done, description=words, rate=rate)

    return tell
