"""Which sites every route from the input to a response passes."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.autograd.graph import Node

Counts = dict[Node, int]


def are_cuts(response: Tensor, leaves: Iterable[Tensor], sites: Iterable[Tensor]) -> tuple[bool, ...]:
    """For each of the sites' activations, whether no route in the graph goes from a leaf to the response past it.

    Routes are counted, exactly: a site is a cut if those through it are all there are.
    """
    order = _in_order(response.grad_fn)
    wanted = {id(leaf) for leaf in leaves}
    below = _routes_below(order, wanted)
    above = _routes_above(order)
    total = below.get(response.grad_fn, 0) if response.grad_fn is not None else 0
    nodes = [site.grad_fn for site in sites]
    return tuple(node in above and 0 < total == below[node] * above[node] for node in nodes if node is not None)


def _in_order(root: Node | None) -> list[Node]:
    """All nodes, each before those that it came from (reverse postorder, without recursion)."""
    done: list[Node] = []
    seen: set[Node] = set()
    stack = [(root, False)] if root is not None else []
    while stack:
        node, leaving = stack.pop()
        if leaving:
            done.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((after, False) for after, _ in node.next_functions if after is not None)
    return done[::-1]


def _routes_below(order: list[Node], leaves: set[int]) -> Counts:
    counts: Counts = {}
    for node in reversed(order):
        variable = getattr(node, "variable", None)
        here = int(variable is not None and id(variable) in leaves)
        counts[node] = here + sum(counts[after] for after, _ in node.next_functions if after is not None)
    return counts


def _routes_above(order: list[Node]) -> Counts:
    counts: Counts = dict.fromkeys(order, 0)
    for i, node in enumerate(order):
        counts[node] += i == 0
        for after, _ in node.next_functions:
            if after is not None:
                counts[after] += counts[node]
    return counts
