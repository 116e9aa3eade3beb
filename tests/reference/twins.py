"""Small networks, each with a twin: the same computation in plain PyTorch, spelled out.

A network is written as people write them: modules used twice, in place, as functions or methods. Its twin
is a function ``twin(model, x, rule)`` that passes every activation through ``rule(number, a)``, out of
place, and returns the output. Everything that critpath computes is compared with what the twin gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rule = Callable[[int, Tensor], Tensor]
Twin = Callable[[Any, Any, Rule], Tensor]


@dataclass(frozen=True)
class Case:
    """A network in float64 and eval mode, an input of three samples, its twin, and its site names.

    ``embedded`` gives what the network looks up for the tokens of an input; its twin takes that as well as tokens.
    """

    name: str
    model: nn.Module
    x: Any
    twin: Twin
    sites: tuple[str, ...]
    logits: Callable[[Any], Tensor] = lambda output: output
    embedded: Callable[[Any, Any], Any] = lambda model, x: x

    @property
    def start(self) -> Any:
        """The input with floating-point tensors for all that may move."""
        return self.embedded(self.model, self.x)

    @property
    def tokens(self) -> int:
        """Dimensions of the tokens, 0 where the input holds none."""
        return 0 if self.start is self.x else 2

    def __repr__(self) -> str:
        return self.name


# ------------------------------------------------------------------------------------- kinds of activation
class Plain(nn.Module):
    """conv, activation, pool, fully connected, activation, fully connected."""

    def __init__(self, first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.hidden = nn.Linear(12, 6)
        self.out = nn.Linear(6, 4)
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.conv(x))
        x = F.max_pool2d(x, 2).flatten(1)
        return self.out(self.second(self.hidden(x)))


def plain_twin(reference: Callable[[Tensor], Tensor]) -> Twin:
    def twin(model: Any, x: Tensor, rule: Rule) -> Tensor:
        a = rule(0, reference(model.conv(x)))
        b = rule(1, reference(model.hidden(F.max_pool2d(a, 2).flatten(1))))
        return model.out(b)

    return twin


def statement_relu(x: Tensor) -> Tensor:
    x.relu_()
    return x


def _prelu() -> nn.PReLU:
    return nn.PReLU(init=0.25).double()


def relu(z: Tensor) -> Tensor:
    return torch.where(z > 0, z, torch.zeros_like(z))


KINDS: dict[str, tuple[Callable[[], Callable[[Tensor], Tensor]], Callable[[Tensor], Tensor]]] = {
    "nn.ReLU": (lambda: nn.ReLU(), relu),
    "nn.ReLU in place": (lambda: nn.ReLU(inplace=True), relu),
    "F.relu": (lambda: F.relu, relu),
    "F.relu in place": (lambda: lambda z: F.relu(z, inplace=True), relu),
    "F.relu positional in place": (lambda: lambda z: F.relu(z, True), relu),
    "x.relu()": (lambda: lambda z: z.relu(), relu),
    "x.relu_()": (lambda: lambda z: z.relu_(), relu),
    "x.relu_() as a statement": (lambda: statement_relu, relu),
    "torch.relu": (lambda: torch.relu, relu),
    "torch.clamp(min=0)": (lambda: lambda z: torch.clamp(z, min=0), relu),
    "x.clamp_(0)": (lambda: lambda z: z.clamp_(0), relu),
    "x.clip(min=0.0)": (lambda: lambda z: z.clip(min=0.0), relu),
    "x.clamp_min(0)": (lambda: lambda z: z.clamp_min(0), relu),
    "F.threshold": (lambda: lambda z: F.threshold(z, 0.0, 0.0), relu),
    "ReLU6": (lambda: nn.ReLU6(), lambda z: z.clamp(0, 6)),
    "ReLU6 in place": (lambda: nn.ReLU6(inplace=True), lambda z: z.clamp(0, 6)),
    "clamp(0, 0.3)": (
        lambda: lambda z: torch.clamp(z, 0, 0.3),
        lambda z: torch.minimum(relu(z), 0.3 * torch.ones_like(z)),
    ),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.1), lambda z: torch.where(z > 0, z, 0.1 * z)),
    "PReLU": (_prelu, lambda z: torch.where(z > 0, z, 0.25 * z)),
    "hardtanh": (lambda: nn.Hardtanh(), lambda z: z.clamp(-1, 1)),
    "hardtanh in place": (lambda: F.hardtanh_, lambda z: z.clamp(-1, 1)),
    "hardswish": (lambda: nn.Hardswish(), lambda z: z * (z + 3).clamp(0, 6) / 6),
    "hardsigmoid": (lambda: nn.Hardsigmoid(), lambda z: (z + 3).clamp(0, 6) / 6),
    "GELU": (lambda: nn.GELU(), lambda z: z * 0.5 * (1 + torch.erf(z / 2**0.5))),
    "GELU tanh": (
        lambda: nn.GELU(approximate="tanh"),
        lambda z: 0.5 * z * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3))),
    ),
    "SiLU": (lambda: nn.SiLU(), lambda z: z / (1 + torch.exp(-z))),
    "SiLU in place": (lambda: nn.SiLU(inplace=True), lambda z: z / (1 + torch.exp(-z))),
    "ELU": (lambda: nn.ELU(), lambda z: torch.where(z > 0, z, torch.exp(z) - 1)),
    "Mish": (lambda: nn.Mish(), lambda z: z * torch.tanh(torch.log1p(torch.exp(z)))),
    "sigmoid": (lambda: torch.sigmoid, lambda z: 1 / (1 + torch.exp(-z))),
    "sigmoid in place": (lambda: lambda z: z.sigmoid_(), lambda z: 1 / (1 + torch.exp(-z))),
    "tanh": (lambda: nn.Tanh(), lambda z: 1 - 2 / (torch.exp(2 * z) + 1)),
    "softplus": (lambda: nn.Softplus(), lambda z: torch.log1p(torch.exp(z))),
}


def kind_case(name: str) -> Case:
    build, reference = KINDS[name]
    torch.manual_seed(3)
    model = Plain(build(), build()).double().eval()
    is_activation_module = type(model.first).__module__ == "torch.nn.modules.activation"
    sites = ("first#0", "second#0") if is_activation_module else ("#0", "#1")
    return Case(name, model, _x(3, 2, 6, 6), plain_twin(reference), sites)


# ------------------------------------------------------------------------------------------- architectures
class Reused(nn.Module):
    """One nn.ReLU, in place, used four times around two residual blocks, batch norms among them."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(4))
        self.relu = nn.ReLU(inplace=True)
        self.out = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        for i in (0, 2):
            y = self.relu(self.norms[i](self.convs[i](x)))
            y = self.norms[i + 1](self.convs[i + 1](y))
            y += x
            x = self.relu(y)
        return self.out(x.mean((2, 3)))


