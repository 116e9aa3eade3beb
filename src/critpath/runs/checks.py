"""A plan file, read and checked: the first thing that is wrong is named with its line, and with what would be right."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import torch

from critpath.attribution.family import ATTRIBUTIONS
from critpath.errors import OptionError
from critpath.memory import limit_of
from critpath.options import check_choice, check_count, check_flag, shown
from critpath.runs.document import Node, read_document, unknown
from critpath.runs.kinds import KINDS, checked_kind
from critpath.runs.plan import (
    MAPS,
    RANDOM,
    VERSION,
    Evaluation,
    MethodEntry,
    MetricEntry,
    Plan,
)
from critpath.runs.programs import program_entry
from critpath.runs.sources import Sources, data_entry, model_entry, overlap
from critpath.runs.trials import check_method

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""What parts of a plan may be called: tasks and files are named after them."""

LONGEST = 50
"""Characters in the name of an evaluation."""

EVALUATED = ("models", "data", "methods", "metrics", "evaluations")
"""Parts of a plan that go together; a plan of programs may do without all of them."""

KEYS = (
    *("version", *EVALUATED, "programs"),
    *("seed", "batch", "threads", "maps", "device", "memory", "random"),
)

T = TypeVar("T")


def read_plan(path: str | Path) -> Plan:
    """The plan in a YAML file, with every default filled in; relative paths start from the file's folder.

    The data are opened, so that it is known how many images there are; a function of the user's that gives data is
    run. Raises OptionError ("plan.yaml:12: ...") for the first thing that is wrong, StorageError where the file
    cannot be read, MissingDependencyError.
    """
    file = Path(path).expanduser()
    return plan_of_document(read_document(file), Sources(file.resolve().parent))


def plan_of_document(root: Node, sources: Sources) -> Plan:
    """The plan of a document that was read; see ``read_plan``."""
    top = root.mapping("a mapping of version, models, data, methods, metrics and evaluations, or of programs")
    only(top, "a plan", KEYS)
    _check_version(root, top)
    settings = _settings(top)
    seed = settings["seed"]
    if "programs" in top:
        settings["programs"] = _named(root, top, "programs", lambda name, node: program_entry(node, sources))
        if not any(name in top for name in EVALUATED):
            return Plan({}, {}, {}, {}, (), **settings)
    models = _named(root, top, "models", lambda name, node: model_entry(node, sources))
    data = _named(root, top, "data", lambda name, node: data_entry(node, sources))
    methods = _named(root, top, "methods", lambda name, node: _method(name, node, sources, seed))
    metrics = _named(root, top, "metrics", lambda name, node: _metric(name, node, sources, seed))
    methods = _with_random(methods, top, seed)
    _check_maps(metrics, settings["maps"], top)
    plan = Plan(models, data, methods, metrics, (), **settings)
    return Plan(models, data, methods, metrics, _evaluations(root, top, plan), **settings)


def only(given: Mapping[str, Node], what: str, known: Sequence[str]) -> None:
    """Raises OptionError for a key that is not known, with the nearest one."""
    for name, node in given.items():
        if name not in known:
            raise node.error(f"{name!r} is no key of {what}; {unknown('it takes', name, known)}")


def _check_version(root: Node, top: Mapping[str, Node]) -> None:
    if "version" not in top:
        raise root.error(f"the plan says no version: begin it with version: {VERSION}")
    if (given := top["version"].plain()) != VERSION or isinstance(given, bool):
        raise top["version"].error(f"version is {shown(given)}; this critpath reads version {VERSION}")


def _settings(top: Mapping[str, Node]) -> dict[str, Any]:
    checks: Mapping[str, tuple[Any, Callable[[str, Any], None]]] = {
        "seed": (0, lambda name, value: check_count(name, value, 0)),
        "batch": (8, lambda name, value: check_count(name, value, 1)),
        "threads": (_cores(), lambda name, value: check_count(name, value, 1)),
        "maps": ("reduced", lambda name, value: check_choice(name, value, MAPS)),
        "device": ("cpu", _check_device),
        "memory": ("1GiB", _check_memory),
    }
    return {name: top[name].check(check, name) if name in top else default for name, (default, check) in checks.items()}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_device(name: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z]+(:[0-9]+)?", value):
        raise OptionError(f"{name} is {shown(value)}; it is a device as torch names it, cpu, cuda or cuda:0")


