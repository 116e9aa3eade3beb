"""The study of sanity checks: what was published, what is kept of a run, verdicts, and the maps to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from studies.sanity import drawing, page, work
from studies.sanity.claims import claims
from studies.sanity.names import NAMES, SIMILARITIES, published_means
from studies.sanity.published import CURVES, STAGES
from studies.sanity.values import SIX
from studies.study import HOLDS, NOT, OPEN, PARTLY, Claim

METHODS = ("gradient", "gbp", "gradcam", "input-mct", "neuron-mct", "prunegrad", "prunegrad-mid", "rectgrad")
SIX_METHODS = ("input-intgrad", "prune-pgd", "rectgrad-50", "edges", "random")
RELEASED = ("gradient", "gbp", "gradcam", "input-mct", "prunegrad")


def _value(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _table(
    evaluation: str, metric: str, model: str, levels: Mapping[str, Mapping[str, float]], stages: int, half: float
) -> dict[str, Any]:
    """As `critpath show --json` has it: after the original a method has one level by similarity at all stages."""
    names = ["original", *(f"s{i}" for i in range(1, stages + 1))]
    figures, rows = [], []
    for key, word in SIMILARITIES.items():
        lines = {m: [_value(1, 0), *[_value(level[key], half)] * stages] for m, level in levels.items()}
        curves = [{"method": m, "values": line} for m, line in lines.items()]
        figures.append(
            {"y_title": f"{word} with the original map", "places": list(range(stages + 1)), "curves": curves}
        )
    columns = [f"{word}, {what}" for word in SIMILARITIES.values() for what in ("mean over stages", "last stage")]
    for method, level in levels.items():
        values = [_value(level[key], half) for key in SIMILARITIES for _ in range(2)]
        rows.append({"method": method, "n": 10, "values": values, "to_reference": None})
    told = ", ".join(f"{i} {name}" for i, name in enumerate(names))
    return {
        "evaluation": evaluation, "metric": metric, "model": model, "columns": columns, "rows": rows,
        "figures": figures, "notes": [f"Stages: {told}.", "Another note."],
    }  # fmt: skip


def _level(method: str) -> dict[str, float]:
    """What the papers say."""
    if method in ("gbp", "rectgrad", "rectgrad-50"):
        return dict.fromkeys(SIMILARITIES, 0.9)
    coarse = {"ssim": 0.7, "spearman_abs": 0.5, "spearman": 0.5}
    fine = {"ssim": 0.3, "spearman_abs": 0.3, "spearman": 0.0}
    other = {"input-mct": {**fine, "spearman_abs": 0.5}, "gradcam": coarse, "prunegrad-mid": coarse}
    return other.get(method, fine)


def _run(changes: Mapping[str, float] | None = None, half: float = 0.02) -> dict[str, Any]:
    """A run in which some methods have one level in all similarities instead."""
    moved = changes or {}

    def table(evaluation: str, metric: str, model: str, methods: tuple[str, ...], stages: int) -> dict[str, Any]:
        levels = {m: dict.fromkeys(SIMILARITIES, moved[m]) if m in moved else _level(m) for m in methods}
        return _table(evaluation, metric, model, levels, stages, half)

    tables = [
        table("stages", "stages", "resnet50", METHODS, 18),
        table("dear", "layers", "resnet50", SIX_METHODS, 6),
        table("intgrad", "layers", "resnet18", ("gradient", "neuron-mct", "neuron-intgrad"), 6),
        table("released", "stages-reselected", "resnet50", RELEASED, 18),
        table("small", "layers-small", "resnet50", RELEASED, 6),
    ]
    return {"tables": tables, "programs": {"maps": _maps()}}


def _maps() -> dict[str, Any]:
    told = work._told(torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    kinds = {"methods": work.METHODS, "randomised": work.METHODS, "sparsities": map(str, work.SPARSITIES)}
    return {f"0.{kind}": dict.fromkeys(names, told) for kind, names in kinds.items()}


def _verdicts(changes: Mapping[str, float] | None = None, half: float = 0.02) -> list[Claim]:
    return claims(page.kept(_run(changes, half)))


def test_the_published_curves_are_whole() -> None:
    assert {len(line) for lines in CURVES.values() for line in lines.values()} == {len(STAGES)}
    assert published_means()["gbp", "ssim"] > 0.7 > published_means()["gradient", "ssim"]
    assert [STAGES[i] for i in SIX] == ["fc", "b13", "b7", "b3", "b0", "conv1"]


def test_numbers_as_the_papers_have_them_hold() -> None:
    found = {claim.claim: claim.verdict for claim in _verdicts()}
    own = found.pop("The curves themselves")
    assert (own, found.pop("PruneGrad is more sensitive than all other methods but the gradient")) == (PARTLY, PARTLY)
    assert set(found.values()) == {HOLDS}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gbp": -0.5}, "Of GBP, Gradient"),
        ({"neuron-mct": 0.8, "prunegrad": 0.8}, "NeuronMCT is as sensitive"),
        ({"neuron-intgrad": 0.8}, "NeuronIntGrad is as sensitive"),
        ({"rectgrad": 0.2, "rectgrad-50": 0.2}, "RectGrad behaves like"),
        ({"prune-pgd": 0.9}, "PrunePGD and PruneGrad"),
        ({"gradcam": -0.5, "prunegrad-mid": -0.5}, "The coarse maps"),
    ],
)
def test_a_verdict_follows_its_numbers(changes: Mapping[str, float], words: str) -> None:
    assert next(claim.verdict for claim in _verdicts(changes) if claim.claim.startswith(words)) == NOT


def test_the_gradient_is_not_the_most_sensitive_where_another_method_is_more() -> None:
    found = {claim.claim: claim for claim in _verdicts({"gradcam": -0.5})}
    claim = found["The gradient is the most sensitive, and PruneGrad is equally sensitive"]
    assert claim.verdict == PARTLY
    assert "Spearman of GradCAM" in claim.why


def test_signed_correlations_are_judged_from_the_first_bottleneck_on() -> None:
    run = _run()
    lines = {
        c["method"]: c
        for f in run["tables"][0]["figures"]
        if f["y_title"].startswith("Spearman w")
        for c in f["curves"]
    }
    words = "From the first randomised bottleneck on"
    for stage, verdict in ((1, HOLDS), (2, PARTLY)):
        lines["gradient"]["values"][stage] = _value(0.9, 0.01)
        assert next(c.verdict for c in claims(page.kept(run)) if c.claim.startswith(words)) == verdict


def test_questions_of_our_own_are_marked() -> None:
    assert [claim.claim.split(" that ")[0] for claim in _verdicts() if claim.asked_here] == ["It makes no difference"]


def test_wide_intervals_decide_nothing() -> None:
    found = {claim.claim: claim.verdict for claim in _verdicts(half=0.9)}
    assert found["NeuronMCT is as sensitive to the parameters as the gradient"] == OPEN


def test_the_page_names_every_method() -> None:
    results = page.kept(_run())
    text = "\n".join(page.sections(results))
    assert all(f"| {name}" in text for method, name in NAMES.items() if method in (*METHODS, *SIX_METHODS))
    assert "0.90 [0.88, 0.92] (0.79)" in text


def test_figures_are_drawn() -> None:
    drawn = drawing.figures(page.kept(_run()))
    assert {name.rsplit(".")[-1] for name in drawn} == {"svg", "jpg"}
    assert b"published" in drawn["figure-7.svg"]
    assert drawn["maps.jpg"][:2] == b"\xff\xd8"


def test_a_map_is_told_by_its_largest_values() -> None:
    maps = torch.zeros(1, 3, 2 * work.SIDE, 2 * work.SIDE)
    maps[0, 1, 0, 3], maps[0, 2, 5, 5] = -2.0, 1.0
    told = work._told(maps)
    grid = work.picture(told["map"])
    assert (grid[0, 1], grid[2, 2], int(np.count_nonzero(grid))) == (255, 128, 2)
    assert told["concentration"] == 1.0


def test_the_parts_of_the_program() -> None:
    assert work.parts(count=1) == ["0.methods", "0.randomised", "0.sparsities"]
