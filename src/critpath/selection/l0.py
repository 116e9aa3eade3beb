"""A mask of the size asked for, optimised for one input: what there is to gain over ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, log

import torch
from torch import Tensor

from critpath.contributions import neuron_scores
from critpath.descent import adam, sgd
from critpath.network import gradients_on
from critpath.neurons import parted, wide
from critpath.options import check_choice, check_count, check_number
from critpath.pathway import Pathway, Search
from critpath.response import Response
from critpath.selection.family import FINDERS
from critpath.selection.gates import gated
from critpath.selection.objective import Objective, objective
from critpath.selection.ranking import check_sparsity, kept_count, select
from critpath.selection.searching import Watched, curves_of, joined, smallest, told

STEPS = 40
"""Steps of the straight-through scheme by default."""

BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
"""Temperature and stretch of the hard-concrete distribution, as Louizos et al. have them."""

PRICE = 0.1
"""How fast the multiplier of the hard-concrete scheme rises with the relative excess."""

EVERY = 10
"""Steps after which a stochastic mask is binarised and verified."""

SPREAD = 8.0
"""Log-alphas that hard-concrete gates start with, from the neuron ranked last to the first."""


@FINDERS.register("l0", forwards=STEPS + 2, backwards=STEPS + 1, copies=6)
@gradients_on()
def l0(
    response: Response,
    sparsity: float,
    *,
    start: str = "taylor",
    scheme: str = "straight_through",
    loss: str | None = None,
    steps: int | None = None,
    lr: float | None = None,
    dead: bool = False,
    seed: int = 0,
) -> Pathway:
    """argmin over masks m of L(Φ(x), Φ(x; m ⊙ a)), subject to ‖m‖₀ = k, from a ranking on.

    Masks of exactly k neurons are verified on the way, by the objective of the network so pruned; the best one is
    returned. The first is that of the ranking itself, so that the result is never worse. It is the best mask found,
    not the best there is; nor does a low loss make its neurons those that the network itself relies on.

    Parameters
    ----------
    start
        The contribution whose ranking is improved.
    scheme
        ``"straight_through"``: m keeps the k largest of θ, which starts as the rank and moves against ∂L/∂m, as if m
        were θ (gradients in units of their mean magnitude, with momentum). Each step verifies its mask.
        ``"hard_concrete"``: random gates in [0, 1] and a Lagrange multiplier that holds their expected number at k
        (Louizos et al. 2018), by Adam; verified every ``EVERY`` steps. It takes many more steps to get as far.
    loss
        L as in ``objective``.
    steps, lr
        Steps, one forward and backward pass each, and their size: 40 of 0.01, or 120 of 0.3 for hard_concrete.
    dead
        Whether neurons that are dead (a = 0) on the input may be kept, which may come to life as others go.
    seed
        Of the random gates, drawn alike for every sample.

    ``search.curves`` hold ``objective``, ``response`` and ``keeps_class`` of every mask that was verified, the
    ranking's first. Fewer than k neurons are kept only where fewer are active; ``search.stopped`` says so.
    Raises OptionError, NumericalError.
    """
    check_sparsity(sparsity)
    check_choice("scheme", scheme, tuple(SCHEMES))
    scheme_steps, scheme_lr = DEFAULTS[scheme]
    steps, lr = scheme_steps if steps is None else steps, scheme_lr if lr is None else lr
    check_count("steps", steps, 1)
    check_number("lr", lr, 0, inf, above=True)
    check_count("seed", seed, 0)
    task = _task(response, sparsity, start, objective(response, loss), dead)
    best, seen = _best(SCHEMES[scheme](task, steps, lr, seed))
    search = Search("l0", curves_of(seen), _stopped(best.mask, task), best.keeps)
    return told(Pathway(parted(response.space, best.mask), sparsity, search))


@dataclass(frozen=True, eq=False)
class Task:
    """What a scheme is given.

    ``first`` [batch, neurons] is the ranking's mask; ``rank`` the place in the ranking as a share of all neurons,
    above 0 for the k largest scores; ``candidates`` the neurons that may be kept; ``budget`` k.
    """

    response: Response
    loss: Objective
    first: Tensor
    rank: Tensor
    candidates: Tensor
    budget: int

    def run(self, gates: Tensor, graph: bool = True) -> tuple[Response, Tensor]:
        """The gated response, and its loss [batch]."""
        space = self.response.space
        now = self.response.rerun(gated(space, parted(space, gates).tensors), graph)
        return now, self.loss(now)

    def verified(self, mask: Tensor) -> Verified:
        """The exact ablation of all that the mask leaves out."""
        now, loss = self.run(mask.to(self.rank.dtype), graph=False)
        return self.verdict(mask, now, loss)

    def verdict(self, mask: Tensor, now: Response, loss: Tensor) -> Verified:
        return Verified(mask, loss.detach(), wide(now.value.detach()), self.response.keeps_class(now))

    def binarised(self, values: Tensor) -> Tensor:
        """The k candidates of largest value, or all candidates where they are fewer: booleans [batch, neurons]."""
        rows = zip(values, self.candidates, strict=True)
        return torch.stack([c & ~smallest(v, c, int(c.sum()) - self.budget) for v, c in rows])


@dataclass(frozen=True, eq=False)
class Verified:
    """A mask [batch, neurons], and the objective, the response and whether the class is kept [batch] under it."""

    mask: Tensor
    objective: Tensor
    response: Tensor
    keeps: Tensor | None


def _task(response: Response, sparsity: float, start: str, loss: Objective, dead: bool) -> Task:
    scores = neuron_scores(response, start)
    size, flat = response.space.neurons, joined(scores, response.value).abs()
    budget = kept_count(size, sparsity)
    order = flat.argsort(dim=1, stable=True)
    places = torch.arange(budget + 1 - size, budget + 1, device=flat.device, dtype=flat.dtype) / size
    rank = torch.empty_like(flat).scatter_(1, order, places.expand_as(flat))
    active = joined(response.run.values().map(lambda a: a != 0), response.value)
    first = joined(select(scores, sparsity).keep, response.value)
    return Task(response, loss, first, rank, active | dead, budget)


def _straight_through(task: Task, steps: int, lr: float, seed: int) -> Iterator[Verified]:
    theta, mask = task.rank.clone(), task.first
    move = sgd([theta], lr, momentum=0.9)
    for step in range(steps + 1):
        gates = mask.to(theta.dtype).requires_grad_()
        now, loss = task.run(gates, graph=step < steps)
        yield task.verdict(mask, now, loss)
        if step < steps:
            (gradient,) = torch.autograd.grad(loss.sum(), gates)
            move([gradient / _size(gradient)])
            mask = task.binarised(theta)


def _size(gradient: Tensor) -> Tensor:
    """Mean magnitude of each sample's: [batch, 1]."""
    return gradient.abs().mean(dim=1, keepdim=True).clamp(min=torch.finfo(gradient.dtype).tiny)


