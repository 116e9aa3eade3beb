"""Verdicts on faults of the texts, from published numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studies.study import HOLDS, NOT, Claim, joint

Texts = Mapping[str, Any]


def of_texts(texts: Texts) -> list[Claim]:
    """One for each fault."""
    return [one(texts) for one in (_labels, _copied, _cut, _best, _samples, _examples)]


def _labels(texts: Texts) -> Claim:
    found = texts["labels"]
    greedy, random = (found["off chance"][name] for name in ("GreedyPruning", "Random"))
    return Claim(
        "P, figure 2a",
        "The columns of figure 2a are labelled as they are meant",
        "GreedyPruning 5.26 %, Random 6.68 to 6.80 %",
        f"two independent sets of a tenth have {found['chance']:.3%}; the column called GreedyPruning is off that by "
        f"{100 * greedy:.3f} points at most, the one called Random by {100 * random:.2f}. From the overlap of the two "
        f"(9.74 %) the greedy path then has {found['share of greedy']:.1%} of the neurons",
        NOT if greedy < 1e-4 < random else HOLDS,
        "The two labels are exchanged. With 68.8 % of it dead, such a path holds "
        f"{found['greedy holds of the dead']:.0%} of all dead neurons and {found['greedy holds of the active']:.0%} of "
        "the active ones.",
    )


def _copied(texts: Texts) -> Claim:
    found = texts["copied"]
    rest = min(apart for method, apart in found["largest difference"].items() if method not in found["equal"])
    return Claim(
        "P, figure 6c; P, table 2",
        "NeuronIntGrad's LeRF curve on ImageNet was measured on ImageNet",
        "area 0.010",
        f"all ten numbers equal those of Birdsnap ({', '.join(found['equal'])}); every other method differs by "
        f"{rest:.3f} or more somewhere",
        NOT if found["equal"] else HOLDS,
        "One row was copied. NeuronIntGrad on ImageNet has no published LeRF.",
    )


def _cut(texts: Texts) -> Claim:
    found = texts["truncated"]
    images = texts["best"]["lerf"]["ImageNet"]
    return Claim(
        "P, table 2",
        "Table 2 is rounded to three digits",
        "GradCAM 0.009, NeuronMCT 0.010 on ImageNet",
        f"cutting digits off gives {found['cut fits']} of {found['cells']} cells, rounding {found['rounding fits']}; "
        f"exactly GradCAM has {images['GradCAM']:.4f} and NeuronMCT {images['NeuronMCT']:.4f}",
        NOT if found["cut fits"] > found["rounding fits"] else HOLDS,
        f"{len(found['differ'])} cells are other than rounded ones, by a thousandth, which for the best methods is a "
        "tenth of their value.",
        asked_here=True,
    )


def _best(texts: Texts) -> Claim:
    lerf, roar, areas = texts["best"]["lerf"]["ImageNet"], texts["best"]["roar, Birdsnap"], texts["areas"]
    pairs = [(rows[f"Neuron{of}"], rows[f"Input{of}"]) for rows in areas.values() for of in ("MCT", "IntGrad")]
    return Claim(
        "P, table 2; P, figure 6c",
        "By the published numbers, the pathway methods perform best in all experiments",
        "caption of figure 6",
        f"published areas: LeRF on ImageNet GradCAM {lerf['GradCAM']:.4f}, NeuronMCT {lerf['NeuronMCT']:.4f}; ROAR on "
        f"Birdsnap (released with the figures' data) GradCAM {roar['GradCAM']:.4f}, NeuronIntGrad "
        f"{roar['NeuronIntGrad']:.4f}, NeuronMCT {roar['NeuronMCT']:.4f}",
        NOT if lerf["GradCAM"] < lerf["NeuronMCT"] or roar["GradCAM"] < roar["NeuronIntGrad"] else HOLDS,
        "By the paper's own numbers: one experiment in which GradCAM is better is enough. The pathway methods have the "
        f"smaller area than their counterparts on inputs (InputMCT, InputIntGrad) in {sum(a < b for a, b in pairs)} of "
        f"{len(pairs)} published pairs under LeRF.",
    )


def _samples(texts: Texts) -> Claim:
    found = texts["samples"]
    return Claim(
        "C, table 2",
        "The printed accuracies of table 2 are of 20 % of 2831 questions, 566",
        "566",
        f"{found['fit stated']} of {found['cells']} accuracies are a whole number of 566; all {found['fit half']} are "
        f"of {found['half']}, half of 2831, and of no other number do as many (within 50 of it at most "
        f"{found['fit of neighbours']})",
        NOT if found["fit half"] > found["fit stated"] else HOLDS,
        "The test set was half of the questions. A standard error at 90 % is then "
        f"{found['standard error at 90 %']:.1f} points; conductance leads the second best by "
        f"{', '.join(f'{lead:.1f}' for lead in found['lead of conductance'])} "
        "points with 5, 10, 15 and 20 features.",
    )


def _examples(texts: Texts) -> Claim:
    found = texts["examples"]
    larger, smaller = found["saturation, max"], found["saturation, min"]
    under, over = found["overshoot, 1 - ε"], found["overshoot, 1 + ε"]
    key, eps, roots = "gradient x activation", found["ε"], found["roots"]
    printed = [_near(larger[key], 0), _near(under[key], 1 - eps), _near(roots["hidden integral"], 2 / 3)]
    mended = [
        _near(smaller[key], 0) and _near(smaller["conductance"], 1),
        _near(over[key], 1 + eps) and _near(over["conductance"], eps),
        _near(roots["conductance"], 1 / 2),
    ]
    return Claim(
        "C, section 3",
        "The worked examples give what the text says",
        "saturation: gradient x activation 0; overshoot: gradient 1 at 1 - ε; theorem 2: 2/3",
        f"saturation with max as printed: {larger[key]:.2g}, with min: {smaller[key]:.2g}; overshoot at 1 - ε as "
        f"printed: {under[key]:.2g}, at 1 + ε: {over[key]:.2g} (ε = {eps}); theorem 2: "
        f"{roots['hidden integral']:.3f} for the hidden integral, {roots['conductance']:.3f} by conductance",
        joint([*printed, *mended]),
        f"As printed, {sum(printed)} of 3 do. With min for max, 1 + ε for 1 - ε and half of the factor, {sum(mended)} "
        "of 3 show what they are there for: conductance is 1, ε and 1/2.",
    )


def _near(value: float, number: float) -> bool:
    return abs(value - number) < 0.01
