"""The page of pixel perturbation: P, figure 6 a to c and table 2, and PG, figure 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from studies.measured import BY_METHOD, Table, tables
from studies.perturbation import published
from studies.perturbation.claims import claims
from studies.perturbation.drawing import figures
from studies.perturbation.names import AS_PUBLISHED, CHEAPER, NAMES, NETWORKS, PUBLISHED, area, change
from studies.study import shown
from studies.tables import markdown_table

__all__ = ["HEAD", "LIMITS", "TITLE", "claims", "figures", "kept", "sections"]

TITLE = "Pixel perturbation: does the response stay where a map sees nothing?"

HEAD = """P (figure 6 a to c, table 2) and PG (section 4.5, figure 4) remove the 1 to 10 % of the pixels that a map
calls least relevant, put the mean in their place, and measure how much the probability of the class changes, |p - p'| /
p. The area under that curve is the number of P's table 2; lower is better. P took 2000 images each of CIFAR-10 (a
ResNet-8), Birdsnap and ImageNet (ResNet-50). Here the same is done by `pixel_perturbation` on a ResNet-8 trained here,
on ResNet-20 and ResNet-56 for CIFAR-10, and on a ResNet-50 with product-quantised weights, with rows for random maps
and for an edge detector that sees no network, which the papers have not.

What is cut in the small form: 40 (ResNet-8, ResNet-56) or 60 (ResNet-20) images of CIFAR-10 and 10 photographs instead
of 2000. Integrated gradients take 20 points, 8 on ResNet-50; NeuronIntGrad takes 4 points a site and is left out on
ResNet-56 and ResNet-50; PrunePGD takes 10 steps of 0.02 on ResNet-50. Birdsnap is not at hand. *NeuronMCT* and
*NeuronIntGrad* are pathway gradients as P defines them, the other neurons frozen; *PruneGrad* has NeuronMCT's neurons
with the others at zero, as PG defines it and as P's released code computes NeuronMCT. The sparsity is 70 %, the papers'
for ResNet-50; for the ResNet-8 they do not say one.
"""

LIMITS = """Removed pixels take images out of the data that the networks know; LeRF rewards maps whose small values lie
together or at the border as well as maps that are right. Differences between methods are given the interval of two
independent means, which is wider than a paired one where an image that is hard for one method is hard for the other;
differences to random maps are paired. *Certainly* says that a 95 % interval leaves the other answer out; no correction
is made for the number of comparisons. The ResNet-8 is trained here, on fewer images than P's: what it alone decides is
said of that network. The photographs are probably training images of ResNet-50. The mean that replaces pixels is that
of each network's preprocessing: ImageNet's for ResNet-20 and ResNet-56.
"""


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a run; methods with fewer steps under the name of the whole."""
    found = tables(run)
    for table in found.values():
        for part in BY_METHOD:
            table[part] = {CHEAPER.get(method, method): value for method, value in table[part].items()}
    return {"tables": found, "networks": run.get("programs", {}).get("networks", {})}


def sections(results: Mapping[str, Any]) -> Iterable[str]:
    """Tables and figures in Markdown."""
    found = results["tables"]
    networks = [name for name in NETWORKS if f"{name}/lerf" in found]
    yield "## Table 2 of P\n\n" + _table_2({name: found[f"{name}/lerf"] for name in networks}) + _trained(results)
    signed = {name: found[f"{name}-signed/signed"] for name in networks if f"{name}-signed/signed" in found}
    if signed:
        yield "## Ranked by signed values\n\n" + _signed({name: found[f"{name}/lerf"] for name in signed}, signed)
    yield (
        "## Figure 6 of P\n\n![The change of the response by share removed, measured and published]"
        "(images/study-perturbation-figure-6.svg)\n\nBands are 95 % over images. Published is beside P's "
        "networks, without ImageNet's NeuronIntGrad, whose row is a copy of Birdsnap's.\n"
    )
    yield (
        "## Figure 4 of PG\n\n![The change of the response by share removed, for PG's methods]"
        "(images/study-perturbation-figure-4.svg)\n\nPG's curves are printed only as pictures.\n"
    )
    yield "## Less random maps\n\n" + _to_random({name: found[f"{name}/lerf"] for name in networks})
    yield (
        "## Further than a tenth\n\n![The change when 20 to 90 % are removed](images/study-perturbation-more.svg)\n\n"
        "The authors' file has eight points after 10 %; 20 to 90 % is assumed.\n"
    )
    yield "## Most relevant first, and ROAD\n\n" + _ways(found)


