"""Exact marginal contributions: neurons, channels, sites or any groups taken out, and all above recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from critpath.baselines import activations_of
from critpath.contributions.family import CONTRIBUTIONS
from critpath.errors import MismatchError, OptionError
from critpath.groups import By, Groups, GroupValues, groups_of
from critpath.memory import rows_at_once
from critpath.network import gradients_on, samples_of
from critpath.neurons import NeuronSpace, NeuronValues, Site, wide
from critpath.response import Response

MOST_RUNS = 200_000
"""Runs that are made of each batch where the caller has not said what to count together."""

Rows = Callable[[Tensor, Tensor], Tensor]
"""Given the sample [n] of each row and which of that sample's turns [n] it is, the response [n]."""


def _runs(space: NeuronSpace) -> int:
    """Passes through the whole network: one for each neuron, on average through half of it."""
    return 1 + space.neurons // 2


@CONTRIBUTIONS.register("ablation", forwards=_runs, backwards=0, zero_if_dead=True)
@gradients_on()
def ablation(
    response: Response, *, by: By = None, baseline: NeuronValues | None = None, memory: str | int | None = None
) -> NeuronValues | GroupValues:
    """c = Φ(x) - Φ(x; a_u → baseline), signed: one run for every sample and unit u (equation 14, |c| there).

    Parameters
    ----------
    by
        What is taken out together: each neuron (None), ``"channels"``, ``"sites"``, or groups (``groups.By``).
        Neurons give NeuronValues, at least float32; all else gives GroupValues.
    baseline
        Activations to put in, of one sample or of as many as the response has; None puts in 0.
    memory
        What the runs may take: ``"4GiB"``, bytes, or half of what is free.

    A unit whose activations are those of the baseline scores exactly 0 and is not run.
    Raises OptionError, also where neurons (by=None) would take more than ``MOST_RUNS`` runs, and MismatchError.
    """
    groups, swap = groups_of(by, response.space), swap_of(response, baseline)
    active = swap.active(groups)
    if by is None:
        refuse_many(int(active.sum()), "the ablation of every active neuron")
    at_once = swap.rows_at_once(memory, len(groups))
    scores = torch.zeros(active.shape, dtype=wide(response.value).dtype, device=active.device)
    for columns, without in _batches(swap, groups, active):
        scores[:, columns] = _drops(response, active[:, columns], columns, without, at_once).to(scores)
    return as_scores(scores, groups, by)


@dataclass(frozen=True, eq=False)
class Swap:
    """The activations of a response, and those of the baseline that neurons get when they are taken out.

    Both hold a tensor [batch, *shape] per site.
    """

    response: Response
    own: tuple[Tensor, ...]
    baseline: tuple[Tensor, ...]

    def differs(self, position: int) -> Tensor:
        """Whether taking a neuron out changes its activation: booleans [batch, *shape]."""
        return self.own[position] != self.baseline[position]

    def active(self, groups: Groups) -> Tensor:
        """Whether taking a group out changes any activation: booleans [batch, groups]."""
        active = torch.zeros(self.response.run.batch, len(groups), dtype=torch.bool, device=self.response.value.device)
        for position in range(len(groups.space)):
            columns = groups.columns(position)
            changed = groups.reduce(position, self.differs(position)) > 0
            active[:, columns] |= changed.to(active.device)
        return active

    def without(self, position: int, out: Tensor, samples: Tensor, own: Tensor | None = None) -> Tensor:
        """Activations [n, *shape] of these samples [n], the neurons in ``out`` [n, *shape] at the baseline.

        ``own`` are other activations [n, *shape] to start from.
        """
        samples = samples.to(self.own[position].device)
        own = self.own[position][samples] if own is None else own
        return torch.where(out.to(own.device), self.baseline[position][samples].to(own), own)

    def rows_at_once(self, memory: str | int | None, groups: int) -> int:
        """Rows of one run within the memory limit, with a result per sample and group."""
        largest = max(own[0].numel() * own.element_size() for own in self.own)
        results = 16 * groups * self.response.run.batch
        return rows_at_once(self.response.net, self.response.x, memory, fixed=results, extra=3 * largest)


def swap_of(response: Response, baseline: NeuronValues | None) -> Swap:
    """``baseline`` for every sample of the response; zeros for None. Raises what ``activations_of`` does."""
    own = response.run.values()
    return Swap(response, own.tensors, activations_of(baseline, own).tensors)


def refuse_many(runs: int, what: str) -> None:
    """Raises OptionError where there are more than ``MOST_RUNS``."""
    if runs > MOST_RUNS:
        raise OptionError(
            f"{what} takes {runs:,} runs of the network for this batch, more than {MOST_RUNS:,}: give by='channels', "
            "a list of neurons, by=[Neuron(site, index), ...], or fewer samples; by='neurons' makes all these runs"
        )


