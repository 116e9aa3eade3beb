"""A network as a graph of operations (``torch.export``), of which any part can be run."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import Node
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from critpath.network.inputs import ModelInput, batch_size, map_tensors, samples_of, tensors_of
from critpath.network.observer import Call, Observer
from critpath.network.state import Modules, untouched
from critpath.network.wrappers import eager

if TYPE_CHECKING:
    from critpath.network.model import Network

_aten = torch.ops.aten
SAME_VALUES: dict[object, Callable[..., Any]] = {
    _aten.clone.default: lambda tensor, **options: _aten.alias.default(tensor),  # nothing is written in place
    _aten.copy.default: lambda to, values, *options: _aten.expand.default(values.to(to.dtype), to.shape),
    _aten.view.default: _aten.reshape.default,  # rows of one sample are expanded, not copied
    _aten._unsafe_view.default: _aten.reshape.default,
}
"""Operations that are run as others, which give the same."""


class NotExportedError(Exception):
    """Says in a few words why a network is not run as a graph."""


@dataclass(frozen=True)
class Ref:
    """The value of the node of this number."""

    node: int


@dataclass(frozen=True)
class Axis:
    """The dimension of a value that counts samples, ``each`` entries for one of them."""

    dim: int
    each: int


@dataclass(frozen=True)
class Step:
    """One operation; ``arguments`` are positional ones and keyword ones with ``Ref`` in them."""

    node: int
    function: Callable[..., Any]
    arguments: tuple[Any, Mapping[str, Any]]
    reads: frozenset[int]


Values = dict[int, Any]
"""Values of nodes by number."""


@dataclass(frozen=True)
class Plan:
    """Steps in order, what each frees after it, the nodes that are read and not made, and sizes among these."""

    steps: tuple[Step, ...]
    frees: tuple[tuple[int, ...], ...]
    reads: frozenset[int]

    def run(self, values: Values) -> None:
        """Adds what the steps make to ``values``, and takes out what no one wants any more."""
        for step, frees in zip(self.steps, self.frees, strict=True):
            args, kwargs = step.arguments
            filled = {name: _filled(value, values) for name, value in kwargs.items()} if kwargs else {}
            values[step.node] = step.function(*[_filled(arg, values) for arg in args], **filled)
            for node in frees:
                del values[node]


@dataclass(frozen=True, eq=False)
class Graph:
    """Operations in order, and the nodes that stand for inputs, weights, sizes, sites and outputs.

    ``axes`` says for each tensor where its samples are: an ``Axis``, None where it has none, and no entry
    where that cannot be told. ``sizes`` are integers that follow from the number of samples.
    """

    steps: tuple[Step, ...]
    inputs: dict[int, int]
    weights: dict[int, str]
    constants: dict[int, Tensor]
    sizes: dict[int, Callable[[int], int]]
    axes: dict[int, Axis | None]
    sites: tuple[int, ...]
    results: tuple[Any, ...]
    spec: Any

    def outputs(self) -> list[int]:
        return [result.node for result in self.results if isinstance(result, Ref)]

    def live(self, model: nn.Module) -> Values:
        """The model's own weights and buffers, without their gradients, and the constants."""
        return {node: _weight(model, name).detach() for node, name in self.weights.items()} | self.constants

    def output(self, values: Values) -> Any:
        """What the model returns."""
        return tree_unflatten([_filled(result, values) for result in self.results], self.spec)[0]

    def axis(self, node: int) -> Axis | None:
        """Where the samples are in a node's value, None where all share it. Raises NotExportedError."""
        if node in self.weights or node in self.constants:
            return None
        if node not in self.axes:
            raise NotExportedError("the exported graph holds values in which samples cannot be told apart")
        return self.axes[node]

    def size_values(self, reads: Iterable[int], samples: int) -> Values:
        """Those of the nodes read that are sizes, for so many samples."""
        return {node: self.sizes[node](samples) for node in reads if node in self.sizes}

    def above(self, roots: Iterable[int]) -> set[int]:
        """All nodes that depend on one of these."""
        reached, found = set(roots), set()
        for step in self.steps:
            if not reached.isdisjoint(step.reads):
                reached.add(step.node)
                found.add(step.node)
        return found

    def plan(self, inside: set[int], wanted: Iterable[int], kept: Iterable[int] = ()) -> Plan:
        """How to make ``wanted`` from nodes ``inside`` alone. ``kept`` are not freed, and nor are they."""
        needed = set(wanted)
        keep, steps = needed | set(kept), []
        for step in reversed(self.steps):
            if step.node in needed and step.node in inside:
                steps.append(step)
                needed |= step.reads
        made = {step.node for step in steps}
        return Plan(tuple(steps[::-1]), tuple(_frees(steps, made - keep)[::-1]), frozenset(needed - made))


