"""What methods and metrics would refuse, found by trying their options on a tiny network before a run begins."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from critpath.attribution.explainer import explainer
from critpath.contributions import contribution_names
from critpath.errors import CritpathError, OptionError
from critpath.evaluation.agreement import map_agreement
from critpath.evaluation.feature_selection import feature_selection
from critpath.evaluation.perturbation import Perturbation, pixel_perturbation
from critpath.evaluation.randomisation import efficient_mprt, parameter_randomisation, smoothed
from critpath.evaluation.removal import remove
from critpath.evaluation.retraining.curve import check_shares
from critpath.evaluation.retraining.fidelity import f_fidelity, fine_tuning
from critpath.evaluation.retraining.recipe import Recipe, papers_recipe
from critpath.evaluation.retraining.roar import retrained_accuracy
from critpath.network import Network
from critpath.options import check_choice, check_count, check_flag, check_several, check_type, shown
from critpath.registry import check_known

Options = Mapping[str, Any]


def defaults(function: Callable[..., Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """The keyword options of a function with their defaults, as JSON has them, but for some."""
    parameters = signature(function).parameters.values()
    found = {p.name: p.default for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.name not in without}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def fields_of(kind: type, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a dataclass that have defaults."""
    return {f.name: f.default for f in fields(kind) if f.name not in without}


def trial(options: Options) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """A tiny network, two random images, classes and maps, to try options on: what they refuse is refused at once."""
    given = [options[name] for name in ("fill", "mean") if isinstance(options.get(name), list)]
    channels = len(given[0]) if given and given[0] else 3
    draws = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers = (nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    x = torch.randn(2, channels, 16, 16, generator=draws)
    return model, x, torch.tensor([0, 1]), torch.randn(2, 1, 16, 16, generator=draws)


def check_method(method: str, options: Options) -> None:
    """Raises OptionError for what a registered attribution method would refuse."""
    model, x, target, _ = trial({})
    net = Network(model)
    explainer(net, method, **options)
    explain = explainer(net, method, **{name: _few(value) for name, value in options.items()})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            explain(x, target)
    except OptionError:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        if not isinstance(error, CritpathError):  # others are about the tiny network, which is not the user's
            raise OptionError(f"{method} cannot use these options: {error}") from None
    except Exception:  # what it needs may be in the user's network only
        return


def _few(value: Any) -> Any:
    """Large whole numbers, of steps or samples, made small: whether they are right has been checked."""
    return min(value, 4) if isinstance(value, int) and not isinstance(value, bool) else value


def check_perturbation(options: Options) -> None:
    """Raises OptionError or InputError for options that are refused."""
    model, x, target, maps = trial(options)
    pixel_perturbation(model, x, target, maps, **_some_mean(options))


def check_preset(preset: Callable[..., Perturbation], options: Options) -> None:
    """Raises OptionError or InputError for options that ``deletion`` or ``insertion`` refuses."""
    model, x, target, maps = trial(options)
    check_count("steps", options["steps"], 1)
    preset(model, x, target, maps, **_some_mean({**options, "steps": 1}))


def _some_mean(options: Options) -> dict[str, Any]:
    """With a mean where that of the data is meant."""
    return {**options, "mean": 0.0 if options["mean"] is None else options["mean"]}


def check_randomisation(options: Options) -> None:
    """Raises OptionError for options that are refused; which modules ``stages`` match only the network tells."""
    model, x, target, maps = trial({})
    if not isinstance(options["stages"], list) or not all(isinstance(p, str | list) for p in options["stages"]):
        raise OptionError(f"stages is {shown(options['stages'])}; it is a list of patterns, or of lists of them")
    own = {name: value for name, value in options.items() if name not in ("stages", "repeats", "samples", "noise")}
    check_count("repeats", options["repeats"], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameter_randomisation(model, lambda x, target: maps, x, target, original=maps, **own)
        if "samples" in options:
            smoothed(lambda x, target: maps, options["samples"], options["noise"])(x, target)


def check_complexity(options: Options) -> None:
    """Raises OptionError for options that are refused."""
    model, x, target, maps = trial({})
    check_count("repeats", options["repeats"], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        efficient_mprt(model, lambda x, target: maps, x, target, original=maps, **{**options, "repeats": 1})


def check_roar(options: Options) -> None:
    """Raises OptionError or InputError for options that are refused."""
    _, x, _, maps = trial(options)
    check_shares(options["shares"])
    check_several("seeds", options["seeds"])
    for seed in options["seeds"]:
        check_count("a seed", seed, 0)
    if len(set(options["seeds"])) < len(options["seeds"]):
        raise OptionError(f"seeds are {options['seeds']}: one is there twice")
    check_flag("keep", options["keep"])
    remove(x, maps, 0.5, **{name: options[name] for name in REMOVAL if options[name] is not None})
    recipe_of(options["recipe"], 2, 3)


def check_selection(options: Options) -> None:
    """Raises OptionError for options that are refused; which sites match only the network tells."""
    for name in ("sets", "size"):
        check_count(name, options[name], 1 if name == "sets" else 2)
    for name in ("methods", *(["sites"] if options["sites"] is not None else [])):
        check_several(name, options[name])
    for name in options["methods"]:
        check_known("contribution", name, contribution_names())
    values, labels = torch.randn(12, 64, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
    check_several("counts", options["counts"])
    own = {name: options[name] for name in SELECTION}
    if max(options["counts"], default=0) <= 64:
        feature_selection(values, values, labels, (0, 1), options["counts"], **own)


def check_fidelity(options: Options) -> None:
    """Raises OptionError or InputError for options that are refused."""
    model, x, target, maps = trial(options)
    check_type("tuning", options["tuning"], dict, "epochs, batch and lr")
    own = {name: value for name, value in _some_mean(options).items() if name != "tuning"}
    f_fidelity(model, x, target, maps, **own)
    _refusing_unknown(options["tuning"], TUNING, "tuning")
    fine_tuning(model, **options["tuning"])


def recipe_of(given: Options, classes: int, channels: int, factory: Callable[[], nn.Module] | None = None) -> Recipe:
    """The recipe of a plan: fields of ``Recipe``, and ``width`` of the papers' ResNet-8 or the user's own network.

    Raises OptionError.
    """
    check_type("recipe", given, dict, "fields like epochs, batch and lr")
    _refusing_unknown(given, RECIPE, "recipe")
    changes = {name: value for name, value in given.items() if name not in ("width", "model")}
    check_count("width", given.get("width", WIDTH), 1)
    if factory is not None:
        return Recipe(factory, **changes)
    return papers_recipe(classes, channels, width=given.get("width", WIDTH), **changes)


def _refusing_unknown(given: Options, known: Options, what: str) -> None:
    for name in given:
        check_choice(f"a field of {what}", name, tuple(known))


def check_agreement(options: Options) -> None:
    """Raises OptionError for options that are refused."""
    *_, maps = trial({})
    map_agreement({"one": maps, "other": maps}, **options, resamples=FEWEST)


WIDTH = 64
FEWEST = 2
"""Bootstrap resamples where the interval is not used."""

REMOVAL = defaults(retrained_accuracy, without=("keep",))
SELECTION = defaults(feature_selection)
RECIPE: dict[str, Any] = {"model": None, "width": WIDTH, **fields_of(Recipe, ("model",))}
TUNING = defaults(fine_tuning)
