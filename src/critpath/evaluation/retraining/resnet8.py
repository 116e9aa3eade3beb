"""ResNet-8, the network that the papers retrain on CIFAR-10."""

from __future__ import annotations

from torch import Tensor, nn

from critpath.options import check_count


class ResNet8(nn.Module):
    """A 3x3 stem and three basic blocks of 1, 2 and 4 times ``width`` channels, with strides 1, 2 and 2.

    Images [n, channels, H, W] of any size -> class scores [n, classes]. He et al. 2016; ``width`` is 64 in the papers.
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        for name, value in (("classes", classes), ("channels", channels), ("width", width)):
            check_count(name, value, 1)
        self.stem = nn.Sequential(_conv(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(
            BasicBlock(width, width, 1), BasicBlock(width, 2 * width, 2), BasicBlock(2 * width, 4 * width, 2)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.pool(self.blocks(self.stem(x)))
        scores: Tensor = self.head(features.flatten(1))
        return scores


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is added, through a 1x1 convolution where its shape changes."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(inside, out, 3, stride), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = _conv(out, out, 3), nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        same = stride == 1 and inside == out
        self.shortcut = nn.Identity() if same else nn.Sequential(_conv(inside, out, 1, stride), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        result: Tensor = self.relu(inner + self.shortcut(x))
        return result


def _conv(inside: int, out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, out, size, stride=stride, padding=size // 2, bias=False)
