"""Models and data of a plan: where they are, that they are there, and what they were when the run began."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from critpath.options import check_flag, shown
from critpath.runs.document import Node, unknown
from critpath.runs.plan import PLACES, DataEntry, ModelEntry, file_digest
from critpath.zoo import DEFAULT_MODEL, load, load_data
from critpath.zoo.data import ON_DISK, SOURCES, data_fingerprint, source_options
from critpath.zoo.data.arrays import PARTS
from critpath.zoo.python_file import is_python_spec, own_files

SELECTION = ("start", "limit", "shuffle")
SCHEMES = ("torchvision", "timm")


@dataclass(frozen=True)
class Sources:
    """Where relative paths of a plan start."""

    folder: Path

    def path(self, node: Node) -> Path:
        """An absolute path. Raises OptionError for other than text."""
        return Path(self._absolute(_text(node)))

    def function(self, node: Node) -> tuple[str, dict[str, str]]:
        """A function in a Python file, FILE.py:function, with an absolute path; and the digests of the file and of
        those beside it that it imports.

        Raises OptionError where there is no such file, or it has no such function.
        """
        text = _text(node)
        if not is_python_spec(text):
            raise node.error(f"{node.path} is {shown(text)}; it is a function in a file, path/to/file.py:function")
        file, _, name = text.rpartition(":")
        path = Path(self._absolute(file))
        if not path.is_file():
            raise node.error(f"there is no file {path}")
        _check_defines(node, path, name)
        return f"{path}:{name}", {str(path): file_digest(path), **{str(f): file_digest(f) for f in own_files(path)[1:]}}

    def program(self, node: Node) -> tuple[str, dict[str, str]]:
        """A Python file that defines ``parts`` and ``run``, as an absolute path; and the digests as of a function.

        Raises OptionError where there is no such file, or where it does not define both.
        """
        found = [self.function(replace(node, value=f"{_text(node)}:{name}")) for name in ("parts", "run")]
        return found[0][0].rpartition(":")[0], found[0][1]

    def _absolute(self, text: str) -> str:
        return str((self.folder / Path(text).expanduser()).absolute())


def model_entry(node: Node, sources: Sources) -> ModelEntry:
    """A model's entry: ``load``, ``arch``, ``allow_pickle``; or only the text that ``load`` takes."""
    given = {"load": node} if isinstance(node.value, str) else node.mapping("a model: {load: SPEC}")
    for name, value in given.items():
        if name not in ("load", "arch", "allow_pickle"):
            known = unknown("it takes", name, ("load", "arch", "allow_pickle"))
            raise value.error(f"{name!r} is no key of a model; {known}")
    if "load" not in given:
        raise node.error("the model says not what to load: add load: SPEC, as `critpath models` lists them")
    spec, files = _model(given["load"], sources)
    arch = None
    if "arch" in given:
        arch, more = _model(given["arch"], sources)
        files = {**files, **more}
    pickle = given["allow_pickle"].check(check_flag, "allow_pickle") if "allow_pickle" in given else False
    return ModelEntry(spec, arch, pickle, files=files)


def _model(node: Node, sources: Sources) -> tuple[str, dict[str, str]]:
    text = _text(node)
    scheme, _, rest = text.partition(":")
    if scheme == "file":
        return _weights(node, rest, sources)
    if is_python_spec(text):
        return sources.function(node)
    if scheme not in SCHEMES and text not in (DEFAULT_MODEL, "digits"):
        with node.blamed():
            load(text)
    return text, {}


def _weights(node: Node, text: str, sources: Sources) -> tuple[str, dict[str, str]]:
    """file:WEIGHTS or file:WEIGHTS@ARCHITECTURE with absolute paths."""
    file, _, arch = text.rpartition("@")
    if not file or not (arch.partition(":")[0] in SCHEMES or is_python_spec(arch)):
        file, arch = text, ""
    path = sources.path(Node(file, node.line, node.file, node.path))
    if not path.is_file():
        raise node.error(f"there is no weights file {path}")
    files = {str(path): file_digest(path)}
    if is_python_spec(arch):
        arch, more = sources.function(Node(arch, node.line, node.file, node.path))
        files = {**files, **more}
    return f"file:{path}" + f"@{arch}" * bool(arch), files


