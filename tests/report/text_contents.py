"""Made-up contents of a report over a text."""

from __future__ import annotations

from typing import Any

import numpy as np
from report_contents import SPARSITIES, levels_over, make_content

from critpath.report import Content, Token, TopUnit

SENTENCE = (
    Token("[CLS]", special=True),
    Token("The"),
    Token("film"),
    Token("is"),
    Token("not"),
    Token("bad"),
    Token(",", joined=True),
    Token("dis"),
    Token("arm", joined=True),
    Token("ing", joined=True),
    Token("<b>"),
    Token("مرحبا"),
    Token("☃", unknown=True),
    Token("日", joined=True),
    Token("[SEP]", special=True),
)


def long_text(length: int = 512) -> tuple[Token, ...]:
    """A start, an end, and the sentence's own tokens over and over between."""
    own = SENTENCE[1:-1]
    return (SENTENCE[0], *(own[i % len(own)] for i in range(length - 2)), SENTENCE[-1])


def make_text_content(tokens: tuple[Token, ...] = SENTENCE, **changes: Any) -> Content:
    rng = np.random.default_rng(2)
    maps = [np.asarray(rng.normal(size=len(tokens)) ** 3, np.float32) for _ in SPARSITIES]
    units = tuple(TopUnit("conv.relu#0", f"channel {i}", 0.2 / (i + 1), 0.1, maps[i]) for i in range(6))
    named = {"title": "The film is not bad", "picture": None, "tokens": tokens, "baseline": "embeddings of zeros"}
    shown = {"plain": maps[0], "levels": levels_over(maps), "top_neurons": units, "top_channels": units[:4]}
    return make_content(4, **{**named, **shown, **changes})
