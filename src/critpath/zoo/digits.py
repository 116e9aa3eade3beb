"""A small network for scikit-learn's handwritten digits, trained when it is loaded: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from critpath.network import gradients_on
from critpath.zoo.data.arrays import digits
from critpath.zoo.packages import installed
from critpath.zoo.values import LoadedModel, ModelInfo

DIGITS_MODEL = "digits"
EPOCHS, BATCH, RATE = 20, 64, 4e-3


def load_digits_model() -> LoadedModel:
    """A ReLU network of three convolutions (19,000 parameters), trained on the digits' part "train".

    The same weights on every call: initial weights and the order of the images come from generators of their own,
    on one thread. Its input is [n, 1, 8, 8] in [0, 1]. Raises MissingDependencyError where scikit-learn is missing.
    """
    data = digits("train")
    assert data.labels is not None
    x, _ = data.inputs(range(len(data)))
    with _one_thread(), torch.random.fork_rng(devices=[]), gradients_on():
        torch.default_generator.manual_seed(0)
        model = digits_network()
        _train(model, x, data.labels)
    source = f"trained on {len(data):,} of scikit-learn's digits when it was loaded"
    return LoadedModel(DIGITS_MODEL, model.eval(), None, data.classes, source, "Apache-2.0")


def digits_info() -> ModelInfo:
    """Its line in the list of models."""
    ready = installed("sklearn")
    description = "three convolutions for scikit-learn's 8 x 8 digits, trained in a few seconds when it is loaded"
    return ModelInfo(DIGITS_MODEL, "default", description, ready, "" if ready else "pip install 'critpath[evaluation]'")


def digits_network() -> nn.Sequential:
    """The network, [n, 1, 8, 8] -> logits [n, 10], with torch's default initial weights."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def _train(model: nn.Module, x: Tensor, y: Tensor) -> None:
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    order = torch.Generator().manual_seed(0)
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(x), generator=order), BATCH):
            optimiser.zero_grad()
            torch.autograd.backward(F.cross_entropy(model(x[rows]), y[rows]))
            optimiser.step()
        schedule.step()
    optimiser.zero_grad()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The order of a sum depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
