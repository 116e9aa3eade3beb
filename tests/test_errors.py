"""The exception tree is the one that is drawn, and what users may catch."""

from __future__ import annotations

import builtins
import inspect
import re

import pytest

import critpath
from critpath import errors
from critpath.errors import CritpathError, MissingDependencyError

CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == errors.__name__
}


def drawn() -> dict[str, str | None]:
    """Each class in the docstring's drawing, and the one it hangs from."""
    tree: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"[\s│├└─]*([A-Z]\w*Error)\b", line)
        if match is None or not line.startswith("    "):
            continue
        column = match.start(1)
        above = [(c, name) for c, name in above if c < column]
        tree[match[1]] = above[-1][1] if above else None
        above.append((column, match[1]))
    return tree


def test_the_drawing_is_the_tree() -> None:
    parents = {
        name: next((b.__name__ for b in kind.__bases__ if issubclass(b, CritpathError)), None)
        for name, kind in CLASSES.items()
    }
    assert drawn() == parents
    assert set(parents) == set(CLASSES)


def test_one_root() -> None:
    assert [name for name, above in drawn().items() if above is None] == ["CritpathError"]
    assert critpath.CritpathError is CritpathError
    assert CritpathError.__bases__ == (Exception,)


@pytest.mark.parametrize(
    ("builtin", "names"),
    [
        ("ValueError", "InputError ImageError TargetError OptionError MismatchError"),
        (
            "RuntimeError",
            "ModelError TrainingModeError UnsupportedModelError NoSitesError ForwardError StorageError "
            "MissingDependencyError",
        ),
        ("ArithmeticError", "NumericalError"),
    ],
)
def test_may_be_caught_as(builtin: str, names: str) -> None:
    kind = getattr(builtins, builtin)
    assert {n for n, c in CLASSES.items() if issubclass(c, kind)} == set(names.split())


def test_each_is_described() -> None:
    assert all(kind.__doc__ and kind.__doc__.endswith(".") for kind in CLASSES.values())


def test_missing_dependency_says_how_to_install() -> None:
    message = str(MissingDependencyError("timm", "vision", "A timm model"))
    assert message == (
        "A timm model needs the package 'timm', which is not installed. Install it with: pip install 'critpath[vision]'"
    )
