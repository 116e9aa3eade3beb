"""Guided backpropagation."""

from __future__ import annotations

from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.errors import InputError
from critpath.neurons import Site
from critpath.response import Response


@ATTRIBUTIONS.register("guided_backprop", forwards=1, backwards=1, copies=0)
def guided_backprop(response: Response) -> InputMaps:
    """The gradient with its negative part cut off at every ReLU: R ← 1[a > 0] 1[R > 0] R.

    Springenberg et al. 2015. The rule is at the sites, so that functional and reused activations obey it too (where
    ``Network(only=...)`` leaves some out, these pass the plain gradient). Raises InputError where a site is not
    rectifying: the method is not defined there.
    """
    check_rectifying(response, "guided_backprop")
    return response.run.input_gradients(response.value, rule=_positive)


def check_rectifying(response: Response, method: str) -> None:
    """Raises InputError, with the first site that is not rectifying, where there is one."""
    for site in response.space:
        if not site.rectifying:
            raise InputError(
                f"{method} is defined for ReLU and its kin, and site {site.name} is {site.kind}, which is not "
                "rectifying: use another method, gradient or integrated_gradients for one"
            )


def _positive(site: Site, activation: Tensor, gradient: Tensor) -> Tensor:
    return gradient.clamp(min=0)
