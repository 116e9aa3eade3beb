"""Adversarial inputs, FGSM and PGD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.errors import InputError, OptionError
from critpath.network import ModelInput, Network, batch_size, gradients_on, map_tensors, tensors_of
from critpath.neurons import rows, wide
from critpath.options import check_count, check_number, shown
from critpath.registry import check_known
from critpath.response import respond
from critpath.targets import Classes, Logit, class_scores

Bound: TypeAlias = "float | Tensor | None"
"""One number for all of the input, or a tensor that broadcasts to it; None for no bound."""


@dataclass(frozen=True, eq=False)
class _Attack:
    """What is attacked: the loss grows away from ``classes`` [batch], or falls towards them (``sign`` -1)."""

    net: Network
    x: ModelInput
    classes: Tensor
    sign: int
    low: Bound
    high: Bound

    def ascent(self, x: ModelInput) -> list[Tensor | None]:
        """The gradient of what is to grow, for each tensor of the input (None where it stays)."""
        with gradients_on():
            run = self.net.run(x)
            loss = F.cross_entropy(wide(class_scores(run)), self.classes, reduction="none")
            found = run.input_gradients(loss)[: len(run.inputs)]
        return [g * self.sign if g is not None and _moves(g, self.x) else None for g in found]

    def bounded(self, moved: Tensor, original: Tensor) -> Tensor:
        """Within low and high; what is beyond them already is not moved further out."""
        if self.low is not None:
            moved = torch.maximum(moved, torch.minimum(_like(self.low, original), original))
        if self.high is not None:
            moved = torch.minimum(moved, torch.maximum(_like(self.high, original), original))
        return moved


def fgsm(
    net: Network,
    x: ModelInput,
    labels: Classes = None,
    *,
    epsilon: float | Tensor,
    toward: Classes = None,
    low: Bound = None,
    high: Bound = None,
) -> ModelInput:
    """The fast gradient sign method: x + ε sign(dL/dx), L the cross-entropy of ``labels``.

    Goodfellow et al. 2015. ``labels`` are the true classes, by default those that the network predicts; with
    ``toward`` the loss of those classes is made smaller instead. ``epsilon`` is in units of the (preprocessed) input,
    one number or a tensor that broadcasts to it, for instance one number for each channel; ``low`` and ``high``, of the
    same form, bound the result.
    Every floating-point tensor of the input that has the batch as first dimension is moved.
    Raises InputError where there is none, OptionError, TargetError.
    """
    attack = _attack(net, x, labels, toward, low, high)
    _check_size("epsilon", epsilon, x)
    return _moved(attack, x, lambda now, g, start: now + _like(epsilon, now) * g.sign())


def pgd(
    net: Network,
    x: ModelInput,
    labels: Classes = None,
    *,
    epsilon: float | Tensor,
    steps: int = 10,
    step: float | Tensor | None = None,
    norm: str = "linf",
    toward: Classes = None,
    low: Bound = None,
    high: Bound = None,
    random_start: bool = True,
    seed: int = 0,
) -> ModelInput:
    """Projected gradient ascent of the cross-entropy within a ball around the input.

    Madry et al. 2018. As ``fgsm``; ``norm`` is ``"linf"`` or ``"l2"`` (of each tensor of a sample), ``step`` is
    2.5 ε / ``steps`` by default. The start is drawn in the ball by ``seed``, the same offset for every sample;
    without ``random_start`` it is the input.
    The last point is returned. Raises OptionError, InputError, TargetError.
    """
    attack = _attack(net, x, labels, toward, low, high)
    _check_size("epsilon", epsilon, x)
    check_count("steps", steps, 1)
    check_count("seed", seed, 0)
    check_known("norm", norm, tuple(NORMS))
    length = 2.5 * epsilon / steps if step is None else step
    _check_size("step", length, x)
    ball = NORMS[norm]

    def ascend(now: Tensor, gradient: Tensor, start: Tensor) -> Tensor:
        moved = now + _like(length, now) * ball.direction(gradient)
        return start + ball.projected(moved - start, _like(epsilon, now))

    now = _started(attack, ball, epsilon, seed) if random_start else x
    for _ in range(steps):
        now = _moved(attack, now, ascend)
    return now


@dataclass(frozen=True)
class _Ball:
    """The steepest direction, and the nearest point of a ball of radius ε, for the rows of a tensor."""

    direction: Callable[[Tensor], Tensor]
    projected: Callable[[Tensor, Tensor], Tensor]


def _like(value: float | Tensor, tensor: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=tensor.dtype, device=tensor.device)


def _length(values: Tensor) -> Tensor:
    """l2 norm of each sample, to divide by: [batch, 1, ...], at least a tiny number."""
    norms: Tensor = torch.linalg.vector_norm(rows(wide(values)), dim=1)
    return norms.to(values).clamp(min=torch.finfo(values.dtype).tiny).view(-1, *[1] * (values.dim() - 1))


NORMS = {
    "linf": _Ball(torch.sign, lambda d, epsilon: torch.minimum(torch.maximum(d, -epsilon), epsilon)),
    "l2": _Ball(lambda g: g / _length(g), lambda d, epsilon: d * (epsilon / _length(d)).clamp(max=1)),
}


def _attack(net: Network, x: ModelInput, labels: Classes, toward: Classes, low: Bound, high: Bound) -> _Attack:
    if labels is not None and toward is not None:
        raise OptionError("give labels= to move away from, or toward= to move to, not both")
    if not _moving(x):
        raise InputError("no tensor of the input can be moved: none holds floating-point numbers for each sample")
    _check_bounds(low, high, x)
    settled = respond(net, x, Logit(labels if toward is None else toward), graph=False).target
    assert isinstance(settled, Logit)
    assert isinstance(settled.classes, Tensor)
    return _Attack(net, x, settled.classes, 1 if toward is None else -1, low, high)


def _moves(tensor: Tensor, x: ModelInput) -> bool:
    return tensor.dim() > 0 and len(tensor) == batch_size(x)


def _moving(x: ModelInput) -> list[Tensor]:
    return [tensor for tensor in tensors_of(x) if tensor.is_floating_point() and _moves(tensor, x)]


def _moved(attack: _Attack, now: ModelInput, move: Callable[[Tensor, Tensor, Tensor], Tensor]) -> ModelInput:
    """Every tensor that has a gradient moved by it, within the bounds."""
    waiting = iter(zip(attack.ascent(now), tensors_of(attack.x), strict=True))

    def step(tensor: Tensor) -> Tensor:
        gradient, start = next(waiting)
        if gradient is None:
            return tensor
        return attack.bounded(move(tensor.detach(), gradient.to(tensor), start.detach()), start.detach())

    return map_tensors(now, step)


def _started(attack: _Attack, ball: _Ball, epsilon: float | Tensor, seed: int) -> ModelInput:
    """A point in the ball: uniform in each coordinate, projected."""
    generator = torch.Generator().manual_seed(seed)

    def start(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() or not _moves(tensor, attack.x):
            return tensor
        drawn = 2 * torch.rand(tensor.shape[1:], generator=generator) - 1
        radius = _like(epsilon, tensor)
        offset = ball.projected(drawn.to(tensor).expand_as(tensor) * radius, radius)
        return attack.bounded(tensor.detach() + offset, tensor.detach())

    return map_tensors(attack.x, start)


def _check_size(name: str, value: float | Tensor, x: ModelInput) -> None:
    """Raises OptionError unless it is finite, 0 or more, and fits the input."""
    if not isinstance(value, Tensor):
        check_number(name, value, 0)
        return
    _check_shape(name, value, x)
    if not bool((torch.isfinite(value) & (value >= 0)).all()):
        raise OptionError(
            f"{name} is a tensor of {shown(value.flatten()[:8].tolist())}; give finite numbers, at least 0"
        )


def _check_bounds(low: Bound, high: Bound, x: ModelInput) -> None:
    """Raises OptionError unless each is None or fits the input, and low is nowhere above high."""
    for name, bound in (("low", low), ("high", high)):
        if isinstance(bound, Tensor):
            _check_shape(name, bound, x)
        elif bound not in (None, inf, -inf):
            check_number(name, bound)
    least, most = (-inf if low is None else low), (inf if high is None else high)
    if not all(bool((_like(least, t) <= _like(most, t)).all()) for t in _moving(x)):
        raise OptionError(f"low is above high, or one of them NaN: {shown(low)} and {shown(high)}")


def _check_shape(name: str, value: Tensor, x: ModelInput) -> None:
    for tensor in _moving(x):
        try:
            value.expand(tensor.shape)
        except RuntimeError:
            raise OptionError(
                f"{name} has shape {list(value.shape)}; give one number, or a tensor that broadcasts to the input's "
                f"{list(tensor.shape)}"
            ) from None
