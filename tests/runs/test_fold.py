"""The fold over shards: in any order and grouping, of whole and of partial runs; and the numbers of the tables."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pytest
import torch
from toy_run import IMAGES, METHODS, SETS, SHARES, make_plan, make_run, shard_of

from critpath.errors import MismatchError, StorageError
from critpath.report import MetricTable, RunContent
from critpath.runs.fold import fold, folded, is_result, metric_facts
from critpath.runs.live import live_summary
from critpath.runs.page import run_content, save_page
from critpath.runs.results import Key, Results, result_of
from critpath.runs.shard import Shard, shard_bytes
from critpath.runs.tasks import tasks_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "toy").root


@pytest.fixture(scope="module")
def content(root: Path) -> RunContent:
    return run_content(folded(root))


def single_results() -> list[Results]:
    plan = make_plan()
    tasks = [task for task in tasks_of(plan) if is_result(task)]
    return [result_of(shard_of(plan, task), metric_facts(plan, task.facts)) for task in tasks]


def same(one: Results, other: Results) -> None:
    assert list(one.records) == list(other.records)
    for key, record in one.records.items():
        against = other.records[key]
        assert record.facts == against.facts
        assert record.failures == against.failures
        assert list(record.values) == list(against.values)
        for name, tensor in record.values.items():
            assert torch.equal(tensor.isnan(), against.values[name].isnan())
            assert torch.equal(tensor.nan_to_num(), against.values[name].nan_to_num())
            assert tensor.dtype == against.values[name].dtype


def table_of(content: RunContent, metric: str) -> MetricTable:
    return next(table for table in content.tables if table.metric == metric)


class TestMerge:
    def test_any_order_and_grouping_gives_the_same_bits(self, root: Path) -> None:
        parts, wanted = single_results(), fold(root)
        shuffled = random.Random(0)
        for _ in range(4):
            shuffled.shuffle(parts)
            cut = shuffled.randrange(1, len(parts) - 1)
            left, right = (reduce(Results.merge, group) for group in (parts[:cut], parts[cut:]))
            same(left.merge(right), wanted)
            same(right.merge(left), wanted)

    def test_rows_are_placed_by_image_number(self, root: Path) -> None:
        for key, record in fold(root).records.items():
            if record.images is not None:
                assert record.images.tolist() == list(range(IMAGES)), key

    def test_nothing_is_the_neutral_element(self, root: Path) -> None:
        found = fold(root)
        same(found.merge(Results({})), found)

    def test_one_shard_twice(self) -> None:
        one = single_results()[0]
        with pytest.raises(MismatchError, match="is there twice"):
            one.merge(one)

    def test_shards_of_two_runs(self) -> None:
        facts = {"evaluation": "e", "metric": "m", "method": "a", "seed": 0}
        one = Shard({"images": torch.tensor([0]), "v": torch.zeros(1)}, {**facts, "shares": [0.1]})
        other = Shard({"images": torch.tensor([1]), "v": torch.zeros(1)}, {**facts, "shares": [0.2]})
        with pytest.raises(MismatchError, match="'shares'"):
            result_of(one).merge(result_of(other))
        wider = Shard({"images": torch.tensor([1]), "v": torch.zeros(1, 2)}, {**facts, "shares": [0.1]})
        with pytest.raises(MismatchError, match="shapes of 'v'"):
            result_of(one).merge(result_of(wider))

    def test_a_chunk_in_which_all_images_failed(self) -> None:
        facts = {"evaluation": "e", "metric": "m", "method": "a", "seed": 0}
        empty = Shard({"images": torch.tensor([0, 1])}, {**facts, "failures": [[0, "no"], [1, "no"]]})
        full = Shard({"images": torch.tensor([2]), "v": torch.ones(1, 2)}, {**facts, "shares": [0.1, 0.2]})
        for found in (result_of(empty).merge(result_of(full)), result_of(full).merge(result_of(empty))):
            (record,) = found.records.values()
            assert record.values["v"].isnan().all(dim=1).tolist() == [True, True, False]
            assert record.facts["shares"] == [0.1, 0.2]
            assert record.failures == ((0, "no"), (1, "no"))

    def test_what_is_no_result(self) -> None:
        with pytest.raises(StorageError, match=r"x\.y is no result of a run"):
            result_of(Shard({}, {"evaluation": "e"}), name="x.y")


class TestPartialRuns:
    def test_only_what_is_there(self, tmp_path: Path) -> None:
        root = make_run(tmp_path / "r", keep=lambda task: task.facts.get("chunk", 0) < 2).root
        found = folded(root)
        assert not found.complete
        assert [part.done for part in found.parts if part.kind == "maps"] == [2 * len(METHODS)]
        page = run_content(found)
        assert "critpath run --resume" in page.resume
        assert {row.n + row.missing for row in table_of(page, "lerf").rows} == {8}

    @pytest.mark.parametrize("kept", [lambda task: False, lambda task: task.kind == "maps"])
    def test_no_number_yet(self, tmp_path: Path, kept: object) -> None:
        root = make_run(tmp_path / "r", keep=kept).root  # type: ignore[arg-type]
        page = run_content(folded(root))
        assert page.tables == ()
        save_page(folded(root))
        assert live_summary(root) == ()

    def test_a_method_that_is_not_measured_yet(self, tmp_path: Path) -> None:
        root = make_run(tmp_path / "r", keep=lambda task: task.facts.get("method") != "random").root
        lerf = table_of(run_content(folded(root)), "lerf")
        assert [row.method for row in lerf.rows] == ["gradient", "mine", "edges"]
        assert lerf.reference == ""

    def test_a_damaged_file_is_left_out_and_said(self, tmp_path: Path) -> None:
        root = make_run(tmp_path / "r").root
        name = "toy.lerf.gradient.000001"
        path = root / "shards" / f"{name}.safetensors"
        path.write_bytes(path.read_bytes()[:-3])
        maps = root / "shards" / "maps.net.digits.gradient.000000.safetensors"
        maps.write_bytes(maps.read_bytes()[:100])
        found = folded(root)
        assert set(found.damaged) == {name, "maps.net.digits.gradient.000000"}
        assert not found.complete
        assert any(name in warning for warning in run_content(found).warnings)

    def test_a_file_of_another_plan(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "r", make_plan(("lerf",)))
        for name in ("maps.net.digits.gradient.000000", "toy.lerf.gradient.000000"):
            run.write(name, shard_bytes(run.read(name), "f" * 64))
        assert set(folded(run.root).damaged) == {"maps.net.digits.gradient.000000", "toy.lerf.gradient.000000"}

    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="no folder of a run"):
            fold(tmp_path)
        assert live_summary(tmp_path) == ()


class TestTables:
    def test_every_metric_in_the_order_of_the_plan(self, content: RunContent) -> None:
        names = [table.metric for table in content.tables]
        assert names == ["lerf", "morf", "sanity", "emprt", "fidelity", "roar", "features"]
        directions = {table.metric: table.better for table in content.tables}
        assert directions == {
            "lerf": "lower", "morf": "higher", "sanity": "lower", "emprt": "higher", "fidelity": "higher",
            "roar": "lower", "features": "higher",
        }  # fmt: skip

    def test_areas_by_hand(self, root: Path, content: RunContent) -> None:
        record = fold(root).records[Key("toy", "lerf", "gradient", 0)]
        areas = []
        for start, curve in zip(record.values["start"].tolist(), record.values["curve"].tolist(), strict=True):
            x, y = [0.0, *SHARES], [0.0, *(abs(start - v) / start for v in curve)]
            areas.append(sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(SHARES))))
        row = next(row for row in table_of(content, "lerf").rows if row.method == "gradient")
        assert row.main.mean == pytest.approx(sum(areas) / IMAGES, abs=1e-12)
        assert row.values[1].mean == pytest.approx(sum(areas) / IMAGES / SHARES[-1], abs=1e-12)
        assert row.main.low < row.main.mean < row.main.high

    def test_differences_are_paired_and_leave_out_what_failed(self, root: Path, content: RunContent) -> None:
        from critpath.evaluation.perturbation import Perturbation

        records = fold(root).records
        area = {}
        for method in ("mine", "random"):
            values = records[Key("toy", "lerf", method, 0)].values
            area[method] = Perturbation(tuple(SHARES), values["start"], values["curve"]).area()
        row = next(row for row in table_of(content, "lerf").rows if row.method == "mine")
        assert row.to_reference is not None
        wanted = (area["mine"] - area["random"])[[i for i in range(IMAGES) if i != 6]].mean()
        assert row.to_reference.mean == pytest.approx(float(wanted), abs=1e-12)
        assert (row.n, row.missing) == (IMAGES - 1, 1)

    def test_roar_has_an_interval_over_its_seeds(self, root: Path, content: RunContent) -> None:
        records = fold(root).records
        area = []
        for seed in range(3):
            whole = float(records[Key("toy", "roar", "", seed, "0")].values["accuracy"])
            a, b = (float(records[Key("toy", "roar", "mine", seed, s)].values["accuracy"]) for s in ("0.3", "0.7"))
            area.append(0.3 * (whole + a) / 2 + 0.4 * (a + b) / 2)
        table = table_of(content, "roar")
        row = next(row for row in table.rows if row.method == "mine")
        mean = sum(area) / 3
        half = 4.302652729911275 * (sum((v - mean) ** 2 for v in area) / 2) ** 0.5 / 3**0.5
        assert (row.n, table.unit, table.seeds) == (3, "retraining", (0, 1, 2))
        assert row.main.mean == pytest.approx(mean)
        assert (row.main.low, row.main.high) == pytest.approx((mean - half, mean + half))
        assert table.figures[0].places == (0.0, 0.3, 0.7)

    def test_randomisation_by_stage_is_the_mean_over_repeats(self, root: Path, content: RunContent) -> None:
        values = fold(root).records[Key("toy", "sanity", "edges", 0)].values["spearman"]
        figure = next(f for f in table_of(content, "sanity").figures if f.y_title.startswith("Spearman"))
        curve = next(curve for curve in figure.curves if curve.method == "edges")
        assert [value.mean for value in curve.values] == pytest.approx(values.mean(dim=(0, 2)).tolist())
        assert [one.summary for one in content.coverages] == ["1 of 2 parameters changed, 12 of 16 numbers"]

    def test_features_are_over_label_sets(self, content: RunContent) -> None:
        table = table_of(content, "features")
        assert {row.n for row in table.rows} == {SETS}
        assert [row.method for row in table.rows] == ["activation", "influence", "random"]
        assert table.figures[0].labels == ("2", "5")

    def test_agreement(self, root: Path, content: RunContent) -> None:
        (record,) = (r for key, r in fold(root).records.items() if key.metric == "agreement")
        maps, rankings = content.agreements
        at = [maps.names.index(name) for name in ("gradient", "mine")]
        wanted = float(record.values["spearman"][:, 0].mean())
        assert maps.values[at[0]][at[1]].mean == maps.values[at[1]][at[0]].mean == pytest.approx(wanted)
        lerf, morf = (rankings.names.index(name) for name in ("lerf", "morf"))
        orders = [[row.method for row in table_of(content, name).ranked] for name in ("lerf", "morf")]
        agree = sum(
            (orders[0].index(a) < orders[0].index(b)) == (orders[1].index(a) < orders[1].index(b))
            for i, a in enumerate(METHODS)
            for b in METHODS[:i]
        )
        assert rankings.values[lerf][morf].mean == pytest.approx((2 * agree - 6) / 6)
        assert "features" not in rankings.names

    def test_controls_come_last_and_failures_are_named(self, content: RunContent) -> None:
        assert [row.method for row in table_of(content, "lerf").rows] == ["gradient", "mine", "random", "edges"]
        (failure,) = content.failures
        assert (failure.method, failure.image, failure.name) == ("mine", 6, "6.png")

    def test_several_names_for_a_control(self, tmp_path: Path) -> None:
        plan = make_plan(metrics=("lerf",), methods=("gradient", "random"))
        plan = replace(plan, methods={"gradient": plan.methods["gradient"], "chance": plan.methods["random"]})
        plan = replace(plan, evaluations=(replace(plan.evaluations[0], methods=("gradient", "chance")),))
        table = table_of(run_content(folded(make_run(tmp_path / "r", plan).root)), "lerf")
        assert table.reference == "chance"
        assert [row.control for row in table.rows] == [False, True]


class TestWarnings:
    def test_they_name_their_methods_and_are_not_of_controls(self, root: Path) -> None:
        found = folded(root)
        records = {
            key: replace(record, warnings=("maps did not move",)) if key.metric == "sanity" else record
            for key, record in found.results.records.items()
        }
        page = run_content(replace(found, results=Results(records)))
        assert page.warnings == ("toy, sanity: maps did not move (gradient, mine)",)

    def test_the_best_has_enough_images(self, root: Path) -> None:
        found = folded(root)
        key = Key("toy", "lerf", "gradient", 0)
        record = found.results.records[key]
        rare = {name: torch.where(torch.arange(IMAGES).view(-1, *[1] * (t.dim() - 1)) < 3, t, torch.nan)
                for name, t in record.values.items()}  # fmt: skip
        changed = Results({**found.results.records, key: replace(record, values=rare)})
        table = table_of(run_content(replace(found, results=changed)), "lerf")
        assert table.ranked[-1].method == "gradient"
        assert table.best is not None
        assert table.best.to_best is None


class TestPageAndDisplay:
    def test_the_page_holds_the_numbers_of_the_tables(self, root: Path, content: RunContent) -> None:
        html = save_page(folded(root)).read_text("utf-8")
        start = html.index('id="critpath-data">') + len('id="critpath-data">')
        data = json.loads(html[start : html.index("</script>", start)])
        assert [t["rows"][0]["values"][0]["mean"] for t in data["tables"]] == [
            t.rows[0].main.mean for t in content.tables
        ]

    def test_the_live_summary_grows(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "r", keep=lambda task: task.facts.get("chunk") == 0)
        assert dict(live_summary(run.root))["toy, lerf"].endswith("(4 images)")
        make_run(tmp_path / "r")
        assert dict(live_summary(run.root))["toy, lerf"].endswith("(11 images)")
