"""``critpath show``: the tables of a run in any state, and one clear error for everything that is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from critpath.cli import main
from critpath.report import Failure, RunContent
from critpath.runs.fold import Folded
from critpath.runs.page import run_content

sys.path.append(str(Path(__file__).parent / "runs"))
from toy_run import make_plan, make_run


def show(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(main, ["show", *map(str, words)])


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result, *words: str) -> None:
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr, result.stderr


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "toy").root


def test_the_tables(root: Path) -> None:
    text = done(show(root))
    assert "The run is complete" in text
    for word in ("least relevant first (lerf)", "lower is better", "95 % interval", "(ROAR)", "to random", "tie"):
        assert word in text
    assert "1 failure:" in text
    assert "image 6 (6.png): the maps hold NaN" in text
    assert "Rankings of the methods by the metrics" in text


def test_json_is_all_there_is_on_stdout_and_says_the_same(root: Path) -> None:
    result = show(root, "--json")
    data = json.loads(done(result), parse_constant=pytest.fail)
    lerf = data["tables"][0]
    row = next(row for row in lerf["rows"] if row["method"] == "gradient")
    assert f"{row['values'][0]['mean']:.4f}" in done(show(root))
    assert data["failures"][0]["image"] == 6


def test_a_run_that_was_stopped_says_how_to_go_on(tmp_path: Path) -> None:
    root = make_run(tmp_path / "r", make_plan(("lerf", "morf")), lambda task: task.facts.get("chunk") == 0).root
    text = done(show(root))
    assert "The run is not complete" in text
    assert f"critpath run --resume {root}" in text.replace("\n", "")


def test_exports_and_the_page(tmp_path: Path) -> None:
    root = make_run(tmp_path / "r", make_plan(("lerf",))).root
    text = done(show(root, "--export", "csv", "--export", "zarr", "--report", tmp_path / "page.html"))
    assert (root / "results.csv").is_file()
    assert (root / "maps.zarr" / "zarr.json").is_file()
    assert (tmp_path / "page.html").read_text("utf-8").lower().startswith("<!doctype html>")
    assert text.count("Export: ") == 2
    assert "Report: " in text
    assert not (root / "report.html").exists()


def test_nothing_is_written_unasked(tmp_path: Path) -> None:
    root = make_run(tmp_path / "r", make_plan(("lerf",))).root
    before = sorted(root.rglob("*"))
    done(show(root))
    assert sorted(root.rglob("*")) == before


def test_no_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import critpath.zoo

    monkeypatch.setattr(critpath.zoo, "load", pytest.fail)
    done(show(make_run(tmp_path / "r", make_plan(("lerf",))).root))


def test_what_is_no_run(tmp_path: Path) -> None:
    refused(show(tmp_path), "no folder of a run")
    refused(show(tmp_path / "nowhere"), "no folder of a run")
    refused(show(tmp_path, "--export", "xls"), "xls")
    root = make_run(tmp_path / "r", make_plan(("lerf",))).root
    refused(show(root, "--report", tmp_path / "no" / "page.html"), "does not exist")
    (root / "results.csv").write_text("notes")
    refused(show(root, "--export", "csv"), "no such export")


def test_control_characters_and_markup_of_a_folder_are_not_obeyed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("critpath.runs.page.run_content", evil(root))
    text = done(CliRunner(env={"COLUMNS": "300", "FORCE_COLOR": "1"}).invoke(main, ["show", str(root)]))
    for sign in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e"):
        assert sign not in text
    assert "[/x]" in text
    assert "[bold]" in text
    assert "owned" in text
    as_json = done(show(root, "--json"))
    assert json.loads(as_json)["title"].startswith("[/x]")
    assert all(sign.isprintable() or sign == "\n" for sign in as_json)


def evil(root: Path) -> Callable[[Folded], RunContent]:
    """What a folder that somebody else made may say: markup, and signs that a terminal obeys."""
    words = "[/x][bold]\x1b]0;owned\x07\x1b[2J\x9b2J\u202e\nthat"

    def content(run: Folded) -> RunContent:
        found = run_content(run)
        rows = tuple(replace(row, method=words) for row in found.tables[0].rows)
        table = replace(found.tables[0], title=words, columns=(words, *found.tables[0].columns[1:]), rows=rows)
        alike = replace(found.agreements[0], title=words, names=(words,) * len(found.agreements[0].names))
        failure = Failure(words, words, 3, words, words)
        return replace(found, title=words, tables=(table,), agreements=(alike,), failures=(failure,), warnings=(words,))

    return content


def test_errors_name_what_a_folder_says_without_its_signs(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": "\\u001b[2J"}')
    refused(show(tmp_path), "schema version")
    assert "\x1b" not in show(tmp_path).stderr
