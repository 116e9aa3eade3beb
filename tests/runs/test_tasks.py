"""A plan cut into tasks: everything once, everything covered, and nothing that depends on who does it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from critpath.runs.kinds import KINDS
from critpath.runs.plan import DataEntry, Evaluation, MethodEntry, MetricEntry, ModelEntry, Plan
from critpath.runs.task import Task, digests, in_order
from critpath.runs.tasks import chunks, explanation_cost, tasks_of


def metric(kind: str, **options: Any) -> MetricEntry:
    return MetricEntry(kind, {**KINDS[kind].options, **options})


def data(images: int) -> DataEntry:
    return DataEntry("arrays", f"/{images}.npz", images=images, labelled=True, digest=str(images))


METRICS = {
    "lerf": metric("pixel_perturbation"),
    "morf": metric("pixel_perturbation", order="morf"),
    "sanity": metric("parameter_randomisation"),
    "alike": metric("map_agreement"),
    "fid": metric("f_fidelity"),
    "features": metric("feature_selection"),
    "roar": metric("roar", shares=[0.1, 0.5], seeds=[0, 1]),
    "kar": metric("roar", shares=[0.3], seeds=[1], keep=True),
}
METHODS = {
    "gradient": MethodEntry("gradient"),
    "mine": MethodEntry(python="/m.py:explain"),
    "random": MethodEntry("random", {"seed": 0}),
}
SPLITS = {"train": "train", "validation": "validation", "test": "test"}


def plan(*metrics: str, batch: int = 4, **changes: Any) -> Plan:
    evaluation = Evaluation("e", "net", "test", metrics, tuple(METHODS), **SPLITS)
    found = Plan(
        {"net": ModelEntry("digits")},
        {"train": data(10), "validation": data(3), "test": data(9)},
        METHODS,
        METRICS,
        (evaluation,),
        batch=batch,
    )
    return replace(found, **changes)


EVERYTHING = plan(*METRICS)


def kinds(tasks: tuple[Task, ...]) -> Counter[str]:
    return Counter(task.kind for task in tasks)


@pytest.mark.parametrize("batch", [1, 4, 9, 100])
def test_every_image_is_in_one_chunk(batch: int) -> None:
    found = chunks(plan("lerf", batch=batch), "test")
    assert [i for chunk in found for i in range(chunk.first, chunk.stop)] == list(range(9))
    assert [chunk.number for chunk in found] == list(range(len(found)))
    assert all(1 <= chunk.images <= batch for chunk in found)


def test_order_names_and_needs() -> None:
    tasks = tasks_of(EVERYTHING)
    assert len({task.name for task in tasks}) == len(tasks)
    assert in_order(tasks) == tasks
    assert tasks == tasks_of(EVERYTHING)


def test_numbers_of_tasks() -> None:
    found = kinds(tasks_of(EVERYTHING))
    assert found["maps"] == 3 * 3 + 2 * (3 + 1)  # methods x chunks of test; all but random, of train and validation
    assert found["measure"] == 4 * 3 * 3  # metrics x methods x chunks
    assert found["agreement"] == 3
    assert found["tuning"] == 1
    assert (found["importances"], found["selection"]) == (3, 1)
    assert found["retraining"] == 3 * (2 * 2 + 1) + 2  # methods x (ROAR + KAR) + seeds of unmodified images
    assert found["common"] == 1
    assert found["same"] == 1  # KAR's unmodified images, trained for ROAR


def test_another_recipe_is_trained_again() -> None:
    other = {**METRICS, "kar": metric("roar", shares=[0.3], seeds=[1], recipe={"epochs": 2})}
    assert kinds(tasks_of(plan("roar", "kar", metrics=other)))["same"] == 0
    seed = {**METRICS, "kar": metric("roar", shares=[0.3], seeds=[5])}
    assert kinds(tasks_of(plan("roar", "kar", metrics=seed)))["same"] == 0


def test_maps_are_shared_by_metrics_and_evaluations() -> None:
    one = {task.name for task in tasks_of(plan("lerf")) if task.kind == "maps"}
    several = plan("lerf", "morf", "sanity", "alike")
    twice = replace(several, evaluations=(*several.evaluations, replace(several.evaluations[0], name="again")))
    assert {task.name for task in tasks_of(twice) if task.kind == "maps"} == one
    assert kinds(tasks_of(twice))["measure"] == 2 * 3 * 3 * 3


def test_maps_are_the_same_whatever_else_is_measured() -> None:
    few, many = (digests(tasks_of(p)) for p in (plan("lerf"), EVERYTHING))
    assert {name: many[name] for name in few} == few


def test_unmodified_images_are_trained_on_once() -> None:
    """Also where two evaluations train on the same images; not where another method may leave out others."""
    first = plan("roar")
    for methods, once in ((tuple(METHODS), True), (("random", "mine", "gradient"), True), (("mine", "random"), False)):
        again = replace(first.evaluations[0], name="again", methods=methods, metrics=("kar",))
        tasks = {task.name: task for task in tasks_of(replace(first, evaluations=(*first.evaluations, again)))}
        assert tasks["again.kar.unmodified.1"].kind == ("same" if once else "retraining")
        assert tasks["again.kar.unmodified.1"].needs == (("e.roar.unmodified.1",) if once else ("common.again",))


def test_importances_are_shared_by_metrics_and_evaluations() -> None:
    others = {
        "fewer": metric("feature_selection", counts=[5], seed=3),
        "other": metric("feature_selection", methods=["taylor"]),
    }
    given = plan("features", "fewer", metrics={**METRICS, **others})
    twice = replace(given, evaluations=(*given.evaluations, replace(given.evaluations[0], name="again")))
    tasks = {task.name: task for task in tasks_of(twice)}
    assert kinds(tuple(tasks.values()))["importances"] == 3
    needs = {tasks[f"{e}.{m}.all"].needs for e in ("e", "again") for m in ("features", "fewer")}
    assert len(needs) == 1
    three = plan("features", "fewer", "other", metrics={**METRICS, **others})
    assert kinds(tasks_of(three))["importances"] == 6


def test_what_parts_are_for_counts() -> None:
    """Swapping the images to train on and to test on gives other results."""
    one = plan("roar")
    swapped = replace(one.evaluations[0], train="test", test="train")
    other = replace(one, evaluations=(swapped,))
    mine, theirs = ({task.name: task for task in tasks_of(p)} for p in (one, other))
    name = "e.roar.unmodified.0"
    assert mine[name].facts["depends"] != theirs[name].facts["depends"]


def test_a_metric_needs_its_maps() -> None:
    tasks = {task.name: task for task in tasks_of(EVERYTHING)}
    assert tasks["e.lerf.mine.000001"].needs == ("maps.net.test.mine.000001",)
    assert tasks["e.fid.mine.000001"].needs == ("maps.net.test.mine.000001", "e.fid.tuned")
    assert tasks["e.alike.000002"].needs == tuple(f"maps.net.test.{m}.000002" for m in METHODS)
    of_all = tasks["e.roar.mine.0.1.0"].needs
    wanted = [("train", 3), ("validation", 1), ("test", 3)]
    of_mine = tuple(f"maps.net.{d}.mine.{i:06d}" for d, n in wanted for i in range(n))
    assert of_all == ("common.e", *of_mine)
    assert tasks["e.roar.random.0.1.0"].needs == tasks["e.roar.unmodified.0"].needs == ("common.e",)
    assert tasks["common.e"].needs == (*(name.replace("mine", "gradient") for name in of_mine), *of_mine)
    assert tasks["e.kar.unmodified.1"].needs == ("e.roar.unmodified.1",)


CHANGES: list[dict[str, Any]] = [
    {"models": {"net": ModelEntry("torchvision:resnet18")}},
    {"models": {"net": ModelEntry("digits", files={"/m.py": "1"})}},
    {"data": {**EVERYTHING.data, "test": replace(EVERYTHING.data["test"], digest="other")}},
    {"methods": {**METHODS, "gradient": MethodEntry("input_gradient")}},
    {"methods": {**METHODS, "gradient": MethodEntry(python="/m.py:explain", files={"/m.py": "2"})}},
    {"threads": 2},
    {"batch": 5},
    {"maps": "full"},
]


@pytest.mark.parametrize("change", CHANGES)
def test_digests_change_with_what_a_result_depends_on(change: dict[str, Any]) -> None:
    before, after = digests(tasks_of(plan("lerf"))), digests(tasks_of(plan("lerf", **change)))
    for name in ("maps.net.test.gradient.000000", "e.lerf.gradient.000000"):
        assert before[name] != after[name]


def test_digests_of_a_metric_change_with_its_options_and_not_those_of_maps() -> None:
    before = digests(tasks_of(plan("lerf")))
    after = digests(tasks_of(plan("lerf", metrics={**METRICS, "lerf": metric("pixel_perturbation", shares=[0.5])})))
    assert before["e.lerf.gradient.000000"] != after["e.lerf.gradient.000000"]
    assert before["maps.net.test.gradient.000000"] == after["maps.net.test.gradient.000000"]


def test_a_device_changes_no_digest() -> None:
    assert digests(tasks_of(plan("lerf"))) == digests(tasks_of(plan("lerf", device="cuda")))


def test_costs_follow_options() -> None:
    base = explanation_cost(MethodEntry("smoothgrad"))
    assert explanation_cost(MethodEntry("smoothgrad", {"samples": 50})) == pytest.approx(2 * base)
    assert explanation_cost(MethodEntry("gradient")) == explanation_cost(MethodEntry(python="/m.py:explain")) == 3
    whole = {task.name: task for task in tasks_of(EVERYTHING)}
    assert whole["e.lerf.mine.000000"].cost == 4 * (len(KINDS["pixel_perturbation"].options["shares"]) + 1)
    assert whole["e.lerf.mine.000002"].images == 1
    assert whole["e.roar.mine.0.1.0"].cost == 22 * 50 * 3


def test_longest_names_are_names() -> None:
    long = "a" * 32
    evaluation = Evaluation("e" * 50, long, long, (long,), (long,), long, long, long)
    tasks_of(
        Plan(
            {long: ModelEntry("digits")},
            {long: data(3)},
            {long: MethodEntry("gradient")},
            {long: metric("roar", shares=[0.123456], seeds=[123456])},
            (evaluation,),
        )
    )
