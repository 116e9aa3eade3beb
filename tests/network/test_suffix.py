"""Reruns from one site on: by the exported graph, by a full forward, and by the twin, they are the same."""

from __future__ import annotations

import pytest
import torch
from tests.reference.twins import ARCHITECTURES, Case, case_of
from torch import Tensor, nn

import critpath as cp
from critpath.errors import MismatchError
from critpath.network.run import Run
from critpath.network.suffix import EXPORTED, suffix, suffix_execution

FALL_BACK = {"branching": "data-dependent", "windows": "batch"}
CASES = [*ARCHITECTURES, "x.relu_() as a statement", "ReLU6 in place", "hardtanh in place", "PReLU", "GELU tanh"]
SAMPLES = torch.tensor([2, 0, 0, 1])


def factors(n: int, values: Tensor) -> Tensor:
    return torch.linspace(0.5, 1.5, n, dtype=values.dtype).reshape(n, *[1] * (values.dim() - 1))


def scaled(run: Run, site: str, samples: Tensor) -> Tensor:
    values = run.values()[site][samples]
    return values * factors(len(samples), values)


def response(case: Case, run: Run) -> Tensor:
    return case.logits(run.output) @ torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def taken(x: object, samples: Tensor) -> object:
    if isinstance(x, dict):
        return {key: value[samples] for key, value in x.items()}
    return tuple(t[samples] for t in x) if isinstance(x, tuple) else x[samples]  # type: ignore[index]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10)


