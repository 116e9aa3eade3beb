"""Which calls are activation functions, and what is known of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Kind:
    """A kind of activation function.

    ``piecewise_linear``: linear between kinks, as the papers assume. ``rectifying``: the output is never
    negative and is constant where it is 0, so that a neuron at 0 passes no gradient on.
    """

    name: str
    piecewise_linear: bool = False
    rectifying: bool = False


RELU = Kind("relu", piecewise_linear=True, rectifying=True)
RELU6 = Kind("relu6", piecewise_linear=True, rectifying=True)
CLIPPED_RELU = Kind("clipped_relu", piecewise_linear=True, rectifying=True)
HARDTANH = Kind("hardtanh", piecewise_linear=True)
THRESHOLD = Kind("threshold", piecewise_linear=True)
MODULE = Kind("module")
ATTENTION = Kind("attention")

_PIECEWISE_LINEAR = ("leaky_relu", "prelu", "rrelu", "hardshrink", "softshrink")
_SMOOTH = (
    "gelu", "silu", "elu", "selu", "celu", "mish", "hardswish", "sigmoid", "tanh",
    "softplus", "log_sigmoid", "softsign", "tanhshrink",
)  # fmt: skip
_BY_NAME: dict[str, Kind] = {
    "relu": RELU,
    "relu6": RELU6,
    "hardsigmoid": Kind("hardsigmoid", piecewise_linear=True, rectifying=True),
    **{name: Kind(name, piecewise_linear=True) for name in _PIECEWISE_LINEAR},
    **{name: Kind(name) for name in _SMOOTH},
    "logsigmoid": Kind("log_sigmoid"),
    "special_expit": Kind("sigmoid"),
}


def _clipped(low: object, high: object) -> Kind:
    if low != 0:
        return HARDTANH
    return RELU if high is None else RELU6 if high == 6 else CLIPPED_RELU


def _clamp(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Kind | None:
    low, high = _bounds(args, kwargs, "min", "max")
    return _clipped(low, high) if low == 0 and not isinstance(low, bool) else None


def _hardtanh(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Kind | None:
    low, high = _bounds(args, kwargs, "min_val", "max_val", defaults=(-1.0, 1.0))
    return _clipped(low, high)


def _threshold(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Kind | None:
    return RELU if _bounds(args, kwargs, "threshold", "value") == [0, 0] else THRESHOLD


def _bounds(
    args: Sequence[Any], kwargs: Mapping[str, Any], *names: str, defaults: tuple[Any, ...] = (None, None)
) -> list[Any]:
    """The arguments after the input, by position or by name; tensors do not count as bounds."""
    given = dict(zip(names, args[1:], strict=False)) | {n: kwargs[n] for n in names if n in kwargs}
    values = [given.get(name, default) for name, default in zip(names, defaults, strict=True)]
    return ["tensor" if isinstance(value, Tensor) else value for value in values]


_BY_ARGUMENTS: dict[str, Callable[[Sequence[Any], Mapping[str, Any]], Kind | None]] = {
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": _clamp,
    "hardtanh": _hardtanh,
    "threshold": _threshold,
}
_KNOWN = frozenset({*_BY_NAME.values(), CLIPPED_RELU, HARDTANH, THRESHOLD, RELU6})
_NAMES = {*_BY_NAME, *_BY_ARGUMENTS}
_LOOKUP = {alias: name for name in _NAMES for alias in (name, f"{name}_", f"_{name}")}


def recognise(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Kind | None:
    """The kind of activation that a torch function of this name computes, None where it is none.

    ``F.relu``, ``Tensor.relu``, ``torch.relu_`` and ``aten::relu`` share a name up to its underscore.
    """
    stem = _LOOKUP.get(name)
    if stem is None:
        return None
    by_arguments = _BY_ARGUMENTS.get(stem)
    return by_arguments(args, kwargs) if by_arguments else _BY_NAME[stem]


def known_kinds() -> frozenset[Kind]:
    """The kinds that are recognised as functions; those of whole modules are not among them."""
    return _KNOWN


def writes_in_place(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether such a call overwrites its argument."""
    return name.endswith("_") or bool(kwargs.get("inplace"))


