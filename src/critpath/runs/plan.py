"""What a run does, as frozen values: models, data, methods, metrics, which are put together, and programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, TypeVar

from critpath.errors import MismatchError, OptionError, StorageError
from critpath.zoo.data import ON_DISK
from critpath.zoo.python_file import own_files

VERSION = 1
"""Of the plan's language."""

RANDOM = "random"
"""The method that every other one must beat."""

MAPS = ("reduced", "full")
"""How maps are kept: at each pixel the channel with the largest absolute value, or all channels."""


@dataclass(frozen=True)
class Entry:
    """A named part of a plan; ``files`` are the files that it is read from, each with its sha256."""

    files: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The entry of its JSON. Raises OptionError where fields are missing or unknown."""
        known = {f.name for f in fields(cls)}
        try:
            return cls(**values)
        except TypeError:
            raise OptionError(
                f"the fields of a {cls.__name__} are {', '.join(sorted(known))}; these are {', '.join(sorted(values))}"
            ) from None


@dataclass(frozen=True)
class ModelEntry(Entry):
    """A model, as ``critpath.zoo.load`` takes it; ``digest`` is that of its weights, "" where they are not known."""

    load: str
    arch: str | None = None
    allow_pickle: bool = False
    digest: str = ""


@dataclass(frozen=True)
class DataEntry(Entry):
    """A data set, as ``critpath.zoo.load_data`` takes it; ``images`` is how many it has, ``digest`` what they hold.

    ``names`` are the classes' names, where the plan gives them; ``labelled``: its images have labels.
    """

    source: str
    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    start: int = 0
    limit: int | None = None
    shuffle: int | None = None
    names: Sequence[str] | None = None
    images: int = 0
    labelled: bool = False
    digest: str = ""


@dataclass(frozen=True)
class MethodEntry(Entry):
    """A registered attribution method with its options, or a function in the user's own file."""

    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None


@dataclass(frozen=True)
class MetricEntry(Entry):
    """A kind of metric (see ``critpath.runs.kinds``) with all of its options."""

    metric: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProgramEntry(Entry):
    """A computation of the user's: ``run(part, **options)`` of a Python file, once for each of its ``parts``.

    Its ``files`` are the Python file, what it imports from beside it, and what the plan says that it reads.
    """

    python: str
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[str] = ()


@dataclass(frozen=True)
class Evaluation(Entry):
    """Methods that are measured by metrics on one model and one data set.

    ``train``, ``validation`` and ``test`` name the data that networks are retrained on, if any are.
    """

    name: str
    model: str
    data: str
    metrics: Sequence[str]
    methods: Sequence[str]
    train: str | None = None
    validation: str | None = None
    test: str | None = None


E = TypeVar("E", bound=Entry)

PLACES = ("labels", "root")
"""Options of data that are paths."""

PYTHON = re.compile(r"(?P<path>.+\.py):[A-Za-z_]\w*")
"""A function in a file."""


@dataclass(frozen=True)
class Plan:
    """A plan whose every default is filled in. ``batch`` images make a chunk; ``threads`` are those of one worker.

    ``memory`` is what a pass may take: how many rows go through a network at once, on which the last bits depend.
    """

    models: Mapping[str, ModelEntry]
    data: Mapping[str, DataEntry]
    methods: Mapping[str, MethodEntry]
    metrics: Mapping[str, MetricEntry]
    evaluations: Sequence[Evaluation]
    programs: Mapping[str, ProgramEntry] = field(default_factory=dict, kw_only=True)
    seed: int = 0
    batch: int = 8
    threads: int = 1
    maps: str = "reduced"
    device: str = "cpu"
    memory: str | int = "1GiB"

    def resolved(self) -> dict[str, Any]:
        """The plan as JSON: all that a worker needs, with absolute paths; programs where there are any."""
        found = {"version": VERSION, **_plain(asdict(self))}
        return found if self.programs else {name: value for name, value in found.items() if name != "programs"}

    def files(self) -> dict[str, str]:
        """Every file that the plan is read from, with its sha256."""
        parts = (self.models, self.data, self.methods, self.metrics, self.programs)
        entries: Iterator[Entry] = (entry for part in parts for entry in part.values())
        return {path: digest for entry in entries for path, digest in entry.files.items()}


