"""Splits, ResNet-8 and the recipe against loops and definitions written here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor, nn
from torch.nn import functional as F

from critpath.errors import InputError, MismatchError, NumericalError, OptionError
from critpath.evaluation.retraining import (
    Recipe,
    ResNet8,
    Split,
    accuracy_of,
    papers_recipe,
    predicted_classes,
    train_and_validation,
)

CLASSES = 3


def bars(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Split:
    """Images [n, 2, 8, 8] of noise with a bright bar, whose place is the class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(CLASSES, (n,), generator=generator)
    x = torch.randn(n, 2, 8, 8, generator=generator, dtype=torch.float64) / 2
    for image, label in zip(x, y.tolist(), strict=True):
        image[:, 2:6, 2 * label : 2 * label + 2] += 2
    return Split(x.to(dtype), y)


def small(**changes: Any) -> Recipe:
    given: dict[str, Any] = {"width": 2, "epochs": 2, "batch": 16, "padding": 1, "flip": False, "lr": 0.02, **changes}
    return papers_recipe(CLASSES, 2, **given)


def bits(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(s, t) for s, t in zip(bits(a), bits(b), strict=True))


# ------------------------------------------------------------------------------------------------- splits
def test_validation_is_the_last_share_of_every_class_in_index_order() -> None:
    y = torch.tensor([2, 0, 0, 2, 0, 0, 2, 0, 2, 0, 0, 0, 1])
    x = torch.arange(13.0)[:, None, None, None].expand(13, 1, 2, 2)
    train, validation = train_and_validation(x, y, 1 / 4)
    # label 0 is at 1 2 4 5 7 9 10 11: the last two of eight; label 2 at 0 3 6 8: the last one; label 1 once: none
    assert validation.x[:, 0, 0, 0].tolist() == [8, 10, 11]
    assert train.x[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 12]
    assert torch.equal(y[validation.x[:, 0, 0, 0].long()], validation.y)
    assert torch.equal(y[train.x[:, 0, 0, 0].long()], train.y)


def test_cifar_sizes() -> None:
    y = torch.arange(10).repeat(5000)
    train, validation = train_and_validation(torch.zeros(1, 1, 1, 1).expand(50000, 1, 1, 1), y)
    assert (len(train.y), len(validation.y)) == (43750, 6250)
    assert torch.bincount(validation.y).tolist() == [625] * 10


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), r"\[4, 3\]"),
        (torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), "uint8"),
        (torch.zeros(4, 1, 2, 2), torch.zeros(3, dtype=torch.int64), r"\[3\] int64"),
        (torch.zeros(4, 1, 2, 2), torch.zeros(4), "float32"),
        (torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, -1, 0]), "-1"),
        (torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]), "leaves 0"),
    ],
)
def test_bad_data(x: Tensor, y: Tensor, told: str) -> None:
    with pytest.raises(InputError, match=told):
        train_and_validation(x, y)


def test_accuracy_in_parts() -> None:
    part = bars(9)
    model = tiny.seeded(lambda: ResNet8(CLASSES, 2, 2))
    wanted = model(part.x).argmax(dim=1)
    assert torch.equal(predicted_classes(model, part.x, 2), wanted)
    assert accuracy_of(model, part, 2) == (wanted == part.y).double().mean()
    with pytest.raises(InputError, match=r"\[9, 2, 8, 8\]"):
        predicted_classes(lambda x: x, part.x)
    with pytest.raises(NumericalError, match="NaN"):
        predicted_classes(lambda x: model(x) / 0, part.x)


# ------------------------------------------------------------------------------------------------- ResNet-8
def test_resnet8_is_as_in_the_papers() -> None:
    model = ResNet8(10)
    seen: list[tuple[int, ...]] = []
    for block in model.blocks:
        block.register_forward_hook(lambda module, given, out: seen.append(tuple(out.shape[1:])))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert seen == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.kernel_size[0], m.stride[0]) for m in convolutions] == [
        *((3, 1), (3, 1), (3, 1)),
        *((3, 2), (3, 1), (1, 2)),
        *((3, 2), (3, 1), (1, 2)),
    ]
    assert len([m for m in model.modules() if isinstance(m, nn.ReLU)]) == 4  # called 7 times


