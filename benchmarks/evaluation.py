"""Evaluations: what pixel perturbation, parameter randomisation and runs cost beyond what they cannot do without.

Networks have trained weights and see photographs or CIFAR-10's test images (``studies/``, CRITPATH_ASSETS). Times are
ratios within one run: to the bare forward passes (perturbation), to the bare explanations (randomisation), to the
whole run (overhead), to one process (Ray). Quantus does the same work beside it where it is installed
(`pip install quantus==0.6.0`; LGPL, for this comparison only), and is left out where it is not.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py [--quick] [-o benchmarks/results/evaluation-cpu.json]
    python benchmarks/evaluation.py --sections planning --device cuda -o planning-cuda.json
    python benchmarks/evaluation.py --markdown -o benchmarks/results/evaluation-cpu.json
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

Row = dict[str, Any]

FOLD = 0.001
"""Seconds a shard takes in the fold, where no run has been measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images, one round: a trial of the program")
    parser.add_argument("--sections", default="", help="some of them, by commas; other sections of the file are kept")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the results in the file")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    from evaluation.tables import markdown

    print(markdown(read(options.output) if options.markdown else run(options)))


def run(options: argparse.Namespace) -> Row:
    """The sections asked for, each written to the file when it is done."""
    from core import machine

    results = read(options.output)
    for name, section in chosen(options.sections, SECTIONS).items():
        start = time.perf_counter()
        results[name] = section(options, results)
        results["section_seconds"] = {**results.get("section_seconds", {}), name: time.perf_counter() - start}
        results["machine"] = {**machine(options.device), "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "")}
        results["machine"]["cores"] = os.cpu_count()
        results["quick"] = options.quick
        results["load"] = {**results.get("load", {}), name: round(os.getloadavg()[0], 1)}
        write(options.output, results)
        print(f"{name}: {results['section_seconds'][name]:.0f} s", file=sys.stderr, flush=True)
    return results


def perturbation(options: argparse.Namespace, _: Row) -> list[Row]:
    """ResNet-18 at 224."""
    from evaluation.perturbation import costs
    from evaluation.subjects import subject

    images = 2 if options.quick else 13 if options.device == "cpu" else 256
    return costs(subject("resnet18", images, options.device), 1 if options.quick else 5, options.device)


def randomisation(options: argparse.Namespace, _: Row) -> Row:
    """SqueezeNet, a plain CNN, beside Quantus; ResNet-18 with the papers' stages."""
    from evaluation.randomisation import PAPERS, costs, coverage
    from evaluation.subjects import subject

    rounds, device = 1 if options.quick else 3, options.device
    images = 2 if options.quick else 4 if device == "cpu" else 64
    rows = costs(subject("squeezenet1_1", images, device), rounds, device, beside=True)
    rows += costs(subject("resnet18", images, device), rounds, device, stages=PAPERS)
    return {"costs": rows, "coverage": coverage()}


def overhead(options: argparse.Namespace, _: Row) -> list[Row]:
    """Runs of 1000 images of CIFAR-10: LeRF costs little on its ResNet-20, and so shows what the run adds."""
    from evaluation.running import overhead
    from evaluation.subjects import cifar_plan

    images, one, many = 100 if options.quick else 1000, "[gradient]", "[gradient, gradcam, guided_backprop, rectgrad]"
    runs = (
        ("2 methods, chunks of 100", 100, one),
        ("2 methods, chunks of 8", 8, one),
        ("5 methods, chunks of 100", 100, many),
    )
    plans = {name: cifar_plan(images, batch, methods, "[pixel_perturbation]") for name, batch, methods in runs}
    return [{"run": f"LeRF of {name}", **overhead(plan)} for name, plan in plans.items()]


def ray(options: argparse.Namespace, _: Row) -> list[Row]:
    """One run by each engine."""
    from evaluation.running import engines
    from evaluation.subjects import cifar_plan

    images, rounds = (100, 1) if options.quick else (200, 3)
    return engines(cifar_plan(images, 20, "[gradient, input_gradient]", "[pixel_perturbation]"), rounds)


def planning(options: argparse.Namespace, results: Row) -> Row:
    """Units of this device, and the protocols counted from them."""
    from evaluation.planning import plain, table, units
    from evaluation.subjects import seconds_to_read, subject

    device, rounds = options.device, 1 if options.quick else 3
    of = subject("resnet50", 2 if device == "cpu" else 64, device)
    fold = results["overhead"][0]["parts"]["fold"] / results["overhead"][0]["tasks"] if "overhead" in results else FOLD
    found = units(of, seconds_to_read(2 if options.quick else 20), fold, device, rounds)
    return {"units": plain(found), "table": table(found)}


SECTIONS: dict[str, Callable[[argparse.Namespace, Row], Any]] = {
    "perturbation": perturbation,
    "randomisation": randomisation,
    "overhead": overhead,
    "ray": ray,
    "planning": planning,
}


if __name__ == "__main__":
    with_huge_pages()
    main()
