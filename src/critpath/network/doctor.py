"""What is seen of a network, what is not and why, and what each method will cost."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node, saved_tensors_hooks

from critpath.network.activations import known_kinds
from critpath.network.inputs import ModelInput, batch_size, call_arguments, map_tensors
from critpath.network.state import untouched
from critpath.network.suffix import suffix_execution
from critpath.neurons import NeuronSpace, Site
from critpath.registry import FAMILIES

if TYPE_CHECKING:
    from critpath.network.model import Network
    from critpath.network.observer import Call, Observer

_UNSEEN_NODES = {
    "MaxPool": "max-pooling: piecewise linear, with boundaries of its own and no neurons",
    "AdaptiveMaxPool": "max-pooling: piecewise linear, with boundaries of its own and no neurons",
    "Where": "torch.where: if it rectifies, write it as an activation function to make it a site",
    "Maximum": "torch.maximum: if it rectifies, write it as an activation function to make it a site",
    "Minimum": "torch.minimum: if it clips, write it as an activation function to make it a site",
    "Clamp": "torch.clamp between other bounds than 0: no site",
    "Abs": "abs: piecewise linear, and no neurons",
    "Softmax": "softmax: attention weights or probabilities are no neurons",
    "LogSoftmax": "softmax: attention weights or probabilities are no neurons",
}
_ACTIVATION_NODES = (
    "Relu", "Sigmoid", "Tanh", "Gelu", "Silu", "Elu", "Mish", "Hardswish", "Hardtanh", "LeakyRelu",
    "PreluKernel", "Softplus", "Threshold", "Hardsigmoid",
)  # fmt: skip


@dataclass(frozen=True)
class SiteReport:
    """One site, and how the model wrote it; ``reused`` says that its module is called more than once."""

    site: Site
    module: str
    functional: bool
    in_place: bool
    reused: bool


@dataclass(frozen=True)
class Prediction:
    """What one method will cost for the batch that was examined."""

    family: str
    method: str
    forwards: int
    backwards: int
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Diagnosis:
    """The doctor's report; ``print`` it, or take its fields.

    ``identical``: the output with observation equals the plain one bit for bit; otherwise ``deviation`` is
    the largest absolute difference. ``not_covered`` pairs what was found with the reason. ``reruns`` says whether
    methods that rerun the network from a site on (intgrad, ablation, shapley) run only what lies above it.
    ``lookups`` are the modules that look up the input's tokens.
    """

    model: str
    fingerprint: str
    batch: int
    sites: tuple[SiteReport, ...]
    not_covered: tuple[tuple[str, str], ...]
    identical: bool
    deviation: float
    predictions: tuple[Prediction, ...]
    reruns: str = ""
    lookups: tuple[str, ...] = ()

    @property
    def neurons(self) -> int:
        return sum(report.site.neurons for report in self.sites)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def diagnose(net: Network, x: ModelInput) -> Diagnosis:
    """Run ``x`` plainly and observed, forward and backward, and report; see ``Network.doctor``."""
    batch = batch_size(x)
    space = net.sites(x)
    plain = _plain_output(net, x)
    observer, output, forward, saved = _timed_forward(net, x)
    unseen = _unseen(observer, output)
    backward = _timed_backward(observer, output)
    deviation = _deviation(plain, output)
    return Diagnosis(
        model=type(net.model).__name__,
        fingerprint=net.fingerprint(),
        batch=batch,
        sites=_site_reports(observer.calls, {site.name: site for site in space}),
        not_covered=tuple(_not_covered(net, observer, batch) + unseen),
        identical=deviation == 0,
        deviation=deviation,
        predictions=tuple(_predictions(forward, backward, saved, space, batch)),
        reruns=suffix_execution(net, x),
        lookups=tuple(lookup.module or "the model" for lookup in observer.lookups),
    )


def _plain_output(net: Network, x: ModelInput) -> Any:
    args, kwargs = call_arguments(map_tensors(x, torch.clone))
    with untouched(dict(net.model.named_modules())), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the observed runs show what the model warns of
        return net.model(*args, **kwargs)


def _timed_forward(net: Network, x: ModelInput) -> tuple[Observer, Any, float, int]:
    parameters = {p.untyped_storage().data_ptr() for p in net.model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        net.observe(x)
    start = time.perf_counter()
    observer, output, _ = net.observe(x)
    _wait(output)
    return observer, output, time.perf_counter() - start, sum(kept.values())


def _timed_backward(observer: Observer, output: Any) -> float:
    sources = [call.tensor for call in observer.calls]
    total = sum(t.sum() for t in _output_tensors(output) if t.requires_grad)
    if not isinstance(total, Tensor):
        return 0.0
    start = time.perf_counter()
    torch.autograd.grad(total, sources, allow_unused=True)
    _wait(output)
    return time.perf_counter() - start


def _wait(output: Any) -> None:
    if any(t.is_cuda for t in _output_tensors(output)):
        torch.cuda.synchronize()


def _output_tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    parts = output.values() if hasattr(output, "values") else output if isinstance(output, list | tuple) else ()
    return [tensor for part in parts for tensor in _output_tensors(part)]


def _deviation(plain: Any, observed: Any) -> float:
    pairs = zip(_output_tensors(plain), _output_tensors(observed), strict=True)
    worst = [0.0 if torch.equal(a, b) else float((a - b).detach().abs().max()) for a, b in pairs]
    return max(worst, default=0.0)


def _site_reports(calls: list[Call], sites: dict[str, Site]) -> tuple[SiteReport, ...]:
    times = Counter(call.name.rpartition("#")[0] for call in calls)
    return tuple(
        SiteReport(
            sites[call.name],
            call.module,
            call.functional,
            call.in_place,
            not call.functional and times[call.name.rpartition("#")[0]] > 1,
        )
        for call in calls
        if call.name in sites
    )


def _not_covered(net: Network, observer: Observer, batch: int) -> list[tuple[str, str]]:
    calls = [(call.name, net.reason_left_out(call, batch)) for call in observer.calls]
    hidden = [(_times(count), reason) for reason, count in observer.hidden.items()]
    mixed = [
        (name or "the model", "looks up integers made of several tokens, so tokens have no maps")
        for name in observer.mixed
    ]
    return [row for row in calls if row[1]] + list(observer.left_out.items()) + hidden + mixed


def _unseen(observer: Observer, output: Any) -> list[tuple[str, str]]:
    """Nonlinear steps of the graph that belong to no site."""
    mine = {call.tensor.grad_fn for call in observer.calls}
    composite = any(call.kind not in known_kinds() for call in observer.calls)
    found: Counter[str] = Counter()
    for node in _nodes([t.grad_fn for t in _output_tensors(output)]):
        if node not in mine and (reason := _reason(node, composite)):
            found[reason] += 1
    return [(_times(count), reason) for reason, count in found.items()]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _reason(node: Node, composite: bool) -> str:
    name = node.name().partition("Backward")[0].lstrip("_")
    if isinstance(node, BackwardCFunction):
        return f"the custom autograd function {name}: what is nonlinear inside it cannot be seen"
    if not composite and name in _ACTIVATION_NODES:
        return f"{name.lower()} outside the sites, for instance inside a fused or custom function"
    if name == "Mul" and sum(after is not None for after, _ in node.next_functions) > 1:
        return "products of activations (gates): nonlinear, and no neurons"
    return next((reason for stem, reason in _UNSEEN_NODES.items() if name.startswith(stem)), "")


def _nodes(roots: list[Node | None]) -> Iterator[Node]:
    seen: set[Node] = set()
    waiting = [node for node in roots if node is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(after for after, _ in node.next_functions if after is not None)


def _predictions(forward: float, backward: float, saved: int, space: NeuronSpace, batch: int) -> Iterator[Prediction]:
    scores = 4 * space.neurons * batch
    for family in sorted(FAMILIES, key=lambda family: family.noun):
        for method in family:
            forwards, backwards = method.passes(space)
            seconds = forwards * forward + backwards * backward
            yield Prediction(family.noun, method.name, forwards, backwards, seconds, saved + method.copies * scores)


def _lines(found: Diagnosis) -> Iterator[str]:
    linear = sum(report.site.piecewise_linear for report in found.sites)
    yield f"{found.model} ({found.fingerprint}), batch of {found.batch}"
    yield f"{len(found.sites)} sites, {found.neurons:,} neurons a sample; {linear} sites are piecewise linear"
    if linear < len(found.sites):
        yield "  the guarantees of local linearity hold for piecewise-linear sites only"
    agreement = "bit-identical" if found.identical else f"within {found.deviation:.1e}"
    yield f"output with and without observation: {agreement}"
    if found.lookups:
        yield f"tokens of the input are looked up in {', '.join(found.lookups)}"
    width = max(len(report.site.name) for report in found.sites)
    yield "\nsites"
    yield from (f"  {_site_line(report, width)}" for report in found.sites)
    yield "\nnot covered" if found.not_covered else "\nnot covered: nothing was found"
    yield from (f"  {what}: {why}" for what, why in found.not_covered)
    yield f"\n{found.reruns}"
    yield "\npredicted cost for this batch"
    yield from (f"  {_prediction_line(row)}" for row in found.predictions)


def _site_line(report: SiteReport, width: int) -> str:
    site = report.site
    notes = [
        "piecewise linear" if site.piecewise_linear else "smooth or gated",
        *(["functional"] if report.functional else []),
        *(["reused module"] if report.reused else []),
        *(["in place"] if report.in_place else []),
    ]
    shape = "x".join(map(str, site.shape)) or "1"
    return f"{site.name:<{width}}  {shape:>14}  {site.kind:<12} {', '.join(notes)}"


def _prediction_line(row: Prediction) -> str:
    passes = f"{row.forwards:,} forward, {row.backwards:,} backward"
    seconds = f"{row.seconds:,.2f}" if row.seconds < 1000 else f"{row.seconds:,.0f}"
    return f"{row.family:<18} {row.method:<20} {passes:<31} {seconds:>9} s  {row.peak_bytes / 2**20:8.0f} MiB"
