"""The study's program: a part is one measurement on some images of one network, or the arithmetic of the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from studies.faults import maps, paths, sanity, texts
from studies.faults.subjects import Subject, subject
from studies.plain import plain

TEXTS = "texts"
PHOTOGRAPHS = 4
IMAGES = 20
"""Images of a part: photographs, and those of CIFAR-10."""


def parts(*, images: Mapping[str, int], seed: int) -> list[str]:
    """``images`` says how many there are for each measurement and network: {"integrals.resnet20": 20}."""
    names = [f"{key}.{number:03d}" for key, count in images.items() for number in range(-(-count // _size(key)))]
    return [TEXTS, *names]


def run(part: str, *, images: Mapping[str, int], seed: int) -> dict[str, Any]:
    """One part: numbers for each image, by fault and what was measured."""
    if part == TEXTS:
        return dict(plain(_texts(), 8))
    key, _, number = part.rpartition(".")
    measure, _, network = key.partition(".")
    start = int(number) * _size(key)
    chosen = subject(network, slice(start, min(start + _size(key), images[key])), seed)
    return dict(plain(MEASURES[measure](chosen, network)))


def _size(key: str) -> int:
    return IMAGES if key.partition(".")[2] in ("resnet8", "resnet20") else PHOTOGRAPHS


def _texts() -> dict[str, Any]:
    functions = (texts.labels, texts.areas, texts.copied, texts.truncated, texts.best, texts.samples, texts.examples)
    return {function.__name__: function() for function in functions}


def _of_paths(name: str) -> Callable[[Subject, str], dict[str, Any]]:
    return lambda chosen, _: paths.measured(chosen, paths.PARTS[name]) | {"sites": paths.shares_of_sites(chosen)}


MEASURES: dict[str, Callable[[Subject, str], dict[str, Any]]] = {
    **{name: _of_paths(name) for name in paths.PARTS},
    "maps": lambda chosen, _: maps.measured(chosen),
    "summed": lambda chosen, _: maps.summed(chosen),
    "sanity": lambda chosen, network: sanity.measured(chosen, sanity.STAGES[network]),
}
