"""Reruns of a network from one site on: only what lies after it is run, where the network exports as a graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from critpath.errors import MismatchError
from critpath.network.exported import Axis, Graph, NotExportedError, Plan, Values, export, flat, reason
from critpath.network.inputs import ModelInput, batch_size, map_tensors, samples_of, tensors_of
from critpath.network.run import Run
from critpath.network.state import gradients_on
from critpath.neurons import Site, wide

if TYPE_CHECKING:
    from critpath.network.model import Network

FROM_NEURONS = 100_000
"""Neurons per sample from which on an export pays."""

EXPORTED = "exported graph"


@dataclass(frozen=True, eq=False)
class Suffix:
    """The network from one site on, for the samples of one run.

    ``how`` is "exported graph", or "full forward: " and why the whole network is run each time. The results are
    the same.
    """

    net: Network
    x: ModelInput
    first: Run
    position: int
    how: str
    base: _Base | None

    def run(self, values: Tensor, samples: Tensor, graph: bool = True) -> Run:
        """Sample ``samples[i]`` of x with the site's activation replaced by ``values[i]``, for all i: a run of batch n.

        ``values`` is [n, *site.shape], ``samples`` [n] integers. The graph starts at the values: ``activations`` of
        the site is a leaf, and gradients are those at this site and later ones; earlier ones get zeros. Without
        ``graph`` nothing is kept for a backward pass. Where the weights are no longer those of the run, the whole
        network is run.
        """
        activation = self.first.activations[self.position]
        values = values.detach().to(activation, copy=True)
        leaf = self.first.layouts[self.position].from_samples(values)
        if self.base is None or self.net.fingerprint() != self.first.space.network:
            return _whole(self, leaf.requires_grad_(), samples, graph)  # sites are seen by their gradients
        rows = Rows(self.first.batch, tuple(samples.tolist()))
        with gradients_on(), torch.set_grad_enabled(graph):
            return self.base.run(self.first, self.position, leaf.requires_grad_(graph), rows, graph)


@dataclass
class Reruns:
    """What a network keeps for its reruns: its graphs, or why there is none, and values of runs still in use.

    ``export``: None exports where it pays, True wherever it can be done, False nowhere.
    """

    export: bool | None = None
    graphs: dict[object, Parts | str] = field(default_factory=dict)
    bases: WeakKeyDictionary[Run, tuple[_Base | None, str]] = field(default_factory=WeakKeyDictionary)


def suffix(net: Network, x: ModelInput, run: Run, site: str) -> Suffix:
    """Reruns of ``run`` (of ``x``) from one site on. Raises MismatchError for a site that it does not have."""
    position = run.space.position(site)
    if run not in net.reruns.bases:
        net.reruns.bases[run] = _based(net, x, run)
    base, how = net.reruns.bases[run]
    return Suffix(net, x, run, position, how, base)


def suffix_execution(net: Network, x: ModelInput) -> str:
    """How reruns of a network are run on this input, in a line."""
    run = net.run(x)
    how = suffix(net, x, run, run.space.names[0]).how
    return f"reruns start at the site ({how})" if how == EXPORTED else f"reruns run the whole network: {_why(how)}"


def _why(how: str) -> str:
    return how.partition(": ")[2]


# ------------------------------------------------------------------------------------------- the whole network
def _whole(suffix: Suffix, leaf: Tensor, samples: Tensor, graph: bool) -> Run:
    """By a rule at the site. What is before it is run again, but no gradient goes there."""
    first, position = suffix.first, suffix.position
    name, layout = first.space.names[position], first.layouts[position]

    def rule(site: Site, a: Tensor) -> Tensor:
        return layout.to_samples(leaf.clone(), len(samples)) if site.name == name else a

    with gradients_on():
        run = suffix.net.run(samples_of(suffix.x, samples), rule, graph)
    if difference := first.space.difference(run.space):
        raise MismatchError(f"changing {name} made the network take another way: {difference}")
    activations = (*run.activations[:position], leaf, *run.activations[position + 1 :])
    layouts = (*run.layouts[:position], layout, *run.layouts[position + 1 :])
    seeds = activations[position:]  # a later site may lie beside this one
    inputs = (None,) * len(run.inputs)
    return replace(run, inputs=inputs, lookups=(), seeds=seeds, activations=activations, layouts=layouts)


# ------------------------------------------------------------------------------------------- the exported graph
@dataclass(frozen=True)
class Rows:
    """Samples of a batch, repeated and in any order."""

    batch: int
    samples: tuple[int, ...]

    def of(self, value: Any, axis: Axis | None) -> Any:
        """The value for these samples; a view where they are all the same."""
        if axis is None or self.samples == tuple(range(self.batch)):
            return value
        if axis.each == 1:
            return self._pick(value, axis.dim)
        return self._pick(value.unflatten(axis.dim, (self.batch, axis.each)), axis.dim).flatten(axis.dim, axis.dim + 1)

    def _pick(self, value: Tensor, dim: int) -> Tensor:
        if len(set(self.samples)) > 1:
            return value.index_select(dim, torch.tensor(self.samples, device=value.device))
        sizes = [-1] * value.dim()
        sizes[dim] = len(self.samples)
        return value.narrow(dim, self.samples[0], 1).expand(sizes)


@dataclass(frozen=True)
class Part:
    """What lies after a site: its plan, and the later sites that lie beside it."""

    plan: Plan
    beside: tuple[int, ...]


class Parts:
    """The parts of a graph, one for each site, with the later sites' own dependants or without."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._parts: dict[tuple[int, bool], Part] = {}

    def after(self, position: int, graph: bool) -> Part:
        """With ``graph``, later sites that do not depend on this one are run from, too: they have gradients."""
        if (position, graph) not in self._parts:
            self._parts[position, graph] = self._after(position, graph)
        return self._parts[position, graph]

    @cached_property
    def reads(self) -> frozenset[int]:
        """All that some part reads, but sizes."""
        both = [self.after(p, graph).plan.reads for p in range(len(self.graph.sites)) for graph in (True, False)]
        return frozenset().union(*both) - self.graph.sizes.keys()

    @cached_property
    def everything(self) -> Plan:
        wanted = [*self.graph.sites, *self.graph.outputs()]
        return self.graph.plan({step.node for step in self.graph.steps}, wanted, self.reads)

    def _after(self, position: int, graph: bool) -> Part:
        later = self.graph.sites[position:]
        above = self.graph.above(later if graph else later[:1])
        beside = tuple(site for site in later[1:] if site not in above)
        return Part(self.graph.plan(above, [*later, *self.graph.outputs()]), beside)


