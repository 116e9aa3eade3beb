"""Distillation Guided Routing: gates on the activations, trained to keep the output while most of them shrink."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf, nan
from typing import Any

import torch
from torch import Tensor, nn

from critpath.descent import OPTIMISERS, Step, descent
from critpath.errors import OptionError
from critpath.network import Network, gradients_on
from critpath.network.observer import plain_name
from critpath.neurons import NeuronValues, wide
from critpath.options import check_choice, check_count, check_number
from critpath.pathway import Pathway, Search
from critpath.registry import check_known
from critpath.response import Response, respond
from critpath.selection.binarise import above_percentile, largest, stopped, tied_at_cut
from critpath.selection.family import FINDERS
from critpath.selection.gates import GRANULARITIES, gated, initial, per_row, per_sample, spread
from critpath.selection.objective import Objective, objective
from critpath.selection.ranking import check_sparsity
from critpath.selection.searching import Watched, curves_of, told

PLACES = ("activations", "convolutions")
BINARISATIONS = ("topk", "threshold")


@dataclass(frozen=True)
class Plan:
    """The options of ``dgr``; the defaults are khakzar2021's with a tenth of the iterations, each ten times as far."""

    granularity: str = "neuron"
    at: str = "activations"
    init: str | float | NeuronValues = "ones"
    loss: str | None = None
    gamma: float = 0.01
    optimiser: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    iterations: int = 100
    clamp: float = 100.0
    binarise: str = "topk"
    seed: int = 0
    retries: int = 0

    def __post_init__(self) -> None:
        check_choice("granularity", self.granularity, GRANULARITIES)
        check_choice("at", self.at, PLACES)
        check_choice("optimiser", self.optimiser, OPTIMISERS)
        check_choice("binarise", self.binarise, BINARISATIONS)
        check_number("gamma", self.gamma, 0, inf)
        check_number("lr", self.lr, 0, inf, above=True)
        check_number("momentum", self.momentum, 0, 0.999999)
        check_number("clamp", self.clamp, 0, inf, above=True)
        for name, low in (("iterations", 1), ("seed", 0), ("retries", 0)):
            check_count(name, getattr(self, name), low)


PRESETS: dict[str, dict[str, Any]] = {
    "wang2018": {
        "granularity": "channel",
        "at": "convolutions",
        "init": "ones",
        "loss": "soft_ce",
        "gamma": 0.05,
        "optimiser": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "iterations": 30,
        "clamp": 5.0,
        "binarise": "topk",
    },
    "khakzar2021": {
        "granularity": "neuron",
        "at": "activations",
        "init": "ones",
        "loss": "soft_ce",
        "gamma": 0.01,
        "optimiser": "sgd",
        "lr": 0.01,
        "momentum": 0.9,
        "iterations": 1000,
        "clamp": 100.0,
        "binarise": "threshold",
    },
}
"""The settings of Wang et al. 2018 (whose gates were used as they are) and of the critical-pathways paper's code."""


