"""RectGrad: only the most relevant neurons of each site pass the gradient on."""

from __future__ import annotations

from torch import Tensor

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.inputs import as_inputs
from critpath.neurons import Site, rows, wide
from critpath.response import Response


@ATTRIBUTIONS.register("rectgrad", forwards=1, backwards=1)
def rectgrad(
    response: Response, *, quantile: float = 0.98, absolute: bool = False, times_input: bool = False
) -> InputMaps:
    """R ← 1[a R > τ] R on the way back through every site, a its activations: Kim et al. 2019.

    τ is the ``quantile`` of a R over the site's neurons, for each sample. R is the gradient that the sites above have
    already thinned, and passes the activation function's own derivative afterwards. ``absolute`` goes by |a R|;
    ``times_input`` gives x ⊙ R instead of R. The paper has ReLU only; at other sites the rule is used as it stands.
    """

    def rule(site: Site, activation: Tensor, gradient: Tensor) -> Tensor:
        product = wide(activation) * wide(gradient)
        relevance = rows(product.abs() if absolute else product)
        return gradient * (relevance > _threshold(relevance, quantile)).view_as(gradient)

    found = response.run.input_gradients(response.value, rule=rule)
    if not times_input:
        return found
    pairs = zip(response.run.moving, found, strict=True)
    return as_inputs([None if x is None or r is None else wide(x.detach()) * wide(r) for x, r in pairs], response)


def _threshold(relevance: Tensor, quantile: float) -> Tensor:
    """The value [n, 1] at or next below the quantile: no value lies strictly between it and the interpolated one."""
    rank = int(quantile * (relevance.shape[1] - 1))
    return relevance.kthvalue(rank + 1, dim=1, keepdim=True).values