class _Base:
    """A run's values that its reruns need. Raises NotExportedError where the graph gives others than the run."""

    def __init__(self, parts: Parts, weights: Values, x: ModelInput, run: Run) -> None:
        self.parts, self.graph = parts, parts.graph
        made = _evaluated(parts, weights, x)
        _check_values(made, parts.graph, run)
        own = {site: a.detach() for site, a in zip(self.graph.sites, run.activations, strict=True)}
        self.values: Values = {node: own[node] if node in own else made[node] for node in parts.reads | own.keys()}

    def of_rows(self, nodes: Iterable[int], rows: Rows) -> Values:
        """Values of some nodes for these samples."""
        return {node: rows.of(self.values[node], self.graph.axis(node)) for node in nodes}

    def run(self, first: Run, position: int, leaf: Tensor, rows: Rows, graph: bool) -> Run:
        """The rerun of ``first`` with ``leaf`` as the activation of the site, in the caller's gradient mode."""
        part, sites = self.parts.after(position, graph), self.graph.sites
        others = (part.plan.reads - self.graph.sizes.keys()).union(sites[:position], part.beside) - {sites[position]}
        values = self.of_rows(others, rows)
        apart = {n: values[n].detach().requires_grad_(graph) for n in (*sites[:position], *part.beside)}
        beside = {n: apart[n] for n in part.beside}
        values |= self.graph.size_values(part.plan.reads, len(rows.samples)) | {sites[position]: leaf} | beside
        part.plan.run(values)
        return replace(
            first,
            batch=len(rows.samples),
            output=self.graph.output(values),
            inputs=(None,) * len(first.inputs),
            lookups=(),
            seeds=(leaf, *beside.values()),
            activations=tuple((values | apart)[node] for node in sites),
        )


def _evaluated(parts: Parts, weights: Values, x: ModelInput) -> Values:
    """All that parts read, the sites and the outputs, for the samples of ``x``."""
    tensors = tensors_of(x)
    sizes = parts.graph.size_values(parts.graph.sizes, batch_size(x))
    with gradients_on(), torch.no_grad():
        values = {node: tensors[number].detach().clone() for node, number in parts.graph.inputs.items()}
        values |= weights | sizes
        parts.everything.run(values)
    return values


def _based(net: Network, x: ModelInput, run: Run) -> tuple[_Base | None, str]:
    try:
        parts = _parts_of(net, x, run)
        return _Base(parts, parts.graph.live(net.model), x, run), EXPORTED
    except NotExportedError as error:
        return None, f"full forward: {error}"


def _parts_of(net: Network, x: ModelInput, run: Run) -> Parts:
    _check_wanted(net, x, run)
    key = (net.fingerprint(), _structure(x), run.space.names)
    if key not in net.reruns.graphs:
        net.reruns.graphs[key] = _proved(net, x, run)
    found = net.reruns.graphs[key]
    if isinstance(found, str):
        raise NotExportedError(found)
    return found


def _check_wanted(net: Network, x: ModelInput, run: Run) -> None:
    wanted = net.reruns.export
    if wanted is False:
        raise NotExportedError("export=False")
    if wanted is None and run.space.neurons < FROM_NEURONS:
        raise NotExportedError(f"fewer than {FROM_NEURONS:,} neurons")
    if torch.is_autocast_enabled(tensors_of(x)[0].device.type):
        raise NotExportedError("autocast is on")


