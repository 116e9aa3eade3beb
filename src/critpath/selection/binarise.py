"""From trained gates to a pathway: the largest, whole channels of them, or those above a percentile."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import torch
from torch import Tensor

from critpath.neurons import NeuronValues
from critpath.pathway import Pathway
from critpath.selection.gates import per_row
from critpath.selection.ranking import kept_count, select
from critpath.selection.searching import joined

LOST = "found no gates that keep the class, so the best of those that lose it are used: lower gamma or lr"

MISSED = 0.01
"""How far the size may be off, as a share of it, before it is told."""

TIED = 0.1
"""How many neurons may be tied at the cut, as a share of the size, before it is told."""


def largest(gates: NeuronValues, raw: Sequence[Tensor], sparsity: float, granularity: str) -> Pathway:
    """The neurons of largest gates, exactly as many as asked for where as many are not 0; or whole channels.

    ``raw`` are the gates as they were trained, one for each neuron or each channel.
    """
    return select(gates, sparsity) if granularity == "neuron" else _whole_channels(gates, raw, sparsity)


def _whole_channels(gates: NeuronValues, raw: Sequence[Tensor], sparsity: float) -> Pathway:
    """The channels of largest gates, none cut in two, as long as they fit into the size asked for; none of gate 0."""
    space, like = gates.space, raw[0]
    flat = torch.cat([gate.detach().reshape(len(gate), -1).to(like.device) for gate in raw], dim=1)
    each = [torch.full((g[0].numel(),), s.neurons // g[0].numel()) for g, s in zip(raw, space, strict=True)]
    order = flat.argsort(dim=1, descending=True, stable=True)
    taken = torch.cat(each).to(like.device)[order].cumsum(dim=1) <= kept_count(space.neurons, sparsity)
    keep = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, order, taken) & (flat > 0)
    parts = torch.split(keep, [gate[0].numel() for gate in raw], dim=1)
    rows_of = zip(parts, raw, space, strict=True)
    kept = tuple(part.view(gate.shape).to(gate.device).expand(len(gate), *s.shape) for part, gate, s in rows_of)
    return Pathway(NeuronValues(space, kept), sparsity)


def tied_at_cut(gates: NeuronValues, pathway: Pathway) -> list[int]:
    """For each sample, how many neurons were left out whose gate is no smaller than the last one kept."""
    like = gates.tensors[0]
    flat, keep = joined(gates, like), joined(pathway.keep, like)
    last = flat.masked_fill(~keep, inf).amin(dim=1, keepdim=True)
    found: list[int] = ((flat >= last) & ~keep).sum(dim=1).tolist()
    return found


def above_percentile(gates: NeuronValues, sparsity: float) -> Pathway:
    """Gates above the percentile (linearly interpolated, float64) of all gates of the sample; ties are dropped."""
    flat = joined(gates, gates.tensors[0]).double().cpu().numpy()
    threshold = torch.from_numpy(np.quantile(flat, sparsity, axis=1))
    return Pathway(gates.map(lambda gate: gate.double() > per_row(threshold.to(gate.device), gate)), sparsity)


def stopped(pathway: Pathway, tied: Sequence[int], lost: Sequence[bool]) -> tuple[str, ...]:
    """For each sample, why the class, the size or the choice is not what was asked for; empty where all is.

    ``tied`` are those of ``tied_at_cut``; ``lost``: no gates kept the class.
    """
    asked = kept_count(pathway.space.neurons, pathway.requested or 0)
    rows_of = zip(lost, pathway.size.tolist(), tied, strict=True)
    return tuple("; ".join([LOST] * gone + _reasons(size, asked, same)) for gone, size, same in rows_of)


def _reasons(size: int, asked: int, tied: int) -> list[str]:
    missed = (
        f"keeps {size:,} neurons, not the {asked:,} asked for, as other gates are 0 or tied, or their channel does not "
        "fit: take fewer iterations, or another sparsity"
    )
    same = f"{tied:,} neurons with gates no smaller than the last one kept were left out: their place decided"
    return [missed] * (abs(size - asked) > max(1, MISSED * asked)) + [same] * (tied > max(1, TIED * asked))
