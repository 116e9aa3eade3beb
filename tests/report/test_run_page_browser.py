"""The page of a run, in headless Chromium."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from contrast import CONTRAST
from run_contents import METHODS, make_run, make_table
from test_report_browser import FITS

from critpath.report import Failure, Part, render_run

pytestmark = pytest.mark.browser

LONG = "a" * 90


def long_words() -> str:
    methods = (LONG, "random")
    table = replace(make_table(methods), evaluation=LONG, metric=LONG, title=LONG, model=LONG, data=LONG, explains=LONG)
    return render_run(
        make_run(
            methods,
            title=LONG,
            tables=(table, replace(table, evaluation="b", notes=(LONG,), settings=((LONG, LONG),))),
            failures=(Failure(LONG, LONG, 10**9, LONG, LONG),),
            provenance=((LONG, LONG),),
            plan=LONG * 3,
            warnings=(LONG,),
        )
    )


PAGES = {
    "whole": lambda: render_run(make_run()),
    "one image": lambda: render_run(make_run(n=1, parts=(Part("maps", 1, 8),), resume="critpath run --resume DIR")),
    "many methods": lambda: render_run(make_run((*METHODS, *(f"method_{i}" for i in range(12))))),
    "long words": long_words,
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", PAGES)
def test_it_loads_alone_without_complaint_and_fits(page: str, width: int, dark: bool, open_page: Any) -> None:
    opened = open_page(PAGES[page](), width, dark)
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]
    assert opened.complaints == []
    assert opened.page.evaluate(FITS)
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.page.evaluate(FITS)


@pytest.mark.parametrize(("width", "kind"), [(1280, "wide"), (390, "narrow")])
def test_one_chart_of_each_is_shown(width: int, kind: str, open_page: Any) -> None:
    page = open_page(PAGES["whole"](), width).page
    seen = page.evaluate(
        """() => [...document.querySelectorAll("svg.chart:not(.sample)")]
          .filter(chart => chart.checkVisibility())
          .map(chart => chart.classList.contains("wide") ? "wide" : "narrow")"""
    )
    assert seen == [kind] * 4


@pytest.mark.parametrize("width", [1280, 390])
def test_no_text_of_a_chart_is_cut_off(width: int, open_page: Any) -> None:
    page = open_page(PAGES["many methods"](), width).page
    cut = page.evaluate(
        """() => [...document.querySelectorAll("svg.chart text")].filter(t => t.checkVisibility()).filter(t => {
          const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
          return a.left < b.left - 1 || a.right > b.right + 1; }).map(t => t.textContent)"""
    )
    assert cut == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_enough_contrast(dark: bool, open_page: Any) -> None:
    assert open_page(render_run(make_run(warnings=("Careful.",))), dark=dark).page.evaluate(CONTRAST) == []
