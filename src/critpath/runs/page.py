"""From a run's results to its page: the same objects that the tables, JSON and exports come from."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from critpath.report import Failure, Randomised, RunContent, save_run
from critpath.report.words import count
from critpath.runs.agreements import agreement_tables
from critpath.runs.engine import blocked_by
from critpath.runs.fold import Folded
from critpath.runs.measures import Group, Measure, groups
from critpath.runs.plan import ModelEntry
from critpath.runs.readings import measures
from critpath.runs.results import Results
from critpath.runs.tables import CONTROLS, REFERENCE, Controls, metric_table

REPORT = "report.html"
"""The page's name in a run's folder."""

CAVEATS = {
    "": "A ranking of methods holds for this model, these data and these settings; on others it may differ.",
    "pixel_perturbation": "Images with pixels removed are unlike those that the model was trained on, so that a change "
    "of the response may come from the strange image and not from what was removed. Compare several fills.",
    "parameter_randomisation": "Parameter randomisation shows that a map depends on what was learned. It does not show "
    "that it names the right pixels.",
    "deletion": "Deletion and insertion go to images without any content, far from what the model was trained on.",
    "smooth_mprt": "Smooth parameter randomisation averages over noisy inputs, so it is about the averaged map.",
    "efficient_mprt": "A rise of complexity says that a map of the random model is more disordered, and nothing about "
    "where the map of the trained model points.",
    "roar": "Retrained networks are other networks than the one that is explained. The shape of what was removed can "
    "give the class away.",
    "f_fidelity": "The fine-tuned network is not the one that is explained; it stands in where pixels are missing.",
    "feature_selection": "A linear classifier shows what the chosen channels hold, not how the network uses them.",
    "map_agreement": "Methods that agree may be wrong together.",
}
"""By the kind of a metric; "" always."""

UNLIKE = "No number here says whether people understand a map, or whether it is complete."


def run_content(run: Folded) -> RunContent:
    """Everything on the page of a run, also of one that is not complete."""
    several = sorted(groups(run.results), key=lambda group: _place(run, group))
    found = measures(several)
    controls = controls_of(run)
    return RunContent(
        title=_title(run),
        parts=run.parts,
        resume="" if run.complete else f"To go on: critpath run --resume {run.folder.root}",
        tables=tuple(metric_table(measure, controls) for measure in found),
        agreements=agreement_tables(several, found),
        failures=tuple(failures(run)),
        coverages=tuple(coverages(run.results)),
        caveats=tuple(_caveats({group.kind for group in several})) if run.plan.evaluations else (),
        provenance=tuple(_provenance(run, found)),
        plan=run.folder.plan_text(),
        warnings=tuple(_warnings(run)),
        programs={
            name: {part: facts["result"] for part, facts in parts.items()} for name, parts in run.programs.items()
        },
        program_seconds={
            name: {p: facts["seconds"] for p, facts in parts.items()} for name, parts in run.programs.items()
        },
    )


def save_page(run: Folded, path: str | os.PathLike[str] | None = None) -> Path:
    """Write the page, by default as ``report.html`` in the run's folder. Raises StorageError."""
    return save_run(run_content(run), run.folder.root / REPORT if path is None else path)


def _place(run: Folded, group: Group) -> tuple[int, int]:
    """Where the plan names a metric of an evaluation."""
    names = [evaluation.name for evaluation in run.plan.evaluations]
    at = names.index(group.evaluation)
    return at, list(run.plan.evaluations[at].metrics).index(group.metric)


def controls_of(run: Folded) -> Controls:
    """The names under which the plan has random maps and edges."""
    named = {name: entry.method for name, entry in run.plan.methods.items()}
    reference = next((name for name, method in named.items() if method == REFERENCE), REFERENCE)
    controls = tuple(name for name, method in named.items() if method in CONTROLS)
    return Controls(controls or CONTROLS, reference, tuple(named))


def failures(run: Folded) -> Iterator[Failure]:
    """Tasks that raised, and images that have no map or no number of a metric."""
    kinds = {task.name: task for task in run.tasks}
    for name, message in run.failed.items():
        yield Failure(f"task {name}", str(kinds[name].facts.get("method") or ""), None, "", message)
    for lost in run.lost:
        name = run.names.get(lost.data, {}).get(lost.image, "")
        yield Failure(f"maps of {lost.model}, {lost.data}", lost.method, lost.image, name, lost.message)
    for key, record in run.results.records.items():
        names = run.names.get(str(record.facts.get("data")), {})
        for image, message in record.failures:
            yield Failure(f"{key.evaluation}, {key.metric}", key.method, image, names.get(image, ""), message)


