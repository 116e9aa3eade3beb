"""The page that compares finders: every number on it is in its content."""

from __future__ import annotations

import math
import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from comparison_contents import FINDERS, SIZES, make_comparison
from test_report_page import Reading, data_of

from critpath.errors import InputError, StorageError
from critpath.report import (
    ComparisonContent,
    DecodedImage,
    DecodedPicture,
    Estimate,
    Photograph,
    render_comparison,
    save_comparison,
    words,
)
from critpath.report import comparison_charts as charts
from critpath.report import comparison_words as said


@pytest.fixture(scope="module")
def content() -> ComparisonContent:
    return make_comparison()


def changed_rows(content: ComparisonContent, **changes: Any) -> ComparisonContent:
    """The content with changes in every row of every level."""
    levels = tuple(
        replace(level, rows=tuple(replace(row, **changes) for row in level.rows)) for level in content.levels
    )
    return replace(content, levels=levels)


def test_it_is_one_small_file_that_points_nowhere(content: ComparisonContent) -> None:
    html = render_comparison(content)
    assert len(html.encode()) < 500_000
    for _, attributes in Reading(html).elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "http://" not in html
    assert "https://" not in html


def test_every_finder_has_its_numbers(content: ComparisonContent) -> None:
    page = Reading(render_comparison(content))
    for finder, row in zip(content.finders, content.main.rows, strict=True):
        assert finder.name in page.text
        assert words.percent(row.dead.mean) in page.text
        assert words.percent(row.alone.mean) in page.text
        assert said.interval(row.alone, 4) in page.text
        assert said.time(finder.seconds) in page.text
        assert said.keeps_class(row) in page.text
    for curve in content.curves[0].finders:
        for value in (*curve.kept, *curve.lost):
            assert words.percent(value.mean) in page.text
    assert "stalled at 15% of the neurons" in page.text
    assert page.text.count("control") >= 4


def test_a_number_of_the_content_moves_the_page(content: ComparisonContent) -> None:
    before = Reading(render_comparison(content)).text
    moved = changed_rows(content, connected=Estimate(0.77777, 0.71717, 0.79797))
    after = Reading(render_comparison(moved)).text
    assert "78% 72% to 80%" in after
    assert "78% 72% to 80%" not in before


def test_the_heat_map_is_the_overlap(content: ComparisonContent) -> None:
    page = Reading(render_comparison(content))
    cells = [cell for cell in page.all("td") if (cell.get("style") or "").startswith("--v:") and cell.get("title")]
    expected = [(i, j) for i in range(len(FINDERS)) for j in range(len(FINDERS)) if i != j]
    assert len(cells) == len(expected)
    for cell, (i, j) in zip(cells, expected, strict=True):
        pair = content.overlap[i][j]
        assert cell["style"] == f"--v:{pair.jaccard.mean:.4f}"
        assert f"{FINDERS[i]} and {FINDERS[j]}: Jaccard {pair.jaccard.mean:.2f}" in (cell["title"] or "")


def test_the_json_holds_the_numbers_and_no_pictures(content: ComparisonContent) -> None:
    data: Any = data_of(render_comparison(content))
    assert [row["finder"] for row in data["levels"][1]["rows"]] == list(FINDERS)
    assert data["overlap"][0][1]["jaccard"]["mean"] == content.overlap[0][1].jaccard.mean
    assert data["curves"][0]["sizes"] == list(SIZES)
    assert "picture" not in data["photographs"][0]


def test_one_image_has_no_intervals() -> None:
    html = render_comparison(make_comparison(1))
    page = Reading(html)
    assert "n/a (one image)" in page.text
    assert not re.search(r"\bnan\b", page.text, re.I)
    assert " to " not in said.interval(Estimate(0.5), 1)
    assert "On one image" in page.text
    assert "one image has none" in page.text