def reused_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    y = rule(0, relu(m.norms[0](m.convs[0](x))))
    x = rule(1, relu(m.norms[1](m.convs[1](y)) + x))
    y = rule(2, relu(m.norms[2](m.convs[2](x))))
    x = rule(3, relu(m.norms[3](m.convs[3](y)) + x))
    return m.out(x.mean((2, 3)))


class Overwritten(nn.Module):
    """Activations that the model overwrites after the call: += on a ReLU's output, ReLU on a view."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.one(x))
        h += 0.5
        g = self.two(h)
        g[:, :3].relu_()
        g[:, 3:].tanh_()
        return self.out(g * 2)


def overwritten_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    h = rule(0, relu(m.one(x))) + 0.5
    g = m.two(h)
    left, right = rule(1, relu(g[:, :3])), rule(2, torch.tanh(g[:, 3:]))
    return m.out(torch.cat([left, right], dim=1) * 2)


class DenseBranches(nn.Module):
    """A dense block and two branches joined by concatenation; a branch that the output ignores."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 2, 1), nn.Conv2d(4, 2, 3, padding=1), nn.Conv2d(6, 3, 1)
        self.aside, self.out = nn.Conv2d(2, 2, 1), nn.Linear(3, 4)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.act(self.a(x))], dim=1)
        x = torch.cat([x, F.relu(self.b(x))], dim=1)
        self.act(self.aside(x[:, :2]))
        return self.out(self.act(self.c(x)).mean((2, 3)))


def dense_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    x = torch.cat([x, rule(0, relu(m.a(x)))], dim=1)
    x = torch.cat([x, rule(1, relu(m.b(x)))], dim=1)
    rule(2, relu(m.aside(x[:, :2])))
    return m.out(rule(3, relu(m.c(x))).mean((2, 3)))


class Encoder(nn.Module):
    """nn.TransformerEncoderLayer, whose fast path hides the activation from plain inference."""

    def __init__(self, batch_first: bool, activation: str) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 6, activation=activation, batch_first=batch_first)
        self.out = nn.Linear(8, 4)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.batch_first else x.transpose(0, 1)
        return self.out(self.layer(x).mean(1 if self.batch_first else 0))


