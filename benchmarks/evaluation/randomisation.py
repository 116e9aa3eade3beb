"""Parameter randomisation against the bare explanations that it needs, and against Quantus' MPRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from critpath.evaluation import parameter_randomisation, randomised, reduced, spearman
from evaluation import peer
from evaluation.clock import median, ratio, rounds_of
from evaluation.subjects import Subject, gradient

Row = dict[str, Any]

ALL = ("ssim", "spearman", "spearman_abs", "hog")
PAPERS = ("layer*.*", ("conv1", "bn1"))
"""Stages of the papers' ResNets: the classifier, every block, the stem."""


def signed(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The gradient as both sides compare it: at each pixel the channel with the largest absolute value."""
    return reduced(gradient(model, x, target))


def costs(of: Subject, rounds: int, device: str, stages: Any = (), beside: bool = False) -> list[Row]:
    """One row for Spearman's correlation and one for all four similarities; ``beside`` Quantus in the first."""
    return [
        _cost(of, ("spearman",), stages, rounds, device, beside and peer.installed()),
        _cost(of, ALL, stages, rounds, device, False),
    ]


def _cost(of: Subject, similarities: Any, stages: Any, rounds: int, device: str, beside: bool) -> Row:
    maps = signed(of.model, of.x, of.target)
    counted: list[int] = []

    def explain(x: Tensor, target: Tensor) -> Tensor:
        counted.append(len(x))
        return of.explain(x, target)

    def ours() -> object:
        options = {"how": "reinitialised", "stages": stages, "similarities": similarities, "original": maps}
        return parameter_randomisation(of.model, explain, of.x, of.target, **options)

    ours()
    explanations = len(counted)
    calls: dict[str, Callable[[], object]] = {"bare": lambda: _bare(of, explanations), "ours": ours}
    if beside:
        calls["quantus"] = lambda: peer.mprt(of.model, signed, of.x, of.target, maps, batch=len(of.x))
    table = rounds_of(calls, rounds, device)
    row = {
        "network": of.name, "similarities": list(similarities), "images": len(of.x), "explanations": explanations,
        "seconds": median(table, "ours"), "bare_seconds": median(table, "bare"), "ratio": ratio(table, "ours", "bare"),
        "rounds": len(table),
    }  # fmt: skip
    return {**row, **_beside(of, maps, table)} if beside else row


def _bare(of: Subject, explanations: int) -> None:
    for _ in range(explanations):
        of.explain(of.x, of.target)


def _beside(of: Subject, maps: Tensor, table: Any) -> Row:
    explanations = []

    def counting(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        explanations.append(len(x))
        return signed(model, x, target)

    found = peer.mprt(of.model, counting, of.x, of.target, maps, batch=len(of.x))
    return {
        "quantus_seconds": median(table, "quantus"),
        "quantus_times": ratio(table, "quantus", "ours"),
        "quantus_explanations": len(explanations),
        "difference": difference(of, maps, found),
    }


def difference(of: Subject, maps: Tensor, found: Mapping[str, Tensor]) -> float:
    """The largest difference between what Quantus measures and our Spearman on the networks that it made."""
    worst = 0.0
    for name, model in peer.randomised_copies(of.model):
        ours = spearman(maps, signed(model, of.x, of.target)).cpu()
        worst = max(worst, float((ours - found[name]).abs().max()))
    return worst


def coverage(seed: int = 0) -> Row:
    """A small vision transformer whose tensors all are moved off their initial values: what each side changes of them.

    And how many pairs of matrices of one shape get the same values.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = Transformer().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with randomised(model, x, how="reinitialised"):
        row = {"ours": _changed(before, model)}
    if peer.installed():
        *_, (_, last) = peer.randomised_copies(model)
        row["quantus"] = _changed(before, last)
    return row


class Transformer(nn.Module):
    """Patches, a class token, two encoder layers; [n, 3, 32, 32] -> [n, 10]."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 17, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1) + self.positions
        scores: Tensor = self.head(self.encoder(tokens)[:, 0])
        return scores


def _changed(before: Mapping[str, Tensor], model: nn.Module) -> Row:
    now = dict(model.named_parameters())
    kept = [name for name, tensor in before.items() if torch.equal(tensor, now[name])]
    matrices = [tensor for tensor in now.values() if tensor.dim() > 1]
    return {
        "parameters": len(before),
        "kept": kept,
        "numbers_kept": sum(before[name].numel() for name in kept) / sum(t.numel() for t in before.values()),
        "equal_pairs": sum(a.shape == b.shape and torch.equal(a, b) for a, b in combinations(matrices, 2)),
    }
