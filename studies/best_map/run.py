"""Areas of removal of every map on every photograph, kept as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from critpath.evaluation.perturbation import pixel_perturbation
from critpath.network import Network
from critpath.response import respond
from critpath.zoo import LoadedModel, load
from studies import networks
from studies.best_map.candidates import Maps
from studies.pathways.plan import photographs, picture

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ORDERS: dict[str, dict[str, Any]] = {
    "lerf": {"order": "lerf"},
    "morf": {"order": "morf"},
    "road": {"order": "morf", "fill": "linear"},
}
"""Removals by name, with their options; the last imputes what is removed (ROAD)."""
AT_ONCE = 4
Areas = dict[str, dict[str, dict[str, float]]]
"""order -> map -> photograph -> area."""


def halves() -> tuple[list[Path], list[Path]]:
    """The photographs that maps are chosen on, and those that they are tried on."""
    files = photographs()
    return files[0::2], files[1::2]


def network(name: str) -> LoadedModel:
    return load(name) if name == "efficientnet-lite0" else getattr(networks, name)()


def areas(name: str, maps: Mapping[str, Maps], files: Sequence[Path], orders: Sequence[str], out: Path) -> None:
    """The area from 1 to 10 % of every map in every order; photographs that are in the file are not done again."""
    loaded = network(name)
    net = Network(loaded.model)
    found: Areas = json.loads(out.read_text()) if out.is_file() else {}
    for batch in _waiting(found, maps, files, orders):
        x = torch.cat([picture(loaded, file) for file in batch])
        response = respond(net, x)
        classes = response.run.output.detach().argmax(dim=1)
        for label, made in maps.items():
            values = made(response)
            for order in orders:
                area = pixel_perturbation(loaded.model, x, classes, values, **ORDERS[order]).area()
                row = found.setdefault(order, {}).setdefault(label, {})
                row.update({file.stem: one for file, one in zip(batch, area.tolist(), strict=True)})
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(found, indent=0))
        print(name, len(next(iter(found[orders[0]].values()))), flush=True)


def _waiting(
    found: Areas, maps: Mapping[str, Any], files: Sequence[Path], orders: Sequence[str]
) -> Iterator[list[Path]]:
    done = [set(found.get(order, {}).get(label, {})) for order in orders for label in maps]
    missing = [file for file in files if not all(file.stem in one for one in done)]
    for start in range(0, len(missing), AT_ONCE):
        yield missing[start : start + AT_ONCE]
