"""Whether a network is linear between the boundaries that are seen, read from its graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node

from critpath.errors import UnsupportedModelError
from critpath.network.observer import Bend, Observer
from critpath.network.windows import windows_of

_LINEAR = frozenset({
    "Add", "Sub", "Rsub", "Neg", "Sum", "Mean", "Cumsum", "Trace", "Clone", "Alias", "Copy", "CopySlices", "ToCopy",
    "AccumulateGrad", "AsStrided", "View", "UnsafeView", "ReshapeAlias", "ViewAsReal", "Permute", "Transpose", "T",
    "Mt", "MT", "Movedim", "Select", "Slice", "Narrow", "Unfold", "Im2Col", "Col2Im", "Diagonal", "Cat", "Stack",
    "Split", "SplitWithSizes", "UnsafeSplit", "Chunk", "Unbind", "Squeeze", "Unsqueeze", "Expand", "Repeat",
    "RepeatInterleave",
    "Tile", "Flip", "Roll", "Rot90", "Tril", "Triu", "Index", "IndexSelect", "ConstantPadNd", "ReflectionPad",
    "ReplicationPad", "PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "AvgPool", "AdaptiveAvgPool",
    "MkldnnAdaptiveAvgPool", "Upsample", "UpsampleNearest", "UpsampleNearestExact", "UpsampleLinear",
    "UpsampleBilinear", "UpsampleBicubic", "UpsampleTrilinear", "Flatten", "Unflatten", "Identity",
})  # fmt: skip
_BILINEAR = frozenset({
    "Mul", "Mm", "Bmm", "Mv", "Dot", "Addmm", "Addbmm", "Baddbmm", "Addmv", "Addcmul", "Convolution", "Linear", "Lerp",
    "MkldnnConvolution", "CudnnConvolution", "ConvolutionOverrideable", "Kron", "Ger", "Matmul", "Einsum",
})  # fmt: skip
"""Linear in one argument as long as the others are constant."""
_BATCH_NORM = frozenset({"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "BatchNormImpl"})
_FIRST_ONLY = frozenset({"Div", "GridSampler", "MaskedFill"})
_SAY = {
    "Where": "torch.where (write it as an activation function if it rectifies)",
    "Maximum": "torch.maximum", "Minimum": "torch.minimum", "Softmax": "softmax", "NativeLayerNorm": "layer_norm",
    "NativeGroupNorm": "group_norm", "Clamp": "torch.clamp between other bounds than 0",
}  # fmt: skip


def nodes_between(result: Tensor, start: Node | None) -> set[Node]:
    """The nodes that lie between a result and what a function was given."""
    found: set[Node] = set()
    waiting = [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node is not start and node not in found:
            found.add(node)
            waiting.extend(after for after, _ in node.next_functions)
    return found


def check_piecewise_linear(observer: Observer, bends: Sequence[Bend], ends: Iterable[Tensor], known: set[Node]) -> None:
    """Raises UnsupportedModelError where what leads to the boundaries bends elsewhere than at ``known`` nodes.

    ``ends`` are the tensors that boundaries are of.
    """
    reasons: Counter[str] = Counter(observer.hidden)
    reasons.update(_compared(bend) for bend in bends if bend.kind is None and _unknown(bend))
    smooth = {call.tensor.grad_fn: f"{call.kind.name} at {call.name}" for call in observer.calls}
    linear = {bend.name for bend in bends if bend.kind is not None and bend.kind.piecewise_linear}
    curved = {node: why for node, why in smooth.items() if why.rpartition(" at ")[2] not in linear}
    ends = list(ends)
    for node in _ancestors(ends):
        if why := curved.get(node) or (_reason(node) if node not in known else ""):
            reasons[why] += 1
    if not ends and not reasons:
        reasons[next(iter(curved.values()), "no activation that depends on the input")] += 1
    if reasons:
        named = ", ".join(why + (f" ({count} times)" if count > 1 else "") for why, count in reasons.most_common(6))
        raise UnsupportedModelError(
            "the network is not piecewise linear with boundaries that are known, so that no radius could be trusted: "
            f"{named}"
        )


def _unknown(bend: Bend) -> bool:
    result = bend.result[0] if isinstance(bend.result, tuple) else bend.result
    return windows_of(bend.function, bend.args, bend.kwargs, bend.given, result) is None


def _compared(bend: Bend) -> str:
    return f"{bend.function.strip('_')} of activations at {bend.name.partition('#')[0] or 'the model'}"


def _ancestors(ends: Iterable[Tensor]) -> Iterable[Node]:
    seen: set[Node] = set()
    waiting = [end.grad_fn for end in ends]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting.extend(after for after, _ in node.next_functions)
    return seen


def _reason(node: Node) -> str:
    """Why a node is not linear in what depends on the input; empty where it is."""
    if isinstance(node, BackwardCFunction):
        return f"the custom autograd function {node.name().removesuffix('Backward')}"
    name = _stem(node)
    depends = [after is not None for after, _ in node.next_functions]
    if name in _LINEAR or (name in _FIRST_ONLY and not any(depends[1:])):
        return ""
    if name in _BATCH_NORM:
        return "batch_norm with batch statistics" if getattr(node, "_saved_training", True) else ""
    if name in _BILINEAR:
        return "products of activations (gates, attention)" if sum(depends) > 1 else ""
    if name == "Pow" and getattr(node, "_saved_exponent", None) == 1:
        return ""
    return _SAY.get(name, name.lower())


def _stem(node: Node) -> str:
    """``UpsampleBilinear2DBackward0`` as ``UpsampleBilinear``."""
    name = node.name().rpartition("::")[2].partition("Backward")[0].lstrip("_")
    for end in ("1D", "2D", "3D"):
        name = name.removesuffix(end)
    return name
