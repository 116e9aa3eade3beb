"""Which sites every route from the input to a response passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from torch import Tensor
from torch.autograd.graph import Node

Counts = dict[Node, int]
Output = tuple[Node, int]
"""A node and the number of one of its outputs."""


def are_cuts(response: Tensor, leaves: Iterable[Tensor], sites: Iterable[Tensor]) -> tuple[bool, ...]:
    """For each of the sites' activations, whether no route in the graph goes from a leaf to the response past it.

    Routes are counted, exactly: a site is a cut if those through it are all there are.
    """
    order = _in_order(response.grad_fn)
    below = _routes_below(order, {id(leaf) for leaf in leaves})
    above = _routes_above(order, response.output_nr)
    total = below[order[0]] if order else 0
    return tuple(0 < total == _through(site, below, above) for site in sites)


def _through(site: Tensor, below: Counts, above: Counter[Output]) -> int:
    """Routes through one output of a node."""
    return 0 if site.grad_fn is None else below.get(site.grad_fn, 0) * above[site.grad_fn, site.output_nr]


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


def _routes_above(order: list[Node], output: int) -> Counter[Output]:
    """Routes from the response to each output of each node."""
    counts: Counter[Output] = Counter({(node, output): 1 for node in order[:1]})
    nodes: Counter[Node] = Counter(order[:1])
    for node in order:
        for after, number in node.next_functions:
            if after is not None:
                counts[after, number] += nodes[node]
                nodes[after] += nodes[node]
    return counts
