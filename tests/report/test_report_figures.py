"""Maps as figures, against slow and obvious definitions."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from report_contents import make_content

from critpath.report import charts, figures


def decode(uri: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def test_colours_get_lighter_from_step_to_step() -> None:
    table = figures.colours(256).astype(float)
    light = table @ [0.2126, 0.7152, 0.0722]
    assert table.shape == (256, 3)
    assert (np.diff(light) > -1).all()
    assert light[0] < 2
    assert light[-1] > 240


def test_a_map_is_divided_by_its_99th_percentile() -> None:
    values = np.random.default_rng(0).exponential(size=(50, 40)).astype(np.float32)
    top = np.sort(values.ravel())[int(0.99 * (values.size - 1))]
    scaled = figures.unit_scale(values)
    np.testing.assert_allclose(scaled, np.minimum(values / top, 1), atol=0.01)


def test_a_map_with_few_values_is_divided_by_the_largest() -> None:
    values = np.zeros((100, 100), np.float32)
    values[3, 4], values[5, 6] = 2, 4
    assert figures.unit_scale(values)[3, 4] == 0.5
    assert figures.unit_scale(values).max() == 1


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -1.0])
def test_a_map_without_values_is_black(value: float) -> None:
    scaled = figures.unit_scale(np.full((4, 4), value, np.float32))
    assert scaled.shape == (4, 4)
    assert not scaled.any()


def test_the_pixels_of_a_map_are_the_colours_of_its_values() -> None:
    values = np.random.default_rng(1).random((9, 13), np.float32)
    pixels, table = decode(figures.map_uri(values, 64)), figures.colours()
    scaled = figures.unit_scale(values)
    for y in range(9):
        for x in range(13):
            assert tuple(pixels[y, x]) == tuple(table[round(float(scaled[y, x]) * (figures.SHADES - 1))])


def test_large_maps_shrink_and_keep_their_proportions() -> None:
    assert decode(figures.map_uri(np.ones((400, 200), np.float32), 100)).shape == (100, 50, 3)
    assert figures.fit_size((30, 20), 100) == (20, 30)
    assert figures.fit_size((1, 5000), 100) == (100, 1)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
def test_pictures_of_any_number_of_channels(shape: tuple[int, ...]) -> None:
    picture = np.full(shape, 200, np.uint8)
    assert decode(figures.picture_uri(picture, 480)).shape == (20, 30, 3)
    assert decode(figures.picture_uri(picture, 480)).min() == 200
    assert decode(figures.backdrop_uri(picture, 480)).max() < 110


def test_an_overlay_is_the_screen_of_map_and_backdrop() -> None:
    picture = np.full((16, 16, 3), 200, np.uint8)
    values = np.zeros((16, 16), np.float32)
    values[:, 8:] = 1
    mixed = decode(figures.overlay_uri(picture, values, 16)).astype(float)
    under, top = 100 / 255, figures.colours()[-1] / 255
    np.testing.assert_allclose(mixed[4, 2], 100, atol=12)
    np.testing.assert_allclose(mixed[4, 13] / 255, 1 - (1 - under) * (1 - top), atol=0.05)


def test_the_chart_encloses_its_points_and_orders_the_levels() -> None:
    content = make_content()
    chart = charts.kept_chart(make_content(levels=content.levels[::-1]), 760, 320)
    assert chart is not None
    xs = [mark.x for mark in chart.marks]
    assert xs == sorted(xs)
    assert [mark.index for mark in chart.marks] == [6, 5, 4, 3, 2, 1, 0]
    assert all(chart.left <= mark.x <= chart.right and chart.top <= mark.y <= chart.bottom for mark in chart.marks)
    assert chart.top <= chart.full < chart.zero <= chart.bottom


def test_labels_on_the_axis_do_not_touch() -> None:
    level = make_content().levels[0]
    levels = tuple(type(level)(i / 50, i / 50, level.map, True, level.kept) for i in range(51))
    chart = charts.kept_chart(make_content(levels=levels), 360, 280)
    assert chart is not None
    places = [tick.at for tick in chart.x_ticks]
    assert min(np.diff(places)) >= 44


def test_there_is_no_chart_of_a_response_of_zero() -> None:
    assert charts.kept_chart(make_content(response=0.0), 760, 320) is None


def test_groups_follow_the_first_part_of_the_names() -> None:
    groups = charts.groups(make_content(49).sites)
    assert [group.name for group in groups] == ["relu", "layer1", "layer2", "layer3", "layer4"]
    assert sum(group.sites for group in groups) == 49
    assert charts.groups(make_content(1).sites) == ()


def test_a_small_spot_is_framed_and_a_spread_map_is_not() -> None:
    values = np.zeros((100, 200), np.float32)
    assert figures.spot(values) is None
    values[10:14, 150:154] = 3.0
    found = figures.spot(values)
    assert found == figures.Spot(left=67.0, top=3.0, width=18.0, height=18.0)
    values[90, 10] = 0.1  # dim: no part of it
    assert figures.spot(values) == found
    values[90, 10] = 3.0
    assert figures.spot(values) is None
    corner = np.zeros((10, 10), np.float32)
    corner[0, 0] = 1.0
    assert figures.spot(corner) == figures.Spot(left=0.0, top=0.0, width=18.0, height=18.0)
    assert figures.spot(np.ones(5, np.float32)) is None
