"""The mean pathway gradient over several sparsities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.images import blurred, image_of, over_image
from critpath.attribution.inputs import as_inputs, moving, reciprocal, scaled, total
from critpath.contributions import CONTRIBUTIONS, neuron_scores
from critpath.neurons import wide
from critpath.pathway import Pathway
from critpath.response import Response
from critpath.selection import find_in_response, select

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95)
MODES = ("frozen", "zeroed")


@ATTRIBUTIONS.register("pathway_average", forwards=1, backwards=1 + len(SPARSITIES))
def pathway_average(
    response: Response,
    *,
    sparsities: Sequence[float] = SPARSITIES,
    finder: str = "taylor",
    scope: str = "network",
    mode: str = "frozen",
    times_input: bool = False,
    blur: float = 0,
) -> InputMaps:
    """1/n Σ_s |g_s| / Σ|g_s|, g_s the pathway gradient at sparsity s; not negative, and each sample sums to 1.

    ``mode``: "frozen" is that of ``pathway_gradient`` (a backward pass a sparsity), "zeroed" that of ``prunegrad`` (a
    forward pass more). ``times_input`` takes x ⊙ g_s for g_s. With ``blur`` above 0 the map is over an image: summed
    over channels, smoothed by a Gaussian of this standard deviation in pixels, and spread evenly over the channels.
    A gradient that is 0 everywhere counts as 0. Raises InputError for a blur of what is no image.
    """
    if blur:
        image_of(response, "pathway_average with a blur")
    return averaged(response, _pathways(response, finder, sparsities, scope), mode, times_input, blur)


def averaged(
    response: Response, paths: Iterable[Pathway], mode: str = "frozen", times_input: bool = False, blur: float = 0
) -> InputMaps:
    """The map of ``pathway_average`` over these pathways."""
    sizes = [_share(_sizes(response, _gradients(response, path, mode), times_input)) for path in paths]
    mean = [_mean(column) for column in zip(*sizes, strict=True)]
    return _blurred(response, mean, blur) if blur else as_inputs(mean, response)


def _pathways(response: Response, finder: str, sparsities: Sequence[float], scope: str) -> Iterator[Pathway]:
    """One for each sparsity; scores are computed once."""
    if finder in CONTRIBUTIONS.names():
        scores = neuron_scores(response, finder)
        yield from (select(scores, sparsity, scope) for sparsity in sparsities)
    else:
        yield from (find_in_response(response, finder, sparsity, scope=scope) for sparsity in sparsities)


def _gradients(response: Response, pathway: Pathway, mode: str) -> InputMaps:
    if mode == "frozen":
        return response.run.input_gradients(response.value, keep=pathway.keep)
    pruned = response.pruned(pathway)
    return pruned.run.input_gradients(pruned.value)


def _sizes(response: Response, gradients: InputMaps, times_input: bool) -> list[Tensor | None]:
    """|g|, or |x ⊙ g|."""
    pairs = zip(moving(response), gradients, strict=True)
    return [None if x is None or g is None else (x * wide(g) if times_input else wide(g)).abs() for x, g in pairs]


def _share(maps: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Each sample's maps divided by their sum."""
    return scaled(maps, reciprocal(total(maps)))


def _mean(column: Sequence[Tensor | None]) -> Tensor | None:
    found = [one for one in column if one is not None]
    return torch.stack(found).mean(dim=0) if found else None


def _blurred(response: Response, maps: Sequence[Tensor | None], deviation: float) -> InputMaps:
    image = next(one for one in maps if one is not None)
    return over_image(response, blurred(image.mean(dim=1, keepdim=True), deviation).squeeze(1))
