"""The page of the study, from its kept results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from critpath.zoo import imagenet_classes
from studies.conductance_images.drawings import drawings
from studies.conductance_images.fold import filter_parts, kept_of
from studies.conductance_images.published import AGGREGATE, RANDOM, VESSELS
from studies.conductance_images.selecting import SHUFFLED
from studies.conductance_images.subjects import ALL, OUTPUTS
from studies.conductance_images.verdicts import claims_of
from studies.conductance_images.words import FOUR, NAMES, ROWS, percent, published_protocol, signed, stages_of
from studies.study import Claim, shown
from studies.tables import markdown_table

TITLE = "Conductance on images: which filters, and what they see"

HEAD = """The conductance paper (C, Dhamdhere, Sundararajan and Yan 2018, section 5) chooses filters of GoogLeNet by
their importance for the images of five labels, trains a linear classifier on the mean activation of the 5 to 20 best,
and finds that conductance chooses better than activation, gradient × activation and influence. It did so on four sets
of labels with about 50 images a label, 82 to 84 of a set held out. It shows, too, filters that act across classes:
one for glare, one for red, one that cheeseburgers share with bagels and one that meerkats share with titis.

**Here**: many sets of five labels, differences on the same sets and images, random filters as a control, and all that
the paper leaves open tried both ways. CIFAR-10's classes and test images for its own ResNets; for ResNet-18 and
SqueezeNet 1.1 photographs whose labels are groups of ImageNet's classes, those below a synset of WordNet 3.0 (bird,
furniture, …; [all groups](../studies/conductance_images/groups.json)), because there is one photograph of each class.
So a label is a broader thing than the paper's; the response is still the logit of the predicted class. The photographs
are probably training images. GoogLeNet and ImageNet's validation images are not at hand: that is what was cut.

**All sites** are all activations but SqueezeNet's last, which is its classes; **block outputs** are what comes nearest
to the paper's mixed3a to mixed5b. Filters of all these sites compete, as the paper seems to have it.
A claim about differences has a part for every network and both choices of sites: true where the interval lies above 0,
false where it lies below. [One rule](studies.md) makes one verdict of the parts.
"""

LIMITS = """Not GoogLeNet, whose later modules are wide and whose modules are not residual. Accuracies are of label sets
drawn from the same images, and sets overlap: an interval says what other sets and other halves of these images would
give, not other images. Groups of classes are harder to tell apart than classes: the row “F ratio”, which chooses
filters one by one by the labels of the training images, says how much is easily had. Water vessels and dogs as the
paper has them need 50 images of a class.
What is red and what is glare are simple formulas of pixels, not what a person would call so, and a photograph
with hardly any red counts as much as one that is full of it. Maps go together with bright pixels anyway, since equation
2 multiplies with the input, hence the comparison with other filters. Photographs cannot be shown here: maps stand
alone. No correction is made for several comparisons.
"""


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of what ``critpath show --json`` printed."""
    return kept_of(run)


def claims(results: Mapping[str, Any]) -> list[Claim]:
    """With verdicts."""
    return claims_of(results)


def sections(results: Mapping[str, Any]) -> Iterable[str]:
    """Tables and figures."""
    networks = published_protocol(results)
    if networks:
        yield _table_one(networks)
        yield _places(networks)
        yield _open(networks)
        yield _line(results)
    if found := filter_parts(results):
        yield _filters(found)


def _table_one(networks: Mapping[str, Any]) -> str:
    head = ["filters chosen by", *(f"C, {name}" for name in ("vessels", "random labels", "4 sets together"))]
    head += [f"{NAMES[name]}, {ALL}" for name in networks]
    rows = [[label, *_published(row), *(_four(part, row) for part in networks.values())] for row, label in ROWS.items()]
    said = "; ".join(
        f"{NAMES[name]}: {part['images']:,} images of {len(part['labels'])} labels, {_sets(part)} sets of 5"
        for name, part in networks.items()
    )
    return (
        f"## Table 1\n\nAccuracy in percent with 5 / 10 / 15 / 20 filters. {said}. The figure has the 95 % intervals "
        f"over label sets.\n\n{markdown_table(head, rows)}\n"
        "![Accuracy by the number of filters](images/study-conductance-images-selection.svg)\n"
    )


def _sets(part: Mapping[str, Any]) -> int:
    n: int = part["variants"][ALL]["mean"]["conductance"]["n"]
    return n


def _published(row: str) -> list[str]:
    return [_slashed(table[row]) if row in table else "" for table in (VESSELS, RANDOM, AGGREGATE)]


def _four(part: Mapping[str, Any], row: str) -> str:
    return _slashed([100 * one["mean"] for one in part["variants"][ALL]["accuracy"][row]])


def _slashed(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.0f}" for value in values)


def _places(networks: Mapping[str, Any]) -> str:
    parts = [
        "## Where the filters lie\n\nShare of the 20 chosen filters in each stage. A site's conductances add up to the "
        "same total wherever every route passes it, however many filters it has, so that those of narrow, early sites "
        "are large; and a filter of an early site tells little about the label. Influence, a mean gradient, has no "
        "such total.\n"
    ]
    for name, part in networks.items():
        stages = stages_of(name)
        head = [NAMES[name], *(f"{stage} ({part['filters'][stage]} filters)" for stage in stages)]
        shares = part["variants"][ALL]["stages"]
        rows = [[ROWS[row], *(percent(shares[row][stage]) for stage in stages)] for row in (*FOUR, "random")]
        parts.append(markdown_table(head, rows))
    parts.append(
        "![Share of the chosen filters by stage](images/study-conductance-images-stages.svg)\n\n"
        f"Each method less its control, as many filters of the same sites drawn at random (“{SHUFFLED.format('…')}”), "
        "mean over 5 to 20 filters:\n"
    )
    parts.append(_controls(networks))
    return "\n".join(parts)


