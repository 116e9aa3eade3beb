"""A map over a text as coloured tokens: signs, strengths, and the words that say them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from critpath.report import words
from critpath.report.content import Map, Token

WHOLE, AROUND, PEAKS = 60, 5, 5
"""Texts of up to ``WHOLE`` tokens are shown whole beside a unit; of longer ones what is around their ``PEAKS`` largest
tokens, ``AROUND`` to each side."""

STEPS = 50
"""Steps of a colour."""


@dataclass(frozen=True)
class TokenView:
    """One token: its text, whether a space comes before it, its classes, its strength in [0, 1], what it says."""

    text: str
    space: bool
    classes: str
    strength: str
    title: str


@dataclass(frozen=True)
class TextView:
    """A coloured text.

    ``label`` names its largest tokens, ``special`` is the share of the sum of |value| that special tokens have (0 where
    there are none).
    """

    tokens: tuple[TokenView, ...]
    label: str
    special: float = 0.0


@dataclass(frozen=True)
class ValueRow:
    """A token's line in the table of numbers."""

    token: str
    values: tuple[str, ...]


def coloured(tokens: Sequence[Token], values: Map) -> TextView:
    """All tokens, coloured relative to the largest magnitude of a word; special tokens are cut to it."""
    clean = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    scale = _scale(tokens, clean)
    views = (_view(i, token, float(v), scale) for i, (token, v) in enumerate(zip(tokens, clean, strict=True)))
    return TextView(tuple(views), _label(tokens, clean), _special(tokens, clean))


def excerpt(tokens: Sequence[Token], values: Map) -> TextView:
    """As ``coloured``; of a long text only the stretches around its largest tokens, with dots between them."""
    whole = coloured(tokens, values)
    if len(tokens) <= WHOLE:
        return whole
    return TextView(tuple(_stretches(whole.tokens, _near_peaks(tokens, values))), whole.label, whole.special)


def value_rows(tokens: Sequence[Token], maps: Sequence[Map]) -> tuple[ValueRow, ...]:
    """For every token its value in each of the maps."""
    return tuple(ValueRow(t.text, tuple(signed(float(m[i])) for m in maps)) for i, t in enumerate(tokens))


def signed(value: float) -> str:
    """A number with its sign: ``+0.1234``, ``−5.678``, ``0``."""
    return ("+" if value > 0 and isfinite(value) else "") + words.number(value)


def _scale(tokens: Sequence[Token], values: Map) -> float:
    """The largest magnitude among the words, or among all tokens where no word has a value."""
    own = np.array([not token.special for token in tokens])
    magnitudes = np.abs(values)
    return float(magnitudes[own].max(initial=0) or magnitudes.max(initial=0) or 1.0)


def _view(number: int, token: Token, value: float, scale: float) -> TokenView:
    strength = round(min(1.0, abs(value) / scale) * STEPS) / STEPS
    side = "" if not strength else "up" if value > 0 else "down"
    kinds = ("special" if token.special else "", "unknown" if token.unknown else "", side)
    note = ", special" if token.special else ", not in the vocabulary" if token.unknown else ""
    title = f"{signed(value)} (token {number}{note})"
    return TokenView(token.text, not token.joined and number > 0, " ".join(filter(None, kinds)), f"{strength:g}", title)


def _label(tokens: Sequence[Token], values: Map) -> str:
    """The largest tokens in words, for who cannot see colours."""
    order = [int(i) for i in np.argsort(-np.abs(values), kind="stable")[:PEAKS] if values[i]]
    told = ", ".join(f"{tokens[i].text} {signed(float(values[i]))}" for i in order)
    return f"Largest: {told}" if told else "No token has a value"


def _special(tokens: Sequence[Token], values: Map) -> float:
    magnitudes = np.abs(values)
    added = magnitudes[np.array([token.special for token in tokens])].sum()
    return float(added / magnitudes.sum()) if added else 0.0


def _near_peaks(tokens: Sequence[Token], values: Map) -> list[int]:
    own = np.array([not token.special for token in tokens])
    order = np.argsort(-np.abs(np.nan_to_num(values)) * own, kind="stable")[:PEAKS].tolist()
    near = {i for peak in order for i in range(peak - AROUND, peak + AROUND + 1)}
    return sorted(near & set(range(len(tokens))))


def _stretches(views: Sequence[TokenView], shown: Sequence[int]) -> Iterator[TokenView]:
    """The tokens that are shown, and dots for those between."""
    gap = TokenView("…", True, "gap", "0", "left out here")
    last = -1
    for index in shown:
        if index != last + 1:
            yield gap
        yield views[index]
        last = index
    if last != len(views) - 1:
        yield gap
