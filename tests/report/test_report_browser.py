"""The page in headless Chromium."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from contrast import CONTRAST
from report_contents import make_content, make_table_content, sites_of

from critpath.report import Content, embed, index_entry, render, render_index

pytestmark = pytest.mark.browser

FITS = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"
LONG = "a" * 90


def long_words() -> str:
    """A page whose names have no place to break."""
    base = make_content(title=LONG, model=LONG, method=LONG, target=LONG, warnings=(LONG,), coverage=((LONG, LONG),))
    sites = tuple(replace(site, name=LONG + site.name) for site in sites_of(200))
    units = tuple(replace(unit, site=LONG, unit=LONG) for unit in base.top_neurons)
    predictions = tuple(replace(prediction, label=LONG) for prediction in base.predictions)
    return render(replace(base, sites=sites, top_neurons=units, predictions=predictions))


PAGES = {
    "49 sites": lambda: render(make_content(49)),
    "200 sites": lambda: render(make_content(200, warnings=("Careful.",))),
    "input not reached": lambda: render(make_content(main_level=6, sites=sites_of(49, 9))),
    "no image": lambda: render(make_table_content()),
    "long words": long_words,
    "index": lambda: render_index([index_entry(make_content(), "a.html")] * 3),
    "frame": lambda: "<!doctype html><link rel=icon href=data:,>" + embed(render(make_content())),
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("page", PAGES)
def test_it_loads_alone_without_complaint_and_fits(page: str, width: int, dark: bool, open_page: Any) -> None:
    opened = open_page(PAGES[page](), width, dark)
    assert [url for url in opened.requests if not url.startswith(("data:", "about:"))] == [opened.page.url]
    assert opened.complaints == []
    assert opened.page.evaluate(FITS)


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_at_every_level(width: int, content: Content, open_page: Any) -> None:
    page = open_page(render(content), width).page
    for index in range(len(content.levels)):
        page.click(f'[data-pick="{index}"]')
        page.click("summary")
        assert page.evaluate(FITS)


def shown(page: Any) -> tuple[str, str, str]:
    """The map, the requested sparsity and the share kept that are visible."""
    image = page.locator("#sees figure [data-level]:not([hidden]) img")
    source = image.get_attribute("src") if image.count() else ""
    readout = page.locator(".readout [data-level]:not([hidden])")
    return (
        source,
        readout.locator(".sizes b").first.inner_text(),
        readout.locator(".share b").first.inner_text(),
    )


def test_the_slider_follows_the_keyboard(content: Content, open_page: Any) -> None:
    page = open_page(render(content)).page
    before = shown(page)
    assert before[1] == "90%"
    page.focus("#sparsity")
    page.keyboard.press("ArrowRight")
    after = shown(page)
    assert after[1] == "95%"
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert page.get_attribute("#sparsity", "aria-valuetext") == "95% sparsity"
    assert page.get_attribute('[data-pick="4"]', "aria-pressed") == "true"
    assert page.locator("svg.wide circle.current").get_attribute("data-mark") == "4"
    page.keyboard.press("End")
    assert page.get_by_text("The pathway does not reach the input.").is_visible()
    assert shown(page)[0] == ""
    page.keyboard.press("Home")
    assert shown(page)[1] == "0%"


def test_the_slider_follows_the_mouse(content: Content, open_page: Any) -> None:
    page = open_page(render(content)).page
    before = shown(page)
    box = page.locator("#sparsity").bounding_box()
    page.mouse.click(box["x"] + 4, box["y"] + box["height"] / 2)
    assert shown(page)[1] == "0%"
    assert shown(page)[0] != before[0]


def test_a_small_map_chooses_its_level(content: Content, open_page: Any) -> None:
    page = open_page(render(content)).page
    page.click('[data-pick="1"]')
    assert shown(page)[1] == "50%"
    assert page.input_value("#sparsity") == "1"
    page.focus('[data-pick="2"]')
    page.keyboard.press("Enter")
    assert shown(page)[1] == "80%"


def test_maps_are_shown_over_the_picture_or_alone(content: Content, open_page: Any) -> None:
    page = open_page(render(content)).page
    under = page.locator("#sees .compare .under").first
    assert under.is_visible()
    page.get_by_label("alone").check()
    assert not under.is_visible()
    page.get_by_label("over the picture").check()
    assert under.is_visible()


def test_the_slider_works_inside_a_frame(open_page: Any) -> None:
    page = open_page(PAGES["frame"]()).page
    frame = page.frame_locator("iframe")
    frame.locator("#sparsity").press("ArrowLeft")
    assert frame.locator(".readout [data-level]:not([hidden]) .sizes b").first.inner_text() == "80%"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_has_enough_contrast(dark: bool, open_page: Any) -> None:
    html = render(make_content(main_level=6, sites=sites_of(49, 9), warnings=("Careful.",)))
    assert open_page(html, dark=dark).page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("sites", [49, 200])
def test_rows_of_sites_do_not_overlap(sites: int, open_page: Any) -> None:
    page = open_page(render(make_content(sites))).page
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".sites tbody th")].map(cell => {
          const range = document.createRange(); range.selectNodeContents(cell);
          const box = range.getBoundingClientRect(); return [box.top, box.bottom]; })"""
    )
    assert len(boxes) == sites
    assert all(above[1] <= below[0] + 0.5 for above, below in pairwise(boxes))
