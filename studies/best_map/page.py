"""The study's page in the documentation, made from the kept results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from critpath.files import write_whole
from critpath.intervals import bootstrap_interval
from studies.best_map.candidates import CANDIDATES, CONTROLS, SECOND_ROUND, Maps
from studies.tables import markdown_table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "studies-best-map.md"
REFERENCE = "Grad-CAM"
REFERENCES = (REFERENCE, "PruneGrad .9", "pathway gradient .9")
CHOSEN = ("PruneGrad-Mid .9", "several zeroed x input, blur 8")
"""The two maps with the lowest means of the second round; tried on everything else."""

NAMES = {
    "resnet50": "ResNet-50, other photographs",
    "resnet18": "ResNet-18",
    "squeezenet1_1": "SqueezeNet 1.1",
}
ORDERS = {
    "lerf": "LeRF, lower is better",
    "morf": "MoRF, higher is better",
    "road": "MoRF with imputed pixels (ROAD), higher is better",
}
SHORT = {"lerf": "LeRF", "morf": "MoRF", "road": "ROAD"}

HEAD = """# Which map of a pathway is best?

The papers show the gradient of a pathway, one value a pixel. Many other maps can be made of the same pathway: frozen or
zeroed neurons, several sparsities, smoothed, at a middle site, or simply where in the network the pathway runs. This
study looks for one that beats Grad-CAM and the papers' own maps at removing pixels. Maps were chosen on ResNet-50 and
one half of the photographs, and tried on the other half and on other networks. `python -m studies.best_map choose`
and `report` measure, `page` writes this page, every number of it ([program](../studies/best_map/__main__.py)).