def encoder_twin(reference: Callable[[Tensor], Tensor]) -> Twin:
    def twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
        layer = m.layer
        q, k, v = F.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.transpose(-1, -2) / 2).softmax(-1)
        attended = layer.self_attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
        x = layer.norm1(x + attended)
        hidden = rule(0, reference(layer.linear1(x)))
        return m.out(layer.norm2(x + layer.linear2(hidden)).mean(1))

    return twin


class Attention(nn.Module):
    """nn.MultiheadAttention by hand, one query, with a residual MLP in GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down, self.out = nn.Linear(8, 5), nn.Linear(5, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + self.down(F.gelu(self.up(x)))
        return self.out(x[:, 0])


def attention_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    a = m.attention
    q, k, v = (
        t.unflatten(-1, (2, 4)).transpose(1, 2) for t in F.linear(x, a.in_proj_weight, a.in_proj_bias).chunk(3, -1)
    )
    x = x + a.out_proj(((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2))
    x = x + m.down(rule(0, KINDS["GELU"][1](m.up(x))))
    return m.out(x[:, 0])


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Linear(3, 5), nn.Linear(4, 5), nn.Linear(5, 4)

    def forward(self, left: Tensor, right: Tensor, scale: float = 1.0) -> Tensor:
        return self.out((self.left(left).relu() + torch.tanh(self.right(right))) * scale)


def two_inputs_twin(m: Any, x: Any, rule: Rule) -> Tensor:
    left, right = x
    return m.out(rule(0, relu(m.left(left))) + rule(1, torch.tanh(m.right(right))))


class KeywordOnly(TwoInputs):
    """Keyword-only arguments, an integer mask among them, and a dict as output."""

    def forward(self, *, left: Tensor, right: Tensor, mask: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        hidden = super().forward(left * mask, right)
        return {"logits": hidden, "hidden": hidden * 0}


def keyword_twin(m: Any, x: Any, rule: Rule) -> Tensor:
    return two_inputs_twin(m, (x["left"] * x["mask"], x["right"]), rule)


class Branching(nn.Module):
    """Which way it goes, and how often, depends on the data (all samples of a batch together)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2 if bool((x.abs().sum() >= 0).item()) else 1):
            x = F.relu(self.one(x))
        if x.detach().amax() > -1:
            x = torch.relu(self.two(x))
        return self.out(x)


def branching_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    x = rule(1, relu(m.one(rule(0, relu(m.one(x))))))
    return m.out(rule(2, relu(m.two(x))))


class Windows(nn.Module):
    """Windows folded into the batch, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.out = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        folded = x.reshape(len(x) * 5, 2, 4)
        y = self.down(F.silu(self.up(folded)))
        return self.out(y.reshape(len(x), 10, 4).mean(1))


def windows_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    hidden = rule(0, KINDS["SiLU"][1](m.up(x.unflatten(1, (5, 2)))))
    return m.out(m.down(hidden).flatten(1, 2).mean(1))


class Gated(nn.Module):
    """A learned gate that does not depend on the input, dropout, and one module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(5, 5)
        self.again = self.one
        self.gate = nn.Parameter(torch.randn(5))
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.relu(self.one(x)) * torch.sigmoid(self.gate))
        return self.out(F.relu(self.again(x)))


def gated_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    x = rule(0, relu(m.one(x))) * torch.sigmoid(m.gate)
    return m.out(rule(1, relu(m.one(x))))


class Reader(nn.Module):
    """Kim's network: filters of two widths over embeddings, the largest of each over time."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Embedding(11, 4, padding_idx=0)
        self.narrow, self.wide, self.out = nn.Conv1d(4, 3, 2), nn.Conv1d(4, 2, 3, padding=1), nn.Linear(5, 4)
        self.act = nn.ReLU()

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.look(tokens).transpose(1, 2)
        found = [self.act(layer(x)).amax(dim=2) for layer in (self.narrow, self.wide)]
        return self.out(torch.cat(found, dim=1))


def reader_embedded(m: Any, x: Tensor) -> Tensor:
    return x if x.is_floating_point() else m.look.weight[x].detach()


def reader_twin(m: Any, x: Tensor, rule: Rule) -> Tensor:
    x = reader_embedded(m, x).transpose(1, 2)
    found = [rule(i, relu(layer(x))).amax(dim=2) for i, layer in enumerate((m.narrow, m.wide))]
    return m.out(torch.cat(found, dim=1))


class TwoTables(nn.Module):
    """Tokens by keyword in two tables, once copied and once sequence first; positions, types and a mask beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.second = nn.Parameter(torch.randn(9, 4)), nn.Embedding(10, 3)
        self.places, self.kinds = nn.Embedding(6, 4), nn.Embedding(2, 4)
        self.up, self.down, self.out = nn.Linear(7, 5), nn.Linear(5, 4), nn.Linear(4, 4)

    def forward(self, attention_mask: Tensor, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[1])
        first = self.places(places) + self.table[input_ids.clone()] + self.kinds(token_type_ids)
        second = self.second((input_ids.t() + 1).int()).transpose(0, 1)
        hidden = first + self.down(F.gelu(self.up(torch.cat([first, second], dim=2))))
        kept = attention_mask.unsqueeze(2)
        return self.out((hidden * kept).sum(1) / kept.sum(1))


