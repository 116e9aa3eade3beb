"""Sentence encoders: how alike two texts are, as a response."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from critpath.errors import InputError, OptionError, StorageError, TargetError
from critpath.network import Network, Run
from critpath.targets import Target

if TYPE_CHECKING:
    from critpath.zoo.tokens import Tokens
    from critpath.zoo.values import LoadedModel

_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_max_tokens": "max",
    "mean": "mean",
    "cls": "first",
    "max": "max",
}
_KNOWN = ("Transformer", "Pooling", "Normalize")


@final
@dataclass(frozen=True)
class Pooling:
    """How a sentence encoder makes one vector of its tokens: "mean", "first" or "max" over them.

    ``refused`` says why that cannot be done as the model's files have it; empty where it can.
    """

    mode: str = "mean"
    refused: str = ""

    def __call__(self, hidden: Tensor, counted: Tensor) -> Tensor:
        """[batch, length, features] and booleans [batch, length], which tokens count, to [batch, features]."""
        if self.mode == "first":
            return hidden[:, 0]
        shown = counted.unsqueeze(-1)
        if self.mode == "max":
            return hidden.masked_fill(~shown, float("-inf")).amax(dim=1)
        return (hidden * shown).sum(dim=1) / shown.sum(dim=1)


MEAN = Pooling()
"""The usual one."""


@final
@dataclass(frozen=True, eq=False)
class Similarity(Target):
    """The cosine of a text's embedding with that of another text, which stays as it is.

    Attributes:
        text: the other text.
        other: its embedding [features].
        counted: booleans [batch, length]: the tokens that are pooled, all but padding.
        pooling: how.
    """

    text: str
    other: Tensor
    counted: Tensor
    pooling: Pooling = MEAN

    def fixed(self, run: Run) -> Similarity:
        return self

    def of(self, run: Run) -> Tensor:
        embedding = self.pooling(hidden_states(run.output), self.counted.expand(run.batch, -1))
        return F.cosine_similarity(embedding, self.other.to(embedding).unsqueeze(0), dim=1)

    def taken(self, samples: Tensor) -> Similarity:
        return replace(self, counted=self.counted[samples.to(self.counted.device)])

    @property
    def for_samples(self) -> int:
        return len(self.counted)

    @property
    def __name__(self) -> str:
        return f"similarity to “{self.text}” (cosine of the sentences' embeddings, {self.pooling.mode} pooling)"


def similarity(loaded: LoadedModel, tokens: Tokens, text: str) -> Similarity:
    """The target for ``tokens``: how alike their sentence embeddings are to that of another text.

    Raises OptionError for a model without a tokenizer or with further layers after its pooling, TargetError for a
    classifier and where the output holds no hidden states, InputError for an empty text and for what is no Tokens.
    """
    if not hasattr(tokens, "padding"):
        raise InputError(
            f"similarity takes the tokenizer's Tokens whole, tokenizer([text]), not {type(tokens).__name__}: it has to "
            "know what is padding"
        )
    if loaded.tokenizer is None:
        raise OptionError(f"{loaded.name} has no tokenizer; a similarity is that of two texts")
    if loaded.classes is not None:
        raise TargetError(
            f"{loaded.name} is a classifier ({type(loaded.model).__name__}), which gives classes and no hidden states: "
            "a similarity (--like) is for sentence encoders; of a classifier explain a class (--target)"
        )
    if loaded.pooling.refused:
        raise OptionError(f"the sentence embedding of {loaded.name} cannot be made here: {loaded.pooling.refused}")
    other = loaded.tokenizer([text]).to(tokens.ids.device)
    with torch.no_grad():
        run = Network(loaded.model).run(other.x, graph=False)
        embedding = loaded.pooling(hidden_states(run.output).detach(), ~other.padding.to(tokens.ids.device))[0]
    return Similarity(text, embedding, ~tokens.padding.to(tokens.ids.device), loaded.pooling)


def hidden_states(output: Any) -> Tensor:
    """The last hidden states [batch, length, features] in a model's output. Raises TargetError where there are none."""
    found = output.get("last_hidden_state") if isinstance(output, Mapping) else output
    found = getattr(found, "last_hidden_state", found)
    found = found[0] if isinstance(found, tuple | list) and found else found
    if not isinstance(found, Tensor) or found.dim() != 3:
        shape = list(found.shape) if isinstance(found, Tensor) else type(output).__name__
        raise TargetError(
            f"the model's output has no hidden states [batch, length, features] to make a sentence of, but {shape}: "
            "a similarity is for encoders; a classifier explains a class"
        )
    return found


def read_pooling(find: Callable[[str], Path | None]) -> Pooling:
    """The pooling that a model's 1_Pooling/config.json states; the mean where there is none.

    ``find`` gives the place of a file of the model, None where it has none of that name.
    """
    modules = _json(find("modules.json"), [])
    further = [str(one.get("type")).split(".")[-1] for one in modules if isinstance(one, dict)]
    if others := [kind for kind in further if kind not in _KNOWN]:
        return Pooling(refused=f"modules.json has the layer {others[0]} after the encoder")
    stated = _json(find("1_Pooling/config.json"), {})
    modes = [name for name, on in stated.items() if name.startswith("pooling_mode_") and on is True]
    named = stated.get("pooling_mode")
    modes = modes or ([named] if isinstance(named, str) else ["mean"])
    if len(modes) != 1 or modes[0] not in _MODES:
        return Pooling(refused=f"1_Pooling/config.json asks for {' and '.join(modes)}")
    return Pooling(_MODES[modes[0]])


def _json(path: Path | None, missing: Any) -> Any:
    if path is None or not path.is_file():
        return missing
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, type(missing)):
        raise StorageError(f"{path} holds a {type(found).__name__}, not a {type(missing).__name__}.")
    return found
