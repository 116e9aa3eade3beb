"""The pages of studies are what their programs make of the kept results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _studies_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


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
