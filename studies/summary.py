"""The summary of all studies: every verdict at a glance, and an inventory of the papers' tables and figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from critpath.files import write_whole
from studies.folders import DOCS, NAMES, Study, studies
from studies.inventory import INVENTORY, PAPERS, TEXT, Item, covers
from studies.study import JOINT, NOT_COMPARABLE, OPEN, VERDICTS, Claim, by_surprise
from studies.tables import markdown_table

PAGE = DOCS / "studies.md"

HEAD = """# Do the papers hold?

The experiments of three papers ([P, PG and C](bibliography.md#papers)), run again with critpath: beside each published
number stands the measured one, and a verdict. P's figures are numbered as in the version submitted to ICLR 2021. The
networks and data are those that could be had; each study's page says which, what was cut, and what it does not show.
Numbers, verdicts and this page are made by [programs](../studies/__main__.py) from results that lie beside them:
`make study-NAME` does a study again.
"""

WORDS = (
    f"A claim is *{OPEN}* where the interval of what was measured includes both answers, and *{NOT_COMPARABLE}* where "
    f"what was measured is too different from what was published. {JOINT}\n"
)


@dataclass(frozen=True)
class Kept:
    """A study with results: its title, where its page is, and its claims."""

    study: Study
    title: str
    link: str
    claims: tuple[Claim, ...]


def write_summary() -> Path:
    """docs/studies.md, from the kept results."""
    return write_whole(PAGE, summary(kept_studies()).encode())


def kept_studies() -> list[Kept]:
    """The studies whose results are kept."""
    return [
        Kept(one, one.page.TITLE, one.docs.name, tuple(one.page.claims(one.kept()))) for one in studies() if one.is_kept
    ]


def write_small_summary(folder: Path, done: Sequence[str], failed: Mapping[str, str]) -> Path:
    """The summary of the small forms that were ``done``, beside their folders; it names those that ``failed``."""
    text = summary([_of_small(folder, name) for name in done])
    not_done = [f"- `make study-{Study(name).dashed}`: {' '.join(why.split())}" for name, why in failed.items()]
    told = "\n## Not done in this run\n\n" + "\n".join(not_done) + "\n" if failed else ""
    folder.mkdir(parents=True, exist_ok=True)
    return write_whole(folder / "studies.md", (text + told).encode())


def _of_small(folder: Path, name: str) -> Kept:
    file, page = folder / f"{name}-small" / "results.json", Study(name).page
    claims = tuple(page.claims(json.loads(file.read_text("utf-8"))))
    return Kept(Study(name), page.TITLE, f"{file.parent.name}/page.md", claims)


def summary(kept: Sequence[Kept]) -> str:
    """The whole page."""
    of_papers = [(one, claim) for one in kept for claim in one.claims if _is_of_a_paper(claim)]
    beyond = [(one, claim) for one in kept for claim in one.claims if not _is_of_a_paper(claim)]
    parts = [HEAD, "## All verdicts\n", _counts([claim for _, claim in of_papers]), WORDS, _verdicts(of_papers)]
    parts += ["## Beyond the papers\n", _verdicts(beyond)] if beyond else []
    parts += ["## Every table and figure\n"]
    for paper, title in PAPERS.items():
        parts += [f"### {title}\n", _inventory([item for item in INVENTORY if item.paper == paper], kept)]
    parts += ["### Statements in the text\n", _inventory(TEXT, kept), *_missing(kept)]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _is_of_a_paper(claim: Claim) -> bool:
    return not claim.asked_here and any(source.partition(",")[0] in PAPERS for source in claim.sources)


def _counts(claims: Sequence[Claim]) -> str:
    number = Counter(claim.verdict for claim in claims)
    told = ", ".join(f"{verdict}: {number[verdict]}" for verdict in VERDICTS if number[verdict])
    return f"{len(claims)} claims ({told}), the surprising ones first.\n"


def _verdicts(pairs: Sequence[tuple[Kept, Claim]]) -> str:
    place = {id(claim): i for i, claim in enumerate(by_surprise([claim for _, claim in pairs]))}
    ordered = sorted(pairs, key=lambda pair: place[id(pair[1])])
    rows = [[f"**{c.verdict}**", c.claim.rstrip("."), c.source, f"[{one.title}]({one.link})"] for one, c in ordered]
    return markdown_table(["verdict", "claim", "from", "measured in"], rows)


def _inventory(items: Sequence[Item], kept: Sequence[Kept]) -> str:
    rows = [[item.source.partition(", ")[2], item.shows, _counterpart(item, kept)] for item in items]
    return markdown_table(["", "what it shows", "measured counterpart"], rows)


def _counterpart(item: Item, kept: Sequence[Kept]) -> str:
    """Links with their verdicts, or what is missing."""
    found = [_told(one, item) for one in kept if any(_is_about(claim, item) for claim in one.claims)]
    own = next((one for one in kept if one.study.name == item.study), None)
    if item.study and own is None:
        found.append(f"No results are kept yet of `make study-{Study(item.study).dashed}`.")
    if own is not None and not found:
        looked = "maps to be looked at, no verdict" if item.looked else "no verdict"
        found.append(f"[{own.title}]({own.link}): {looked}.")
    return " ".join([*found, *filter(None, [item.how])])


def _told(one: Kept, item: Item) -> str:
    number = Counter(claim.verdict for claim in by_surprise(one.claims) if _is_about(claim, item))
    verdicts = ", ".join(verdict + f" ({count})" * (count > 1) for verdict, count in number.items())
    return f"[{one.title}]({one.link}): {verdicts}."


def _is_about(claim: Claim, item: Item) -> bool:
    """Whether a claim of a paper is about an item; of a figure as a whole, only about its parts that are measured."""
    return not claim.asked_here and any(
        covers(source, item.source) and (item.study or source == item.source) for source in claim.sources
    )


def _missing(kept: Sequence[Kept]) -> Iterator[str]:
    known = {one.study.name for one in kept}
    if missing := [Study(name) for name in NAMES if name not in known]:
        yield "## Studies without results yet\n"
        yield "\n".join(f"- `make study-{one.dashed}`" for one in missing)
