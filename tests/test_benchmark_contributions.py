"""The benchmark of conductance and integrated gradients: its formulas, its arithmetic and its tables; no assets."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

ROWS = [
    {
        "network": "net", "image": 0, "points": points, "asked": "auto", "ours_seconds": points / 8,
        "ours_overall": 0.1 / points, "ours_sites": [0.1 / points], "estimated_overall": 0.2 / points,
        "estimated_sites": [0.15 / points], "captum_overall": 0.4 / points, "captum_sites": [0.4 / points],
    }
    for points in (8, 16, 32)
]  # fmt: skip
TOLERANCE = {
    "network": "net", "image": 0, "tolerance": 0.05, "points": 20, "ours_seconds": 1.0, "stopped": "tolerance",
    "ours_overall": 0.03, "ours_sites": [0.03], "estimated_sites": [0.04], "sites_truly_within": 1.0,
}  # fmt: skip
ESTIMATE = {
    "network": "net", "points": 16, "judged": 5, "rounding": 1, "within_factor_2": 0.8, "median": 1.1,
    "worst_optimism": 2.5, "worst_pessimism": 2.0,
}  # fmt: skip
LEVEL = {"seconds": 2.0, "overall": 0.01, "met": True, "ratio": 6.0}
RESULTS: dict[str, Any] = {
    "speed": [
        {
            "network": "net", "points": 32, "sites": 49, "captum_sites_measured": 13, "ours_seconds": 2.0,
            "captum_seconds": 80.0, "ratio": 40.0,
        }
    ],
    "errors": {"rows": ROWS, "tolerance": [TOLERANCE], "estimates": [ESTIMATE]},
    "gelu": {"network": "encoder", "rows": ROWS, "estimates": [ESTIMATE]},
    "intgrad": [
        {
            "network": "net", "sites": 49, "measured": 13, "captum_seconds": 12.0, "captum_overall": 0.012,
            "captum": [{"n_steps": 50, "seconds": [1.0, 2.0], "overall": 0.012}],
            "ours": [{"points": 8, "seconds": 0.5, "overall": 0.02}],
            "network_level": LEVEL, "site_level": LEVEL | {"rows": [{}, {}], "sites_met": 2},
        }
    ],
    "maps": {
        "rows": [
            {
                "network": "net", "site": "a#0", "neurons": 100, "points": 16, "ours_seconds": 3.0,
                "captum_seconds": 15.0, "captum_neurons_measured": 5, "ratio": 5.0,
            }
        ],
        "channels": [{"network": "net", "site": "b#0", "points": 8, "seconds_per_channel": 0.25}],
    },
    "memory": [
        {"network": "net", "call": "conductance", "points": 32, "limit": "1GiB", "peak_bytes": 2**29, "seconds": 1.0},
        {"network": "net", "call": "intgrad", "points": 4, "limit": "1GiB", "refused": True},
    ],
    "scaling": [
        {"network": "net", "what": what, "number": n, "seconds": n / 8}
        for what in ("points", "batch", "sites")
        for n in (1, 2)
    ],
}  # fmt: skip


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a part of the benchmark by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield lambda name: importlib.import_module(f"contributions.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "contributions"]:
        del sys.modules[name]


class Reused(nn.Module):
    """One ReLU module called twice, in place, and a functional call."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 30), nn.Linear(30, 20), nn.Linear(20, 10)
        self.relu, self.last = nn.ReLU(inplace=True), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.second(self.relu(self.first(x))))
        return self.last(torch.relu(self.third(x)))


@pytest.fixture
def case(part: Any) -> Any:
    torch.manual_seed(0)
    x = torch.randn(1, 5)
    return part("cases").Case("net", Reused().eval(), x, torch.zeros_like(x), 1)


def test_captums_formula_by_hand(part: Any) -> None:
    y, g = (torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([[2.0], [3.0], [100.0]]))
    assert part("captums").left(y, g).tolist() == [2.0 * 1 + 3.0 * 3]


def test_captums_points_are_gauss_legendre_nodes_in_the_unit_interval(part: Any) -> None:
    assert part("captums").nodes(2) == pytest.approx([0.5 - 3**-0.5 / 2, 0.5 + 3**-0.5 / 2])


def test_the_formula_for_all_sites_is_what_captum_gives(part: Any, case: Any) -> None:
    _need_captum()
    captum = part("captums").Separate(case)
    swept = part("sweeps").captum_formula(case, 9)
    assert len(swept) == 3
    assert all(bool(found.any()) for found in swept)
    for site, found in zip(case.space.names, swept, strict=True):
        torch.testing.assert_close(captum.conductance(site, 9), found.float(), rtol=1e-3, atol=1e-6)


