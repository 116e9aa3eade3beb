"""Shapley values of the neurons or channels of every site: exact where they are few, sampled where they are many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import factorial, log2, nan, pi, sqrt

import torch
from torch import Tensor

from critpath.accuracy import Accuracy
from critpath.contributions.ablation import Rows, Swap, as_scores, refuse_many, swap_of, table, wide_sums
from critpath.contributions.family import CONTRIBUTIONS
from critpath.errors import OptionError
from critpath.groups import By, Groups, GroupValues, groups_of
from critpath.network import gradients_on
from critpath.neurons import NeuronSpace, NeuronValues, wide
from critpath.response import Response

MOST_EXACT = 20
"""Players above which 2^n coalitions are too many."""


def _runs(space: NeuronSpace) -> int:
    """Passes through the whole network: 16 orders and their reverses, on average through half of it."""
    return 1 + 16 * space.neurons


@CONTRIBUTIONS.register("shapley", forwards=_runs, backwards=0, zero_if_dead=True)
@gradients_on()
def shapley(
    response: Response,
    *,
    by: By = None,
    baseline: NeuronValues | None = None,
    permutations: int = 16,
    exact: int = 10,
    seed: int = 0,
    memory: str | int | None = None,
) -> NeuronValues | GroupValues:
    """c_j = Σ_C |C|! (n - |C| - 1)! / n! (v(C ∪ j) - v(C)), signed, a game at every site by itself (lemma 1).

    v(C) is the response when the players in C keep their activations and the others get the baseline's; neurons
    that belong to no player keep theirs. Σ_j c_j = Φ(x) - v(∅) at every site. A player whose activations are those
    of the baseline scores exactly 0 and is not run.

    Parameters
    ----------
    by
        The players: neurons (None), ``"channels"``, or groups that lie in one site each and do not overlap.
    baseline, memory
        As in ``ablation``.
    permutations
        Pairs of a random order of the players and its reverse; of n players, each pair takes 2 (n - 1) runs.
    exact
        Up to how many active players of a site all 2^n coalitions are run instead.
    seed
        Of the random orders, which are the same for a sample whatever the batch.

    ``error`` of the result holds the expected L1 error of each site, from the spread over the pairs (NaN for one
    pair). Raises MismatchError, and OptionError, also where neurons (by=None) take more than ``MOST_RUNS`` runs.
    """
    groups, swap = groups_of(by, response.space), swap_of(response, baseline)
    plan = Plan(permutations, exact, seed)
    games = games_of(groups, swap, memory)
    points = torch.stack([plan.evaluations(game.players) for game in games], dim=1)
    if by is None:
        refuse_many(int(points.sum()), "the Shapley value of every active neuron")
    solutions = [_solve(game, plan) for game in games]
    scores = torch.zeros(len(points), len(groups), dtype=wide(response.value).dtype, device=points.device)
    for game, solution in zip(games, solutions, strict=True):
        scores[:, game.columns] = solution.scores.to(scores)
    return replace(as_scores(scores, groups, by), error=_accuracy(games, solutions, points, plan))


@dataclass(frozen=True)
class Plan:
    """What is spent on a game. Raises OptionError for fewer than one pair, or more than 2^20 coalitions."""

    permutations: int
    exact: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("permutations", "exact", "seed"):
            if not isinstance(getattr(self, name), int) or isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} is {getattr(self, name)!r}; it is a whole number")
        if self.permutations < 1:
            raise OptionError(f"permutations is {self.permutations}; one pair at least is needed")
        if not 0 <= self.exact <= MOST_EXACT:
            raise OptionError(
                f"exact is {self.exact}; it lies between 0 and {MOST_EXACT}, as n players take 2^n runs "
                f"({2.0**self.exact:,.0f} here)"
            )

    def evaluations(self, players: Tensor) -> Tensor:
        """Runs that games of so many active players take, elementwise."""
        all_coalitions = torch.where(players > 0, 2 ** players.clamp(max=self.exact), 0)
        return torch.where(players <= self.exact, all_coalitions, 2 * self.permutations * (players - 1) + 1)


@dataclass(frozen=True, eq=False)
class Game:
    """The game at one site: ``columns`` are the groups that play, ``active`` [batch, columns] those that matter.

    ``owners`` [*shape] tells which of them each neuron belongs to; their number where to none.
    """

    swap: Swap
    position: int
    columns: Tensor
    owners: Tensor
    active: Tensor
    at_once: int

    @cached_property
    def players(self) -> Tensor:
        """Active players [batch]."""
        return self.active.sum(dim=1)

    @cached_property
    def full(self) -> Tensor:
        """v(all) = Φ(x) [batch], float64 where the device has it."""
        return self.swap.response.value.detach().to(wide_sums(self.swap.response.value))

    def values(self, counts: Tensor, coalition: Rows) -> Tensor:
        """v(C) [batch, most turns] for ``counts`` coalitions of each sample.

        ``coalition`` gives those of rows of samples [n] and turns [n]: booleans [n, columns].
        """
        response = self.swap.response
        above = response.above(response.space.names[self.position])

        def rows(samples: Tensor, turns: Tensor) -> Tensor:
            out = torch.nn.functional.pad(~coalition(samples, turns), (0, 1), value=False)[:, self.owners]
            return above.of(self.swap.without(self.position, out, samples), samples)

        return table(counts, self.at_once, response, rows)


def games_of(groups: Groups, swap: Swap, memory: str | int | None) -> list[Game]:
    """One game for each site that has players. Raises OptionError where groups span sites or overlap."""
    if groups.spanning.any():
        name = groups.names[int(groups.spanning.nonzero()[0])]
        raise OptionError(f"the group {name!r} lies in several sites, but every site has a game by itself")
    active, at_once = swap.active(groups), swap.rows_at_once(memory, len(groups))
    positions = [position for position in range(len(groups.space)) if len(groups.columns(position))]
    return [_game(groups, swap, position, active, at_once) for position in positions]


def _game(groups: Groups, swap: Swap, position: int, active: Tensor, at_once: int) -> Game:
    columns, owners = groups.columns(position), groups.owners(position)
    return Game(swap, position, columns, owners.to(active.device), active[:, columns], at_once)


@dataclass(frozen=True, eq=False)
class Solution:
    """Shapley values and their standard errors [batch, columns], and v(∅) [batch]; float64 where there is one."""

    scores: Tensor
    errors: Tensor
    empty: Tensor


def _solve(game: Game, plan: Plan) -> Solution:
    scores = torch.zeros_like(game.active, dtype=game.full.dtype)
    solution = Solution(scores, scores.clone(), game.full.clone())
    few = game.players <= plan.exact
    if (few & (game.players > 0)).any():
        _by_coalitions(game, few & (game.players > 0), solution)
    if not few.all():
        _by_orders(game, ~few, plan, solution)
    return solution


def _by_coalitions(game: Game, chosen: Tensor, solution: Solution) -> None:
    """Fills in the ``chosen`` samples [batch], from all coalitions: coalition k holds the players of k's set bits."""
    bit = (game.active.cumsum(dim=1) - 1).clamp(min=0)
    counts = torch.where(chosen, 2 ** game.players.clamp(max=MOST_EXACT), 0)
    v = game.values(counts, lambda samples, turns: (turns.unsqueeze(1) >> bit[samples]) & 1 == 1)
    for i in chosen.nonzero().flatten().tolist():
        solution.scores[i, game.active[i]] = shapley_of(v[i, : counts[i]])
        solution.empty[i] = v[i, 0]


