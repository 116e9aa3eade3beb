"""Made-up contents of a report over a real photograph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from critpath.report import Content, Kept, Prediction, Reach, SiteRow, SparsityLevel, TopUnit

SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
RESPONSE = 11.237512345678901


def photograph() -> NDArray[np.uint8]:
    """A cat, or where scikit-image is not installed, colour gradients with a disc."""
    try:
        import skimage
    except ImportError:
        return _disc()
    path = Path(skimage.__file__).parent / "data" / "chelsea.png"
    return np.asarray(Image.open(path).convert("RGB").crop((75, 0, 375, 300)).resize((224, 224)))


def _disc() -> NDArray[np.uint8]:
    y, x = np.mgrid[:224, :224]
    inside = (x - 112) ** 2 + (y - 100) ** 2 < 60**2
    return np.stack([x, y, 200 * inside], axis=-1).astype(np.uint8)


def gradient_like(picture: NDArray[np.uint8], focus: float, seed: int) -> NDArray[np.float32]:
    """Heavy-tailed noise, stronger on edges and, by ``focus``, around the upper middle."""
    grey = picture.mean(axis=2)
    edges = np.abs(np.gradient(grey)[0]) + np.abs(np.gradient(grey)[1]) + 2
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]] / max(grey.shape)
    near = np.exp(-focus * ((x - 0.45) ** 2 + (y - 0.35) ** 2) * 12)
    noise = np.random.default_rng(seed).exponential(size=grey.shape)
    return np.asarray(edges * near * noise, np.float32)


def levels_over(maps: list[NDArray[np.float32]], lost_from: float = 0.99) -> tuple[SparsityLevel, ...]:
    found = []
    for sparsity, values in zip(SPARSITIES, maps, strict=True):
        reaches = sparsity < lost_from
        share = (1 - sparsity) ** 0.18
        noise = np.random.default_rng(3).normal(0, 0.05, 8)
        random = tuple(RESPONSE * ((1 - sparsity) ** 2.2 + noise * (sparsity > 0)))
        kept = Kept(RESPONSE * share, random, sparsity < 0.97)
        shown = values if reaches else np.zeros_like(values)
        found.append(SparsityLevel(sparsity, min(1.0, sparsity + 3e-4), shown, reaches, kept))
    return tuple(found)


def sites_of(number: int, empty: int = 0) -> tuple[SiteRow, ...]:
    rng = np.random.default_rng(number)
    share = rng.exponential(size=number)
    share /= share.sum()
    rows = []
    for i in range(number):
        stage, block, call = 1 + 4 * i // number, i // 3 % 6, i % 3
        name = "relu#0" if i == 0 else f"layer{stage}.{block}.relu#{call}"
        channels, side = 64 * 2 ** (stage - 1), 112 >> (stage - 1)
        density = 0.0 if i < empty else float(min(1, 0.02 + 0.4 * (i / number) ** 2 * rng.uniform(0.4, 1.6)))
        shape = (channels, side, side)
        rows.append(SiteRow(name, "relu", shape, int(np.prod(shape)), density, share[i], float(rng.uniform(0.2, 0.9))))
    return tuple(rows)


def make_content(number: int = 49, **changes: Any) -> Content:
    picture = photograph()
    maps = [gradient_like(picture, focus, seed) for seed, focus in enumerate((0, 0.4, 0.8, 1.2, 2, 3, 4))]
    content = Content(
        title="Why “tabby cat”? chelsea.png",
        model="torchvision:resnet50, weights IMAGENET1K_V2",
        method="Taylor contributions (NeuronMCT), one ranking over the whole network",
        target="tabby cat",
        response=RESPONSE,
        predictions=(
            Prediction("tabby cat", RESPONSE, 0.6213),
            Prediction("Egyptian cat", 10.51, 0.3001),
            Prediction("tiger cat", 8.9, 0.0602),
            Prediction("lynx, catamount", 6.1, 0.0036),
            Prediction("plastic bag", 1.2, 0.00001),
        ),
        picture=picture,
        plain=maps[0],
        levels=levels_over(maps),
        main_level=3,
        sites=sites_of(number),
        top_neurons=tuple(_unit(f"neuron ({i}, {i + 3}, 7)", picture, 10 + i) for i in range(6)),
        top_channels=tuple(_unit(f"channel {31 * i}", picture, 20 + i) for i in range(6)),
        reach=Reach(0.98, 0.99, 0.99),
        coverage=(("Sites", f"{number} of {number} activation calls"), ("Neurons", "13,522,944")),
        provenance=(
            ("critpath", "0.1.0"),
            ("torch", "2.9.0"),
            ("Seed", "0"),
            ("Time", "2.4 s on one CPU core"),
        ),
        caveats=(
            "That a neuron contributes does not mean that it represents a concept.",
            "Setting neurons to zero takes the network away from the inputs that it was trained on; "
            "a small share kept may come from that.",
        ),
    )
    return replace(content, **changes)


def _unit(name: str, picture: NDArray[np.uint8], seed: int) -> TopUnit:
    return TopUnit(f"layer4.{seed % 3}.relu#2", name, 0.41 / seed, 0.037 / seed, gradient_like(picture, 5, seed))


def make_table_content() -> Content:
    """An input that is no image: thirty features."""
    rng = np.random.default_rng(1)
    maps = [np.asarray(rng.exponential(size=30) ** 2, np.float32) for _ in SPARSITIES]
    units = tuple(TopUnit("1.relu#0", f"neuron {i}", 0.2, 0.1, maps[i]) for i in range(3))
    return make_content(4, picture=None, plain=maps[0], levels=levels_over(maps), top_neurons=units, top_channels=())
