"""``attribute``: a map over the input, by the name of a method."""

from __future__ import annotations

from typing import Any

from critpath.attribution.family import ATTRIBUTIONS
from critpath.attribution.options import check_method
from critpath.attribution.tokens import PER_UNIT, check_moves, over_input
from critpath.network import ModelInput, Network, gradients_on
from critpath.response import respond
from critpath.targets import TargetLike


@gradients_on()
def attribute(
    net: Network,
    x: ModelInput,
    method: str = "pathway_gradient",
    target: TargetLike = None,
    *,
    embedding: str | None = None,
    **options: Any,
) -> Any:
    """A map over the input, shaped like ``x``: one value per input value, signed where the method has signs.

    Parameters
    ----------
    x
        A tensor [batch, ...], a tuple of arguments or a mapping; the result has the same structure. Tokens (the entry
        ``input_ids``, or the first integers) have a map shaped like them: that over the embeddings that the model
        looks up, reduced to one value a token. Other integers have None.
    method
        One of ``attribution_names()``.
    target
        As in ``score``.
    embedding
        How a map over embeddings becomes one over tokens: by the "sum" over features, their "l2" norm, or "each" of
        them as it is. None takes the norm for methods that give a direction (gradients, PrunePGD; a layer norm after
        the embedding makes their sum 0), and the sum for those that share out a response.
    options
        The method's own, by keyword. Methods that go along a pathway take ``pathway``, or ``sparsity``, ``finder`` (a
        name as in ``find_pathway``) and ``scope`` to find one; those on a line ``baseline`` and ``points``;
        random ones ``seed``. The methods' docstrings have them all: ``help(ATTRIBUTIONS[method].function)``.

    Maps that are made inside the network (``gradcam``, ``prunegrad_mid``) or of whole pixels (``edges``) are the same
    for each channel of the image.
    Raises OptionError, TargetError, InputError (also where nothing in the input can move, or the method is not defined
    for this network or input, with the reason), NumericalError.
    """
    check_method(method, options)
    response = respond(net, x, target)
    check_moves(response, embedding)
    maps = ATTRIBUTIONS[method].function(response, **options)
    return over_input(maps, response, embedding or ("l2" if method in PER_UNIT else "sum"))


def attribution_names() -> tuple[str, ...]:
    """What ``attribute`` can compute."""
    return ATTRIBUTIONS.names()
