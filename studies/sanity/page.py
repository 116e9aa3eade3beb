"""The page of the sanity checks: P, figure 7 and PG, figure 3, on ResNet-50."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from studies.measured import BY_METHOD, Table, column, curve, tables
from studies.sanity.claims import claims
from studies.sanity.drawing import figures
from studies.sanity.names import AS_PUBLISHED, NAMES, NETWORKS, SIMILARITIES, published_means
from studies.study import Estimate, shown
from studies.tables import markdown_table

__all__ = ["HEAD", "LIMITS", "TITLE", "claims", "figures", "kept", "sections"]

TITLE = "Sanity checks: do the maps depend on what the network learned?"

HEAD = """P (section 3.3, figure 7) and PG (section 4.4, figure 3) randomise a ResNet-50 from its output to its input,
in 18 stages, and compare each method's map with the original one by SSIM, Spearman's correlation, and Spearman's
correlation of absolute values. A map that stays as it was does not depend on the parameters. Here that is done on a
ResNet-50 (product-quantised weights, 72.2 % top-1 as published) by `parameter_randomisation`: weights and biases normal
with standard deviation 0.1, running statistics kept, stage after stage, the originally predicted class explained
throughout; the released code explains the class that the network predicts at each stage, which is measured beside it.

What is cut in the small form: 10 photographs instead of 1000. Methods of many passes (integrated gradients with 8
points, PrunePGD with 10 steps of 0.02) go through six stages: the classifier, ResNet-50's four layers, the stem.
NeuronIntGrad, which needs an integral at every site, is measured on ResNet-18 with 4 points a site, beside the gradient
there. *NeuronMCT* is the pathway gradient as P defines it, the neurons off the pathway frozen; *PruneGrad* is the same
selection with these neurons at zero, as PG defines it and as P's released code computes NeuronMCT. Both are at the
papers' sparsity of 70 %. PG does not say which share RectGrad keeps; its authors' 2 % and a half are measured.
"""

LIMITS = """The photographs are probably training images of the network, one of each of ten classes. Intervals are over
photographs; all share one draw of the random parameters. Differences between methods are given the interval of two
independent means, which is wider than a paired one where methods agree about which photographs are hard. *Certainly*
says that a 95 % interval leaves the other answer out; no correction is made for the number of comparisons. Low
similarity shows that a map depends on the parameters, not that it is right: noise that is drawn anew would be best.
SSIM is high between any two maps that are near zero at most pixels. GradCAM's map of a randomised network is often zero
everywhere for the original class; such a map has no ranks, and the photograph is left out of Spearman's correlations at
that stage.
"""


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """The tables and maps of a run. Random maps, alike by construction, are kept in the table of the controls only."""
    found, maps = tables(run), run.get("programs", {}).get("maps", {})
    for name in found.keys() - {"dear/layers"}:
        for part in BY_METHOD:
            found[name][part].pop("random", None)
    return {"tables": found, "maps": {part: maps[part] for part in sorted(maps)}}


def sections(results: Mapping[str, Any]) -> Iterable[str]:
    """Tables and figures in Markdown."""
    found = results["tables"]
    yield (
        "## Figure 7 of P\n\n![Similarity with the original map, stage by stage, measured and published]"
        "(images/study-sanity-figure-7.svg)\n\nMeasured for the original class, measured for the class that the "
        "randomised network predicts, as in the released code (NeuronMCT there is PruneGrad), and published; bands are "
        "95 % over photographs. b15 to b0 are the bottlenecks from the last to the first.\n"
    )
    yield (
        "## Figure 3 of PG\n\n![Similarity with the original map of PruneGrad's variants and RectGrad]"
        "(images/study-sanity-figure-3.svg)\n\nPG's curves are printed only as pictures.\n"
    )
    yield "## Mean similarity over the 18 stages\n\n" + _means(found["stages/stages"])
    yield "## Dear methods and controls, mean over six stages\n\n" + _six(found["dear/layers"])
    table = found["intgrad/layers"]
    yield f"## NeuronIntGrad on {NETWORKS[table['model']]}, mean over six stages\n\n" + _six(table)
    yield "## What the choices change\n\n" + _choices(found)
    yield from _looked_at(results["maps"])


def _means(table: Table) -> str:
    head = ("method", *(word for word in SIMILARITIES.values()))
    rows = [(NAMES[method], *(_beside(table, method, key) for key in SIMILARITIES)) for method in table["columns"]]
    return (
        f"{table['n']} photographs; in brackets what was published, the mean of its 18 numbers, "
        "NeuronMCT's beside both of its gradients: frozen (P's text) and zeroed (P's released code).\n\n"
        + markdown_table(head, rows)
    )


def _beside(table: Table, method: str, similarity: str) -> str:
    told = published_means().get((AS_PUBLISHED.get(method, method), similarity))
    measured = shown(_mean(table, method, similarity))
    return measured if told is None else f"{measured} ({told:.2f})"


def _mean(table: Table, method: str, similarity: str) -> Estimate:
    return column(table, method, f"{SIMILARITIES[similarity]}, mean over stages")


def _six(table: Table) -> str:
    head = ("method", *SIMILARITIES.values())
    rows = [(NAMES[m], *(shown(_mean(table, m, key)) for key in SIMILARITIES)) for m in table["columns"]]
    return f"{table['n']} photographs. Stages: {', '.join(table['stages'][1:])}.\n\n" + markdown_table(head, rows)


def _choices(found: Mapping[str, Table]) -> str:
    """By stages: after the classifier alone, and after all parameters."""
    fixed, released, small = (found[n] for n in ("stages/stages", "released/stages-reselected", "small/layers-small"))
    head = ("method", "similarity", "the original class", "the class predicted at each stage", "std 0.01 (PG's text)")
    rows = [
        (NAMES[m], word, *(_ends(table, m, word) for table in (fixed, released, small)))
        for m in small["columns"]
        if m in released["columns"] and m in fixed["columns"]
        for word in SIMILARITIES.values()
    ]
    told = (
        f"After the classifier alone → after all parameters; {fixed['n']}, {released['n']}, {small['n']} photographs."
    )
    return f"{told}\n\n" + markdown_table(head, rows)


def _ends(table: Table, method: str, word: str) -> str:
    stages = curve(table, method, f"{word} with the original map")
    return f"{shown(stages[1])} → {shown(stages[-1])}"


def _looked_at(maps: Mapping[str, Any]) -> Iterable[str]:
    if not maps:
        return
    yield (
        "## Maps to look at\n\n![Maps before and after all parameters are random](images/study-sanity-maps.jpg)\n\n"
        "Two photographs, which are not part of this project; the largest absolute value in each "
        "cell of a grid, by the square root of its share of the map's largest. The counterpart of P, figures 5 and 12, "
        "and of PG, figures 1 and 3c. An empty map is zero everywhere, a white one is "
        "the same everywhere; with random parameters most maps show the grid of the network's strides.\n"
    )
    yield (
        "![The gradient through NeuronMCT's pathway at growing sparsity](images/study-sanity-sparsities.jpg)\n\n"
        "The counterpart of P, figures 4 and 11, on ResNet-50. The share of the map's sum in a tenth of its pixels:\n\n"
        + _concentration(maps)
    )


def _concentration(maps: Mapping[str, Any]) -> str:
    parts = [part for name, part in maps.items() if name.endswith(".sparsities")]
    head = ("photograph", *(f"sparsity {sparsity}" for sparsity in parts[0]))
    rows = [(str(i + 1), *(f"{one['concentration']:.2f}" for one in part.values())) for i, part in enumerate(parts)]
    return markdown_table(head, rows)
