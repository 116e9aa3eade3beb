"""The page of the study: PruneGrad's figures 2, 6 and 7, published beside measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from critpath.report import Series, intervals_svg, lines_svg, panels_svg
from studies.prunegrad import fold, verdicts
from studies.prunegrad.verdicts import HIGHER, KINDS, LAYERS, METRICS, NAMES, PUBLISHED, SPARSITIES, at_sparsity, named
from studies.study import Claim, Estimate, shown
from studies.tables import markdown_table
from studies.trained import resnet8_facts

Results = Mapping[str, Any]

TITLE = "PruneGrad: how much can be pruned, and what does it buy?"

HEAD = """PG sets all but the most critical neurons (NeuronMCT, |a ∂Φ/∂a|) to zero and explains the network that is
left. Figure 2a shows how far the probability of the predicted class changes, |p' − p| / p, at growing sparsity, on
ResNet-50 and VGG-16 (1,000 photographs each) and on ResNet-8 (CIFAR-10); a change of 15 % gives the sparsity that all
other experiments use, 70 % for ResNet-50. Figure 2b shows the maps on the way, figure 6 those of PruneGrad-Mid at
several layers. Figure 7 retrains ResNet-8 without the pixels of maps at growing sparsity: the gradient of the pruned
network, and an adversarial change of the input (PrunePGD: 20 steps of 0.01 in a ball of 0.1) of the network unpruned
(0), without the neurons that are dead on the image (50*), and pruned.

