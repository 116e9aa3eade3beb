"""The benchmark of evaluations: its counting, its clock and its tables; no assets."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

MODEL = """\
import torch
def net():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(4, 3)).eval()
"""

PLAN = """\
version: 1
threads: 1
batch: 4
models: {net: {load: "PLACE/m.py:net"}}
data: {arrays: {arrays: "PLACE/a.npz"}}
methods: [gradient]
metrics: {pixel_perturbation: {shares: [0.5]}}
"""

UNITS = {
    "explain": {"a": 1.0, "b": 3.0}, "perturb": 2.0, "compare": 0.5, "read": 0.25, "predict": 0.25,
    "small_explain": {"a": 0.1, "b": 0.3}, "train": 0.01, "test": 0.001, "fold": 0.125,
}  # fmt: skip

RESULTS: dict[str, Any] = {
    "perturbation": [
        {
            "work": "LeRF", "network": "net", "passes_an_image": 11, "images_per_second": 2.0,
            "bare_images_per_second": 2.2, "ratio": 1.1,
        },
        {
            "work": "MoRF", "network": "net", "passes_an_image": 13, "images_per_second": 2.0,
            "bare_images_per_second": 2.2, "ratio": 1.1, "quantus_images_per_second": 1.0, "quantus_times": 2.0,
        },
    ],
    "randomisation": {
        "costs": [
            {
                "network": "net", "similarities": ["spearman"], "explanations": 26, "seconds": 12.0,
                "bare_seconds": 10.0, "ratio": 1.2, "quantus_explanations": 27, "quantus_seconds": 15.0,
                "quantus_times": 1.25,
            }
        ],
        "coverage": {"ours": {"parameters": 30, "kept": [], "numbers_kept": 0.0, "equal_pairs": 0}},
    },
    "overhead": [
        {"run": "small", "tasks": 6, "seconds": 7.0, "share": 0.04, "parts": {"method": 3.0, "plan": 0.5}}
    ],
    "ray": [
        {"engine": "one", "start": 0.0, "work": 19.0, "end": 0.0, "speed": 1.0, "same_bits": True},
        {"engine": "Ray", "start": 5.0, "work": 10.0, "end": 1.0, "speed": 1.9, "same_bits": False},
    ],
}  # fmt: skip


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a part of the benchmark by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield lambda name: importlib.import_module(f"evaluation.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "evaluation"]:
        del sys.modules[name]


@pytest.fixture
def subject(part: Any) -> Any:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    x = torch.randn(3, 3, 24, 24)
    return part("subjects").Subject("net", model, x, model(x).argmax(dim=1).detach())


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "m.py").write_text(MODEL)
    np.savez(tmp_path / "a.npz", images=np.random.RandomState(0).rand(9, 1, 8, 8).astype(np.float32))
    return PLAN.replace("PLACE", str(tmp_path))


def test_the_passes_of_perturbation_are_those_counted(part: Any, subject: Any) -> None:
    perturbation = part("perturbation")
    counting = perturbation.Counting(subject.model)
    maps = subject.explain(subject.x, subject.target)
    part("perturbation").pixel_perturbation(counting, subject.x, subject.target, maps, **perturbation.SAME)
    assert sum(counting.passes) == 3 * 13
    sent: list[int] = []

    def model(x: Tensor) -> Tensor:
        sent.append(len(x))
        return subject.model(x)

    perturbation.bare(replace(subject, model=model), counting.passes)()
    assert sent == counting.passes


def test_perturbation_is_measured_against_bare_passes(part: Any, subject: Any) -> None:
    rows = part("perturbation").costs(subject, 1, "cpu")
    assert [row["passes_an_image"] for row in rows] == [11, 11, 11, 13]
    assert all(row["ratio"] > 0 and row["images"] == 3 for row in rows)


def test_tied_maps_have_few_values_in_the_same_order(part: Any) -> None:
    found = part("perturbation").tied(torch.tensor([-1.0, 0.5, 0.26, 0.0]).view(1, 1, 2, 2))
    assert found.flatten().tolist() == [1.0, 0.5, 5 / 16, 0.0]


def test_randomisation_counts_its_explanations(part: Any, subject: Any) -> None:
    rows = part("randomisation").costs(subject, 1, "cpu", stages=("0", "2"))
    assert [row["explanations"] for row in rows] == [3, 3]  # the last layer is a stage of its own
    assert [len(row["similarities"]) for row in rows] == [1, 4]


def test_coverage_leaves_no_tensor_of_ours_and_no_equal_pair(part: Any) -> None:
    found = part("randomisation").coverage()["ours"]
    assert (found["kept"], found["equal_pairs"]) == ([], 0)
    changed = part("randomisation")._changed({"weight": torch.ones(2, 2), "bias": torch.zeros(2)}, _layer())
    assert (changed["kept"], changed["numbers_kept"]) == (["bias"], pytest.approx(1 / 3))


def test_quantus_gives_the_same_numbers_where_nothing_ties(part: Any, subject: Any) -> None:
    pytest.importorskip("quantus", reason="quantus is NOT installed: nothing is compared with it")
    assert part("perturbation").differences(subject, subject.explain(subject.x, subject.target))["difference"] < 1e-6
    row = part("randomisation").costs(subject, 1, "cpu", beside=True)[0]
    assert row["difference"] < 1e-9
    assert row["quantus_explanations"] == 4


def test_the_overhead_is_all_but_method_and_metric(part: Any) -> None:
    row = part("running").overhead_row({"method": 2.0, "metric": 6.0, "writing": 1.0}, 0.5, 9.5, 0.0, 4)
    assert row["share"] == pytest.approx(0.2)
    assert row["share_of_execute"] == pytest.approx(1 - 8 / 9.5)
    assert row["parts"]["rest"] == pytest.approx(0.5)


def test_a_part_within_another_is_counted_once(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running, now = part("running"), iter([0.0, 1.0, 4.0, 9.0, 10.0, 12.0])
    monkeypatch.setattr(running.time, "perf_counter", lambda: next(now))
    watch = running.Stopwatch()
    inner = watch.timed("inner", lambda: None)
    watch.timed("outer", inner)()
    inner()
    assert watch.spent == {"inner": 5.0, "outer": 6.0}


def test_a_run_is_timed_by_its_parts_and_put_back(part: Any, text: str) -> None:
    running = part("running")
    before = dict(running.measures.MEASURES), running.RunFolder.write
    row = running.overhead(text)
    assert row["tasks"] == 12
    assert 0 < row["share"] < 1
    assert set(row["parts"]) == {
        "plan", "method", "metric", "images", "prediction", "models", "writing", "rest", "fold",
    }  # fmt: skip
    assert min(row["parts"].values()) >= 0
    assert (dict(running.measures.MEASURES), running.RunFolder.write) == before


def test_engines_are_compared_within_a_round(part: Any) -> None:
    table = [
        {
            "one": {"start": 0.0, "work": work, "end": 0.0, "digest": "a", "tasks": 3},
            "two": {"start": 1.0, "work": 5.0, "end": 0.5, "digest": digest, "tasks": 3},
        }
        for work, digest in ((10.0, "a"), (9.0, "a"), (5.0, "b"))
    ]
    found = part("running").engine_row("two", table)
    assert (found["speed"], found["work"], found["start"], found["same_bits"]) == (1.8, 5.0, 1.0, False)
    assert part("running").engine_row("two", table[:2])["same_bits"]


def test_one_process_gives_the_same_bits_twice(part: Any, text: str) -> None:
    found = [part("running")._by(text, {}) for _ in range(2)]
    assert found[0]["digest"] == found[1]["digest"]
    assert found[0]["work"] > 0


def test_tasks_go_to_the_device_that_is_free_first(part: Any) -> None:
    schedule = part("planning").list_schedule
    assert schedule([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert schedule([1.0, 1.0, 3.0], 2) == 4.0
    assert schedule([1.0] * 123, 64) == 2.0
    assert schedule([], 8) == 0.0


def test_the_protocol_of_images_by_hand(part: Any) -> None:
    planning = part("planning")
    units, of = planning.known(UNITS), planning.Images(images=10, chunk=5, stages=2)
    row = planning.images_row(units, of, 1)
    # an image: maps 1 + 3, two curves of 2 for either method, two stages of an explanation and a pair of maps, reading
    assert row["device_seconds"] == pytest.approx(10 * (4 + 8 + 2 * (1.5 + 3.5) + 0.5))
    assert row["tasks"] == 2 * 2 * 4
    assert row["seconds"] == pytest.approx(row["device_seconds"] + 16 * 0.125)
    assert row["longest_task"] == pytest.approx(5 * (7 + 0.5 / 8))
    many = planning.images_row(units, of, 64)
    assert many["device_seconds"] == pytest.approx(10 * (4 + 8 + 10 + 8 * 0.5))
    assert many["seconds"] == pytest.approx(many["longest_task"] + 16 * 0.125)


def test_the_protocol_of_roar_by_hand(part: Any) -> None:
    planning = part("planning")
    units = planning.known(UNITS)
    of = planning.Roar(train=100, validation=10, test=10, shares=2, seeds=3, epochs=4, chunk=60)
    one = 4 * (100 * 0.01 + 10 * 0.001) + 10 * 0.001
    row = planning.roar_row(units, of, 1)
    assert row["tasks"] == 4 + (2 * 2 + 1) * 3
    assert row["device_seconds"] == pytest.approx(120 * 0.4 + 15 * one)
    assert row["longest_task"] == pytest.approx(one)
    assert planning.roar_row(units, of, 8)["seconds"] == pytest.approx(60 * 0.3 + 2 * one + 19 * 0.125)


def test_units_survive_the_file(part: Any) -> None:
    planning = part("planning")
    assert planning.plain(planning.known(UNITS)) == UNITS
    assert len(planning.table(planning.known(UNITS), planning.Images(images=16), planning.Roar())) == 6


def test_every_unit_is_measured(part: Any, subject: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    planning = part("planning")
    monkeypatch.setattr(planning, "METHODS", {"gradient": {}})
    monkeypatch.setattr(planning, "training_step", lambda device, rounds: 1.0)
    found = planning.plain(planning.units(subject, 1.0, 1.0, "cpu", 1))
    assert found["explain"].keys() == {"gradient"}
    assert all(value > 0 for value in found.values() if isinstance(value, float))
    assert found["explain"]["gradient"] > 0


def test_a_training_step_is_measured(part: Any) -> None:
    assert part("planning").training_step("cpu", 1, width=2, batch=4) > 0


def test_what_takes_long_is_called_once(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    planning, told = part("planning"), []
    times = iter([1.0, 6.0, 2.0, 3.0])
    monkeypatch.setattr(planning, "seconds", lambda call, device: told.append(call) or next(times))
    assert planning._each(lambda: None, 2, "cpu", 3) == 1.5
    times = iter([planning.LONG + 4])
    assert planning._each(lambda: None, 2, "cpu", 3) == 4.0
    assert len(told) == 5


def test_ratios_are_of_the_same_round(part: Any) -> None:
    clock = part("clock")
    table = [{"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 3.0}, {"a": 8.0, "b": 2.0}]
    assert clock.ratio(table, "a", "b") == 3.0
    assert clock.median(table, "a") == 8.0
    told: list[str] = []
    calls = {"a": lambda: told.append("a"), "b": lambda: told.append("b")}
    assert [set(row) for row in clock.rounds_of(calls, 2, "cpu")] == [{"a", "b"}] * 2
    assert told == ["a", "b"] * 3


def test_tables_show_every_section(part: Any) -> None:
    planning = part("planning")
    table = planning.table(planning.known(UNITS), planning.Images(images=16), planning.Roar())
    text = part("tables").markdown({**RESULTS, "planning": {"units": UNITS, "table": table}})
    for cells in (
        "| LeRF, net | 11 | 2 | 2.2 | 1.10 |  |  |",
        "| MoRF, net | 13 | 2 | 2.2 | 1.10 | 1 | 2.00 |",
        "| net, spearman | 26 | 12.0 s | 10.0 s | 1.20 | 27 | 15.0 | 1.25 |",
        "| ours | 30 of 30 | 0 % | 0 |",
        "| small | 6 | 7.0 s | 4.0 % | plan 0.50 |",
        "| one | 0.0 s | 19.0 s | 0.0 s | 1.00 | yes |",
        "| Ray | 5.0 s | 10.0 s | 1.0 s | 1.90 | NO |",
        "| explanation by method | a 1, b 3 |",
    ):
        assert cells in text
    assert part("tables").markdown({"ray": RESULTS["ray"]}).count("\n") == 4


def test_spans_are_read_in_their_largest_unit(part: Any) -> None:
    span = part("tables").span
    assert [span(s) for s in (0.5, 90.0, 7200.0, 864000.0)] == ["0.5 s", "1.5 min", "2.0 h", "10.0 days"]


def _layer() -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.zeros_(layer.bias)
    return layer
