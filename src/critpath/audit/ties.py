"""Selection by a percentile of the scores, as released: what is equal to it is dropped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from critpath.neurons import NeuronValues, wide
from critpath.options import check_choice, check_number
from critpath.pathway import Pathway


def percentile_pathway(scores: NeuronValues, percent: float = 90, *, ties: str = "drop") -> Pathway:
    """The neurons whose |score| is above the percentile of all |scores|, by linear interpolation, for every sample.

    ``ties``: ``"drop"`` keeps |score| > threshold (released), ``"keep"`` |score| >= threshold (the papers' wording).
    Where more than ``percent`` % of the scores are 0 the threshold is 0: dropping ties leaves all other neurons,
    keeping them leaves every neuron. Neurons without a score (NaN) count for no percentile, and are kept.
    ``select`` is exact instead. Raises OptionError.
    """
    check_number("percent", percent, 0, 100)
    check_choice("ties", ties, ("drop", "keep"))
    magnitudes = scores.map(lambda s: wide(s).abs())
    above = torch.gt if ties == "drop" else torch.ge
    thresholds = [percentile([t[i] for t in magnitudes.tensors], percent) for i in range(scores.batch)]

    def keep(magnitude: Tensor) -> Tensor:
        limit = torch.tensor(thresholds, dtype=torch.float64, device=magnitude.device)
        return above(magnitude, limit.view(-1, *[1] * (magnitude.dim() - 1))) | magnitude.isnan()

    return Pathway(magnitudes.map(keep), percent / 100)


def percentile(parts: list[Tensor], percent: float) -> float:
    """That of all entries together by linear interpolation in float64, NaN left out; NaN where there are none."""
    joined = np.concatenate([part.detach().cpu().double().numpy().reshape(-1) for part in parts])
    known = joined[~np.isnan(joined)]
    return float(np.percentile(known, percent)) if len(known) else float("nan")