def _controls(networks: Mapping[str, Any]) -> str:
    head = ["", *(f"{NAMES[name]}, {where}" for name in networks for where in (ALL, OUTPUTS))]
    rows = [
        [ROWS[row], *(signed(p["variants"][c]["less_control"][row]) for p in networks.values() for c in (ALL, OUTPUTS))]
        for row in FOUR
    ]
    return markdown_table(head, rows)


def _open(networks: Mapping[str, Any]) -> str:
    """Accuracies of what the paper leaves open."""
    parts = [
        "## What the paper leaves open\n\nMean accuracy over 5, 10, 15 and 20 filters, in percent, and what "
        "conductance has more than influence. “all sites” is the protocol taken for the paper's: importances summed "
        "with their sign, the largest mean over labels, mean activations, standardised, logistic regression with a "
        "penalty. Stages: candidates of that stage only. “absolute”: the largest absolute mean. “less the other "
        "labels”: a filter's mean for a label less its mean over all labels of the set. “by the mean of the site”: "
        "scores divided by their mean size at the site, so that narrow sites have no advantage. “largest activation”: "
        "in place of the mean over positions. “labels alike”: five of CIFAR-10's six animals, or five kinds of dog.\n"
    ]
    for name, part in networks.items():
        rows = [_variant(variant, found) for variant, found in ordered(name, part["variants"])]
        parts.append(markdown_table([NAMES[name], "sets", *ROWS.values(), "conductance less influence"], rows))
    return "\n".join(parts)


def ordered(network: str, variants: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The published protocol first, then stages in the order of the network, then other protocols."""
    first = (ALL, OUTPUTS, *stages_of(network))
    names = [*(name for name in first if name in variants), *(name for name in variants if name not in first)]
    return [(name, variants[name]) for name in names]


def _variant(name: str, found: Mapping[str, Any]) -> list[str]:
    means = found["mean"]
    values = [f"{100 * means[row]['mean']:.0f}" for row in ROWS]
    return [name, str(means["conductance"]["n"]), *values, signed(found["less"]["influence"])]


_KINDS = {
    "zero": "from the mean colour, predicted class",
    "black": "from black, predicted class",
    "label": "from the mean colour, the image's label",
}


def _line(results: Mapping[str, Any]) -> str:
    """Other baselines and responses, and the number of points."""
    parts = results["selection"]
    head = ["line and response", "network", "conductance", "less activations", "less influence", "less random filters"]
    rows = []
    for name, part in parts.items():
        network, kind = name.split(".")
        found = part["variants"][ALL]
        less = [signed(found["less"][row]) for row in ("activation", "influence", "random")]
        rows.append([_KINDS[kind], NAMES[network], shown(found["mean"]["conductance"]), *less])
    return (
        "## Baseline, response, points\n\nMean accuracy over 5 to 20 filters of all sites.\n\n"
        f"{markdown_table(head, rows)}\n" + "\n".join(_points(*one) for one in results["points"].items())
    )


def _points(network: str, found: Mapping[str, Any]) -> str:
    said = ", ".join(
        f"{method} {shown(found['error'][method], percent=True)} (of the 20 largest filters "
        f"{shown(found['same'][method], percent=True)} are the same)"
        for method in found["error"]
    )
    n = found["error"]["conductance"]["n"]
    return (
        f"\n{NAMES[network]}, {found['points']} points against {found['many']}, relative L1 error over filters, {n} "
        f"images: {said}.\n"
    )


def _filters(found: Mapping[str, Any]) -> str:
    parts = ["## Filters that act across classes\n\nResNet-18, one photograph of each class.\n"]
    head = ["site", "found for", "filter", "correlation of its maps", "of other filters' maps", "difference", "n"]
    rows = [
        [part["site"], of, str(seen["filter"]), shown(seen["own"]), shown(seen["others"]), signed(seen["less"]),
         str(seen["own"]["n"])]
        for part in found.values()
        for of, seen in part["sees"].items()
    ]  # fmt: skip
    parts.append(markdown_table(head, rows))
    names = ", ".join(f"of {next(iter(p['pictures']))}: {_classes(p)}" for p in found.values())
    parts.append(
        "Maps of equation 2, |map| by its 99th percentile, summed over colours, on photographs held out; the "
        f"photographs of the largest conductance of the filter, {names}.\n\n"
        "![Maps of two filters](images/study-conductance-images-filters.jpg)\n\n"
        "![Difference from other filters](images/study-conductance-images-sees.svg)\n"
    )
    parts.append(_sharing(found))
    return "\n".join(parts)


def _classes(part: Mapping[str, Any]) -> str:
    names = imagenet_classes()
    return ", ".join(names[i] for i in next(iter(part["pictures"].values()))["classes"])


def _sharing(found: Mapping[str, Any]) -> str:
    names = imagenet_classes()
    rows = [
        [part["site"], pair, str(unit), percent(below), ", ".join(names[i] for i in best)]
        for part in found.values()
        for pair, row in part["pairs"].items()
        for unit, below, best in zip(row["filters"], row["below"], row["best"], strict=True)
    ]
    head = [
        "site",
        "pair",
        "filter, strong for the first",
        "others below the second",
        "photographs of most conductance",
    ]
    return f"### Figures 3 and 4\n\n{markdown_table(head, rows)}"


def figures(results: Mapping[str, Any]) -> Mapping[str, bytes]:
    """By file name."""
    return dict(drawings(results))