def test_resnet8_by_hand() -> None:
    model = tiny.seeded(lambda: ResNet8(CLASSES, 2, 3))
    x = tiny.numbers(4, 2, 7, 5)

    def norm(layer: Any, z: Tensor) -> Tensor:
        scale = layer.weight / (layer.running_var + layer.eps).sqrt()
        return (z - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]

    a = norm(model.stem[1], F.conv2d(x, model.stem[0].weight, padding=1)).clamp(min=0)
    for block, stride in zip(model.blocks, (1, 2, 2), strict=True):
        inner = norm(block.norm1, F.conv2d(a, block.conv1.weight, stride=stride, padding=1)).clamp(min=0)
        inner = norm(block.norm2, F.conv2d(inner, block.conv2.weight, padding=1))
        around = a if stride == 1 else norm(block.shortcut[1], F.conv2d(a, block.shortcut[0].weight, stride=stride))
        a = (inner + around).clamp(min=0)
    wanted = a.mean(dim=(2, 3)) @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(x), wanted)


# ------------------------------------------------------------------------------------------------- the recipe
def test_papers_numbers() -> None:
    recipe = papers_recipe(10)
    told = (recipe.epochs, recipe.batch, recipe.lr, recipe.weight_decay, recipe.step, recipe.gamma, recipe.padding)
    assert told == (50, 256, 1e-3, 1e-4, 10, 0.5, 4)
    assert recipe.flip
    assert sum(p.numel() for p in recipe.model().parameters()) == sum(p.numel() for p in ResNet8(10).parameters())