_KINKS = {"relu": (0.0,), "leaky_relu": (0.0,), "prelu": (0.0,), "rrelu": (0.0,), "relu6": (0.0, 6.0)}
_KINKS |= {"hardsigmoid": (-3.0, 3.0)}


def kinks(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Where a piecewise linear activation changes its slope; None where the values are not known.

    The call is one that ``recognise`` knows.
    """
    stem = _LOOKUP[name]
    if stem in _KINKS:
        return _KINKS[stem]
    if stem in ("hardshrink", "softshrink"):
        (width,) = _bounds(args, kwargs, "lambd", defaults=(0.5,))
        return (-width, width)
    bounds = _bounds(args, kwargs, *_BOUND_NAMES[stem], defaults=_BOUND_DEFAULTS.get(stem, (None,) * 2))
    found = [bound for bound in bounds[: 1 if stem == "threshold" else 2] if bound is not None]
    return None if "tensor" in found else tuple(float(bound) for bound in found)


_BOUND_NAMES = {"clamp": ("min", "max"), "clip": ("min", "max"), "clamp_min": ("min", "max")}
_BOUND_NAMES |= {"hardtanh": ("min_val", "max_val"), "threshold": ("threshold", "value")}
_BOUND_DEFAULTS = {"hardtanh": (-1.0, 1.0)}

HIDDEN_INSIDE = {
    "scaled_dot_product_attention": "fused attention: the softmax inside it is no site",
    "multi_head_attention_forward": "nn.MultiheadAttention: the softmax inside it is no site",
    "_transformer_encoder_layer_fwd": "fused transformer layer: its activation cannot be seen",
    "rnn_tanh": "RNN kernel: its gates cannot be seen",
    "rnn_relu": "RNN kernel: its gates cannot be seen",
    "gru": "GRU kernel: its gates cannot be seen",
    "lstm": "LSTM kernel: its gates cannot be seen",
    "rnn_tanh_cell": "RNN cell: its activation cannot be seen",
    "rnn_relu_cell": "RNN cell: its activation cannot be seen",
    "gru_cell": "GRU cell: its gates cannot be seen",
    "lstm_cell": "LSTM cell: its gates cannot be seen",
    "glu": "GLU: the sigmoid inside it is no site",
}
"""Functions that contain nonlinear parts which no site shows, and what to say of them."""

MAXIMA = frozenset(
    f"{stem}max_pool{d}d{end}" for stem in ("", "adaptive_") for d in "123" for end in ("", "_with_indices")
)
"""Max pooling, by the names of its functions."""

BENDING = (
    MAXIMA
    | frozenset({"amax", "max", "min", "amin", "gt", "lt", "ge", "le", "eq", "ne", "greater", "less"})
    | {
        *("greater_equal", "less_equal", "__gt__", "__lt__", "__ge__", "__le__", "__eq__", "__ne__", "sign", "sgn"),
        *("argmax", "argmin", "topk", "sort", "argsort", "round", "floor", "ceil", "trunc", "bernoulli", "heaviside"),
    }
)
"""Functions that are no activation, and by which the network may be bent, or told where it is."""

CHANNELS_FIRST = frozenset(f"{stem}{d}" for stem in ("conv", "conv_transpose") for d in ("1d", "2d", "3d")) | {
    "batch_norm",
    "group_norm",
    "instance_norm",
}
CHANNELS_LAST = frozenset({"linear", "layer_norm", "rms_norm", "matmul", "__matmul__", "addmm", "einsum", "embedding"})
"""Functions that tell on which dimension the channels of the next activation lie."""

_COMPOSITE_SOURCES = ("transformers.activations", "timm.layers.activations", "timm.layers.activations_me")


def is_composite_activation(module: nn.Module) -> bool:
    """Activation modules of other libraries that spell out their formula (NewGELU, QuickGELU, Swish).

    They are one site each, not the tanh or sigmoid inside them.
    """
    return type(module).__module__ in _COMPOSITE_SOURCES