def everything_nan(value: Any) -> Any:
    """The same content with NaN for every float."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: everything_nan(getattr(value, f.name)) for f in fields(value) if f.init})
    if isinstance(value, tuple):
        return tuple(everything_nan(part) for part in value)
    return math.nan if isinstance(value, float) else value


@pytest.mark.parametrize("images", [1, 4])
def test_numbers_that_are_none_are_shown_as_such(images: int) -> None:
    content = make_comparison(images)
    sizes = content.curves[0].sizes
    unknown = everything_nan(content)
    unknown = replace(unknown, curves=tuple(replace(curves, sizes=sizes) for curves in unknown.curves))
    html = render_comparison(unknown)
    without_images = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", html)
    assert not re.search(r"\b(nan|inf|infinity)\b", without_images, re.I)
    assert "No share of the response is defined here." in Reading(html).text
    data_of(html)


def test_what_is_said_is_escaped() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    base = make_comparison(finders=("taylor", "random"))
    levels = tuple(
        replace(level, rows=tuple(replace(row, stopped=(evil,)) for row in level.rows)) for level in base.levels
    )
    html = render_comparison(
        replace(
            base,
            title=evil,
            model=evil,
            target=evil,
            levels=levels,
            photographs=(Photograph(evil, evil, 0.5, evil),),
            finders=tuple(replace(finder, settings=evil) for finder in base.finders),
            sites=tuple(evil for _ in base.sites),
            decoded=(DecodedImage(evil, evil, (DecodedPicture(evil, math.nan, None, evil),)),),
            caveats=(evil,),
            provenance=((evil, evil),),
            warnings=(evil,),
        )
    )
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    data: Any = data_of(html)
    assert data["title"] == evil


def test_one_finder_has_no_overlap() -> None:
    page = Reading(render_comparison(make_comparison(finders=("taylor",), site_overlap=())))
    assert "How much the pathways share" not in page.text


def test_without_curves_and_pictures() -> None:
    page = Reading(render_comparison(make_comparison(curves=(), decoded=(), provenance=(), caveats=())))
    assert "so there are no curves" in page.text
    assert "What the pathways want to see" not in page.text


def test_a_picture_that_could_not_be_made_says_why() -> None:
    decoded = (DecodedImage("a.jpg", "cat", (DecodedPicture("dgr", math.nan, None, "nothing depends on it"),)),)
    page = Reading(render_comparison(make_comparison(decoded=decoded)))
    assert "no picture" in page.text
    assert "nothing depends on it" in page.text


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"finders": ()}, "0 finders"),
        ({"images": 0}, "0 images"),
        ({"levels": ()}, "there are 0 levels"),
        ({"main_level": 2}, "main_level is 2"),
        ({"overlap": ()}, "table of 6 by 6"),
        ({"sites": ("a",)}, "for 1 sites"),
    ],
)
def test_content_that_contradicts_itself_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        render_comparison(replace(make_comparison(), **changes))


def test_rows_of_other_finders_are_refused(content: ComparisonContent) -> None:
    with pytest.raises(InputError, match=r"rows at sparsity 0\.8"):
        render_comparison(changed_rows(content, finder="taylor"))


def test_curves_of_other_sizes_are_refused(content: ComparisonContent) -> None:
    with pytest.raises(InputError, match="curves of taylor"):
        render_comparison(replace(content, curves=(replace(content.curves[0], sizes=(0.1,)),)))


def test_saved_whole_or_not_at_all(content: ComparisonContent, tmp_path: Any) -> None:
    assert save_comparison(content, tmp_path / "a.html").read_text("utf-8") == render_comparison(content)
    with pytest.raises(StorageError):
        save_comparison(content, tmp_path / "missing" / "a.html")


class TestSummary:
    def test_the_closest_to_the_whole_response_comes_first(self, content: ComparisonContent) -> None:
        best = min(content.main.rows, key=lambda row: abs(row.alone.mean - 1))
        text = said.summary(content)
        assert best.finder == "greedy"
        assert f"greedy comes closest to the whole response: it gives {words.percent(best.alone.mean)}" in text
        assert "random neurons give 0.56%" in text

    def test_more_than_the_network_is_not_called_best(self, content: ComparisonContent) -> None:
        rows = tuple(
            replace(row, alone=Estimate(3.8, 3.1, 4.4)) if row.finder == "dgr" else row for row in content.main.rows
        )
        text = said.summary(replace(content, levels=(content.levels[0], replace(content.main, rows=rows))))
        assert "greedy comes closest" in text
        assert "Acting alone, the neurons of dgr (380%) give more than the whole network does." in text

    def test_intervals_that_meet_are_named(self, content: ComparisonContent) -> None:
        near = changed_rows(content, alone=Estimate(0.5, 0.4, 0.6))
        assert "cannot tell apart from it" in said.summary(near)
        assert "cannot tell apart" not in said.summary(make_comparison(1))

    def test_dead_neurons(self, content: ComparisonContent) -> None:
        text = said.summary(content)
        assert "64% of all neurons are dead" in text
        assert "greedy (8.0%), dgr (43%) and random (64%) hold dead neurons" in text
        assert "those of taylor, intgrad and magnitude have none" in text
        assert "no pathway holds any" in said.summary(changed_rows(content, dead=Estimate(0.0, 0.0, 0.0)))

    def test_the_closest_pair_and_chance(self, content: ComparisonContent) -> None:
        assert "taylor and intgrad agree most: their Jaccard is 0.52, where chance gives 0.05." in said.summary(content)

    def test_searches_that_stopped(self, content: ComparisonContent) -> None:
        assert "Of 4 images, these searches ended elsewhere than asked: greedy in 1." in said.summary(content)
        assert "elsewhere" not in said.summary(changed_rows(content, stopped=()))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0512, "0.051 s"), (3.21, "3.2 s"), (12.3, "12 s"), (246.0, "4.1 min"), (math.nan, "n/a")]
)
def test_time(seconds: float, text: str) -> None:
    assert said.time(seconds) == text


class TestCharts:
    def test_sizes_are_logarithmic_and_shares_linear(self, content: ComparisonContent) -> None:
        chart = charts.curve_chart(content, content.curves[0], lambda curve: curve.kept, 520)
        points = [tuple(map(float, pair.split(","))) for pair in chart.lines[0].runs[0].split()]
        curve = content.curves[0].finders[0]
        x = [chart.left + 8 + (math.log10(s) + 3) / 3 * (chart.right - chart.left - 16) for s in SIZES]
        y = [chart.bottom - value.mean * (chart.bottom - chart.top) for value in curve.kept]
        for (px, py), wx, wy in zip(points, x, y, strict=True):
            assert px == pytest.approx(wx, abs=0.06)
            assert py == pytest.approx(wy, abs=0.06)

    def test_a_gap_breaks_the_line(self, content: ComparisonContent) -> None:
        values = list(content.site_overlap[0].jaccard)
        values[5] = math.nan
        rows = (replace(content.site_overlap[0], jaccard=tuple(values)), *content.site_overlap[1:])
        chart = charts.site_chart(replace(content, site_overlap=rows), 900)
        assert chart is not None
        assert [len(run.split()) for run in chart.lines[0].runs] == [5, 27]

    def test_lines_that_leave_the_frame_are_cut(self, content: ComparisonContent) -> None:
        curves = content.curves[0]
        high = replace(curves.finders[0], kept=tuple(Estimate(40.0) for _ in SIZES))
        chart = charts.curve_chart(content, replace(curves, finders=(high, *curves.finders[1:])), lambda c: c.kept, 520)
        assert chart.cut
        heights = [float(pair.split(",")[1]) for pair in chart.lines[0].runs[0].split()]
        assert max(heights) < chart.top
        assert min(heights) > chart.top - 30

    def test_every_finder_has_a_style_of_its_own(self) -> None:
        names = (*(f"finder{i}" for i in range(12)), "random", "magnitude")
        styles = charts.styles(make_comparison(finders=names))
        assert len(set(styles.values())) == 14
        assert {styles["random"], styles["magnitude"]} == {"control0", "control1"}