Here figure 2 is measured on fewer photographs. No VGG-16 with a trained head is at hand: in its place stand its trained
convolutions, whose response is the mean activation of their strongest last channel, and SqueezeNet 1.1, whose response
is the class's score (its scores pass a ReLU, so pruning for one class silences all others, and a probability would mean
little). Both changes are those of the response itself. Figure 6, pictures only, becomes a measurement: pixels are
removed by the maps of each layer, least relevant first (LeRF) and most relevant first (MoRF). Figure 7's measure is
replaced, because retraining takes a GPU (full.yaml has it): LeRF, MoRF, and F-Fidelity, for which one network is
fine-tuned on randomly masked images.
"""

LIMITS = """ResNet-50's kernels are product-quantised, ResNet-8 was trained here on 8,750 images, and photographs are
few: intervals are over images only. The change of the output is not a loss of the class: it counts a rise of the
probability as well. Removing pixels takes images out of what the network knows, which retraining would not; where
figure 7's claims are judged by it, they are judged by another measure than the paper's.
"""

EVALUATED = ("layers", "sparsities")


def kept(run: Results) -> dict[str, Any]:
    """Curves of every network, and the tables of figures 6 and 7."""
    tables = {
        name: {t["metric"]: fold.table(t) for t in run["tables"] if t["evaluation"] == name} for name in EVALUATED
    }
    return {
        "networks": fold.networks(run["programs"]["changes"].values()),
        "radii": fold.radii(run["programs"]["radii"].values()),
        **tables,
        **({"alike": fold.agreement(run["agreements"][0])} if run.get("agreements") else {}),
        "explained": resnet8_facts(),
    }


def claims(results: Results) -> list[Claim]:
    """The verdicts on figures 2, 6 and 7."""
    return verdicts.claims(results)


def sections(results: Results) -> Iterable[str]:
    """Figures 2a, 2b, 6 and 7."""
    nets = results["networks"]
    image = "![Change by sparsity](images/study-prunegrad-change.svg)"
    yield f"## Figure 2a: sparsity and the output\n\n{image}\n\n{_changes(nets)}"
    if any(net["likeness"] for net in nets.values()):
        image = "![Likeness to the gradient](images/study-prunegrad-likeness.svg)"
        yield f"## Figure 2b: sparsity and the map\n\n{image}\n\n{_likenesses(nets)}"
    yield (
        "## Figure 6: PruneGrad-Mid by layer\n\n![LeRF by layer](images/study-prunegrad-layers.svg)\n\n"
        f"{_table(results['layers'], LAYERS)}"
    )
    names = {m: named(m) for m in results["sparsities"]["lerf"]["rows"] if m != "random"} | {"random": "random"}
    yield (
        f"## Figure 7: by sparsity\n\n![By sparsity](images/study-prunegrad-sparsities.svg)\n\n{_explained(results)}"
        f"{_table(results['sparsities'], names)}"
    )
    yield f"## Figure 7: how far the adversarial change goes\n\n{_radii(results['radii'])}"


def _radii(rows: Sequence[Results]) -> str:
    """How the adversarial changes of the whole network and of that without dead neurons part as the ball grows."""
    names = {
        "both": "maps of 0 and 50*",
        "pgd-0 gradient": "0 and the gradient",
        "pgd-dead gradient": "50* and the gradient",
        "pgd-0 lerf": "LeRF, 0",
        "pgd-dead lerf": "LeRF, 50*",
        "pgd-0 morf": "MoRF, 0",
        "pgd-dead morf": "MoRF, 50*",
    }
    told = (
        f"PrunePGD with 20 steps of a tenth of the radius, {rows[0]['both']['n']} images of CIFAR-10. The first three "
        "columns are rank correlations of absolute maps. The paper's radius is 0.1; its unit is not stated, here it is "
        "that of the normalised input.\n\n"
    )
    cells = [[f"{row['radius']:g}", *(shown(row[name], 3) for name in names)] for row in rows]
    return told + markdown_table(["radius", *names.values()], cells)


def _changes(nets: Results) -> str:
    rows = []
    for name, net in nets.items():
        at = [shown(at_sparsity(net, s), 3) for s in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)]
        published = f"{PUBLISHED[name]:.2f}" if name in PUBLISHED and name != "squeezenet1_1" else "n/a"
        rows.append([NAMES[name], f"{net['images']}", shown(net["dead"]), published, shown(net["crossing"]), *at])
    head = [
        "network",
        "images",
        "dead",
        "15 % published",
        "15 % measured",
        "0.5",
        "0.6",
        "0.7",
        "0.8",
        "0.9",
        "0.95",
        "0.99",
    ]
    return markdown_table(head, rows)


def _likenesses(nets: Results) -> str:
    at = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    rows = [
        [NAMES[n], f"{net['likeness'][0]['n']}", *(shown(at_sparsity(net, s, "likeness"), 3) for s in at)]
        for n, net in nets.items()
        if net["likeness"]
    ]
    return markdown_table(["rank correlation of |maps| with the gradient", "images", *(f"{s:g}" for s in at)], rows)


def _table(tables: Results, names: Mapping[str, str]) -> str:
    """A row a method, and for every metric its number and its difference to random maps."""
    metrics = [metric for metric in METRICS if metric in tables]
    rows = []
    for method, name in names.items():
        cells = [(tables[m]["rows"].get(method), tables[m]["to_random"].get(method)) for m in metrics]
        rows.append([name, *(shown(value, 4) for pair in cells for value in pair)])
    n = next(iter(tables[metrics[0]]["rows"].values()))["n"]
    head = ["method", *(part for m in metrics for part in (METRICS[m], "less random"))]
    return f"{n} images. LeRF is good where it is low, MoRF and F-Fidelity where they are high.\n\n" + markdown_table(
        head, rows
    )


def _explained(results: Results) -> str:
    facts = results["explained"]
    if not facts:
        return ""
    return f"ResNet-8, trained here: {100 * facts['accuracy']:.1f} % of the 10,000 test images are right. "


def figures(results: Results) -> Mapping[str, bytes]:
    """Figures 2a, 2b, 6 and 7."""
    nets = results["networks"]
    files = {"change.svg": _lines(nets, "change", "|p' − p| / p")}
    if any(net["likeness"] for net in nets.values()):
        files["likeness.svg"] = _lines(nets, "likeness", "rank correlation with the gradient")
    files["layers.svg"] = _layer_rows(results["layers"])
    files["sparsities.svg"] = panels_svg([_by_sparsity(m, t) for m, t in results["sparsities"].items()])
    return {name: text.encode() for name, text in files.items()}


def _lines(nets: Results, what: str, label: str) -> str:
    series = {
        NAMES[name]: _series(net["sparsities"], net[what]) for name, net in nets.items() if net[what]
    }  # fmt: skip
    return lines_svg(series, "sparsity", label)


def _series(x: Sequence[float], values: Sequence[Estimate]) -> Series:
    lows, highs = [v["low"] for v in values], [v["high"] for v in values]
    known = any(low is not None for low in lows)
    return Series(x, [v["mean"] for v in values], lows if known else None, highs if known else None)


def _layer_rows(tables: Results) -> str:
    charts = []
    for metric in ("lerf", "morf"):
        rows = {
            LAYERS[m]: (v["mean"], v["low"], v["high"])
            for m in LAYERS
            if (v := tables[metric]["rows"].get(m)) is not None and v["mean"] is not None
        }
        better = "higher" if metric in HIGHER else "lower"
        charts.append(intervals_svg(rows, f"{METRICS[metric]} ({better} is better)"))
    return panels_svg(charts, columns=1)


def _by_sparsity(metric: str, table: Results) -> str:
    series = {}
    for kind, name in KINDS.items():
        there = {
            s: table["rows"][f"{kind}-{part}"] for part, s in SPARSITIES.items() if f"{kind}-{part}" in table["rows"]
        }
        series[name] = _series(list(there), list(there.values()))
    random = table["rows"]["random"]
    ends = [0.0, max(SPARSITIES.values())]
    series["random"] = Series(ends, [random["mean"]] * 2, dashed=True)
    better = "higher" if metric in HIGHER else "lower"
    return lines_svg(series, "sparsity", METRICS[metric], title=f"{METRICS[metric]}: {better} is better")