The measure is the area under |Δp|/p over the first 1 to 10 % of pixels, set to the data set's mean; p is the
probability of the predicted class. LeRF removes what the map calls least relevant, so a low area is good; MoRF removes
what it calls most relevant, so a high one is. Intervals are 95 % bootstrap intervals over photographs of the difference
to Grad-CAM on the same photographs; **bold** where they exclude 0.
"""


def reported() -> dict[str, Maps]:
    """What is tried on networks and photographs that nothing was chosen on."""
    names = (*CHOSEN, "Grad-CAM", "PruneGrad .9", "pathway gradient .9", "input x gradient", "gradient", "random")
    return {name: {**CONTROLS, **CANDIDATES, **SECOND_ROUND}[name] for name in names}


def write_page() -> Path:
    return write_whole(PAGE, markdown(kept_results()).encode())


def kept_results() -> dict[str, Any]:
    """Every results file by its name without ending."""
    return {file.stem: json.loads(file.read_text()) for file in sorted((HERE / "results").glob("*.json"))}


def markdown(results: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD, "## Verdict\n", verdict(results), "## On what nothing was chosen on\n"]
    for key in (key for name in NAMES if (key := f"report-{name}") in results):
        parts += [f"### {NAMES[key.removeprefix('report-')]}\n", _reported(results[key])]
    if "roar" in results:
        parts += ["## Remove and retrain\n", _retrained(results["roar"])]
    parts += ["## How it was chosen\n", CHOICE]
    for key, title in (("first", "First round"), ("second", "Second round"), ("costly", "Costly candidates")):
        if f"{key}-resnet50" in results:
            parts += [f"### {title}\n", _ranked(results[f"{key}-resnet50"]["lerf"])]
    return "\n".join(parts)


CHOICE = """The first round had all candidates on a few photographs of the chosen half. Those with the lowest means
went to the second, with more photographs. Names: *frozen* is the pathway gradient, *zeroed* PruneGrad, *several* the
mean over sparsities of .5, .7, .8, .9 and .95, *blur* the standard deviation of a Gaussian in pixels; *places* is the
mean over sites of where the pathway's neurons are, weighted by their contributions, *positive places* of the positive
part of their signed sum.
"""


def verdict(results: Mapping[str, Any]) -> str:
    """What the reported networks say of each chosen map, against Grad-CAM and against PruneGrad."""
    lines = [_conclusion(results)]
    for name in CHOSEN:
        for other in REFERENCES:
            told = [_told(name, other, order, results) for order in ORDERS]
            lines.append(f"- **{name}** against {other}: {'; '.join(told)}.")
    return "\n".join(lines) + "\n"


def _conclusion(results: Mapping[str, Any]) -> str:
    """Which map wins: over all networks better than every reference by LeRF, and by ROAD worse than none."""
    there = {order: _areas_of(results, order) for order in ORDERS}
    winners = [
        name
        for name in CHOSEN
        if all(_pooled_ends(there["lerf"], name, other)[2] < 0 for other in REFERENCES)
        and all(_pooled_ends(there["road"], name, other)[2] > 0 for other in REFERENCES)
    ]
    if not winners:
        return "No map wins: none is better than all references by LeRF without being worse than one by ROAD.\n"
    best = max(winners, key=lambda name: _pooled_ends(there["road"], name, REFERENCE)[0])
    random = _pooled_ends(there["morf"], "random", REFERENCE)
    odd = " Plain MoRF is no guide here: by it, random maps beat Grad-CAM." * (random[1] > 0)
    return (
        f"**{best}** is the default map of `critpath.explain`: over all networks it is better by LeRF than "
        f"{', '.join(REFERENCES)}, and by ROAD worse than none of them.{odd} On a single network most differences to "
        "Grad-CAM are ties.\n"
    )


def _areas_of(results: Mapping[str, Any], order: str) -> list[Mapping[str, Mapping[str, float]]]:
    return [row[order] for key, row in results.items() if key.startswith("report-") and order in row]


def _told(name: str, other: str, order: str, results: Mapping[str, Any]) -> str:
    there = _areas_of(results, order)
    found = [_against(areas, name, other) for areas in there]
    sign = 1 if order == "lerf" else -1
    better = sum((high < 0) if sign > 0 else (low > 0) for _, low, high in found)
    worse = sum((low > 0) if sign > 0 else (high < 0) for _, low, high in found)
    ties = len(found) - better - worse
    pooled = _pooled(there, name, other)
    of = f"{SHORT[order]} better on {better} of {len(found)} networks, worse on {worse}, {ties} ties"
    return f"{of}; all together {pooled}"


def _pooled(there: Sequence[Mapping[str, Mapping[str, float]]], name: str, other: str) -> str:
    """The mean difference over networks, with its interval."""
    mean, low, high = _pooled_ends(there, name, other)
    text = f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def _pooled_ends(
    there: Sequence[Mapping[str, Mapping[str, float]]], name: str, other: str
) -> tuple[float, float, float]:
    """Mean and interval of the difference over networks, photographs resampled with all their networks."""
    photographs = sorted({p for areas in there for p in areas[name]})
    rows = [[areas[name][p] - areas[other][p] for areas in there if p in areas[name]] for p in photographs]
    means = torch.tensor([sum(row) / len(row) for row in rows], dtype=torch.float64)
    low, high = bootstrap_interval(means.unsqueeze(0))
    return float(means.mean()), float(low), float(high)


def _against(areas: Mapping[str, Mapping[str, float]], name: str, other: str) -> tuple[float, float, float]:
    """Mean difference of two maps on the photographs that both have, with its interval."""
    values, _ = _values(areas, (name, other))
    low, high = bootstrap_interval((values[0] - values[1]).unsqueeze(0))
    return float((values[0] - values[1]).mean()), float(low), float(high)


def _values(areas: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> tuple[Tensor, int]:
    """[names, photographs] on the photographs that all of these maps have."""
    photographs = sorted(set.intersection(*(set(areas[name]) for name in names)))
    found = torch.tensor([[areas[name][p] for p in photographs] for name in names], dtype=torch.float64)
    return found, len(photographs)


def _reported(result: Mapping[str, Any]) -> str:
    tables = []
    for order, title in ((order, title) for order, title in ORDERS.items() if order in result):
        names = list(result[order])
        values, n = _values(result[order], names)
        rows = [(name, *_row(result[order], name, mean)) for name, mean in zip(names, values.mean(dim=1), strict=True)]
        rows.sort(key=lambda row: float(row[1]), reverse=order != "lerf")
        tables.append(f"{title}; {n} photographs.\n\n" + markdown_table(("map", "area", f"less {REFERENCE}"), rows))
    return "\n".join(tables)


def _row(areas: Mapping[str, Mapping[str, float]], name: str, mean: Tensor) -> tuple[str, str]:
    if name == REFERENCE or REFERENCE not in areas:
        return f"{float(mean):.4f}", ""
    difference, low, high = _against(areas, name, REFERENCE)
    text = f"{difference:+.4f} ({low:+.4f} to {high:+.4f})"
    return f"{float(mean):.4f}", f"**{text}**" if low > 0 or high < 0 else text


def _ranked(areas: Mapping[str, Mapping[str, float]]) -> str:
    names = list(areas)
    values, n = _values(areas, names)
    rows = [(name, *_row(areas, name, mean)) for name, mean in zip(names, values.mean(dim=1), strict=True)]
    rows.sort(key=lambda row: float(row[1]))
    return f"{n} photographs.\n\n" + markdown_table(("map", "area", f"less {REFERENCE}"), rows)


def keep_retrained(file: Path) -> None:
    """The table of a run of ``roar.yaml``, from what ``critpath show --json`` printed."""
    (table,) = json.loads(file.read_text())["tables"]
    kept = {name: table[name] for name in ("rows", "figures", "notes", "seeds")}
    (HERE / "results" / "roar.json").write_text(json.dumps(kept, indent=0))


def _retrained(table: Mapping[str, Any]) -> str:
    """Accuracies after retraining and the area below them."""
    (figure,) = table["figures"]
    curves = {curve["method"]: curve["values"] for curve in figure["curves"]}
    head = ("map", *(f"{label} removed" for label in figure["labels"]), "area, lower is better", "less random")
    rows = sorted(table["rows"], key=lambda row: float(row["values"][0]["mean"]))
    lines = [
        (row["method"], *(f"{value['mean']:.1%}" for value in curves[row["method"]]), *_areas(row)) for row in rows
    ]
    ends = [row["to_reference"] for row in rows if row["to_reference"] and row["to_reference"]["low"] is not None]
    tied = all(one["low"] <= 0 <= one["high"] for one in ends)
    told = "All differences to random maps are ties: so small a retraining tells no map from another.\n\n" * tied
    return RETRAINED.format(seeds=len(table["seeds"])) + told + markdown_table(head, lines)


def _areas(row: Mapping[str, Any]) -> tuple[str, str]:
    area, difference = row["values"][0], row["to_reference"]
    if difference is None or difference["low"] is None:
        return f"{area['mean']:.3f}", ""
    return f"{area['mean']:.3f}", f"{difference['mean']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})"


RETRAINED = """ResNet-20's maps on 2000 training and 500 test images of CIFAR-10; a ResNet-8 a quarter as wide as the
papers' is trained from nothing for five epochs, {seeds} times ([plan](../studies/best_map/roar.yaml)). Accuracy on test
images of which the most relevant pixels are removed, with t intervals over the trainings.

"""
