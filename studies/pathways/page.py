"""The study's page in the documentation, made from the kept results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from critpath.files import write_whole
from studies.pathways.figures import LABELS, draw
from studies.pathways.fold import RESULTS
from studies.pathways.pictures import sheets
from studies.pathways.plan import SUBJECTS, subject
from studies.pathways.verdicts import at, percent, verdicts
from studies.study import Claim
from studies.tables import markdown_table

Row = dict[str, Any]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "studies-pathways.md"

TITLE = "Pathways"

HEAD = """# Pathways

The paper *On Sparse Critical Paths of Neural Response* compares the pathways of several methods in its figures 1 to 3:
how many dead neurons they hold, how much they overlap, and what they decode to. This page measures the same with
critpath, on other networks and photographs, and gives a verdict on each claim. `python -m studies.pathways run`
measures and `python -m studies.pathways fold` writes this page, every number of it
([program](../studies/pathways/__main__.py)); the results lie beside it.
"""

SETTING = """## What was measured

{networks}

The photographs are the same for all networks: the first of one random order of 1000 ImageNet photographs, one of each
class. These are probably training images. VGG-16 has its published convolutions without a head, so its response is the
mean of the channel of conv5_3 that is strongest on the photograph, and searches compare responses instead of class
probabilities. Distillation Guided Routing (DGR) has the released settings (gates on neurons, γ = 0.01, SGD with
momentum 0.9), with fewer iterations where noted, each as much longer: iterations x learning rate is the released 10.
Its binarised path is cut to the size asked for, as far as gates are not 0. `greedy` is the paper's algorithm 1 with a
step of 1 % of all neurons; what is pruned stays pruned. Intervals are 95 % bootstrap intervals over photographs.
"""


def write_page() -> Path:
    """Draw the figures and write the page; returns its file."""
    results = kept_results()
    draw(results)
    sheets(results)
    return write_whole(PAGE, markdown(results).encode())


def claims(results: Mapping[str, Row]) -> list[Claim]:
    """The paper's claims with their verdicts."""
    return verdicts(results)


def kept_results() -> dict[str, Row]:
    """The results of every network that has some, in the order of the study."""
    files = {one.name: RESULTS / f"{one.name}.json" for one in SUBJECTS}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}


def markdown(results: Mapping[str, Row]) -> str:
    """The whole page."""
    parts = [
        HEAD,
        "## Verdicts\n",
        _verdicts(results),
        SETTING.format(networks=_networks(results)),
        *_figures(results),
        "## Numbers at a sparsity of 90 %\n",
        *(_numbers(name, row["searched"]) for name, row in results.items() if "searched" in row),
        *_connected(results),
        *_linearity(results),
        *_iterations(results),
        *_decodings(results),
        _limits(results),
    ]
    return "\n".join(parts)


def _verdicts(results: Mapping[str, Row]) -> str:
    """All at a glance, then each with its numbers."""
    found = verdicts(results)
    glance = markdown_table(["claim", "verdict"], [[v.claim, f"**{v.verdict}**"] for v in found])
    return "\n".join([glance, *(_verdict(number, v) for number, v in enumerate(found, start=1))])


def _verdict(number: int, verdict: Claim) -> str:
    measured = "\n".join(f"- {line}" for line in verdict.measured.split("<br>"))
    head = f"### {number}. {verdict.claim}: {verdict.verdict}\n\nPublished: {verdict.published}. Measured:\n\n"
    return f"{head}{measured}\n\n{verdict.why}\n"


def _networks(results: Mapping[str, Row]) -> str:
    rows = []
    for name, row in results.items():
        part = row.get("searched") or row["ranked"]
        counts = [str(row[p]["images"]) if p in row else "0" for p in ("ranked", "searched")]
        rows.append([name, f"{part['neurons']:,}", str(len(part["sites"])), *counts, str(subject(name).iterations)])
    head = ["network", "neurons", "sites", "photographs, rankings", "photographs, searches too", "iterations of DGR"]
    return markdown_table(head, rows)


FIGURES = (
    (
        "study-pathways-dead.svg",
        "Figure 1: dead neurons on the paths",
        "The dashed line is the network's own share of dead neurons. Where greedy pruning stalled, the bar is of the "
        "path it ended with.",
    ),
    (
        "study-pathways-jaccard.svg",
        "Figure 2a: overlap over the whole network at 90 %",
        "At equal realised size: where a search ended at another size, the other path is cut, or grown, to it. Chance "
        "is 5.3 % where both keep a tenth of the neurons. A field is empty where two paths were not drawn "
        "independently.",
    ),
    ("study-pathways-layers.svg", "Figure 2b: overlap with NeuronIntGrad, site by site, at 90 %", ""),
    (
        "study-pathways-kept.svg",
        "Beyond the paper: the response kept when only the path acts",
        "All other neurons are zero, and everything above is recomputed. 0 % is the response without any neuron; lines "
        "that leave the frame give more than the whole network (DGR many times as much: the table has the shares).",
    ),
    (
        "study-pathways-linear.svg",
        "Beyond the paper: how near the boundaries of linear regions are",
        "Estimated for all neurons and max-pooling windows, in the network and in the frozen networks of NeuronMCT "
        "paths.",
    ),
)


def _figures(results: Mapping[str, Row]) -> Iterable[str]:
    images = PAGE.parent / "images"
    for file, title, caption in FIGURES:
        if (images / file).is_file():
            yield f"## {title}\n\n![{title}](images/{file})\n\n{caption}\n"


