"""The page of the study: remove and retrain, published beside measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from critpath.evaluation.retraining import roar_area
from critpath.report import Series, intervals_svg, lines_svg, panels_svg
from studies.roar import verdicts
from studies.roar.published import ACCURACIES, AREAS, BASE, NAMES, SHARES
from studies.study import Claim, Estimate, shown
from studies.tables import markdown_table
from studies.trained import resnet8_facts

Results = Mapping[str, Any]

TITLE = "Remove and retrain: do networks miss what the maps call relevant?"

HEAD = """P (table 1, figure 6d) and PG (figure 5a) replace the pixels that a map calls most relevant by the mean, in
all images of CIFAR-10, train ResNet-8 anew on what is left, and read how far its accuracy falls: 43,750 images to train
on, 10,000 to test, shares of 10, 30, 50, 70 and 90 %, three networks each, 50 epochs. Low is good. They show no row
of random maps. The published numbers are those behind the figure; the area is that under the accuracies from share 0 to
0.9, not divided by that range.

Here the same is done with fewer and smaller trainings, which are named below, and with random maps, without which it
cannot be said whether a map removes more than chance. NeuronMCT and NeuronIntGrad are gradients through the pathway of
20 % of the neurons, the others frozen; PruneGrad is the gradient with the others at zero. F-Fidelity (Zheng et al.
2025) stands beside: one network is fine-tuned on randomly masked images, and never loses more than a tenth of one.
"""

LIMITS = """Accuracies are not the papers': the networks see fewer images and epochs, and the explained one was trained
here. What can be compared are orders and signs. Three seeds give wide intervals, of the training only: the images and
the explained network are always the same. Where accuracy stays high, the removed pixels were irrelevant, or the shape
of what was removed gives the class away: retraining cannot tell. Birdsnap (PG, figure 5b) is not at hand.
"""


# ------------------------------------------------------------------------------------------------- what is kept
def kept(run: Results) -> dict[str, Any]:
    """Areas, curves and differences to random maps of each method, F-Fidelity, and what the networks saw."""
    tables = {table["metric"]: table for table in run["tables"]}
    roar = tables["roar"]
    return {
        **_against_random(roar, "areas"),
        "shares": roar["figures"][0]["places"],
        "curves": _curves(roar),
        "settings": dict(roar["settings"]),
        "images": {name: _count(said) for name, said in run["provenance"] if name.startswith("Data ")},
        "explained": resnet8_facts(),
        **({"fidelity": _against_random(tables["fidelity"], "gap")} if "fidelity" in tables else {}),
        **({"kar": _against_random(tables["kar"], "areas")} if "kar" in tables else {}),
    }


def _against_random(table: Results, name: str) -> dict[str, dict[str, Estimate]]:
    """A table's first column, under a name, and what it has less than the random maps."""
    less = {row["method"]: _estimate(row["to_reference"], row["n"]) for row in table["rows"]}
    return {name: _column(table, 0), "to_random": less}


def _column(table: Results, index: int) -> dict[str, Estimate]:
    return {row["method"]: _estimate(row["values"][index], row["n"]) for row in table["rows"]}


def _estimate(value: Results | None, n: int) -> Estimate:
    ends = {} if value is None else value
    return {"mean": ends.get("mean"), "low": ends.get("low"), "high": ends.get("high"), "n": n}


def _curves(table: Results) -> dict[str, list[Estimate]]:
    seeds = len(table["seeds"])
    return {
        curve["method"]: [_estimate(value, seeds) for value in curve["values"]]
        for curve in table["figures"][0]["curves"]
    }


def _count(said: str) -> int:
    """The number that a line like "4,000 images of python ..." begins with."""
    return int(said.split()[0].replace(",", ""))


def claims(results: Results) -> list[Claim]:
    """The verdicts on table 1 and the figures."""
    return verdicts.claims(results)


# ------------------------------------------------------------------------------------------------- the page
def sections(results: Results) -> Iterable[str]:
    """What was cut, the areas, the accuracies at each share, and F-Fidelity."""
    yield f"## What was cut\n\n{_cuts(results)}"
    yield f"## Areas\n\n![Areas by method](images/study-roar-areas.svg)\n\n{_areas(results)}"
    yield f"## Accuracies\n\n![Accuracy by share removed](images/study-roar-curves.svg)\n\n{_accuracies(results)}"
    if "kar" in results:
        yield f"## Keep and retrain\n\n{_kept_and_retrained(results['kar'])}"
    if "fidelity" in results:
        yield f"## F-Fidelity\n\n{_fidelities(results['fidelity'])}"


