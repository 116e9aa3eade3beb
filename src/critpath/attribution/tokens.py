"""From maps over what moves to maps over the input: those over embeddings become maps over tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from critpath.attribution.family import InputMaps
from critpath.errors import InputError, OptionError
from critpath.network import ModelInput, map_tensors, tokens_of
from critpath.neurons import wide
from critpath.options import check_choice
from critpath.response import Response

Reduce = Callable[[Sequence[Tensor], int], Tensor]
"""From maps of several lookups, with so many dimensions of units and tokens before the features, to one of tokens."""


def over_input(maps: InputMaps, response: Response, embedding: str = "sum") -> ModelInput:
    """Maps in the structure of the input: None for integers, and at its tokens what the lookups' maps make.

    Maps may have a dimension of units before all others. ``embedding`` is a key of ``REDUCE``.
    """
    first, tokens = len(response.run.inputs), tokens_of(response.x)
    inputs, found = iter(maps[:first]), [one for one in maps[first:] if one is not None]

    def place(tensor: Tensor) -> Tensor | None:
        own = next(inputs)
        return _joined(found, response, embedding) if found and tensor is tokens else own

    return map_tensors(response.x, place)


def check_moves(response: Response, embedding: str | None = None) -> None:
    """Raises InputError where there is nothing to make a map of, OptionError for a reduction that is unknown or of
    nothing."""
    run = response.run
    if all(leaf is None for leaf in run.moving):
        raise InputError(
            f"the input holds integers only, and no lookup of them in an embedding was seen{_why(response)}: give the "
            "model its embeddings as floating-point input (inputs_embeds for transformers)"
        )
    if run.mixed:
        where = ", ".join(name or "the model" for name in run.mixed)
        raise InputError(
            f"{where} looks up integers made of several tokens (n-grams, "
            "or an operation that critpath does not follow), so that a map over tokens would leave out what they do: "
            "give the model its embeddings as floating-point input"
        )
    if embedding is not None:
        check_choice("embedding", embedding, tuple(REDUCE))
        if not run.lookups:
            raise OptionError(f"embedding={embedding!r} is for maps over tokens, and this input has none")


def _why(response: Response) -> str:
    if any(isinstance(module, nn.EmbeddingBag) for module in response.net.model.modules()):
        return " (nn.EmbeddingBag adds tokens up before they can be told apart; use nn.Embedding and a sum)"
    return " (tokens are the entry 'input_ids', or the first integers)"


def _joined(maps: Sequence[Tensor], response: Response, embedding: str) -> Tensor:
    """Of the lookups, each [..., *tokens.shape, *features]."""
    tokens = tokens_of(response.x)
    assert tokens is not None
    units = maps[0].dim() - response.run.lookups[0].dim()
    return REDUCE[embedding](maps, units + tokens.dim()).to(maps[0].dtype)


def _features(one: Tensor, dims: int) -> Tensor:
    """[*dims, features], at least float32."""
    return wide(one).reshape(*one.shape[:dims], -1)


def _sum(maps: Sequence[Tensor], dims: int) -> Tensor:
    return torch.stack([_features(one, dims).sum(dim=-1) for one in maps]).sum(dim=0)


def _l2(maps: Sequence[Tensor], dims: int) -> Tensor:
    return torch.cat([_features(one, dims) for one in maps], dim=-1).square().sum(dim=-1).sqrt()


def _each(maps: Sequence[Tensor], dims: int) -> Tensor:
    if len({one.shape for one in maps}) > 1:
        sizes = ", ".join(str(list(one.shape[dims:])) for one in maps)
        raise OptionError(f"embedding='each' needs lookups with the same features, and these have {sizes}")
    return torch.stack([wide(one) for one in maps]).sum(dim=0)


REDUCE: dict[str, Reduce] = {"sum": _sum, "l2": _l2, "each": _each}
"""Maps over embeddings as maps over tokens: the sum or the Euclidean norm over features, or each feature; lookups of
the same tokens in several embeddings count together."""

PER_UNIT = frozenset(
    {"gradient", "smoothgrad", "guided_backprop", "rectgrad", "pathway_gradient", "prunegrad", "prune_pgd"}
)
"""Methods whose maps are directions in the space of embeddings, by default told by their length: their sum over
features is the derivative for a shift of all features at once, and 0 where a layer norm follows the embedding."""
