"""The smooth and the efficient variant of parameter randomisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from tests.evaluation.randomisation_nets import IMAGES, HeadFirst, bits_of, built, gradient_of, same_bits
from tests.tiny import numbers
from torch import Tensor

from critpath.draws import sample_generators
from critpath.errors import InputError, OptionError
from critpath.evaluation.randomisation import (
    UnmovedMapsWarning,
    efficient_mprt,
    entropy,
    parameter_randomisation,
    randomised,
    smooth_mprt,
    smoothed,
)
from critpath.evaluation.removal import reduced


@pytest.mark.parametrize("bins", [1, 7, 100, "scott"])
def test_entropy_is_that_of_numpys_histogram(bins: Any) -> None:
    maps = numbers(4, 1, 20, 30) * torch.tensor([1.0, 100.0, 1e-9, 1.0]).view(-1, 1, 1, 1)
    maps[3] = maps[3] ** 5
    expected = [scipy.stats.entropy(np.histogram(m.numpy(), bins=bins)[0]) for m in maps]
    torch.testing.assert_close(entropy(maps, bins), torch.tensor(expected).double(), rtol=0, atol=1e-12)


def test_entropy_of_a_constant_map() -> None:
    assert entropy(torch.full((2, 1, 4, 4), 3.0)).tolist() == [0, 0]
    assert entropy(torch.zeros(2, 1, 4, 4), "scott").tolist() == [0, 0]


def test_smoothed_is_the_mean_over_noisy_inputs() -> None:
    model = built(HeadFirst)
    explain, target = gradient_of(model), torch.tensor([0, 1, 2])
    x = IMAGES * torch.tensor([1.0, 3.0, 0.1]).view(-1, 1, 1, 1)
    found = smoothed(explain, samples=3, noise=0.2, seed=4)(x, target)
    for i, generator in enumerate(sample_generators([x], 4, "smooth explanation")):
        std = 0.2 * (x[i].max() - x[i].min())
        noisy = [x[i : i + 1] + std * torch.randn(3, 8, 8, generator=generator).double() for _ in range(3)]
        expected = sum(explain(one, target[i : i + 1]) for one in noisy) / 3
        torch.testing.assert_close(found[i : i + 1], expected)
        alone = smoothed(explain, samples=3, noise=0.2, seed=4)(x[i : i + 1], target[i : i + 1])
        torch.testing.assert_close(alone, found[i : i + 1])
    assert torch.equal(smoothed(explain, samples=1, noise=0)(x, target), explain(x, target))


def test_smooth_mprt_compares_smoothed_maps() -> None:
    model = built(HeadFirst)
    calls = []

    def explain(x: Tensor, target: Tensor) -> Tensor:
        calls.append(len(x))
        return gradient_of(model)(x, target)

    found = smooth_mprt(model, explain, IMAGES, samples=3, seed=2, repeats=2, mode="independent")
    assert len(calls) == 3 * (1 + 5 * 2)
    expected = parameter_randomisation(
        model, smoothed(gradient_of(model), 3, seed=2), IMAGES, seed=2, repeats=2, mode="independent"
    )
    plain = parameter_randomisation(model, gradient_of(model), IMAGES, seed=2, repeats=2, mode="independent")
    assert torch.equal(found.values["ssim"], expected.values["ssim"])
    assert not torch.equal(found.values["ssim"], plain.values["ssim"])


@pytest.mark.parametrize("bins", [100, "scott"])
def test_efficient_mprt_is_the_rise_of_the_entropy(bins: Any) -> None:
    model = built(HeadFirst)
    before = bits_of(model)
    explain = gradient_of(model)
    calls = []

    def counted(x: Tensor, target: Tensor) -> Tensor:
        calls.append(0)
        return explain(x, target)

    found = efficient_mprt(model, counted, IMAGES, repeats=2, bins=bins, seed=3)
    assert len(calls) == 3
    assert same_bits(model, before)
    classes = model(IMAGES).argmax(dim=1)
    first = entropy(reduced(explain(IMAGES, classes)), bins)
    rises = []
    for repeat in range(2):
        with randomised(model, IMAGES, seed=3, repeat=repeat):
            rises.append((entropy(reduced(explain(IMAGES, classes)), bins) - first) / first)
    torch.testing.assert_close(found.value, (rises[0] + rises[1]) / 2)
    assert torch.equal(found.original, first)
    assert found.randomised.shape == (3, 2)
    assert found.coverage.share == 1
    given = efficient_mprt(model, explain, IMAGES, repeats=2, bins=bins, seed=3, original=explain(IMAGES, classes))
    assert torch.equal(given.value, found.value)


def test_efficient_mprt_of_a_constant_map() -> None:
    model = built(HeadFirst)

    def explain(x: Tensor, target: Tensor) -> Tensor:
        return gradient_of(model)(x, target) * (torch.arange(len(x)) > 0).view(-1, 1, 1, 1)

    found = efficient_mprt(model, explain, IMAGES)
    assert found.value.isnan().tolist() == [True, False, False]
    given = efficient_mprt(model, gradient_of(model), IMAGES, original=torch.zeros(3, 8, 8).double())
    assert given.randomised.min() > 0
    assert given.value.isnan().all()


def test_maps_that_do_not_move() -> None:
    model = built(HeadFirst)
    with pytest.warns(UnmovedMapsWarning) as caught:
        found = efficient_mprt(model, lambda x, target: x, IMAGES)
    assert caught[0].filename == __file__
    assert found.value.count_nonzero() == 0


def test_the_model_comes_back_where_explain_raises() -> None:
    model = built(HeadFirst)
    before = bits_of(model)
    original = gradient_of(model)(IMAGES, torch.zeros(3, dtype=torch.long))

    def explain(x: Tensor, target: Tensor) -> Tensor:
        assert not same_bits(model, before)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        efficient_mprt(model, explain, IMAGES, original=original)
    assert same_bits(model, before)


def test_bad_options() -> None:
    model = built(HeadFirst)
    explain = gradient_of(model)
    for bins in (0, "auto", 1.5):
        with pytest.raises(OptionError, match="bins is"):
            efficient_mprt(model, explain, IMAGES, bins=bins)
    with pytest.raises(OptionError, match="repeats is 0"):
        efficient_mprt(model, explain, IMAGES, repeats=0)
    with pytest.raises(OptionError, match="samples is 0"):
        smooth_mprt(model, explain, IMAGES, samples=0)
    with pytest.raises(OptionError, match="noise is -1"):
        smooth_mprt(model, explain, IMAGES, noise=-1)
    with pytest.raises(InputError, match="the maps are"):
        entropy(torch.zeros(0))