def _check_memory(name: str, value: Any) -> None:
    if value is None:
        raise OptionError(f"{name} is None; it is a number of bytes, or text like '4GiB' or '500 MB'")
    limit_of(value, torch.device("cpu"))


def _named(root: Node, top: Mapping[str, Node], part: str, make: Callable[[str, Node], T]) -> dict[str, T]:
    """A part's entries by name: a mapping, or for methods and metrics also a list of registered names."""
    if part not in top:
        raise root.error(f"the plan has no {part}: add {part}, a mapping of names")
    node = top[part]
    if isinstance(node.value, tuple) and part in ("methods", "metrics"):
        given = {name: _bare(item) for item in node.value for name in [_text(item)]}
        if len(given) < len(node.value):
            raise node.error(f"{part} names one twice: {', '.join(map(_text, node.value))}")
    else:
        given = dict(node.mapping("a mapping of names"))
    if not given:
        raise node.error(f"{part} is empty: name at least one")
    for name, entry in given.items():
        check_name(name, entry, part)
    return {name: make(name, entry) for name, entry in given.items()}


def check_name(name: str, node: Node, part: str) -> None:
    """Raises OptionError for what cannot be part of a task's name."""
    if not NAME.fullmatch(name):
        raise node.error(
            f"{name!r} under {part} is no name: use at most 32 small letters, digits, - and _, beginning with a letter "
            "or a digit"
        )


def _bare(node: Node) -> Node:
    return Node(None, node.line, node.file, node.path)


def _text(node: Node) -> str:
    if not isinstance(value := node.plain(), str):
        raise node.error(f"{node.path} is {shown(value)}; it is a name")
    return value


def _entry(node: Node) -> Mapping[str, Node]:
    """An entry's keys; one that is left empty has none."""
    return {} if node.value is None else node.mapping("a mapping of options")


def _method(name: str, node: Node, sources: Sources, seed: int) -> MethodEntry:
    given = _entry(node)
    if "python" in given:
        only(given, "a method of one's own", ("python",))
        spec, files = sources.function(given["python"])
        return MethodEntry(python=spec, files=files)
    registered = (given["method"] if "method" in given else Node(name, node.line, node.file, f"method {name}")).known(
        "there are", ATTRIBUTIONS.names()
    )
    takes = ATTRIBUTIONS[registered].options()
    options = {key: value for key, value in given.items() if key != "method"}
    only(options, f"the method {registered}", ("method", *takes))
    plain = {key: value.plain() for key, value in options.items()}
    with node.blamed():
        check_method(registered, plain)
    return MethodEntry(registered, {**({"seed": seed} if "seed" in takes else {}), **plain})


def _metric(name: str, node: Node, sources: Sources, seed: int) -> MetricEntry:
    given = _entry(node)
    kind = (given["metric"] if "metric" in given else Node(name, node.line, node.file, f"metric {name}")).known(
        "there are", tuple(KINDS)
    )
    options = {key: value for key, value in given.items() if key != "metric"}
    only(options, f"the metric {kind}", ("metric", *KINDS[kind].options))
    plain = {key: value.plain() for key, value in options.items()}
    files: dict[str, str] = {}
    recipe = options["recipe"].value if "recipe" in options else None
    if isinstance(recipe, dict) and "model" in recipe:
        plain["recipe"]["model"], files = sources.function(recipe["model"])
    with _blamed_options(node, options).blamed():
        return MetricEntry(kind, checked_kind(kind, plain, seed), files=files)


def _blamed_options(node: Node, options: Mapping[str, Node]) -> Node:
    """The line of an option that stands alone, else of the entry."""
    return next(iter(options.values())) if len(options) == 1 else node


def _with_random(methods: dict[str, MethodEntry], top: Mapping[str, Node], seed: int) -> dict[str, MethodEntry]:
    """The methods, and a row of random maps unless there is one or the plan does without."""
    wanted = top["random"].check(check_flag, "random") if "random" in top else True
    if not wanted or any(entry.method == RANDOM for entry in methods.values()):
        return methods
    if RANDOM in methods:
        raise top["methods"].error(f"a method is called {RANDOM!r} and is another one: rename it, or set random: false")
    return {**methods, RANDOM: MethodEntry(RANDOM, {"seed": seed})}