def _structure(x: ModelInput) -> object:
    """The input without its number of samples and its tensors' values."""
    batch = batch_size(x)

    def described(tensor: Tensor) -> object:
        batched = tensor.dim() > 0 and len(tensor) == batch
        return batched, tuple(tensor.shape[batched:]), tensor.dtype, tensor.device

    return repr(map_tensors(x, described))


# --------------------------------------------------------------------------------------------- and its proof
def _proved(net: Network, x: ModelInput, run: Run) -> Parts | str:
    """The parts of the exported graph, once they have given what the network gives; else what they do not."""
    try:
        parts = Parts(export(net, x, run.space.names))
        _check_layouts(parts.graph, run)
        weights = parts.graph.live(net.model)
        base = _Base(parts, weights, x, run)
        for samples, position in ([run.batch - 1, 0], 0), ([run.batch - 1], len(run.space) // 2):
            rows = Rows(run.batch, tuple(samples))
            _check_rows(base, _evaluated(parts, weights, samples_of(x, torch.tensor(samples))), rows)
            _check_rerun(Suffix(net, x, run, position, EXPORTED, base), rows)
    except Exception as error:  # whatever fails here, the whole network can still be run
        return reason(error, "the exported graph fails")
    return parts


def _check_layouts(graph: Graph, run: Run) -> None:
    """Samples lie in the sites' values as the network's layouts say."""
    for name, node, layout in zip(run.space.names, graph.sites, run.layouts, strict=True):
        axis = graph.axis(node)
        if axis is None or (axis.dim, axis.each > 1) != (layout.batch_dim, layout.folded):
            raise NotExportedError(f"the exported graph has another batch layout at {name}")


def _check_values(made: Values, graph: Graph, run: Run) -> None:
    """The whole graph gives the run's activations and its output."""
    for name, node, activation in zip(run.space.names, graph.sites, run.activations, strict=True):
        _check_same(made[node], activation.detach(), f"values at {name}")
    _check_outputs(graph.output(made), run.output)


def _check_outputs(output: Any, expected: Any) -> None:
    if type(output) is not type(expected) or len(flat(output)) != len(flat(expected)):
        raise NotExportedError(f"the exported graph returns another {type(expected).__name__}")
    for one, other in zip(flat(output), flat(expected), strict=True):
        _check_same(one, other, "outputs")


def _check_rows(base: _Base, made: Values, rows: Rows) -> None:
    """What is taken from the run for other samples is what the graph gives for these."""
    for node, value in base.of_rows(base.parts.reads.union(base.graph.sites), rows).items():
        _check_same(value, made[node], "values for samples in another order")


def _check_rerun(suffix: Suffix, rows: Rows) -> None:
    """With changed values, activations, outputs and gradients are those of the full forward."""
    samples = torch.tensor(rows.samples)
    values = suffix.first.values().tensors[suffix.position]
    values = 0.5 * values[samples.to(values.device)]
    whole = replace(suffix, base=None).run(values, samples)
    part = suffix.run(values, samples)
    for name, one, other in zip(part.space.names, part.activations, whole.activations, strict=True):
        _check_same(one.detach(), other.detach(), f"changed values at {name}")
    _check_outputs(part.output, whole.output)
    pairs = zip(_gradients(part, suffix.position), _gradients(whole, suffix.position), strict=True)
    for name, (one, other) in zip(part.space.names[suffix.position :], pairs, strict=True):
        if float((one - other).norm()) > 10 * _tolerance(one) * float(other.norm()):
            raise NotExportedError(f"the exported graph gives other gradients at {name}")


def _gradients(run: Run, position: int) -> list[Tensor]:
    """Of a sum of all outputs, with different weights, at this site and later ones."""
    outputs = [t for t in flat(run.output) if isinstance(t, Tensor) and t.requires_grad]
    sites = list(run.activations[position:])
    weights = [torch.arange(t.numel(), device=t.device).cos().reshape(t.shape).to(t.dtype) for t in outputs]
    found = torch.autograd.grad(outputs, sites, weights, allow_unused=True) if outputs else [None] * len(sites)
    return [wide(torch.zeros_like(a) if g is None else g) for g, a in zip(found, sites, strict=True)]


def _check_same(value: Any, expected: Any, what: str) -> None:
    if not _same(value, expected):
        raise NotExportedError(f"the exported graph gives other {what}")


def _same(value: Any, expected: Any) -> bool:
    if not isinstance(value, Tensor) or not isinstance(expected, Tensor):
        return type(value) is type(expected) and bool(value == expected)
    if (value.dtype, value.shape, value.device) != (expected.dtype, expected.shape, expected.device):
        return False
    value, expected = value.detach(), expected.detach()
    if not value.is_floating_point():
        return torch.equal(value, expected)
    size = float(expected.abs().nan_to_num(0, 0, 0).max()) if expected.numel() else 0.0
    return torch.allclose(value, expected, _tolerance(value), _tolerance(value) * size, equal_nan=True)


def _tolerance(value: Tensor) -> float:
    return float(torch.finfo(value.dtype).eps ** 0.5)
