"""What the conductance paper prints in its section 6."""

from __future__ import annotations

COUNTS = (5, 10, 15, 20)

TABLE_2: dict[str, tuple[float, ...]] = {
    "activation": (54.17, 84.89, 91.53, 92.09),
    "gradient_activation": (73.16, 90.40, 91.95, 91.38),
    "influence": (80.58, 85.24, 85.59, 91.45),
    "conductance": (86.58, 91.45, 93.15, 93.64),
}
"""Accuracy in percent of a linear classifier on 5, 10, 15 and 20 filters."""

NAMES = {
    "activation": "activations",
    "gradient_activation": "gradient × activation",
    "influence": "influence",
    "conductance": "conductance",
    "random": "random",
}
"""Methods as pages name them."""

HELD_OUT, HALF = 566, 1416
"""Questions that the text says accuracy is measured on, and half of all 2831."""

FITTING = 3
"""Filters that fit "not good"."""

FIGURE_6 = (9, 10)
"""Sentences of figure 6 that hold a word which negates, and all of them."""


def possible(accuracy: float, questions: int) -> bool:
    """Whether a percentage with two decimals is a share of so many questions."""
    return round(100 * round(accuracy * questions / 100) / questions, 2) == accuracy


def cells(questions: int) -> int:
    """How many of table 2's sixteen percentages are shares of so many questions."""
    return sum(possible(value, questions) for row in TABLE_2.values() for value in row)


def differences(method: str) -> list[float]:
    """Conductance less another method in table 2, in points."""
    return [c - m for c, m in zip(TABLE_2["conductance"], TABLE_2[method], strict=True)]
