"""Which kept neurons lie on a route of kept neurons, from the input to the response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from critpath.errors import ForwardError, MismatchError
from critpath.network import Rule, batch_size, dual, gradients_on, tensors_of
from critpath.neurons import NeuronValues, rows, wide
from critpath.options import check_number, check_type
from critpath.pathway import Pathway, Search
from critpath.response import Response, keeping
from critpath.selection.ranking import select, select_each
from critpath.selection.searching import Watched, curves_of, told

NOISE = 16
"""Off the CPU, derivatives below so many roundings of the largest of their site and sample count as 0."""

SHORT = 0.01
"""How far a connected pathway may fall short of its size, as a share, before that is told."""

BRIDGES = 8
"""How often a neuron that connects too many at once is put first."""


@gradients_on()
def connected_part(response: Response, pathway: Pathway, *, seed: int = 0) -> Pathway:
    """The kept neurons that lie on a route of kept neurons from the input to the response.

    A route is a chain along which the derivative is not 0 in the network frozen off the pathway (its other neurons
    are constants, at their values on the input). A neuron is on one if it is *heard*, dΦ/da ≠ 0, and *fed*: its
    derivative along a random direction of the input (of the embeddings, where tokens enter; drawn by ``seed``) is
    not 0, which it is with probability 0 unless the input does not reach it. Dead neurons of a rectifying site are
    not fed. Routes that cancel exactly count as none. Connected parts of nested pathways are nested.

    On a CPU, derivatives that must be 0 are 0. Convolutions by Winograd or Fourier transforms, which a GPU may
    choose, leave roundings in their place, relative to the largest values that are transformed together;
    derivatives below ``NOISE`` roundings of the largest of the site count as 0 there.

    Two forward passes (one in forward mode) and one backward. ``response`` is that of the unmodified network; a
    pathway of one sample fits any batch. Raises MismatchError for a pathway of another network or batch,
    ForwardError for a model without forward-mode derivative.
    """
    keep = _fitted(response, pathway)
    a = response.run.values()
    rule = keeping(Pathway(keep), a)
    fed = NeuronValues(response.space, _derivatives(response, rule, seed))
    heard = response.rerun(rule).gradients
    return Pathway(keep.map(_passing, heard, fed, a), pathway.requested)


def _fitted(response: Response, pathway: Pathway) -> NeuronValues:
    """The pathway's booleans for every sample of the response, where its activations are."""
    check_type("the response", response, Response, "cp.respond(net, x) gives one")
    check_type("the pathway", pathway, Pathway)
    if difference := response.space.difference(pathway.space):
        raise MismatchError(f"the pathway belongs to another network or input shape: {difference}")
    if pathway.batch not in (1, response.run.batch):
        raise MismatchError(f"pathways of {pathway.batch} samples, a response of {response.run.batch}")
    pairs = zip(pathway.keep.tensors, response.run.values().tensors, strict=True)
    return NeuronValues(response.space, tuple(keep.to(a.device).expand_as(a) for keep, a in pairs))


def _passing(keep: Tensor, heard: Tensor, fed: Tensor, a: Tensor) -> Tensor:
    return keep & _nonzero(heard, a) & _nonzero(fed, a)


def _nonzero(derivative: Tensor, a: Tensor) -> Tensor:
    """Whether it is not 0, or more than the noise of the arithmetic in which ``a`` was computed."""
    magnitude = wide(derivative).abs()
    if magnitude.device.type == "cpu" or magnitude.numel() == 0:
        return magnitude > 0
    floor = NOISE * torch.finfo(a.dtype).eps * rows(magnitude).amax(dim=1)
    return magnitude > floor.view(-1, *[1] * (magnitude.dim() - 1))


def _derivatives(response: Response, rule: Rule, seed: int) -> tuple[Tensor, ...]:
    """That of every activation along one random direction, the same for all samples."""
    generator, batch = torch.Generator().manual_seed(seed), batch_size(response.x)

    def direction(like: Tensor) -> Tensor:
        shared = like.dim() == 0 or len(like) != batch
        drawn = torch.randn(like.shape if shared else like.shape[1:], generator=generator)
        return drawn.to(like).expand_as(like).contiguous()

    def embed(number: int, found: Tensor) -> Tensor:
        return dual(found, direction(found))

    directions = [direction(t) if t.is_floating_point() else None for t in tensors_of(response.x)]
    try:
        return response.net.slopes(response.x, directions, response.space, embed, rule)
    except ForwardError as error:
        raise ForwardError(
            "what the input reaches is seen by forward-mode derivatives, and one of the model's operations has none "
            f"(a custom autograd.Function needs a jvp): {error}"
        ) from error


# ------------------------------------------------------------------------------------------------ selection
@dataclass(frozen=True, eq=False)
class _Bracket:
    """For each sample, the largest prefix of the ranking found to fit (``low``), the smallest found not to (``high``).

    ``best`` is the connected part of the prefix ``low``. Sizes [batch], on the CPU.
    """

    low: Tensor
    high: Tensor
    best: Pathway

    def open(self, k: Tensor, within: float) -> Tensor:
        """Which samples may still gain: booleans [batch]."""
        return (self.high - self.low > 1) & (k - self.best.size.cpu() > within * k)

    def jumped(self, n: int, best: Pathway, k: Tensor) -> Tensor:
        """Which samples fall short of k because one more neuron connects too many: booleans [batch]."""
        return (self.low < n) & (k - best.size.cpu() > SHORT * k)

    def narrowed(self, prefix: Tensor, part: Pathway, k: Tensor) -> _Bracket:
        """After the connected parts of these prefixes were seen."""
        fits = part.size.cpu() <= k
        low = torch.where(fits, prefix, self.low)
        return _Bracket(low, torch.where(fits, self.high, prefix), _chosen(fits, part, self.best))


