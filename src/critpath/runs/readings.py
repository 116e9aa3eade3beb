"""How the results of each kind of metric are read as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from critpath.evaluation.perturbation import Perturbation
from critpath.evaluation.retraining.curve import roar_area
from critpath.evaluation.summary import FEWEST
from critpath.runs.measures import Group, Lines, Measure, Values, by_image


def measures(known: Iterable[Group]) -> tuple[Measure, ...]:
    """All groups that give methods a number, in their order, but for those of which no number is there."""
    there = (group for group in known if group.kind in READINGS and group.has_numbers)
    return tuple(READINGS[group.kind](group) for group in there)


def _mapped(values: Values, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {method: change(tensor) for method, tensor in values.items()}


def _percent(shares: Iterable[float]) -> tuple[str, ...]:
    return tuple(f"{100 * share:g}%" for share in shares)


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _named(group: Group, title: str) -> str:
    """A title, with the metric's own name where the plan gave it one."""
    return title if group.metric == group.kind else f"{title} ({group.metric})"


def perturbation(group: Group) -> Measure:
    """Change of the response by share removed: the area as published, and divided by the last share."""
    inserted = group.kind == "insertion" or bool(group.options.get("insertion"))
    shares, whole = _floats(group.facts["shares"]), group.kind in ("deletion", "insertion")
    first = "morf" if whole else str(group.options.get("order", "lerf"))
    start, curve = by_image(group, "start"), by_image(group, "curve")
    curves = {method: Perturbation(shares, start[method], curve[method]) for method in curve}
    relevant = "most" if first == "morf" else "least"
    changes = Lines(
        "mean change of the response",
        f"share of units {'put back' if inserted else 'removed'}",
        (0.0, *shares),
        _percent((0.0, *shares)),
        {method: torch.cat([0 * one.start.unsqueeze(1), one.change], dim=1) for method, one in curves.items()},
    )
    columns = {
        "area as published": {method: one.area() for method, one in curves.items()},
        "area / last share": {method: one.normalised_area() for method, one in curves.items()},
        "mean response": {method: one.response_area() for method, one in curves.items()},
    }
    if inserted or whole:
        columns = {name: columns[name] for name in ("mean response", "area as published")}
    return Measure(
        group,
        _named(group, f"{'Insertion' if inserted else 'Deletion' if whole else PERTURBED}, {relevant} relevant first"),
        f"The pixels that the map calls {relevant} relevant are {'put back' if inserted else 'removed'} first, step by "
        "step. The change is the absolute change of the response relative to the response before; the area is that "
        "under its mean curve from share 0 (trapezoid rule).",
        "lower" if group.kind == "deletion" else "higher" if first == "morf" else "lower",
        "image",
        columns,
        (changes,),
        (*_fills(group), *_small(changes)),
    )


def _small(changes: Lines) -> Iterator[str]:
    """Where nothing that is removed matters."""
    largest = max((float(one.nanmean(dim=0).nan_to_num().max()) for one in changes.values.values()), default=0.0)
    if 0 <= largest < SMALL_CHANGE:
        yield (
            f"The largest mean change, whatever the method, is {largest:.2g} of the response: the model hardly looks "
            "at what is removed, so differences between methods mean little."
        )


SMALL_CHANGE = 0.01
"""Share of the response below which a perturbation tells little."""


def _fills(group: Group) -> Iterator[str]:
    """What stands where pixels were, if that is a mean."""
    mean = group.facts.get("mean")
    if mean is None or group.options.get("fill") != "mean":
        return
    values = ", ".join(f"{value:.4g}" for value in (mean if isinstance(mean, list | tuple) else [mean]))
    yield f"Removed pixels become the mean, {values} in the units of the inputs."


PERTURBED = "Pixel perturbation"

SIMILAR = {"spearman_abs": "Spearman of |map|", "spearman": "Spearman", "hog": "HOG", "ssim": "SSIM"}
"""Similarities in words; the first that is there ranks the methods."""


