"""What the page that compares finders says in words: provenance, and what is not shown."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import torch

from critpath.analysis import FinderComparison
from critpath.comparison.plan import Plan
from critpath.network import Network
from critpath.version import __version__


def provenance(
    net: Network, found: FinderComparison, plan: Plan, seconds: float, notes: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Versions, seed, time, and which network it was."""
    parameter = next(net.model.parameters(), None)
    place = f"{parameter.dtype} on {parameter.device}".removeprefix("torch.") if parameter is not None else "no weights"
    return (
        *notes,
        ("Network", f"{type(net.model).__name__}, fingerprint {found.space.network}, {place}"),
        ("Neurons", f"{found.space.neurons:,} in {len(found.space)} sites"),
        ("Seed", str(plan.seed)),
        ("Intervals", "95 % percentile bootstrap over images, 2,000 resamples"),
        ("Versions", f"critpath {__version__}, torch {torch.__version__}, Python {platform.python_version()}"),
        ("Made", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {seconds:.1f} s"),
    )


def caveats(found: FinderComparison, plan: Plan, ablations: Sequence[str], decoded: bool) -> tuple[str, ...]:
    """What the page does not show, plainly."""
    return tuple(_caveats(found, plan, ablations, decoded))


def _caveats(found: FinderComparison, plan: Plan, ablations: Sequence[str], decoded: bool) -> Iterator[str]:
    if found.images == 1:
        yield "One image was looked at, so nothing here has an interval; on another image the order may be another."
    elif found.images < 30:
        yield (
            f"{found.images} images are few: intervals from resampling so few are too narrow, and they say nothing "
            "about images of another kind."
        )
    if "zero" in ablations:
        yield (
            "Neurons set to zero take the network to activations it never had in training. Little kept does not mean "
            "that a pathway is unimportant; a search that sees the zeroed network has an advantage here."
        )
    if {"greedy", "dgr", "l0"} & set(plan.finders.values()):
        yield (
            "Searches look for neurons that keep the output of the pruned network. They may recruit neurons that are "
            "dead on the input, which play no part in the response that is explained."
        )
        yield "A search depends on its settings; with other steps or more iterations it may do better."
    yield (
        "Jaccard says that pathways hold the same neurons, not that they compute the same; chance is that of random "
        "sets over the whole network, and finders that prefer the same sites exceed it for that reason alone."
    )
    if decoded:
        yield (
            "Decoded pictures are one of many that raise a response. What they resemble is the reader’s judgement, and "
            "a pathway found on one image is made to act on another here."
        )
