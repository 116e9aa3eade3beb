"""The page of a text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from contrast import CONTRAST
from text_contents import SENTENCE, long_text, make_text_content

from critpath.errors import InputError
from critpath.report import Token, TopUnit, index_entry, render, render_index
from critpath.report.data import script_json
from critpath.report.text import coloured, excerpt, signed

FITS = "document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth"


def reading(html: str, number: int = 0) -> str:
    """The visible words of a coloured text, as a browser would put them together."""
    found = re.findall(r'<p class="reading".*?>(.*?)</p>', html, re.DOTALL)[number]
    return re.sub(r"<.*?>", "", found).replace("&lt;", "<").replace("&gt;", ">")


class TestColours:
    def test_strength_is_relative_to_the_largest_word(self) -> None:
        tokens = [Token("[CLS]", special=True), Token("good"), Token("bad"), Token("film")]
        views = coloured(tokens, np.array([5, 2, -1, 0], np.float32)).tokens
        assert [(view.classes, view.strength) for view in views] == [
            ("special up", "1"),
            ("up", "1"),
            ("down", "0.5"),
            ("", "0"),
        ]
        said = ["+5.000 (token 0, special)", "+2.000 (token 1)", "−1.000 (token 2)", "0 (token 3)"]
        assert [view.title for view in views] == said

    def test_special_tokens_alone(self) -> None:
        tokens = [Token("a", special=True), Token("b")]
        view = coloured(tokens, np.array([-2, 0], np.float32))
        assert view.tokens[0].strength == "1"
        assert view.special == 1

    def test_the_share_of_special_tokens(self) -> None:
        assert coloured(SENTENCE, np.ones(15, np.float32)).special == pytest.approx(2 / 15)

    def test_nothing_and_what_is_not_finite(self) -> None:
        views = coloured([Token("a"), Token("b"), Token("c")], np.array([0, np.nan, np.inf], np.float32))
        assert {view.classes for view in views.tokens} == {""}
        assert views.label == "No token has a value"

    def test_the_label_names_the_largest(self) -> None:
        view = coloured([Token("good"), Token("bad")], np.array([0.25, -3], np.float32))
        assert view.label == "Largest: bad −3.000, good +0.2500"

    @pytest.mark.parametrize(
        ("value", "shown"), [(0.12345, "+0.1235"), (-2, "−2.000"), (0, "0"), (4.56e-5, "+4.56e−5"), (np.inf, "n/a")]
    )
    def test_numbers(self, value: float, shown: str) -> None:
        assert signed(value) == shown

    def test_a_long_text_is_cut_to_what_is_around_its_largest_tokens(self) -> None:
        tokens = long_text(300)
        values = np.zeros(300, np.float32)
        values[[0, 50, 53, 200]] = [9, 1, -2, 3]
        views = excerpt(tokens, values).tokens
        numbers = [int(re.findall(r"token (\d+)", view.title)[0]) for view in views if view.classes != "gap"]
        assert set(range(45, 59)) | set(range(195, 206)) <= set(numbers)
        assert next(view.text for view in views if view.classes == "gap") == "…"
        assert len(views) < 60
        assert len(excerpt(tokens[:60], values[:60]).tokens) == 60


class TestPage:
    def test_the_text_reads_as_it_was_written(self) -> None:
        html = render(make_text_content())
        wanted = "[CLS] The film is not bad, disarming <b> مرحبا ☃日 [SEP]"
        assert [reading(html, number) for number in range(6)] == [wanted] * 6

    def test_what_is_written_in_a_text_is_no_markup(self) -> None:
        tokens = (Token('<script>alert("x")</script>'), Token("' onload=x"), Token("{{ 7 * 7 }}"))
        maps = np.ones(3, np.float32)
        units = (TopUnit("a", "b", 1.0, 1.0, maps),)
        levels = tuple(replace(level, map=maps) for level in make_text_content().levels)
        html = render(
            make_text_content(tokens, plain=maps, levels=levels, top_neurons=units, top_channels=(), title="<b>x")
        )
        assert "<script>alert" not in html
        assert "{{ 7 * 7 }}" in html
        assert html.count("<script") == 2

    def test_every_number_is_in_the_table_and_in_the_json(self) -> None:
        content = make_text_content()
        html = render(content)
        rows = re.findall(r"<tr><td>\d+</td><th scope=\"row\">.*?</tr>", html)
        assert len(rows) == len(SENTENCE)
        assert signed(float(content.levels[2].map[4])) in rows[4]
        numbers = json.loads(script_json(content))
        assert numbers["levels"][2]["map"] == pytest.approx(content.levels[2].map.tolist(), rel=1e-3)
        assert "plain" not in json.loads(script_json(replace(content, tokens=())))

    def test_a_text_of_512_tokens_is_no_large_page(self) -> None:
        html = render(make_text_content(long_text()))
        assert len(html.encode()) < 900_000

    def test_maps_have_to_fit_the_text(self) -> None:
        with pytest.raises(InputError, match=r"has 14 tokens, and the plain gradient's shape is \(15,\)"):
            render(make_text_content(SENTENCE[1:], plain=make_text_content().plain))

    def test_where_nothing_flows(self) -> None:
        units = (TopUnit("a", "b", 1.0, 1.0, np.zeros(len(SENTENCE), np.float32)),)
        html = render(make_text_content(top_neurons=units, top_channels=()))
        assert "Nothing reaches the response from the tokens through here." in html

    def test_it_goes_into_an_index(self) -> None:
        entry = index_entry(make_text_content(), "text.html")
        assert entry.thumbnail == ""
        assert "The film is not bad" in render_index([entry])


@pytest.mark.browser
class TestBrowser:
    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 390])
    @pytest.mark.parametrize("tokens", [SENTENCE, long_text(), (Token("x" * 300),)], ids=["short", "long", "one word"])
    def test_it_fits_and_can_be_read(self, tokens: Any, width: int, dark: bool, open_page: Any) -> None:
        opened = open_page(render(make_text_content(tokens)), width, dark)
        assert opened.complaints == []
        assert opened.page.evaluate(FITS)
        opened.page.locator("#sees summary").click()
        assert opened.page.evaluate(FITS)
        assert opened.page.evaluate(CONTRAST) == []

    def test_the_slider_changes_the_colours(self, open_page: Any) -> None:
        page = open_page(render(make_text_content())).page
        level = '#sees figure [data-level]:not([hidden]) [title$="(token 4)"]'
        before = page.locator(level).get_attribute("title")
        page.focus("#sparsity")
        page.keyboard.press("ArrowLeft")
        assert page.locator(level).get_attribute("title") != before

    def test_signs_differ_by_more_than_colour(self, open_page: Any) -> None:
        page = open_page(render(make_text_content())).page
        shadows = "nodes => [...new Set(nodes.map(node => getComputedStyle(node).boxShadow === 'none'))]"
        assert page.locator(".reading .up").evaluate_all(shadows) == [True]
        assert page.locator(".reading .down").evaluate_all(shadows) == [False]
