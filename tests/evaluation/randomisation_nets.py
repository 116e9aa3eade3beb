"""Small networks on images, with what a randomisation can miss: attention, a token, norms, tied weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tests.tiny import numbers
from torch import Tensor, nn

from critpath.evaluation.values import Explain

IMAGES = numbers(3, 3, 8, 8)


class HeadFirst(nn.Module):
    """The head is registered first, the stem last; the two middle layers are of one shape; one layer is spare."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 5)
        self.spare = nn.Linear(4, 4)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x).relu()).relu()
        return self.head(self.norm(self.second(x)).relu().mean(dim=(2, 3)))


class Patches(nn.Module):
    """A small vision transformer: class token, positions, torch's attention, an encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 17, 8))
        self.cut = nn.Conv2d(3, 8, 2, stride=2)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cut(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.positions
        x = x + self.mix(x, x, x, need_weights=False)[0]
        return self.head(self.layer(x)[:, 0])


class TiedAndScaled(nn.Module):
    """One weight under two names, a scale of a module with no initialiser, an integer table, a complex filter."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(8, 8, bias=False)
        self.up = nn.Linear(8, 8)
        self.up.weight = self.down.weight
        self.scale = nn.ParameterDict({"gamma": nn.Parameter(torch.rand(8) + 1)})
        self.filter = nn.Parameter(torch.randn(8, dtype=torch.complex64))
        self.table = nn.Parameter(torch.arange(8), requires_grad=False)
        self.register_buffer("window", torch.hann_window(8))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fft.ifft(torch.fft.fft(x[..., self.table] * self.window) * self.filter).real
        return self.up(self.down(x).relu() * self.scale["gamma"]).mean(dim=(1, 2))


def built(architecture: Callable[[], nn.Module]) -> nn.Module:
    """Float64, in evaluation mode, as if it had been trained: no parameter and no statistic is as at the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = architecture().double().eval()
        for tensor in model.parameters():
            if tensor.is_floating_point() or tensor.is_complex():
                tensor.data.add_(torch.randn_like(tensor) * 0.1)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return model


def gradient_of(model: nn.Module) -> Explain:
    def explain(x: Tensor, target: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            return torch.autograd.grad(model(leaf).gather(1, target.unsqueeze(1)).sum(), leaf)[0]

    return explain


def bits_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same_bits(model: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
