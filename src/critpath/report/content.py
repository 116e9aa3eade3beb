"""What a report shows, as plain values: nothing here knows a model or torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """One class of the model's output: its name, logit and probability in [0, 1]."""

    label: str
    logit: float
    probability: float


@dataclass(frozen=True)
class Kept:
    """What is left of a response when only some neurons act, the others set to zero.

    ``pathway`` is the response of the pathway alone; ``random`` are the responses of random sets
    of as many neurons; ``pathway_keeps_class`` says whether the predicted class survives (None where
    the target is no class).
    """

    pathway: float
    random: tuple[float, ...]
    pathway_keeps_class: bool | None = None


@dataclass(frozen=True)
class Token:
    """A piece of a text: whether it goes on with the piece before, without a space; whether the tokenizer added it
    (a start, an end, padding); whether the vocabulary does not have it."""

    text: str
    joined: bool = False
    special: bool = False
    unknown: bool = False


@dataclass(frozen=True)
class SparsityLevel:
    """The pathway at one sparsity.

    ``map`` has the height and width of the input (non-negative: absolute values summed over colour
    channels), or is one-dimensional for an input that is no image; for a text it has one signed number a
    token. It is all zero where the pathway does not reach the input.
    """

    requested: float
    realised: float
    map: Map
    reaches_input: bool
    kept: Kept


@dataclass(frozen=True)
class SiteRow:
    """One site at the report's main sparsity; shares are in [0, 1].

    ``density`` is the share of the site's neurons on the pathway, ``contribution`` the site's share of
    the sum of |contribution| over the network, ``dead`` the share of neurons that are <= 0 on this
    input (None where the activation has no dead side, GELU for one), ``error`` the estimated error of the
    site's scores relative to their sum of magnitudes (None where scores are computed, not estimated).
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    neurons: int
    density: float
    contribution: float
    dead: float | None
    error: float | None = None


@dataclass(frozen=True)
class TopUnit:
    """A neuron or a channel with a large contribution, and where in the input it looks.

    ``where`` is the absolute gradient of the unit's contribution with respect to the input, summed
    over colour channels (same shape as a level's map), or for a text the unit's conductance by tokens;
    ``share`` is its share of the sum of |contribution| over the network.
    """

    site: str
    unit: str
    contribution: float
    share: float
    where: Map


@dataclass(frozen=True)
class Reach:
    """Up to which sparsity the pathway still reaches the input.

    ``last`` is the largest sparsity found at which it does (None: at none), ``first_lost`` the
    smallest found at which it does not (None: it was not lost up to the largest sparsity tried).
    """

    last: float | None
    first_lost: float | None
    tried_up_to: float


@dataclass(frozen=True)
class Content:
    """Everything on the page of one explanation.

    ``floor`` is the response when every neuron is zero: what biases alone give (NaN where it is not known).
    ``accuracy`` says how exact the contributions are, where they are estimates; empty otherwise. ``overview`` is the
    averaged and smoothed map of an image, shaped like ``plain``. ``tokens`` are the pieces of a text; every map is
    then one signed number for each of them. ``baseline`` says where the text's conductances start.
    """

    title: str
    model: str
    method: str
    target: str
    response: float
    predictions: tuple[Prediction, ...]
    picture: Picture | None
    plain: Map
    levels: tuple[SparsityLevel, ...]
    main_level: int
    sites: tuple[SiteRow, ...]
    top_neurons: tuple[TopUnit, ...]
    top_channels: tuple[TopUnit, ...]
    reach: Reach
    coverage: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]
    caveats: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=())
    floor: float = math.nan
    accuracy: str = ""
    overview: Map | None = None
    tokens: tuple[Token, ...] = ()
    baseline: str = ""
