"""Which tensors a forward pass uses, in which order: models written in every way that people write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.network.test_untouched import assert_untouched, state_of
from tests.tiny import numbers
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from critpath.errors import ForwardError, UnsupportedModelError
from critpath.network import Network, Use, parameter_usage


def built(architecture: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return architecture().double().eval()


def used(model: nn.Module, x: Any) -> list[str]:
    return [use.name for use in parameter_usage(model, x) if use.used]


def unused(model: nn.Module, x: Any) -> list[str]:
    return [use.name for use in parameter_usage(model, x) if not use.used]


class HeadFirst(nn.Module):
    """The head is registered first, the stem last; one layer is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.spare = nn.Linear(4, 4)
        self.norm = nn.BatchNorm2d(4)
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stem(x)).relu().mean(dim=(2, 3)))


class Attention(nn.Module):
    """A class token, torch's attention, an encoder layer, a head; weights are read as functions of them too."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        return self.head(self.layer(x + self.mix(x, x, x, need_weights=False)[0])[:, 0])


class Tied(nn.Module):
    """The head shares its weight with the embedding, the last bias with the first, transposed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.middle = nn.Linear(4, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.turned = nn.Parameter(self.middle.weight.data.t())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.embed(x)).relu().mean(dim=1) @ self.turned)


