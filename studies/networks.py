"""The trained networks of the studies, by name, as `critpath.zoo` takes them.

    critpath explain image.jpg --model studies/networks.py:resnet50

Their weights are not part of this project. They are looked for in the folder that the environment
variable CRITPATH_ASSETS names, and without it in `../shared/assets` beside the repository. Some are for
research only; `licence` of each result says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from critpath.errors import StorageError
from critpath.evaluation.retraining import ResNet8
from critpath.zoo import LoadedModel, Preprocess, imagenet_classes, import_torchvision
from critpath.zoo.weights import fit_weights, read_weights

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_IMAGENET = Preprocess(256, 224)  # torchvision's mean and standard deviation
_SYMMETRIC = Preprocess(256, 224, mean=[0.5] * 3, std=[0.5] * 3)  # RGB / 127.5 - 1
_CIFAR = Preprocess(32, 32)
_CIFAR_OWN = Preprocess(32, 32, mean=[0.4914, 0.4822, 0.4465], std=[0.2470, 0.2435, 0.2616])
_UBER = "Uber, non-commercial research only"


def resnet50() -> LoadedModel:
    """torchvision's ResNet-50 with product-quantised kernels; published ImageNet top-1 72.2 %."""
    return _quantised("resnet50", "imagenet_resnet/pqf_resnet50_large.pq.safetensors")


def resnet18() -> LoadedModel:
    """torchvision's ResNet-18 with product-quantised kernels; published ImageNet top-1 66.7 %."""
    return _quantised("resnet18", "imagenet_resnet/pqf_resnet18.pq.safetensors")


def squeezenet1_1() -> LoadedModel:
    """torchvision's SqueezeNet 1.1: ReLU only, no batch norm, no residual; published top-1 58 %."""
    file = "imagenet_squeezenet/squeezenet1_1_ncnn.fp16.safetensors"
    model = _architecture("squeezenet1_1")
    return _imagenet("squeezenet1_1", model, file, read_weights(asset(file)), "BSD")


def mobilenet_v2() -> LoadedModel:
    """MobileNet-v2 with TensorFlow's padding and folded batch norm; published ImageNet top-1 70.8 %."""
    file = "imagenet_mobilenet/mobilenet_v2_1.0_224.fp16.safetensors"
    weights = read_weights(asset(file))
    return _imagenet("mobilenet_v2", MobileNetV2(), file, weights, "Apache-2.0", _SYMMETRIC)


def vgg16() -> LoadedModel:
    """VGG-16's trained convolutions under a head that is NOT trained.

    Its 1000 outputs are random (seed 0) and stand for no class: it has no class names. Use it for
    features, not for predictions.
    """
    file = "vgg16_conv/vgg16_features.imagenet_norm.fp16.safetensors"
    weights = read_weights(asset(file))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = _architecture("vgg16")
    features = {name.removeprefix("features."): tensor for name, tensor in weights.items()}
    fit_weights(model.features, features, source=file)
    source = f"{file}; the classifier is random (seed 0), not trained"
    return LoadedModel("vgg16 (random head)", model.eval(), _IMAGENET, None, source, "CC BY 4.0")


def resnet20_cifar() -> LoadedModel:
    """ResNet-20 for CIFAR-10: 91.73 % on the 10,000 test images."""
    return _cifar("resnet20", blocks=3)


def resnet56_cifar() -> LoadedModel:
    """ResNet-56 for CIFAR-10: 93.39 % on the 10,000 test images."""
    return _cifar("resnet56", blocks=9)


def modadd113() -> LoadedModel:
    """A one-layer transformer that adds modulo 113: right on all 12,769 inputs (a, b, 113), where 113 stands for =."""
    file = "transformer_grokking/modadd113_relu_1layer.safetensors"
    model = ModularAddition(113)
    fit_weights(model, _of_modular_addition(read_weights(asset(file))), source=file)
    return LoadedModel("modadd113", model.eval(), None, (*map(str, range(113)), "="), file)