def _hard_concrete(task: Task, steps: int, lr: float, seed: int) -> Iterator[Verified]:
    """Descends L / L(start) + μ v + v² in log α, v = E‖m‖₀ / k - 1, and ascends in μ."""
    first = task.verified(task.first)
    yield first
    log_alpha, generator = _log_alpha(task), torch.Generator().manual_seed(seed)
    move, unit = adam([log_alpha], lr), first.objective.abs().clamp(min=1e-12)
    multiplier = torch.zeros_like(unit)
    for step in range(1, steps + 1):
        leaf = log_alpha.detach().requires_grad_()
        _, loss = task.run(_gates(leaf, generator) * task.candidates)
        violation = _expected(leaf, task) / max(task.budget, 1) - 1
        total = loss / unit + multiplier * violation + violation**2
        move(torch.autograd.grad(total.sum(), [leaf]))
        multiplier = multiplier + PRICE * violation.detach()
        if step % EVERY == 0 or step == steps:
            yield task.verified(task.binarised(log_alpha))


def _gates(log_alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Hard-concrete gates in [0, 1], drawn alike for every sample."""
    uniform = torch.rand((1, log_alpha.shape[1]), generator=generator).clamp(1e-6, 1 - 1e-6).to(log_alpha)
    return (((uniform.logit() + log_alpha) / BETA).sigmoid() * (HIGH - LOW) + LOW).clamp(0, 1)


def _expected(log_alpha: Tensor, task: Task) -> Tensor:
    """E‖m‖₀ = Σ P(m ≠ 0): [batch]."""
    return ((log_alpha - BETA * log(-LOW / HIGH)).sigmoid() * task.candidates).sum(dim=1)


def _log_alpha(task: Task) -> Tensor:
    """SPREAD times the rank, moved (by bisection) until the expected size is k, or all candidates."""
    low, high = (torch.full_like(task.rank[:, :1], bound) for bound in (-40.0, 40.0))
    for _ in range(40):
        middle = (low + high) / 2
        short = (_expected(SPREAD * task.rank + middle, task) < task.budget).unsqueeze(1)
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return SPREAD * task.rank + low


def _best(found: Iterator[Verified]) -> tuple[Verified, list[Watched]]:
    """The mask of lowest objective for each sample, the earliest of equal ones; and what was watched."""
    best = next(found)
    seen = [_watched(best)]
    for one in found:
        seen.append(_watched(one))
        best = _lower(best, one)
    return best, seen


def _lower(best: Verified, one: Verified) -> Verified:
    better = one.objective < best.objective
    keeps = None if best.keeps is None or one.keeps is None else torch.where(better, one.keeps, best.keeps)
    return Verified(
        mask=torch.where(better.unsqueeze(1), one.mask, best.mask),
        objective=torch.where(better, one.objective, best.objective),
        response=torch.where(better, one.response, best.response),
        keeps=keeps,
    )


def _watched(one: Verified) -> Watched:
    classes = {} if one.keeps is None else {"keeps_class": one.keeps}
    return {"objective": one.objective, "response": one.response, **classes}


def _stopped(mask: Tensor, task: Task) -> tuple[str, ...]:
    sizes = mask.sum(dim=1).tolist()
    return tuple(
        f"keeps {size:,} neurons, not the {task.budget:,} asked for, as no more are active or score above 0"
        if size < task.budget
        else ""
        for size in sizes
    )


SCHEMES: dict[str, Callable[[Task, int, float, int], Iterator[Verified]]] = {
    "straight_through": _straight_through,
    "hard_concrete": _hard_concrete,
}
DEFAULTS = {"straight_through": (STEPS, 0.01), "hard_concrete": (120, 0.3)}
"""Steps and their size, for each scheme."""
