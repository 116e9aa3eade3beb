"""The frame of the studies, on a study of its own: run, folded, judged, kept, shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from studies.folders import Study
from studies.inventory import INVENTORY, TEXT, covers
from studies.running import merged
from studies.study import (
    HOLDS,
    NOT,
    OPEN,
    PARTLY,
    VERDICTS,
    Claim,
    Estimate,
    above,
    below,
    by_surprise,
    estimate,
    joint,
    shown,
    within,
)

import studies
from critpath.cli import main
from critpath.errors import OptionError, StorageError
from studies import __main__ as program
from studies import folders, pages, running, summary

WORK = """
def parts(count):
    return [f"seed-{i}" for i in range(count)]

def run(part, count):
    return {"value": 0.5 + 0.1 * int(part[5:])}
"""

PLAN = "version: 1\nthreads: 1\nprograms:\n  toy: {python: work.py, options: {count: 3}}\n"

PAGE = """
from studies.study import HOLDS, NOT, Claim, estimate, shown

TITLE = "A toy study"
HEAD = "What it does."
LIMITS = "Nothing."


def kept(run):
    return {"values": [part["value"] for part in run["programs"]["toy"].values()]}


def claims(results):
    found = estimate(results["values"])
    return [
        Claim("P, figure 1", "The value is 1", "1", shown(found), HOLDS if found["mean"] > 0.9 else NOT, "It is less."),
        Claim("C, table 1; C, table 2", "It is above 0", "above 0", shown(found), HOLDS, "It is."),
    ]


def sections(results):
    yield "## Values\\n\\n![values](images/study-toy-one-values.svg)\\n"


