"""The studies: which there are, where their files lie, and their pages as modules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from critpath.errors import OptionError, StorageError
from critpath.options import shown
from studies.study import Claim

ROOT = Path(__file__).resolve().parents[1]
STUDIES, DOCS, BUILD = ROOT / "studies", ROOT / "docs", ROOT / "build" / "studies"

SEVEN = ("conductance_text", "conductance_images", "sanity", "perturbation", "roar", "prunegrad", "faults")
"""The studies of the papers' experiments that `make studies-small` does."""

NAMES = ("pathways", *SEVEN)
"""In the order of the summary; others in the folder come after them."""

LARGEST = 300_000
"""Bytes that a study may keep."""

Results = Mapping[str, Any]


class Page(Protocol):
    """What a study's ``page.py`` defines."""

    TITLE: str
    HEAD: str
    LIMITS: str

    def kept(self, run: Results) -> dict[str, Any]:
        """What is kept of a run, given as ``critpath show --json`` prints it."""

    def claims(self, results: Results) -> list[Claim]:
        """The papers' claims with their verdicts, computed from what is kept."""

    def sections(self, results: Results) -> Iterable[str]:
        """The page's parts after the verdicts, in Markdown."""

    def figures(self, results: Results) -> Mapping[str, bytes]:
        """Files by name, for docs/images/study-NAME-file."""


@dataclass(frozen=True)
class Study:
    """One study, by the name of its folder."""

    name: str

    @property
    def folder(self) -> Path:
        return STUDIES / self.name

    @property
    def dashed(self) -> str:
        """The name in files of the documentation."""
        return self.name.replace("_", "-")

    @property
    def docs(self) -> Path:
        """The page in the documentation."""
        return DOCS / f"studies-{self.dashed}.md"

    @property
    def results(self) -> Path:
        return self.folder / "results" / "results.json"

    @property
    def page(self) -> Page:
        """Its ``page.py``, imported."""
        return cast(Page, import_module(f"studies.{self.name}.page"))

    @property
    def is_kept(self) -> bool:
        """Whether there are results, and a page that reads them."""
        return (self.folder / "page.py").is_file() and any((self.folder / "results").glob("*.json"))

    def plan(self, plan: str) -> Path:
        """One of its plans. Raises OptionError where there is none of the name."""
        file = self.folder / f"{plan}.yaml"
        if not file.is_file():
            there = ", ".join(sorted(path.stem for path in self.folder.glob("*.yaml"))) or "none"
            raise OptionError(f"the study {self.name} has no plan {plan!r}; there are: {there}")
        return file

    def kept(self) -> dict[str, Any]:
        """The kept results. Raises StorageError where there are none."""
        own = getattr(self.page, "kept_results", None)
        if own is not None:
            return dict(own())
        if not self.results.is_file():
            raise StorageError(f"the study {self.name} has no kept results: python -m studies {self.name} --keep")
        found: dict[str, Any] = json.loads(self.results.read_text("utf-8"))
        return found


def study(name: str) -> Study:
    """A study by its name, with dashes or underscores. Raises OptionError."""
    wanted = name.replace("-", "_")
    if wanted not in (known := [one.name for one in studies()]):
        raise OptionError(f"{shown(name)} is no study; there are {', '.join(known)}")
    return Study(wanted)


def studies() -> tuple[Study, ...]:
    """Every folder that has a page with claims, or is one of ``NAMES``."""
    pages = {file.parent.name: file.read_text("utf-8") for file in sorted(STUDIES.glob("*/page.py"))}
    others = [name for name, text in pages.items() if "TITLE" in text and "claims" in text]
    return tuple(Study(name) for name in dict.fromkeys((*NAMES, *others)))
