"""Attention heads as sites: calls of scaled dot product attention, also those inside nn.MultiheadAttention."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from torch import Tensor
from torch.nn import functional as F

ATTENDS = "scaled_dot_product_attention"
MULTI_HEAD = "multi_head_attention_forward"


def seen_inside(multi_head: Callable[..., Any], see: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """``F.multi_head_attention_forward``, in which what attention gives passes through ``see``.

    The same code with other globals, as torch looks for no override inside a function that was intercepted. Where it
    is asked for attention weights (``need_weights=True``), it does not call this kernel, and nothing is seen.
    """

    def attend(*args: Any, **kwargs: Any) -> Tensor:
        return see(F.scaled_dot_product_attention(*args, **kwargs))

    code = getattr(multi_head, "__code__", None)
    if code is None or ATTENDS not in code.co_names:
        return multi_head
    own = {**multi_head.__globals__, ATTENDS: attend, "has_torch_function": lambda *_: False}
    found = FunctionType(code, own, multi_head.__name__, multi_head.__defaults__, multi_head.__closure__)
    found.__kwdefaults__ = multi_head.__kwdefaults__
    return found
