"""Made-up contents of the page that compares finders."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from report_contents import photograph

from critpath.report import (
    ComparedLevel,
    ComparisonContent,
    Curves,
    DecodedImage,
    DecodedPicture,
    Estimate,
    Finder,
    FinderCurve,
    FinderRow,
    Pair,
    Photograph,
    SiteOverlap,
)

FINDERS = ("taylor", "intgrad", "greedy", "dgr", "random", "magnitude")
SIZES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
QUALITY = {"taylor": 1.2, "intgrad": 1.4, "greedy": 0.8, "dgr": 2.0, "random": 9.0, "magnitude": 4.0}
DEAD = {"greedy": 0.08, "dgr": 0.43, "random": 0.637}


def estimate(value: float, images: int, spread: float = 0.03) -> Estimate:
    return Estimate(value) if images == 1 else Estimate(value, value - spread, value + 1.5 * spread)


def make_comparison(
    images: int = 4, sites: int = 33, finders: tuple[str, ...] = FINDERS, **changes: Any
) -> ComparisonContent:
    rng = np.random.default_rng(images + sites)
    picture = photograph()
    shown = min(images, 12)
    content = ComparisonContent(
        title="Pathways of four photographs",
        model="torchvision:squeezenet1_1, weights IMAGENET1K_V1",
        target="logit of the predicted class of each image",
        images=images,
        photographs=tuple(
            Photograph(f"photograph-{i}.jpg", "tabby cat", 0.61 / (1 + i), "tabby cat", picture) for i in range(shown)
        ),
        finders=tuple(_finder(name, i) for i, name in enumerate(finders)),
        base_dead=estimate(0.6412, images, 0.01),
        levels=tuple(_level(sparsity, images, finders) for sparsity in (0.8, 0.9)),
        main_level=1,
        overlap=_overlap(images, len(finders)),
        sites=tuple(f"_blocks.{i}._swish#0" for i in range(sites)),
        site_overlap=tuple(
            SiteOverlap(name, tuple(float(v) for v in rng.uniform(0.05, 0.9 / (1 + i), sites)), (0.0515,) * sites)
            for i, name in enumerate(finders[1:])
        ),
        curves=(_curves(images, finders),),
        decoded=(
            DecodedImage(
                "photograph-0.jpg",
                "logit of tabby cat",
                tuple(
                    DecodedPicture(name, 20.0 - i, np.roll(picture, 30 * i, axis=1)[:128, :128])
                    for i, name in enumerate(("whole network", "all active neurons", *finders))
                ),
            ),
        ),
        caveats=("Zero is not what the network was trained on.", "Four images are few."),
        provenance=(("Seed", "0"), ("Versions", "critpath 0.1.0, torch 2.9.0"), ("Made", "in 93 s")),
    )
    return replace(content, **changes)


def _finder(name: str, index: int) -> Finder:
    settings = {"dgr": "200 iterations", "greedy": "5% of the neurons a round"}.get(name, "")
    return Finder(name, name in ("random", "magnitude"), settings, 0.06 * (1 + index) ** 3, (1.0 + index) ** 3)


def _level(sparsity: float, images: int, finders: tuple[str, ...]) -> ComparedLevel:
    def row(name: str) -> FinderRow:
        stopped = ("photograph-1.jpg: stalled at 15% of the neurons, all of them dead",) if name == "greedy" else ()
        return FinderRow(
            finder=name,
            realised=Estimate(sparsity, sparsity, sparsity),
            dead=estimate(DEAD.get(name, 0.0), images, 0.01 if name in DEAD else 0.0),
            class_kept=0 if name == "random" else images - 1,
            class_known=images,
            connected=estimate(0.9 - QUALITY[name] / 20, images) if name in QUALITY else Estimate(math.nan),
            outside=Estimate(math.nan if sparsity < 0.9 else 0.02),
            alone=estimate(_kept(name, 1 - sparsity), images),
            stopped=stopped,
        )

    return ComparedLevel(sparsity, tuple(row(name) for name in finders))


def _kept(name: str, size: float) -> float:
    return size ** (QUALITY.get(name, 3.0) / 4)


def _overlap(images: int, count: int) -> tuple[tuple[Pair, ...], ...]:
    def pair(i: int, j: int) -> Pair:
        value = 1.0 if i == j else 0.93 / (1 + 0.8 * abs(i - j) + 0.2 * min(i, j))
        return Pair(estimate(value, images), 0.0526, 0.1)

    return tuple(tuple(pair(i, j) for j in range(count)) for i in range(count))


def _curves(images: int, finders: tuple[str, ...]) -> Curves:
    def curve(name: str) -> FinderCurve:
        kept = tuple(estimate(_kept(name, size), images, 0.04) for size in SIZES)
        lost = tuple(estimate(1 - size ** (0.2 * QUALITY.get(name, 3.0)), images, 0.04) for size in SIZES)
        return FinderCurve(name, kept, lost, estimate(0.4, images), estimate(0.3, images))

    return Curves("zero", SIZES, tuple(curve(name) for name in finders))
