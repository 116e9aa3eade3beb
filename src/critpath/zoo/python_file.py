"""What a function in a user's own file gives: a model, data, an explanation."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from critpath.errors import CritpathError, ModelError, OptionError, StorageError
from critpath.zoo.hugging_face_tokens import HuggingFaceTokenizer
from critpath.zoo.packages import close_matches
from critpath.zoo.preprocess import Preprocess
from critpath.zoo.tokens import OwnTokenizer, Tokenizer
from critpath.zoo.values import LoadedModel, class_names

_SPEC = re.compile(r"(?P<path>.+\.py):(?P<function>[A-Za-z_]\w*)")


def is_python_spec(spec: str) -> bool:
    """Whether `spec` has the form `path/to/module.py:function`."""
    return _SPEC.fullmatch(spec) is not None


def load_python(spec: str) -> LoadedModel:
    """What `function` in `path/to/module.py` returns; the file is run, with its folder importable,
    and where it lies in a package, that package.

    It returns a module, `(module, Preprocess)`, `(module, tokenizer)`, or a `LoadedModel`. A tokenizer is a
    `Tokenizer`, one of transformers, or any function of a text that gives `(words, ids)`. Errors of critpath that it
    raises are passed on.

    Raises:
        StorageError: the file does not exist.
        OptionError: it has no such function, or the function returns something else.
        ModelError: the file or the function raised.
    """
    return _as_loaded(spec, call_python(spec, purpose="build the model without arguments"))


def call_python(spec: str, *arguments: Any, purpose: str) -> Any:
    """What `function(*arguments)` of `path/to/module.py:function` returns; the file is run first.

    Raises as `python_function`, and ModelError where the function raised.
    """
    return python_function(spec, purpose)(*arguments)


def python_function(spec: str, purpose: str) -> Callable[..., Any]:
    """The function of `path/to/module.py:function`; the file is run once.

    While the function runs, too, its folder is importable, and what it raises becomes a ModelError.

    Raises:
        StorageError: the file does not exist.
        OptionError: it has no such function.
        ModelError: the file raised; the message says that the function has to `purpose`.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise OptionError(f"{spec!r} does not have the form path/to/module.py:function.")
    path = Path(match["path"]).expanduser()
    if not path.is_file():
        raise StorageError(f"There is no file {path} (looked from {Path.cwd()}). Check the path.")
    roots = _roots(path)
    with _importable(roots):
        function = _function(_module(path, purpose), path, match["function"])

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        with _importable(roots), _blamed(spec, purpose):
            return function(*arguments, **options)

    return call


def own_files(path: Path) -> tuple[Path, ...]:
    """A Python file, and the files beside it, below it and in its package that it imports, and those import.

    Nothing is run. Found in the text of the files: imports under a name that is made while they run are not seen.
    Files that are no Python count and import nothing.
    """
    roots, found, left = _roots(path), {path.resolve(): None}, [path.resolve()]
    while left:
        new = [file for file in _imports(left.pop(), roots) if file not in found]
        found.update(dict.fromkeys(new))
        left += new
    return tuple(found)


def _roots(path: Path) -> tuple[Path, ...]:
    """Where the imports of a file start: at its folder, and above the package that it lies in."""
    folder = top = path.resolve().parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return (folder,) if top == folder else (folder, top)


def _imports(path: Path, roots: Sequence[Path]) -> list[Path]:
    """Files under the roots that a file's import statements may name."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return []
    found: list[Path] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [file for start in roots for alias in node.names for file in _files_of(start, alias.name)]
        elif isinstance(node, ast.ImportFrom):
            module = f"{node.module}." if node.module else ""
            for start in _starts(path, node.level, roots):
                found += [file for alias in node.names for file in _files_of(start, module + alias.name)]
                found += _files_of(start, node.module or "")
    return [file for file in dict.fromkeys(found) if file.is_relative_to(roots[-1])]


def _starts(path: Path, level: int, roots: Sequence[Path]) -> Sequence[Path]:
    """Where a name is looked for; ``level`` is the number of dots before it."""
    return (path.parents[level - 1],) if level and level <= len(path.parents) else roots


def _files_of(folder: Path, module: str) -> list[Path]:
    """The files of a module and of the packages that it is in; a star, or a name that is no module, has none."""
    parts = [part for part in module.split(".") if part]
    places = [folder.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return [file.resolve() for file in files if file.is_file()]


@contextmanager
def _importable(folders: Sequence[Path]) -> Iterator[None]:
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        for folder in folders:
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
        case (nn.Module() as model, tokenizer) if callable(tokenizer):
            return LoadedModel(spec, model, source=spec, tokenizer=_as_tokenizer(tokenizer))
    raise OptionError(
        f"{spec} returned {_kind(result)}. It has to return a torch.nn.Module, (module, Preprocess), "
        "(module, tokenizer), or a critpath.zoo.LoadedModel."
    )


def _as_tokenizer(given: Callable[..., Any]) -> Tokenizer:
    if isinstance(given, Tokenizer):
        return given
    if hasattr(given, "convert_ids_to_tokens"):  # of transformers
        return HuggingFaceTokenizer(given)
    return OwnTokenizer(given)


def _kind(result: Any) -> str:
    if isinstance(result, tuple):
        return f"({', '.join(type(item).__name__ for item in result)})"
    return f"a {type(result).__name__}"