def table(counts: Tensor, at_once: int, response: Response, rows: Rows) -> Tensor:
    """The response for every turn of every sample: [batch, most turns]; sample i has ``counts[i]`` turns."""
    found = torch.zeros(len(counts), int(counts.max()), dtype=wide_sums(response.value), device=counts.device)
    for samples, turns in _turns(counts, at_once, response.target.any_batch):
        found[samples, turns] = rows(samples, turns).to(found)
    return found


def as_scores(scores: Tensor, groups: Groups, by: By) -> NeuronValues | GroupValues:
    """[batch, groups] as what it means: a value for each neuron, or for each group."""
    if by is not None and by != "neurons":
        return GroupValues(groups.names, groups.sizes, scores)
    parts = (scores[:, groups.columns(position)] for position in range(len(groups.space)))
    tensors = (part.reshape(-1, *site.shape) for part, site in zip(parts, groups.space, strict=True))
    return NeuronValues(groups.space, tuple(tensors))


def _batches(swap: Swap, groups: Groups, active: Tensor) -> Iterator[tuple[Tensor, Rows]]:
    """Groups that are taken out in the same way, and how: at one site, or at several."""
    needed = active.any(dim=0).cpu()
    spanning = groups.spanning
    for position, site in enumerate(groups.space):
        columns = groups.columns(position)
        columns = columns[(needed & ~spanning)[columns]]
        if len(columns):
            yield columns, _at_site(swap, groups, position, site)
    if (needed & spanning).any():
        yield (needed & spanning).nonzero().flatten(), _at_sites(swap, groups)


def _at_site(swap: Swap, groups: Groups, position: int, site: Site) -> Rows:
    above = swap.response.above(site.name)

    def without(samples: Tensor, chosen: Tensor) -> Tensor:
        out = _masks(groups, chosen, position)
        return above.of(swap.without(position, out, samples), samples)

    return without


def _at_sites(swap: Swap, groups: Groups) -> Rows:
    response = swap.response

    def without(samples: Tensor, chosen: Tensor) -> Tensor:
        def rule(site: Site, a: Tensor) -> Tensor:
            if site.name not in groups.space:
                raise MismatchError(f"ablation made the network take another way: it called {site.name}")
            position = groups.space.position(site.name)
            return swap.without(position, _masks(groups, chosen, position), samples, own=a)

        run = response.net.run(samples_of(response.x, samples), rule, graph=False)
        return response.of_rows(run, samples).detach()

    return without


def _masks(groups: Groups, chosen: Tensor, position: int) -> Tensor:
    """The members at a site of each chosen group [n]: booleans [n, *shape]."""
    nothing = torch.zeros(groups.space.sites[position].shape, dtype=torch.bool)
    masks = (groups.mask(group, position) for group in chosen.tolist())
    return torch.stack([nothing if mask is None else mask for mask in masks])


def _drops(response: Response, active: Tensor, columns: Tensor, without: Rows, at_once: int) -> Tensor:
    """Φ(x) - Φ(x; a_u → baseline) of the groups ``columns``: [batch, columns], 0 where a group is not active."""
    counts = active.sum(dim=1)
    order = active.int().argsort(dim=1, descending=True, stable=True)

    def rows(samples: Tensor, turns: Tensor) -> Tensor:
        return without(samples, columns.to(order.device)[order[samples, turns]])

    left = table(counts, at_once, response, rows)
    ran = torch.arange(left.shape[1], device=counts.device) < counts.unsqueeze(1)
    drops = torch.where(ran, response.value.detach().to(left).unsqueeze(1) - left, 0.0)
    return torch.zeros_like(active, dtype=left.dtype).scatter_(1, order[:, : left.shape[1]], drops)


def _turns(counts: Tensor, at_once: int, any_batch: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Every turn of every sample: rows of samples [n] and turns [n].

    A response that can be asked only for the whole batch takes one turn of each sample at once; a sample that has
    no more repeats its last.
    """
    samples = torch.arange(len(counts), device=counts.device)
    if not any_batch:
        for turn in range(int(counts.max())):
            yield samples, (counts - 1).clamp(min=0, max=turn)
        return
    samples = samples.repeat_interleave(counts)
    turns = torch.arange(len(samples), device=counts.device) - (counts.cumsum(0) - counts)[samples]
    for start in range(0, len(samples), at_once):
        yield samples[start : start + at_once], turns[start : start + at_once]


def wide_sums(value: Tensor) -> torch.dtype:
    """float64, but float32 on devices that have none."""
    return torch.float32 if value.device.type == "mps" else torch.float64
