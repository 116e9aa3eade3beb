"""The papers' experiments again, each with a page of verdicts.

    python -m studies NAME                 run the small form, or what is left of it; print the verdicts
    python -m studies NAME --plan full     another plan of the study; several may be named
    python -m studies NAME --fold          only fold what the run's folder holds
    python -m studies NAME --json FILE     fold what `critpath show DIR --json` printed, run elsewhere
    python -m studies NAME --keep          keep the results, and write the pages of the documentation
    python -m studies NAME --page          write those pages again from the kept results
    python -m studies small                the small forms of all seven, one after the other
    python -m studies summary              docs/studies.md, from the kept results of all

Other options go to `critpath run` (--engine ray --workers 2). Networks and data are not part of this project:
CRITPATH_ASSETS names their folder (see studies/networks.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from critpath.errors import CritpathError, OptionError, StorageError
from critpath.files import write_whole
from studies.folders import BUILD, SEVEN, Study, study
from studies.pages import keep, write_docs, write_page
from studies.running import STOPPED, do, merged, missing_of, results_of, shown_run
from studies.study import Claim, by_surprise
from studies.summary import write_small_summary, write_summary


@dataclass(frozen=True)
class Wanted:
    """Which runs of a study are made, or only folded, and what becomes of them; ``more`` goes to ``critpath run``."""

    plans: tuple[str, ...] = ("small",)
    files: tuple[Path, ...] = ()
    output: Path | None = None
    fold: bool = False
    keep: bool = False
    more: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 where a study could not be run."""
    options, more = _parser().parse_known_args(arguments)
    plans = tuple(options.plan) or (() if options.json else ("small",))
    wanted = Wanted(plans, tuple(options.json), options.output, options.fold, options.keep, tuple(more))
    try:
        if options.name == "small":
            return small(wanted.more)
        if options.name == "summary":
            print(write_summary())
        else:
            print(_documented(study(options.name)) if options.page else done(study(options.name), wanted))
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.", file=sys.stderr)
        return STOPPED
    except CritpathError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("--plan", action="append", default=[], metavar="NAME")
    parser.add_argument("--json", action="append", default=[], type=Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, help="the run's folder, and where page.md is written")
    for flag in ("--fold", "--keep", "--page"):
        parser.add_argument(flag, action="store_true")
    return parser


def done(one: Study, wanted: Wanted) -> Path:
    """Run a study, fold it, print its verdicts, and return the page that was written."""
    if wanted.output is not None and len(wanted.plans) > 1:
        raise OptionError("-o names the folder of one run; here are several plans")
    names = [*(file.stem for file in wanted.files), *wanted.plans]
    results, claims = _judged(one, names, merged(list(_runs(one, wanted))))
    print("\n".join(_lines(claims)))
    if wanted.keep:
        keep(one, results)
        return _documented(one)
    place = wanted.output or folder_of(one, names[0])
    place.mkdir(parents=True, exist_ok=True)
    write_whole(place / "results.json", json.dumps(results, indent=0, allow_nan=False).encode())
    return write_page(one, results, place / "page.md", place / "images")


def _runs(one: Study, wanted: Wanted) -> Iterator[dict[str, Any]]:
    yield from (json.loads(file.read_text("utf-8")) for file in wanted.files)
    for plan in wanted.plans:
        place = wanted.output or folder_of(one, plan)
        yield shown_run(place) if wanted.fold else do(one, plan, place, wanted.more)


def _judged(one: Study, names: Sequence[str], run: dict[str, Any]) -> tuple[dict[str, Any], list[Claim]]:
    """What is kept of a run, and its claims. Raises StorageError where too much of the run is missing for these."""
    try:
        results = results_of(one, names, run)
        return results, one.page.claims(results)
    except (LookupError, TypeError, ValueError) as error:
        if missing := missing_of(run):
            raise StorageError(f"too little of the run is there to judge {one.name}: of its tasks {missing}") from error
        raise


def _documented(one: Study) -> Path:
    """The study's page, and the summary, from what is kept."""
    written = write_docs(one)
    write_summary()
    return written


def folder_of(one: Study, plan: str) -> Path:
    """Where a plan of a study is run."""
    return BUILD / f"{one.name}-{plan}"


def _lines(claims: Sequence[Claim]) -> list[str]:
    """The verdicts on a terminal."""
    width = max((len(claim.verdict) for claim in claims), default=0)
    return [f"{claim.verdict:<{width}}  {claim.claim} ({claim.source})" for claim in by_surprise(claims)]


def small(more: tuple[str, ...] = ()) -> int:
    """The small forms of all seven, whatever becomes of one of them; the exit code."""
    failed: dict[str, str] = {}
    for name in SEVEN:
        print(f"\n{name}", flush=True)
        try:
            done(study(name), Wanted(more=more))
        except Exception as error:  # the others are done all the same
            failed[name] = str(error) if isinstance(error, CritpathError) else f"{type(error).__name__}: {error}"
    for name, message in failed.items():
        print(f"Not done: {name}: {message}", file=sys.stderr)
    well = [name for name in SEVEN if name not in failed]
    print(f"\n{'Verdicts of what was done' if failed else 'All verdicts'}: {write_small_summary(BUILD, well, failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
