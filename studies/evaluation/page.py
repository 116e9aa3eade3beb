"""The page of the run of ``plan.yaml``, made from what ``critpath show --json`` printed.

critpath show DIR --json > run.json
python -m studies.evaluation.page run.json      (without a file: from the kept results)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from critpath.files import write_whole
from critpath.verdict import verdict_of
from studies.tables import markdown_table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "studies-evaluation.md"

HEAD = """# Eight methods, one plan

[One plan](../studies/evaluation/plan.yaml) puts six attribution methods and two controls, an edge detector and random
maps, to four tests: LeRF and parameter randomisation on ResNet-18 and 200 photographs, LeRF, remove-and-retrain (small)
and feature selection on CIFAR-10. `critpath run` did it, was killed with `kill -9` twice on the way, and was resumed on
Ray with two workers. Numbers are those of `critpath show`; intervals are 95 %, over images, label sets, or, for
retraining, over two seeds, which are too few for a verdict.
"""

LIMITS = """## What this does not show

Retraining is small: a ResNet-8 a quarter as wide as the papers', 2000 training images, five epochs, two seeds. It tells
no method from random maps here. The photographs are probably training images of ResNet-18, one of each class. Feature
selection goes over five contributions of neurons, not over attribution methods. No correction is made for comparing
many methods.
"""


def write_page() -> Path:
    return write_whole(PAGE, markdown(kept_results()).encode())


def kept_results() -> dict[str, Any]:
    """The run, as ``critpath show --json`` gives it."""
    found: dict[str, Any] = json.loads((HERE / "results" / "run.json").read_text())
    return found


def keep(file: Path) -> None:
    """The numbers of a run, without what belongs to one machine."""
    run = json.loads(file.read_text())
    kept = {name: run[name] for name in ("title", "tables", "agreements", "failures", "warnings")}
    kept["tables"] = [{name: part for name, part in table.items() if name != "figures"} for table in run["tables"]]
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "run.json").write_text(json.dumps(kept, indent=0))


def markdown(run: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD, *(_section(table) for table in run["tables"]), *(_agreement(table) for table in run["agreements"])]
    return "\n".join([*parts, LIMITS])


def _section(table: Mapping[str, Any]) -> str:
    columns = list(table["columns"])[:3]
    head = ("method", "n", *columns, *([f"less {table['reference']}"] if table["reference"] else []))
    sign = 1 if table["better"] == "lower" else -1
    rows = sorted(table["rows"], key=lambda row: _order(row["values"][0]["mean"], sign))
    lines = [(row["method"], str(row["n"]), *_values(row, len(columns)), *_against(table, row)) for row in rows]
    notes = " ".join(note for note in table["notes"] if not note.startswith("Stages"))
    title = f"## {table['title']}, {table['model']}"
    return f"{title}\n\n{table['better'].title()} is better. {notes}\n\n{markdown_table(head, lines)}"


def _order(mean: float | None, sign: int) -> tuple[bool, float]:
    return mean is None, sign * (mean or 0.0)


def _values(row: Mapping[str, Any], count: int) -> list[str]:
    return [_estimate(value) for value in row["values"][:count]]


def _against(table: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    if not table["reference"]:
        return []
    found = row["to_reference"]
    if found is None:
        return [""]
    ends = (found["low"], found["high"])
    told = "" if None in ends else verdict_of(*ends, table["better"])
    return [f"{_estimate(found)} {told if told != 'unknown' else ''}".strip()]


def _estimate(value: Mapping[str, Any]) -> str:
    if value["mean"] is None:
        return "none"
    ends = "" if value["low"] is None or value["high"] is None else f" ({value['low']:.3g} to {value['high']:.3g})"
    return f"{value['mean']:.3g}{ends}"


def _agreement(table: Mapping[str, Any]) -> str:
    rows = [(name, *(_cell(v) for v in row)) for name, row in zip(table["names"], table["values"], strict=True)]
    return f"## {table['title']}\n\n{table['explains']}\n\n" + markdown_table(("", *table["names"]), rows)


def _cell(value: Mapping[str, Any]) -> str:
    return "" if value["mean"] is None else f"{value['mean']:.2f}"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        keep(Path(argument))
    print(write_page())
