"""PruneGrad-Mid: the gradient of the pruned network at a site inside it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.given import pathway_or_found
from critpath.attribution.images import image_of, over_image, planes, spatial_cuts, spatial_site
from critpath.neurons import Site
from critpath.pathway import Pathway
from critpath.response import Response

CHANNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum_abs": lambda gradient: gradient.abs().sum(dim=1),
    "max_abs": lambda gradient: gradient.abs().amax(dim=1),
    "l2": lambda gradient: gradient.square().sum(dim=1).sqrt(),
}
"""From a gradient [n, channels, height, width] to one value a position, [n, height, width]."""


@ATTRIBUTIONS.register("prunegrad_mid", forwards=2, backwards=2)
def prunegrad_mid(
    response: Response,
    *,
    site: str | None = None,
    channels: str = "sum_abs",
    pathway: Pathway | None = None,
    sparsity: float = 0.9,
    finder: str = "taylor",
    scope: str = "network",
) -> InputMaps:
    """Σ_k |∂f_p/∂A_k| at a site's activations A in the pruned network f_p, k its channels: PruneGrad, section 3.3.

    ``site`` has two spatial dimensions; by default it is the last but one (or the only one) of those that every route
    passes: in a ResNet the output of the last but one block, as published. ``channels`` reduces them: "sum_abs",
    "max_abs" or "l2". The map is brought to the image's size (bilinear) and the same for each of its channels; it is
    not negative. Positions of A that are pruned count by the gradient there as well. Without ``pathway`` the one of
    ``finder`` at ``sparsity`` and ``scope``.
    Raises InputError for what is no image, OptionError for a site without spatial dimensions.
    """
    image_of(response, "prunegrad_mid")
    place = _site(response, site)
    pruned = response.pruned(pathway_or_found(response, pathway, sparsity, finder, scope))
    (gradient,) = pruned.run.site_gradients(pruned.value, [pruned.space.position(place.name)])
    return over_image(response, CHANNELS[channels](planes(place, gradient)))


def _site(response: Response, name: str | None) -> Site:
    return spatial_cuts(response, "prunegrad_mid")[-2:][0] if name is None else spatial_site(response, name)