class Functional(nn.Module):
    """Nothing but functions on parameters that it reads in odd ways, and metadata of one that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 5)
        self.looked_at = nn.Parameter(torch.zeros(7))
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.shift = nn.Parameter(torch.randn(5))
        self.pieces = nn.ParameterList([nn.Parameter(torch.randn(5, 5)) for _ in range(2)])
        self.register_buffer("offset", torch.ones(5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.looked_at.dtype) * self.scale.item()
        assert self.looked_at.shape == (7,)
        x = torch.matmul(x, self.inner.weight.T) + self.shift.data
        return torch.linalg.multi_dot([x, *self.pieces]) + torch.stack([self.offset])


def lstm() -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(6, 4, batch_first=True)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    return Recurrent()


def parametrised() -> nn.Module:
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(6, 5)), nn.ReLU(), parametrizations.spectral_norm(nn.Linear(5, 4))
    )


IMAGES = numbers(2, 3, 8, 8)
TOKENS = numbers(2, 5, 8)
WORDS = torch.tensor([[0, 3, 5], [1, 1, 2]])


def test_order_is_that_of_execution() -> None:
    model = built(HeadFirst)
    norm = {"norm.running_mean", "norm.running_var", "norm.weight", "norm.bias"}
    order = used(model, IMAGES)
    assert order[:2] == ["stem.weight", "stem.bias"]
    assert set(order[2:6]) == norm
    assert order[6:] == ["head.weight", "head.bias"]
    assert unused(model, IMAGES) == ["spare.weight", "spare.bias", "norm.num_batches_tracked"]


def test_every_tensor_is_there_once() -> None:
    model = built(HeadFirst)
    uses = parameter_usage(model, IMAGES)
    names = [name for use in uses for name in (use.name, *use.also)]
    assert sorted(names) == sorted(dict(model.named_parameters()) | dict(model.named_buffers()))
    assert {use.name: use.shape for use in uses} == {n: tuple(t.shape) for n, t in model.state_dict().items()}
    assert {use.name for use in uses if use.kind == "buffer"} == set(dict(model.named_buffers()))


@pytest.mark.parametrize("gradients", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_attention(gradients: Callable[[], Any]) -> None:
    """Also where torch takes its fused path, which runs no module: projections and the token are seen."""
    model = built(Attention)
    with gradients():
        order = used(model, TOKENS)
    assert unused(model, TOKENS) == []
    assert order[0] == "token"
    assert order[1:5] == ["mix.in_proj_weight", "mix.in_proj_bias", "mix.out_proj.weight", "mix.out_proj.bias"]
    assert order[-2:] == ["head.weight", "head.bias"]
    assert all(name.startswith("layer.") for name in order[5:-2])


def test_tied_tensors_are_one() -> None:
    torch.manual_seed(0)
    model = Tied().eval()  # not moved to another type, which would part what is tied by memory only
    uses = {use.name: use for use in parameter_usage(model, WORDS)}
    assert uses["embed.weight"].also == ("head.weight",)
    assert {"turned", *uses["turned"].also} == {"turned", "middle.weight"}
    assert set(uses) == {"embed.weight", "turned", "middle.bias"}
    first, last = uses["embed.weight"].first, uses["embed.weight"].last
    assert first is not None
    assert last is not None
    assert first == min(u.first for u in uses.values() if u.first is not None)
    assert last == max(u.last for u in uses.values() if u.last is not None)


def test_functions() -> None:
    model = built(Functional)
    x = numbers(2, 6)
    assert used(model, x) == ["scale", "inner.weight", "shift", "pieces.0", "pieces.1", "offset"]
    assert unused(model, x) == ["looked_at", "inner.bias"]


def test_recurrent_and_parametrised() -> None:
    model = built(lstm)
    assert used(model, numbers(2, 5, 6)) == list(dict(model.named_parameters()))
    model = built(parametrised)
    uses = {use.name: use for use in parameter_usage(model, numbers(2, 6))}
    assert all(use.used for use in uses.values() if use.kind == "parameter")
    assert uses["0.parametrizations.weight.original0"].module == "0"
    assert uses["2.bias"].module == "2"


def test_inside_a_custom_function() -> None:
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
            return x @ weight

    class Custom(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 3))

        def forward(self, x: Tensor) -> Tensor:
            return Product.apply(x, self.weight)

    assert used(built(Custom), numbers(2, 6)) == ["weight"]


def test_used_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.other = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(self.other(self.shared(x)))

    shared, other = parameter_usage(built(Twice), numbers(2, 6))
    assert (shared.first, shared.last, other.first, other.last) == (0, 2, 1, 1)


def test_pieces_of_one_memory() -> None:
    """Parameters side by side in one memory are told apart; a view of them that is no parameter counts for both."""

    class Slices(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = [torch.randn(18)]
            self.a, self.b, self.c = (nn.Parameter(part) for part in self.memory[0].split(6))
            self.view: list[Tensor] = []

        def forward(self, x: Tensor) -> Tensor:
            return x * self.b if not self.view else x.sum() * self.view[0].square()

    torch.manual_seed(0)
    model = Slices().eval()  # not moved to another type, which would copy
    assert used(model, numbers(2, 6)) == ["b"]
    assert unused(model, numbers(2, 6)) == ["a", "c"]
    for low, high, expected in ((0, 6, ["a"]), (11, 13, ["b", "c"])):
        model.view = [model.memory[0][low:high]]
        assert used(model, numbers(2, 6)) == expected


def test_training_mode_leaves_no_trace() -> None:
    model = nn.Sequential(built(HeadFirst), nn.Dropout()).train()
    before = state_of(model)
    assert "0.norm.num_batches_tracked" in used(model, IMAGES)
    assert_untouched(before, model)


@pytest.mark.parametrize(
    ("architecture", "x"), [(HeadFirst, IMAGES), (Attention, TOKENS), (Tied, WORDS), (parametrised, numbers(2, 6))]
)
def test_the_model_is_left_as_it_was(architecture: Callable[[], nn.Module], x: Tensor) -> None:
    model = built(architecture)
    before, kept = state_of(model), x.clone()
    parameter_usage(model, x)
    assert_untouched(before, model)
    assert torch.equal(x, kept)


def test_a_model_that_raises() -> None:
    model = built(HeadFirst)
    before = state_of(model)
    with pytest.raises(ForwardError, match="HeadFirst cannot run this input"):
        parameter_usage(model, numbers(2, 5, 8, 8))
    assert_untouched(before, model)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
def test_what_may_be_given() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(6, 3)

        def forward(self, *, values: Tensor) -> Tensor:
            return F.relu(self.body(values))

    model = built(Named)
    expected = parameter_usage(model, {"values": numbers(2, 6)})
    assert isinstance(expected[0], Use)
    assert parameter_usage(Network(model), {"values": numbers(2, 6)}) == expected
    with pytest.raises(UnsupportedModelError, match="TorchScript"):
        parameter_usage(torch.jit.trace(built(lambda: nn.Linear(6, 3)), numbers(2, 6)), numbers(2, 6))
