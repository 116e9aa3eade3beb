"""The page that compares finders, in headless Chromium."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from comparison_contents import FINDERS, make_comparison
from contrast import CONTRAST
from test_report_browser import FITS

from critpath.report import render_comparison

pytestmark = pytest.mark.browser

LONG = "a" * 90


def long_words() -> str:
    base = make_comparison(title=LONG, model=LONG, target=LONG, warnings=(LONG,), provenance=((LONG, LONG),))
    shown = tuple(replace(one, title=LONG, predicted=LONG, target=LONG + "b") for one in base.photographs)
    finders = tuple(replace(finder, settings=LONG) for finder in base.finders)
    return render_comparison(replace(base, photographs=shown, finders=finders, sites=tuple(LONG for _ in base.sites)))


PAGES = {
    "four images": lambda: render_comparison(make_comparison()),
    "one image": lambda: render_comparison(make_comparison(1)),
    "many": lambda: render_comparison(
        make_comparison(500, 200, (*FINDERS, "gradient_activation", "conductance", "influence", "active", "l0"))
    ),
    "long words": long_words,
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("page", PAGES)
def test_it_loads_alone_without_complaint_and_fits(page: str, width: int, dark: bool, open_page: Any) -> None:
    opened = open_page(PAGES[page](), width, dark)
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]
    assert opened.complaints == []
    assert opened.page.evaluate(FITS)
    for summary in opened.page.locator("summary").all():
        summary.click()
    assert opened.page.evaluate(FITS)


@pytest.mark.parametrize("width", [1280, 400])
def test_the_heat_map_fits_its_numbers(width: int, open_page: Any) -> None:
    page = open_page(PAGES["four images"](), width).page
    over = page.evaluate(
        """() => [...document.querySelectorAll(".heat td b, .heat td small")].filter(part => {
          const cell = part.closest("td").getBoundingClientRect(), own = part.getBoundingClientRect();
          const range = document.createRange(); range.selectNodeContents(part);
          const text = range.getBoundingClientRect();
          return text.right > cell.right + 1 || text.left < cell.left - 1 || own.bottom > cell.bottom + 1; }).length"""
    )
    assert over == 0


@pytest.mark.parametrize(("width", "kind"), [(1280, "wide"), (400, "narrow")])
def test_one_chart_of_each_is_shown(width: int, kind: str, open_page: Any) -> None:
    page = open_page(PAGES["four images"](), width).page
    seen = page.evaluate(
        """() => [...document.querySelectorAll("svg.chart:not(.sample)")]
          .filter(chart => chart.checkVisibility()).map(chart => chart.classList[1])"""
    )
    assert seen == [kind] * 3


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_enough_contrast(dark: bool, open_page: Any) -> None:
    html = render_comparison(make_comparison(warnings=("Careful.",)))
    assert open_page(html, dark=dark).page.evaluate(CONTRAST) == []
