"""The page of the study of addition modulo 113."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from critpath.report import Series, lines_svg, matrix_svg, panels_svg
from studies.folded import estimated
from studies.modular_addition.claims import claims
from studies.modular_addition.work import METHODS, SPARSITIES
from studies.study import shown
from studies.tables import markdown_table

__all__ = ["HEAD", "LIMITS", "TITLE", "claims", "figures", "kept", "sections"]

TITLE = "A network whose neurons are known: addition modulo 113"

HEAD = """A transformer of one layer with 512 ReLU neurons adds modulo 113, and is right on all 12,769 inputs (a, b,
=). It is known how such networks do it ([Nanda et al. 2023](https://arxiv.org/abs/2301.05217)): a hidden neuron goes
like a cosine of one frequency in a and b, there are few frequencies, and neurons of a frequency act together. Here
each neuron's frequency is read from its activations over all inputs: the one that explains most of its variance in
their two-dimensional Fourier transform. The question is whether the pathway, which knows nothing of that, finds these
clusters of neurons.

The response is the logit of the right answer, or its margin over the strongest other one. Only what the output reads
is computed, so that a neuron is one of 512 at the last position. *Unevenness* is Pearson's X² of how many neurons a
pathway keeps of each cluster, divided by its mean for random sets of as many active neurons: 1 is chance. *Random* is
such a set, drawn anew for each input.
"""

LIMITS = """One network, of one layer: the logit is linear in its hidden neurons, so that the methods which differ by
how they treat what lies above a neuron cannot differ here. A neuron counts as of one frequency, though that explains
only a part of its variance; the neurons of frequencies that fewer than 20 share are one cluster, "other". Ablation
sets activations to zero, which for neurons that are active on most inputs is far from anything that the network
knows. Shapley values are those of the first ten inputs.
"""

WHOLE = ("sizes", "explained", "written", "composition", "feeds", "names", "right with")
SHOWN = ("0.5", "0.8", "0.9", "0.95", "0.98")


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates over inputs, or over neurons."""
    return dict(estimated(run["programs"]["addition"], WHOLE))


def sections(results: Mapping[str, Any]) -> Iterable[str]:
    """Tables and figures in Markdown."""
    yield "## The clusters\n\n" + _clusters(results["neurons"])
    yield (
        "## Pathways by their size\n\n![Right answers and unevenness by the share of neurons kept]"
        "(images/study-modular-addition-pathways.svg)\n\n" + _pathways(results["logit"])
    )
    yield "### For the margin\n\n" + _pathways(results["margin"], ("taylor", "conductance", "l0", "dgr", "random"))
    yield (
        "## Which clusters a pathway is of\n\n![Composition of Taylor's pathways by cluster]"
        "(images/study-modular-addition-composition.svg)\n\nEach row adds up to 1. The first one is what all active "
        "neurons are of.\n"
    )
    yield "## Selected together\n\n" + _neighbours(results["neighbours"])
    yield "## Together and alone\n\n" + _groups(results["groups"], results["neurons"]["names"])
    yield "## Whole clusters alone\n\n" + _subsets(results["groups"]["right with"])
    yield "## Inputs that share their answer\n\n" + _answers(results["answers"])
    yield (
        "## Heads\n\n![Share of each cluster's part of the logit that is lost without a head]"
        "(images/study-modular-addition-heads.svg)\n\n" + _heads(results["heads"])
    )


def figures(results: Mapping[str, Any]) -> Mapping[str, bytes]:
    """Pathways by size, their composition, and what heads feed."""
    right, uneven = (_lines(results["logit"], of) for of in ("right", "unevenness"))
    heads, names = results["heads"]["feeds"], results["heads"]["names"]
    pathways = panels_svg([
        lines_svg(right, "share of neurons kept", "right answers", title="Pathway alone", y_limits=(0, 1)),
        lines_svg(uneven, "share of neurons kept", "unevenness (1 = chance)", title="Clusters"),
    ])  # fmt: skip
    return {
        "pathways.svg": pathways.encode(),
        "composition.svg": _composition(results).encode(),
        "heads.svg": matrix_svg([f"head {h}" for h in range(len(heads))], names, heads).encode(),
    }


def _lines(found: Mapping[str, Any], of: str) -> dict[str, Series]:
    methods = [m for m in METHODS if m in ("taylor", "conductance", "l0", "dgr", "random")]
    shares = sorted(SHOWN, key=float, reverse=True)
    return {m: _series([found[m][s] for s in shares], of, m == "random") for m in methods}


def _series(rows: list[Any], of: str, dashed: bool) -> Series:
    x = [row["kept"]["mean"] for row in rows]
    mean, low, high = ([row[of][end] for row in rows] for end in ("mean", "low", "high"))
    return Series(x, mean, low, high, dashed)


def _composition(results: Mapping[str, Any]) -> str:
    rows = {f"{float(s):.0%} left out": results["logit"]["taylor"][s]["composition"] for s in SHOWN}
    active = results["logit"]["random"]["0.5"]["composition"]
    return matrix_svg(["all active", *rows], results["neurons"]["names"], [active, *rows.values()])


def _clusters(found: Mapping[str, Any]) -> str:
    columns = (found["sizes"], found["explained"], found["written"])
    rows = [
        (name, str(size), f"{e:.0%}", f"{w:.0%}") for name, size, e, w in zip(found["names"], *columns, strict=True)
    ]
    head = ("cluster", "neurons", "of their variance explained", "of what they write to the answers")
    return markdown_table(head, rows) + (
        f"\nMedians over neurons. The last column is the share of power that a neuron's weights to the answers have at "
        f"its own frequency. {found['active']:.0%} of the neurons are active on an input.\n"
    )


def _pathways(found: Mapping[str, Any], methods: Sequence[str] = METHODS) -> str:
    rows = [
        (method, f"{1 - float(s):.0%}", shown(row["kept"], 3), shown(row["dead"], 2, percent=True),
         shown(row["right"], 2, percent=True), shown(row["frequencies"], 1), shown(row["unevenness"]),
         shown(row["taylor"]))
        for method in methods for s, row in found[method].items() if s in ("0.9", "0.98")
    ]  # fmt: skip
    head = (
        "method",
        "asked for",
        "kept",
        "dead",
        "right alone",
        "frequencies of 5",
        "unevenness",
        "Jaccard with taylor",
    )
    n = found["taylor"][str(SPARSITIES[0])]["kept"]["n"]
    return markdown_table(head, rows) + f"\nOver {n} inputs, Shapley values over fewer.\n"


def _neighbours(found: Mapping[str, Any]) -> str:
    order = ("taylor", "conductance", "l0", "random", "taylor, scores", "conductance, scores")
    rows = [(name, shown(found[name]["same"], 2, percent=True), f"{found[name]['chance']:.0%}") for name in order]
    n = next(iter(found.values()))["inputs"]
    return markdown_table(("by", "nearest neuron is of the same cluster", "chance"), rows) + (
        f"\nNeurons are near where their membership in pathways of 10 % (or their scores) goes alike over {n} inputs. "
        "Intervals are over neurons. Random sets of active neurons are above chance because activity itself goes by "
        "frequency.\n"
    )


def _groups(found: Mapping[str, Any], names: Sequence[str]) -> str:
    rows = [
        (name, shown(found["logit"][name]["together"], 1), shown(found["logit"][name]["alone"], 1),
         shown(found["probability"][name]["together"]), shown(found["probability"][name]["alone"]),
         shown(found["right without"][name], 2, percent=True))
        for name in names
    ]  # fmt: skip
    head = ("without", "logit, together", "logit, sum of each alone", "probability, together",
            "probability, sum of each alone", "still right")  # fmt: skip
    return markdown_table(head, rows)


def _subsets(found: Mapping[str, float]) -> str:
    by_size: dict[int, list[tuple[float, str]]] = {}
    for names, share in found.items():
        by_size.setdefault(len(names.split()), []).append((share, names))
    rows = [
        (str(size), f"{max(some)[0]:.0%} ({max(some)[1]})", f"{min(some)[0]:.0%} ({min(some)[1]})")
        for size, some in sorted(by_size.items())
    ]
    return markdown_table(("clusters kept", "right answers, best choice", "worst choice"), rows)


def _answers(found: Mapping[str, Any]) -> str:
    names = ("same sum", "same difference", "neither")
    rows = [(method, *(shown(found[method][name], 3) for name in names)) for method in ("taylor", "random")]
    return markdown_table(("pathways of 10 %", *names), rows) + (
        "\nMean Jaccard of an input's pathway with those of other inputs that share a + b, a - b, or neither.\n"
    )


def _heads(found: Mapping[str, Any]) -> str:
    rows = [(f"head {h}", shown(found["alone"][h], 1), shown(found["shapley"][h], 1)) for h in found["alone"]]
    rows += [("sum", shown(found["sum alone"], 1), ""), ("all at once", shown(found["together"], 1), "")]
    return markdown_table(("taken out", "loss of the logit", "Shapley value"), rows)
