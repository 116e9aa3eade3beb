"""Slow, obvious definitions, computed on a twin."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from critpath.draws import sample_generators
from tests.reference.twins import Case, relu


def tensors(x: Any) -> list[Tensor]:
    parts = [x] if isinstance(x, Tensor) else list(x.values()) if isinstance(x, dict) else list(x)
    return [p for p in parts if isinstance(p, Tensor)]


def with_grad(x: Any) -> Any:
    """The input with every floating-point tensor a fresh leaf."""

    def leaf(t: Tensor) -> Tensor:
        return t.detach().clone().requires_grad_() if t.is_floating_point() else t

    if isinstance(x, Tensor):
        return leaf(x)
    return {k: leaf(v) for k, v in x.items()} if isinstance(x, dict) else tuple(leaf(v) for v in x)


def predicted(case: Case) -> Tensor:
    return case.twin(case.model, case.start, lambda i, a: a).argmax(dim=1)


def activations_and_gradients(case: Case, x: Any = None) -> list[tuple[Tensor, Tensor]]:
    """(a, dΦ/da) per site for the class predicted on the case's input, by adding a zero leaf to every activation."""
    leaves: list[Tensor] = []
    seen: list[Tensor] = []

    def rule(number: int, a: Tensor) -> Tensor:
        leaves.append(torch.zeros_like(a).requires_grad_())
        seen.append(a.detach())
        return a + leaves[-1]

    out = case.twin(case.model, case.start if x is None else x, rule)
    response = out.gather(1, predicted(case)[:, None]).sum()
    gradients = torch.autograd.grad(response, leaves, allow_unused=True)
    return [(a, torch.zeros_like(a) if g is None else g) for a, g in zip(seen, gradients, strict=True)]


def value(case: Case, rule: Any = lambda i, a: a) -> Tensor:
    """The logit of the predicted class [batch], with every activation passed through ``rule``."""
    return case.twin(case.model, case.start, rule).gather(1, predicted(case)[:, None])[:, 0]


def scaled(x: Any, alpha: float) -> Any:
    """The input with every floating-point tensor at α of its way from zero."""

    def scale(t: Tensor) -> Tensor:
        return alpha * t if t.is_floating_point() else t

    if isinstance(x, Tensor):
        return scale(x)
    return {k: scale(v) for k, v in x.items()} if isinstance(x, dict) else tuple(scale(v) for v in x)


def input_gradients(case: Case, rule: Any = lambda i, a: a, x: Any = None) -> list[Tensor]:
    """The gradient of the predicted class's logit with every activation passed through ``rule``."""
    x = with_grad(case.start if x is None else x)
    out = case.twin(case.model, x, rule)
    response = out.gather(1, predicted(case)[:, None]).sum()
    leaves = [t for t in tensors(x) if t.is_floating_point()]
    gradients = torch.autograd.grad(response, leaves, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, gradients, strict=True)]


def local(function: Any) -> Any:
    return lambda case: [function(a, g) for a, g in activations_and_gradients(case)]


POINTS = [1e-6, *(k / 8 for k in range(1, 9))]


def conductance(case: Case) -> list[Tensor]:
    """Σ_k ½ (g_k + g_k+1) (y_k+1 - y_k) along the line from a zero input."""
    nodes = [activations_and_gradients(case, scaled(case.start, alpha)) for alpha in POINTS]
    total = [torch.zeros_like(a) for a, _ in nodes[0]]
    for before, after in pairwise(nodes):
        for site, ((y0, g0), (y1, g1)) in enumerate(zip(before, after, strict=True)):
            total[site] = total[site] + 0.5 * (g0 + g1) * (y1 - y0)
    return total


def influence(case: Case) -> list[Tensor]:
    """Σ_k ½ (g_k + g_k+1) (α_k+1 - α_k) along the line from a zero input."""
    nodes = [activations_and_gradients(case, scaled(case.start, alpha)) for alpha in POINTS]
    total = [torch.zeros_like(a) for a, _ in nodes[0]]
    for k in range(len(POINTS) - 1):
        for site in range(len(total)):
            mean = 0.5 * (nodes[k][site][1] + nodes[k + 1][site][1])
            total[site] = total[site] + mean * (POINTS[k + 1] - POINTS[k])
    return total


