"""Faithfulness curves against the twins' own masked forward passes."""

from __future__ import annotations

import math

import pytest
import torch
from tests import tiny
from tests.reference.twins import ARCHITECTURES, Case, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.analysis import default_sizes, faithfulness
from critpath.analysis.faithfulness import joined, log_mean
from critpath.errors import InputError, MismatchError, OptionError
from critpath.network import sample_of
from critpath.response import Response, respond

CASES = ["nn.ReLU", "GELU", *ARCHITECTURES]
SIZES = (0.01, 0.3, 0.7, 1.0)


def masked(case: Case, keep: list[Tensor], rest: list[Tensor], response: Response) -> Tensor:
    """The response of the twin whose neurons off ``keep`` are set to ``rest``."""
    output = case.twin(case.model, case.x, lambda i, a: torch.where(keep[i], a, rest[i].to(a)))
    classes = response.target.classes  # type: ignore[attr-defined]
    return case.logits({"logits": output} if case.name == "keywords" else output).gather(1, classes.unsqueeze(1))[:, 0]


def top(values: cp.NeuronValues, k: int) -> list[Tensor]:
    """Masks of the k largest |values| that are not 0, by sorting."""
    flat = values.flatten().abs()
    keep = torch.zeros_like(flat, dtype=torch.bool)
    for row, mask in zip(flat, keep, strict=True):
        order = sorted(range(len(row)), key=lambda n: (-float(row[n]), n))[:k]
        mask[[n for n in order if row[n] > 0]] = True
    parts = keep.split([s.neurons for s in values.space], dim=1)
    return [p.reshape(t.shape) for p, t in zip(parts, values.tensors, strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_equals_the_twin(name: str, ablation: str) -> None:
    case = case_of(name)
    net = cp.Network(case.model)
    response = respond(net, case.x)
    scores = cp.score(net, case.x)
    values = response.run.values()
    means = values.map(lambda a: a.mean(0, keepdim=True))
    rest = {
        "zero": [torch.zeros_like(a) for a in values.tensors],
        "mean": [a.mean(0, keepdim=True).expand_as(a) for a in values.tensors],
        "resample": [torch.cat([a[1:], a[:1]]) for a in values.tensors],
    }[ablation]
    found = faithfulness(response, scores, SIZES, ablation, means if ablation == "mean" else None)
    nothing = [torch.zeros_like(a, dtype=torch.bool) for a in values.tensors]
    floor = masked(case, nothing, rest, response)
    assert torch.allclose(found.floor, floor)
    assert torch.allclose(found.whole, response.value.detach())
    n = scores.space.neurons
    for column, size in enumerate(SIZES):
        keep = top(scores, max(1, round(size * n)))
        for curve, act in ((found.kept, keep), (found.without, [~k for k in keep])):
            expected = (masked(case, act, rest, response) - floor) / (response.value - floor)
            assert torch.allclose(curve[:, column], expected.detach(), atol=1e-9)


def test_batch_equals_loop() -> None:
    kind = tiny.NETWORKS["mlp"]
    net, x = cp.Network(kind.build()), kind.inputs(3)
    whole = faithfulness(respond(net, x), cp.score(net, x))
    parts = [faithfulness(respond(net, one), cp.score(net, one)) for one in (sample_of(x, i) for i in range(3))]
    for name in ("kept", "without", "whole", "floor"):
        assert torch.allclose(getattr(whole, name), getattr(joined(parts), name))
    assert torch.allclose(whole.kept_area, joined(parts).kept_area)


def test_one_ranking_for_all_and_no_grad() -> None:
    kind = tiny.NETWORKS["conv"]
    net, x = cp.Network(kind.build()), kind.inputs(2)
    with torch.no_grad():
        response, first = respond(net, x), cp.score(net, x).sample(0)
        shared = faithfulness(response, first, SIZES)
    assert torch.equal(shared.kept[0], faithfulness(respond(net, x), cp.score(net, x), SIZES).kept[0])


def test_a_linear_network_adds_up() -> None:
    """Without neurons above neurons, what is kept and what is lost make the whole."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)).double().eval()
    net, x = cp.Network(model), tiny.numbers(4, 6)
    found = faithfulness(respond(net, x), cp.score(net, x), SIZES)
    assert torch.allclose(found.kept + found.without, torch.ones_like(found.kept))
    assert torch.allclose(found.kept[:, -1], torch.ones(4).double())


def test_a_response_without_neurons_has_no_curve() -> None:
    """Where the floor is the whole, there is nothing to keep or to lose."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)).double().eval()
    net, x = cp.Network(model), tiny.numbers(2, 6)
    response = respond(net, x)
    x0 = response.run.values()
    found = faithfulness(response, x0, SIZES, "mean", x0)
    assert found.kept.isnan().all()
    assert found.without_area.isnan().all()


class TestArea:
    def test_default_sizes(self) -> None:
        sizes = default_sizes()
        assert len(sizes) == 10
        assert (float(sizes[0]), float(sizes[-1])) == pytest.approx((0.001, 1))
        assert torch.allclose(sizes[1:] / sizes[:-1], torch.tensor(10 ** (1 / 3)).double())

    def test_equals_a_fine_sum(self) -> None:
        """Of a curve that is straight in the logarithm of the size, between points far apart."""
        sizes = torch.tensor([0.01, 0.1, 0.2, 1.0], dtype=torch.float64)
        curve = torch.tensor([[0.0, 0.5, 0.2, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
        total, steps = 0.0, 20_000
        for k in range(steps):
            log = math.log(0.01) * (1 - (k + 0.5) / steps)
            for i in range(3):
                a, b = math.log(sizes[i]), math.log(sizes[i + 1])
                if a <= log <= b:
                    total += float(curve[0, i] + (curve[0, i + 1] - curve[0, i]) * (log - a) / (b - a)) / steps
                    break
        assert log_mean(sizes, curve).tolist() == pytest.approx([total, 1.0], rel=1e-3)

    def test_one_size(self) -> None:
        assert log_mean(torch.tensor([0.1]), torch.tensor([[0.4], [0.6]])).tolist() == pytest.approx([0.4, 0.6])


class TestBadInput:
    @pytest.fixture
    def response(self) -> Response:
        kind = tiny.NETWORKS["mlp"]
        return respond(cp.Network(kind.build()), kind.inputs(1))

    @pytest.mark.parametrize("sizes", [(), (0.0, 0.5), (0.5, 1.5), (0.5, 0.5), (0.9, 0.1), (math.nan,), 0.5])
    def test_sizes(self, response: Response, sizes: object) -> None:
        with pytest.raises(OptionError, match="sizes are"):
            faithfulness(response, response.gradients, sizes)  # type: ignore[arg-type]

    def test_ablations(self, response: Response) -> None:
        scores = response.gradients
        with pytest.raises(OptionError, match="Did you mean 'zero'"):
            faithfulness(response, scores, ablation="zeros")
        with pytest.raises(OptionError, match="mean_activations"):
            faithfulness(response, scores, ablation="mean")
        with pytest.raises(InputError, match="this batch has one"):
            faithfulness(response, scores, ablation="resample")
        with pytest.raises(OptionError, match="elsewhere= is for"):
            faithfulness(response, scores, elsewhere=scores)
        assert faithfulness(response, scores, SIZES, "resample", scores).kept.shape == (1, 4)

    def test_mismatch(self, response: Response) -> None:
        with pytest.raises(MismatchError, match="ranking belongs to another network"):
            faithfulness(response, tiny.values_of(torch.ones(1, 4)))
        with pytest.raises(MismatchError, match="holds 2 samples"):
            faithfulness(response, response.gradients.map(lambda g: torch.cat([g, g])))
