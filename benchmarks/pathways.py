"""Pathways: what each finder costs, the radius of linearity against exact distances, decoding steps a second.

Networks have trained weights and see photographs (``studies/networks.py``, CRITPATH_ASSETS). Times are ratios within
one run: to one plain forward and backward pass to the input (finders), to one forward pass (radius), to the
model's own forward and backward pass (decoding).

    python benchmarks/pathways.py [--quick] [--sections finders,radius] [-o benchmarks/results/pathways-cpu.json]
    python benchmarks/pathways.py --markdown -o benchmarks/results/pathways-cpu.json
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kept import chosen, read, with_huge_pages, write

ROOT = Path(__file__).resolve().parents[1]
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="SqueezeNet only: a trial of the program")
    parser.add_argument("--sections", default="", help="some of them, by commas; other sections of the file are kept")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the results in the file")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    from pathways.tables import markdown

    print(markdown(read(options.output) if options.markdown else run(options)))


def run(options: argparse.Namespace) -> Row:
    """The sections asked for, each written to the file when it is done."""
    from core import machine

    results = read(options.output)
    for name, section in chosen(options.sections, SECTIONS).items():
        start = time.perf_counter()
        results[name] = section(options.quick)
        results["section_seconds"] = {**results.get("section_seconds", {}), name: time.perf_counter() - start}
        results["machine"] = {**machine("cpu"), "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "")}
        results["quick"] = options.quick
        write(options.output, results)
        print(f"{name}: {results['section_seconds'][name]:.0f} s", file=sys.stderr, flush=True)
    return results


def finders(quick: bool) -> list[Row]:
    """Every finder on one photograph."""
    from pathways.finders import costs

    names = ("squeezenet1_1",) if quick else ("squeezenet1_1", "resnet50")
    return [row for name in names for row in costs(*_subject(name), name, rounds=1 if quick else 5)]


def radius(quick: bool) -> Row:
    """The radius of networks and pathways, and the estimates beside exact distances."""
    from pathways.radius import costs, sampled_errors

    import critpath as cp

    names = ("squeezenet1_1",) if quick else ("squeezenet1_1", "resnet50", "vgg16")
    rows, errors = [], []
    for name in names:
        model, x = _subject(name)
        rows += costs(model, x, name, ties=False)
        errors.append({"network": name, **sampled_errors(cp.Network(model), x, each=2 if quick else 8)})
    return {"costs": rows, "errors": errors}


def first_site(quick: bool) -> list[Row]:
    """The nearest boundary of the first site, estimated and exact: its gradients are the filters."""
    from pathways.radius import first_site

    import critpath as cp

    rows = []
    for name in ("squeezenet1_1",) if quick else ("squeezenet1_1", "resnet50", "vgg16"):
        model, x = _subject(name)
        weight, convolution = _first_filters(model, name)
        rows.append(first_site(cp.Network(model), x, weight, name, **convolution))
    return rows


def _first_filters(model: Any, name: str) -> tuple[Any, Row]:
    """Those of the first convolution, a batch norm after it folded in, with its stride and padding."""
    convolution = model.conv1 if name == "resnet50" else model.features[0]
    weight = convolution.weight.detach().double()
    if name == "resnet50":
        norm = model.bn1
        scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * scale.view(-1, 1, 1, 1)
    return weight, {"stride": convolution.stride, "padding": convolution.padding}


def decoding(quick: bool) -> list[Row]:
    """Steps of decoding on SqueezeNet."""
    from pathways.decoding import decoding

    loaded, x = _loaded("squeezenet1_1")
    return decoding(loaded, x, pictures=(1,) if quick else (1, 4))


SECTIONS: dict[str, Callable[[bool], Any]] = {
    "finders": finders,
    "radius": radius,
    "first_site": first_site,
    "decoding": decoding,
}


def _subject(name: str) -> tuple[Any, Any]:
    loaded, x = _loaded(name)
    return loaded.model, x


def _loaded(name: str) -> tuple[Any, Any]:
    """A trained network and the first photograph of the study."""
    sys.path.insert(0, str(ROOT))
    from studies.pathways.plan import photographs, picture

    from studies import networks

    loaded = getattr(networks, name)()
    return loaded, picture(loaded, photographs()[0])


if __name__ == "__main__":
    with_huge_pages()
    main()
