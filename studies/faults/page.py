"""The page of the study of faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from critpath.report import Series, intervals_svg, lines_svg, panels_svg
from studies.faults.claims import claims
from studies.faults.names import arranged
from studies.folded import estimated, joined
from studies.study import Estimate, shown
from studies.tables import markdown_table

__all__ = ["HEAD", "LIMITS", "TITLE", "claims", "figures", "kept", "sections"]

TITLE = "What the faults did"

HEAD = """The code that was released with P departs from its text in several places, and so do some tables and
examples of P, PG and C ([which](definitions.md)). Each fault is switched on here by itself, everything else right,
and its effect is measured on what the papers report: the pathway (its size, its dead share, its Jaccard with the
right one), the map (Spearman of absolute values), the area under LeRF, and the curves of the sanity check.
`critpath.audit` has the faults as functions; `critpath.audit.artefacts()` lists them with the call that is right.
Faults of the texts alone are worked out from the published numbers.

Networks: the papers' ResNet-8 (trained here) and ResNet-20 on CIFAR-10's test images, its blocks with one ReLU module
for two calls, as torchvision's ResNets have them; SqueezeNet 1.1 and ResNet-50 on photographs. "As released" is a
reconstruction of what the code is known to do, not that code.
"""

LIMITS = """That the released code is what made the published numbers is an assumption; for the order of InputMCT's
steps the data speak against it. Few images: the intervals say how far that reaches. What a fault does to ROAR's
accuracies was not measured by retraining: for the 8-bit maps it is shown which pixels would go. NeuronIntGrad's first
sites on networks with reused modules have plain Taylor scores in the released code, which is not reproduced. On
ResNet-50 the reuse is measured with Taylor scores in place of integrals. Path decoding at 98 % where the text says 90
% is not repeated here.
"""

FAULTS = {
    "alphas": "scales up to 5.5 (NeuronIntGrad)",
    "calls": "modules taken for calls (NeuronIntGrad)",
    "alphas and calls": "both",
    "revival": "pruned neurons revived (greedy)",
    "ties of gates": "gates at 0 tied (DGR, init=r)",
    "calls, 70 %": "modules taken for calls, 70 % asked for",
    "calls, 90 %": "modules taken for calls, 90 % asked for",
    "ties, 50 %": "percentile, 50 % asked for",
    "ties, 70 %": "percentile, 70 % asked for",
    "ties, 90 %": "percentile, 90 % asked for",
}


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates over images, by measurement and network."""
    parts: dict[str, list[Any]] = {}
    for part, found in sorted(run["programs"]["faults"].items()):
        if part != "texts":
            parts.setdefault(part.rpartition(".")[0], []).append(found)
    texts = run["programs"]["faults"]["texts"]
    return dict(arranged({"texts": texts, **{key: estimated(joined(some)) for key, some in parts.items()}}))


def sections(results: Mapping[str, Any]) -> Iterable[str]:
    """Tables and figures in Markdown."""
    yield "## Pathways\n\n" + _paths(results)
    yield (
        "## LeRF by signed and by absolute values\n\n![Areas under LeRF, ranked right and as released]"
        "(images/study-faults-lerf.svg)\n\n" + _lerf(results)
    )
    yield "## Zeroed and frozen\n\n" + _zeroed(results)
    yield "## Maps in 8 bits\n\n" + _bits(results)
    yield (
        "## The sanity check\n\n![Absolute Spearman, stage by stage, right and with each fault]"
        "(images/study-faults-sanity.svg)\n\n" + _sanity(results)
    )
    yield "## Published areas of figure 6, worked out\n\n" + _areas(results["texts"])


def figures(results: Mapping[str, Any]) -> Mapping[str, bytes]:
    """LeRF with and without signs, and the sanity check's curves."""
    lerf = [_bars(results[key]["lerf"], key.partition(".")[2]) for key in _of(results, "maps")]
    curves = [_curves(found, method) for found in [results[_of(results, "sanity")[0]]] for method in found["right"]]
    return {"lerf.svg": panels_svg(lerf).encode(), "sanity.svg": panels_svg(curves).encode()}


def _of(results: Mapping[str, Any], measure: str) -> list[str]:
    return [key for key in results if key.partition(".")[0] == measure]


def _bars(found: Mapping[str, Any], network: str) -> str:
    rows = {}
    for method, areas in found.items():
        rows[method] = _ends(areas["right"])
        rows[f"{method}, signed"] = _ends(areas["released"])
    return intervals_svg(rows, "area under LeRF (lower is better)", title=network)


def _ends(value: Estimate) -> tuple[float, float | None, float | None]:
    return float(value["mean"] or 0), value["low"], value["high"]