def shapley_of(v: Tensor) -> Tensor:
    """The Shapley values [n] of a game v [2^n], coalition k holding the players of k's set bits."""
    n = int(log2(len(v)))
    k = torch.arange(len(v), device=v.device)
    size = sum(((k >> j) & 1 for j in range(n)), torch.zeros_like(k))
    weights = [factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)]
    weight = torch.tensor([*weights, 0.0], dtype=v.dtype, device=v.device)[size]
    without = [k[(k >> j) & 1 == 0] for j in range(n)]
    return torch.stack([(weight[c] * (v[c | 1 << j] - v[c])).sum() for j, c in enumerate(without)])


def _by_orders(game: Game, chosen: Tensor, plan: Plan, solution: Solution) -> None:
    """Fills in the ``chosen`` samples [batch], from random orders of the players and their reverses."""
    nobody = torch.zeros_like(game.active[:1])
    empty = game.values(chosen.long(), lambda samples, turns: nobody.expand(len(samples), -1))[:, 0]
    generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + game.position)
    orders = (torch.randperm(len(game.columns), generator=generator) for _ in range(plan.permutations))
    gains = torch.stack([_gains(game, chosen, empty, order) for order in orders])
    spread = gains.std(dim=0) if plan.permutations > 1 else torch.full_like(gains[0], nan)
    solution.scores[chosen] = gains.mean(dim=0)[chosen]
    solution.errors[chosen] = torch.where(game.active, spread / sqrt(plan.permutations), 0.0)[chosen]
    solution.empty[chosen] = empty[chosen]


