"""Programs in plans: their parts are tasks like others, done once, resumed, and the same on any engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from critpath.cli import main
from critpath.errors import MismatchError, OptionError
from critpath.report import render_run
from critpath.runs.checks import read_plan
from critpath.runs.execute import execute
from critpath.runs.fold import Folded, folded
from critpath.runs.folder import create_run
from critpath.runs.page import run_content
from critpath.runs.plan import Plan, check_files, plan_of
from critpath.runs.programs import checked_result
from critpath.runs.task import digests
from critpath.runs.tasks import tasks_of
from critpath.runs.work import workshop

WORK = """
import time
from pathlib import Path

import torch
from helper import double


def parts(count=3, **options):
    return [f"part-{number}" for number in range(count)]


def run(part, count=3, slow=0.0, fails=(), **options):
    Path(__file__).with_name(f"{part}.began").touch()
    time.sleep(slow)
    number = int(part.removeprefix("part-"))
    if number in fails:
        raise ValueError("this part fails")
    drawn = float(torch.rand(()))
    share = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 4}
    return {"value": double(number), "drawn": drawn, "share": share, "curve": [1, (2, None)], "name": f"n{number}"}
"""

PLAN = """\
version: 1
threads: 1
programs:
  toy: {python: work.py, options: {count: 4}}
"""

EVALUATION = """\
models: {net: {load: work.py:net}}
data: {a: {arrays: a.npz}}
methods: [gradient]
metrics: {pixel_perturbation: {shares: [0.1, 0.2]}}
"""

NET = """