def tables_embedded(m: Any, x: dict[str, Tensor]) -> dict[str, Tensor]:
    if "first" in x:
        return x
    tokens = x["input_ids"]
    return {**x, "first": m.table[tokens].detach(), "second": m.second.weight[tokens + 1].detach()}


def tables_twin(m: Any, x: dict[str, Tensor], rule: Rule) -> Tensor:
    x = tables_embedded(m, x)
    first = x["first"] + m.places.weight[: x["first"].shape[1]] + m.kinds.weight[x["token_type_ids"]]
    hidden = first + m.down(rule(0, KINDS["GELU"][1](m.up(torch.cat([first, x["second"]], dim=2)))))
    kept = x["attention_mask"].unsqueeze(2)
    return m.out((hidden * kept).sum(1) / kept.sum(1))


def _tokens(*shape: int, below: int, seed: int = 5) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


def _x(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _randomised(model: nn.Module) -> nn.Module:
    """Batch-norm statistics as if trained, so that eval mode is not the identity."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return model.double().eval()


def _architectures() -> dict[str, Callable[[], Case]]:
    def case(name: str, model: nn.Module, x: Any, twin: Twin, *sites: str, **options: Any) -> Case:
        return Case(name, _randomised(model), x, twin, sites, **options)

    two = (_x(3, 3), _x(3, 4))
    keywords = {"left": two[0], "right": two[1], "mask": torch.ones(3, 3, dtype=torch.long)}
    gelu = KINDS["GELU"][1]
    ids = {"attention_mask": torch.ones(3, 5).long(), "input_ids": _tokens(3, 5, below=9),
           "token_type_ids": _tokens(3, 5, below=2)}  # fmt: skip
    ids["attention_mask"][1, 3:] = 0
    return {
        "reused": lambda: case("reused", Reused(), _x(3, 3, 5, 5), reused_twin, *(f"relu#{i}" for i in range(4))),
        "overwritten": lambda: case("overwritten", Overwritten(), _x(3, 5), overwritten_twin, "#0", "#1", "#2"),
        "dense": lambda: case(
            "dense", DenseBranches(), _x(3, 2, 4, 4), dense_twin, "act#0", "#0", "act#1", "act#2"
        ),
        "encoder": lambda: case("encoder", Encoder(True, "relu"), _x(3, 5, 8), encoder_twin(relu), "layer#0"),
        "sequence first": lambda: case(
            "sequence first", Encoder(False, "gelu"), _x(3, 3, 8), encoder_twin(gelu), "layer#0"
        ),
        "attention": lambda: case("attention", Attention(), _x(3, 5, 8), attention_twin, "#0"),
        "two inputs": lambda: case("two inputs", TwoInputs(), two, two_inputs_twin, "#0", "#1"),
        "keywords": lambda: case(
            "keywords", KeywordOnly(), keywords, keyword_twin, "#0", "#1", logits=lambda out: out["logits"]
        ),
        "branching": lambda: case("branching", Branching(), _x(3, 5), branching_twin, "#0", "#1", "#2"),
        "windows": lambda: case("windows", Windows(), _x(3, 10, 4), windows_twin, "#0"),
        "gated": lambda: case("gated", Gated(), _x(3, 5), gated_twin, "#0", "#2"),
        "tokens": lambda: case(
            "tokens", Reader(), _tokens(3, 7, below=11), reader_twin, "act#0", "act#1", embedded=reader_embedded
        ),
        "two tables": lambda: case(
            "two tables", TwoTables(), ids, tables_twin, "#0", embedded=tables_embedded
        ),
    }  # fmt: skip


ARCHITECTURES = tuple(_architectures())


def architecture(name: str) -> Case:
    torch.manual_seed(7)
    return _architectures()[name]()


def every_case() -> list[str]:
    return [*KINDS, *ARCHITECTURES]


def case_of(name: str) -> Case:
    """A fresh network each time: tests may change what they get."""
    return kind_case(name) if name in KINDS else architecture(name)
