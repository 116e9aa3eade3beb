"""The page's structure: what is in it, what is not, and that it stands alone."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from report_contents import RESPONSE, make_content, make_table_content, sites_of

from critpath.errors import InputError, MissingDependencyError
from critpath.report import (
    Content,
    Kept,
    Prediction,
    Reach,
    SiteRow,
    embed,
    index_entry,
    render,
    render_index,
    templates,
)

VOID = {"meta", "link", "img", "input", "br"}


class Reading(HTMLParser):
    """Every element with its attributes, the visible text, and whether the tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [a for name, a in self.elements if name == tag and wanted.items() <= a.items()]


def data_of(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="critpath-data">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1], parse_constant=pytest.fail)


@pytest.mark.parametrize("sites", [1, 49, 200])
def test_it_is_one_small_file_with_a_row_for_every_site(sites: int) -> None:
    html = render(make_content(sites))
    assert len(html.encode()) < 1_000_000
    page = Reading(html)
    for site in sites_of(sites):
        assert site.name in page.words
    assert f"{sites} of {sites} activation calls" in page.text


@pytest.mark.parametrize("make", [make_content, make_table_content])
def test_nothing_in_it_points_outside(make: type[Content]) -> None:
    html = render(make())
    for tag, attributes in Reading(html).elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name) or "data:"
            assert value.startswith("data:"), (tag, name, value)
    assert "://" not in html
    assert "@import" not in html
    assert set(re.findall(r"url\(.{6}", html)) <= {'url("data:'}
    assert "default-src 'none'" in html


def test_it_says_what_was_found(content: Content) -> None:
    text = Reading(render(content)).text
    level = content.levels[content.main_level]
    assert f"they give {100 * level.kept.pathway / RESPONSE:.0f}% of the response" in text
    assert "still the predicted class" in text
    assert "11.24" in text
    assert "11.2375" not in text
    assert "up to a sparsity of 98%" in text
    for words in (content.title, content.model, content.method, *content.caveats):
        assert words in text


def test_ids_are_unique_and_controls_and_pictures_are_named(content: Content) -> None:
    page = Reading(render(content))
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    for _, attributes in page.elements:
        assert (attributes.get("aria-labelledby") or next(iter(ids))) in ids
    assert page.all("label", **{"for": "sparsity"})
    assert all("alt" in image for image in page.all("img"))
    assert all(svg.get("aria-label") for svg in page.all("svg"))


def test_every_string_is_escaped() -> None:
    evil = "<script>alert(1)</script>\"'&"
    content = make_content(
        title=evil,
        model=evil,
        method=evil,
        target=evil,
        predictions=(Prediction(evil, 1.0, 0.5),),
        sites=(SiteRow(evil, evil, (1,), 1, 0.0, 0.1, None), *sites_of(3)),
        coverage=((evil, evil),),
        provenance=((evil, evil),),
        caveats=(evil,),
        warnings=(evil,),
    )
    unit = replace(content.top_neurons[0], site=evil, unit=evil)
    html = render(replace(content, top_neurons=(unit,), top_channels=(unit,)))
    assert "<script>alert" not in html
    assert len(Reading(html).all("script")) == 2
    assert data_of(html)["title"] == evil
    assert "<script>alert" not in render_index([index_entry(content, "a.html")], title=evil)
    assert len(Reading(embed(html)).elements) == 1


def test_numbers_that_are_none_are_shown_as_such() -> None:
    bad = (math.nan, math.inf, -math.inf)
    base = make_content()
    levels = tuple(
        replace(level, realised=bad[i % 3], kept=Kept(bad[i % 3], bad), map=np.full_like(level.map, bad[i % 3]))
        for i, level in enumerate(base.levels)
    )
    sites = tuple(SiteRow(f"s{i}", "gelu", (2,), 2, value, value, value) for i, value in enumerate(bad))
    units = tuple(replace(base.top_neurons[0], contribution=v, share=v, where=base.plain * np.float32(v)) for v in bad)
    html = render(
        replace(
            base,
            response=math.nan,
            predictions=tuple(Prediction("a", v, v) for v in bad),
            levels=levels,
            sites=sites,
            top_neurons=units,
            reach=Reach(math.nan, math.inf, math.nan),
        )
    )
    without_images = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", html)
    assert not re.search(r"\b(nan|inf|infinity)\b", without_images, re.I)
    assert "n/a" in without_images
    assert data_of(html)["response"] is None