@gradients_on()
def select_connected(
    response: Response,
    scores: NeuronValues,
    sparsity: float = 0.9,
    scope: str = "network",
    *,
    within: float = 1e-3,
    seed: int = 0,
) -> Pathway:
    """The connected part of the longest prefix of the ranking whose connected part has at most k neurons.

    k is what ``select`` keeps at this ``sparsity`` and ``scope`` where no score is 0. The prefix is found by bisection,
    sample by sample, as connected parts of nested sets are nested; it ends within ``within`` k of k, or where
    one more neuron of the ranking connects too many at once. Then that neuron, the bridge, is put first in the ranking
    and the prefix is looked for again, up to ``BRIDGES`` times; the largest part counts. Each step of a bisection costs
    one ``connected_part`` of the batch.

    ``search.curves``: ``prefix`` and ``connected``, the shares of neurons in the prefix tried and in its connected
    part. ``search.stopped``, and a SearchWarning, say where a pathway falls short of k by more than ``SHORT`` k.
    Raises OptionError, MismatchError, and what ``connected_part`` and ``select`` raise.
    """
    check_number("within", within, 0, 1)
    n, k = response.space.neurons, select(scores.map(torch.ones_like), sparsity, scope).size.cpu()
    whole = torch.full((scores.batch,), n)
    bracket, steps = _bisect(partial(_prefix_part, response, scores, scope, seed), whole, k, within)
    best = bracket.best
    for _ in range(BRIDGES):
        if not (short := bracket.jumped(n, best, k)).any():
            break
        scores = _bridged(scores, scope, bracket.low, short)
        bracket, more = _bisect(partial(_prefix_part, response, scores, scope, seed), whole, k, within)
        best, steps = _chosen(bracket.best.size.cpu() > best.size.cpu(), bracket.best, best), steps + more
    ends = zip(bracket.low.tolist(), best.size.tolist(), k.tolist(), strict=True)
    search = Search(
        method="connected selection",
        curves=curves_of(steps),
        stopped=tuple(_stopped(low == n, size, wanted) for low, size, wanted in ends),
        keeps_class=response.keeps_class(response.pruned(best, graph=False)),
    )
    return told(replace(best, requested=sparsity, search=search))


def _bridged(scores: NeuronValues, scope: str, low: Tensor, short: Tensor) -> NeuronValues:
    """The scores of these samples with the neurons that follow the prefix put first."""
    n = scores.space.neurons
    before, after = (select_each(scores, (1 - prefix / n).clamp(0, 1).tolist(), scope) for prefix in (low, low + 1))

    def first(values: Tensor, old: Tensor, new: Tensor) -> Tensor:
        wide_values = wide(values)
        bridge = new & ~old & short.to(values.device).view(-1, *[1] * (values.dim() - 1))
        return torch.where(bridge, 2 * highest.to(wide_values).view(-1, *[1] * (values.dim() - 1)), wide_values)

    highest = torch.stack([rows(wide(v)).abs().amax(dim=1).cpu() for v in scores.tensors]).amax(dim=0)
    return scores.map(first, before.keep, after.keep)


def _bisect(
    part_of: Callable[[Tensor], Pathway], whole: Tensor, k: Tensor, within: float
) -> tuple[_Bracket, list[Watched]]:
    """``part_of`` gives the connected parts of prefixes [batch]; ``whole`` are the longest."""
    part = part_of(whole)
    nothing = _Bracket(torch.zeros_like(whole), whole + 1, part - part)
    bracket, steps = nothing.narrowed(whole, part, k), [_watched(whole, part)]
    while (busy := bracket.open(k, within)).any():
        middle = torch.where(busy, (bracket.low + bracket.high) // 2, bracket.low)
        part = part_of(middle)
        bracket = bracket.narrowed(middle, part, k)
        steps.append({name: torch.where(busy, share, torch.nan) for name, share in _watched(middle, part).items()})
    return bracket, steps


def _prefix_part(response: Response, scores: NeuronValues, scope: str, seed: int, prefix: Tensor) -> Pathway:
    shares = (1 - prefix / scores.space.neurons).tolist()
    return connected_part(response, select_each(scores, shares, scope), seed=seed)


def _watched(prefix: Tensor, part: Pathway) -> Watched:
    n = part.space.neurons
    return {"prefix": prefix / n, "connected": part.size.cpu() / n}


def _chosen(first: Tensor, one: Pathway, other: Pathway) -> Pathway:
    """Sample by sample, one of two pathways."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(first.to(a.device).view(-1, *[1] * (a.dim() - 1)), a, b)

    return Pathway(one.keep.map(pick, other.keep))


def _stopped(all_tried: bool, size: int, k: int) -> str:
    if k - size <= SHORT * k:
        return ""
    if all_tried:
        return f"has {size:,} of {k:,} neurons: no more of those with a score are connected"
    return f"has {size:,} of {k:,} neurons: each next one of the ranking connects too many at once"
