"""Options in their range: one check and one wording for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from critpath.errors import OptionError

END = 2**63
"""Whole numbers are below this: seeds and sizes go to 64-bit integers."""


def check_number(
    name: str, value: object, low: float = -inf, high: float = inf, *, above: bool = False, below: bool = False
) -> None:
    """Raises OptionError unless the option is a finite number in [low, high].

    ``above`` leaves out the low end, ``below`` the high one.
    """
    known = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if not known or value in (inf, -inf) or (above and value == low) or (below and value == high):
        raise OptionError(f"{name} is {shown(value)}; it is a {_range(low, high, above, below)}")


def check_count(name: str, value: object, low: int) -> None:
    """Raises OptionError unless the option is a whole number, at least ``low``."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < END:
        bound = "below 2**63" if isinstance(value, int) and value >= END else f"at least {low}"
        raise OptionError(f"{name} is {shown(value)}; it is a whole number, {bound}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises OptionError unless the option is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise OptionError(f"{name} is {shown(value)}; it is one of {', '.join(choices)}")


def check_flag(name: str, value: object) -> None:
    """Raises OptionError unless the option is True or False."""
    if not isinstance(value, bool):
        raise OptionError(f"{name} is {shown(value)}; it is True or False")


def check_several(name: str, value: object) -> None:
    """Raises OptionError unless the option is a list, a tuple or another sequence (no text), and not empty."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not len(value):
        raise OptionError(f"{name} is {shown(value)}; it is a list or a tuple, and not empty")


def check_type(name: str, value: object, wanted: type, hint: str = "") -> None:
    """Raises OptionError unless the value is of this type; ``hint`` says where it comes from."""
    if not isinstance(value, wanted):
        raise OptionError(f"{name} is of type {type(value).__name__}, not {wanted.__name__}" + f": {hint}" * bool(hint))


def shown(value: object) -> str:
    """How a value is written, on one line of at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def _range(low: float, high: float, above: bool, below: bool) -> str:
    ends = [f"{'above' if above else 'at least'} {low:g}"] * (low > -inf)
    ends += [f"{'below' if below else 'at most'} {high:g}"] * (high < inf)
    kind = "number" if high < inf else "finite number"
    return f"{kind}, {' and '.join(ends)}" if ends else kind
