"""Speed and exactness, ours and Captum's side by side."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import critpath as cp
from contributions import sweeps
from contributions.captums import Separate, fastest
from contributions.cases import Case, photographs, rerunnable, smooth
from contributions.setting import Setting, scaled, timed

POINTS = 32
TOLERANCE = 0.05
SAME = 1e-2
"""Captum's formula for all sites, against what Captum gives: relative L1 distance allowed."""
TRIES, LOOSE = 5, 1.5
"""Tolerances tried until ours is as exact as Captum; and the first of them, by Captum's true error."""

Row = dict[str, Any]


@dataclass(eq=False)
class Bench:
    """What sections share: the setting, the device, and networks and models for Captum, made once."""

    setting: Setting
    device: str
    peak_tflops: float | None = None
    _cases: dict[str, list[Case]] = field(default_factory=dict)
    _separate: dict[str, Separate] = field(default_factory=dict)

    @property
    def networks(self) -> tuple[str, ...]:
        return tuple(self.setting.networks)

    def cases(self, network: str) -> list[Case]:
        """A network on its photographs."""
        if network not in self._cases:
            self._cases[network] = photographs(network, self.setting.networks[network].photographs, self.device)
        return self._cases[network]

    def separate(self, network: str) -> Separate:
        """Captum's side, on the first photograph."""
        if network not in self._separate:
            self._separate[network] = Separate(self.cases(network)[0])
        return self._separate[network]


# ---------------------------------------------------------------------------------------------------------- 1: speed
def speed(bench: Bench) -> list[Row]:
    """Conductance of all sites in one sweep, against ``LayerConductance`` looped over sites."""
    return [_speed(bench, network) for network in bench.networks]


def _speed(bench: Bench, network: str) -> Row:
    case, captum = bench.cases(network)[0], bench.separate(network)
    sites, measured = len(case.space), case.measured(bench.setting.every)
    middle = measured[len(measured) // 2]
    batch, tried = fastest(lambda size: captum.conductance(middle, POINTS, size), bench.device)

    def ours() -> object:
        return case.conductance(points=POINTS)

    ours()
    seconds = [timed(ours, bench.device)[0]]
    looped = [timed(lambda site=site: captum.conductance(site, POINTS, batch), bench.device)[0] for site in measured]
    seconds += [timed(ours, bench.device)[0] for _ in range(bench.setting.rounds - 1)]
    own, other = statistics.median(seconds), scaled(looped, sites)
    row = {
        "network": network, "points": POINTS, "sites": sites, "captum_sites_measured": len(measured),
        "captum_internal_batch_size": str(batch), "captum_seconds_one_site": tried,
        "ours_seconds": own, "ours_rounds": seconds, "captum_seconds_measured": looped, "captum_seconds": other,
        "ratio": other / own,
    }  # fmt: skip
    if bench.device != "cpu":
        row |= _utilisation(bench, ours, own)
    return row


def _utilisation(bench: Bench, call: Callable[[], object], seconds: float) -> Row:
    """Images a second, floating-point operations, and their share of what the device could do."""
    with FlopCounterMode(display=False) as counter:
        call()
    rate = counter.get_total_flops() / seconds
    share = {} if bench.peak_tflops is None else {"share_of_peak": rate / (bench.peak_tflops * 1e12)}
    return {"images_per_second": 1 / seconds, "tflops": rate / 1e12, **share}


# ------------------------------------------------------------------------------------------ 2 and 5: errors, estimates
def errors(bench: Bench) -> Row:
    """True errors of conductance by a long trapezoid, and the estimates that came with the scores."""
    rows, tolerances, checks = [], [], []
    for network in bench.networks:
        checks += _same_formula(bench.separate(network))
        for image, case in enumerate(bench.cases(network)):
            seconds, reference = timed(lambda case=case: sweeps.trapezoid(case, bench.setting.reference), bench.device)
            found = [_errors(case, image, points, reference) for points in bench.setting.counts]
            rows += found
            tolerances.append(_tolerance(case, image, bench.setting.budget, reference) | {"reference_seconds": seconds})
            _say(
                f"errors {network} {image}", {f"{r['points']}": r["captum_overall"] / r["ours_overall"] for r in found}
            )
    return {
        "reference_points": bench.setting.reference, "captum_formula_checked": checks, "rows": rows,
        "tolerance": tolerances, "estimates": estimates([*rows, *tolerances], bench.setting.counts[1:]),
    }  # fmt: skip


def _errors(case: Case, image: int, points: int, reference: Sequence[Tensor], **options: Any) -> Row:
    """Ours with so many points, and Captum with as many evaluations (n_steps = points - 1)."""
    seconds, ours = timed(lambda: case.conductance(points=points, **options), case.device)
    captum, scale = sweeps.errors(sweeps.captum_formula(case, points), reference)
    return {
        "network": case.name, "image": image, "points": points, "rule": _rule(ours), "ours_seconds": seconds,
        **_compared(ours, reference), "captum_overall": sweeps.overall(captum, scale),
        "captum_sites": sweeps.relative(captum, scale),
    }  # fmt: skip


def _tolerance(case: Case, image: int, budget: int, reference: Sequence[Tensor]) -> Row:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cp.ToleranceWarning)
        seconds, ours = timed(lambda: case.conductance(tolerance=TOLERANCE, points=budget), case.device)
    compared = _compared(ours, reference)
    assert ours.error is not None
    return {
        "network": case.name, "image": image, "tolerance": TOLERANCE, "budget": budget, "ours_seconds": seconds,
        "points": int(ours.error.points.max()), "stopped": ours.error.stopped, **compared,
        "sites_truly_within": sum(e <= TOLERANCE for e in compared["ours_sites"]) / len(compared["ours_sites"]),
    }  # fmt: skip


