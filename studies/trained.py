"""Networks that the studies train themselves, on first use: the papers' ResNet-8 for CIFAR-10.

    python -m studies.trained

Weights and accuracies are kept in `build/studies/`. The bits are the same on one kind of CPU.
"""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from critpath.evaluation.retraining import Split, accuracy_of, papers_recipe, train_and_validation
from critpath.evaluation.retraining.recipe import Fitted
from critpath.files import write_whole
from studies.data import cifar10_test, cifar10_train

FOLDER = Path(__file__).resolve().parents[1] / "build" / "studies"

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""CIFAR-10's, of RGB in [0, 1]: 0 is the mean of the data."""

RECIPE = papers_recipe(10, epochs=12, batch=128, lr=2e-3, step=3, gamma=0.4, precision="bfloat16")
"""The papers' network; fewer and shorter epochs than their 50, of batches of 256, for the images that there are."""

SEED = 0


def resnet8_file(folder: Path = FOLDER) -> Path:
    """The weights of ResNet-8, trained first where they are not there or of another recipe; who asks meanwhile waits.

    Beside them a .json: the recipe, the seed, and the accuracy on the 10,000 test images. Raises StorageError
    without the data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "resnet8.safetensors"
    with _alone(folder / "resnet8.lock"):
        if not (file.exists() and _made_so(file.with_suffix(".json"))):
            print("ResNet-8 is trained once on 8,750 CIFAR-10 images: about 6 minutes", file=sys.stderr, flush=True)
            _train(file)
    return file


def resnet8_facts() -> dict[str, Any]:
    """How ResNet-8 was trained and how well it does; empty where it was not trained here."""
    file = FOLDER / "resnet8.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def normalised(images: Tensor, labels: Tensor) -> Split:
    """Images uint8 [n, H, W, 3] as a network's inputs [n, 3, H, W]."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return Split((images.permute(0, 3, 1, 2).float() / 255 - mean) / std, labels)


def _made_so(told: Path) -> bool:
    """Whether the weights beside are of this recipe and seed."""
    found = json.loads(told.read_text()) if told.exists() else {}
    return (found.get("recipe"), found.get("seed")) == (_recipe(), SEED)


def _recipe() -> dict[str, Any]:
    fields = ("epochs", "batch", "lr", "weight_decay", "step", "gamma", "precision")
    return {name: getattr(RECIPE, name) for name in fields}


def _train(file: Path) -> None:
    train, validation = train_and_validation(*normalised(*cifar10_train()))
    test = normalised(*cifar10_test())
    with _one_thread():
        fitted = RECIPE.fit(train, validation, SEED)
        accuracy = accuracy_of(fitted.model, test)
    write_whole(file.with_suffix(".json"), _told(fitted, accuracy, len(train.y), len(validation.y)))
    write_whole(file, save(fitted.model.state_dict()))


def _told(fitted: Fitted, accuracy: float, train: int, validation: int) -> bytes:
    told = {
        "accuracy": accuracy,
        "validation_accuracies": list(fitted.accuracies),
        "kept_after": fitted.epochs,
        "train": train,
        "validation": validation,
        "seed": SEED,
        "recipe": _recipe(),
    }
    return (json.dumps(told, indent=1) + "\n").encode()


@contextmanager
def _one_thread() -> Iterator[None]:
    """The last digits depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print(resnet8_file().with_suffix(".json").read_text())
