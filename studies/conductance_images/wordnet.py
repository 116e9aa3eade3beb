"""Groups of ImageNet's 1000 classes, the labels of the photographs: all classes below a synset of WordNet 3.0.

python -m studies.conductance_images.wordnet data.noun      (of WordNet 3.0, for instance Debian's wordnet-base)

writes ``groups.json``. An ImageNet class is named by its synset: "n" and the offset in ``data.noun``.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from critpath.files import write_whole
from studies.networks import asset

GROUPS = Path(__file__).with_name("groups.json")

SOURCE = "Hypernyms of WordNet 3.0, Copyright 2006 by Princeton University. All rights reserved."

SYNSETS: Mapping[str, str] = {
    "terrier": "n02092468",
    "hound": "n02087551",
    "sporting dog": "n02098550",
    "shepherd dog": "n02104523",
    "other working dog": "n02103406",
    "bird": "n01503061",
    "snake": "n01726692",
    "insect": "n02159955",
    "primate": "n02469914",
    "ungulate": "n02370806",
    "fish": "n02512053",
    "wheeled vehicle": "n04576211",
    "craft": "n03125870",
    "musical instrument": "n03800933",
    "furniture": "n03405725",
    "garment": "n03419014",
    "structure": "n04341686",
    "produce": "n07705711",
}
"""A class is in the first of them that it is below."""


def read_groups() -> dict[str, list[int]]:
    """The classes of every group, by its name."""
    found: dict[str, list[int]] = json.loads(GROUPS.read_text())["groups"]
    return found


def grouped(parents: Mapping[str, list[str]], classes: Mapping[int, str]) -> dict[str, list[int]]:
    """Classes {index: synset} by the first synset of ``SYNSETS`` that is above them."""
    groups: dict[str, list[int]] = {name: [] for name in SYNSETS}
    for index, synset in classes.items():
        above = set(_above(parents, synset))
        name = next((name for name, root in SYNSETS.items() if root in above), None)
        if name is not None:
            groups[name].append(index)
    return groups


def parents_of(lines: Iterator[str]) -> dict[str, list[str]]:
    """The hypernyms of every synset, from the lines of ``data.noun``."""
    fields = (line.split(" | ")[0].split() for line in lines if not line.startswith("  "))
    return {f"n{row[0]}": _hypernyms(row[4 + 2 * int(row[3], 16) :]) for row in fields}


def _hypernyms(pointers: list[str]) -> list[str]:
    """Of "count, then kind, offset, part of speech and place for each"."""
    each = (pointers[1 + 4 * i :][:2] for i in range(int(pointers[0])))
    return [f"n{offset}" for kind, offset in each if kind in ("@", "@i")]


def _above(parents: Mapping[str, list[str]], synset: str) -> Iterator[str]:
    yield synset
    for parent in parents[synset]:
        yield from _above(parents, parent)


def main(data_noun: Path) -> None:
    with data_noun.open(encoding="latin-1") as lines:
        parents = parents_of(lines)
    rows = csv.DictReader(asset("imagenet1k_sample/labels.csv").read_text().splitlines())
    groups = grouped(parents, {int(row["class_index"]): row["wnid"] for row in rows})
    write_whole(GROUPS, (json.dumps({"source": SOURCE, "synsets": SYNSETS, "groups": groups}) + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