def export(net: Network, x: ModelInput, sites: Sequence[str]) -> Graph:
    """The network's graph for any number of samples like those of ``x``. Raises NotExportedError."""
    modules = dict(net.model.named_modules())
    _check_exportable(modules)
    batch = batch_size(x)
    two = samples_of(x, torch.tensor([0, batch - 1]))
    dim = Dim("batch")
    shapes = [{0: dim} if t.dim() and len(t) == batch else None for t in tensors_of(x)]
    with untouched(modules), eager(), _quiet(), _same_attributes(modules):
        tensors = [t.detach().clone().requires_grad_(t.is_floating_point()) for t in tensors_of(two)]
        try:
            wrapped = _Marked(net, two, sites).eval()
            program = torch.export.export(wrapped, (tensors,), dynamic_shapes=(shapes,), strict=False)
            return _Reader(program.run_decompositions({}), sites).graph()
        except Exception as error:
            raise NotExportedError(reason(error, "torch.export fails")) from error


class _Marked(nn.Module):
    """The model, which also returns the activation of every site."""

    def __init__(self, net: Network, x: ModelInput, sites: Sequence[str]) -> None:
        super().__init__()
        self.model = net.model
        self.net, self.x, self.sites = net, x, sites

    def forward(self, tensors: list[Tensor]) -> tuple[Any, list[Tensor]]:
        """``tensors`` are those of the input, in order."""
        waiting, found = iter(tensors), dict[str, Tensor]()

        def mark(call: Call) -> Tensor:
            found[call.name] = call.tensor.clone()
            return found[call.name].clone() if call.name in self.sites else call.tensor

        floats = any(t.is_floating_point() for t in tensors)
        observer = Observer(mark, frozenset(), self.net.also, floats, attention=self.net.attention)
        arguments = map_tensors(self.x, lambda _: next(waiting))
        output = self.net.call(observer, dict(self.model.named_modules()), arguments)
        if missing := [name for name in self.sites if name not in found]:
            raise NotExportedError(f"the exported graph has no {missing[0]}")
        return output, [found[name] for name in self.sites]


class _Reader:
    """Reads an exported program."""

    def __init__(self, program: ExportedProgram, sites: Sequence[str]) -> None:
        self._program, self._sites = program, len(sites)
        self._nodes = list(program.graph.nodes)
        self._numbers = {node: number for number, node in enumerate(self._nodes)}
        self._inputs: dict[int, int] = {}
        self._weights: dict[int, str] = {}
        self._constants: dict[int, Tensor] = {}

    def graph(self) -> Graph:
        """Raises NotExportedError where the graph holds what cannot be run in parts."""
        self._read_placeholders()
        sites = self._read_sites()
        symbol = self._batch_symbol()
        numbered = list(enumerate(self._nodes))
        sizes = {n: _size(node.meta["val"], symbol) for n, node in numbered if _is_size(node)}
        steps = [self._step(n, node) for n, node in numbered if node.op == "call_function" and n not in sizes]
        axes = {n: _axis(node.meta["val"], symbol) for n, node in numbered if _has_axis(node, symbol)}
        spec = self._program.call_spec.out_spec
        return Graph(
            tuple(steps), self._inputs, self._weights, self._constants, sizes, axes, sites, tuple(self._results()), spec
        )

    def _read_placeholders(self) -> None:
        placeholders = [n for n, node in enumerate(self._nodes) if node.op == "placeholder"]
        for node, spec in zip(placeholders, self._program.graph_signature.input_specs, strict=True):
            target = str(spec.target)
            if spec.kind is InputKind.USER_INPUT:
                self._inputs[node] = len(self._inputs)
            elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
                self._weights[node] = target.removeprefix("model.")
            elif spec.kind is InputKind.CONSTANT_TENSOR:
                self._constants[node] = self._program.constants[target].detach()
            else:
                raise NotExportedError(f"the exported graph takes a {spec.kind.name.lower()}")

    def _read_sites(self) -> tuple[int, ...]:
        """The sites' nodes; the copies with which the model went on are they themselves."""
        results = self._results()
        marks = {self._nodes[mark.node]: mark.node for mark in results[len(results) - self._sites :]}
        if len(marks) < self._sites:
            raise NotExportedError("two sites are one node of the exported graph")
        for node in self._nodes:
            number = self._numbers.get(_copied(node), -1)
            if node not in marks and number in marks.values():
                self._numbers[node] = number
        return tuple(marks.values())

    def _batch_symbol(self) -> Any:
        shapes = [self._nodes[n].meta["val"].shape for n in self._inputs]
        found = {shape[0].node.expr for shape in shapes if shape and isinstance(shape[0], torch.SymInt)}
        if len(found) != 1:
            raise NotExportedError("the exported graph is for one batch size")
        return found.pop()

    def _step(self, number: int, node: Node) -> Step:
        if not callable(node.target) or not _can_run(node.target):
            raise NotExportedError(f"the exported graph calls {node.target}")
        function = SAME_VALUES.get(node.target, node.target)
        args, kwargs = tree_map_only(Node, lambda n: Ref(self._numbers[n]), (tuple(node.args), dict(node.kwargs)))
        reads = frozenset(self._numbers[n] for n in node.all_input_nodes)
        return Step(number, function, (args, kwargs), reads)

    def _results(self) -> list[Any]:
        kinds = [spec.kind for spec in self._program.graph_signature.output_specs]
        pairs = zip(kinds, self._nodes[-1].args[0], strict=True)
        own = [value for kind, value in pairs if kind is OutputKind.USER_OUTPUT]
        return [Ref(self._numbers[value]) if isinstance(value, Node) else value for value in own]