def _table_2(lerf: Mapping[str, Table]) -> str:
    """Areas, the published ones in brackets beside the network they belong to."""
    heads = [f"{NETWORKS[name]} (n = {table['n']})" for name, table in lerf.items()]
    rows = [
        (NAMES[m], *(_beside(name, table, m) for name, table in lerf.items()))
        for m in NAMES
        if any(m in table["columns"] for table in lerf.values())
    ]
    return (
        "Area under |p - p'| / p from 0 to 10 %, least relevant first: lower is better. In brackets what was "
        "published, for CIFAR-10 on P's ResNet-8. NeuronMCT's stands beside both of its gradients: frozen (P's "
        "text) and zeroed (P's released code).\n\n" + markdown_table(("method", *heads), rows)
    )


def _signed(lerf: Mapping[str, Table], signed: Mapping[str, Table]) -> str:
    rows = [
        (NAMES[m], *(_both(lerf[name], table, m) for name, table in signed.items()))
        for m in NAMES
        if any(m in table["columns"] for table in signed.values())
    ]
    return (
        "The area when pixels are ranked by the largest value of their channels, with its sign, as the released code "
        "ranks them: what speaks most against the class goes first. In brackets by size, as in the table above.\n\n"
        + markdown_table(("method", *(NETWORKS[name] for name in signed)), rows)
    )


def _both(size: Table, signed: Table, method: str) -> str:
    if method not in signed["columns"]:
        return ""
    mean = shown({**area(size, method), "low": None, "high": None}, 4)
    return f"{shown(area(signed, method), 4)} ({mean})"


def _trained(results: Mapping[str, Any]) -> str:
    """How well the network that is trained here does its work."""
    known = results["networks"].get("resnet8")
    if known is None:
        return ""
    return (
        f"\nThe ResNet-8 is right on {100 * known['accuracy']:.1f} % of CIFAR-10's test images after training on "
        f"{known['train']:,}; P's on {100 * published.ACCURACY:.2f} %.\n"
    )


def _beside(name: str, table: Table, method: str) -> str:
    if method not in table["columns"]:
        return ""
    data = PUBLISHED[name]
    known = published.TABLE_2[data].get(AS_PUBLISHED.get(method, method)) if name in ("resnet8", "resnet50") else None
    told = "" if known is None else f" ({'copied' if (data, method) == published.COPIED else f'{known:g}'})"
    return shown(area(table, method), 4) + told


def _to_random(lerf: Mapping[str, Table]) -> str:
    """Paired differences of the areas."""
    methods = [m for m in NAMES if m != "random"]
    rows = [(NAMES[m], *(_against(table, m) for table in lerf.values())) for m in methods]
    return "Paired differences of the areas; below 0 is better than random maps.\n\n" + markdown_table(
        ("method", *(NETWORKS[name] for name in lerf)), rows
    )


def _against(table: Table, method: str) -> str:
    if method not in table["to_random"]:
        return ""
    mean, low, high = table["to_random"][method]
    return shown({"mean": mean, "low": low, "high": high, "n": table["n"]}, 4)


WAYS = {
    "morf": "MoRF, mean",
    "road": "MoRF, filled in",
    "road-lerf": "LeRF, filled in",
}


def _ways(found: Mapping[str, Table]) -> str:
    on = [(name, way) for name in NETWORKS for way in WAYS if f"{name}/{way}" in found]
    heads = [f"{NETWORKS[name].split(',')[0]}: {WAYS[way]}" for name, way in on]
    rows = [
        (NAMES[m], *(shown(change(found[f"{name}/{way}"], m)[-1]) for name, way in on))
        for m in NAMES
        if on and m in found["/".join(on[0])]["columns"]
    ]
    return (
        "The change of the response after 10 % of the pixels. MoRF removes the most relevant first: higher is better. "
        "Filled in: ROAD's noisy linear imputation from the surroundings in place of the mean.\n\n"
        + markdown_table(("method", *heads), rows)
    )