def net():
    from torch import nn
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4))
"""

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2.0 * x\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    return tmp_path


@pytest.fixture
def run(place: Path) -> Run:
    def running(*arguments: str, plan: str = PLAN) -> Result:
        (place / "plan.yaml").write_text(plan)
        return CliRunner().invoke(main, ["run", *arguments])

    return running


def read(place: Path, text: str) -> Plan:
    (place / "plan.yaml").write_text(text)
    return read_plan(place / "plan.yaml")


def plan_with(options: str) -> str:
    return PLAN.replace("{count: 4}", options)


def done(plan: Plan, root: Path, **how: Any) -> Folded:
    folder = create_run(root, PLAN, plan.resolved())
    assert execute(tasks_of(plan), folder, workshop, plan.resolved(), threads=1, **how).complete
    return folded(root)


def results(found: Folded) -> dict[str, Any]:
    return {part: facts["result"] for part, facts in found.programs["toy"].items()}


def test_a_program_is_run_shown_and_not_done_again(run: Run, place: Path) -> None:
    out = str(place / "out")
    dry = run(str(place / "plan.yaml"), "--dry")
    assert dry.output == "program toy  4 tasks: part-0, part-1, part-2, part-3\n"
    assert not (place / "part-0.began").exists()
    first = run(str(place / "plan.yaml"), "-o", out)
    assert (first.exit_code, "4 tasks done" in first.output) == (0, True), first.output
    shown = json.loads(CliRunner().invoke(main, ["show", out, "--json"]).output)
    assert list(shown["programs"]["toy"]) == ["part-0", "part-1", "part-2", "part-3"]
    part = shown["programs"]["toy"]["part-3"]
    assert (part["value"], part["curve"], part["name"]) == (6.0, [1, [2, None]], "n3")
    assert shown["program_seconds"]["toy"]["part-3"] >= 0
    assert shown["title"] == "Program toy"
    again = run(str(place / "plan.yaml"), "-o", out)
    assert "0 tasks done" in again.output
    assert "4 were there" in again.output


def test_the_tables_have_what_is_short(place: Path) -> None:
    found = done(read(place, PLAN), place / "out")
    text = CliRunner().invoke(main, ["show", str(place / "out")]).output
    assert "0.500 (0.250 to 0.750)" in text
    assert "n2" in text
    assert "curve" not in text
    html = render_run(run_content(found))
    assert '<h2 id="h-program-1">Program toy</h2>' in html
    assert '<th scope="row">part-2</th>' in html
    assert ">4.00</td>" in html
    assert "No metric ranks" not in html


def test_a_part_begins_with_torchs_generator_at_the_plans_seed(place: Path) -> None:
    one = results(done(read(place, PLAN), place / "one"))
    assert len({part["drawn"] for part in one.values()}) == 1
    other = results(done(read(place, PLAN + "seed: 5\n"), place / "other"))
    assert other["part-0"]["drawn"] != one["part-0"]["drawn"]


def test_killed_and_resumed(place: Path) -> None:
    (place / "plan.yaml").write_text(plan_with("{count: 4, slow: 0.3}"))
    command = [sys.executable, "-m", "critpath.cli", "run", str(place / "plan.yaml"), "-o", str(place / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        end = time.monotonic() + 60
        while not (place / "part-1.began").exists():
            assert time.monotonic() < end, "it never came to that"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for file in place.glob("*.began"):
        file.unlink()
    resumed = CliRunner().invoke(main, ["run", "--resume", str(place / "out")])
    assert (resumed.exit_code, "3 tasks done" in resumed.output) == (0, True), resumed.output
    assert not (place / "part-0.began").exists()
    assert results(folded(place / "out")) == results(done(read(place, plan_with("{count: 4, slow: 0.0}")), place / "b"))


def test_a_part_that_raises_is_a_failure_like_others(run: Run, place: Path) -> None:
    out = str(place / "out")
    found = run(str(place / "plan.yaml"), "-o", out, plan=plan_with("{count: 4, fails: [2]}"))
    assert found.exit_code == 3
    assert "ValueError: this part fails" in found.output
    content = run_content(folded(out))
    assert list(content.programs["toy"]) == ["part-0", "part-1", "part-3"]
    assert [failure.where for failure in content.failures] == ["task program.toy.part-2"]
    assert "critpath run --resume" in content.resume


def test_changed_options_and_files_are_another_run(place: Path) -> None:
    plan = read(place, PLAN)
    done(plan, place / "out")
    other = read(place, plan_with("{count: 4, slow: 0.0}"))
    with pytest.raises(MismatchError, match="another plan"):
        create_run(place / "out", PLAN, other.resolved())
    for file in ("work.py", "helper.py"):
        before = (place / file).read_text()
        (place / file).write_text(before + "\n# changed\n")
        with pytest.raises(MismatchError, match=f"{file} has changed"):
            check_files(plan, place / "out")
        (place / file).write_text(before)
    check_files(plan, place / "out")
    bare = replace(plan, programs={"toy": replace(plan.programs["toy"], files={})})
    with pytest.raises(OptionError, match=r"work\.py without its digest"):
        check_files(bare, place / "out")


def test_what_a_part_depends_on(place: Path) -> None:
    def known(plan: Plan) -> dict[str, str]:
        return digests(tasks_of(plan))

    plan = read(place, PLAN)
    assert known(read(place, PLAN)) == known(plan)
    for text in (plan_with("{count: 4, slow: 0.0}"), PLAN + "seed: 1\n", PLAN.replace("threads: 1", "threads: 2")):
        assert not set(known(read(place, text)).values()) & set(known(plan).values())
    fewer = replace(plan, programs={"toy": replace(plan.programs["toy"], parts=["part-1"])})
    assert known(fewer)["program.toy.part-1"] == known(plan)["program.toy.part-1"]
    (place / "helper.py").write_text("def double(x):\n    return x + x\n")
    assert not set(known(read(place, PLAN)).values()) & set(known(plan).values())


def test_files_that_a_program_reads_are_known(place: Path) -> None:
    (place / "table.json").write_text("[1]")
    text = PLAN.replace("work.py,", "work.py, files: [table.json],")
    plan = read(place, text)
    before = digests(tasks_of(plan))
    assert before != digests(tasks_of(read(place, PLAN)))
    check_files(plan, place / "out")
    (place / "table.json").write_text("[2]")
    with pytest.raises(MismatchError, match=r"table\.json has changed"):
        check_files(plan, place / "out")
    assert not set(digests(tasks_of(read(place, text))).values()) & set(before.values())


def test_a_damaged_result_is_left_out_and_done_again(place: Path) -> None:
    plan = read(place, PLAN)
    found = done(plan, place / "out")
    file = found.folder.path("program.toy.part-1")
    file.write_bytes(file.read_bytes().replace(b"n1", b"n9"))
    again = folded(place / "out")
    assert again.damaged == ("program.toy.part-1",)
    assert "part-1" not in again.programs["toy"]
    assert results(done(plan, place / "out"))["part-1"]["name"] == "n1"


def test_with_evaluations_beside(place: Path, run: Run) -> None:
    (place / "work.py").write_text(WORK + NET)
    images = np.random.RandomState(0).rand(4, 1, 8, 8).astype(np.float32)
    np.savez(place / "a.npz", images=images, labels=np.arange(4))
    both = run(str(place / "plan.yaml"), "-o", str(place / "out"), plan=PLAN + EVALUATION)
    assert both.exit_code == 0, both.output
    content = run_content(folded(place / "out"))
    assert content.title == "2 attribution methods on net; Program toy"
    assert (len(content.tables), len(content.programs["toy"])) == (1, 4)
    assert "forward passes" in run(str(place / "plan.yaml"), "--dry", plan=PLAN + EVALUATION).output


def test_a_plan_without_programs_is_what_it_was(place: Path) -> None:
    (place / "work.py").write_text(WORK + NET)
    np.savez(place / "a.npz", images=np.zeros((4, 1, 8, 8), np.float32), labels=np.arange(4))
    plan = read(place, "version: 1\n" + EVALUATION)
    assert "programs" not in plan.resolved()
    assert plan_of(plan.resolved()).resolved() == plan.resolved()


def test_the_device_is_given_to_a_program_that_takes_it(place: Path) -> None:
    (place / "work.py").write_text(
        "def parts():\n    return ['a']\n\ndef run(part, device='none'):\n    return {'device': device}\n"
    )
    plan = read(place, PLAN.replace(", options: {count: 4}", ""))
    assert results(done(plan, place / "out")) == {"a": {"device": "cpu"}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "it has to give a mapping"),
        ({"a": {"b": [1.0, float("nan")]}}, r"a.b\[1\] = nan .*None stands for a missing number"),
        ({"a": float("inf")}, "a = inf"),
        ({"a": torch.zeros(2)}, r"a = tensor.*\(Tensor\).*give numbers, text, lists"),
        ({"a": np.float32(1)}, r"\(float32\)"),
        ({"a": {1: 2}}, "key 1: keys are text"),
        ({"a": "x" * 2**23}, "the limit is"),
    ],
)
def test_what_is_no_json_is_refused(value: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        checked_result(value, "work.py:run, part 'a',")


def test_json_goes_through() -> None:
    value = {"a": [1, 2.5, True, None, "x", {"b": (1, [])}], "c": {}}
    assert checked_result(value, "x") == {"a": [1, 2.5, True, None, "x", {"b": [1, []]}], "c": {}}


REFUSED = [
    (plan_with("{count: 0}"), 4, "an empty one"),
    (plan_with("3"), 4, "a mapping of options"),
    (PLAN.replace("work.py", "none.py"), 4, "there is no file"),
    (PLAN.replace("work.py,", "work.py, files: [none.json],"), 4, "there is no file"),
    (PLAN.replace("work.py,", "work.py, files: none.json,"), 4, "a list of files"),
    (PLAN.replace("work.py", "helper.py"), 4, "has no function 'parts'"),
    (PLAN.replace("python:", "phyton:"), 4, "did you mean 'python'"),
    (PLAN.replace("python: work.py, ", ""), 4, "add python: FILE.py"),
    (PLAN.replace("  toy:", "  Toy:"), 4, "'Toy' under programs is no name"),
    (PLAN.replace("  toy: {python: work.py, options: {count: 4}}", "  {}"), 3, "programs is empty"),
    (PLAN + "models: {net: {load: digits}}\n", 1, "the plan has no data"),
    (PLAN.replace("programs", "program"), 3, "did you mean 'programs'"),
    ("version: 1\n", 1, "the plan has no models"),
]


@pytest.mark.parametrize(("text", "line", "words"), REFUSED)
def test_bad_plans_are_refused_with_their_line(place: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        read(place, text)
    assert str(caught.value).startswith(f"plan.yaml:{line}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 'part'", "a list of names"),
        ("return ['A']", "'A'; a part's name"),
        ("return ['a' * 61]", "1 to 60"),
        ("return [3]", "3; a part's name"),
        ("return ['a', 'b', 'a']", "'a' twice"),
        ("raise KeyError('table')", "KeyError: 'table'"),
    ],
)
def test_bad_parts_are_refused(place: Path, body: str, words: str) -> None:
    (place / "work.py").write_text(f"def parts(**options):\n    {body}\n\ndef run(part):\n    return {{}}\n")
    with pytest.raises(OptionError) as caught:
        read(place, PLAN)
    assert str(caught.value).startswith("plan.yaml:4: ")
    assert words in str(caught.value)


def test_a_package_is_importable_and_known(place: Path) -> None:
    package = place / "study"
    (package / "one").mkdir(parents=True)
    for file in ("__init__.py", "one/__init__.py"):
        (package / file).write_text("")
    (package / "shared.py").write_text("FACTOR = 3\n")
    (package / "one" / "work.py").write_text(
        "from study.shared import FACTOR\n\ndef parts():\n    return ['a']\n\n"
        "def run(part):\n    from study import shared\n    return {'factor': shared.FACTOR}\n"
    )
    plan = read(place, PLAN.replace("work.py, options: {count: 4}", "study/one/work.py"))
    assert str(package / "shared.py") in plan.programs["toy"].files
    assert results(done(plan, place / "out")) == {"a": {"factor": 3}}
    assert not [path for path in sys.path if str(place) in path]