@FINDERS.register("dgr", forwards=Plan.iterations + 3, backwards=Plan.iterations, copies=5)
@gradients_on()
def dgr(
    response: Response,
    sparsity: float,
    *,
    preset: str | None = None,
    granularity: str | None = None,
    at: str | None = None,
    init: str | float | NeuronValues | None = None,
    loss: str | None = None,
    gamma: float | None = None,
    optimiser: str | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    iterations: int | None = None,
    clamp: float | None = None,
    binarise: str | None = None,
    seed: int | None = None,
    retries: int | None = None,
) -> Pathway:
    """Distillation Guided Routing: min over gates λ ≥ 0 of L(Φ(x), Φ(x; λ ⊙ a)) + γ Σ |λ|, then the largest gates.

    Of the iterates that leave the class as it is, the one of lowest total loss is taken for each sample (of all,
    where the response is of no class). Wang et al. 2018; critical-pathways paper, section 2.1. Dead neurons
    have gates too, and may be kept.

    From ones, a gate that the loss does not hold sinks by γ lr / (1 - momentum) an iteration, so that this
    is a method stopped early: at iterations x lr x γ / (1 - momentum) ≈ 1 such gates are just about to reach 0,
    and later all of them are 0 and tied. From uniform gates they are 0, and tied, much earlier.

    Parameters
    ----------
    preset
        ``"wang2018"`` or ``"khakzar2021"``: values for all options but seed and retries. Options that are given win
        over it. The defaults are those of ``Plan``.
    granularity
        A gate per ``"neuron"`` or per ``"channel"``.
    at
        ``"activations"``, or ``"convolutions"``: the outputs of all convolutions, and the pathway then lies in the
        space of ``Network(model, also=[every convolution], only=[the same])``, not in that of ``net``.
    init
        ``"ones"``, ``"uniform"`` in (0, 1] by ``seed``, a number, or NeuronValues of one sample or of each.
    loss
        L as in ``objective``.
    gamma, optimiser, lr, momentum, iterations
        γ; ``"sgd"`` or ``"adam"`` (momentum is its β1), its step size and momentum, and how many steps.
    clamp
        Gates are kept in [0, clamp] after every step.
    binarise
        ``"topk"``: exactly as many as asked for, of the largest gates (fewer only where other gates are 0); of channels
        as many whole ones as fit. Where gates are tied at the cut, their place decides, and ``search.stopped`` says so.
        ``"threshold"``: gates above the percentile of the sparsity, as in the released code; gates tied with it are
        dropped, so that the pathway may be far smaller.
    retries
        How often a sample whose class no iterate kept goes on from its gates as they are, with a tenth of γ.

    ``search.curves``, at the start and after each step: ``loss`` (the total), ``objective``, ``zero`` (share of gates
    at 0), ``response`` and ``keeps_class``; ``search.ranking``: the gates. Where no iterate kept the class,
    the best one is used, ``search.stopped`` says so and SearchWarning is warned; likewise for a size that was missed.
    Raises OptionError, MismatchError, NumericalError (a step so large that the gates diverge).
    """
    given = {name: value for name, value in locals().items() if name in NAMES and value is not None}
    check_sparsity(sparsity)
    plan = plan_of(preset, given)
    subject = response if plan.at == "activations" else _of_convolutions(response)
    best, steps = _train(subject, plan, objective(subject, plan.loss))
    gates = spread(subject.space, best.gates)
    cut_off = plan.binarise == "threshold"
    pathway = above_percentile(gates, sparsity) if cut_off else largest(gates, best.gates, sparsity, plan.granularity)
    keeps = subject.keeps_class(subject.pruned(pathway, graph=False))
    ties = [0] * pathway.batch if cut_off else tied_at_cut(gates, pathway)
    lost = [keeps is not None and not kept for kept in best.keeps.tolist()]
    search = Search("dgr", curves_of(steps), stopped(pathway, ties, lost), keeps, gates)
    return told(replace(pathway, search=search))


def plan_of(preset: str | None, given: Mapping[str, Any]) -> Plan:
    """The preset's options, or the defaults, under those that are given. Raises OptionError."""
    if preset is None:
        return Plan(**given)
    check_known("preset of dgr", preset, tuple(PRESETS))
    return Plan(**(PRESETS[preset] | dict(given)))


def convolutions(net: Network) -> Network:
    """The same model, its sites the outputs of its convolutions. Raises OptionError where it has none."""
    names = [plain_name(name) for name, m in net.model.named_modules() if isinstance(m, nn.modules.conv._ConvNd)]
    if not names:
        raise OptionError(
            f"{type(net.model).__name__} has no convolution modules to put gates on: leave out at='convolutions'"
        )
    return Network(net.model, also=names, only=[f"{glob.escape(name)}#*" for name in names], allow_training=True)