def _compared(ours: cp.NeuronValues, reference: Sequence[Tensor]) -> Row:
    """Our true errors and our estimates of them, both by the reference's scale."""
    assert ours.error is not None
    error, scale = sweeps.errors(ours.tensors, reference)
    return {
        "ours_overall": sweeps.overall(error, scale),
        "ours_sites": sweeps.relative(error, scale),
        "estimated_overall": sweeps.overall(ours.error.error[0].tolist(), scale),
        "estimated_sites": sweeps.relative(ours.error.error[0].tolist(), scale),
    }


def estimates(rows: Sequence[Row], counts: Sequence[int]) -> list[Row]:
    """How estimates compare with true errors, for each network and number of points, and for the tolerance."""
    found = []
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        for what in (*counts, "tolerance"):
            some = [row for row in own if ("tolerance" if "tolerance" in row else row["points"]) == what]
            pairs = (list(chain.from_iterable(row[key] for row in some)) for key in ("estimated_sites", "ours_sites"))
            if some:
                found.append({"network": network, "points": what, **sweeps.judged(*pairs)})
    return found


def _same_formula(captum: Separate, points: int = 16) -> list[Row]:
    """The formula for all sites gives what Captum gives, on two sites."""
    names = captum.case.space.names
    formula = dict(zip(names, sweeps.captum_formula(captum.case, points), strict=True))
    rows = []
    for site in (names[len(names) // 3], names[2 * len(names) // 3]):
        error, scale = sweeps.errors([formula[site]], [captum.conductance(site, points)])
        distance = sweeps.overall(error, scale)
        assert distance < SAME, f"Captum's conductance at {site} is not what its formula gives: {distance}"
        rows.append({"network": captum.case.name, "site": site, "distance": distance})
    return rows


# ------------------------------------------------------------------------------------------------------- 3: GELU
def gelu(bench: Bench) -> Row:
    """A smooth network: the automatic rule, trapezoids and Gauss points against Captum."""
    setting, rows, references = bench.setting, [], []
    cases = smooth(setting.sentences, bench.device)
    for image, case in enumerate(cases):
        double = case.double()
        exact = double.conductance(rule="gauss", points=setting.smooth_reference)
        checked, scale = sweeps.errors(sweeps.trapezoid(double, setting.smooth_check), exact.tensors)
        assert exact.error is not None
        references.append({
            "image": image, "estimated_error": float(exact.error.overall[0]),
            "distance_to_trapezoid": sweeps.overall(checked, scale),
        })  # fmt: skip
        for rule in ("auto", "trapezoid", "gauss"):
            found = (_errors(case, image, points, exact.tensors, rule=rule) for points in setting.counts)
            rows += [row | {"asked": rule} for row in found]
    automatic = [row for row in rows if row["asked"] == "auto"]
    return {
        "network": cases[0].name, "reference": f"gauss, {setting.smooth_reference} points, float64",
        "trapezoid_check_points": setting.smooth_check, "references": references,
        "captum_formula_checked": _same_formula(Separate(cases[0])), "rows": rows,
        "estimates": estimates(automatic, setting.counts[1:]),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------- 4: intgrad
def intgrad(bench: Bench) -> list[Row]:
    """Time until all sites' integrated gradients are as exact as Captum's, over the network and at every site."""
    return [_Intgrad(bench, network).row() for network in bench.networks]


class _Intgrad:
    """Integrated gradients of a network's measured sites, from their activations on the baseline."""

    def __init__(self, bench: Bench, network: str) -> None:
        self.bench, self.case, self.captum = bench, bench.cases(network)[0], bench.separate(network)
        self.measured = self.case.measured(bench.setting.every)
        self.sites = len(self.case.space)
        at_measured = rerunnable(self.case.model, only=self.measured)
        self.reference_points = points = bench.setting.networks[network].intgrad_reference
        self.reference_seconds, found = self.timed(at_measured, rule="trapezoid", points=points, memory="2GiB")
        self.some, self.reference = at_measured, _by_name(found)

    def row(self) -> Row:
        steps = self.bench.setting.intgrad_steps
        middle = self.measured[len(self.measured) // 2]
        batch, tried = fastest(lambda size: self.captum.intgrad(middle, steps[-1], size), self.bench.device)
        captum = [self.looped(n, batch) for n in steps]
        last, seconds = captum[-1], captum[-1]["seconds"]
        aim = last["overall"]
        return {
            "network": self.case.name, "sites": self.sites, "measured": len(self.measured),
            "reference_points": self.reference_points, "reference_seconds": self.reference_seconds,
            "captum_internal_batch_size": str(batch), "captum_seconds_one_site": tried, "captum": captum,
            "captum_overall": aim, "captum_seconds": scaled(seconds, self.sites),
            "ours": [self.with_points(points) for points in (4, 8, 16, 32)],
            "network_level": self.over_network(aim, scaled(seconds, self.sites)),
            "site_level": self.at_sites(last["errors"], seconds),
        }  # fmt: skip

    def timed(self, net: cp.Network, **options: Any) -> tuple[float, cp.NeuronValues]:
        """Our integrated gradients and the seconds they took."""
        start = net.run(self.case.baseline, graph=False).values()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cp.ToleranceWarning)
            return timed(
                lambda: cp.score(net, self.case.x, "intgrad", self.case.target, baseline=start, **options),
                self.bench.device,
            )

    def compared(self, found: dict[str, Tensor]) -> tuple[float, list[float]]:
        """The error over the measured sites that were found, and at each."""
        names = [name for name in self.measured if name in found]
        error, scale = sweeps.errors([found[n] for n in names], [self.reference[n] for n in names])
        return sweeps.overall(error, scale), sweeps.relative(error, scale)

    def looped(self, steps: int, batch: int | None) -> Row:
        """Captum, site after site."""
        done = [timed(lambda s=s: self.captum.intgrad(s, steps, batch), self.bench.device) for s in self.measured]
        total, sites = self.compared({site: found for site, (_, found) in zip(self.measured, done, strict=True)})
        return {"n_steps": steps, "seconds": [seconds for seconds, _ in done], "overall": total, "errors": sites}

    def with_points(self, points: int) -> Row:
        """Ours at the measured sites, with the same number of points at each."""
        seconds, found = self.timed(self.some, points=points)
        total, sites = self.compared(_by_name(found))
        return {"points": points, "seconds": seconds, "overall": total, "errors": sites}

    def over_network(self, aim: float, captum_seconds: float) -> Row:
        """A tolerance with which the network's true error is no larger than ``aim``, and what all sites take with it.

        It is looked for on the measured sites, and tightened where all sites together do not meet it there.
        """
        _, first = self.searched(self.some, aim, LOOSE * aim, tolerance_of="network")
        whole = rerunnable(self.case.model)
        prepared, _ = self.timed(whole, points=2)
        found, tried = self.searched(whole, aim, first[-1]["tolerance"], tolerance_of="network")
        assert found.error is not None
        return {
            **tried[-1], "estimated": float(found.error.overall[0]), "points": found.error.points[0].tolist(),
            "first_call_seconds": prepared, "tried_on_measured": first, "tried": tried,
            "ratio": captum_seconds / tried[-1]["seconds"],
        }  # fmt: skip

    def at_sites(self, aims: Sequence[float], captum_seconds: Sequence[float]) -> Row:
        """Every measured site by itself, until it is as exact as Captum's."""
        rows = []
        for site, aim in zip(self.measured, aims, strict=True):
            net = rerunnable(self.case.model, only=[site])
            self.timed(net, points=2)
            rows.append({"site": site, "aim": aim, **self.searched(net, aim, LOOSE * aim)[1][-1]})
        seconds, met = sum(row["seconds"] for row in rows), sum(row["met"] for row in rows)
        return {"rows": rows, "seconds": seconds, "sites_met": met, "ratio": sum(captum_seconds) / seconds}

    def searched(
        self, net: cp.Network, aim: float, tolerance: float, **options: Any
    ) -> tuple[cp.NeuronValues, list[Row]]:
        """Stricter and stricter tolerances until the true error is no larger than ``aim``; the last result, and all."""
        tried: list[Row] = []
        while True:
            seconds, found = self.timed(net, tolerance=tolerance, **options)
            true, _ = self.compared(_by_name(found))
            points = round(float(found.error.points.double().mean()), 1)
            tried.append({
                "tolerance": tolerance, "seconds": seconds, "mean_points": points, "overall": true, "met": true <= aim,
            })  # fmt: skip
            if true <= aim or len(tried) == TRIES:
                return found, tried
            tolerance *= min(0.9, 0.95 * aim / true)


def _by_name(found: cp.NeuronValues) -> dict[str, Tensor]:
    return dict(zip(found.space.names, found.tensors, strict=True))


def _rule(ours: cp.NeuronValues) -> str:
    assert ours.error is not None
    return ours.error.rule


def _say(what: str, numbers: dict[str, float]) -> None:
    print(f"{what}: " + ", ".join(f"{name} {value:.3g}" for name, value in numbers.items()), flush=True)
