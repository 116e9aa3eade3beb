"""The pages of studies are what their programs make of the kept results."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from studies.folders import LARGEST, SEVEN, Study, studies
from studies.inventory import INVENTORY, PAPERS, TEXT, covers

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _studies_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


KEPT = [one for one in studies() if one.is_kept]
FRAMED = [one for one in KEPT if not hasattr(one.page, "kept_results")]
"""Those whose page and files are made by the frame."""

MEASURED = {study for item in (*INVENTORY, *TEXT) for study in [item.study] if study}


@pytest.mark.parametrize("one", FRAMED, ids=lambda one: one.name)
class TestStudy:
    def test_the_page_is_what_the_kept_results_make(self, one: Study) -> None:
        from studies.pages import markdown

        assert markdown(one, one.kept()) == one.docs.read_text(encoding="utf-8")

    def test_the_figures_are_there_and_shown(self, one: Study) -> None:
        from studies.pages import figures

        images, page = ROOT / "docs" / "images", one.docs.read_text(encoding="utf-8")
        made = dict(figures(one, one.kept()))
        for name, data in made.items():
            assert f"images/{name}" in page
            if name.endswith(".svg"):
                assert (images / name).read_bytes() == data
        assert set(re.findall(r"\(images/([^)]+)\)", page)) == set(made)
        assert {file.name for file in images.glob(f"study-{one.dashed}-*")} == set(made)

    def test_little_is_kept(self, one: Study) -> None:
        assert one.results.stat().st_size <= LARGEST

    def test_plans(self, one: Study) -> None:
        assert (one.folder / "small.yaml").is_file()
        assert one.name not in SEVEN or (one.folder / "full.yaml").is_file()


@pytest.mark.parametrize("one", KEPT, ids=lambda one: one.name)
def test_every_claim_is_of_a_table_or_figure_or_a_listed_statement(one: Study) -> None:
    known = [item.source for item in (*INVENTORY, *TEXT)]
    for claim in one.page.claims(one.kept()):
        for source in claim.sources:
            if source.partition(",")[0] in PAPERS:
                assert any(covers(source, item) for item in known), source


def test_the_summary_of_all_studies() -> None:
    from studies.summary import PAGE, kept_studies, summary

    text = summary(kept_studies())
    assert text == PAGE.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (PAGE.parent / link).resolve().is_file(), link


def test_the_inventory_names_studies_that_are() -> None:
    assert {one.name for one in studies()} >= MEASURED


def test_the_page_of_the_best_map() -> None:
    from studies.best_map.page import kept_results, markdown

    assert markdown(kept_results()) == (ROOT / "docs" / "studies-best-map.md").read_text(encoding="utf-8")


def test_the_verdicts_on_the_best_map_follow_the_numbers() -> None:
    from studies.best_map.page import CHOSEN, kept_results, verdict

    results = kept_results()
    before = verdict(results)
    for key in (key for key in results if key.startswith("report-")):
        for areas in results[key].values():
            areas[CHOSEN[0]] = dict.fromkeys(areas[CHOSEN[0]], 9.0)
    networks = sum(key.startswith("report-") for key in results)
    assert f"LeRF better on 0 of {networks} networks, worse on {networks}" in verdict(results)
    assert verdict(results) != before


def test_the_page_of_the_run() -> None:
    from studies.evaluation.page import kept_results, markdown

    assert markdown(kept_results()) == (ROOT / "docs" / "studies-evaluation.md").read_text(encoding="utf-8")