def plan_of(resolved: Mapping[str, Any]) -> Plan:
    """The plan of ``Plan.resolved``. Raises OptionError for other JSON, or one of another version."""
    if resolved.get("version") != VERSION:
        raise OptionError(f"the plan has version {resolved.get('version')!r}; this critpath knows version {VERSION}")
    try:
        return Plan(
            models=_entries(ModelEntry, resolved["models"]),
            data=_entries(DataEntry, resolved["data"]),
            methods=_entries(MethodEntry, resolved["methods"]),
            metrics=_entries(MetricEntry, resolved["metrics"]),
            evaluations=tuple(Evaluation.of(values) for values in resolved["evaluations"]),
            programs=_entries(ProgramEntry, resolved.get("programs", {})),
            **{name: resolved[name] for name in ("seed", "batch", "threads", "maps", "device", "memory")},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise OptionError(f"this is no resolved plan: {type(error).__name__} {error}") from error


def file_digest(path: str | Path) -> str:
    """sha256 of a file. Raises StorageError where it cannot be read."""
    digest = sha256()
    try:
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def check_files(plan: Plan, folder: Path) -> None:
    """Raises where a file of the plan lies in the run's own folder, is gone, or is not the one the run began with.

    OptionError, StorageError or MismatchError.
    """
    known = plan.files()
    for path in (*known, *python_files(plan), *_places(plan)):
        if Path(path).expanduser().resolve().is_relative_to(folder.resolve()):
            raise OptionError(f"{path} lies in the run's own folder {folder}: keep what a plan names outside of it")
    for path in python_files(plan):
        if path not in known:
            raise OptionError(f"the plan names the Python file {path} without its digest: it has been changed by hand")
    for path, digest in known.items():
        if file_digest(path) != digest:
            raise _changed(path, "has changed")
    for path in python_files(plan):
        for file in own_files(Path(path))[1:]:
            if str(file) not in known:
                raise _changed(str(file), f"is imported by {path}, and was not")


def _changed(path: str, how: str) -> MismatchError:
    return MismatchError(
        f"{path} {how} since the run began, so its results would be of two kinds: put the file back, or start a new "
        "run in another folder"
    )


def _places(plan: Plan) -> list[str]:
    """Files and folders that data and weights are read from, whether or not their digests are known."""
    data = [entry.where for entry in plan.data.values() if entry.source in ON_DISK]
    options = [str(entry.options[name]) for entry in plan.data.values() for name in PLACES if name in entry.options]
    weights = [m.load.removeprefix("file:") for m in plan.models.values() if m.load.startswith("file:")]
    return [*data, *options, *weights, *(path.rpartition("@")[0] for path in weights if "@" in path)]


def python_files(plan: Plan) -> list[str]:
    """The user's own Python files that a run executes."""
    specs: list[str | None] = []
    for model in plan.models.values():
        specs += [model.load.rpartition("@")[2], model.load, model.arch]
    specs += [data.where for data in plan.data.values() if data.source == "python"]
    specs += [method.python for method in plan.methods.values()]
    specs += [dict(metric.options.get("recipe") or {}).get("model") for metric in plan.metrics.values()]
    found = (PYTHON.fullmatch(spec) for spec in specs if spec and not spec.startswith("file:"))
    return [*(match["path"] for match in found if match), *(program.python for program in plan.programs.values())]


def _entries(kind: type[E], values: Mapping[str, Any]) -> dict[str, E]:
    return {name: kind.of(entry) for name, entry in values.items()}


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
