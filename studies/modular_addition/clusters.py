"""Inputs of the addition, and the frequency of each hidden neuron.

A neuron of such a network goes like cos(2πk(a ± b)/p + φ) and its parts, with one frequency k of few (Nanda et al.
2023, "Progress measures for grokking via mechanistic interpretability"). Here k is read from its activations alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

import critpath as cp
from critpath.groups import Unit

P = 113
FEWEST = 20
"""Neurons that a frequency has at least to be a cluster; the other neurons are "other"."""


@dataclass(frozen=True, eq=False)
class Frequencies:
    """The frequency [neurons] of 1 to 56 that explains most of each neuron's variance over all inputs, and how much."""

    of: Tensor
    explained: Tensor

    @cached_property
    def keys(self) -> tuple[int, ...]:
        """Frequencies of at least ``FEWEST`` neurons, the most frequent first."""
        counts = self.of.bincount()
        order = counts.argsort(descending=True, stable=True).tolist()
        return tuple(k for k in order if counts[k] >= FEWEST)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*(f"k={k}" for k in self.keys), "other")

    @cached_property
    def clusters(self) -> Tensor:
        """The number of each neuron's cluster [neurons], in the order of ``names``."""
        found = torch.full_like(self.of, len(self.keys))
        for number, k in enumerate(self.keys):
            found[self.of == k] = number
        return found

    def groups(self, site: str) -> dict[str, list[Unit]]:
        """The clusters as ``by=`` takes them."""
        members = [(self.clusters == number).nonzero().flatten().tolist() for number in range(len(self.names))]
        pairs = zip(self.names, members, strict=True)
        return {name: [cp.Neuron(site, (i,)) for i in found] for name, found in pairs if found}


def every_input() -> Tensor:
    """All tokens (a, b, =): [12769, 3]."""
    a, b = torch.meshgrid(torch.arange(P), torch.arange(P), indexing="ij")
    return torch.stack([a.flatten(), b.flatten(), torch.full((P * P,), P)], dim=1)


def sampled(count: int, seed: int) -> Tensor:
    """Some inputs, drawn without replacement: [count, 3]."""
    order = torch.randperm(P * P, generator=torch.Generator().manual_seed(seed))
    return every_input()[order[:count]]


def answers(tokens: Tensor) -> Tensor:
    """(a + b) mod p."""
    return (tokens[:, 0] + tokens[:, 1]) % P


def frequencies(activations: Tensor) -> Frequencies:
    """Of activations [p * p, neurons] over ``every_input``.

    The two-dimensional Fourier spectrum without its mean; a frequency k has the parts (±k, 0), (0, ±k) and (±k, ±k).
    """
    over = activations.double().T.reshape(-1, P, P)
    power = torch.fft.fft2(over - over.mean(dim=(1, 2), keepdim=True)).abs().square()
    at = [torch.tensor([0, k, P - k]) for k in range(1, (P + 1) // 2)]
    shares = torch.stack([power[:, one][:, :, one].sum(dim=(1, 2)) for one in at], dim=1)
    explained, best = (shares / power.sum(dim=(1, 2)).clamp(min=1e-30).unsqueeze(1)).max(dim=1)
    return Frequencies(best + 1, explained)