def by_twin(case: Case, number: int, values: Tensor, samples: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Output, activations, and their gradients; those before the site are zero."""
    seen: list[Tensor] = []

    def rule(i: int, a: Tensor) -> Tensor:
        leaf = values if i == number else a
        seen.append(leaf.detach().clone().requires_grad_() if i <= number else a)
        return a if i < number else seen[-1]

    with torch.enable_grad():
        output = case.twin(case.model, taken(case.x, samples), rule)
        total = (output @ torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(total, seen, allow_unused=True)
    return output, seen, [torch.zeros_like(a) if g is None else g for a, g in zip(seen, gradients, strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("samples", [torch.arange(3), SAMPLES, torch.tensor([1, 1])], ids=["own", "mixed", "same"])
def test_reruns_by_graph_by_full_forward_and_by_the_twin_are_equal(
    name: str, samples: Tensor, graphs: dict[str, tuple[Case, cp.Network, Run]]
) -> None:
    case, net, run = graphs[name]
    full = cp.Network(case.model, export=False)
    full_run = full.run(case.x)
    for number, site in enumerate(run.space.names):
        values = scaled(run, site, samples)
        output, seen, gradients = by_twin(case, number, values, samples)
        for own, of, first in (net, run, run), (full, full_run, full_run):
            rerun = suffix(own, case.x, of, site).run(values, samples)
            assert rerun.space == first.space
            assert rerun.batch == len(samples)
            assert not any(leaf is not None for leaf in rerun.inputs)
            assert rerun.activations[number].is_leaf
            assert any(seed is rerun.activations[number] for seed in rerun.seeds)
            close(case.logits(rerun.output).detach(), output.detach())
            found = rerun.read(response(case, rerun), lambda a, gradient: gradient)
            for value, slope, a, gradient in zip(rerun.values().tensors, found.tensors, seen, gradients, strict=True):
                close(value, a.detach())
                close(slope, gradient)


@pytest.fixture(scope="module")
def graphs() -> dict[str, tuple[Case, cp.Network, Run]]:
    """Every case with its network, exported once, and a run."""

    def made(name: str) -> tuple[Case, cp.Network, Run]:
        case = case_of(name)
        net = cp.Network(case.model, export=True)
        return case, net, net.run(case.x)

    return {name: made(name) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_what_exports_runs_as_a_graph_and_the_rest_says_why(
    name: str, graphs: dict[str, tuple[Case, cp.Network, Run]]
) -> None:
    case, net, run = graphs[name]
    how = suffix(net, case.x, run, case.sites[0]).how
    if name in FALL_BACK:
        assert how.startswith("full forward: torch.export fails")
        assert FALL_BACK[name] in how
    else:
        assert how == EXPORTED


@pytest.mark.parametrize("name", ["reused", "keywords", "branching"])
def test_without_a_graph_only_values_are_the_same(name: str, graphs: dict[str, tuple[Case, cp.Network, Run]]) -> None:
    case, net, run = graphs[name]
    for site in run.space.names:
        part = suffix(net, case.x, run, site)
        values = scaled(run, site, SAMPLES)
        plain, with_graph = part.run(values, SAMPLES, graph=False), part.run(values, SAMPLES)
        assert type(plain.output) is type(run.output)
        close(case.logits(plain.output).detach(), case.logits(with_graph.output).detach())
        for one, other in zip(plain.values().tensors, with_graph.values().tensors, strict=True):
            close(one, other)
        if part.how == EXPORTED:
            assert not any(a.requires_grad for a in plain.activations)


def test_only_what_lies_after_the_site_is_run(graphs: dict[str, tuple[Case, cp.Network, Run]]) -> None:
    case, net, run = graphs["reused"]
    base = suffix(net, case.x, run, "relu#0").base
    assert base is not None
    counts = [len(base.parts.after(position, graph=True).plan.steps) for position in range(4)]
    assert counts == sorted(counts, reverse=True)
    assert counts[3] < 5 < counts[0]


def test_the_model_is_left_as_it_was() -> None:
    case = case_of("reused")
    state = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    flags = [(p, p.requires_grad) for p in case.model.parameters()]
    attributes = [dict(m.__dict__) for m in case.model.modules()]
    random = torch.get_rng_state()
    net = cp.Network(case.model, export=True)
    run = net.run(case.x)
    suffix(net, case.x, run, "relu#1").run(scaled(run, "relu#1", SAMPLES), SAMPLES)
    assert all(torch.equal(state[name], tensor) for name, tensor in case.model.state_dict().items())
    assert [(p, p.requires_grad) for p in case.model.parameters()] == flags
    assert [list(m.__dict__) for m in case.model.modules()] == [list(a) for a in attributes]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in case.model.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in case.model.parameters())


def test_changed_weights_are_noticed() -> None:
    case = case_of("two inputs")
    net = cp.Network(case.model, export=True)
    run = net.run(case.x)
    part = suffix(net, case.x, run, "#0")
    assert part.how == EXPORTED
    values, own = scaled(run, "#0", torch.arange(3)), torch.arange(3)
    with torch.no_grad():
        case.model.right.weight.mul_(2)  # type: ignore[union-attr, operator]
    output, _, _ = by_twin(case, 0, values, own)
    close(part.run(values, own).output.detach(), output.detach())
    again = net.run(case.x)
    fresh = suffix(net, case.x, again, "#0")
    assert fresh.how == EXPORTED
    close(fresh.run(values, own).output.detach(), output.detach())


class WithHead(nn.Module):
    """Something after one ReLU, in the way of an export or of its proof."""

    def __init__(self, head: object) -> None:
        super().__init__()
        self.one, self.out, self.head = nn.Linear(4, 4), nn.Linear(4, 2), head

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.head(self.one(x).relu()))  # type: ignore[operator]


class Doubled(torch.autograd.Function):
    """The identity, with another gradient."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * gradient


@pytest.mark.parametrize(
    "head",
    [
        lambda a: Doubled.apply(a),
        lambda a: a.detach() * a,
        lambda a: a * 2 if torch._C._get_tracing_state() is None and not torch.compiler.is_exporting() else a * 3,
        lambda a: a - a.mean(0),
        lambda a: torch.from_numpy(a.detach().numpy()) + a,
        lambda a: a * 2 if a.detach().sum() > 1e9 else a,
    ],
    ids=["own gradient", "detached", "another way when exported", "samples mixed", "numpy", "depends on values"],
)
def test_what_the_graph_might_get_wrong_is_right(head: object) -> None:
    torch.manual_seed(0)
    model = WithHead(head).double().eval()
    x = torch.randn(3, 4, dtype=torch.float64)
    net, full = cp.Network(model, export=True), cp.Network(model, export=False)
    runs = []
    for own in (net, full):
        run = own.run(x)
        rerun = suffix(own, x, run, "#0").run(scaled(run, "#0", SAMPLES), SAMPLES)
        runs.append((rerun.output.detach(), rerun.read(rerun.output[:, 0], lambda a, g: g)["#0"]))
    close(runs[0][0], runs[1][0])
    close(runs[0][1], runs[1][1])


def test_reasons() -> None:
    case = case_of("two inputs")

    def how(net: cp.Network) -> str:
        return suffix(net, case.x, net.run(case.x), "#0").how

    assert how(cp.Network(case.model)) == "full forward: fewer than 100,000 neurons"
    assert how(cp.Network(case.model, export=False)) == "full forward: export=False"
    handle = case.model.left.register_forward_hook(lambda *_: None)  # type: ignore[union-attr, operator]
    assert how(cp.Network(case.model, export=True)) == "full forward: left has forward hooks"
    handle.remove()
    case.model.train()
    assert "training mode" in how(cp.Network(case.model, export=True, allow_training=True))


def test_one_line_for_the_doctor() -> None:
    case = case_of("two inputs")
    assert suffix_execution(cp.Network(case.model, export=True), case.x) == "reruns start at the site (exported graph)"
    line = suffix_execution(cp.Network(case.model), case.x)
    assert line == "reruns run the whole network: fewer than 100,000 neurons"


def test_a_site_that_is_not_called_is_named() -> None:
    case = case_of("two inputs")
    net = cp.Network(case.model)
    with pytest.raises(MismatchError, match="'#7'"):
        suffix(net, case.x, net.run(case.x), "#7")


def test_tokens_export_too() -> None:
    torch.manual_seed(0)
    model = (
        nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 5), nn.GELU(), nn.Flatten(), nn.Linear(15, 2)).double().eval()
    )
    x = torch.randint(0, 9, (2, 3))
    outputs = []
    for export in (True, False):
        net = cp.Network(model, export=export)
        run = net.run(x)
        part = suffix(net, x, run, "2#0")
        assert (part.how == EXPORTED) is export
        outputs.append(part.run(scaled(run, "2#0", torch.tensor([1, 0])), torch.tensor([1, 0])).output.detach())
    close(*outputs)


def test_a_torchvision_network_uses_the_exported_graph() -> None:
    from critpath.zoo import import_torchvision

    torch.manual_seed(0)
    model = import_torchvision().models.resnet18().eval()
    net, x = cp.Network(model), torch.randn(1, 3, 64, 64)
    run = net.run(x)
    assert run.space.neurons > 100_000
    part = suffix(net, x, run, "layer2.0.relu#0")
    assert part.how == EXPORTED
    samples = torch.zeros(2, dtype=torch.long)
    values = scaled(run, "layer2.0.relu#0", samples)
    full = cp.Network(model, export=False)
    expected = suffix(full, x, full.run(x), "layer2.0.relu#0").run(values, samples)
    torch.testing.assert_close(part.run(values, samples).output, expected.output, rtol=1e-4, atol=1e-4)
