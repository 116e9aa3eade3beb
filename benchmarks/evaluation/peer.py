"""Quantus doing the same work, where it is installed: `pip install quantus==0.6.0`.

It is LGPL and serves the comparison only: nothing in critpath imports or needs it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HOW = "pip install quantus==0.6.0"


def installed() -> bool:
    """Whether Quantus can be imported."""
    return find_spec("quantus") is not None


def pixel_flipping(model: nn.Module, x: Tensor, target: Tensor, maps: Tensor, steps: int, batch: int) -> Tensor:
    """The class's probability [n, steps] while all scalars are set to 0 in equal steps, the most relevant first.

    ``steps`` has to divide three times the number of pixels in such a way that Quantus accepts it: the scalars of a
    step must divide the number of pixels.
    """
    import quantus

    with _quiet():
        metric = quantus.PixelFlipping(
            features_in_step=x[0].numel() // steps, abs=True, normalise=False, perturb_baseline=0.0,
            disable_warnings=True,
        )  # fmt: skip
        found = metric(
            model=model, x_batch=_array(x), y_batch=_array(target), a_batch=_array(maps), softmax=True,
            channel_first=True, device=str(x.device), batch_size=batch,
        )  # fmt: skip
    return torch.tensor(np.asarray(found), dtype=torch.float64)


def mprt(
    model: nn.Module,
    explain: Callable[[nn.Module, Tensor, Tensor], Tensor],
    x: Tensor,
    target: Tensor,
    maps: Tensor,
    order: str = "top_down",
    batch: int = 64,
) -> dict[str, Tensor]:
    """Spearman's correlation [n] of signed maps with the original ones, by name of the layer reached.

    ``explain(model, x, target)`` gives maps [n, 1, H, W]; ``order`` "top_down" is cascading.
    """
    import quantus

    def explaining(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> Any:
        found = explain(model, torch.as_tensor(inputs, device=x.device), torch.as_tensor(targets, device=x.device))
        return _array(found)

    with _quiet(), torch.random.fork_rng(devices=[]):
        metric = quantus.MPRT(
            similarity_func=quantus.similarity_func.correlation_spearman, layer_order=order, abs=False,
            normalise=False, disable_warnings=True,
        )  # fmt: skip
        found = metric(
            model=model, x_batch=_array(x), y_batch=_array(target), a_batch=_array(maps), explain_func=explaining,
            channel_first=True, device=str(x.device), batch_size=batch,
        )  # fmt: skip
    return {name: torch.tensor(np.asarray(values), dtype=torch.float64) for name, values in found.items()}


def randomised_copies(model: nn.Module, order: str = "top_down") -> Iterator[tuple[str, nn.Module]]:
    """The networks of ``mprt``, layer by layer; one object that changes."""
    from quantus.helpers.model.pytorch_model import PyTorchModel

    with torch.random.fork_rng(devices=[]):
        yield from PyTorchModel(model, channel_first=True).get_random_layer_generator(order=order, seed=42)


def _array(values: Tensor) -> Any:
    return values.detach().cpu().numpy()


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
