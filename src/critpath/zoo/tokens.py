"""Texts to what a network takes: tokens, with the pieces of the text that a reader sees beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from critpath.errors import InputError, OptionError
from critpath.network import ModelInput, map_tensors, tensors_of

IDS = "input_ids"
"""The name of the tokens where a model takes a mapping."""


class TruncationWarning(UserWarning):
    """A text was cut off because the model takes no more tokens."""


@final
class Word(str):
    """A token as a reader sees it: a string that knows how it stands in the text.

    ``joined``: it goes on with the token before, without a space. ``special``: it stands for no part of the text (a
    start, an end, padding). ``unknown``: the vocabulary does not have it, so the model sees what it sees for every
    unknown word.
    """

    joined: bool
    special: bool
    unknown: bool

    def __new__(cls, text: str, joined: bool = False, special: bool = False, unknown: bool = False) -> Word:
        word = super().__new__(cls, text)
        word.joined, word.special, word.unknown = joined, special, unknown
        return word


@final
@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts as a network's input, padded together.

    Attributes:
        x: what the model is called with: a mapping of tensors, or one tensor of token numbers [n, length].
        words: for each text, one readable piece for every token, special ones and padding included.
        special: booleans [n, length]: tokens that the tokenizer adds, padding not counted.
        padding: booleans [n, length].
        left_out: for each text, how many of its tokens were cut off because the model takes no more.
        numbers: the numbers of the "mask" and "padding" tokens, as far as there are any.
    """

    x: ModelInput
    words: tuple[tuple[Word, ...], ...]
    special: Tensor
    padding: Tensor
    left_out: tuple[int, ...]
    numbers: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def ids(self) -> Tensor:
        """The token numbers [n, length]."""
        found = self.x[IDS] if isinstance(self.x, Mapping) else tensors_of(self.x)[0]
        assert isinstance(found, Tensor)
        return found

    def one(self, index: int) -> Tokens:
        """One text alone, without its padding."""
        index = range(len(self))[index]
        own = ~self.padding[index]

        def part(tensor: Tensor) -> Tensor:
            return tensor[index : index + 1][:, own.to(tensor.device)] if self._is_tokens(tensor) else tensor

        words = tuple(word for word, kept in zip(self.words[index], own.tolist(), strict=True) if kept)
        special, padding = part(self.special), part(self.padding)
        return replace(self, x=map_tensors(self.x, part), words=(words,), special=special, padding=padding,
                       left_out=(self.left_out[index],))  # fmt: skip

    def baseline(self, kind: str = "mask") -> ModelInput | str:
        """What goes into ``baseline=``: "zero" (embeddings), or the texts with every token "mask" or "padding".

        Special tokens and padding stay as they are. Raises OptionError where the tokenizer has no such token.
        """
        if kind == "zero":
            return kind
        known = ", ".join(["zero", *self.numbers])
        if kind not in ("mask", "padding"):
            raise OptionError(f"{kind!r} is no baseline of a text: there are {known}")
        if kind not in self.numbers:
            raise OptionError(f"the tokenizer has no {kind!r} token for a baseline; there are: {known}")
        stays = (self.special | self.padding).to(self.ids.device)
        ids = torch.where(stays, self.ids, self.numbers[kind])
        return {**self.x, IDS: ids} if isinstance(self.x, Mapping) else ids

    def to(self, device: str | torch.device) -> Tokens:
        """With the model's input on another device."""
        return replace(self, x=map_tensors(self.x, lambda tensor: tensor.to(device)))

    def _is_tokens(self, tensor: Tensor) -> bool:
        return tensor.shape[:2] == self.padding.shape


class Tokenizer(ABC):
    """Turns texts into tokens: ``tokenizer(["not bad", "good"])``."""

    @abstractmethod
    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The texts as one batch.

        Raises InputError for no texts, a text without a token of its own, and what cannot be read.
        Warns with TruncationWarning where a text is cut off.
        """


@final
class OwnTokenizer(Tokenizer):
    """Made of a function of one text that gives its words and their numbers; the model is called with [n, length].

    ``padding`` is the number that shorter texts of a batch are filled up with; without it texts have to be equally
    long.
    """

    def __init__(self, function: Callable[[str], tuple[Sequence[str], Any]], padding: int | None = None) -> None:
        self._function, self._padding = function, padding

    def __call__(self, texts: Sequence[str]) -> Tokens:
        pairs = [self._pair(text) for text in check_texts(texts)]
        lengths = [len(ids) for _, ids in pairs]
        if len(set(lengths)) > 1 and self._padding is None:
            raise InputError(
                f"the texts have {sorted(set(lengths))} tokens, and the tokenizer has no number for padding: give "
                "them one by one, or OwnTokenizer(function, padding=...)"
            )
        fill = self._padding or 0
        ids = torch.nn.utils.rnn.pad_sequence([ids for _, ids in pairs], batch_first=True, padding_value=fill)
        padding = torch.arange(max(lengths)) >= torch.tensor(lengths).unsqueeze(1)
        words = tuple(_filled(words, max(lengths)) for words, _ in pairs)
        numbers = {} if self._padding is None else {"padding": self._padding}
        return Tokens(ids, words, torch.zeros_like(padding), padding, (0,) * len(pairs), numbers)

    def _pair(self, text: str) -> tuple[list[Word], Tensor]:
        try:
            words, numbers = self._function(text)
            ids = torch.as_tensor(numbers).reshape(-1)
        except Exception as error:
            raise InputError(
                f"the tokenizer raised {type(error).__name__} for {_short(text)}: {error}. It takes a text and returns "
                "(words, ids), one number for each word"
            ) from error
        if not len(words) and not len(ids):
            raise InputError(f"the tokenizer found no word in the text {_short(text)}; give one word at least")
        if ids.is_floating_point() or ids.dtype == torch.bool or len(ids) != len(words) or not len(ids):
            raise InputError(
                f"the tokenizer gave {len(words)} words and {len(ids)} numbers of {ids.dtype} for {_short(text)}; "
                "give one integer for each word, and one word at least"
            )
        return [as_word(word) for word in words], ids.long()


def as_word(text: str) -> Word:
    """A plain string as a word; one that begins with ## goes on with the word before."""
    if isinstance(text, Word):
        return text
    joined = len(text) > 2 and text.startswith("##")
    return Word(text[2:] if joined else text, joined)


def check_texts(texts: Sequence[str]) -> Sequence[str]:
    """Raises InputError for what is no list of texts."""
    if isinstance(texts, str):
        raise InputError("give a list of texts, [text], not one string")
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InputError("give a list of texts: one at least, and all of them strings")
    return texts


def _filled(words: list[Word], length: int) -> tuple[Word, ...]:
    return (*words, *[Word("[padding]", special=True)] * (length - len(words)))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
