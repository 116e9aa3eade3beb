"""What linearity buys: gradients under noise, and the radius over sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from critpath.analysis.linearity.radius import linear_radius
from critpath.analysis.linearity.result import LinearRadius
from critpath.contributions import CONTRIBUTIONS, neuron_scores
from critpath.errors import InputError
from critpath.network import ModelInput, Network, Rule, map_tensors, tensors_of
from critpath.neurons import rows
from critpath.options import check_count, check_number, check_several
from critpath.pathway import Pathway
from critpath.response import Response, keeping, respond
from critpath.selection import check_finder, check_sparsity, find_in_response, select
from critpath.targets import TargetLike


@dataclass(frozen=True, eq=False)
class GradientStability:
    """Cosine similarity, in [-1, 1], of the gradient at x and at x + noise; means over draws of the noise.

    ``original`` [images, levels] is the network's; ``pathway`` [images, sparsities, levels] that of the pathway's
    frozen network, whose other neurons are constants at their values on x. ``levels`` are standard deviations of the
    noise, in units of the input. NaN where a gradient is zero.
    """

    sparsities: tuple[float, ...]
    levels: tuple[float, ...]
    original: Tensor
    pathway: Tensor
    samples: int


@dataclass(frozen=True, eq=False)
class RadiusOverSparsity:
    """The radius of the network, and of the frozen networks of pathways of growing sparsity."""

    sparsities: tuple[float, ...]
    original: LinearRadius
    pathways: tuple[LinearRadius, ...]

    @property
    def radius(self) -> Tensor:
        """That of the frozen networks: [batch, sparsities]."""
        return torch.stack([one.radius for one in self.pathways], dim=1)

    def __str__(self) -> str:
        rows_ = zip(self.sparsities, self.radius.T.tolist(), strict=True)
        lines = [f"network: {', '.join(f'{r:.3g}' for r in self.original.radius.tolist())}"]
        return "\n".join(lines + [f"sparsity {s:g}: {', '.join(f'{r:.3g}' for r in row)}" for s, row in rows_])


def gradient_stability(
    net: Network,
    x: ModelInput,
    sparsities: Sequence[float] = (0.8, 0.9, 0.99),
    levels: Sequence[float] = (0.001, 0.01, 0.1),
    method: str = "taylor",
    target: TargetLike = None,
    *,
    samples: int = 4,
    seed: int = 0,
    **options: Any,
) -> GradientStability:
    """How far the gradient of the response turns under Gaussian noise, for the network and for its pathways.

    ``method`` and ``options`` find the pathways. Every level uses the same ``samples`` draws, scaled. Costs, for each
    draw and level, a forward and a backward pass of the network and of each pathway.
    """
    _check_sparsities(sparsities)
    _check_noise(levels, samples, seed)
    response = respond(net, x, target)
    values = response.run.values()
    rules = [None, *(keeping(p, values) for p in _pathways(response, method, sparsities, options))]
    draws = _draws(x, samples, seed)
    found = torch.stack([torch.stack([_cosine(response, rule, draws, s) for s in levels], 1) for rule in rules], 1)
    return GradientStability(tuple(sparsities), tuple(levels), found[:, 0], found[:, 1:], samples)


def radius_over_sparsity(
    net: Network,
    x: ModelInput,
    sparsities: Sequence[float] = (0.8, 0.9, 0.99),
    method: str = "taylor",
    target: TargetLike = None,
    *,
    finder: dict[str, Any] | None = None,
    **options: Any,
) -> RadiusOverSparsity:
    """``linear_radius`` of the network and of its pathways; ``finder`` are options of the method that finds these.

    All others are options of ``linear_radius``.
    """
    _check_sparsities(sparsities)
    pathways = _pathways(respond(net, x, target), method, sparsities, finder or {})
    found = tuple(linear_radius(net, x, target, pathway, **options) for pathway in pathways)
    return RadiusOverSparsity(tuple(sparsities), linear_radius(net, x, target, **options), found)


def _pathways(response: Response, method: str, sparsities: Sequence[float], options: dict[str, Any]) -> list[Pathway]:
    check_finder(method, options)
    if method not in CONTRIBUTIONS.names() or options.get("connected"):
        return [find_in_response(response, method, sparsity, **options) for sparsity in sparsities]
    scores = neuron_scores(response, method, **{k: v for k, v in options.items() if k not in ("scope", "connected")})
    return [select(scores, sparsity, options.get("scope", "network")) for sparsity in sparsities]


def _cosine(response: Response, rule: Rule | None, draws: list[ModelInput], level: float) -> Tensor:
    """[batch], the mean over draws."""
    here = _gradient(response.rerun(rule))
    there = [_gradient(replace(response, x=_noisy(response.x, draw, level)).rerun(rule)) for draw in draws]
    size = here.norm(dim=1)
    return torch.stack([(here * g).sum(1) / (size * g.norm(dim=1)) for g in there]).mean(0)


def _gradient(response: Response) -> Tensor:
    found = response.run.input_gradients(response.value)
    return torch.cat([rows(g).double() for g in found if g is not None], dim=1)


def _draws(x: ModelInput, samples: int, seed: int) -> list[ModelInput]:
    """Standard normal noise like the input, the same for every sample of a batch."""
    generator, some = torch.Generator().manual_seed(seed), []

    def normal(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() or not tensor.dim():
            return tensor
        some.append(tensor)
        drawn = torch.randn(tensor.shape[1:], generator=generator, dtype=torch.float64)
        return drawn.to(tensor).expand_as(tensor)

    draws = [map_tensors(x, normal) for _ in range(samples)]
    if not some:
        raise InputError("the input holds no floating-point tensor [batch, ...]: noise cannot be added to tokens")
    return draws


def _noisy(x: ModelInput, draw: ModelInput, level: float) -> ModelInput:
    noise = iter(tensors_of(draw))
    moves = [(n, t.is_floating_point() and t.dim() > 0) for n, t in zip(noise, tensors_of(x), strict=True)]
    waiting = iter(moves)

    def noisy(tensor: Tensor) -> Tensor:
        found, moving = next(waiting)
        return tensor + level * found if moving else tensor

    return map_tensors(x, noisy)


def _check_sparsities(sparsities: Sequence[float]) -> None:
    check_several("sparsities", sparsities)
    for sparsity in sparsities:
        check_sparsity(sparsity)


def _check_noise(levels: Sequence[float], samples: int, seed: int) -> None:
    check_several("levels", levels)
    for level in levels:
        check_number("a level of noise", level, 0)
    check_count("samples", samples, 1)
    check_count("seed", seed, 0)