def _gains(game: Game, chosen: Tensor, empty: Tensor, order: Tensor) -> Tensor:
    """What each player adds to those before it, [batch, columns]: the mean over an order and its reverse."""
    rank, last = _ranks(game.active, order.to(game.active.device)), game.players - 1
    runs = last.clamp(min=1)

    def coalition(samples: Tensor, turns: Tensor) -> Tensor:
        back, size = turns >= runs[samples], turns % runs[samples] + 1
        place = torch.where(back.unsqueeze(1), last[samples].unsqueeze(1) - rank[samples], rank[samples])
        return place < size.unsqueeze(1)

    v = game.values(torch.where(chosen, 2 * last, 0), coalition)
    gains = torch.zeros_like(game.active, dtype=v.dtype)
    for i in chosen.nonzero().flatten().tolist():
        n, active = int(last[i]), game.active[i]
        there, back = (_steps(empty[i], part, game.full[i]) for part in v[i, : 2 * n].view(2, n))
        place = rank[i, active]
        gains[i, active] = (there[place] + back[n - place]) / 2
    return gains


def _ranks(active: Tensor, order: Tensor) -> Tensor:
    """The place of each active player among them, in this order of all players: [batch, columns]."""
    ranks = torch.zeros_like(active, dtype=torch.long)
    ranks[:, order] = active[:, order].cumsum(dim=1) - 1
    return ranks


def _steps(first: Tensor, between: Tensor, last: Tensor) -> Tensor:
    return torch.cat([first[None], between, last[None]]).diff()


def _accuracy(games: Sequence[Game], solutions: Sequence[Solution], points: Tensor, plan: Plan) -> Accuracy:
    """The expected L1 error of normal errors: E|e| = standard error x sqrt(2 / π)."""
    space = games[0].swap.response.space
    sampled = any(bool((game.players > plan.exact).any()) for game in games)
    changes = [game.full - solution.empty for game, solution in zip(games, solutions, strict=True)]
    sums = [solution.scores.sum(dim=1) for solution in solutions]
    return Accuracy(
        space=NeuronSpace(tuple(space.sites[game.position] for game in games), space.network),
        error=torch.stack([sqrt(2 / pi) * solution.errors.sum(dim=1) for solution in solutions], dim=1),
        scale=torch.stack([solution.scores.abs().sum(dim=1) for solution in solutions], dim=1),
        gap=(torch.stack(sums, dim=1) - torch.stack(changes, dim=1)).abs(),
        points=points,
        rule="permutations" if sampled else "exact",
    )
