"""A plan, cut into tasks: maps first, then what is measured on them; equal whoever does them, in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from inspect import signature
from typing import Any

from critpath.attribution.family import ATTRIBUTIONS
from critpath.neurons import NeuronSpace, Site
from critpath.runs.kinds import KINDS, PASS, STAGES
from critpath.runs.plan import RANDOM, Evaluation, MethodEntry, Plan
from critpath.runs.task import Task, canonical

SPLITS = ("train", "validation", "test")
PROGRAM = "program"
"""The kind of the tasks that are parts of programs."""

COUNTED = ("points", "samples", "steps")
"""Options that a method's cost is proportional to."""


@dataclass(frozen=True)
class Chunk:
    """Images ``first`` to ``stop`` of a data set, the ``number``th chunk."""

    number: int
    first: int
    stop: int

    @property
    def images(self) -> int:
        return self.stop - self.first


@dataclass(frozen=True, eq=False)
class Cut:
    """A plan while it is cut, with what thousands of its tasks have in common."""

    plan: Plan
    known: dict[tuple[str, ...], str] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)

    def digest(self, what: str, model: str, data: str, method: str = "", metric: str = "", parts: str = "") -> str:
        """sha256 over all that a result depends on besides its images: entries of the plan, seed, threads.

        ``data`` are names with commas between, and ``parts`` what they are for; "maps" depend on how they are kept,
        and neither they nor "importances" on the seed.
        """
        key = (what, model, data, method, metric, parts)
        if key not in self.known:
            self.known[key] = sha256(canonical(self._facts(*key))).hexdigest()
        return self.known[key]

    def _facts(self, what: str, model: str, data: str, method: str, metric: str, parts: str) -> dict[str, Any]:
        plan = self.plan
        more: Mapping[str, dict[str, Any]] = {"maps": {"maps": plan.maps}, "importances": {}}
        return {
            "model": asdict(plan.models[model]),
            "data": {name: asdict(plan.data[name]) for name in data.split(",")},
            "method": asdict(plan.methods[method]) if method else None,
            "metric": asdict(plan.metrics[metric]) if metric else None,
            "threads": plan.threads,
            "memory": plan.memory,
            **more.get(what, {"seed": plan.seed, "parts": parts}),
        }

    def explanation(self, method: str) -> float:
        """``explanation_cost`` of a method of the plan."""
        if method not in self.costs:
            self.costs[method] = explanation_cost(self.plan.methods[method])
        return self.costs[method]


def tasks_of(plan: Plan) -> tuple[Task, ...]:
    """All tasks of a plan, in an order in which each comes after those it needs.

    Chunk by chunk, so that images that were read serve all methods and metrics; then what needs all chunks. Maps are
    tasks of their own, one for each model, data set, method and chunk, whoever asks for them; so are importances.
    """
    found: dict[str, Task] = {}
    cut = Cut(plan)
    for model, data in _pairs(plan):
        for chunk in chunks(plan, data):
            for task in _of_chunk(cut, model, data, chunk):
                found.setdefault(task.name, task)
    for evaluation in plan.evaluations:
        for name in evaluation.metrics:
            for task in _of_all(cut, evaluation, name):
                found.setdefault(task.name, task)
    return (*found.values(), *_of_programs(plan))


def _of_programs(plan: Plan) -> Iterator[Task]:
    """A task for each part; what a part depends on does not hold the names of the others."""
    for name, entry in plan.programs.items():
        own = {field: value for field, value in asdict(entry).items() if field != "parts"}
        facts = {"entry": own, "seed": plan.seed, "threads": plan.threads, "memory": plan.memory}
        depends = sha256(canonical(facts)).hexdigest()
        for part in entry.parts:
            yield Task(PROGRAM, f"{PROGRAM}.{name}.{part}", {"program": name, "part": part, "depends": depends})


def chunks(plan: Plan, data: str) -> tuple[Chunk, ...]:
    """The chunks of a data set: ``batch`` images each, however many workers there are."""
    total = plan.data[data].images
    starts = range(0, total, plan.batch)
    return tuple(Chunk(number, first, min(first + plan.batch, total)) for number, first in enumerate(starts))


def maps_name(model: str, data: str, method: str, chunk: int) -> str:
    """What the task of some maps is called."""
    return f"maps.{model}.{data}.{method}.{chunk:06d}"


def _pairs(plan: Plan) -> list[tuple[str, str]]:
    """Models with data that maps or importances are made of, each once."""
    return list(dict.fromkeys((e.model, data) for e in plan.evaluations for data in _data_of(plan, e)))


def _data_of(plan: Plan, evaluation: Evaluation) -> Iterator[str]:
    over = [KINDS[plan.metrics[name].metric].over for name in evaluation.metrics]
    if any(kind != "retraining" for kind in over):
        yield evaluation.data
    if "retraining" in over:
        yield from (name for name in splits_of(evaluation).values() if name)


def splits_of(evaluation: Evaluation) -> dict[str, str | None]:
    """The data that networks are retrained on, by part."""
    return {part: getattr(evaluation, part) for part in SPLITS}


