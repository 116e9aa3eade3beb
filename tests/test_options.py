"""The checks of options: what passes, what does not, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, nan
from typing import Any

import pytest
import torch

from critpath.errors import OptionError
from critpath.options import check_choice, check_count, check_flag, check_number, check_several, check_type, shown
from critpath.selection import searching

number = partial(check_number, "n")
count = partial(check_count, "n")


@pytest.mark.parametrize(
    "passes",
    [
        lambda: number(0, 0, 1),
        lambda: number(1, 0, 1, above=True),
        lambda: number(0.0, 0, 1, below=True),
        lambda: number(-1e300),
        lambda: number(10**400, 0),
        lambda: count(0, 0),
        lambda: count(2**63 - 1, 1),
        lambda: check_choice("n", "a", ("a", "b")),
        lambda: check_flag("n", False),
        lambda: check_several("n", (0,)),
        lambda: check_type("n", 3, int),
    ],
)
def test_passes(passes: Callable[[], None]) -> None:
    passes()


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (number, nan, "n is nan; it is a finite number"),
        (number, inf, "n is inf; it is a finite number"),
        (number, True, "n is True; it is a finite number"),
        (number, torch.ones(()), "n is tensor(1.); it is a finite number"),
        (partial(number, low=0), "a", "n is 'a'; it is a finite number, at least 0"),
        (partial(number, low=0, above=True), 0, "n is 0; it is a finite number, above 0"),
        (partial(number, low=0, high=1), 1.5, "n is 1.5; it is a number, at least 0 and at most 1"),
        (partial(number, low=0, high=1, above=True, below=True), 1, "n is 1; it is a number, above 0 and below 1"),
        (partial(number, high=1), 2, "n is 2; it is a number, at most 1"),
        (partial(count, low=1), 0, "n is 0; it is a whole number, at least 1"),
        (partial(count, low=1), 2.0, "n is 2.0; it is a whole number, at least 1"),
        (partial(count, low=1), True, "n is True; it is a whole number, at least 1"),
        (partial(count, low=0), 2**63, f"n is {2**63}; it is a whole number, below 2**63"),
        (partial(check_choice, "n", choices=("a", "b")), "c", "n is 'c'; it is one of a, b"),
        (partial(check_choice, "n", choices=("a", "b")), ["a"], "n is ['a']; it is one of a, b"),
        (partial(check_flag, "n"), 1, "n is 1; it is True or False"),
        (partial(check_several, "n"), 5, "n is 5; it is a list or a tuple, and not empty"),
        (partial(check_several, "n"), "ab", "n is 'ab'; it is a list or a tuple, and not empty"),
        (partial(check_several, "n"), (), "n is (); it is a list or a tuple, and not empty"),
        (partial(check_type, "n", wanted=int), "a", "n is of type str, not int"),
        (partial(check_type, "n", wanted=int, hint="count"), "a", "n is of type str, not int: count"),
    ],
)
def test_refused(check: Callable[..., None], value: Any, words: str) -> None:
    with pytest.raises(OptionError) as error:
        check(value=value)
    assert str(error.value) == words


def test_values_are_written_on_one_line() -> None:
    assert shown(torch.zeros(2, 2)) == "tensor([[0., 0.], [0., 0.]])"
    assert len(shown(list(range(100)))) == 80


def test_where_they_were() -> None:
    assert searching.check_number is check_number