def _check_maps(metrics: Mapping[str, MetricEntry], maps: str, top: Mapping[str, Node]) -> None:
    """Maps that were reduced to one channel have no scalars, and one number a pixel."""
    for name, entry in metrics.items():
        options = entry.options
        if maps == "reduced" and (options.get("reduce", "max_abs") != "max_abs" or options.get("unit") == "scalar"):
            raise top["metrics"].error(
                f"the metric {name} needs all channels of the maps (reduce {options.get('reduce')!r}, unit "
                f"{options.get('unit')!r}): set maps: full"
            )


def _evaluations(root: Node, top: Mapping[str, Node], plan: Plan) -> tuple[Evaluation, ...]:
    node = top.get("evaluations")
    items: Sequence[Node] = [_bare(root)] if node is None else node.items("a list of evaluations, and not empty")
    found: dict[str, Evaluation] = {}
    for item in items:
        evaluation = _evaluation(item, plan)
        if evaluation.name in found:
            raise item.error(f"two evaluations are called {evaluation.name!r}: give one of them another name")
        found[evaluation.name] = evaluation
    return tuple(found.values())


def _evaluation(node: Node, plan: Plan) -> Evaluation:
    given = _entry(node)
    only(given, "an evaluation", ("name", "model", "data", "metrics", "methods", "train", "validation", "test"))
    metrics = _chosen(node, given, "metrics", plan.metrics)
    retrained = any(KINDS[plan.metrics[m].metric].over == "retraining" or _tuned(plan, m) for m in metrics)
    splits = {part: _one(node, given, part, plan.data) for part in ("train", "validation", "test") if part in given}
    model = _one(node, given, "model", plan.models)
    data = splits["test"] if "data" not in given and "test" in splits else _one(node, given, "data", plan.data)
    if retrained:
        _check_splits(node, plan, splits, metrics)
    name = _text(given["name"]) if "name" in given else f"{model}-{data}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or len(name) > LONGEST:
        raise node.error(
            f"{name!r} is no name for an evaluation: give a name of at most {LONGEST} small letters, digits, - and _"
        )
    methods = _chosen(node, given, "methods", plan.methods)
    row = [name for name, entry in plan.methods.items() if entry.method == RANDOM][:1]
    methods = (*methods, *(r for r in row if r not in methods))
    parts = (splits.get(part) for part in ("train", "validation", "test"))
    return Evaluation(name, model, data, metrics, methods, *parts)


def _tuned(plan: Plan, metric: str) -> bool:
    return KINDS[plan.metrics[metric].metric].tuned


def _check_splits(node: Node, plan: Plan, splits: Mapping[str, str], metrics: Sequence[str]) -> None:
    tested = any(KINDS[plan.metrics[m].metric].over == "retraining" for m in metrics)
    for part in ("train", "test") if tested else ("train",):
        if part not in splits:
            raise node.error(
                f"this evaluation trains networks ({', '.join(metrics)}) and names no {part} data: add {part}: NAME, "
                f"one of {', '.join(plan.data)}"
            )
    _check_labelled(node, plan, splits)
    for (part, name), (other, its) in combinations(splits.items(), 2):
        if why := "both are one" if name == its else overlap(plan.data[name], plan.data[its]):
            raise node.error(
                f"networks would be tested on what they were trained on: {part} {name!r} and {other} {its!r}, {why}"
            )


def _check_labelled(node: Node, plan: Plan, splits: Mapping[str, str]) -> None:
    for part, name in splits.items():
        if not plan.data[name].labelled:
            raise node.error(f"networks are trained on labels, and the {part} data {name!r} have none")


def _one(node: Node, given: Mapping[str, Node], part: str, entries: Mapping[str, Any]) -> str:
    """The name that the evaluation gives, or the only one that there is."""
    if part in given:
        return given[part].known("the plan names", tuple(entries))
    if len(entries) == 1:
        return next(iter(entries))
    raise node.error(f"the evaluation names no {part}; it is one of {', '.join(entries)}")


def _chosen(node: Node, given: Mapping[str, Node], part: str, entries: Mapping[str, Any]) -> tuple[str, ...]:
    """The names that the evaluation lists, or all."""
    if part not in given:
        return tuple(entries)
    names = [item.known("the plan names", tuple(entries)) for item in given[part].items("a list of names")]
    if len(set(names)) < len(names):
        raise given[part].error(f"{part} names one twice: {', '.join(names)}")
    return tuple(names)
