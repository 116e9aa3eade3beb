"""The page of a study, from its kept results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from critpath.errors import OptionError
from critpath.files import write_whole
from studies.folders import DOCS, LARGEST, Results, Study
from studies.study import Claim, by_surprise
from studies.tables import markdown_table

PROVENANCE = "made_with"
"""Under this name the results say what made them."""


def markdown(study: Study, results: Results) -> str:
    """The whole page."""
    page = study.page
    parts = [
        f"# {page.TITLE}\n\n{page.HEAD.strip()}\n",
        f"## Verdicts\n\n{verdicts(page.claims(results))}",
        *page.sections(results),
        f"## What this does not show\n\n{page.LIMITS.strip()}\n",
        f"## Run it again\n\n{_again(study, results.get(PROVENANCE, {}))}",
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def verdicts(claims: Sequence[Claim]) -> str:
    """All claims at a glance, the surprising first; then each with what was published and measured, and why."""
    ordered = by_surprise(claims)
    glance = markdown_table(
        ["claim", "from", "verdict"], [[c.claim.rstrip("."), _source(c), f"**{c.verdict}**"] for c in ordered]
    )
    return "\n".join([glance, *(_verdict(number, claim) for number, claim in enumerate(ordered, start=1))])


def _verdict(number: int, claim: Claim) -> str:
    rows = [["from", _source(claim)], ["published", claim.published], ["measured", claim.measured], ["why", claim.why]]
    table = markdown_table(["verdict", f"**{claim.verdict}**"], rows)
    return f"### {number}. {claim.claim.rstrip('.')}\n\n{table}"


def _source(claim: Claim) -> str:
    return f"asked here, about {claim.source}" if claim.asked_here else claim.source


def _again(study: Study, made: Mapping[str, str]) -> str:
    plans = sorted(path.stem for path in study.folder.glob("*.yaml"))
    larger = "".join(
        f"; `critpath run studies/{study.name}/{plan}.yaml -o DIR` its {plan} form" for plan in plans if plan != "small"
    )
    said = ", ".join(f"{what} {value}" for what, value in made.items())
    return (
        f"`make study-{study.dashed}` does the small form{larger}. A run that was stopped goes on where it was. The "
        f"[program and the kept results](../studies/{study.name}/page.py) lie beside each other; every number above is "
        f"made from them.{f' Kept from: {said}.' if said else ''}\n"
    )


def write_page(study: Study, results: Results, file: Path, images: Path) -> Path:
    """Write the page and its figures, ``images``/study-NAME-FILE; returns the page's file."""
    for name, data in figures(study, results):
        images.mkdir(parents=True, exist_ok=True)
        write_whole(images / name, data)
    return write_whole(file, markdown(study, results).encode())


def figures(study: Study, results: Results) -> Iterator[tuple[str, bytes]]:
    """Files of the figures by the name under which the page shows them."""
    for name, data in study.page.figures(results).items():
        yield f"study-{study.dashed}-{name}", data


def write_docs(study: Study) -> Path:
    """The page and figures of the documentation, from the kept results."""
    own = getattr(study.page, "write_page", None)
    return Path(own()) if own is not None else write_page(study, study.kept(), study.docs, DOCS / "images")


def keep(study: Study, results: Mapping[str, Any]) -> Path:
    """Write what is kept. Raises OptionError where it is too large."""
    data = (json.dumps(results, indent=0, ensure_ascii=False, allow_nan=False) + "\n").encode()
    if len(data) > LARGEST:
        raise OptionError(f"{study.name} would keep {len(data):,} bytes; the limit is {LARGEST:,}: keep less in kept()")
    study.results.parent.mkdir(exist_ok=True)
    return write_whole(study.results, data)
