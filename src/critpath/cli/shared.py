"""What several commands share: options, errors and warnings in one line, classes by name."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from critpath.errors import CritpathError, TargetError

LISTED = 12
"""Classes that a message lists."""

DEFAULT_MODEL = "efficientnet-lite0"
Command = Callable[..., None]


def errors_in_one_line(command: Command) -> Command:
    """Errors raised on purpose end the program with one message and exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except CritpathError as error:
            raise click.ClickException(printable(str(error))) from error

    return run


def printable(text: str) -> str:
    """The text with a sign in place of each control character, which a terminal would obey; lines stay lines."""
    return "".join(sign if sign == "\n" or unicodedata.category(sign)[0] != "C" else "\ufffd" for sign in text)


def model_options(command: Command) -> Command:
    for option in reversed(
        (
            click.option("--arch", help="Architecture for a model given as file:WEIGHTS."),
            click.option("--device", default="cpu", show_default=True, help="Where to run, as torch names it."),
            click.option("--allow-pickle", is_flag=True, help="Read .pt and .pth weights (weights only, no code)."),
        )
    ):
        command = option(command)
    return command


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Warnings on standard error, without the place in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *place: click.echo(f"Warning: {message}", err=True)
        yield


def class_number(target: str | None, classes: Sequence[str] | None) -> int | None:
    """A class by its number or its name; names may be given in part if only one fits."""
    if target is None or re.fullmatch(r"-?[0-9]+", target):
        return None if target is None else int(target)
    exact = [i for i, name in enumerate(classes or ()) if name.lower() == target.lower()]
    partial = [i for i, name in enumerate(classes or ()) if target.lower() in name.lower()]
    found = exact or partial
    if len(found) != 1:
        raise TargetError(f"--target {target!r} names {len(found) or 'no'} classes{_named(found, classes)}")
    return found[0]


def _named(found: Sequence[int], classes: Sequence[str] | None) -> str:
    """The classes that fit a name; where none does, those that there are."""
    if not classes:
        return ": this model has no class names; give a number"
    shown = found or range(len(classes))
    named = ", ".join(f"{i} {classes[i]}" for i in shown[:LISTED])
    more = f", and {len(shown) - LISTED:,} more" if len(shown) > LISTED else ""
    return f"{': ' if found else '; there are: '}{named}{more}"