def intgrad(case: Case) -> list[Tensor]:
    """a Σ_k ½ (g_k + g_k+1) (α_k+1 - α_k), one site after the other scaled by α."""
    activations = [a for a, _ in activations_and_gradients(case)]
    total = []
    for site, a in enumerate(activations):
        g = [_gradient_at(case, site, alpha * a) for alpha in POINTS]
        steps = zip(pairwise(g), pairwise(POINTS), strict=True)
        total.append(a * sum(0.5 * (g0 + g1) * (a1 - a0) for (g0, g1), (a0, a1) in steps))
    return total


def _gradient_at(case: Case, site: int, values: Tensor) -> Tensor:
    """dΦ/da with a site's activation replaced by these values."""
    leaf = values.clone().requires_grad_()
    response = value(case, lambda number, a: leaf if number == site else a).sum()
    found = torch.autograd.grad(response, leaf, allow_unused=True)[0] if response.requires_grad else None
    return torch.zeros_like(values) if found is None else found


def drop(case: Case, masks: dict[int, Tensor], baseline: list[Tensor] | None = None) -> Tensor:
    """Φ(x) - Φ(x; the masked neurons set to the baseline): [batch]."""

    def rule(number: int, a: Tensor) -> Tensor:
        if number not in masks:
            return a
        return torch.where(masks[number], torch.zeros_like(a) if baseline is None else baseline[number], a)

    return (value(case) - value(case, rule)).detach()


def ablation(case: Case, baseline: list[Tensor] | None = None) -> list[Tensor]:
    """Φ(x) - Φ(x; a_j → baseline), one neuron at a time."""
    scores = []
    for number, (a, _) in enumerate(activations_and_gradients(case)):
        one = torch.eye(a[0].numel(), dtype=torch.bool).view(-1, *a.shape[1:])
        drops = [drop(case, {number: mask}, baseline) for mask in one]
        scores.append(torch.stack(drops, dim=1).view(a.shape))
    return scores


def shapley(case: Case) -> list[Tensor]:
    """What a neuron adds to those before it, the mean over two orders of each site's neurons and their reverses."""
    return [_marginals(case, site, a) for site, (a, _) in enumerate(activations_and_gradients(case))]


def _marginals(case: Case, site: int, a: Tensor) -> Tensor:
    flat = a.flatten(1)
    generator = torch.Generator().manual_seed(site)
    orders = [torch.randperm(flat.shape[1], generator=generator) for _ in range(2)]
    total = torch.zeros_like(flat)
    for order in [*orders, *(order.flip(0) for order in orders)]:
        present = torch.zeros_like(flat[0])
        before = _with_only(case, site, present.view(a.shape[1:]))
        for neuron in order.tolist():
            present[neuron] = 1
            after = _with_only(case, site, present.view(a.shape[1:]))
            total[:, neuron] += (after - before) / 4
            before = after
    return total.view(a.shape)


def _with_only(case: Case, site: int, present: Tensor) -> Tensor:
    return value(case, lambda number, a: a * present if number == site else a).detach()


def greedy(case: Case, budget: int, step: int) -> list[list[bool]]:
    """Algorithm 1 on one sample: which neurons are kept, in site order, at the start and after every round."""
    kept = [True] * sum(a.numel() for a, _ in activations_and_gradients(case))
    rounds = [list(kept)]
    while True:
        scores, active = _scores_when_pruned(case, kept)
        candidates = [j for j in range(len(kept)) if kept[j] and active[j]]
        candidates.sort(key=lambda j: (scores[j], -j))
        lowest = candidates[: min(step, sum(kept) - budget)]
        if not lowest:
            return rounds
        for j in lowest:
            kept[j] = False
        rounds.append(list(kept))


def _scores_when_pruned(case: Case, kept: list[bool]) -> tuple[list[float], list[bool]]:
    """|a dΦ/da| and a ≠ 0 of every neuron, in the network whose other neurons are zero."""
    seen: list[Tensor] = []
    start = 0

    def rule(number: int, a: Tensor) -> Tensor:
        nonlocal start
        mask = torch.tensor(kept[start : start + a.numel()]).view(a.shape)
        start += a.numel()
        masked = torch.where(mask, a, torch.zeros_like(a)).detach().requires_grad_()
        seen.append(masked)
        return masked + torch.where(mask, a - a.detach(), torch.zeros_like(a))

    response = value(case, rule).sum()
    found = torch.autograd.grad(response, seen, allow_unused=True)
    products = [torch.zeros_like(a) if g is None else a * g for a, g in zip(seen, found, strict=True)]
    scores = torch.cat([p.detach().flatten() for p in products]).abs().tolist()
    return scores, torch.cat([a.detach().flatten() != 0 for a in seen]).tolist()


