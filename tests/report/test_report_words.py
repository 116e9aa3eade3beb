"""Numbers and findings in words."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from report_contents import make_content, sites_of

from critpath.report import Kept, Reach, words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (11.237512345678901, "11.24"),
        (-0.0123456, "−0.01235"),
        (123456.7, "123,457"),
        (0.0, "0"),
        (9.99996, "10.00"),
        (1.5e-9, "1.50e-9".replace("-", "−")),
        (2.5e12, "2.50e12"),
        (math.nan, "n/a"),
        (-math.inf, "n/a"),
        (None, "n/a"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.9999, "99.9%"),
        (1.0001, "100.1%"),
        (0.0997, "10%"),
        (0.0362, "3.6%"),
        (0.000545, "0.05%"),
        (1e-7, "<0.01%"),
        (-0.0162, "−1.6%"),
        (1.237, "124%"),
        (12.5, "1,250%"),
        (math.inf, "n/a"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert words.percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (0.5, "50%"),
        (0.9, "90%"),
        (0.995, "99.5%"),
        (0.9003, "90%"),
        (0.9999, "99.99%"),
        (1.0, "100%"),
    ],
)
def test_sparsity(share: float, text: str) -> None:
    assert words.sparsity(share) == text


def test_ratio_is_not_a_number_where_it_is_not_defined() -> None:
    assert words.ratio(1.0, 4.0) == 0.25
    assert all(math.isnan(words.ratio(*pair)) for pair in [(1.0, 0.0), (math.inf, 1.0), (1.0, math.nan)])


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Reach(None, 0.5, 0.99), "does not reach the input at any sparsity tried (up to 99%)"),
        (Reach(0.99, None, 0.99), "reaches the input at every sparsity tried, up to 99%"),
        (Reach(0.97, 0.98, 0.99), "up to a sparsity of 97%. At 98% it no longer does (tried up to 99%)"),
    ],
)
def test_reach(found: Reach, text: str) -> None:
    assert text in words.reach(found)


def test_empty_sites() -> None:
    assert words.empty_sites(sites_of(5)) is None
    assert words.empty_sites(sites_of(5, 1)) == "1 of the 5 sites has no neuron on the pathway: relu#0."
    assert "the first 3, relu#0 to " in (words.empty_sites(sites_of(5, 3)) or "")
    scattered = (*sites_of(3, 1), *sites_of(2, 2))
    assert ", between relu#0 and " in (words.empty_sites(scattered) or "")


def test_class_survives() -> None:
    assert words.class_survives(Kept(1.0, ())) is None
    assert "still" in (words.class_survives(Kept(1.0, (), True)) or "")
    assert "another class" in (words.class_survives(Kept(1.0, (), False)) or "")


def test_summary_without_random_sets_or_a_class() -> None:
    content = make_content()
    level = content.levels[0]
    bare = make_content(levels=(type(level)(0.9, 0.9, level.map, True, Kept(content.response / 2, ())),), main_level=0)
    assert words.summary(bare).endswith("they give 50% of the response.")


def test_values_stand_in_place_of_shares_where_the_response_is_small() -> None:
    content = make_content()
    assert words.small_response(content) is None
    assert words.share_kept(0.5, content) == "50%"
    level = replace(content.levels[content.main_level], kept=Kept(-4.0, (1.0, 3.0)))
    small = replace(content, response=1.0, floor=math.nan, levels=(level,), main_level=0)
    assert "The response, 1.000, is small" in str(words.small_response(small))
    assert words.share_kept(-4.0, small) == "−4.000"
    assert words.random_range((1.0, 3.0), small) == "1.000 to 3.000 in 2 sets"
    assert "they give −4.000 where the network gives 1.000" in words.summary(small)
    assert "give 2.000 on average" in words.summary(small)
    assert "%" not in words.summary(small).split("of the neurons.")[1]
