"""The study's page is what its program makes of the kept results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _studies_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


def test_the_page_shows_the_kept_results() -> None:
    from studies.pathways.page import kept_results, markdown

    assert markdown(kept_results()) == (ROOT / "docs" / "studies-pathways.md").read_text(encoding="utf-8")


def test_verdicts_follow_the_numbers() -> None:
    from studies.pathways.page import kept_results
    from studies.pathways.verdicts import verdicts

    results = kept_results()
    before = {v.claim: v.verdict for v in verdicts(results)}
    changed = json.loads(json.dumps(results))
    for row in changed.values():
        for part in ("ranked", "searched"):
            for one in row.get(part, {"at": []})["at"]:
                one["jaccard"]["taylor intgrad"]["mean"] = 0.1
                one["dead"]["intgrad"]["mean"] = 0.2
    after = {v.claim: v.verdict for v in verdicts(changed)}
    turned = [claim for claim in before if before[claim] != after[claim]]
    assert [claim.startswith(("NeuronIntGrad and", "Paths of NeuronMCT")) for claim in turned] == [True, True]


def test_means_and_intervals_are_those_of_the_images() -> None:
    from studies.pathways.fold import mean_of

    found = mean_of([0.2, None, 0.4])
    assert found["mean"] == pytest.approx(0.3)
    assert (found["low"], found["high"], found["n"]) == (pytest.approx(0.2), pytest.approx(0.4), 2)
