"""Made-up contents of the page of a run."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from critpath.report import (
    AgreementTable,
    Estimate,
    Failure,
    Figure,
    MethodCurve,
    MethodRow,
    MetricTable,
    Part,
    Randomised,
    RunContent,
)

METHODS = ("pathway_gradient", "gradcam", "integrated_gradients", "gradient", "input_gradient", "random", "edges")
CONTROLS = ("random", "edges")
AREA = {"pathway_gradient": 0.0081, "gradcam": 0.0079, "integrated_gradients": 0.017, "gradient": 0.028,
        "input_gradient": 0.019, "random": 0.044, "edges": 0.024}  # fmt: skip


def area(method: str) -> float:
    return AREA.get(method, 0.02 + 0.001 * (len(method) % 9))


def make_table(methods: tuple[str, ...] = METHODS, n: int = 40, **changes: Any) -> MetricTable:
    """LeRF areas, of which gradcam's is the best and pathway_gradient's a tie with it."""
    spread = 0.002 if n > 1 else math.nan

    def estimate(value: float) -> Estimate:
        return Estimate(value, value - spread, value + spread)

    best = min(methods, key=area, default="")
    rows = tuple(
        MethodRow(
            method,
            method in CONTROLS,
            n,
            1 if method == "gradient" else 0,
            (estimate(area(method)), estimate(area(method) * 10)),
            None if method == "random" else estimate(area(method) - area("random")),
            None if method == best else estimate(area(method) - area(best)),
        )
        for method in methods
    )
    shares = tuple(i / 100 for i in range(1, 11))
    curves = tuple(
        MethodCurve(method, method in CONTROLS, tuple(estimate(area(method) * 20 * share) for share in shares))
        for method in methods
    )
    figure = Figure(
        "mean relative change", "share of pixels removed", shares, tuple(f"{share:.0%}" for share in shares), curves
    )
    table = MetricTable(
        evaluation="photographs",
        metric="lerf",
        kind="pixel_perturbation",
        title="Pixel perturbation, least relevant first (lerf)",
        model="resnet50",
        data="photographs",
        explains="How much the response changes when the pixels that the map calls least relevant are removed.",
        better="lower",
        unit="image",
        columns=("area as published", "area / largest share"),
        rows=rows,
        figures=(figure,),
        seeds=(0,),
        reference="random" if "random" in methods else "",
        settings=(("fill", "mean"), ("unit", "pixel")),
    )
    return replace(table, **changes)


def make_run(methods: tuple[str, ...] = METHODS, n: int = 40, **changes: Any) -> RunContent:
    lerf = make_table(methods, n)
    morf = make_table(
        methods, n, metric="morf", title="Pixel perturbation, most relevant first (morf)", better="higher"
    )
    value = Estimate(0.42, 0.3, 0.5)
    content = RunContent(
        title="Evaluation of eight methods",
        parts=(Part("maps", 8, 8), Part("perturbation", 16, 16)),
        resume="",
        tables=(lerf, morf),
        agreements=(
            AgreementTable(
                "Maps of the methods",
                "Spearman rank correlation of two methods’ maps of the same image.",
                methods,
                tuple((value,) * len(methods) for _ in methods),
                n,
                "image",
            ),
        ),
        failures=(Failure("photographs, lerf", "gradient", 7, "cat.jpg", "the maps hold NaN or infinity"),),
        coverages=(
            Randomised(
                "resnet50, sanity", "5 of 6 parameters changed, 10 of 12 numbers", "  layer1.0.weight  parameter"
            ),
        ),
        caveats=("A ranking on this data and model need not hold on others.",),
        provenance=(("Versions", "critpath 0.1.0, torch 2.9.0"), ("Device", "cpu")),
        plan="version: 1\nmodels:\n  resnet50: {load: 'torchvision:resnet50'}\n",
    )
    return replace(content, **changes)
