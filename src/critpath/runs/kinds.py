"""The kinds of metric that a plan can name: their options, what they cost, and over what they go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from critpath.evaluation.channels import METHODS
from critpath.evaluation.feature_selection import COUNTS
from critpath.evaluation.perturbation import STEPS, deletion, insertion, pixel_perturbation
from critpath.evaluation.randomisation import efficient_mprt, parameter_randomisation, smooth_mprt
from critpath.evaluation.retraining.fidelity import SIZES, f_fidelity
from critpath.evaluation.retraining.roar import SHARES
from critpath.runs.trials import (
    REMOVAL,
    SELECTION,
    Options,
    check_agreement,
    check_complexity,
    check_fidelity,
    check_perturbation,
    check_preset,
    check_randomisation,
    check_roar,
    check_selection,
    defaults,
)

PASS = 3.0
"""A forward and a backward pass cost about as much as this many forward passes."""

STAGES = 20
"""How many stages a network is taken to have, where a cost is guessed."""


@dataclass(frozen=True)
class Kind:
    """One kind of metric.

    ``over``: "chunks" (each method's maps of some images), "methods" (all methods' maps of some images), "retraining"
    or "features". ``options`` are all its options with their defaults; ``check`` raises OptionError for what its
    functions would refuse; ``cost`` is in forward passes an image, given what one explanation costs. ``tuned``: by a
    network that is fine-tuned first.
    """

    over: str
    options: Options
    check: Callable[[Options], None]
    cost: Callable[[Options, float], float]
    tuned: bool = False


MEAN: Options = {"mean": None}
"""That of the data; see ``critpath.runs.work.means``."""

PRESET: Options = {
    **defaults(pixel_perturbation, without=("batch", "order", "shares", "insertion")),
    **MEAN,
    "steps": STEPS,
}
"""Options of deletion and insertion."""


def _stages(options: Options) -> int:
    """How many stages there are, as far as the patterns alone tell."""
    named = options["stages"]
    return len(named) if named and not any("*" in str(pattern) for pattern in named) else STAGES


KINDS: Mapping[str, Kind] = {
    "pixel_perturbation": Kind(
        over="chunks",
        options={**defaults(pixel_perturbation, without=("batch",)), **MEAN},
        check=check_perturbation,
        cost=lambda options, explanation: len(options["shares"]) + 1.0,
    ),
    "deletion": Kind(
        over="chunks",
        options=PRESET,
        check=lambda options: check_preset(deletion, options),
        cost=lambda options, explanation: options["steps"] + 1.0,
    ),
    "insertion": Kind(
        over="chunks",
        options={**PRESET, "fill": "blur"},
        check=lambda options: check_preset(insertion, options),
        cost=lambda options, explanation: options["steps"] + 1.0,
    ),
    "roar": Kind(
        over="retraining",
        options={**REMOVAL, "shares": list(SHARES), "seeds": [0, 1, 2], "keep": False, "recipe": {}},
        check=check_roar,
        cost=lambda options, explanation: PASS * float(options["recipe"].get("epochs", 50)),
    ),
    "f_fidelity": Kind(
        over="chunks",
        options={"shares": list(SIZES), **defaults(f_fidelity, without=("batch",)), **MEAN, "tuning": {}},
        check=check_fidelity,
        cost=lambda options, explanation: 2.0 * len(options["shares"]) * options["samples"],
        tuned=True,
    ),
    "parameter_randomisation": Kind(
        over="chunks",
        options=defaults(parameter_randomisation, without=("original",)),
        check=check_randomisation,
        cost=lambda options, explanation: explanation * options["repeats"] * _stages(options),
    ),
    "smooth_mprt": Kind(
        over="chunks",
        options={
            **defaults(parameter_randomisation, without=("original",)),
            **defaults(smooth_mprt),
        },
        check=check_randomisation,
        cost=lambda options, explanation: explanation * options["samples"] * options["repeats"] * _stages(options),
    ),
    "efficient_mprt": Kind(
        over="chunks",
        options=defaults(efficient_mprt, without=("original",)),
        check=check_complexity,
        cost=lambda options, explanation: explanation * options["repeats"],
    ),
    "map_agreement": Kind(
        over="methods",
        options={"reduce": "max_abs", "signed": False},
        check=check_agreement,
        cost=lambda options, explanation: 0.2,
    ),
    "feature_selection": Kind(
        over="features",
        options={"methods": list(METHODS), "sites": None, "counts": list(COUNTS), "sets": 50, "size": 5, **SELECTION},
        check=check_selection,
        cost=lambda options, explanation: PASS * 10.0 * len(options["methods"]),
    ),
}
"""By name."""


def checked_kind(name: str, given: Options, seed: int) -> dict[str, Any]:
    """All options of a kind of metric, the given ones and the defaults, checked; ``seed`` is the plan's.

    Raises OptionError.
    """
    kind = KINDS[name]
    options = {**kind.options, **({"seed": seed} if "seed" in kind.options else {}), **given}
    kind.check(options)
    return options
