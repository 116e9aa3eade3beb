"""Equation 2, peak memory, and how cost grows."""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import critpath as cp
from contributions import sweeps
from contributions.captums import fastest
from contributions.cases import Case, photographs, rerunnable
from contributions.sections import Bench, Row
from contributions.setting import scaled, timed
from critpath.errors import OptionError

PROGRAM = Path(__file__).resolve().parents[1] / "contributions.py"
CALLS = {"conductance": 32, "intgrad": 4}
"""Methods whose peak memory is measured, and their points."""
SCALING_POINTS = 16
CHANNEL_POINTS = 8


# ----------------------------------------------------------------------------------------------------- 6: equation 2
def maps(bench: Bench) -> Row:
    """Maps of chosen neurons over the input, against ``NeuronConductance`` neuron by neuron; and of channels."""
    rows = [_maps(bench, network, part) for network in bench.networks for part in ("middle", "late")]
    channels = [_channels(bench, network) for network in bench.networks]
    return {"rows": rows, "channels": [row for row in channels if row]}


def _maps(bench: Bench, network: str, part: str) -> Row:
    setting, case, captum = bench.setting, bench.cases(network)[0], bench.separate(network)
    names = case.space.names
    site, points = (
        names[len(names) // 2 if part == "middle" else int(0.9 * len(names))],
        setting.networks[network].map_points,
    )
    chosen = _active(case, site, setting.neurons)
    few = chosen[: setting.captum_neurons]
    batch, tried = fastest(lambda size: captum.neuron_map(site, few[0], points, size), bench.device)

    def ours(number: int) -> cp.UnitMaps:
        through = [cp.Neuron(site, index) for index in chosen[:number]]
        return cp.conductance_maps(case.net, case.x, through, case.target, baseline=case.baseline, points=points)

    ours(1)
    seconds, found = timed(lambda: ours(len(chosen)), bench.device)
    done = [timed(lambda i=i: captum.neuron_map(site, i, points, batch), bench.device) for i in few]
    looped, theirs = [s for s, _ in done], [m for _, m in done]
    assert isinstance(found.maps, Tensor)
    distance = sweeps.overall(*sweeps.errors(list(found.maps[: len(few)]), theirs))
    return {
        "network": network, "part": part, "site": site, "points": points, "neurons": len(chosen),
        "captum_neurons_measured": len(few), "captum_internal_batch_size": str(batch),
        "captum_seconds_one_neuron": tried, "ours_seconds": seconds, "captum_seconds": scaled(looped, len(chosen)),
        "ratio": scaled(looped, len(chosen)) / seconds, "distance": distance,
    }  # fmt: skip


def _active(case: Case, site: str, number: int) -> list[tuple[int, ...]]:
    """Neurons that are chosen at random among those which are not 0 on the input."""
    values = case.net.run(case.x, graph=False).values()[site][0].cpu()
    alive = values.flatten().nonzero().flatten()
    order = torch.randperm(len(alive), generator=torch.Generator().manual_seed(0))[:number]
    return [case.space[site].index_of(int(flat)) for flat in alive[order]]


def _channels(bench: Bench, network: str) -> Row:
    """One map a channel, at the last site that has 512 channels."""
    case = bench.cases(network)[0]
    wide = [site for site in case.space if site.channels == 512]
    if not wide:
        return {}
    site, number = wide[-1], bench.setting.channels
    through = [cp.Channel(site.name, channel) for channel in range(number)]
    seconds, _ = timed(
        lambda: cp.conductance_maps(
            case.net, case.x, through, case.target, baseline=case.baseline, points=CHANNEL_POINTS
        ),
        bench.device,
    )
    return {
        "network": network, "site": site.name, "points": CHANNEL_POINTS, "channels_measured": number,
        "seconds": seconds, "seconds_per_channel": seconds / number,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- 7: memory
def memory(bench: Bench) -> list[Row]:
    """The peak of each call in a process of its own, against the limit that it was given."""
    network = bench.setting.memory_network
    return [_in_own_process(bench, network, call, limit) for call in CALLS for limit in bench.setting.limits]


def _in_own_process(bench: Bench, network: str, call: str, limit: str) -> Row:
    command = [sys.executable, str(PROGRAM), "--peak", network, call, limit, "--device", bench.device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, seconds = done.stdout.split()[-2:]
    row: Row = {"network": network, "call": call, "points": CALLS[call], "limit": limit}
    return row | ({"refused": True} if peak == "refused" else {"peak_bytes": int(peak), "seconds": float(seconds)})


def peak(network: str, call: str, limit: str, device: str) -> str:
    """Bytes above what was in use before the call, and its seconds; "refused -" where the limit is too low."""
    case = photographs(network, 1, device)[0]
    net = rerunnable(case.model) if call == "intgrad" else cp.Network(case.model)
    small = torch.randn(1, 3, 96, 96, device=device)
    cp.score(cp.Network(case.model), small, call, case.target, points=2)
    before = _before(device)
    options = {"baseline": case.baseline} if call == "conductance" else {}

    def measured() -> object:
        return cp.score(net, case.x, call, case.target, points=CALLS[call], memory=limit, **options)

    try:
        seconds, _ = timed(measured, device)
    except OptionError:
        return "refused -"
    after = torch.cuda.max_memory_allocated() if device != "cpu" else _status("VmHWM")
    return f"{after - before} {seconds:.3f}"


def _before(device: str) -> int:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


# --------------------------------------------------------------------------------------------------------- 8: scaling
def scaling(bench: Bench) -> list[Row]:
    """Seconds of conductance as points, photographs at once, and sites grow."""
    return [row for network in bench.networks for row in _scaling(bench, network)]


def _scaling(bench: Bench, network: str) -> list[Row]:
    case = bench.cases(network)[0]
    names = case.space.names
    plans: list[tuple[str, int, Callable[[], object]]] = []
    plans += [("points", n, lambda n=n: case.conductance(points=n)) for n in bench.setting.counts]
    for size in bench.setting.batches:
        several = case.batch(size)
        plans.append(("batch", size, lambda several=several: several.conductance(points=SCALING_POINTS)))
    for part in (4, 2, 1):
        some = names[::part]
        net = cp.Network(case.model, only=some)
        plans.append(("sites", len(some), lambda net=net: case.conductance(net, points=SCALING_POINTS)))
    return [
        {"network": network, "what": what, "number": number, "seconds": _median(call, bench)}
        for what, number, call in plans
    ]


def _median(call: Callable[[], object], bench: Bench) -> float:
    return statistics.median(timed(call, bench.device)[0] for _ in range(min(2, bench.setting.rounds)))
