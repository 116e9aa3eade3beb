"""Runs the study, photograph by photograph: a unit of work is one file, and what is there is not done again."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import critpath as cp
from critpath.analysis import CURVE, compare_finders, dead_share, linear_radius
from critpath.audit import oscillating_greedy
from critpath.files import write_whole
from critpath.pathway import SearchWarning
from critpath.response import respond
from critpath.selection import find_in_response
from critpath.zoo import LoadedModel
from studies.pathways.plan import RANKED, SEARCHED, SIZES, SPARSITIES, Subject, photographs, picture

WORK = Path(__file__).parent / "work"
MEANS_OVER = 50
"""Photographs over which mean activations are taken, the last of the 1000: none of them is examined."""


@dataclass(frozen=True)
class Bench:
    """A network at hand."""

    subject: Subject
    loaded: LoadedModel

    @cached_property
    def net(self) -> cp.Network:
        return cp.Network(self.loaded.model)

    @cached_property
    def means(self) -> cp.NeuronValues:
        """The mean activations, which neurons are set to in mean ablation."""
        return cp.mean_activations(self.net, (self.x(-1 - i) for i in range(MEANS_OVER)))

    def x(self, number: int) -> Tensor:
        return picture(self.loaded, photographs()[number])


def ranked(bench: Bench, number: int) -> dict[str, Any]:
    """Rankings alone, which are quick: many photographs."""
    return _compared(bench, number, RANKED)


def searched(bench: Bench, number: int) -> dict[str, Any]:
    """Rankings and searches on the same photographs."""
    return _compared(bench, number, (*RANKED, *SEARCHED))


def connected(bench: Bench, number: int) -> dict[str, Any]:
    """Plain ranking beside selection that keeps the pathway connected."""
    return _compared(bench, number, ("taylor", "taylor_connected"))


def released(bench: Bench, number: int) -> dict[str, Any]:
    """What the released code's greedy pruning finds, by the audit module."""
    response = respond(bench.net, bench.x(number))
    path = oscillating_greedy(response)
    alone = response.pruned(path, graph=False)
    return {
        "kept": float(1 - path.sparsity[0]),
        "dead": float(dead_share(path, response.run.values())[0]),
        "response_kept": float(alone.value[0].detach() / response.value[0].detach()),
        "keeps_class": bool((response.keeps_class(alone) or torch.zeros(1))[0]),
    }


def linear(bench: Bench, number: int) -> dict[str, Any]:
    """The radius of linearity of the network and of its pathways, with the curve of boundaries."""
    x = bench.x(number)
    paths = {"network": None, **{str(s): cp.find_pathway(bench.net, x, "taylor", s) for s in SPARSITIES}}
    found = {name: linear_radius(bench.net, x, pathway=path, ties=False) for name, path in paths.items()}
    return {name: _radius(radius) for name, radius in found.items()}


def iterations(bench: Bench, number: int) -> dict[str, Any]:
    """DGR with the released 1000 iterations of 0.01 beside the study's fewer and longer ones."""
    response = respond(bench.net, bench.x(number))
    values = response.run.values()
    found = {}
    for name in ("dgr_ones", "dgr_random"):
        method, options = bench.subject.finders[name]
        full = {**options, "iterations": 1000, "lr": 0.01}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SearchWarning)
            few, many = (find_in_response(response, method, 0.9, **one) for one in (options, full))
        found[name] = {
            "dead": [float(dead_share(path, values)[0]) for path in (few, many)],
            "kept": [float(1 - path.sparsity[0]) for path in (few, many)],
            "jaccard": float(cp.overlap(few, many).jaccard[0]),
        }
    return found


def decoded(bench: Bench, number: int) -> dict[str, Any]:
    """Figure 3; see ``decodings``."""
    from studies.pathways.decodings import decoded

    return decoded(bench, number)


PARTS: dict[str, Callable[[Bench, int], dict[str, Any]]] = {
    "ranked": ranked,
    "searched": searched,
    "connected": connected,
    "released": released,
    "linear": linear,
    "decoded": decoded,
    "iterations": iterations,
}


def run(subject: Subject, part: str, count: int) -> None:
    """The first ``count`` photographs of one part; those whose file is there are not done again."""
    bench = Bench(subject, subject.load())
    for number in range(count):
        file = shard(subject.name, part, number)
        if not file.is_file():
            start = time.perf_counter()
            found = PARTS[part](bench, number)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps({"photograph": photographs()[number].name, **found}).encode())
            print(f"{subject.name} {part} {number + 1}/{count}: {time.perf_counter() - start:.0f} s", flush=True)


def shards(name: str, part: str) -> Iterator[dict[str, Any]]:
    """What was found, photograph by photograph."""
    for file in sorted((WORK / name / part).glob("*.json")):
        yield json.loads(file.read_text())


def shard(name: str, part: str, number: int) -> Path:
    return WORK / name / part / f"{number:04d}.json"


def _compared(bench: Bench, number: int, names: tuple[str, ...]) -> dict[str, Any]:
    finders = {name: bench.subject.finders[name] for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)
        found = compare_finders(
            bench.net,
            [bench.x(number)],
            {name: method for name, (method, _) in finders.items()},
            SPARSITIES,
            options={name: options for name, (_, options) in finders.items()},
            ablations=("zero", "mean"),
            sizes=SIZES,
            means=bench.means,
            connected=True,
        )
    return {"separate_draws": True, **found.to_dict()}


def _radius(radius: Any) -> dict[str, Any]:
    """The curve only where it is between 1e-9 and 1."""
    pairs = zip(CURVE.tolist(), radius.curve[0].tolist(), strict=True)
    return {
        "radius": float(radius.radius[0]),
        "decided_by": str(radius.deciders[0]),
        "boundaries": int(radius.boundaries[0]),
        "ties": int(radius.ties[0]),
        "resolved": bool(radius.resolved[0]),
        "gradients": radius.gradients,
        "curve": [[r, share] for r, share in pairs if 1e-9 < share < 1],
    }
