"""The page of a run: its words, its figures, and what it refuses."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from run_contents import METHODS, area, make_run, make_table

from critpath.errors import InputError, StorageError
from critpath.report import Estimate, MethodRow, MetricTable, Part, render_run, save_run
from critpath.report import run_charts as charts
from critpath.report import run_words as said


def row(method: str, mean: float, to_best: Estimate | None, to_reference: Estimate | None = None) -> MethodRow:
    return MethodRow(method, False, 9, 0, (Estimate(mean, mean - 1, mean + 1),), to_reference, to_best)


def table_of(*rows: MethodRow, better: str = "lower") -> MetricTable:
    return replace(make_table(), rows=rows, columns=("area",), figures=(), better=better, reference="random")


class TestVerdicts:
    @pytest.mark.parametrize(
        ("low", "high", "better", "wanted"),
        [
            (-3, -1, "lower", "better"),
            (1, 3, "lower", "worse"),
            (-3, -1, "higher", "worse"),
            (1, 3, "higher", "better"),
            (-1, 3, "lower", "tie"),
            (0, 3, "higher", "tie"),
            (-3, 0, "higher", "tie"),
            (math.nan, math.nan, "lower", "unknown"),
            (1, 3, "neither", "unknown"),
        ],
    )
    def test_a_difference(self, low: float, high: float, better: str, wanted: str) -> None:
        assert table_of(better=better).verdict(Estimate((low + high) / 2, low, high)) == wanted

    def test_no_difference(self) -> None:
        assert table_of().verdict(None) == "unknown"

    def test_the_best_comes_first(self) -> None:
        rows = (row("a", 3, None), row("b", math.nan, None), row("c", 2, None))
        assert [one.method for one in table_of(*rows).ranked] == ["c", "a"]
        assert [one.method for one in table_of(*rows, better="higher").ranked] == ["a", "c"]
        assert table_of(*rows, better="neither").best is None


class TestWords:
    def test_ties_are_said_to_be_ties(self) -> None:
        tie, worse = Estimate(0.5, -1, 2), Estimate(3, 2, 4)
        found = said.finding(table_of(row("a", 1, None), row("b", 1.5, tie), row("c", 4, worse)))
        assert found == (
            "a does best with 1.00 (95 % interval 0 to 2.00); the difference from b is not distinguishable from zero."
        )

    def test_a_clear_lead(self) -> None:
        worse = Estimate(3, 2, 4)
        assert "ahead of every other method" in said.finding(table_of(row("a", 1, None), row("c", 4, worse)))

    def test_methods_that_do_not_beat_chance(self) -> None:
        rows = (
            row("a", 1, None, Estimate(-3, -4, -2)),
            row("b", 4, Estimate(3, 2, 4), Estimate(0, -1, 1)),
            row("c", 6, Estimate(5, 4, 6), Estimate(2, 1, 3)),
        )
        found = said.finding(table_of(*rows))
        assert found.endswith("Worse than random: c. Not distinguishable from random: b.")

    def test_a_mean_over_few_images_does_not_lead(self) -> None:
        few = replace(row("a", 1, Estimate(-3, -4, -2)), n=4, missing=5)
        table = table_of(few, row("b", 3, None), row("c", 4, Estimate(1, 0.5, 2)))
        assert [one.method for one in table.ranked] == ["b", "c", "a"]
        found = said.finding(table)
        assert found.startswith("b does best with 3.00")
        assert "ahead of every other method" in found
        assert found.endswith("Ranked last, for too few images with a number: a (4).")

    def test_no_interval_no_lead(self) -> None:
        few = (row("a", 1, None), row("b", 2, Estimate(1)))
        assert "its lead has no interval" in said.finding(table_of(*few))
        assert said.finding(table_of()) == "There is no number yet."

    @pytest.mark.parametrize(
        ("value", "wanted"),
        [(0.0467, "0.0467"), (-12.345, "−12.3"), (0, "0"), (1234.5, "1,234"), (3e-7, "3.00e−07"), (math.nan, "n/a")],
    )
    def test_numbers(self, value: float, wanted: str) -> None:
        assert said.number(value) == wanted

    def test_a_run_that_is_not_complete_says_how_to_go_on(self) -> None:
        content = make_run(parts=(Part("maps", 3, 8),), resume="To go on: critpath run --resume DIR")
        assert said.state(content).startswith("The run is not complete: 3 of 8 tasks")
        html = render_run(content)
        assert "critpath run --resume DIR" in html
        assert "3 of 8" in html


class TestPage:
    def test_it_shows_every_number_of_the_table(self) -> None:
        html = render_run(make_run())
        for method in METHODS:
            assert said.number(area(method)) in html
        for word in (
            "layer1.0.weight",
            "cat.jpg",
            "the maps hold NaN",
            "What this does not show",
            "torchvision:resnet50",
        ):
            assert word in html

    def test_the_numbers_for_programs_are_the_same(self) -> None:
        content = make_run()
        html = render_run(content)
        found = re.search(r'<script type="application/json" id="critpath-data">(.*?)</script>', html, re.DOTALL)
        assert found is not None
        data = json.loads(found[1])
        means = [one["values"][0]["mean"] for one in data["tables"][0]["rows"]]
        assert means == [one.main.mean for one in content.tables[0].rows]

    def test_names_are_escaped(self) -> None:
        html = render_run(make_run(title="<b>&</b>", plan="</code><script>x</script>"))
        assert "<b>&</b>" not in html
        assert "<script>x" not in html

    def test_nothing_at_all(self) -> None:
        html = render_run(make_run(tables=(), agreements=(), failures=(), coverages=(), parts=(), plan=""))
        assert "No metric ranks the methods yet." in html
        assert "Nothing failed." in html

    def test_it_is_small(self) -> None:
        methods = (*METHODS, *(f"method_{i}" for i in range(8)))
        tables = tuple(make_table(methods, metric=f"m{i}") for i in range(10))
        assert len(render_run(make_run(methods, tables=tables))) < 900_000

    def test_it_is_written(self, tmp_path: Path) -> None:
        assert save_run(make_run(), tmp_path / "r.html").read_text("utf-8") == render_run(make_run())
        with pytest.raises(StorageError, match="folder"):
            save_run(make_run(), tmp_path)


class TestContradictions:
    def test_numbers_without_a_column(self) -> None:
        with pytest.raises(InputError, match="2 numbers for 1 columns"):
            render_run(make_run(tables=(replace(make_table(), columns=("area",)),)))

    def test_values_without_a_place(self) -> None:
        table = make_table()
        figure = table.figures[0]
        short = replace(figure, places=figure.places[:-1], labels=figure.labels[:-1])
        with pytest.raises(InputError, match="has 10 values, not 9"):
            render_run(make_run(tables=(replace(table, figures=(short,)),)))
        with pytest.raises(InputError, match="9 labels for 10 places"):
            render_run(make_run(tables=(replace(table, figures=(replace(figure, labels=figure.labels[:-1]),)),)))

    def test_a_table_that_is_not_square(self) -> None:
        agreement = make_run().agreements[0]
        with pytest.raises(InputError, match="7 by as many"):
            render_run(make_run(agreements=(replace(agreement, values=agreement.values[:-1]),)))


class TestFigures:
    def test_means_and_intervals_are_where_the_axis_says(self) -> None:
        table = make_table()
        chart = charts.interval_chart(table, charts.styles(make_run()), 520)
        assert chart is not None
        a, b = (tick for tick in chart.ticks if tick.text in ("0.01", "0.04"))
        scale = (b.at - a.at) / 0.03
        for mark in chart.marks:
            mean = area(mark.method)
            assert mark.at == pytest.approx(a.at + (mean - 0.01) * scale)
            assert mark.low == pytest.approx(mark.at - 0.002 * scale)
            assert mark.high == pytest.approx(mark.at + 0.002 * scale)
        random = next(mark for mark in chart.marks if mark.method == "random")
        assert chart.band == (random.low, random.high)
        assert [mark.method for mark in chart.marks][:2] == ["gradcam", "pathway_gradient"]

    def test_a_gap_breaks_the_line(self) -> None:
        figure = make_table().figures[0]
        curve = figure.curves[0]
        holed = replace(curve, values=tuple(Estimate(math.nan) if i == 4 else v for i, v in enumerate(curve.values)))
        chart = charts.curve_chart(replace(figure, curves=(holed,)), charts.styles(make_run()), 520)
        assert chart is not None
        assert [len(run.split()) for run in chart.lines[0].runs] == [4, 5]

    def test_nothing_to_draw(self) -> None:
        figure = make_table().figures[0]
        empty = replace(figure, curves=tuple(replace(c, values=(Estimate(math.nan),) * 10) for c in figure.curves))
        assert charts.curve_chart(empty, charts.styles(make_run()), 520) is None
        assert charts.interval_chart(table_of(), {}, 520) is None

    def test_one_value_has_an_axis(self) -> None:
        table = table_of(MethodRow("a", False, 1, 0, (Estimate(1.0),)))
        chart = charts.interval_chart(table, {"a": "hue0"}, 520)
        assert chart is not None
        assert chart.left < chart.marks[0].at < chart.right

    @pytest.mark.parametrize(
        ("steps", "wanted"),
        [
            ([0.0, 0.01, 0.02], ["0.00", "0.01", "0.02"]),
            ([-2.0, 0.0, 2.0], ["−2", "0", "2"]),
            ([0.0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ],
    )
    def test_ticks(self, steps: list[float], wanted: list[str]) -> None:
        assert charts.tick_texts(steps) == wanted

    def test_a_method_looks_the_same_everywhere(self) -> None:
        chosen = charts.styles(make_run((*METHODS, *(f"m{i}" for i in range(9)))))
        assert len(set(chosen.values())) == len(METHODS) + 9
        assert {chosen["random"], chosen["edges"]} == {"control0", "control1"}


class TestOverall:
    """The first sentence of the page."""

    def test_only_leads_beyond_doubt_are_named(self) -> None:
        lead = table_of(row("a", 0.1, None), row("b", 0.2, Estimate(0.1, 0.05, 0.15)))
        shared = table_of(row("b", 0.1, None), row("a", 0.2, Estimate(0.1, -0.05, 0.15)))
        run = replace(make_run(), tables=(lead, shared, shared))
        assert (
            "Of 3 rankings, ahead of every other method is a in 1, and in 2 the first place is shared"
            in said.overall(run)
        )
        assert "ahead of" not in said.overall(replace(run, tables=(shared,)))

    def test_it_names_the_map_that_moves_least_when_parameters_do(self) -> None:
        check = replace(
            table_of(row("a", 0.1, None), row("b", 0.7, None), replace(row("random", 1.0, None), control=True)),
            kind="parameter_randomisation",
        )
        lead = table_of(row("a", 0.1, None), row("b", 0.2, Estimate(0.1, 0.05, 0.15)))
        run = replace(make_run(), tables=(lead, check))
        assert "moves b least (area 0.700) and a most (0.100)" in said.overall(run)

    def test_a_control_in_the_first_place_is_no_finding_about_methods(self) -> None:
        control = replace(row("random", 0.1, None), control=True)
        table = table_of(control, row("a", 0.2, Estimate(0.1, 0.05, 0.15)))
        assert "No method does better than chance here" in said.finding(table)
