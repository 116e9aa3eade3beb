"""Steps a second of decoding, and what it adds to the model's own forward and backward pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import critpath as cp
from critpath.decoding import decode
from critpath.zoo import LoadedModel

STEPS = 20
ROUNDS = 5
Row = dict[str, Any]


def decoding(loaded: LoadedModel, x: Tensor, sparsity: float = 0.9, pictures: tuple[int, ...] = (1, 4)) -> list[Row]:
    """A row for each way of decoding ``x`` [1, 3, H, W]: whole network, pathway zeroed or frozen, pictures at once.

    ``step`` is in seconds for all pictures of the step, the median of several rounds; ``bare`` is that of the model's
    own forward and backward pass on as many inputs, interleaved with it; ``added`` their difference as a share of it.
    """
    net = cp.Network(loaded.model)
    values = net.run(x).values()
    pathway = cp.find_pathway(net, x, "taylor", sparsity)
    target = int(net.run(x, graph=False).output.argmax())
    ways: dict[str, dict[str, Any]] = {
        "whole": {},
        "zeroed": {"pathway": pathway},
        "frozen": {"pathway": pathway, "restriction": "frozen", "elsewhere": values},
        "pixels, no transforms": {"pathway": pathway, "parametrisation": "pixels", "transforms": "none"},
    }
    return [_row(net, loaded, x, target, name, options, count) for name, options in ways.items() for count in pictures]


def _row(
    net: cp.Network, loaded: LoadedModel, x: Tensor, target: int, name: str, options: dict[str, Any], count: int
) -> Row:
    batch = x.expand(count, -1, -1, -1)

    def made(steps: int) -> Callable[[], object]:
        return lambda: decode(
            net, objective=target, normalise=loaded.preprocess, pictures=count, steps=steps, like=x, **options
        )

    bare, short, long = (lambda: _bare(loaded, batch, target)), made(1), made(1 + STEPS)
    for run in (bare, short):
        run()
    rounds = [(_seconds(bare), (_seconds(long) - _seconds(short)) / STEPS) for _ in range(ROUNDS)]
    alone, step = statistics.median(b for b, _ in rounds), statistics.median(s for _, s in rounds)
    return {
        "way": name, "pictures": count, "step": step, "bare": alone, "added": step / alone - 1,
        "pictures_a_minute": 60 * count / (256 * step),
    }  # fmt: skip


def _bare(loaded: LoadedModel, x: Tensor, target: int) -> None:
    """One forward pass and the gradient with respect to the input."""
    parameters = [(p, p.requires_grad) for p in loaded.model.parameters()]
    for parameter, _ in parameters:
        parameter.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    torch.autograd.grad(loaded.model(leaf)[:, target].sum(), leaf)
    for parameter, flag in parameters:
        parameter.requires_grad_(flag)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