def flat(output: Any) -> list[Any]:
    """The tensors and other values that an output is made of."""
    return list(tree_flatten(output)[0])


def reason(error: BaseException, what: str) -> str:
    """Why there is no graph, in a few words: the innermost cause."""
    while not isinstance(error, NotExportedError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, NotExportedError):
        return str(error)
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{what} ({type(error).__name__}: {first[:80]})"


def _check_exportable(modules: Modules) -> None:
    for name, module in modules.items():
        if module.training:
            raise NotExportedError(f"{name or 'the model'} is in training mode")
        if module._forward_hooks or module._forward_pre_hooks:
            raise NotExportedError(f"{name or 'the model'} has forward hooks")


def _can_run(target: object) -> bool:
    if target is operator.getitem:
        return True
    if not isinstance(target, OpOverload) or target is _aten.as_strided.default:
        return False
    return not target._schema.is_mutable


def _copied(node: Node) -> Any:
    """What a node is a mere copy of; None for others."""
    if node.target is _aten.clone.default:
        return node.args[0]
    if node.target is _aten.copy.default:  # as large as what it is written over, and of its dtype
        over, values = (arg.meta["val"] for arg in node.args[:2] if isinstance(arg, Node))
        return node.args[1] if (over.shape, over.dtype) == (values.shape, values.dtype) else None
    return None


def _is_size(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool) or (
        node.op == "call_function" and isinstance(node.meta.get("val"), int | float)
    )


def _size(value: Any, symbol: Any) -> Callable[[int], int]:
    """The value of a symbolic integer as a function of the number of samples."""
    if isinstance(value, int | float):
        return lambda samples: value  # type: ignore[return-value]
    expression = value.node.expr
    if not isinstance(value, torch.SymInt) or not expression.free_symbols <= {symbol}:
        raise NotExportedError("sizes in the exported graph depend on values")
    known: dict[int, int] = {}

    def size(samples: int) -> int:
        if samples not in known:
            known[samples] = int(expression.subs(symbol, samples))
        return known[samples]

    return size


def _has_axis(node: Node, symbol: Any) -> bool:
    """Whether it can be told where the samples are."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and all(e % symbol == 0 for _, e in _symbolic(value)) and len(_symbolic(value)) < 2


def _axis(value: Tensor, symbol: Any) -> Axis | None:
    return next((Axis(dim, int(expression / symbol)) for dim, expression in _symbolic(value)), None)


def _symbolic(value: Tensor) -> list[tuple[int, Any]]:
    sizes: list[Any] = list(value.shape)
    return [(dim, size.node.expr) for dim, size in enumerate(sizes) if isinstance(size, torch.SymInt)]


def _weight(model: nn.Module, name: str) -> Tensor:
    module, _, attribute = name.rpartition(".")
    tensor = getattr(model.get_submodule(module), attribute)
    assert isinstance(tensor, Tensor)
    return tensor


def _filled(argument: Any, values: Values) -> Any:
    if type(argument) is Ref:
        return values[argument.node]
    if isinstance(argument, list | tuple):
        return [_filled(part, values) for part in argument]
    return argument


def _frees(backwards: list[Step], may_go: set[int]) -> list[tuple[int, ...]]:
    """For steps in reverse order, the nodes that no later one reads."""
    rows, left = [], set(may_go)
    for step in backwards:
        last = (step.reads | {step.node}) & left
        left -= last
        rows.append(tuple(last))
    return rows


@contextmanager
def _quiet() -> Iterator[None]:
    """Whatever torch.export says meanwhile is not shown: a failure has a reason of its own."""
    with ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.ERROR)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(StringIO()))
        stack.enter_context(redirect_stderr(StringIO()))
        yield


@contextmanager
def _same_attributes(modules: Modules) -> Iterator[None]:
    """What the model writes into its modules while it is traced is taken back."""
    before = [(module, dict(module.__dict__)) for module in modules.values()]
    try:
        yield
    finally:
        for module, attributes in before:
            module.__dict__.clear()
            module.__dict__.update(attributes)
