"""Words of sentences, the same for raw and for Penn Treebank text, and their numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PADDING, UNKNOWN = 0, 1

_NEGATIONS = "not n't no never nothing nobody none nor neither nowhere without"
_DIMINISHERS = "less little few hardly barely scarcely rarely seldom lack lacks lacking fails only"

NEGATIONS = frozenset(_NEGATIONS.split())
"""Words that negate."""

DIMINISHERS = frozenset(_DIMINISHERS.split())
"""Words that diminish without negating."""

_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]"}
_WORD = re.compile(r"\w+(?=n't)|n't|'\w+|\w+|[^\w\s]")

Sentence = tuple[str, ...]


def words_of(text: str) -> Sentence:
    """Lower-case words; "isn't" and "is n't" are both ("is", "n't"), hyphens and other signs stand alone."""
    lowered = text.lower().replace("’", "'")
    for written, sign in _BRACKETS.items():
        lowered = lowered.replace(written, sign)
    return tuple(_WORD.findall(re.sub(r"\bcannot\b", "can not", lowered)))


def has(sentence: Sequence[str], listed: frozenset[str]) -> bool:
    """Whether one of the listed words is in the sentence."""
    return not listed.isdisjoint(sentence)


@dataclass(frozen=True)
class Vocabulary:
    """Words by number: 0 is padding, 1 stands for every unknown word."""

    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.words) + 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {word: i for i, word in enumerate(self.words, start=2)})

    def ids(self, sentence: Sequence[str]) -> list[int]:
        """The words' numbers."""
        numbers: dict[str, int] = self.__dict__["_numbers"]
        return [numbers.get(word, UNKNOWN) for word in sentence]

    def tokens(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        """int64 [n, longest], padded at the end."""
        return padded([self.ids(sentence) for sentence in sentences])


def vocabulary(sentences: Iterable[Sequence[str]], least: int = 2) -> Vocabulary:
    """Words that occur ``least`` times or more, the most frequent first; equally frequent ones by alphabet."""
    counts = Counter(word for sentence in sentences for word in sentence)
    kept = sorted((-count, word) for word, count in counts.items() if count >= least)
    return Vocabulary(tuple(word for _, word in kept))


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of unequal length as int64 [n, longest], with padding after them."""
    longest = max(1, *map(len, rows)) if rows else 1
    return torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in rows], dtype=torch.long)