def figures(results):
    return {"values.svg": b"<svg/>"}
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """A folder of studies with one in it."""
    place = tmp_path / "studies"
    (place / "toy_one").mkdir(parents=True)
    for file, content in {"work.py": WORK, "small.yaml": PLAN, "page.py": PAGE, "__init__.py": ""}.items():
        (place / "toy_one" / file).write_text(content)
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(folders, "STUDIES", place)
    monkeypatch.setattr(folders, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(folders, "NAMES", ("toy_one",))
    monkeypatch.setattr(pages, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(program, "BUILD", tmp_path / "build")
    monkeypatch.setattr(program, "SEVEN", ("toy_one", "none"))
    monkeypatch.setattr(summary, "NAMES", ("toy_one", "sanity"))
    monkeypatch.setattr(summary, "PAGE", tmp_path / "docs" / "studies.md")
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(place)])
    yield Study("toy_one")
    for name in [name for name in sys.modules if name.startswith("studies.toy_one")]:
        del sys.modules[name]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process: another one takes seconds to begin."""

    def ended(command: list[str]) -> int:
        found = CliRunner().invoke(main, command[3:])
        print(found.output)
        return found.exit_code

    monkeypatch.setattr(running, "ended", ended)


def test_run_and_judged(
    toy: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.main(["toy-one"]) == 0
    said = capfd.readouterr().out
    assert "3 tasks done" in said
    assert "holds not  The value is 1 (P, figure 1)\nholds      It is above 0" in said
    place = tmp_path / "build" / "toy_one-small"
    page = (place / "page.md").read_text("utf-8")
    assert page.startswith("# A toy study\n\nWhat it does.\n")
    assert "| The value is 1 | P, figure 1 | **holds not** |" in page
    table = "| verdict | **holds not** |\n| --- | --- |\n| from | P, figure 1 |\n| published | 1 |\n"
    table += "| measured | 0.60 [0.50, 0.70] |\n"
    assert f"### 1. The value is 1\n\n{table}| why | It is less. |" in page
    assert (place / "images" / "study-toy-one-values.svg").read_bytes() == b"<svg/>"
    assert json.loads((place / "results.json").read_text())["values"] == [0.5, 0.6, 0.7]
    assert not (tmp_path / "docs" / "studies-toy-one.md").exists()
    for code, said in ((130, "Stopped; the same command goes on."), (1, "Error: the run of toy_one, small, ended")):
        monkeypatch.setattr(running, "ended", lambda command, code=code: code)
        assert program.main(["toy_one"]) == code
        assert said in capfd.readouterr().err


@pytest.mark.usefixtures("here")
def test_kept_and_written_again(toy: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StorageError, match="no kept results"):
        toy.kept()
    assert program.main(["toy-one", "--keep"]) == 0
    page = tmp_path / "docs" / "studies-toy-one.md"
    written = page.read_text("utf-8")
    assert written == pages.markdown(toy, toy.kept())
    assert "plan small.yaml, with critpath" in written
    assert (tmp_path / "docs" / "images" / "study-toy-one-values.svg").is_file()
    (toy.folder / "work.py").write_text(WORK.replace("0.1", "0.2"))
    assert program.main(["toy-one"]) == 1
    assert "a run of another plan" in "".join(capfd.readouterr())
    assert program.main(["toy-one", "--fold", "--keep"]) == 0
    assert page.read_text("utf-8") == written
    kept = json.loads(toy.results.read_text())
    toy.results.write_text(json.dumps({**kept, "values": [1.0, 1.0]}))
    assert program.main(["toy-one", "--page"]) == 0
    assert "| measured | 1.00 [1.00, 1.00] |" in page.read_text("utf-8")
    assert "| **holds** | The value is 1 | P, figure 1 |" in (tmp_path / "docs" / "studies.md").read_text("utf-8")
    capfd.readouterr()


@pytest.mark.usefixtures("here")
def test_another_plan_and_another_machine(toy: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (toy.folder / "large.yaml").write_text(PLAN.replace("count: 3", "count: 5"))
    file = tmp_path / "elsewhere.json"
    part = {"programs": {"toy": {"seed-9": {"value": 9.0}}}, "program_seconds": {"toy": {"seed-9": 1.0}}}
    file.write_text(json.dumps(part))
    assert program.main(["toy-one", "--plan", "large", "--json", str(file), "-o", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "results.json").read_text())["values"] == [9.0, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert program.main(["toy-one", "--plan", "huge"]) == 1
    assert "has no plan 'huge'; there are: large, small" in capfd.readouterr().err
    assert program.main(["tiny"]) == 1
    assert "'tiny' is no study; there are toy_one" in capfd.readouterr().err


@pytest.mark.usefixtures("here")
def test_all_small_forms_whatever_becomes_of_one(toy: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["small"]) == 1
    said = capfd.readouterr()
    assert "Not done: none: 'none' is no study" in said.err
    file = tmp_path / "build" / "studies.md"
    assert said.out.endswith(f"Verdicts of what was done: {file}\n")
    assert "[A toy study](toy_one-small/page.md)" in file.read_text("utf-8")
    assert "## Not done in this run\n\n- `make study-none`: 'none' is no study" in file.read_text("utf-8")


@pytest.mark.usefixtures("here")
def test_no_error_of_one_ends_the_others_or_shows_older_results(
    toy: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "SEVEN", ("toy_one",))
    assert program.main(["small"]) == 0
    summary_file = tmp_path / "build" / "studies.md"
    assert "The value is 1" in summary_file.read_text("utf-8")

    def broken(run: object) -> None:
        raise TypeError("no such number")

    monkeypatch.setattr(toy.page, "kept", broken)
    assert program.main(["small"]) == 1
    assert "Not done: toy_one: TypeError: no such number" in capfd.readouterr().err
    assert "The value is 1" not in summary_file.read_text("utf-8")
    assert "- `make study-toy-one`: TypeError: no such number" in summary_file.read_text("utf-8")


@pytest.mark.usefixtures("here")
def test_an_incomplete_run_is_told(toy: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["toy-one"]) == 0
    place = tmp_path / "build" / "toy_one-small"
    (place / "shards" / "program.toy.seed-1.safetensors").unlink()
    assert program.main(["toy-one", "--fold"]) == 0
    assert "tasks 2 of 3 there" in (place / "page.md").read_text("utf-8")
    for file in (place / "shards").iterdir():
        file.unlink()
    assert program.main(["toy-one", "--fold"]) == 1
    assert "too little of the run is there to judge toy_one: of its tasks 0 of 3 there" in capfd.readouterr().err


def test_too_much_is_not_kept(toy: Study) -> None:
    with pytest.raises(OptionError, match=r"would keep 400,\d\d\d bytes; the limit is 300,000"):
        pages.keep(toy, {"a": "x" * 400_000})


def test_the_summary_has_the_surprising_first_and_what_is_missing(toy: Study) -> None:
    one = summary.Kept(
        toy,
        "Toy",
        "toy.md",
        (
            Claim("P, figure 2", "first", "", "", HOLDS, ""),
            Claim("PG, figure 3a-b", "second", "", "", NOT, ""),
            Claim("known", "third", "", "", OPEN, ""),
            Claim("P, figure 6", "fourth", "", "", HOLDS, ""),
            Claim("P, figure 2", "fifth", "", "", NOT, "", asked_here=True),
        ),
    )
    text = summary.summary([one])
    assert "3 claims (holds not: 1, holds: 2)" in text
    assert text.index("| **holds not** | second") < text.index("| **holds** | first") < text.index("third")
    assert text.index("## Beyond the papers") < text.index("third")
    assert text.index("## Beyond the papers") < text.index("| **holds not** | fifth | P, figure 2 |")
    assert "| figure 2b | Overlap with NeuronIntGrad, layer by layer | [Toy](toy.md): holds." in text
    assert "| figure 3b | Spearman of absolute maps while ResNet-50 is randomised | [Toy](toy.md): holds not." in text
    assert "| figure 6a | LeRF on CIFAR-10, ResNet-8 | [Toy](toy.md): holds. No results are kept yet of" in text
    assert "| figure 6b | LeRF on Birdsnap, ResNet-50 | Not measured." in text
    assert "No results are kept yet of `make study-sanity`." in text
    assert text.rstrip().endswith("- `make study-sanity`")


def test_sources_name_items_of_the_inventory() -> None:
    assert covers("P, figure 2", "P, figure 2a")
    assert covers("PG, figure 3a, b", "PG, figure 3b")
    assert covers("P, figure 6a-c", "P, figure 6b")
    assert covers("P, section 2.2", "P, section 2.2")
    assert not covers("P, figure 6a-c", "P, figure 6d")
    assert not covers("P, figure 2", "PG, figure 2a")
    assert not covers("P, figure 1", "P, table 1")
    assert not covers("P, figure 1", "P, figure 11")
    assert not covers("P, figure one", "P, figure 1")


def test_the_inventory_names_every_item_once() -> None:
    names = [item.source for item in (*INVENTORY, *TEXT)]
    assert len(set(names)) == len(names)
    numbers = {"P": ("figure", 13), "PG": ("figure", 7), "C": ("figure", 6)}
    for paper, (kind, last) in numbers.items():
        for number in range(1, last + 1):
            assert any(covers(f"{paper}, {kind} {number}", name) for name in names), (paper, number)
    for source in ("P, table 1", "P, table 2", "C, table 1", "C, table 2"):
        assert source in names
    assert all(item.study or item.how for item in INVENTORY)


def test_estimates() -> None:
    found = estimate([0.2, None, 0.4, float("nan")])
    assert (found["mean"], found["n"]) == (pytest.approx(0.3), 2)
    assert estimate(torch.tensor([0.2, 0.4])) == pytest.approx(estimate([0.2, 0.4]), abs=1e-7)
    assert estimate([]) == {"mean": None, "low": None, "high": None, "n": 0}
    assert estimate([1.0]) == {"mean": 1.0, "low": None, "high": None, "n": 1}
    assert shown({"mean": 0.314, "low": 0.28, "high": 0.344, "n": 9}) == "0.31 [0.28, 0.34]"
    assert shown({"mean": 0.314, "low": 0.28, "high": 0.344, "n": 9}, percent=True, digits=3) == "31.4 % [28.0, 34.4]"
    assert shown(estimate([])) == "n/a"
    assert shown(None) == "n/a"


def test_verdicts_are_words_that_are_known() -> None:
    with pytest.raises(OptionError, match="it is one of holds not"):
        Claim("P, figure 1", "a", "b", "c", "maybe", "d")
    claims = [Claim("P, figure 1", verdict, "", "", verdict, "") for verdict in reversed(VERDICTS)]
    assert [claim.verdict for claim in by_surprise(claims)] == list(VERDICTS)


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ((True, True), HOLDS),
        ((False, False), NOT),
        ((None, None), OPEN),
        ((), OPEN),
        ((True, False, False), PARTLY),
        ((True, None), PARTLY),
        ((False, False, None), NOT),
        ((False, None), OPEN),
        ((False, None, None), OPEN),
    ],
)
def test_one_verdict_of_several_parts(parts: tuple[bool | None, ...], wanted: str) -> None:
    assert joint(parts) == wanted


def test_estimates_against_numbers() -> None:
    value: Estimate = {"mean": 0.2, "low": 0.1, "high": 0.3, "n": 9}
    assert [below(value, limit) for limit in (0.0, 0.2, 0.4)] == [False, None, True]
    assert [above(value, limit) for limit in (0.0, 0.2, 0.4)] == [True, None, False]
    assert [within(value, margin) for margin in (0.05, 0.2, 0.4)] == [False, None, True]
    single = estimate([0.2])
    assert [below(single, 1), above(single, 0), within(single, 1)] == [None] * 3


def test_runs_are_merged() -> None:
    one = {"tables": [1], "programs": {"a": {"x": 1}}, "title": "t"}
    other = {"tables": [2], "programs": {"a": {"y": 2}, "b": {"z": 3}}, "failures": [4]}
    found = merged([one, other])
    assert (found["tables"], found["failures"], found["title"]) == ([1, 2], [4], "t")
    assert found["programs"] == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}


@pytest.mark.usefixtures("here")
def test_options_are_passed_on(toy: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["toy-one", "--export", "none"]) == 1
    assert "'none' is not one of" in capfd.readouterr().out
    with pytest.raises(OptionError, match="here are several plans"):
        program.done(toy, program.Wanted(plans=("a", "b"), output=tmp_path))
