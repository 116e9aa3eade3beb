"""The studies' networks: they load, and predict about as well as they are known to."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from critpath import zoo
from critpath.errors import StorageError

NETWORKS = Path(__file__).resolve().parents[2] / "studies" / "networks.py"


def load(name: str, assets: Path, monkeypatch: pytest.MonkeyPatch) -> zoo.LoadedModel:
    monkeypatch.setenv("CRITPATH_ASSETS", str(assets))
    return zoo.load(f"{NETWORKS}:{name}")


@pytest.mark.assets
@pytest.mark.parametrize("name", ["resnet50", "resnet18", "squeezenet1_1", "mobilenet_v2"])
def test_imagenet(name: str, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(name, assets, monkeypatch)
    assert loaded.preprocess is not None
    with (assets / "imagenet1k_sample/labels.csv").open() as file:
        rows = list(csv.DictReader(file))[::40]
    pictures = [zoo.read_image(assets / "imagenet1k_sample/images" / row["file"]) for row in rows]
    with torch.no_grad():
        logits = loaded.model(torch.stack([loaded.preprocess(picture) for picture in pictures]))
    target = torch.tensor([int(row["class_index"]) for row in rows])
    assert (logits.topk(5).indices == target[:, None]).any(1).float().mean() >= 0.7


@pytest.mark.assets
@pytest.mark.parametrize("name", ["resnet20_cifar", "resnet56_cifar"])
def test_cifar(name: str, assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(name, assets, monkeypatch)
    assert loaded.preprocess is not None
    with Image.open(assets / "cifar10/test/00.webp") as grid:
        tiles = np.asarray(grid.convert("RGB")).reshape(40, 32, 25, 32, 3).transpose(0, 2, 1, 3, 4)
    pictures = [Image.fromarray(tile) for tile in tiles.reshape(-1, 32, 32, 3)[:200]]
    with torch.no_grad():
        logits = loaded.model(torch.stack([loaded.preprocess(picture) for picture in pictures]))
    labels = np.fromfile(assets / "cifar10/test/labels.bin", np.uint8)[:200]
    assert (logits.argmax(1).numpy() == labels).mean() >= 0.87


@pytest.mark.assets
def test_vgg16_says_that_its_head_is_random(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (load("vgg16", assets, monkeypatch) for _ in range(2))
    assert "random" in first.name
    assert "not trained" in first.source
    assert first.classes is None
    assert torch.equal(first.model.classifier[6].weight, second.model.classifier[6].weight)


def test_without_the_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="set CRITPATH_ASSETS"):
        load("resnet20_cifar", tmp_path, monkeypatch)
