"""A YAML file as plain values that know the line they stand on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from critpath.errors import CritpathError, MissingDependencyError, OptionError, StorageError
from critpath.options import shown

MAX_BYTES = 2**20
"""A longer plan is refused."""

_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+")


@dataclass(frozen=True)
class Node:
    """A value of the document: a scalar, a tuple of nodes, or a mapping of names to nodes.

    ``path`` is where it stands in the document ("data.photographs.limit"); ``line`` counts from 1.
    """

    value: Any
    line: int
    file: str
    path: str = ""

    def error(self, message: str) -> OptionError:
        """What is wrong here, with the file's name and the line."""
        return OptionError(f"{self.file}:{self.line}: {message}")

    def plain(self) -> Any:
        """The value without lines, of dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, tuple) else self.value

    def mapping(self, what: str) -> Mapping[str, Node]:
        """The value as a mapping. Raises OptionError where it is none."""
        if not isinstance(self.value, dict):
            raise self.error(f"{self._named()} is {shown(self.plain())}; it is {what}")
        return self.value

    def items(self, what: str) -> Sequence[Node]:
        """The value as a list. Raises OptionError where it is none, or empty."""
        if not isinstance(self.value, tuple) or not self.value:
            raise self.error(f"{self._named()} is {shown(self.plain())}; it is {what}")
        return self.value

    def check(self, check: Callable[[str, Any], None], name: str = "") -> Any:
        """The plain value, after a check of ``critpath.options``, whose error gets the line."""
        value = self.plain()
        with self.blamed():
            check(name or self._named(), value)
        return value

    def blamed(self) -> Blamed:
        """A context in which an error gets this line."""
        return Blamed(self)

    def known(self, what: str, names: Sequence[str]) -> str:
        """The value as one of these names. Raises OptionError, with the nearest one."""
        value = self.plain()
        if value not in names or isinstance(value, bool):
            raise self.error(f"{self._named()} is {shown(value)}; {unknown(what, value, names)}")
        return str(value)

    def _named(self) -> str:
        return self.path or "the plan"


@dataclass(frozen=True)
class Blamed:
    """Gives an error that passes through it the line of a node; a missing package stays what it is."""

    node: Node

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CritpathError) and not isinstance(error, MissingDependencyError):
            raise self.node.error(str(error)) from None


def unknown(what: str, name: object, known: Sequence[str]) -> str:
    """What there is instead of a name that is not known, the nearest one first."""
    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    there = f"{what}: {', '.join(known)}" if known else f"{what}: there are none"
    return f"did you mean {close[0]!r}? {there}" if close else there


def read_document(path: Path) -> Node:
    """The file's value. Nothing in it is executed, and it holds no references (aliases), so it is as large as it looks.

    Raises StorageError where it cannot be read, OptionError (with the line) where it is no such YAML.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"the plan {path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise OptionError(f"the plan {path} has {len(data):,} bytes; more than {MAX_BYTES:,} are not read")
    try:
        return parse(data.decode("utf-8-sig"), path.name)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise OptionError(f"{path.name}:{line}: the plan is not text in UTF-8") from None


def parse(text: str, file: str) -> Node:
    """The document in a text; ``file`` is its name in errors."""
    yaml = _yaml()
    start = Node(None, 1, file)
    try:
        loader = _loader(yaml)(text)
        try:
            root = loader.get_single_node()
            return start if root is None else _node(loader, root, file, "")
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise Node(None, _line(error), file).error(_reason(error)) from None
    except RecursionError:
        raise start.error("it is nested too deeply") from None


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingDependencyError("pyyaml", "evaluation", "a plan file") from None
    return yaml


def _loader(yaml: Any) -> Any:
    """The safe loader, which also takes 1e-3 for a number and refuses references."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                event = self.peek_event()
                problem = f"it refers to *{event.anchor}; write the value out, references are not taken"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
            return super().compose_node(parent, index)

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    return Loader


def _line(error: Any) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return 1 if mark is None else mark.line + 1


def _reason(error: Any) -> str:
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"this is not YAML that can be read: {problem}"


def _node(loader: Any, node: Any, file: str, path: str) -> Node:
    line = node.start_mark.line + 1
    kind = type(node).__name__
    if kind == "MappingNode":
        return Node(dict(_pairs(loader, node, file, path)), line, file, path)
    if kind == "SequenceNode":
        parts = (_node(loader, part, file, f"{path}[{i}]") for i, part in enumerate(node.value))
        return Node(tuple(parts), line, file, path)
    return _scalar(loader, node, Node(None, line, file, path))


def _pairs(loader: Any, node: Any, file: str, path: str) -> Iterator[tuple[str, Node]]:
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, here = key.value, Node(None, key.start_mark.line + 1, file)
        if not isinstance(name, str) or key.tag == "tag:yaml.org,2002:merge":
            raise here.error("a key is a name; merged keys (<<) and keys of several parts are not taken")
        if name in lines:
            raise here.error(f"{name!r} is there twice, first on line {lines[name]}: keep one")
        lines[name] = here.line
        found = _node(loader, value, file, f"{path}.{name}" if path else name)
        yield name, replace(found, line=here.line)


def _scalar(loader: Any, node: Any, here: Node) -> Node:
    try:
        value = loader.construct_object(node)
    except Exception:  # a tag of Python's, or a value that its own tag does not fit
        raise here.error(f"{node.value!r} has the tag {node.tag}, which is not taken: write a plain value") from None
    if value is not None and not isinstance(value, bool | int | float | str):
        raise here.error(f"{node.value!r} is read as a {type(value).__name__}; put it in quotes")
    return Node(value, here.line, here.file, here.path)
