"""Speed and memory of scores, selection and the pathway gradient, against one plain forward and backward.

All times are medians over interleaved rounds of one run, given as ratios to the plain forward and backward to
the input on the same model and batch. Peak memory is measured in a process of its own for each case: the
high-water mark of resident memory (or of the CUDA allocator) above what it was before the call.

    python benchmarks/core.py [--device cpu] [--rounds 9] [-o benchmarks/results/core-cpu.json]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import critpath as cp
from critpath.zoo import import_torchvision

MODELS = ("vgg16", "resnet50")
BATCHES = (1, 4)
LIMITS = {"taylor": 1.25, "selection": 0.12, "pathway_gradient": 1.8}
MEMORY_LIMIT = 1.4


def build(name: str, device: str) -> nn.Module:
    """The torchvision architecture with seeded random weights: speed does not depend on their values."""
    torch.manual_seed(0)
    return getattr(import_torchvision().models, name)().eval().to(device)


def plain(model: nn.Module, x: Tensor) -> Tensor:
    """One forward and one backward to the input, as anyone would write it."""
    leaf = x.clone().requires_grad_()
    out = model(leaf)
    picked = out.gather(1, out.argmax(dim=1, keepdim=True)).sum()
    return torch.autograd.grad(picked, leaf)[0]


def cases(model: nn.Module, x: Tensor) -> dict[str, Callable[[], object]]:
    net = cp.Network(model)
    scores = cp.score(net, x)
    return {
        "plain": lambda: plain(model, x),
        "taylor": lambda: cp.score(net, x),
        "selection": lambda: cp.select(scores, 0.9),
        "pathway_gradient": lambda: cp.attribute(net, x, "pathway_gradient", sparsity=0.9),
        "prunegrad": lambda: cp.attribute(net, x, "prunegrad", sparsity=0.9),
    }


def seconds(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def times(model: nn.Module, x: Tensor, rounds: int, device: str) -> dict[str, float]:
    """Ratios to ``plain``, each the median of its round-by-round ratios; and images a second."""
    calls = cases(model, x)
    for call in calls.values():
        call()
    table = [{name: seconds(call, device) for name, call in calls.items()} for _ in range(rounds)]
    ratios = {name: statistics.median(row[name] / row["plain"] for row in table) for name in calls}
    speed = len(x) / statistics.median(row["pathway_gradient"] for row in table)
    return {**ratios, "pathway_gradient_images_per_second": speed}


def peak_bytes(name: str, batch: int, case: str, device: str) -> int:
    """Memory of one call in a process of its own, the median of three."""
    command = [sys.executable, __file__, "--peak", name, str(batch), case, "--device", device]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return int(statistics.median(int(done.stdout.split()[-1]) for done in runs))


def measure_peak(name: str, batch: int, case: str, device: str) -> int:
    model, x = build(name, device), torch.randn(batch, 3, 224, 224, device=device)
    warm = torch.randn(1, 3, 64, 64, device=device)
    net = cp.Network(model)
    plain(model, warm), cp.attribute(net, warm, "pathway_gradient")
    calls = {
        "plain": lambda: plain(model, x),
        "taylor": lambda: cp.score(net, x),
        "pathway_gradient": lambda: cp.attribute(net, x, "pathway_gradient", sparsity=0.9),
    }
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        calls[case]()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    calls[case]()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def run(device: str, rounds: int) -> dict[str, Any]:
    rows = []
    for name in MODELS:
        model = build(name, device)
        for batch in BATCHES:
            x = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(device)
            row: dict[str, object] = {"model": name, "batch": batch, **times(model, x, rounds, device)}
            row["neurons"] = cp.Network(model).sites(x[:1]).neurons
            peaks = {case: peak_bytes(name, batch, case, device) for case in ("plain", "taylor", "pathway_gradient")}
            row["score_bytes"] = 4 * batch * int(row["neurons"])  # type: ignore[call-overload]
            row |= {f"peak_{case}_bytes": peak for case, peak in peaks.items()}
            row["peak_ratio"] = (peaks["pathway_gradient"] - int(row["score_bytes"])) / peaks["plain"]  # type: ignore[call-overload]
            rows.append(row)
            print(_line(row), flush=True)
    return {
        "limits": {**LIMITS, "peak_ratio": MEMORY_LIMIT},
        "rounds": rounds,
        "rows": rows,
        **machine(device),
    }


def machine(device: str) -> dict[str, object]:
    named = torch.cuda.get_device_name() if device != "cpu" else platform.processor() or platform.machine()
    return {
        "device": named, "threads": torch.get_num_threads(), "torch": torch.__version__,
        "critpath": cp.__version__, "python": platform.python_version(),
    }  # fmt: skip


def markdown(results: dict[str, Any]) -> str:
    """The results as the table that the README shows."""
    limits = results["limits"]
    columns = ("taylor", "selection", "pathway_gradient", "peak_ratio")
    head = f"| model, batch | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}\n"
    wanted = f"| wanted, at most | {' | '.join(f'{limits[c]:.2f}' for c in columns)} |\n"
    rows = (
        f"| {row['model']}, {row['batch']} | {' | '.join(f'{row[c]:.2f}' for c in columns)} |\n"
        for row in results["rows"]
    )
    return head + "".join(rows) + wanted


def _line(row: dict[str, object]) -> str:
    numbers = (f"{key} {value:.3f}" for key, value in row.items() if isinstance(value, float))
    return f"{row['model']} batch {row['batch']}: {', '.join(numbers)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.peak:
        name, batch, case = options.peak
        print(measure_peak(name, int(batch), case, options.device))
        return
    results = run(options.device, options.rounds)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(results, indent=2) + "\n")
    print(markdown(results))


if __name__ == "__main__":
    main()