def coverages(results: Results) -> Iterator[Randomised]:
    """What each randomisation reached; it is the same for all methods."""
    for group in groups(results):
        if text := str(group.facts.get("coverage", "")):
            summary, _, lines = text.partition("\n")
            yield Randomised(f"{group.facts['model']}, {group.metric}", summary, lines)


def _title(run: Folded) -> str:
    programs = f"{'Programs' if len(run.plan.programs) > 1 else 'Program'} {', '.join(run.plan.programs)}"
    if not run.plan.evaluations:
        return programs
    methods = len({method for evaluation in run.plan.evaluations for method in evaluation.methods})
    models = ", ".join(dict.fromkeys(evaluation.model for evaluation in run.plan.evaluations))
    return f"{methods} attribution methods on {models}" + f"; {programs}" * bool(run.plan.programs)


def _caveats(kinds: set[str]) -> Iterator[str]:
    yield from (text for kind, text in CAVEATS.items() if not kind or kind in kinds)
    yield UNLIKE


def _warnings(run: Folded) -> Iterator[str]:
    for what, counts in run.made.items():
        if len(counts) > 1:
            named = ", ".join(f"{value} {count(number, 'task')}" for value, number in counts.items())
            yield f"The tasks were not all done alike, so that their last digits may differ: {what} {named}."
    if run.damaged:
        yield (
            f"The files of {len(run.damaged)} tasks are damaged, or were written for another plan or version, and are "
            f"left out ({', '.join(run.damaged[:3])}{', ...' * (len(run.damaged) > 3)}); resuming does them again."
        )
    if waiting := _waiting(run):
        yield (
            f"{count(len(waiting), 'task')} of those that are missing need one that failed "
            f"({', '.join(waiting[:3])}{', ...' * (len(waiting) > 3)})."
        )
    yield from _told(run, controls_of(run).names)
    for program, parts in run.programs.items():
        told = dict.fromkeys(warning for facts in parts.values() for warning in facts.get("warnings", ()))
        yield from (f"{program}: {warning}" for warning in told)


def _waiting(run: Folded) -> list[str]:
    there = {name for name in run.folder.names() if name not in run.damaged}
    return [name for name in blocked_by(tuple(run.failed), run.tasks) if name not in there]


def _told(run: Folded, controls: tuple[str, ...]) -> Iterator[str]:
    """What critpath warned of on the way; that controls do not look at the model is known."""
    told: dict[str, dict[str, None]] = {}
    for key, record in run.results.records.items():
        for warning in record.warnings if key.method not in controls else ():
            told.setdefault(f"{key.evaluation}, {key.metric}: {warning}", {})[key.method] = None
    for text, methods in told.items():
        named = ", ".join(filter(None, methods))
        yield f"{text} ({named})" if named else text


def _provenance(run: Folded, found: tuple[Measure, ...]) -> Iterator[tuple[str, str]]:
    plan = run.plan
    for name, model in plan.models.items():
        yield f"Model {name}", _model(model)
    for name, data in plan.data.items():
        images = f"{data.images:,} images of {data.source} {data.where}".strip()
        yield f"Data {name}", f"{images}{f', digest {data.digest[:16]}' if data.digest else ''}"
    for name, method in plan.methods.items():
        own = ", ".join(f"{option}={value}" for option, value in method.options.items())
        yield f"Method {name}", f"{method.method or method.python}{f' ({own})' if own else ''}"
    for name, program in plan.programs.items():
        own = ", ".join(f"{option}={value}" for option, value in program.options.items())
        digest = f"digest {program.files.get(program.python, '')[:16]}"
        yield f"Program {name}", ", ".join(filter(None, (program.python, own, digest)))
    yield "Seed", str(plan.seed)
    seeds = sorted({seed for measure in found for seed in measure.group.seeds})
    if seeds:
        yield "Seeds of the metrics", ", ".join(map(str, seeds))
    yield "Device", ", ".join(run.made.get("device", {})) or plan.device
    yield "Threads a worker", str(plan.threads)
    yield "Images a task", str(plan.batch)
    yield "Memory a pass", str(plan.memory)
    yield "Begun with", ", ".join(f"{name} {version}" for name, version in run.folder.versions.items())
    yield "Page made with", f"critpath on Python {platform.python_version()}"
    yield "Digest of the plan", run.folder.digest


def _model(model: ModelEntry) -> str:
    weights = f"weights {model.digest[:16]}" if model.digest else ""
    return ", ".join(filter(None, (model.load, model.arch, weights)))