def _of_convolutions(response: Response) -> Response:
    return respond(convolutions(response.net), response.x, response.target)


@dataclass(frozen=True, eq=False)
class _Best:
    """The best iterate of each sample so far, its total loss, and whether it keeps the class: [batch]."""

    gates: list[Tensor]
    loss: Tensor
    keeps: Tensor


def _train(response: Response, plan: Plan, loss: Objective) -> tuple[_Best, list[Watched]]:
    gates = initial(plan.init, response.run.values(), plan.granularity, plan.seed, plan.clamp)
    value = wide(response.value.detach())
    gamma, steps = torch.full_like(value, plan.gamma), list[Watched]()
    best = _Best([gate.clone() for gate in gates], torch.full_like(value, inf), torch.zeros_like(value) > 0)
    for _ in range(plan.retries + 1):
        pending = ~best.keeps
        best = _descend(response, plan, loss, gates, gamma, pending, best, steps)
        if best.keeps.all():
            break
        gamma = torch.where(best.keeps, gamma, gamma / 10)
    return best, steps


def _descend(
    response: Response,
    plan: Plan,
    loss: Objective,
    gates: list[Tensor],
    gamma: Tensor,
    pending: Tensor,
    best: _Best,
    steps: list[Watched],
) -> _Best:
    """Moves the gates; the best iterate of the ``pending`` samples (those of others stay as they are)."""
    step = descent(plan.optimiser, gates, plan.lr, plan.momentum)
    for iteration in range(plan.iterations + 1):
        leaves = [gate.detach().requires_grad_() for gate in gates]
        now = response.rerun(gated(response.space, leaves), graph=iteration < plan.iterations)
        distance = loss(now)
        total = (distance + gamma * per_sample(torch.abs, gates)).detach()
        keeps = response.keeps_class(now)
        steps.append(_watched(now, total, distance, gates, keeps, pending))
        best = _better(best, gates, total, torch.ones_like(pending) if keeps is None else keeps, pending)
        if iteration < plan.iterations:
            _move(step, leaves, distance, gamma, plan.clamp)
    return best


def _move(step: Step, gates: list[Tensor], distance: Tensor, gamma: Tensor, clamp: float) -> None:
    """One step down the total loss, and back into [0, clamp]."""
    found = torch.autograd.grad(distance.sum(), gates, allow_unused=True)
    with torch.no_grad():
        penalties = [per_row(gamma.to(gate), gate) * gate.sign() for gate in gates]
        step([p if g is None else p + g for p, g in zip(penalties, found, strict=True)])
        for gate in gates:
            gate.clamp_(0, clamp)


def _better(best: _Best, gates: list[Tensor], loss: Tensor, keeps: Tensor, pending: Tensor) -> _Best:
    """An iterate that keeps the class is better than one that does not; among equals the lower loss is."""
    better = pending & ((keeps & ~best.keeps) | ((keeps == best.keeps) & (loss < best.loss)))
    if better.any():
        for kept, gate in zip(best.gates, gates, strict=True):
            kept[better.to(kept.device)] = gate.detach()[better.to(kept.device)]
    return _Best(best.gates, torch.where(better, loss, best.loss), torch.where(better, keeps, best.keeps))


def _watched(
    now: Response, total: Tensor, distance: Tensor, gates: list[Tensor], keeps: Tensor | None, pending: Tensor
) -> Watched:
    """NaN for samples that are not pending."""
    count = sum(gate[0].numel() for gate in gates)
    seen = {
        "loss": total,
        "objective": distance.detach(),
        "zero": per_sample(lambda gate: (gate == 0).to(total.dtype), gates) / count,
        "response": wide(now.value.detach()),
        **({} if keeps is None else {"keeps_class": keeps.to(total.dtype)}),
    }
    return {name: torch.where(pending, numbers, nan) for name, numbers in seen.items()}


NAMES = tuple(field.name for field in fields(Plan))
