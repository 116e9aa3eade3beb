"""Exports: every number once, where it belongs, and whole or not at all."""

from __future__ import annotations

import csv
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_run import COUNTS, IMAGES, METHODS, SETS, SHARES, SIDE, make_run

from critpath.errors import MissingDependencyError, OptionError, StorageError
from critpath.files import PARTIAL
from critpath.runs.export import COLUMNS, check_export, export_zarr, replacing
from critpath.runs.fold import Folded, folded
from critpath.runs.maps import write_export
from critpath.runs.results import Key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "toy").root


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Folded:
    return folded(shutil.copytree(made, tmp_path / "toy"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if PARTIAL.fullmatch(path.name)]


class TestCsv:
    def test_every_number_is_a_row(self, run: Folded) -> None:
        rows = rows_of(write_export(run, "csv"))
        assert tuple(rows[0]) == COLUMNS
        wanted = sum(tensor.numel() for record in run.results.records.values() for tensor in record.values.values())
        assert len(rows) == wanted

    def test_where_a_number_belongs(self, run: Folded) -> None:
        rows = rows_of(write_export(run, "csv"))
        curve = run.results.records[Key("toy", "lerf", "gradient", 0)].values["curve"]
        found = [row for row in rows if (row["metric"], row["method"], row["name"]) == ("lerf", "gradient", "curve")]
        for row in found:
            at = [f"{share:g}" for share in SHARES].index(row["position"])
            assert float(row["value"]) == float(curve[int(row["image"]), at])
            assert row["image_name"] == f"{row['image']}.png"
        assert len(found) == IMAGES * len(SHARES)

    def test_stages_repeats_sets_and_shares(self, run: Folded) -> None:
        rows = rows_of(write_export(run, "csv"))
        ssim = run.results.records[Key("toy", "sanity", "edges", 0)].values["ssim"]
        for row in (row for row in rows if (row["metric"], row["method"], row["name"]) == ("sanity", "edges", "ssim")):
            stage = ("original", "2", "0").index(row["position"])
            assert float(row["value"]) == float(ssim[int(row["image"]), stage, int(row["repeat"])])
        accuracy = run.results.records[Key("toy", "features", "influence", 0)].values["accuracy"]
        found = [row for row in rows if (row["metric"], row["method"]) == ("features", "influence")]
        for row in found:
            at = int(row["repeat"]), COUNTS.index(int(row["position"]))
            assert float(row["value"]) == float(accuracy[at])
        assert len(found) == SETS * len(COUNTS)
        roar = {(r["method"], r["seed"], r["position"]): float(r["value"]) for r in rows if r["metric"] == "roar"}
        assert roar["mine", "1", "0.7"] == float(
            run.results.records[Key("toy", "roar", "mine", 1, "0.7")].values["accuracy"]
        )
        assert roar["", "2", "0"] == float(run.results.records[Key("toy", "roar", "", 2, "0")].values["accuracy"])
        pairs = {row["position"] for row in rows if row["metric"] == "agreement"}
        assert "gradient / mine" in pairs
        assert len(pairs) == len(METHODS) * (len(METHODS) - 1) / 2

    def test_a_missing_number_is_an_empty_field(self, run: Folded) -> None:
        rows = rows_of(write_export(run, "csv"))
        failed = [r for r in rows if (r["metric"], r["method"], r["image"]) == ("lerf", "mine", "6")]
        assert [row["value"] for row in failed] == [""] * (1 + len(SHARES))

    def test_again_gives_the_same_bytes(self, run: Folded) -> None:
        first = write_export(run, "csv").read_bytes()
        assert write_export(run, "csv").read_bytes() == first
        assert left_behind(run.folder.root) == []


class TestParquet:
    def test_it_holds_what_the_csv_holds(self, run: Folded) -> None:
        pq = pytest.importorskip("pyarrow.parquet")
        table = pq.read_table(write_export(run, "parquet"))
        rows = rows_of(write_export(run, "csv"))
        assert tuple(table.column_names) == COLUMNS
        assert table.num_rows == len(rows)
        for got, wanted in zip(table.to_pylist(), rows, strict=True):
            assert ("" if math.isnan(got["value"]) else repr(got["value"])) == wanted["value"]
            assert ("" if got["image"] is None else str(got["image"])) == wanted["image"]
            assert got["position"] == wanted["position"]
        write_export(run, "parquet")


class TestZarr:
    def test_an_array_a_method_with_the_images_names(self, run: Folded) -> None:
        zarr = pytest.importorskip("zarr")
        group = zarr.open_group(str(write_export(run, "zarr")), mode="r")
        assert group.metadata.zarr_format == 3
        for method in METHODS:
            array = group[f"net/digits/{method}"]
            assert array.shape == (IMAGES, 1, SIDE, SIDE)
            assert array.attrs["images"] == list(range(IMAGES))
            assert array.attrs["names"][3] == "3.png"
        shard = run.folder.read("maps.net.digits.gradient.000001")
        np.testing.assert_array_equal(group["net/digits/gradient"][4:8], shard.tensors["maps"].numpy())
        write_export(run, "zarr")
        assert left_behind(run.folder.root) == []

    def test_a_run_that_is_not_complete(self, tmp_path: Path) -> None:
        zarr = pytest.importorskip("zarr")
        keep = {"maps.net.digits.gradient.000002", "maps.net.digits.gradient.000000"}
        run = folded(make_run(tmp_path / "r", keep=lambda task: task.name in keep).root)
        group = zarr.open_group(str(write_export(run, "zarr")), mode="r")
        assert group["net/digits/gradient"].attrs["images"] == [0, 1, 2, 3, 8, 9, 10]
        assert "net/digits/mine" not in group

    def test_no_map_at_all(self, tmp_path: Path) -> None:
        pytest.importorskip("zarr")
        run = folded(make_run(tmp_path / "r", keep=lambda task: False).root)
        assert write_export(run, "zarr").is_dir()


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize("kind", ["csv", "parquet", "zarr"])
    def test_what_is_no_export_is_not_replaced(self, run: Folded, kind: str) -> None:
        path = write_export(run, kind)
        _remove(path)
        path.write_text("my notes")
        with pytest.raises(StorageError, match="no such export"):
            write_export(run, kind)
        assert path.read_text() == "my notes"
        path.unlink()
        path.mkdir()
        (path / "notes").write_text("mine")
        with pytest.raises(StorageError, match="no such export"):
            write_export(run, kind)
        assert (path / "notes").read_text() == "mine"

    @pytest.mark.parametrize("kind", ["csv", "parquet", "zarr"])
    def test_a_full_disk_leaves_the_old_one(self, run: Folded, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_export(run, kind)
        before = _content(path)

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            write_export(run, kind)
        assert _content(path) == before
        assert left_behind(run.folder.root) == []

    def test_an_interrupted_export_leaves_nothing(self, tmp_path: Path) -> None:
        def interrupted() -> None:
            with replacing(tmp_path / "a.csv", lambda path: True) as partial:
                partial.write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert list(tmp_path.iterdir()) == []

    def test_no_such_folder(self, run: Folded, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="does not exist"):
            export_zarr({}, tmp_path / "nowhere" / "maps.zarr", {})

    def test_unknown_kinds_and_missing_packages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(OptionError, match="export is 'xls'"):
            check_export("xls")
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        monkeypatch.setitem(__import__("sys").modules, "zarr", None)
        check_export("csv")
        with pytest.raises(MissingDependencyError, match=r"critpath\[export\]"):
            check_export("parquet")
        with pytest.raises(MissingDependencyError, match="zarr"):
            check_export("zarr")


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    return {str(file): file.read_bytes() for file in files}
