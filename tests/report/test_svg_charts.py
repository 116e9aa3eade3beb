"""Charts as SVG files: what is drawn where, and what is refused."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from critpath.errors import OptionError
from critpath.report import Series, intervals_svg, lines_svg, matrix_svg, panels_svg, picture_grid

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def runs(svg: str, style: str) -> list[list[tuple[float, float]]]:
    """The polylines of a style that are in the frame, not in the legend."""
    inner = next(parsed(svg).iter(f"{SVG}svg"))
    frames = list(inner.iter(f"{SVG}svg"))[1:]
    lines = [
        line.get("points", "")
        for frame in frames
        for group in frame.iter(f"{SVG}g")
        if group.get("class") == style
        for line in group.iter(f"{SVG}polyline")
    ]
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in line.split())] for line in lines]


def test_lines_are_where_the_numbers_are() -> None:
    svg = lines_svg({"a": Series([0, 1, 2], [0.0, 0.5, 1.0])}, "x", "y", y_limits=(0, 1))
    ((left, bottom), (middle, half), (right, top)) = runs(svg, "hue0")[0]
    assert middle == pytest.approx((left + right) / 2)
    assert half == pytest.approx((top + bottom) / 2, abs=0.11)
    assert top < bottom
    assert {"a", "x", "y", "0.0", "1.0"} <= set(texts(svg))


def test_a_missing_number_is_a_gap_and_bands_are_outlines() -> None:
    one = Series([0, 1, 2, 3], [0.1, None, 0.3, float("nan")], [0.0, None, 0.2, 0.1], [0.2, None, 0.4, 0.9])
    svg = lines_svg({"a": one}, "x", "y")
    assert [len(run) for run in runs(svg, "hue0")] == [1, 1]
    band = next(parsed(svg).iter(f"{SVG}polygon")).get("points", "").split()
    assert len(band) == 6
    assert 'class="hue0"' in svg


def test_styles_tell_series_apart() -> None:
    series = {f"s{i}": Series([0, 1], [i, i + 1]) for i in range(9)}
    svg = lines_svg({**series, "random": Series([0, 1], [0, 0])}, "x", "y")
    assert runs(svg, "hue7")
    assert runs(svg, "hue0 dashed")
    assert runs(svg, "control")
    assert runs(lines_svg({"a": Series([0, 1], [0, 1], dashed=True)}, "x", "y"), "hue0 dashed")


def test_ticks_are_names_of_places() -> None:
    names = [f"layer{i}.conv" for i in range(18)]
    svg = lines_svg({"a": Series(range(18), [0.1 * i for i in range(18)])}, "stage", "y", ticks=names)
    assert set(names) <= set(texts(svg))
    assert "rotate(-40" in svg
    lefts = [float(x) for x, said in re.findall(r'<text x="([\d.]+)"[^>]*>(layer\d+\.conv)<', svg)]
    assert lefts == sorted(lefts)
    with pytest.raises(OptionError, match="2 ticks for 18 places"):
        lines_svg({"a": Series(range(18), [0.0] * 18)}, "stage", "y", ticks=["a", "b"])


def test_names_are_escaped() -> None:
    svg = lines_svg({"a<b & c": Series([0, 1], [0, 1])}, "<x>", "y", title="<script>")
    assert {"a<b & c", "<x>", "<script>"} <= set(texts(svg))


def test_a_chart_needs_a_number_and_series_their_lengths() -> None:
    with pytest.raises(OptionError, match="no finite number"):
        lines_svg({"a": Series([0, 1], [None, None])}, "x", "y")
    with pytest.raises(OptionError, match=r"of one length.*\[2, 3\]"):
        Series([0, 1], [0, 1, 2])
    with pytest.raises(OptionError, match="low and high together"):
        Series([0, 1], [0, 1], low=[0, 1])


def test_intervals_with_what_was_published() -> None:
    rows = {"conductance": (0.9, 0.8, 1.0), "random": (0.5, None, None)}
    svg = intervals_svg(rows, "accuracy", published={"conductance": 0.7, "other": 0.1})
    (span,) = [e for e in parsed(svg).iter(f"{SVG}line") if e.get("class") == "span"]
    places = {said: float(x) for x, said in re.findall(r'<text x="([\d.]+)"[^>]*>(0\.\d)<', svg)}
    assert float(span.get("x1", 0)) == pytest.approx(places["0.8"], abs=0.2)
    hollow = [e for e in parsed(svg).iter(f"{SVG}circle") if e.get("class") == "hollow"]
    assert len(hollow) == 2  # one in a row, one in the key
    assert float(hollow[0].get("cx", 0)) == pytest.approx(places["0.7"], abs=0.2)
    assert "published" in texts(svg)
    assert "published" not in texts(intervals_svg(rows, "accuracy"))


def test_a_matrix_has_its_numbers_and_is_darker_where_they_are_larger() -> None:
    svg = matrix_svg(["a", "b"], ["c", "d"], [[1.0, 0.25], [None, -0.5]])
    assert {"a", "b", "c", "d", "1.00", "0.25", "−0.50"} <= set(texts(svg))
    shades = [float(e.get("fill-opacity", 0)) for e in parsed(svg).iter(f"{SVG}rect") if e.get("fill-opacity")]
    assert len(shades) == 3
    assert shades[0] > shades[1] > shades[2]
    with pytest.raises(OptionError, match=r"2 rows of \[1, 2\] for 2 names"):
        matrix_svg(["a", "b"], ["c", "d"], [[1.0, 2.0], [3.0]])


def test_panels_stand_beside_and_below_each_other() -> None:
    one = lines_svg({"a": Series([0, 1], [0, 1])}, "x", "y", title="first", width=300, height=200)
    svg = panels_svg([one, one.replace("first", "second"), one.replace("first", "third")])
    root = parsed(svg)
    assert (root.get("width"), root.get("height")) == ("600", "400")
    placed = [(e.get("x"), e.get("y")) for e in root.findall(f"{SVG}svg")]
    assert placed == [("0", "0"), ("300", "0"), ("0", "200")]
    assert svg.count("<style>") == 1
    assert {"first", "second", "third"} <= set(texts(svg))
    with pytest.raises(OptionError, match="SVG charts"):
        panels_svg(["no chart"])


def test_equal_charts_are_equal_bytes() -> None:
    series = {"a": Series([0, 1], [0, 1]), "random": Series([0, 1], [1, 1])}
    assert lines_svg(series, "x", "y") == lines_svg(series, "x", "y")


def test_a_grid_of_pictures() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 250
    data = picture_grid([[red, None], [None, red]], ["one", "two"], ["first", "second"], side=40)
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    columns = np.nonzero((image[..., 0] > 200) & (image[..., 1] < 80))[1]
    rows = np.nonzero((image[..., 0] > 200) & (image[..., 1] < 80))[0]
    assert len(columns) == pytest.approx(2 * 40 * 40, rel=0.1)
    assert rows.max() - rows.min() > 80
    with pytest.raises(OptionError, match="1 rows of"):
        picture_grid([[red]], ["one"], ["first", "second"])
    with pytest.raises(OptionError, match=r"float64 \[8, 8\]"):
        picture_grid([[np.zeros((8, 8))]], ["one"], ["first"])  # type: ignore[list-item]