def distance(case: Case, out: Tensor, loss: str) -> Tensor:
    """How far class scores are from those of the case, by the name of the loss: [batch]."""
    own = case.twin(case.model, case.start, lambda i, a: a).detach()
    p, q = own.softmax(dim=1), out.softmax(dim=1)
    label = own.argmax(dim=1)
    return {
        "soft_ce": torch.stack(
            [-sum(a * b.log() for a, b in zip(*row, strict=True)) for row in zip(p, q, strict=True)]
        ),
        "kl": (p * (p / q).log()).sum(dim=1),
        "mse": torch.stack([(out[i, c] - own[i, c]) ** 2 for i, c in enumerate(label)]),
    }[loss]


def dgr(
    case: Case, gates: list[Tensor], optimiser: torch.optim.Optimizer, loss: str, gamma: float, steps: int, clamp: float
) -> tuple[list[Tensor], Tensor]:
    """The best gates of each sample, from these on, and the total loss of every iterate [steps + 1, batch]."""
    label = predicted(case)
    best = [(False, float("inf"), [g[i].detach().clone() for g in gates]) for i in range(len(label))]
    losses = []
    for _ in range(steps + 1):
        optimiser.zero_grad()
        out = case.twin(case.model, case.start, lambda number, a: a * gates[number])
        total = distance(case, out, loss) + gamma * sum(g.abs().flatten(1).sum(dim=1) for g in gates)
        losses.append(total.detach())
        for i, (kept, lowest, _) in enumerate(best):
            keeps, now = bool(out[i].argmax() == label[i]), float(total.detach()[i])
            if (keeps, -now) > (kept, -lowest):
                best[i] = (keeps, now, [g[i].detach().clone() for g in gates])
        total.sum().backward(inputs=gates)
        optimiser.step()
        for g in gates:
            g.data.clamp_(0, clamp)
    return [torch.stack(column) for column in zip(*(b[2] for b in best), strict=True)], torch.stack(losses)


CONTRIBUTIONS = {
    "taylor": local(lambda a, g: a * g),
    "gradient_activation": local(lambda a, g: g * a),
    "activation": local(lambda a, g: a),
    "conductance": conductance,
    "influence": influence,
    "intgrad": intgrad,
    "ablation": ablation,
    "shapley": shapley,
}
"""The definition of every registered contribution: from a case to a tensor per site."""

CONTRIBUTION_OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"points": 9, "rule": "trapezoid"} for name in ("conductance", "influence", "intgrad")},
    "shapley": {"permutations": 2, "exact": 0},
}
"""With which options a method computes just that."""


def integrated(case: Case) -> list[Tensor]:
    """(x - 0) ∫ dΦ/dx along the line from a zero input, by 32 Gauss-Legendre points."""
    nodes, weights = np.polynomial.legendre.leggauss(32)
    floats = [t for t in tensors(case.start) if t.is_floating_point()]
    total = [torch.zeros_like(t) for t in floats]
    for node, weight in zip(nodes, weights, strict=True):
        gradients = input_gradients(case, x=scaled(case.start, float(node + 1) / 2))
        total = [t + float(weight) / 2 * x * g for t, x, g in zip(total, floats, gradients, strict=True)]
    return total


def bilinear(values: Tensor, height: int, width: int) -> Tensor:
    """[n, h, w] at another size: the centres of the new pixels lie between those of the old ones."""
    rows, columns = _between(values.shape[1], height), _between(values.shape[2], width)
    return torch.einsum("ph,nhw,qw->npq", rows, values, columns)


def _between(old: int, new: int) -> Tensor:
    """[new, old]: how much of each old pixel is in a new one."""
    weights = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        place = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
        low = int(place)
        weights[i, low] += 1 - (place - low)
        weights[i, min(low + 1, old - 1)] += place - low
    return weights