def drawn(plan: Plan, method: str) -> bool:
    """Whether a method's maps are random: networks are retrained on maps drawn anew for each seed."""
    return plan.methods[method].method == RANDOM


def mapped(plan: Plan, evaluation: Evaluation) -> tuple[str, ...]:
    """The methods whose maps networks are retrained on, all but random ones."""
    return tuple(method for method in evaluation.methods if not drawn(plan, method))


def _of_chunk(cut: Cut, model: str, data: str, chunk: Chunk) -> Iterator[Task]:
    maps = cache(lambda method: _maps(cut, model, data, method, chunk))
    for evaluation in cut.plan.evaluations:
        if evaluation.model != model:
            continue
        for name in evaluation.metrics:
            over = KINDS[cut.plan.metrics[name].metric].over
            if over == "retraining" and data in splits_of(evaluation).values():
                yield from map(maps, mapped(cut.plan, evaluation))
            elif over != "retraining" and data == evaluation.data:
                yield from _measured(cut, evaluation, name, over, chunk, maps)


def _measured(
    cut: Cut, evaluation: Evaluation, metric: str, over: str, chunk: Chunk, maps_of: Callable[[str], Task]
) -> Iterator[Task]:
    if over == "features":
        yield _importances(cut, evaluation, metric, chunk)
        return
    maps = {method: maps_of(method) for method in evaluation.methods}
    yield from maps.values()
    if over == "methods":
        needs = tuple(task.name for task in maps.values())
        yield _metric(cut, evaluation, metric, "agreement", f"{chunk.number:06d}", chunk, needs)
        return
    tuned: tuple[str, ...] = ()
    if KINDS[cut.plan.metrics[metric].metric].tuned:
        tuning = _tuning(cut, evaluation, metric)
        tuned = (tuning.name,)
        yield tuning
    for method, task in maps.items():
        rest = f"{method}.{chunk.number:06d}"
        yield _metric(cut, evaluation, metric, "measure", rest, chunk, (task.name, *tuned), method)


def _of_all(cut: Cut, evaluation: Evaluation, metric: str) -> Iterator[Task]:
    over = KINDS[cut.plan.metrics[metric].metric].over
    if over == "features":
        parts = [_importances(cut, evaluation, metric, chunk) for chunk in _own(cut, evaluation)]
        needs = tuple(part.name for part in parts)
        yield _metric(cut, evaluation, metric, "selection", "all", None, needs, cost=float(len(parts)))
    if over == "retraining":
        yield _common(cut, evaluation)
        yield from _retrainings(cut, evaluation, metric)


def _own(cut: Cut, evaluation: Evaluation) -> tuple[Chunk, ...]:
    return chunks(cut.plan, evaluation.data)


def _maps(cut: Cut, model: str, data: str, method: str, chunk: Chunk) -> Task:
    facts = {
        "model": model,
        "data": data,
        "method": method,
        **_range(chunk),
        "depends": cut.digest("maps", model, data, method),
    }
    cost = chunk.images * (1 + cut.explanation(method))
    return Task("maps", maps_name(model, data, method, chunk.number), facts, (), chunk.images, cost)


def _importances(cut: Cut, evaluation: Evaluation, metric: str, chunk: Chunk) -> Task:
    """Importances by some methods at some sites, for whichever metrics select by them."""
    model, data, options = evaluation.model, evaluation.data, cut.plan.metrics[metric].options
    asked = {"methods": list(options["methods"]), "sites": options["sites"]}
    facts = {"model": model, "data": data, **asked, **_range(chunk), "depends": cut.digest("importances", model, data)}
    name = f"importances.{model}.{data}.{sha256(canonical(asked)).hexdigest()[:8]}.{chunk.number:06d}"
    cost = chunk.images * KINDS[cut.plan.metrics[metric].metric].cost(options, PASS)
    return Task("importances", name, facts, (), chunk.images, cost)


def _common(cut: Cut, evaluation: Evaluation) -> Task:
    """Which images every method has a map of: all networks of an evaluation are trained and tested on these."""
    methods, parts = mapped(cut.plan, evaluation), splits_of(evaluation)
    needs = tuple(name for method in methods for name in _all_maps(cut, evaluation, method))
    facts = {
        "evaluation": evaluation.name,
        "model": evaluation.model,
        "parts": parts,
        "methods": list(methods),
        "depends": cut.digest("common", evaluation.model, ",".join(_used(evaluation))),
    }
    return Task("common", common_name(evaluation), facts, needs, 0, 1e-2 * max(1, len(needs)))


def common_name(evaluation: Evaluation) -> str:
    """What the task that finds an evaluation's common images is called."""
    return f"common.{evaluation.name}"


def _all_maps(cut: Cut, evaluation: Evaluation, method: str) -> tuple[str, ...]:
    """The tasks of a method's maps of all images that networks are trained or tested on."""
    names = dict.fromkeys(name for name in splits_of(evaluation).values() if name)
    return tuple(
        maps_name(evaluation.model, data, method, chunk.number) for data in names for chunk in chunks(cut.plan, data)
    )