def data_entry(node: Node, sources: Sources) -> DataEntry:
    """The entry of a data set, which is opened and counted."""
    given = node.mapping("a data set: {images: FOLDER}, or another source: " + ", ".join(SOURCES))
    named = [name for name in given if name in SOURCES]
    if len(named) != 1:
        raise node.error(
            f"a data set has one source, this one has {' and '.join(named) or 'none'}: name one of {', '.join(SOURCES)}"
        )
    kind = named[0]
    takes = (kind, *source_options(kind), *SELECTION, "names")
    for name, value in given.items():
        if name not in takes:
            raise value.error(f"{name!r} is no key of data from {kind}; {unknown('they take', name, takes)}")
    where, files = _where(given[kind], kind, sources)
    options = {n: _option(given[n], n, sources) for n in source_options(kind) if n in given}
    if "labels" in options and Path(options["labels"]).is_file():
        files = {**files, options["labels"]: file_digest(options["labels"])}
    chosen = {n: given[n].plain() for n in SELECTION if n in given}
    names = _names(given["names"]) if "names" in given else None
    with node.blamed():
        data = load_data(kind, where, **options, **chosen)
        digest = data_fingerprint(data)
    labelled = data.labels is not None and bool((data.labels >= 0).all())
    return DataEntry(
        kind, where, options, **chosen, names=names, images=len(data), labelled=labelled, digest=digest, files=files
    )


def overlap(one: DataEntry, other: DataEntry) -> str:
    """Why two data sets may have images in common, "" where that is not to be seen from their entries."""
    if one.digest and one.digest == other.digest:
        return "they are the same images"
    if not _of_one_source(one, other):
        return ""
    if one.shuffle != other.shuffle or (one.where != other.where and one.shuffle is not None):
        return "they are parts of one source that are shuffled differently: shuffle both by one seed"
    if max(_first(one), _first(other)) < min(_first(one) + one.images, _first(other) + other.images):
        return "they have images of one source in common: choose parts of it by start and limit"
    return ""


def _of_one_source(one: DataEntry, other: DataEntry) -> bool:
    if one.source == other.source == "digits":
        return one.where == other.where or "all" in (one.where, other.where)
    return _source(one) == _source(other)


def _source(entry: DataEntry) -> tuple[object, ...]:
    options = (str(entry.options.get(name)) for name in ("split", "options", "root"))
    return entry.source, entry.where, *options


def _first(entry: DataEntry) -> int:
    """Where its images begin in their source."""
    return entry.start + (PARTS[entry.where][0] if entry.source == "digits" else 0)


def _where(node: Node, kind: str, sources: Sources) -> tuple[str, dict[str, str]]:
    if kind == "python":
        return sources.function(node)
    if kind in ON_DISK:
        path = sources.path(node)
        return str(path), {str(path): file_digest(path)} if path.is_file() else {}
    return ("all" if node.value is None else _text(node)), {}


def _option(node: Node, name: str, sources: Sources) -> Any:
    return str(sources.path(node)) if name in PLACES else node.plain()


def _names(node: Node) -> list[str]:
    return [str(item.plain()) for item in node.items("a list of the classes' names")]


def _text(node: Node) -> str:
    if not isinstance(node.value, str) or not node.value:
        raise node.error(f"{node.path} is {shown(node.plain())}; it is a text")
    return node.value


def _check_defines(node: Node, path: Path, name: str) -> None:
    """Raises OptionError where a file is no Python or binds no such name; nothing in it is run."""
    try:
        names = list(_bound(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError) as error:
        raise node.error(f"{path} is no Python file that can be read: {error}") from None
    if name not in names and "*" not in names:
        raise node.error(
            f"{path} has no function {name!r}; {unknown('it has', name, [n for n in names if n[0] != '_'])}"
        )


def _bound(module: ast.Module) -> list[str]:
    names: list[str] = []
    for part in module.body:
        if isinstance(part, ast.FunctionDef | ast.ClassDef):
            names.append(part.name)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            names += [(alias.asname or alias.name).partition(".")[0] for alias in part.names]
        elif isinstance(part, ast.Assign):
            names += [target.id for target in part.targets if isinstance(target, ast.Name)]
        elif isinstance(part, ast.If | ast.Try | ast.With):
            names.append("*")
    return names