def test_no_random_sets_no_predictions_and_one_level() -> None:
    base = make_content()
    level = replace(base.levels[3], kept=Kept(5.0, ()))
    page = Reading(render(replace(base, levels=(level,), main_level=0, predictions=())))
    assert "No random sets to compare with." in page.text
    assert "The target is no class" in page.text
    assert not page.all("input", type="range")


def test_a_level_that_does_not_reach_the_input_has_words_for_a_map(content: Content) -> None:
    html = render(replace(content, main_level=6))
    assert "The pathway does not reach the input." in Reading(html).text
    assert 'scope="site"' in Reading(html).text
    assert len(Reading(html).all("img", alt="The pathway gradient at 98% sparsity")) == 1
    assert not Reading(html).all("img", alt="The pathway gradient at 99% sparsity")


def test_sites_off_the_pathway_are_marked() -> None:
    page = Reading(render(make_content(sites=sites_of(49, empty=9))))
    assert "9 of the 49 sites have no neuron on the pathway: the first 9" in page.text
    assert page.words.count("empty") == 9
    assert len(page.all("tr", **{"class": "void"})) == 9


def test_activations_without_a_dead_side_have_no_dead_share() -> None:
    sites = tuple(replace(site, dead=None) for site in sites_of(5))
    page = Reading(render(make_content(sites=sites)))
    assert "These activations have no dead side." in page.text
    assert "Dead" not in page.words
    assert "Dead" in Reading(render(make_content(sites=(*sites, *sites_of(1))))).words


def test_an_input_that_is_no_image_has_bars_of_its_largest_features() -> None:
    content = make_table_content()
    page = Reading(render(content))
    assert not page.all("img")
    assert f"feature {int(content.plain.argmax())}" in page.words
    assert not page.all("input", type="radio")


def test_maps_without_a_picture_are_shown_alone() -> None:
    page = Reading(render(make_content(picture=None)))
    assert not page.all("input", type="radio")
    assert page.all("img", alt="The plain gradient through all neurons")


def test_the_data_hold_the_numbers_and_no_arrays(content: Content) -> None:
    data = data_of(render(content))
    assert data["response"] == RESPONSE
    assert "picture" not in data
    assert "plain" not in data
    assert data["levels"][0].keys() == {"requested", "realised", "reaches_input", "kept"}  # type: ignore[index]


def test_many_levels_stay_within_the_size(content: Content) -> None:
    level = content.levels[0]
    rng = np.random.default_rng(0)
    noise = rng.random((600, 600), np.float32)
    levels = tuple(replace(level, requested=i / 40, map=noise) for i in range(40))
    html = render(replace(content, plain=noise, levels=levels, top_neurons=(), top_channels=()))
    assert len(html.encode()) < 1_500_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"main_level": 7}, "main_level is 7, but there are 7 levels"),
        ({"levels": ()}, "there are 0 levels"),
        ({"plain": np.zeros((2, 3, 4), np.float32)}, r"\(2, 3, 4\)"),
        ({"plain": np.zeros((2, 3), np.float32)}, r"sparsity 0.0 has shape \(224, 224\)"),
        ({"picture": np.zeros((4, 4, 3), np.float32)}, "float32"),
    ],
)
def test_content_that_contradicts_itself_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        render(make_content(**changes))


def test_a_sparsity_out_of_range_is_refused(content: Content) -> None:
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        render(replace(content, levels=(replace(content.levels[0], requested=math.nan),), main_level=0))


def test_without_jinja2_it_says_what_to_install(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    templates._environment.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"critpath\[report\]"):
        render(content)


def test_the_report_loads_neither_torch_nor_jinja2() -> None:
    check = "import critpath.report, sys; print([m for m in ('torch', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_index_links_to_its_pages(content: Content) -> None:
    entries = [
        index_entry(content, "runs/a b#1?.html"),
        index_entry(make_table_content(), "javascript:alert(1)"),
    ]
    page = Reading(render_index(entries))
    assert [link["href"] for link in page.all("a")] == ["runs/a%20b%231%3F.html", "javascript%3Aalert%281%29"]
    assert len(page.all("img")) == 1
    assert page.text.count("tabby cat") >= 2
    assert "66%" in page.text


def test_an_empty_index_says_so() -> None:
    assert "There are no pages yet." in Reading(render_index([])).text


def test_the_frame_holds_the_page(content: Content) -> None:
    html = render(content)
    (frame,) = Reading(embed(html, height=500)).all("iframe")
    assert frame["srcdoc"] == html
    assert "height:500px" in (frame["style"] or "")