def randomisation(group: Group) -> Measure:
    """Similarity to the original map, stage by stage, the mean over repeats."""
    stages = tuple(str(stage) for stage in group.facts["stages"])
    there = {name for record in group.records.values() for name in record.values}
    chosen = [name for name in group.options["similarities"] if name in there]
    named = {name: word for name, word in SIMILAR.items() if name in chosen} | {
        n: n for n in chosen if n not in SIMILAR
    }
    values = {word: _mapped(by_image(group, name), lambda t: t.mean(dim=2)) for name, word in named.items()}
    mode = str(group.options["mode"])
    smooth = "Smooth parameter randomisation (sMPRT)" if "samples" in group.options else "Parameter randomisation"
    labels = tuple(str(i) for i in range(len(stages)))
    lines = tuple(
        Lines(f"{name} with the original map", f"{mode} stage, the original being 0", _floats(labels), labels, found)
        for name, found in values.items()
    )
    columns = {f"{name}, mean over stages": _mapped(v, lambda t: t[:, 1:].mean(dim=1)) for name, v in values.items()}
    last = {f"{name}, last stage": _mapped(v, lambda t: t[:, -1]) for name, v in values.items()}
    return Measure(
        group,
        _named(group, smooth),
        "Parameters are replaced by random ones stage by stage, from the output to the input, and the map of the same "
        "class is compared with the original one. A map that stays similar does not depend on what was learned there.",
        "lower",
        "image",
        {**columns, **(last if mode == "cascading" else {})},
        lines,
        (
            "Stages: " + ", ".join(f"{i} {stage}" for i, stage in enumerate(stages)) + ".",
            "A low similarity shows that a map depends on the parameters, not that it is right. Maps that do not look "
            "at the model, random ones with a fixed seed and edges, stay at 1 and have to fail this test.",
            *(
                ["SSIM is high between any two maps that are near zero at most pixels, whatever they show."]
                * ("SSIM" in values)
            ),
        ),
    )


def efficient_mprt(group: Group) -> Measure:
    """Rise of the map's complexity from the trained to the random model."""
    original, randomised = by_image(group, "original"), by_image(group, "randomised")
    return Measure(
        group,
        _named(group, "Rise of complexity under randomisation (eMPRT)"),
        "How much more complex (entropy of its histogram) a map becomes when all parameters are random, relative to "
        "the map of the trained model.",
        "higher",
        "image",
        {
            "relative rise of complexity": by_image(group, "value"),
            "entropy of the original map": original,
            "entropy when randomised": _mapped(randomised, lambda t: t.mean(dim=1)),
        },
        notes=("There is no number for an image whose original map has one value everywhere (entropy 0).",),
    )


def f_fidelity(group: Group) -> Measure:
    """What random removals inside and outside of the explanation cost the fine-tuned model."""
    shares = _floats(group.facts["shares"])
    plus, minus = by_image(group, "plus"), by_image(group, "minus")
    axis = ("size of the explanation", shares, _percent(shares))
    return Measure(
        group,
        _named(group, "F-Fidelity"),
        "A model fine-tuned on randomly masked images loses random pixels inside (FFid+) or outside (FFid−) of the "
        "explanation, never more than it was tuned for. The gap is FFid+ less FFid−, the mean over sizes.",
        "higher",
        "image",
        {
            "gap": by_image(group, "gap"),
            "FFid+": _mapped(plus, lambda t: t.mean(dim=1)),
            "FFid−": _mapped(minus, lambda t: t.mean(dim=1)),
        },
        (Lines("FFid+ (higher is better)", *axis, plus), Lines("FFid− (lower is better)", *axis, minus)),
        tuple(_fills(group)),
    )