def _numbers(name: str, part: Row) -> str:
    one = at(part, 0.9)
    rows = []
    for finder in part["finders"]:
        curves = part["faithfulness"].get(finder, {})
        rows.append(
            [
                LABELS[finder],
                percent(one["realised"][finder]),
                percent(one["dead"][finder]),
                percent(one["keeps_class"][finder]),
                percent(one["kept"][finder]),
                percent(one["connected"][finder]),
                *(percent(curves.get(kind, {}).get("kept_area")) for kind in ("zero", "mean")),
                percent(curves.get("zero", {}).get("without_area")),
                f"{part['seconds'][finder]['mean']:.2g}",
            ]
        )
    head = [
        "finder", "realised sparsity", "dead", "class kept", "response kept", "on a route", "kept area, zero",
        "kept area, mean", "area without, zero", "seconds",
    ]  # fmt: skip
    return f"### {name}, n = {part['images']}\n\n{markdown_table(head, rows)}"


def _connected(results: Mapping[str, Row]) -> Iterable[str]:
    """Plain ranking beside connected selection, at every sparsity."""
    rows = [
        [
            name,
            f"{one['sparsity']:.0%}",
            LABELS[finder],
            *(percent(one[what][finder]) for what in ("realised", "connected", "keeps_class", "kept")),
        ]
        for name, row in results.items()
        for one in row.get("connected", {"at": []})["at"]
        for finder in row["connected"]["finders"]
    ]
    if rows:
        images = ", ".join(f"{n}: n = {row['connected']['images']}" for n, row in results.items() if "connected" in row)
        yield f"## Beyond the paper: selection that keeps the path connected\n\n{images}.\n"
        head = ["network", "sparsity", "selection", "realised", "on a route", "class kept", "response kept"]
        yield markdown_table(head, rows)


def _iterations(results: Mapping[str, Row]) -> Iterable[str]:
    """How much the fewer and longer iterations change what DGR finds."""
    rows = [
        [name, LABELS[finder], *(f"{100 * share:.3g} %" for share in (*one["dead"], *one["kept"], one["jaccard"]))]
        for name, row in results.items()
        for photograph in row.get("iterations", [])
        for finder, one in photograph.items()
        if isinstance(one, dict)
    ]
    if rows:
        yield "## DGR with fewer, longer iterations beside the released 1000\n\nOne photograph a row, at 90 %.\n"
        head = ["network", "finder", "dead, here", "dead, released", "kept, here", "kept, released", "Jaccard"]
        yield markdown_table(head, rows)


def _linearity(results: Mapping[str, Row]) -> Iterable[str]:
    rows = []
    for name, row in results.items():
        for number, found in enumerate(row.get("linear", [])):
            radii = {k: v for k, v in found.items() if isinstance(v, dict)}
            for which, value in radii.items():
                label = "the network" if which == "network" else f"path at {float(which):.0%}"
                rows.append([name, str(number + 1), label, f"{value['radius']:.2e}", value["decided_by"]])
    if rows:
        yield "## Radius of linearity\n"
        yield (
            "The radius of the largest l2 ball around the (normalised) input in which the activation pattern is "
            "constant; estimated with 64 directions and exact gradients for the candidates.\n"
        )
        yield markdown_table(["network", "photograph", "of", "radius", "decided by"], rows)


def _decodings(results: Mapping[str, Row]) -> Iterable[str]:
    images = PAGE.parent / "images"
    for name, row in results.items():
        for number, one in enumerate(row.get("decoded", [])):
            file = f"study-pathways-decoded-{name}-{number}.jpg"
            if (images / file).is_file():
                yield f"## Figure 3: decoding, {name}, {one['photograph']}\n"
                yield (
                    f"![decoded paths of {name}](images/{file})\n\n"
                    "Top row: pixels without transforms, as in the paper. Middle: Fourier pixels with transforms. Each "
                    "picture raises the predicted class in the network restricted to the path at 90 % (other neurons "
                    "zero). Bottom: the channel of each path's strongest neuron in the last convolution, in the whole "
                    "network.\n"
                )
                yield _decoded_table(one)


def _decoded_table(one: Row) -> str:
    rows = []
    for finder, paper in one["seen"]["paper"].items():
        today = one["seen"]["today"][finder]
        channel = one["top_channels"].get(finder)
        rows.append([LABELS[finder], *_seen(paper), *_seen(today), "" if channel is None else str(channel)])
    head = ["path", "response (pixels)", "rank of the class in the whole network", "response (Fourier)", "rank",
            "top channel"]  # fmt: skip
    return markdown_table(head, rows)


def _seen(picture: Row | None) -> list[str]:
    """The response that a picture reaches, and the rank of the class in the whole network."""
    return ["no picture", ""] if picture is None else [f"{picture['value']:.3g}", str(picture["rank_in_whole_network"])]


def _limits(results: Mapping[str, Row]) -> str:
    versions = next(iter(results.values()), {}).get("versions", {})
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"""## What this does not show

The paper's network with its head (VGG-16, 1000 classes) and its 1000 validation images were not at hand, so numbers may
differ for that reason alone; verdicts are on the direction of a claim where they can be. Searches take hundreds of
passes a photograph, so they were run on few: where n is small, so is what a verdict rests on. A pathway that keeps
little of the response when it acts alone is not thereby unimportant: the network never saw such activations in
training. Measured with {said}, on a CPU.
"""
