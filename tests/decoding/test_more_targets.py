"""Targets for decoding: sites, directions, one for each sample, sums and differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

import critpath as cp
from critpath.errors import MismatchError, TargetError
from critpath.response import respond
from critpath.targets import Combined, Custom, Direction, Each, Logit, Neuron, SiteActivation, Target

VECTOR = [1.0, -2.0, 0.5, 3.0]


@pytest.fixture(scope="module")
def net() -> cp.Network:
    return cp.Network(tiny.NETWORKS["conv"].build())


@pytest.fixture(scope="module")
def x() -> Tensor:
    return tiny.numbers(3, *tiny.IMAGE)


def value(net: cp.Network, x: Any, target: Any) -> Tensor:
    return respond(net, x, target).value.detach()


def test_site_is_its_mean_square(net: cp.Network, x: Tensor) -> None:
    a = net.run(x).values()["1#0"]
    assert torch.allclose(value(net, x, SiteActivation("1#0")), (a**2).flatten(1).mean(dim=1))


@pytest.mark.parametrize("cosine", [0, 1, 2.5])
def test_direction_position_by_position(net: cp.Network, x: Tensor, cosine: float) -> None:
    a, v = net.run(x).values()["1#0"], torch.tensor(VECTOR).double()
    for n in range(3):
        total = 0.0
        for i in range(8):
            for j in range(8):
                here = a[n, :, i, j]
                length = float(here.norm() * v.norm())
                angle = float(here @ v) / length if length > 0 else 0.0
                total += float(here @ v) * max(angle, 0.1) ** cosine
        found = value(net, x, Direction("1#0", VECTOR, cosine))[n]
        assert float(found) == pytest.approx(total / 64, rel=1e-6)


def test_direction_of_vectors_and_tokens() -> None:
    """Channels are where the site has them: last for tokens, all there is for vectors."""
    for name in ("mlp", "transformer"):
        case = tiny.NETWORKS[name]
        net, x = cp.Network(case.build()), case.inputs(2)
        site = net.sites(x).sites[-1]
        a, v = net.run(x).values()[site.name], tiny.numbers(site.channels)
        expected = (a @ v).reshape(2, -1).mean(dim=1)
        assert torch.allclose(value(net, x, Direction(site.name, v)), expected)


def test_arithmetic(net: cp.Network, x: Tensor) -> None:
    a, b, c = Logit([0, 1, 2]), cp.Channel("4#0", 1), SiteActivation("1#0")
    va, vb, vc = (value(net, x, t) for t in (a, b, c))
    assert torch.allclose(value(net, x, a + b), va + vb)
    assert torch.allclose(value(net, x, a - b), va - vb)
    assert torch.allclose(value(net, x, 2 * a - b * 0.5 + -c), 2 * va - 0.5 * vb - vc)


def test_sum_is_settled_by_the_unmodified_network(net: cp.Network, x: Tensor) -> None:
    response = respond(net, x, Logit() + Logit(0))
    classes = net.run(x).output.argmax(dim=1)
    changed = response.rerun(lambda site, a: a * 0.1)
    output = changed.run.output
    assert torch.allclose(changed.value, output.gather(1, classes.unsqueeze(1))[:, 0] + output[:, 0])


def test_each(net: cp.Network, x: Tensor) -> None:
    targets: tuple[Target, ...] = (Logit(1), cp.Channel("4#0", 1), Neuron("1#0", (0, 1, 1)))
    found = value(net, x, Each(targets))
    for i, target in enumerate(targets):
        assert torch.allclose(found[i], value(net, x[i : i + 1], target)[0])


@pytest.mark.parametrize(
    "target",
    [
        Logit([0, 3, 1]) + 2 * Neuron("1#0", (1, 2, 3)),
        Each((Logit(1), cp.Channel("4#0", 1), Logit(2) - Logit(0))),
        SiteActivation("1#0"),
        Direction("1#0", VECTOR, 1),
    ],
)
@pytest.mark.parametrize("method", ["taylor", "conductance", "ablation"])
def test_scores(net: cp.Network, x: Tensor, target: Target, method: str) -> None:
    """A batch gives what its samples give, whatever batches the method makes of them."""
    options: dict[str, Any] = {"points": 3} if method == "conductance" else {}
    if method == "ablation":
        options["by"] = ["1#0", "4#0"]
    together = cp.score(net, x, method, target=target, **options)
    for i in range(3):
        alone = cp.score(net, x[i : i + 1], method, target=target.taken(torch.tensor([i])), **options)
        if method == "ablation":
            assert torch.allclose(together.values[i], alone.values[0])
        else:
            assert torch.allclose(together.flatten()[i], alone.flatten()[0], atol=1e-9)


def test_gradient_of_a_sum(net: cp.Network, x: Tensor) -> None:
    parts = [cp.attribute(net, x, "gradient", target=t) for t in (Logit(1), SiteActivation("4#0"))]
    whole = cp.attribute(net, x, "gradient", target=3 * Logit(1) - SiteActivation("4#0"))
    assert torch.allclose(whole, 3 * parts[0] - parts[1])


def test_what_is_known_before_a_run() -> None:
    assert Logit([1, 2]).for_samples == 2
    assert Logit(1).for_samples is None
    assert (Logit([1, 2]) + cp.Margin(1, [0, 1])).for_samples == 2
    assert Logit().follows_prediction
    assert (Logit(1) - cp.Margin()).follows_prediction
    assert not Each((Logit(1), SiteActivation("a#0"))).follows_prediction
    assert not (Logit(1) + Custom(lambda output: output[:, 0])).any_batch
    assert (Logit(1) + SiteActivation("a#0")).any_batch


class TestBadInput:
    @pytest.mark.parametrize(
        ("target", "error", "words"),
        [
            (SiteActivation("nowhere#0"), MismatchError, "no site"),
            (Direction("1#0", [1.0, 2.0]), TargetError, r"is \[2\], and site 1#0 has 4 channels"),
            (Direction("1#0", [[1.0] * 4]), TargetError, r"is \[1, 4\]"),
            (Direction("1#0", [1.0, float("nan"), 0, 0]), TargetError, "finite vector"),
            (Direction("1#0", VECTOR, -1), TargetError, "a power from 0 on"),
            (Each((Logit(1), Logit(2))), TargetError, "2 targets for 3 samples"),
        ],
    )
    def test_messages(self, net: cp.Network, x: Tensor, target: Target, error: type, words: str) -> None:
        with pytest.raises(error, match=words):
            respond(net, x, target)

    def test_sums(self) -> None:
        with pytest.raises(TargetError, match="2 and 3 samples"):
            Logit([1, 2]) + Logit([1, 2, 3])
        with pytest.raises(TargetError, match="finite weights"):
            float("nan") * Logit(1)
        with pytest.raises(TargetError, match="finite weights"):
            Combined(())
        with pytest.raises(TypeError):
            Logit(1) + 3  # type: ignore[operator]
