"""What a function in a user's own file gives: a model, data, an explanation."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from critpath.errors import CritpathError, ModelError, OptionError, StorageError
from critpath.zoo.packages import close_matches
from critpath.zoo.preprocess import Preprocess
from critpath.zoo.values import LoadedModel, class_names

_SPEC = re.compile(r"(?P<path>.+\.py):(?P<function>[A-Za-z_]\w*)")


def is_python_spec(spec: str) -> bool:
    """Whether `spec` has the form `path/to/module.py:function`."""
    return _SPEC.fullmatch(spec) is not None


def load_python(spec: str) -> LoadedModel:
    """What `function` in `path/to/module.py` returns; the file is run, with its folder importable.

    It returns a module, `(module, Preprocess)`, or a `LoadedModel`. Errors of critpath that it raises
    are passed on.

    Raises:
        StorageError: the file does not exist.
        OptionError: it has no such function, or the function returns something else.
        ModelError: the file or the function raised.
    """
    return _as_loaded(spec, call_python(spec, purpose="build the model without arguments"))


def call_python(spec: str, *arguments: Any, purpose: str) -> Any:
    """What `function(*arguments)` of `path/to/module.py:function` returns; the file is run first.

    Raises:
        StorageError: the file does not exist.
        OptionError: it has no such function.
        ModelError: the file or the function raised; the message says that it has to `purpose`.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise OptionError(f"{spec!r} does not have the form path/to/module.py:function.")
    path = Path(match["path"]).expanduser()
    if not path.is_file():
        raise StorageError(f"There is no file {path} (looked from {Path.cwd()}). Check the path.")
    with _importable(path.resolve().parent):
        function = _function(_module(path, purpose), path, match["function"])
        with _blamed(spec, purpose):
            return function(*arguments)


def own_files(path: Path) -> tuple[Path, ...]:
    """A Python file, and the files beside and below it that it imports, and those import; nothing is run.

    Found in the text of the files: imports under a name that is made while they run are not seen. Files that are
    no Python count and import nothing.
    """
    folder, found, left = path.resolve().parent, {path.resolve(): None}, [path.resolve()]
    while left:
        new = [file for file in _imports(left.pop(), folder) if file not in found]
        found.update(dict.fromkeys(new))
        left += new
    return tuple(found)


def _imports(path: Path, folder: Path) -> list[Path]:
    """Files under the folder that a file's import statements may name."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return []
    found: list[Path] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [file for alias in node.names for file in _files_of(folder, alias.name)]
        elif isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if node.level and node.level <= len(path.parents) else folder
            module = f"{node.module}." if node.module else ""
            found += [file for alias in node.names for file in _files_of(start, module + alias.name)]
            found += _files_of(start, node.module or "")
    return [file for file in dict.fromkeys(found) if file.is_relative_to(folder)]


def _files_of(folder: Path, module: str) -> list[Path]:
    """The files of a module and of the packages that it is in; a star, or a name that is no module, has none."""
    parts = [part for part in module.split(".") if part]
    places = [folder.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return [file.resolve() for file in files if file.is_file()]


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


@contextmanager
def _blamed(where: str, purpose: str) -> Iterator[None]:
    try:
        yield
    except CritpathError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{where} raised {type(error).__name__}: {error}. It has to {purpose}; "
            "run it on its own to see where it fails."
        ) from error


def _module(path: Path, purpose: str) -> ModuleType:
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"critpath_model_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StorageError(f"{path} cannot be imported as a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up
    with _blamed(str(path), purpose):
        spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, path: Path, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise OptionError(f"{path} has no function {name!r}.{close_matches(name, known)}")
    return function  # type: ignore[no-any-return]


def _as_loaded(spec: str, result: Any) -> LoadedModel:
    match result:
        case LoadedModel():
            return result
        case nn.Module():
            return LoadedModel(spec, result, None, class_names(result), spec)
        case (nn.Module() as model, Preprocess() as preprocess):
            return LoadedModel(spec, model, preprocess, class_names(model), spec)
    raise OptionError(
        f"{spec} returned {_kind(result)}. It has to return a torch.nn.Module, (module, Preprocess), "
        "or a critpath.zoo.LoadedModel."
    )


def _kind(result: Any) -> str:
    if isinstance(result, tuple):
        return f"({', '.join(type(item).__name__ for item in result)})"
    return f"a {type(result).__name__}"