def _cuts(results: Results) -> str:
    settings, images, explained = results["settings"], results["images"], results["explained"]
    lines = [
        f"- Retrained: {settings['recipe']}; shares {settings['shares']}; seeds {settings['seeds']}. The papers: "
        "width 64, 50 epochs, batches of 256, rate 0.001 halved every 10 epochs; five shares; three seeds.",
        f"- Images: {images.get('Data train', 0):,} for training and validation (7 : 1), "
        f"{images.get('Data test', 0):,} to test. The papers: 50,000 and 10,000.",
        f"- Accuracy on unmodified images: {shown(_base(results), 3)}. The papers: {BASE:.3f}.",
    ]
    if missing := [NAMES[m] for m in results.get("fidelity", {}).get("gap", ()) if m not in results["areas"]]:
        lines.append(f"- Not retrained: {', '.join(missing)}.")
    if explained:
        lines.append(
            f"- The explained network is ResNet-8 of width 64, trained here on {explained['train']:,} images for "
            f"{explained['recipe']['epochs']} epochs: {100 * explained['accuracy']:.1f} % on the 10,000 test images."
        )
    lines.append("- InputIntGrad and NeuronIntGrad take few points on their lines; see the plan.")
    return "\n".join(lines) + "\n"


def _base(results: Results) -> Estimate:
    estimate: Estimate = next(iter(results["curves"].values()))[0]
    return estimate


def _areas(results: Results) -> str:
    less = results["to_random"]
    areas = sorted(results["areas"].items(), key=lambda item: float(item[1]["mean"] or 0))
    shares = results["shares"][1:]
    rows = [
        [
            NAMES[m],
            f"{AREAS[m]:.3f}" if m in AREAS else "n/a",
            _published_area(m, shares),
            shown(area, 3),
            shown(less.get(m), 3),
            str(area["n"]),
        ]
        for m, area in areas
    ]
    head = ["method", "published area", "of the shares measured here", "measured area", "less that of random maps"]
    return markdown_table([*head, "seeds"], rows)


def _kept_and_retrained(kar: Results) -> str:
    ranked = sorted(kar["areas"].items(), key=lambda item: -float(item[1]["mean"] or 0))
    rows = [[NAMES[m], shown(area, 3), shown(kar["to_random"].get(m), 3), str(area["n"])] for m, area in ranked]
    told = (
        "Only the most relevant pixels stay, the others become the mean: high is good. The papers do not show it.\n\n"
    )
    return told + markdown_table(["method", "area", "less that of random maps", "seeds"], rows)


def _published_area(method: str, shares: Sequence[float]) -> str:
    """By the trapezoid rule from the published accuracies at these shares."""
    known = dict(zip(SHARES, ACCURACIES.get(method, ()), strict=False))
    if not all(share in known for share in shares):
        return "n/a"
    values = torch.tensor([known[share] for share in shares], dtype=torch.float64)
    return f"{float(roar_area(shares, values, BASE)):.3f}"


def _accuracies(results: Results) -> str:
    shares = results["shares"][1:]
    rows = []
    for method, curve in results["curves"].items():
        published = dict(zip(SHARES, ACCURACIES.get(method, ()), strict=False))
        rows.append([NAMES[method], *(_beside(published.get(s), e) for s, e in zip(shares, curve[1:], strict=True))])
    head = ["published / measured", *(f"{100 * s:.0f} % removed" for s in shares)]
    return markdown_table(head, rows)


def _beside(published: float | None, measured: Estimate) -> str:
    return f"{'n/a' if published is None else f'{published:.3f}'} / {shown(measured, 3)}"


def _fidelities(fidelity: Results) -> str:
    gaps = sorted(fidelity["gap"].items(), key=lambda item: -float(item[1]["mean"] or 0))
    rows = [[NAMES[m], shown(gap, 3), shown(fidelity["to_random"].get(m), 3)] for m, gap in gaps]
    n = gaps[0][1]["n"]
    told = (
        f"The gap is FFid+ less FFid−, in probability: what random removals cost inside of the explanation more than "
        f"outside. 0 is what random maps have; {n} images.\n\n"
    )
    return told + markdown_table(["method", "gap", "less that of random maps"], rows)


def figures(results: Results) -> Mapping[str, bytes]:
    """Measured beside published curves, and the areas."""
    shares = results["shares"]
    measured = {
        NAMES[m]: Series(shares, [e["mean"] for e in curve], *_ends(curve), dashed=m == "random")
        for m, curve in results["curves"].items()
    }
    published = {NAMES[m]: Series([0.0, *SHARES], [BASE, *row]) for m, row in ACCURACIES.items()}
    labels = ("share of pixels removed", "test accuracy")
    panels = [lines_svg(measured, *labels, title="Measured"), lines_svg(published, *labels, title="Published")]
    rows = {
        NAMES[m]: (float(a["mean"]), a["low"], a["high"]) for m, a in results["areas"].items() if a["mean"] is not None
    }
    areas = intervals_svg(rows, "area under the accuracy, measured (lower is better)")
    return {"curves.svg": panels_svg(panels).encode(), "areas.svg": areas.encode()}


def _ends(curve: Sequence[Estimate]) -> tuple[list[float | None] | None, list[float | None] | None]:
    """Lower and upper ends, where there are any."""
    lows, highs = [e["low"] for e in curve], [e["high"] for e in curve]
    return (None, None) if all(low is None for low in lows) else (lows, highs)