class _Backward(torch.autograd.Function):
    """The identity, by whose way back the gradient is changed."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, change: Any) -> Tensor:
        ctx.change = change
        ctx.save_for_backward(a)
        return a.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.change(ctx.saved_tensors[0], gradient), None


def changed_on_the_way_back(case: Case, change: Any) -> list[Tensor]:
    return input_gradients(case, lambda i, a: _Backward.apply(a, change))


def positive(a: Tensor, gradient: Tensor) -> Tensor:
    return torch.where(gradient > 0, gradient, torch.zeros_like(gradient))


def above_quantile(quantile: float) -> Any:
    def change(a: Tensor, gradient: Tensor) -> Tensor:
        thinned = torch.zeros_like(gradient)
        for i, product in enumerate((a * gradient).detach()):
            keep = product > float(np.quantile(product.numpy(), quantile))
            thinned[i] = torch.where(keep, gradient[i], torch.zeros_like(gradient[i]))
        return thinned

    return change


LAST_IMAGE = {"reused": 3, "dense": 3}
"""The number of the last site that is an image, where it is not the first one."""

MIDDLE = {"reused": 1, "dense": 3}
"""Of those that every route passes the last but one, or the only one."""


def gradcam(case: Case) -> list[Tensor]:
    """relu(Σ_k mean(g_k) A_k), at the image's size."""
    a, g = activations_and_gradients(case)[LAST_IMAGE.get(case.name, 0)]
    cam = torch.zeros(len(a), *a.shape[2:], dtype=torch.float64)
    for k in range(a.shape[1]):
        cam += g[:, k].mean(dim=(1, 2), keepdim=True) * a[:, k]
    return on_every_channel(case, bilinear(relu(cam), *case.start.shape[2:]))


def on_every_channel(case: Case, values: Tensor) -> list[Tensor]:
    return [torch.stack([values] * case.start.shape[1], dim=1)]


def prunegrad_mid(case: Case, keep: Any) -> list[Tensor]:
    """Σ_k |∂f_p/∂A_k| in the network whose other neurons are zero."""
    seen: list[Tensor] = []

    def rule(number: int, a: Tensor) -> Tensor:
        seen.append((a * keep[number]).detach().requires_grad_())
        return seen[-1] + (a * keep[number] - (a * keep[number]).detach())

    response = value(case, rule).sum()
    gradient = torch.autograd.grad(response, seen[MIDDLE.get(case.name, 0)])[0]
    return on_every_channel(case, bilinear(sum(g.abs() for g in gradient.unbind(dim=1)), *case.start.shape[2:]))


def prune_pgd(case: Case, keep: Any, steps: int, step: float, radius: float) -> list[Tensor]:
    """δ ← δ + step g / ‖g‖, back into the ball, one sample after the other."""
    floats = [t for t in tensors(case.start) if t.is_floating_point()]
    delta = [torch.zeros_like(t) for t in floats]
    for _ in range(steps):
        gradients = input_gradients(case, lambda i, a: a * keep[i], x=plus(case.start, delta))
        for i in range(len(delta[0])):
            length = sum(float(g[i].square().sum()) for g in gradients) ** 0.5
            for d, g in zip(delta, gradients, strict=True):
                d[i] += step * g[i] / length if length else 0
            far = sum(float(d[i].square().sum()) for d in delta) ** 0.5
            for d in delta:
                d[i] *= radius / far if far > radius else 1
    return delta


def plus(x: Any, delta: list[Tensor]) -> Any:
    """The input with something added to every floating-point tensor."""
    waiting = iter(delta)

    def add(t: Tensor) -> Tensor:
        return t + next(waiting) if t.is_floating_point() else t

    if isinstance(x, Tensor):
        return add(x)
    return {k: add(v) for k, v in x.items()} if isinstance(x, dict) else tuple(add(v) for v in x)


def noise(case: Case, count: int, purpose: str) -> list[list[Tensor]]:
    """``count`` standard normal values for every value of the input, a sample after the other: [count][inputs]."""
    floats = [t for t in tensors(case.start) if t.is_floating_point()]
    found = [[torch.zeros_like(t) for t in floats] for _ in range(count)]
    for i, generator in enumerate(sample_generators(floats, 0, purpose)):
        for draw in found:
            values = torch.randn(sum(t[0].numel() for t in floats), generator=generator)
            for one in draw:
                one[i] = values[: one[i].numel()].view(one[i].shape)
                values = values[one[i].numel() :]
    return found


def smoothgrad(case: Case, count: int, share: float) -> list[Tensor]:
    floats = [t for t in tensors(case.start) if t.is_floating_point()]
    total = [torch.zeros_like(t) for t in floats]
    for draw in noise(case, count, "smoothgrad"):
        for d, t in zip(draw, floats, strict=True):
            for i in range(len(t)):
                d[i] *= share * (t[i].max() - t[i].min())
        gradients = input_gradients(case, x=plus(case.start, draw))
        total = [t + g / count for t, g in zip(total, gradients, strict=True)]
    return total


