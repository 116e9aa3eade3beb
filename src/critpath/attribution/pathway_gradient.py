"""The pathway gradient: the gradient of the locally linear network that a pathway makes."""

from __future__ import annotations

from critpath.attribution.family import ATTRIBUTIONS, InputMaps
from critpath.attribution.given import pathway_or_found
from critpath.pathway import Pathway
from critpath.response import Response


@ATTRIBUTIONS.register("pathway_gradient", forwards=1, backwards=2)
def pathway_gradient(
    response: Response,
    *,
    pathway: Pathway | None = None,
    sparsity: float = 0.9,
    finder: str = "taylor",
    scope: str = "network",
) -> InputMaps:
    """∇_x Φ(x; e): neurons off the pathway are constants, equal to their values on x.

    The forward pass is that of the unmodified network, so no value changes; on the way back the gradient is
    multiplied by the pathway at every site, which is out = e a + (1 - e) stopgrad(a). One forward, one
    backward for the scores, one for the map. Critical-pathways paper, section 3.1 (frozen), not the released
    code (zeroed: ``prunegrad``). Without ``pathway`` the one of ``finder`` at ``sparsity`` and ``scope``.
    """
    path = pathway_or_found(response, pathway, sparsity, finder, scope)
    return response.run.input_gradients(response.value, keep=path.keep)
