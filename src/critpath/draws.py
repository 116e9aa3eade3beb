"""Random numbers that belong to a sample: a batch draws what a loop over its samples draws."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from critpath.options import check_count


def sample_generators(tensors: Sequence[Tensor], seed: int, purpose: str) -> list[torch.Generator]:
    """One CPU generator for each sample of tensors [n, ...], seeded by ``seed`` and by the sample's own values.

    Samples that are equal draw the same numbers; what is drawn for one ``purpose`` says nothing about another's.
    Raises OptionError for a seed that is none.
    """
    check_count("seed", seed, 0)
    samples = zip(*(t.detach().cpu().contiguous() for t in tensors), strict=True)
    return [torch.Generator().manual_seed(_seed(sample, seed, purpose)) for sample in samples]


def _seed(sample: Sequence[Tensor], seed: int, purpose: str) -> int:
    digest = hashlib.sha256(f"{purpose} {seed} ".encode())
    for tensor in sample:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return int.from_bytes(digest.digest()[:8], "little") >> 1
