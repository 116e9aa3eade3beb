"""Tables in the README and the documentation are those that the programs make of the kept results."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def test_the_readme_shows_the_kept_results() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "core-cpu.json").read_text())
    assert _program("core").markdown(results) in (ROOT / "README.md").read_text()


def test_the_docs_show_the_kept_results_of_contributions() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "contributions-cpu.json").read_text())
    page = (ROOT / "docs" / "contributions.md").read_text()
    assert _program("contributions/tables").markdown(results).strip() in page


def test_the_docs_show_the_kept_results_of_pathways() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "pathways-cpu.json").read_text())
    assert _program("pathways/tables").markdown(results).strip() in (ROOT / "docs" / "pathways.md").read_text()


def test_the_docs_show_the_kept_results_of_evaluation() -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / "evaluation-cpu.json").read_text())
    assert _program("evaluation/tables").markdown(results).strip() in (ROOT / "docs" / "evaluation.md").read_text()


def _program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
