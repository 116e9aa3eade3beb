"""Grad-CAM, and guided Grad-CAM."""

from __future__ import annotations

from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.guided_backprop import check_rectifying, guided_backprop
from critpath.attribution.images import image_of, is_spatial, over_image, planes, spatial_cuts, spatial_site
from critpath.attribution.inputs import as_inputs
from critpath.errors import OptionError
from critpath.neurons import Site, wide
from critpath.response import Response


@ATTRIBUTIONS.register("gradcam", forwards=1, backwards=1, copies=0)
def gradcam(response: Response, *, site: str | None = None) -> InputMaps:
    """relu(Σ_k α_k A_k), α_k the mean of ∂Φ/∂A_k over positions: Selvaraju et al. 2017, equations 1 and 2.

    A_k are the channels of a site with two spatial dimensions, by default the last one, through which everything has
    to pass. Brought to the image's size (bilinear) and the same for each of its channels; not negative.
    Raises InputError for what is no image, OptionError for a site without spatial dimensions.
    """
    image_of(response, "gradcam")
    return over_image(response, _cam(response, _site(response, site, "gradcam")))


@ATTRIBUTIONS.register("guided_gradcam", forwards=1, backwards=2, copies=0)
def guided_gradcam(response: Response, *, site: str | None = None) -> InputMaps:
    """Grad-CAM, at the image's size, times guided backpropagation: Selvaraju et al. 2017, section 3.2.

    ``site`` is as in ``gradcam``. Raises what the two raise.
    """
    image_of(response, "guided_gradcam")
    check_rectifying(response, "guided_gradcam")
    where = over_image(response, _cam(response, _site(response, site, "guided_gradcam")))
    pairs = zip(where, guided_backprop(response), strict=True)
    return as_inputs([None if a is None or b is None else wide(a) * wide(b) for a, b in pairs], response)


def _cam(response: Response, site: Site) -> Tensor:
    """[n, height, width] of the site."""
    (found,) = response.run.site_gradients(response.value, [response.space.position(site.name)])
    gradient, activation = planes(site, found), planes(site, response.run.activation(site.name).detach())
    return (gradient.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1).relu()


def _site(response: Response, name: str | None, method: str) -> Site:
    if name is not None:
        return spatial_site(response, name)
    cuts = spatial_cuts(response, method)
    last = [site for site in response.space if is_spatial(site)][-1]
    if last is not cuts[-1]:
        raise OptionError(
            f"the last site with two spatial dimensions, {last.name}, is one branch of several, or nothing that the "
            f"response depends on, so {method} needs site=... (the last that everything passes is {cuts[-1].name}); or "
            "make the output of the module that joins them a site: Network(model, also=[...])"
        )
    return last
