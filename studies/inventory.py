"""Every table and figure of the three papers: what it shows, which study is to measure it, and what is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass

PAPERS = {
    "P": "P: Neural Response Interpretation through the Lens of Critical Pathways",
    "PG": "PG: Improving Feature Attribution through Input-specific Network Pruning",
    "C": "C: How Important Is a Neuron?",
}
"""By the letters that sources begin with."""

_SOURCE = re.compile(
    r"(?P<paper>PG|P|C), (?:(?P<kind>figure|table|algorithm|proposition|equation) (?P<number>\d+)"
    r"(?P<parts>[a-z](?:, ?[a-z]|-[a-z])*)?|(?P<section>section [\d.]+|appendix [A-Z\d.]+|poster.*|released code.*))"
)


@dataclass(frozen=True)
class Item:
    """A table, a figure, or a part of one, or a statement in the text that a study is about.

    ``study`` is where it is measured, "" where nowhere; ``how`` says on what, or what it would take. ``looked``: it
    shows pictures to be looked at, whose counterpart is a figure without a verdict.
    """

    source: str
    shows: str
    study: str
    how: str = ""
    looked: bool = False

    @property
    def paper(self) -> str:
        return self.source.partition(",")[0]


_BIRDSNAP = (
    "Not measured. It takes Birdsnap (PG: 45,653 photographs of 500 birds), which is not at hand, and a ResNet-50 "
    "trained on it."
)
_VGG = "VGG-16's published convolutions are at hand without a head, so there is no class to explain."

INVENTORY = (
    Item("P, figure 1", "Dead neurons on the paths of six methods, VGG-16, at 90 and 99 %", "pathways"),
    Item("P, figure 2a", "Overlap of the paths over the whole network at 90 %", "pathways"),
    Item("P, figure 2b", "Overlap with NeuronIntGrad, layer by layer", "pathways"),
    Item("P, figure 3a", "What the paths decode to", "pathways"),
    Item("P, figure 3b", "What the top neuron of each path decodes to", "pathways"),
    Item("P, figure 4", "Gradients of the paths at growing sparsity, VGG-16", "sanity", looked=True),
    Item("P, figure 5", "Maps of seven methods beside each other, VGG-16", "sanity", _VGG, looked=True),
    Item("P, figure 6a", "LeRF on CIFAR-10, ResNet-8", "perturbation"),
    Item("P, figure 6b", "LeRF on Birdsnap, ResNet-50", "", _BIRDSNAP),
    Item("P, figure 6c", "LeRF on ImageNet, ResNet-50", "perturbation"),
    Item("P, figure 6d", "ROAR on CIFAR-10, ResNet-8", "roar"),
    Item("P, figure 7", "Similarity of maps while ResNet-50 is randomised, 18 stages", "sanity"),
    Item("P, figure 8", "Dead neurons on the paths at 80 %", "pathways"),
    Item("P, figure 9", "Overlap of the paths over the whole network at other sparsities", "pathways"),
    Item("P, figure 10", "Overlap with NeuronIntGrad by layer at other sparsities", "pathways"),
    Item("P, figure 11", "More gradients of the paths at growing sparsity", "sanity", looked=True),
    Item("P, figure 12", "Maps of seven methods beside each other, ResNet-50", "sanity", looked=True),
    Item("P, figure 13", "More maps of seven methods, VGG-16", "sanity", _VGG, looked=True),
    Item("P, table 1", "ROAR on CIFAR-10: areas under the accuracies of seven methods", "roar"),
    Item("P, table 2", "LeRF on CIFAR-10, Birdsnap and ImageNet: areas of seven methods", "perturbation"),
    Item("P, poster: dead neurons", "Shares of dead neurons at 90 % as numbers", "pathways"),
    Item("P, poster: Jaccard", "Overlaps at 90 % as numbers", "pathways"),
    Item("P, poster: decoding", "Paths and top neurons decoded", "pathways"),
    Item("P, poster: gradients", "Pathway gradients at growing sparsity", "sanity", looked=True),
    Item("PG, figure 1", "Maps of the methods beside each other, ResNet-50", "sanity", looked=True),
    Item("PG, figure 2a", "Sparsity against the change of the output; 15 % change at a sparsity of 70 %", "prunegrad"),
    Item("PG, figure 2b", "Maps at growing sparsity", "prunegrad"),
    Item("PG, figure 3a", "Spearman of signed maps while ResNet-50 is randomised", "sanity"),
    Item("PG, figure 3b", "Spearman of absolute maps while ResNet-50 is randomised", "sanity"),
    Item("PG, figure 3c", "Maps before and after randomisation", "sanity", looked=True),
    Item("PG, figure 4", "LeRF on CIFAR-10 and ImageNet, and on Birdsnap", "perturbation"),
    Item("PG, figure 5a", "ROAR on CIFAR-10, ResNet-8", "roar"),
    Item("PG, figure 5b", "ROAR on Birdsnap, ResNet-50", "", _BIRDSNAP),
    Item(
        "PG, figure 5c",
        "Photographs whose top half of pixels was removed",
        "",
        "No picture: the photographs are not part of this project. `critpath.evaluation.remove` makes them of any.",
        looked=True,
    ),
    Item("PG, figure 6", "PruneGrad-Mid at different layers of ResNet-50", "prunegrad"),
    Item("PG, figure 7", "ROAR by sparsity, and of adversarial changes of pruned networks", "prunegrad"),
    Item("C, figure 1", "A filter that finds glare in photographs of many classes", "conductance_images"),
    Item("C, figure 2", "A filter that finds red in photographs of many classes", "conductance_images"),
    Item("C, figure 3", "A filter shared by cheeseburger and bagel", "conductance_images"),
    Item("C, figure 4", "A filter shared by meerkat and titi", "conductance_images"),
    Item("C, figure 5", "Sentences with a high conductance of the filters behind “not good”", "conductance_text"),
    Item("C, figure 6", "Sentences with a high conductance of the filters behind “not bad”", "conductance_text"),
    Item("C, table 1", "Accuracy from 5 to 20 filters that four methods choose, images", "conductance_images"),
    Item("C, table 2", "Accuracy from 5 to 20 filters that four methods choose, questions", "conductance_text"),
)
"""In the order of the papers."""

TEXT = (
    Item("P, section 2.2", "What greedy pruning and DGR find", "pathways"),
    Item("P, section 2.4", "Paths of 99 % and of 90 %", "pathways"),
    Item("P, released code: greedy", "The size of its greedy path", "pathways"),
    Item("P, proposition 4", "The network with all other neurons frozen is locally linear", "faults"),
    Item("C, section 3", "Worked examples of saturation, overshoot and theorem 2", "faults"),
    Item("C, section 5.1", "Filters that act across classes", "conductance_images"),
    Item("C, section 6.1", "Filters behind negation", "conductance_text"),
)
"""Statements that are in no table or figure."""


def covers(source: str, item: str) -> bool:
    """Whether a claim's source names an item or a part of it, or the whole that the item is a part of.

    "P, figure 2" covers "P, figure 2a", and "PG, figure 3a, b" covers "PG, figure 3a".
    """
    one, other = _SOURCE.fullmatch(source), _SOURCE.fullmatch(item)
    if one is None or other is None or one["section"] or other["section"]:
        return source == item
    if (one["paper"], one["kind"], one["number"]) != (other["paper"], other["kind"], other["number"]):
        return False
    mine, its = letters(one["parts"]), letters(other["parts"])
    return not mine or not its or bool(mine & its)


def letters(parts: str | None) -> set[str]:
    """The parts of a figure: {"a", "b", "c"} of "a-c" or "a, b, c"."""
    found = set(re.findall("[a-z]", parts or ""))
    for first, last in re.findall("([a-z])-([a-z])", parts or ""):
        found |= {chr(code) for code in range(ord(first), ord(last) + 1)}
    return found
