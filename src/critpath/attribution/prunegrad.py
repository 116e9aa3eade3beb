"""PruneGrad: the gradient of the pruned network."""

from __future__ import annotations

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.given import pathway_or_found
from critpath.pathway import Pathway
from critpath.response import Response


@ATTRIBUTIONS.register("prunegrad", forwards=2, backwards=2)
def prunegrad(
    response: Response,
    *,
    pathway: Pathway | None = None,
    sparsity: float = 0.9,
    finder: str = "taylor",
    scope: str = "network",
) -> InputMaps:
    """∇_x f_p(x): neurons off the pathway are set to zero, and the pruned network is run itself.

    PruneGrad, section 3.1. The class stays that of the unmodified network, even if the pruned one predicts
    another. Zeroing moves what lies above, so pathway neurons may die: the local linearity of the frozen
    network is not promised here. Without ``pathway`` the one of ``finder`` at ``sparsity`` and ``scope``.
    """
    path = pathway_or_found(response, pathway, sparsity, finder, scope)
    pruned = response.pruned(path)
    return pruned.run.input_gradients(pruned.value)
