"""Tokenizers of Hugging Face: pieces of the text as it was written, beside the tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, final

from torch import Tensor

from critpath.errors import InputError
from critpath.zoo.tokens import Tokenizer, Tokens, TruncationWarning, Word, check_texts

_WHITE = {"\n": "⏎", "\r": "⏎", "\t": "⇥"}
_STARTS = ("Ġ", "▁")
"""How byte-level and SentencePiece vocabularies mark that a token begins a word."""

Span = tuple[int, int]


@final
class HuggingFaceTokenizer(Tokenizer):
    """A tokenizer of transformers, padding on the right.

    ``limit`` is the largest number of tokens that the model takes, ``accepts`` the names that it is called with (None:
    whatever the tokenizer gives).
    """

    def __init__(self, tokenizer: Any, limit: int | None = None, accepts: frozenset[str] | None = None) -> None:
        self.tokenizer, self.limit, self._accepts = tokenizer, limit, accepts

    def __call__(self, texts: Sequence[str]) -> Tokens:
        texts = check_texts(texts)
        made = self._encoded(texts)
        padding = made.pop("attention_mask_of_all") == 0
        special = made.pop("special_tokens_mask").bool() & ~padding
        spans = made.pop("offset_mapping", None)
        for text, blank in zip(texts, (special | padding).all(dim=1).tolist(), strict=True):
            if blank:
                raise InputError(f"the text {text[:40]!r} is empty: it has no token of its own")
        ids, rows = made["input_ids"], zip(texts, special | padding, strict=True)
        words = tuple(
            tuple(self._words(text, ids[i], extra.tolist(), None if spans is None else spans[i].tolist()))
            for i, (text, extra) in enumerate(rows)
        )
        x = {name: value for name, value in made.items() if self._accepts is None or name in self._accepts}
        return Tokens(x, words, special, padding, self._left_out(texts), self._numbers())

    def _encoded(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """The tokenizer's tensors, all [n, length], the attention mask once more under a name of its own."""
        try:
            made = self.tokenizer(
                list(texts), padding=len(texts) > 1, padding_side="right", truncation=self.limit is not None,
                max_length=self.limit, return_special_tokens_mask=True, return_attention_mask=True,
                return_offsets_mapping=self.tokenizer.is_fast, return_tensors="pt", verbose=False,
            )  # fmt: skip
        except Exception as error:  # from Rust or Python code of the tokenizer: no common class
            raise InputError(f"the tokenizer cannot read the text: {_first_line(error)}") from error
        return {**made, "attention_mask_of_all": made["attention_mask"]}

    def _left_out(self, texts: Sequence[str]) -> tuple[int, ...]:
        """How many tokens do not fit, for each text; a warning where there are any."""
        if self.limit is None:
            return (0,) * len(texts)
        lengths = [len(ids) for ids in self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]
        for length in lengths:
            if length > self.limit:
                warnings.warn(cut_off(length - self.limit, self.limit), TruncationWarning, stacklevel=4)
        return tuple(max(0, length - self.limit) for length in lengths)

    def _words(self, text: str, ids: Tensor, special: list[bool], spans: list[Span] | None) -> Iterator[Word]:
        tokens = self.tokenizer.convert_ids_to_tokens(ids.tolist())
        unknown = (ids == -1 if self.tokenizer.unk_token_id is None else ids == self.tokenizer.unk_token_id).tolist()
        pieces = _by_spans(text, spans) if spans is not None else _by_marks(tokens)
        for (piece, joined), token, added, strange in zip(pieces, tokens, special, unknown, strict=True):
            yield Word(token, special=True) if added else Word(piece, joined, unknown=strange)

    def _numbers(self) -> dict[str, int]:
        named = {"mask": self.tokenizer.mask_token_id, "padding": self.tokenizer.pad_token_id}
        return {name: int(number) for name, number in named.items() if number is not None}


def cut_off(tokens: int, limit: int) -> str:
    """What is said of a text that is too long."""
    return f"the text is too long: the model takes {limit:,} tokens, and {tokens:,} more were left out"


def _by_spans(text: str, spans: list[Span]) -> Iterator[tuple[str, bool]]:
    """The piece of the text that each token stands for, and whether it follows the one before without a space."""
    before: Span = (0, 0)
    for start, end in spans:
        piece = text[start:end]
        if (start, end) == before and piece:  # a character of several tokens: its bytes
            yield "·", True
            continue
        bare = piece.lstrip()
        begins = end - len(bare)
        joined = bool(bare) and begins > 0 and before[1] > 0 and not text[begins - 1].isspace()
        yield (bare.rstrip() if bare else "".join(_WHITE.get(sign, "␣") for sign in piece)), joined
        before = (start, end)


def _by_marks(tokens: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Pieces by the marks of the vocabulary, where a tokenizer does not say where in the text a token is."""
    marked = any(token.startswith(_STARTS) for token in tokens)
    for number, token in enumerate(tokens):
        if token.startswith("##") and len(token) > 2:
            yield token[2:], True
        else:
            yield token.lstrip("".join(_STARTS)) or "␣", marked and number > 0 and not token.startswith(_STARTS)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