def retraining(group: Group) -> Measure:
    """Accuracy by share, every seed a retraining of its own."""
    keep = bool(group.options.get("keep"))
    shares = tuple(sorted({float(key.part) for key in group.records if key.method}))
    whole = _accuracies(group, "", (0.0,))[:, 0]
    found = {method: _accuracies(group, method, shares) for method in group.methods}
    places = (*shares, 1.0) if keep else (0.0, *shares)
    ends = {m: torch.cat([t, whole[:, None]] if keep else [whole[:, None], t], dim=1) for m, t in found.items()}
    areas = {m: roar_area(shares, t, whole, keep) for m, t in found.items()}
    scaled = {m: roar_area(shares, t, whole, keep, normalised=True) for m, t in found.items()}
    mean = float(whole.nanmean())
    return Measure(
        group,
        _named(group, "Keep and retrain (KAR)" if keep else "Remove and retrain (ROAR)"),
        f"The pixels that the map calls most relevant are {'kept, all others removed,' if keep else 'removed'} in all "
        "three splits, and a network is trained from nothing; its test accuracy is shown. Each seed is a training of "
        "its own, and intervals are t intervals over seeds: they say nothing about other images.",
        "higher" if keep else "lower",
        "retraining",
        {"area as published": areas, "area / range of shares": scaled},
        (Lines("test accuracy", f"share of pixels {'kept' if keep else 'removed'}", places, _percent(places), ends),),
        (
            f"Accuracy on unmodified images: {mean:.4f} over {int((~whole.isnan()).sum())} retrainings.",
            "What stays learnable may be the shape of what was removed; retraining cannot tell.",
            *_fills(group),
            *_compared(group),
        ),
        few=True,
    )


def _compared(group: Group) -> Iterator[str]:
    """On what the methods are compared, where it is not on everything."""
    left_out = {part: count for part, count in group.facts.get("left_out", {}).items() if count}
    if left_out:
        told = ", ".join(f"{count:,} of the {part} images" for part, count in left_out.items())
        yield (
            "All networks are trained and tested on the images that can be read and of which every method has a map; "
            f"left out: {told}."
        )
    yield from sorted({f"{r.facts['dropped']}." for r in group.records.values() if "dropped" in r.facts})
    if len(group.seeds) < FEWEST:
        yield f"With fewer than {FEWEST} seeds differences have no interval, and no method is called better."


def _accuracies(group: Group, method: str, shares: Sequence[float]) -> Tensor:
    """[seeds, shares], NaN where a training is not there."""
    found = torch.full((len(group.seeds), len(shares)), torch.nan, dtype=torch.float64)
    for key, record in group.records.items():
        if key.method == method and float(key.part) in shares:
            found[group.seeds.index(key.seed), shares.index(float(key.part))] = record.values["accuracy"].double()
    return found


def feature_selection(group: Group) -> Measure:
    """Accuracy of a linear classifier on the k most important channels, over label sets."""
    counts = tuple(int(count) for count in group.facts["counts"])
    found = {key.method: record.values["accuracy"].double() for key, record in group.records.items()}
    return Measure(
        group,
        _named(group, "Feature selection"),
        "A linear classifier is trained on the k channels that a method calls most important for a set of labels, and "
        "tested on other images; the mean over k is what methods are ranked by.",
        "higher",
        "label set",
        {"mean accuracy": _mapped(found, lambda t: t.mean(dim=1))},
        (Lines("test accuracy", "channels k", _floats(counts), tuple(map(str, counts)), found),),
        ("Label sets of one data set share images: intervals over new images would be wider.", *_few_labels(group)),
    )


def _few_labels(group: Group) -> Iterator[str]:
    if few := group.facts.get("left_out_labels"):
        yield f"Labels with fewer than two images that every method could use are left out: {', '.join(map(str, few))}."
    there = len(group.facts.get("sets", ()))
    if 0 < there < int(group.options.get("sets", there)):
        yield f"The labels give {there:,} sets, fewer than were asked for."


READINGS: dict[str, Callable[[Group], Measure]] = {
    "pixel_perturbation": perturbation,
    "deletion": perturbation,
    "insertion": perturbation,
    "parameter_randomisation": randomisation,
    "smooth_mprt": randomisation,
    "efficient_mprt": efficient_mprt,
    "roar": retraining,
    "f_fidelity": f_fidelity,
    "feature_selection": feature_selection,
}
"""By the metric's kind."""