def _curves(found: Mapping[str, Any], method: str) -> str:
    versions = {name: curves[method] for name, curves in found.items() if method in curves}
    series = {name: _series(stages) for name, stages in versions.items()}
    stages = [stage.replace("conv1 + bn1", "stem") for stage in next(iter(versions.values()))]
    return lines_svg(series, "randomised down to", "Spearman (abs)", title=method, ticks=stages, y_limits=(0, 1))


def _series(stages: Mapping[str, Any]) -> Series:
    rows = [values["spearman_abs"] for values in stages.values()]
    mean, low, high = ([row[end] for row in rows] for end in ("mean", "low", "high"))
    return Series(list(range(len(rows))), mean, low, high)


def _paths(results: Mapping[str, Any]) -> str:
    keys = [k for k in results if k.partition(".")[0] in ("integrals", "greedy", "gates", "reused", "selections")]
    rows = [
        (FAULTS[fault], key.partition(".")[2], str(row["jaccard"]["n"]), _both(row, "kept"), _both(row, "dead"),
         _both(row, "class"), shown(row["jaccard"]), shown(row["chance"]), shown(row["spearman"]),
         shown(row["lerf, change"], 4))
        for key in keys for fault, row in results[key].items() if fault != "sites"
    ]  # fmt: skip
    head = (
        "fault",
        "network",
        "n",
        "kept",
        "dead",
        "class kept",
        "Jaccard",
        "chance",
        "Spearman of maps",
        "LeRF changed by",
    )
    return (
        "As released → right. Ten steps of integration, 99 rounds of pruning, 250 iterations of DGR with four times "
        "the released step; maps are PruneGrad's, neurons off the path at zero. 90 % were asked for where nothing "
        "else is said.\n\n" + markdown_table(head, rows)
    )


def _both(row: Mapping[str, Any], of: str) -> str:
    released, right = row[f"{of}, released"], row[f"{of}, right"]
    return f"{shown(released, 2, percent=True)} → {shown(right, 2, percent=True)}"


def _lerf(results: Mapping[str, Any]) -> str:
    rows = [
        (key.partition(".")[2], method, str(a["right"]["n"]),
         *(shown(a[which], 4) for which in ("right", "released", "change")))
        for key in _of(results, "maps") for method, a in results[key]["lerf"].items()
    ]  # fmt: skip
    head = ("network", "method", "n", "by absolute values (right)", "by signed values (released)", "changed by")
    return markdown_table(head, rows)


def _zeroed(results: Mapping[str, Any]) -> str:
    found = {key.partition(".")[2]: results[key]["zeroed"] for key in _of(results, "maps")}
    names = list(next(iter(found.values())))
    head = ("at 90 %", *(f"{network} (n = {row[names[0]]['n']})" for network, row in found.items()))
    words = {
        "response": "response of the zeroed network, over the whole one's",
        "died": "share of the path that dies",
        "class": "class kept",
        "cosine": "cosine of zeroed and frozen map",
        "spearman": "Spearman of the two, absolute",
    }
    rows = [(words.get(name, name), *(shown(row[name]) for row in found.values())) for name in names]
    return markdown_table(head, rows)


def _bits(results: Mapping[str, Any]) -> str:
    rows = [
        (key.partition(".")[2], method, shown(row["levels"], 0), shown(row["tied"], 2, percent=True),
         *(shown(row["same"][share]) for share in row["same"]))
        for key in _of(results, "maps") for method, row in results[key]["eight bits"].items()
    ]  # fmt: skip
    head = (
        "network",
        "method",
        "levels used",
        "pixels at a level that 1 % share",
        *(f"{s} %" for s in (10, 30, 50, 70, 90)),
    )
    return (
        "Jaccard of the pixels that ROAR removes by the stored and by the exact map, most relevant first, at each "
        "share; ties by position.\n\n" + markdown_table(head, rows)
    )


def _sanity(results: Mapping[str, Any]) -> str:
    found = results[_of(results, "sanity")[0]]
    stages = list(found["right"]["Gradient"])
    rows = [
        (version, method, *(shown(curve[stage]["spearman"]) for stage in stages))
        for version, methods in found.items() for method, curve in methods.items()
    ]  # fmt: skip
    n = found["right"]["Gradient"][stages[0]]["ssim"]["n"]
    return f"Signed Spearman on ResNet-20, {n} images.\n\n" + markdown_table(("version", "method", *stages), rows)


def _areas(texts: Mapping[str, Any]) -> str:
    areas = texts["areas"]
    methods = list(next(iter(areas.values())))
    rows = [(data, *(f"{row[method]:.4f}" for method in methods)) for data, row in areas.items()]
    return markdown_table(("data", *methods), rows) + (
        "\nTrapezoids from 0 at 0 to 10 % of the pixels, from the numbers behind the figure.\n"
    )
