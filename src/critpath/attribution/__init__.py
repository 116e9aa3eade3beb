"""Attribution: what in the input a response, or its pathway, goes back to."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from critpath.attribution import conductance, gradient, pathway_gradient, prunegrad  # noqa: F401  (they register)
from critpath.attribution.conductance import UnitMaps, conductance_maps
from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.errors import InputError, OptionError
from critpath.network import ModelInput, Network, gradients_on, map_tensors
from critpath.response import respond
from critpath.selection import check_sparsity
from critpath.targets import TargetLike

__all__ = ["ATTRIBUTIONS", "InputMaps", "UnitMaps", "attribute", "attribution_names", "conductance_maps"]


@gradients_on()
def attribute(
    net: Network, x: ModelInput, method: str = "pathway_gradient", target: TargetLike = None, **options: Any
) -> Any:
    """A map over the input, shaped like ``x``: signed, one value per input value.

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
        For methods that go along a pathway: ``pathway``, or ``sparsity``, ``finder`` (a name as in
        ``find_pathway``) and ``scope`` to find one. For ``conductance``: ``through``, ``baseline``, ``points``.

    Raises OptionError, TargetError, InputError (also where no input is floating point), NumericalError.
    """
    ATTRIBUTIONS[method].check_options(options)
    check_sparsity(options.get("sparsity", 0))
    if options.get("pathway") is not None and (extra := {"sparsity", "finder", "scope"} & set(options)):
        raise OptionError(f"a pathway is given, so {', '.join(sorted(extra))} would go unused: give one or the other")
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