def _metric(
    cut: Cut,
    evaluation: Evaluation,
    metric: str,
    kind: str,
    rest: str,
    chunk: Chunk | None,
    needs: tuple[str, ...] = (),
    method: str | None = None,
    cost: float | None = None,
    **facts: Any,
) -> Task:
    """A task of a metric: ``kind`` is what is done, ``rest`` the end of its name."""
    entry = cut.plan.metrics[metric]
    images = chunk.images if chunk else 0
    if cost is None:
        cost = images * KINDS[entry.metric].cost(entry.options, cut.explanation(method) if method else PASS)
    names = {"evaluation": evaluation.name, "model": evaluation.model, "data": evaluation.data, "metric": metric}
    facts = {
        **names,
        **({"method": method} if method is not None else {}),
        **(_range(chunk) if chunk else {}),
        **facts,
        "depends": cut.digest(
            "metric", evaluation.model, ",".join(_used(evaluation)), method or "", metric, _parts(evaluation)
        ),
    }
    return Task(kind, f"{evaluation.name}.{metric}.{rest}", facts, needs, images, max(cost, 1e-3))


def _used(evaluation: Evaluation) -> list[str]:
    return sorted({evaluation.data, *(name for name in splits_of(evaluation).values() if name)})


def _parts(evaluation: Evaluation) -> str:
    return ",".join(f"{part}={name}" for part, name in splits_of(evaluation).items() if name)


def _range(chunk: Chunk) -> dict[str, int]:
    return {"chunk": chunk.number, "first": chunk.first, "stop": chunk.stop}


def _tuning(cut: Cut, evaluation: Evaluation, metric: str) -> Task:
    """The network that is fine-tuned once for all methods and images."""
    given = cut.plan.metrics[metric].options
    epochs = float(given["tuning"].get("epochs", 10))
    images = cut.plan.data[evaluation.train].images if evaluation.train else 1
    return _metric(cut, evaluation, metric, "tuning", "tuned", None, cost=PASS * epochs * images)


def _retrainings(cut: Cut, evaluation: Evaluation, metric: str) -> Iterator[Task]:
    """One task a share and seed, for every method, and one a seed for the images as they are."""
    options = cut.plan.metrics[metric].options
    images = sum(cut.plan.data[name].images for name in splits_of(evaluation).values() if name)
    cost = images * KINDS["roar"].cost(options, 0.0)
    for seed in options["seeds"]:
        yield _unmodified(cut, evaluation, metric, seed, cost)
    for method in evaluation.methods:
        own = () if drawn(cut.plan, method) else _all_maps(cut, evaluation, method)
        needs = (common_name(evaluation), *own)
        for seed in options["seeds"]:
            for share in options["shares"]:
                rest = f"{method}.{float(share)!r}.{seed}"
                yield _metric(
                    cut, evaluation, metric, "retraining", rest, None, needs, method, cost, share=share, seed=seed
                )


def _unmodified(cut: Cut, evaluation: Evaluation, metric: str, seed: int, cost: float) -> Task:
    """A training on unmodified images; what trains like an earlier metric or evaluation takes its result."""
    facts = {"share": 0.0, "seed": seed}
    rest = f"unmodified.{seed}"
    for other, earlier in _before(cut.plan, evaluation, metric):
        entry = cut.plan.metrics[earlier]
        alike = entry.options.get("recipe") == cut.plan.metrics[metric].options["recipe"]
        if KINDS[entry.metric].over == "retraining" and alike and seed in entry.options["seeds"]:
            first = f"{other.name}.{earlier}.{rest}"
            return _metric(cut, evaluation, metric, "same", rest, None, (first,), "", 1e-3, **facts)
    needs = (common_name(evaluation),)
    return _metric(cut, evaluation, metric, "retraining", rest, None, needs, "", cost, **facts)


def _before(plan: Plan, evaluation: Evaluation, metric: str) -> Iterator[tuple[Evaluation, str]]:
    """The metrics before one, of evaluations that train on the same images."""
    for other in plan.evaluations:
        for name in other.metrics:
            if (other, name) == (evaluation, metric):
                return
            if _trained_on(plan, other) == _trained_on(plan, evaluation):
                yield other, name


def _trained_on(plan: Plan, evaluation: Evaluation) -> tuple[object, ...]:
    return evaluation.model, *splits_of(evaluation).values(), frozenset(mapped(plan, evaluation))


def explanation_cost(entry: MethodEntry) -> float:
    """What explaining an image costs, in forward passes: as its method is registered, and by its options."""
    if entry.method is None:
        return PASS
    method = ATTRIBUTIONS[entry.method]
    forwards, backwards = method.passes(_SPACE)
    return (forwards + (PASS - 1) * backwards) * _times(entry)


def _times(entry: MethodEntry) -> float:
    """By how much an option changes the number of passes."""
    assert entry.method is not None
    known = signature(ATTRIBUTIONS[entry.method].function).parameters
    for name in COUNTED:
        given, default = entry.options.get(name), known[name].default if name in known else None
        if isinstance(given, int) and isinstance(default, int) and default:
            return given / default
    return 1.0


_SPACE = NeuronSpace(tuple(Site(f"site{i}", (1,), "relu") for i in range(STAGES)))
"""A network of which nothing is known."""
