"""``attribute``: a map over the input, by the name of a method."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS
from critpath.attribution.options import check_method
from critpath.errors import InputError
from critpath.network import ModelInput, Network, gradients_on, map_tensors
from critpath.response import respond
from critpath.targets import TargetLike


@gradients_on()
def attribute(
    net: Network, x: ModelInput, method: str = "pathway_gradient", target: TargetLike = None, **options: Any
) -> Any:
    """A map over the input, shaped like ``x``: one value per input value, signed where the method has signs.

    Parameters
    ----------
    x
        A floating-point tensor [batch, ...], a tuple of arguments or a mapping; the result has the same
        structure, with None in place of integer tensors.
    method
        One of ``attribution_names()``.
    target
        As in ``score``.
    options
        The method's own, by keyword. Methods that go along a pathway take ``pathway``, or ``sparsity``, ``finder`` (a
        name as in ``find_pathway``) and ``scope`` to find one; those on a line ``baseline`` and ``points``;
        random ones ``seed``. The methods' docstrings have them all: ``help(ATTRIBUTIONS[method].function)``.

    Maps that are made inside the network (``gradcam``, ``prunegrad_mid``) or of whole pixels (``edges``) are the same
    for each channel of the image.
    Raises OptionError, TargetError, InputError (also where no input is floating point, or the method is not defined
    for this network or input, with the reason), NumericalError.
    """
    check_method(method, options)
    response = respond(net, x, target)
    if all(leaf is None for leaf in response.run.inputs):
        raise InputError(
            "the input holds integers only (tokens?), and a gradient needs floating point: give the model its "
            "embeddings (inputs_embeds for transformers)"
        )
    maps = iter(ATTRIBUTIONS[method].function(response, **options))

    def place(tensor: Tensor) -> Tensor | None:
        return next(maps)

    return map_tensors(x, place)


def attribution_names() -> tuple[str, ...]:
    """What ``attribute`` can compute."""
    return ATTRIBUTIONS.names()
