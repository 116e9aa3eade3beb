"""The README's table of speeds is the one that the program makes of the kept results."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_readme_shows_the_kept_results() -> None:
    spec = importlib.util.spec_from_file_location("core", ROOT / "benchmarks" / "core.py")
    assert spec is not None
    assert spec.loader is not None
    core = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(core)
    results = json.loads((ROOT / "benchmarks" / "results" / "core-cpu.json").read_text())
    assert core.markdown(results) in (ROOT / "README.md").read_text()