def test_every_call_gets_its_own_module_and_the_output_stays(part: Any, case: Any) -> None:
    model, layers = part("captums").separated(case.model)
    assert len(layers) == 3
    assert not any(layer.inplace for layer in layers)
    torch.testing.assert_close(model(case.x), case.model(case.x))
    assert part("captums").Separate(case).layers.keys() == set(case.space.names)


def test_the_trapezoid_converges_to_our_scores(part: Any, case: Any) -> None:
    sweeps = part("sweeps")
    error, scale = sweeps.errors(case.conductance(points=32).tensors, sweeps.trapezoid(case, 65))
    assert sweeps.overall(error, scale) < 0.1


def test_errors_are_l1_by_site_and_over_the_network(part: Any) -> None:
    sweeps = part("sweeps")
    error, scale = sweeps.errors(
        [torch.tensor([1.0, -1.0]), torch.zeros(3)], [torch.tensor([2.0, -2.0]), torch.zeros(3)]
    )
    assert (error, scale) == ([2.0, 0.0], [4.0, 0.0])
    assert sweeps.relative(error, scale) == [0.5, 0.0]
    assert sweeps.overall([2.0, 1.0], [4.0, 2.0]) == 0.5


def test_estimates_are_judged_by_their_ratio_and_rounding_is_apart(part: Any) -> None:
    found = part("sweeps").judged([0.02, 0.01, 0.01, 0.5], [0.01, 0.04, 0.01, 1e-7])
    assert (found["judged"], found["rounding"]) == (3, 1)
    assert found["within_factor_2"] == pytest.approx(2 / 3)
    assert found["worst_optimism"] == pytest.approx(4)
    assert found["worst_pessimism"] == pytest.approx(2)


def test_captums_time_is_scaled_by_sites_over_measured_sites(part: Any) -> None:
    assert part("setting").scaled([1.0, 2.0, 3.0], 12) == 24.0


def test_estimates_are_grouped_by_network_and_points(part: Any) -> None:
    found = part("sections").estimates([*ROWS, TOLERANCE], (16, 32))
    assert [row["points"] for row in found] == [16, 32, "tolerance"]
    assert found[0]["median"] == pytest.approx(1.5)
    assert found[2]["median"] == pytest.approx(4 / 3)


def test_tables_show_every_section(part: Any) -> None:
    text = part("tables").markdown(RESULTS)
    for cells in (
        "| net | 49 | 2.00 s | 80 s (13 sites measured) | 40.0 |",
        "| net, ours | 1.25 % | 0.625 % | 0.312 % |",
        "| Captum | 5 % | 2.5 % | 1.25 % |",
        "| net | 16 | 80 % | 1.10 | 2.5 | 1 of 6 |",
        "| net | 12 s (13 of 49 sites measured) | 1.2 % (50 steps) | 2.0 s | 1 % | 6.0 | 6.0 (2 of 2 met) |",
        "| net | a#0 | 100 | 16 | 3.0 s | 15 s (5 measured) | 5.0 |",
        "| net | b#0 | 8 | 0.25 s |",
        "| conductance, net | 32 | 1GiB | 0.50 GiB | 1.0 s |",
        "| intgrad, net | 4 | 1GiB | refused |  |",
        "| net | 1: 0.12 s | 2: 0.25 s |",
    ):
        assert cells in text
    assert part("tables").markdown({"speed": RESULTS["speed"]}).count("\n") == 3


def test_curves_scale_captums_conductance_with_its_evaluations(part: Any) -> None:
    found = part("tables").curves(RESULTS)
    assert found["conductance"][0]["captum"][0] == {"points": 8, "seconds": 20.0, "error": 0.05}
    assert found["intgrad"][0]["captum"] == [{"points": 50, "seconds": 3.0, "error": 0.012}]


def test_pictures_are_drawn_from_curves(part: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the benchmark's pictures need matplotlib")
    curves = part("tables").curves(RESULTS)
    files = part("plots").draw({"curves": curves}, tmp_path)
    assert [file.name for file in files] == ["conductance-error.svg", "intgrad-error.svg"]
    assert all("<svg" in file.read_text() for file in files)


def test_the_file_keeps_lists_of_numbers_on_one_line() -> None:
    spec = importlib.util.spec_from_file_location("kept", BENCHMARKS / "kept.py")
    assert spec is not None
    assert spec.loader is not None
    kept = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kept)
    assert (
        kept.compact({"a": [0.123456789, 2], "b": {"c": []}}) == '{\n "a": [ 0.12346, 2 ],\n "b": {\n  "c": []\n }\n}\n'
    )


def _need_captum() -> None:
    pytest.importorskip("captum", reason="captum is NOT installed: its formula is not compared with captum itself")