def test_training_is_the_loop_that_is_promised() -> None:
    """Full batches, no augmentation, a linear network: Adam, the halved rate and the kept epoch, written out."""
    train, validation = bars(12, 1), bars(9, 2)
    recipe = Recipe(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(128, CLASSES)),
        epochs=5,
        batch=12,
        step=2,
        padding=0,
        flip=False,
        weight_decay=0.3,
    )
    fitted = recipe.fit(train, validation, 7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        layer = nn.Linear(128, CLASSES).double()
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in layer.parameters()]
    accuracies, states = [], []
    for epoch in range(5):
        grads = torch.autograd.grad(F.cross_entropy(layer(train.x.flatten(1)), train.y), list(layer.parameters()))
        with torch.no_grad():
            for p, (m, v), raw in zip(layer.parameters(), moments, grads, strict=True):
                g = raw + 0.3 * p
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                first, second = m / (1 - 0.9 ** (epoch + 1)), v / (1 - 0.999 ** (epoch + 1))
                p -= 1e-3 * 0.5 ** (epoch // 2) * first / (second.sqrt() + 1e-8)
            accuracies.append(float((layer(validation.x.flatten(1)).argmax(1) == validation.y).double().mean()))
        states.append(layer.weight.detach().clone())
    assert fitted.accuracies == tuple(accuracies)
    assert fitted.epochs == accuracies.index(max(accuracies)) + 1
    torch.testing.assert_close(bits(fitted.model)[0], states[fitted.epochs - 1])


def test_the_kept_epoch_is_the_first_of_the_best() -> None:
    """A network that gets worse on purpose: its only weight falls by the rate, and it is right above a half."""

    class Falling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(1.0))

        def forward(self, x: Tensor) -> Tensor:
            level = self.weight.expand(len(x))
            right = level if self.training else (level > 0.5).to(level) - 0.5
            return torch.stack([-right, right], dim=1)

    zeros = Split(torch.zeros(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64))
    ones = Split(zeros.x, torch.ones(4, dtype=torch.int64))
    fitted = Recipe(Falling, epochs=6, lr=0.2, weight_decay=0, step=99, padding=0).fit(zeros, ones, 0)
    assert fitted.accuracies == (1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert fitted.epochs == 1
    assert float(bits(fitted.model)[0]) == pytest.approx(0.8)


def test_same_seed_same_bits_and_nothing_global_changes() -> None:
    train, validation = bars(20), bars(12, 1)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = small().train(train, validation, 5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    with torch.no_grad():
        again = small().train(train, validation, 5)
    with torch.inference_mode():
        third = small().train(Split(train.x.clone(), train.y.clone()), validation, 5)
    assert same(first, again)
    assert same(first, third)
    assert not same(first, small().train(train, validation, 6))
    assert not first.training
    assert torch.equal(train.x, bars(20).x)


def test_augmentation_is_a_crop_and_a_flip_of_each_image() -> None:
    x = tiny.numbers(40, 2, 3, 4)
    recipe = papers_recipe(CLASSES, 2, padding=2, pad_value=9.0)
    found = recipe.augmented(x, torch.Generator().manual_seed(1))
    kinds = set()
    for image, one in zip(found, x, strict=True):
        bordered = torch.full((2, 7, 8), 9.0, dtype=torch.float64)
        bordered[:, 2:5, 2:6] = one
        crops = {
            (down, right, flipped): crop.flip(2) if flipped else crop
            for down in range(5)
            for right in range(5)
            for flipped in (False, True)
            for crop in [bordered[:, down : down + 3, right : right + 4]]
        }
        matches = [kind for kind, crop in crops.items() if torch.equal(crop, image)]
        assert matches
        kinds |= set(matches)
    assert {kind[0] for kind in kinds} == set(range(5)) == {kind[1] for kind in kinds}
    assert {kind[2] for kind in kinds} == {False, True}
    plain = papers_recipe(CLASSES, 2, padding=0, flip=False)
    assert torch.equal(plain.augmented(x, torch.Generator()), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_network_takes_the_images_type(dtype: torch.dtype) -> None:
    model = small(epochs=1).train(bars(12, 0, dtype), bars(6, 1, dtype), 0)
    assert next(model.parameters()).dtype == dtype


def test_one_class_and_an_image_left_over() -> None:
    """4x4 images end as one position, where batch statistics need two samples: 17 = 16 + 1 would have no such batch."""
    x = tiny.numbers(17, 2, 4, 4)
    part = Split(x, torch.full((17,), 2))
    fitted = small(epochs=8).fit(part, part, 0)
    assert fitted.validation_accuracy == 1


def test_it_learns() -> None:
    fitted = small(width=4, epochs=6, batch=32, padding=0).fit(bars(120), bars(40, 1), 0)
    assert accuracy_of(fitted.model, bars(40, 2)) > 0.9


def test_divergence_is_one_clear_error() -> None:
    train = bars(16)
    with pytest.raises(NumericalError, match=r"training diverged: the loss is .* in epoch \d of 2\. Lower lr"):
        small().fit(Split(train.x.index_fill(0, torch.tensor([3]), float("inf")), train.y), train, 0)


@pytest.mark.parametrize(
    "changes",
    [
        *({"epochs": 0}, {"epochs": 1.5}, {"batch": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"weight_decay": -1.0}),
        *({"step": 0}, {"gamma": 0.0}, {"padding": -1}, {"flip": 1}, {"pad_value": float("inf")}),
    ],
)
def test_bad_recipes(changes: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(changes))):
        small(**changes)


@pytest.mark.parametrize("model", [nn.Linear(2, 2), "ResNet8", None])
def test_a_recipe_needs_a_factory(model: Any) -> None:
    with pytest.raises(OptionError, match="makes an untrained network"):
        Recipe(model)


def test_what_does_not_fit() -> None:
    fit: Callable[..., Any] = small().fit
    with pytest.raises(MismatchError, match=r"training \[2, 8, 8\] float64, validation \[2, 8, 8\] float32"):
        fit(bars(4), bars(4, dtype=torch.float32), 0)
    with pytest.raises(OptionError, match="seed"):
        fit(bars(4), bars(4), -1)
    with pytest.raises(OptionError, match="gives int"):
        Recipe(partial(int, 3)).fit(bars(4), bars(4), 0)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- bfloat16
class Watched(nn.Module):
    """A network that keeps what its last call was computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = ResNet8(CLASSES, 2, 4), list[tuple[bool, torch.dtype, bool]]()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.inner(x)
        self.seen.append((self.training, scores.dtype, x.is_contiguous(memory_format=torch.channels_last)))
        return scores


def test_bfloat16_is_for_training_steps_only() -> None:
    train, validation = bars(40, 0, torch.float32), bars(12, 1, torch.float32)
    model = replace(small(precision="bfloat16"), model=Watched).train(train, validation, 0)
    assert isinstance(model, Watched)
    steps, checks = ({kind[1:] for kind in model.seen if kind[0] is training} for training in (True, False))
    assert steps == {(torch.bfloat16, True)}
    assert {kind[0] for kind in checks} == {torch.float32}
    assert {t.dtype for t in bits(model)} == {torch.float32, torch.int64}
    assert all(t.is_contiguous() for t in bits(model))
    plain = replace(small(), model=Watched).train(train, validation, 0)
    assert isinstance(plain, Watched)
    assert {kind[1] for kind in plain.seen} == {torch.float32}


def test_bfloat16_learns_what_float32_learns() -> None:
    train, validation, test = (bars(n, seed, torch.float32) for seed, n in enumerate((120, 40, 40)))
    given: dict[str, Any] = {"width": 4, "epochs": 6, "batch": 32, "padding": 0, "precision": "bfloat16"}
    first, again = (small(**given).train(train, validation, 0) for _ in range(2))
    assert accuracy_of(first, test) > 0.9
    assert same(first, again)


def test_bfloat16_is_for_float32() -> None:
    with pytest.raises(InputError, match=r"takes float32 images, got torch\.float64"):
        small(precision="bfloat16").fit(bars(4), bars(4), 0)
    with pytest.raises(OptionError, match="precision"):
        small(precision="float16")
