"""Figure 3: what networks restricted to the paths of each method want to see, and the top neuron of each path."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import critpath as cp
from critpath.analysis.cuts import pathways_at
from critpath.analysis.sizes import Ranked
from critpath.decoding import Decoded, decode, top_neuron
from critpath.errors import NumericalError
from critpath.pathway import SearchWarning
from critpath.response import Response, respond
from critpath.targets import class_scores
from studies.pathways.plan import RANKED, SEARCHED
from studies.pathways.run import WORK, Bench

SPARSITY = 0.9
STEPS = 256
PRESETS: Mapping[str, dict[str, Any]] = {"paper": {"preset": "khakzar2021"}, "today": {}}
"""Pixels without transforms, as in the paper; and Fourier pixels, decorrelated colours, transforms."""


def decoded(bench: Bench, number: int) -> dict[str, Any]:
    """Decode the paths of every finder, the whole network and the active neurons; pictures go beside the numbers."""
    response = respond(bench.net, bench.x(number))
    found = _found(response, bench)
    paths = {"whole": _all(response), "active": _active(response), **{n: one.pathway for n, one in found.items()}}
    top = {name: _top_channel(response, one) for name, one in found.items()}
    folder = WORK / bench.subject.name / "pictures" / f"{number:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    seen = {preset: _paths(bench, response, paths, preset, folder) for preset in PRESETS}
    return {
        "seen": seen,
        "top_channels": top,
        "tops": _tops(bench, sorted({c for c in top.values() if c is not None}), folder),
    }


def _found(response: Response, bench: Bench) -> dict[str, Ranked]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)
        finders = {name: bench.subject.finders[name] for name in (*RANKED, *SEARCHED)}
        return {name: pathways_at(response, method, (SPARSITY,), **o)[0] for name, (method, o) in finders.items()}


def _all(response: Response) -> cp.Pathway:
    return cp.Pathway(response.run.values().map(lambda a: torch.ones_like(a, dtype=torch.bool)))


def _active(response: Response) -> cp.Pathway:
    return cp.Pathway(response.run.values().map(lambda a: a > 0))


def _paths(
    bench: Bench, response: Response, paths: Mapping[str, cp.Pathway], preset: str, folder: Path
) -> dict[str, Any]:
    """One picture for each path; what the whole, unrestricted network makes of it. None where there is no picture."""
    target = int(class_scores(response.run).argmax(dim=1)[0])
    return {
        name: _picture(bench, path, target, preset, folder / f"{preset}-{name}.png") for name, path in paths.items()
    }


def _picture(bench: Bench, path: cp.Pathway, target: int, preset: str, file: Path) -> dict[str, Any] | None:
    try:
        made = decode(bench.net, path, target, normalise=bench.loaded.preprocess, **{"steps": STEPS, **PRESETS[preset]})
    except NumericalError:  # nothing in the path changes with the picture
        return None
    made.pil().save(file)
    return {"value": float(made.value[0]), "rank_in_whole_network": _rank(bench, made, target)}


def _rank(bench: Bench, made: Decoded, target: int) -> int:
    """The rank, from 1, of the class among all that the unrestricted network gives the picture."""
    mean = torch.as_tensor(bench.loaded.preprocess.mean).reshape(1, -1, 1, 1)  # type: ignore[union-attr]
    std = torch.as_tensor(bench.loaded.preprocess.std).reshape(1, -1, 1, 1)  # type: ignore[union-attr]
    x = torch.nn.functional.interpolate(made.images, size=bench.x(0).shape[-2:], mode="bilinear", align_corners=False)
    scores = class_scores(bench.net.run((x - mean) / std, graph=False)).detach()
    return 1 + int((scores > scores[:, target : target + 1]).sum())


def _top_channel(response: Response, one: Ranked) -> int | None:
    """The channel of the path's strongest neuron in the last site that has positions, as in the paper."""
    site = [s.name for s in response.space if len(s.shape) == 3][-1]
    if one.ranking is None or not bool(one.pathway.keep[site].any()):
        return None
    return int(top_neuron(one.ranking, one.pathway, site=site, channel=True).channel)  # type: ignore[attr-defined]


def _tops(bench: Bench, channels: Sequence[int], folder: Path) -> dict[str, Any]:
    """A picture of each channel of the last site with positions, unless it stays silent."""
    site = [s.name for s in bench.net.sites(bench.x(0)) if len(s.shape) == 3][-1]
    for channel in channels:
        with suppress(NumericalError):
            made = decode(bench.net, None, cp.Channel(site, channel), normalise=bench.loaded.preprocess, steps=STEPS)
            made.save(folder / f"channel-{channel}.png")
    return {"site": site, "channels": list(channels)}
