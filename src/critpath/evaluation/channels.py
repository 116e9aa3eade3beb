"""What filters do on images: their importance by several contributions, and their mean activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from critpath.contributions import score, score_many
from critpath.errors import MismatchError, OptionError
from critpath.groups import GroupValues
from critpath.memory import rows_at_once
from critpath.network import ModelInput, Network, batch_size, samples_of
from critpath.targets import TargetLike

METHODS = ("activation", "gradient_activation", "influence", "conductance")
"""Those of the conductance paper."""


@dataclass(frozen=True, eq=False)
class ChannelFeatures:
    """Filters of a network on n images: ``importances`` by method and ``features``, each [n, channels].

    ``sites`` and ``names`` (``site[channel]``) say which filter a column is.
    """

    sites: tuple[str, ...]
    names: tuple[str, ...]
    importances: dict[str, Tensor]
    features: Tensor

    def at(self, *patterns: str) -> ChannelFeatures:
        """The filters of some sites, by name or ``fnmatch`` pattern. Raises OptionError where there is none."""
        found = [i for i, site in enumerate(self.sites) if site in patterns or _matches(site, patterns)]
        if not found:
            raise OptionError(f"{', '.join(patterns)} matches none of the sites {', '.join(dict.fromkeys(self.sites))}")
        importances = {name: values[:, found] for name, values in self.importances.items()}
        sites, names = (tuple(row[i] for i in found) for row in (self.sites, self.names))
        return ChannelFeatures(sites, names, importances, self.features[:, found])


def channel_features(
    net: Network,
    x: ModelInput,
    sites: Sequence[str] | None = None,
    methods: Sequence[str] = METHODS,
    target: int | Tensor | None = None,
    *,
    memory: str | int | None = None,
    **options: object,
) -> ChannelFeatures:
    """Importance of every filter, the signed sum of a contribution over its positions, and its mean activation.

    Dhamdhere et al. 2019, section 5.2: the response is the logit of the predicted class, or that of ``target``, a
    class or classes int64 [n]. ``methods`` are names of ``contribution_names()``; they share what they can. ``sites``
    are names or patterns, None for all; all sites of the network are computed, so wrap it with
    ``Network(model, only=...)`` where that is too much. Images go through the network as memory allows. ``options``
    are those of the methods that know them.

    Raises OptionError, TargetError, InputError, NumericalError (also where no neuron contributes).
    """
    images = torch.arange(batch_size(x))
    if target is not None and not isinstance(target, int) and target.shape != images.shape:
        raise OptionError(
            f"target is {list(target.shape)}; give None, one class, or one for each of {len(images)} images"
        )
    parts = torch.split(images, rows_at_once(net, x, memory))
    found = stacked([_of(net, samples_of(x, part), methods, _at(target, part), options) for part in parts])
    return found if sites is None else found.at(*sites)


def stacked(parts: Sequence[ChannelFeatures]) -> ChannelFeatures:
    """Several batches of images as one. Raises MismatchError where they are of different filters or methods."""
    first = parts[0]
    if any(part.names != first.names or set(part.importances) != set(first.importances) for part in parts):
        raise MismatchError("the parts are of different filters or methods")
    importances = {name: torch.cat([part.importances[name] for part in parts]) for name in first.importances}
    return ChannelFeatures(first.sites, first.names, importances, torch.cat([part.features for part in parts]))


def _of(
    net: Network, x: ModelInput, methods: Sequence[str], target: TargetLike, options: dict[str, object]
) -> ChannelFeatures:
    found = score_many(net, x, methods, target, by="channels", **options)
    importances = {name: scores.values for name, scores in found.items() if isinstance(scores, GroupValues)}
    activation = score(net, x, "activation", target, by="channels")
    names = activation.names
    features = activation.values / activation.sizes.to(activation.values)
    return ChannelFeatures(tuple(name.rpartition("[")[0] for name in names), names, importances, features)


def _at(target: int | Tensor | None, part: Tensor) -> int | Tensor | None:
    return target[part.to(target.device)] if isinstance(target, Tensor) else target


def _matches(site: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(site, pattern) for pattern in patterns)
