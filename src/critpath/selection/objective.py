"""The pruning objective: how far the gated network's response is from that of the network itself."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from critpath.errors import OptionError
from critpath.neurons import wide
from critpath.options import check_choice
from critpath.response import Response
from critpath.targets import Logit, Margin, Probability, class_scores

Objective = Callable[[Response], Tensor]
"""Given the response of the gated network, a loss per sample [batch] in its graph, at least float32."""


def objective(response: Response, loss: str | None = None) -> Objective:
    """L(Φ(x), Φ(x; m ⊙ a)) as a function of the gated network's response.

    ``loss`` is ``"soft_ce"``, the cross-entropy of the class probabilities, Σ_c p_c(x) (-log p_c(x; m ⊙ a));
    ``"kl"``, the same less the entropy of p(x), so that 0 is best; or ``"mse"``, the squared difference of the
    response. None is soft_ce, or mse where the response is of no class or the model has only one.
    The first two leave the logits free to grow together or apart; only mse holds the response itself.
    Critical-pathways paper, section 2.1. Raises OptionError for a loss that needs classes where there are none.
    """
    if loss is None:
        loss = "soft_ce" if _has_classes(response) else "mse"
    check_choice("loss", loss, tuple(LOSSES))
    if loss != "mse" and not _has_classes(response):
        raise OptionError(
            f"loss={loss!r} compares the probabilities of two classes at least, and this response is of no class or "
            "the model has only one: leave loss out, or give loss='mse'"
        )
    return LOSSES[loss](response)


def _has_classes(response: Response) -> bool:
    of_a_class = isinstance(response.target, Logit | Probability | Margin)
    return of_a_class and class_scores(response.run).shape[1] > 1


def _soft_ce(response: Response) -> Objective:
    p = wide(class_scores(response.run).detach()).softmax(dim=1)
    return lambda gated: -(p * _log_p(gated)).sum(dim=1)


def _kl(response: Response) -> Objective:
    log_p = _log_p(response).detach()
    return lambda gated: (log_p.exp() * (log_p - _log_p(gated))).sum(dim=1)


def _mse(response: Response) -> Objective:
    value = wide(response.value.detach())
    return lambda gated: (wide(gated.value) - value) ** 2


def _log_p(response: Response) -> Tensor:
    return F.log_softmax(wide(class_scores(response.run)), dim=1)


LOSSES: dict[str, Callable[[Response], Objective]] = {"soft_ce": _soft_ce, "kl": _kl, "mse": _mse}