def resnet8() -> LoadedModel:
    """The papers' ResNet-8 for CIFAR-10, trained here on 8,750 images: see `trained.py` for how and how well."""
    from studies.trained import resnet8_file  # which needs this file for the data

    file = resnet8_file()
    model = ResNet8(len(CIFAR10))
    fit_weights(model, read_weights(file), source=file.name)
    return LoadedModel("resnet8", model.eval(), _CIFAR_OWN, CIFAR10, file.name, "Apache-2.0")


class ConvReLU6(nn.Module):
    """Convolution with "SAME" padding (the odd pixel at the bottom right), then ReLU6 if `active`."""

    def __init__(self, inner: int, outer: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool):
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, kernel, stride, groups=groups)
        self.padding = (1 if stride == 1 else 0, 1) * 2 if kernel == 3 else (0, 0, 0, 0)
        self.act = nn.ReLU6() if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inner, H, W]` to `[N, outer, H / stride, W / stride]`."""
        return self.act(self.conv(F.pad(x, self.padding)))


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; added to the input where the shapes agree."""

    def __init__(self, inner: int, outer: int, stride: int, expansion: int):
        super().__init__()
        wide = inner * expansion
        expand = [ConvReLU6(inner, wide, 1, active=True)] if expansion > 1 else []
        depthwise = ConvReLU6(wide, wide, 3, stride=stride, groups=wide, active=True)
        self.layers = nn.Sequential(*expand, depthwise, ConvReLU6(wide, outer, 1, active=False))
        self.residual = inner == outer and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inner, H, W]` to `[N, outer, H / stride, W / stride]`."""
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNetV2(nn.Module):
    """MobileNet-v2, width 1, batch norms folded into the convolutions; `[N, 3, 224, 224]` to `[N, 1000]`."""

    # expansion, channels, blocks, stride of the first
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
              (6, 320, 1, 1))  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        stem, head = ConvReLU6(3, 32, 3, stride=2, active=True), ConvReLU6(320, 1280, 1, active=True)
        self.features = nn.Sequential(stem, *self._blocks(), head)
        self.fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.fc(self.features(x).mean((2, 3)))

    def _blocks(self) -> list[InvertedResidual]:
        rows = [(c, s if i == 0 else 1, t) for t, c, n, s in self.STAGES for i in range(n)]
        channels = [32, *(c for c, _, _ in rows)]
        sizes = zip(pairwise(channels), rows, strict=True)
        return [InvertedResidual(inner, outer, s, t) for (inner, outer), (_, s, t) in sizes]


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions; the shortcut subsamples and pads the new channels with zeros."""

    def __init__(self, inner: int, outer: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.relu2 = nn.ReLU()
        self.stride, self.new_channels = stride, outer - inner

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inner, H, W]` to `[N, outer, H / stride, W / stride]`."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        half = self.new_channels // 2
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        return self.relu2(y + shortcut)


class CifarResNet(nn.Module):
    """Three stages of 16, 32, 64 channels with `blocks` blocks each; `[N, 3, 32, 32]` to `[N, 10]`."""

    def __init__(self, blocks: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = self._stage(16, 16, 1, blocks)
        self.layer2 = self._stage(16, 32, 2, blocks)
        self.layer3 = self._stage(32, 64, 2, blocks)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))

    @staticmethod
    def _stage(inner: int, outer: int, stride: int, blocks: int) -> nn.Sequential:
        rest = [BasicBlock(outer, outer, 1) for _ in range(blocks - 1)]
        return nn.Sequential(BasicBlock(inner, outer, stride), *rest)


class ModularAddition(nn.Module):
    """One transformer layer without normalisation: 4 heads, 512 ReLU neurons; tokens `[N, 3]` to `[N, p + 1]`.

    Only what the output reads is computed: one layer's answer at the last position needs one query, one MLP.
    """

    def __init__(self, p: int, wide: int = 128, heads: int = 4, hidden: int = 512):
        super().__init__()
        self.embed = nn.Embedding(p + 1, wide)
        self.position = nn.Parameter(torch.zeros(3, wide))
        self.query, self.key, self.value = (nn.Linear(wide, wide, bias=False) for _ in range(3))
        self.out = nn.Linear(wide, wide, bias=False)
        self.mlp = nn.Sequential(nn.Linear(wide, hidden), nn.ReLU(), nn.Linear(hidden, wide))
        self.unembed = nn.Linear(wide, p + 1, bias=False)
        self.heads = heads

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the answer, and of "=" as the last."""
        x = self.embed(tokens) + self.position
        last = x[:, -1:]
        q, k, v = (self._by_head(t) for t in (self.query(last), self.key(x), self.value(x)))
        mixed = F.scaled_dot_product_attention(q, k, v)
        seen = (last + self.out(mixed.transpose(1, 2).flatten(2)))[:, 0]
        return self.unembed(seen + self.mlp(seen))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def asset(name: str) -> Path:
    """A file of the trained networks or of the data, by its name in the folder of assets. Raises StorageError."""
    default = Path(__file__).resolve().parents[2] / "shared" / "assets"
    path = Path(os.environ.get("CRITPATH_ASSETS") or default) / name
    if not path.is_file():
        raise StorageError(
            f"There is no {path}. The trained networks are not part of this project: set CRITPATH_ASSETS to "
            "the folder that holds them, or use a model that can be downloaded (`critpath models`)."
        )
    return path


def _architecture(name: str) -> nn.Module:
    builder: Callable[..., nn.Module] = import_torchvision().models.get_model
    return builder(name, weights=None)


def _quantised(name: str, file: str) -> LoadedModel:
    stored = read_weights(asset(file))
    model = _architecture(name)
    return _imagenet(name, model, file, _decoded(model, stored), _UBER)


def _imagenet(
    name: str,
    model: nn.Module,
    file: str,
    weights: Mapping[str, Tensor],
    licence: str,
    preprocess: Preprocess = _IMAGENET,
) -> LoadedModel:
    fit_weights(model, weights, source=file)
    return LoadedModel(name, model.eval(), preprocess, imagenet_classes(), file, licence)


def _cifar(name: str, blocks: int) -> LoadedModel:
    file = f"cifar10_resnets/{name}.safetensors"
    model = CifarResNet(blocks)
    fit_weights(model, read_weights(asset(file)), source=file)
    return LoadedModel(f"{name}_cifar", model.eval(), _CIFAR, CIFAR10, file, "BSD")


def _of_modular_addition(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stored names to those of `ModularAddition`; projections that are stored by head are joined."""
    joined = {f"{to}.weight": stored[f"blocks.0.attn.W_{w}"].flatten(0, 1) for to, w in
              (("query", "Q"), ("key", "K"), ("value", "V"))}  # fmt: skip
    mlp = {f"mlp.{i}.{to}": stored[f"blocks.0.mlp.{s}_{end}"] for i, end in ((0, "in"), (2, "out"))
           for to, s in (("weight", "W"), ("bias", "b"))}  # fmt: skip
    plain = {"position": stored["pos_embed.W_pos"], "out.weight": stored["blocks.0.attn.W_O"]}
    turned = {"embed.weight": stored["embed.W_E"].T, "unembed.weight": stored["unembed.W_U"].T}
    return {name: tensor.contiguous() for name, tensor in (plain | turned | joined | mlp).items()}


def _decoded(model: nn.Module, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Codes and codebooks to kernels; batch norms, stored as scale and shift, get mean 0 and variance 1."""
    state = model.state_dict()
    coded = {name.removesuffix(".codes") for name in stored if name.endswith(".codes")}
    plain = {n: t for n, t in stored.items() if not n.endswith((".codes", ".codebook"))}
    kernels = {f"{layer}.weight": _kernel(layer, stored, state[f"{layer}.weight"].shape) for layer in coded}
    means = {n: torch.zeros_like(t) for n, t in state.items() if n.endswith(".running_mean")}
    variances = {n: torch.ones_like(t) for n, t in state.items() if n.endswith(".running_var")}
    return means | variances | plain | kernels


def _kernel(layer: str, stored: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
    codes, codebook = stored[f"{layer}.codes"], stored[f"{layer}.codebook"]
    return codebook[codes.long().reshape(-1)].reshape(shape)
