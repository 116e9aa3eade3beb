"""Seeds made from a seed: what is drawn for one thing says nothing about what is drawn for another."""

from __future__ import annotations

from hashlib import sha256


def derived(seed: int, *words: object) -> int:
    """A seed of 63 bits for each seed and words, which say what is drawn: no sum of numbers, so none meets another."""
    text = " ".join(map(str, (seed, *words)))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1
