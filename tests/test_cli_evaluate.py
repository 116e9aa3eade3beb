"""``critpath evaluate``: the default plan is right, whole and small; a smaller one runs to its report, twice."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from critpath.cli import main
from critpath.cli.evaluate import default_plan
from critpath.runs.checks import read_plan
from critpath.runs.fold import folded
from critpath.runs.kinds import KINDS
from critpath.runs.tasks import tasks_of

pytest.importorskip("sklearn")


def written(folder: Path, text: str) -> Path:
    (folder / "plan.yaml").write_text(text, "utf-8")
    return folder / "plan.yaml"


def test_the_plan_has_every_kind_of_test(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, default_plan()))
    kinds = {entry.metric for entry in plan.metrics.values()}
    assert kinds == set(KINDS)
    assert {plan.metrics[name].options["mode"] for name in ("sanity", "independent")} == {"cascading", "independent"}
    assert {plan.metrics[name].options["keep"] for name in ("roar", "kar")} == {False, True}
    assert plan.metrics["superpixels"].options["unit"] == "superpixel"
    assert len(plan.methods) >= 8
    assert {"random", "edges"} <= set(plan.methods)
    assert {entry.options["fill"] for entry in plan.metrics.values() if entry.metric == "pixel_perturbation"} >= {
        "linear"
    }
    assert plan.metrics["roar"].options["seeds"] == [0, 1, 2]
    assert len(tasks_of(plan)) < 1000


def test_the_seed_reaches_everything_that_draws(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, default_plan(7)))
    assert plan.seed == 7
    assert plan.metrics["roar"].options["seeds"] == [7, 8, 9]
    seeds = [
        entry.options["seed"] for entry in (*plan.metrics.values(), *plan.methods.values()) if "seed" in entry.options
    ]
    assert set(seeds) == {7}


def test_it_prints_the_plan() -> None:
    result = CliRunner().invoke(main, ["evaluate", "--plan", "--seed", "3"])
    assert result.exit_code == 0
    assert result.stdout == default_plan(3)


def small() -> str:
    """The default plan with fewer methods and metrics, and one training each."""
    text = default_plan().partition("  - name: few")[0]
    for method in ("input_gradient", "guided_backprop", "gradcam", "pathway_average", "edges"):
        text = text.replace(f"  {method}:\n", "")
    text = re.sub(r"  (integrated_gradients|smoothgrad): .*\n", "", text)
    text = re.sub(r"metrics: \[.*\]", "metrics: [lerf, roar, agreement]", text)
    text = (
        text.replace("shares: [0.3, 0.7]", "shares: [0.5]")
        .replace("epochs: 8", "epochs: 1")
        .replace("width: 8", "width: 2")
    )
    return text.replace("{digits: train}", "{digits: train, limit: 200}")


def test_it_runs_and_runs_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["critpath.cli.evaluate"], "default_plan", lambda seed: small())
    first: Any = CliRunner().invoke(main, ["evaluate", "-o", "e"])
    assert first.exit_code == 0, first.output
    assert "Report: e/report.html" in first.stdout
    assert (tmp_path / "e" / "report.html").is_file()
    found = folded(tmp_path / "e")
    assert found.complete
    assert list(found.plan.methods) == ["gradient", "pathway_gradient", "random"]
    shard = sorted((tmp_path / "e" / "shards").iterdir())[0]
    shard.unlink()
    again: Any = CliRunner().invoke(main, ["evaluate", "-o", "e"])
    assert again.exit_code == 0, again.output
    assert again.stdout.startswith("1 tasks done")


def test_another_run_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = CliRunner().invoke(main, ["evaluate", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds 'notes.txt' and no run" in result.stderr