def edges(case: Case) -> list[Tensor]:
    """Sobel's operator, a pixel after the other."""
    n, channels, height, width = case.start.shape
    out = torch.zeros(n, height, width, dtype=torch.float64)
    kernel = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
    for i, c, u, v in np.ndindex(n, channels, height, width):
        across = down = 0.0
        for p, q in np.ndindex(3, 3):
            row, column = min(max(u + p - 1, 0), height - 1), min(max(v + q - 1, 0), width - 1)
            across += kernel[p][q] / 8 * float(case.start[i, c, row, column])
            down += kernel[q][p] / 8 * float(case.start[i, c, row, column])
        out[i, u, v] += across**2 + down**2
    return on_every_channel(case, out.sqrt())


def pathway_average(case: Case, sparsities: tuple[float, ...]) -> list[Tensor]:
    """The mean of |g_s| / Σ|g_s|, with the pathways of largest |a dΦ/da|."""
    pairs = activations_and_gradients(case)
    scores = torch.cat([(a * g).abs().flatten(1) for a, g in pairs], dim=1)
    total = [torch.zeros_like(t) for t in tensors(case.start) if t.is_floating_point()]
    for sparsity in sparsities:
        count = round((1 - sparsity) * scores.shape[1])
        chosen = torch.zeros_like(scores, dtype=torch.bool)
        chosen.scatter_(1, scores.argsort(dim=1, descending=True, stable=True)[:, :count], True)
        parts = (chosen & (scores > 0)).split([a[0].numel() for a, _ in pairs], dim=1)
        keep = [part.view(a.shape) for part, (a, _) in zip(parts, pairs, strict=True)]
        maps = input_gradients(case, lambda i, a, keep=keep: keep[i] * a + (~keep[i] * a).detach())
        sums = sum(m.abs().flatten(1).sum(dim=1) for m in maps)
        for i, all_of_it in enumerate(sums.tolist()):
            for t, m in zip(total, maps, strict=True):
                t[i] += m[i].abs() / all_of_it / len(sparsities) if all_of_it else 0
    return total


def times_input(case: Case, maps: list[Tensor]) -> list[Tensor]:
    floats = [t for t in tensors(case.start) if t.is_floating_point()]
    return [t * m for t, m in zip(floats, maps, strict=True)]


def guided_backprop(case: Case) -> list[Tensor]:
    return changed_on_the_way_back(case, positive)


ATTRIBUTIONS = {
    "gradient": lambda case, keep: input_gradients(case),
    "pathway_gradient": lambda case, keep: input_gradients(case, lambda i, a: keep[i] * a + ((~keep[i]) * a).detach()),
    "prunegrad": lambda case, keep: input_gradients(case, lambda i, a: keep[i] * a),
    "conductance": lambda case, keep: integrated(case),
    "input_gradient": lambda case, keep: times_input(case, input_gradients(case)),
    "integrated_gradients": lambda case, keep: integrated(case),
    "smoothgrad": lambda case, keep: smoothgrad(case, 3, 0.1),
    "guided_backprop": lambda case, keep: guided_backprop(case),
    "gradcam": lambda case, keep: gradcam(case),
    "guided_gradcam": lambda case, keep: [a * b for a, b in zip(gradcam(case), guided_backprop(case), strict=True)],
    "rectgrad": lambda case, keep: changed_on_the_way_back(case, above_quantile(0.6)),
    "random": lambda case, keep: noise(case, 1, "random map")[0],
    "edges": lambda case, keep: edges(case),
    "prunegrad_mid": prunegrad_mid,
    "prune_pgd": lambda case, keep: prune_pgd(case, keep, 4, 0.05, 0.12),
    "pathway_average": lambda case, keep: pathway_average(case, (0.2, 0.6)),
}
"""The definition of every registered attribution: from a case and a pathway to a map per floating-point input."""

ATTRIBUTION_OPTIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"points": 32},
    "smoothgrad": {"samples": 3, "noise": 0.1},
    "rectgrad": {"quantile": 0.6},
    "prune_pgd": {"steps": 4, "step": 0.05, "radius": 0.12},
    "pathway_average": {"sparsities": (0.2, 0.6)},
}
"""With which options a method computes just that."""
