"""Options of attribution methods, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from critpath.attribution.family import ATTRIBUTIONS
from critpath.attribution.pathway_average import MODES
from critpath.attribution.prunegrad_mid import CHANNELS
from critpath.errors import OptionError
from critpath.options import check_choice, check_count, check_flag, check_number, check_several, shown
from critpath.registry import check_known
from critpath.selection import check_scope, check_sparsity, finder_names

Check = Callable[[Any], None]
FINDING = ("finder", "scope", "sparsity")
"""Options that find a pathway, and go unused where one is given."""


def check_method(method: str, options: Mapping[str, Any]) -> None:
    """Raises OptionError for a method that is unknown, an option that it does not take, or one out of its range."""
    ATTRIBUTIONS[method].check_options(options)
    for name, value in options.items():
        if name in CHECKS:
            CHECKS[name](value)
    if options.get("pathway") is not None and (extra := [name for name in FINDING if name in options]):
        raise OptionError(f"a pathway is given, so {', '.join(extra)} would go unused: give one or the other")


def _check_sparsities(values: Any) -> None:
    check_several("sparsities", values)
    for value in values:
        check_sparsity(value)


def _check_site(value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise OptionError(f"site is {shown(value)}; it is the name of a site, as in net.sites(x).names")


CHECKS: dict[str, Check] = {
    "sparsity": check_sparsity,
    "sparsities": _check_sparsities,
    "finder": lambda value: check_known("finder", value, finder_names()),
    "scope": check_scope,
    "site": _check_site,
    "channels": lambda value: check_choice("channels", value, tuple(CHANNELS)),
    "mode": lambda value: check_choice("mode", value, MODES),
    "points": lambda value: check_count("points", value, 1),
    "samples": lambda value: check_count("samples", value, 1),
    "steps": lambda value: check_count("steps", value, 1),
    "seed": lambda value: check_count("seed", value, 0),
    "step": partial(check_number, "step", low=0, above=True),
    "radius": partial(check_number, "radius", low=0, above=True),
    "noise": partial(check_number, "noise", low=0),
    "blur": partial(check_number, "blur", low=0),
    "quantile": partial(check_number, "quantile", low=0, high=1, below=True),
    "absolute": partial(check_flag, "absolute"),
    "times_input": partial(check_flag, "times_input"),
}
"""An option has one meaning in all methods, and so one check."""
