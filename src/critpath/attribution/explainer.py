"""A registered method as the plain callable that evaluations take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from critpath.attribution.attributing import attribute
from critpath.attribution.options import check_method
from critpath.network import Network
from critpath.options import check_type


def explainer(
    net: Network, method: str, *, embedding: str | None = None, **options: Any
) -> Callable[[Tensor, Tensor], Tensor]:
    """``explain(x, target) -> maps`` shaped like x, for inputs [n, ...] and classes [n], by ``attribute``.

    Raises OptionError at once for a method or an option that is not right.
    """
    check_type("net", net, Network, "wrap the model, net = Network(model)")
    check_method(method, options)

    def explain(x: Tensor, target: Tensor) -> Tensor:
        check_type("x", x, Tensor, "an explainer takes one tensor [n, ...]; attribute takes other inputs")
        maps: Tensor = attribute(net, x, method, target=target, embedding=embedding, **options)
        return maps

    return explain
