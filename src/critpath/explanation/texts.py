"""What a page shows of a text: its tokens, and what flows from each of them through a pathway or a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from critpath.attribution import conductance_maps
from critpath.attribution.along import add_to, points_of, totals_of
from critpath.attribution.tokens import check_moves, over_input
from critpath.baselines import starts_of
from critpath.errors import InputError
from critpath.explanation.views import holds_text, leading
from critpath.lines import InputLine
from critpath.network import ModelInput, tokens_of
from critpath.neurons import NeuronValues, Site
from critpath.report import Token
from critpath.response import Response
from critpath.targets import Channel, Neuron
from critpath.zoo.tokens import as_word

POINTS, FEWER, LONG = 16, 8, 128
"""Points of the line along which maps over a text are integrated; fewer where it is longer than so many tokens."""

_ALONG_INPUTS = ("conductance", "influence")
"""Contributions whose baseline is one of the input; that of others is one of activations."""

Unit = Neuron | Channel


@dataclass(frozen=True, eq=False)
class Text:
    """The tokens of an input [1, length], for the page, and where the conductance of its units starts."""

    tokens: tuple[Token, ...]
    baseline: Any = None

    @property
    def points(self) -> int:
        """Points of the line along which its maps are integrated."""
        return POINTS if len(self.tokens) <= LONG else FEWER

    @property
    def start(self) -> str:
        """The baseline in words."""
        if self.baseline is None or isinstance(self.baseline, str):
            named = {None: "embeddings of zeros", "zero": "embeddings of zeros", "padding": "padding tokens"}
            return named.get(self.baseline, str(self.baseline))
        return "the baseline given"


def text_of(x: ModelInput, words: Sequence[str] | None, baseline: object) -> Text | None:
    """The input as a text; None where it is none.

    Raises InputError where words are given for another kind of input, or not one for each token.
    """
    ids = tokens_of(x)
    if ids is None or not holds_text(x):
        if words is not None:
            raise InputError("words are given, but the input holds no tokens (integers) that they could stand for")
        return None
    shown = tuple(_token(word) for word in words) if words is not None else _numbered(ids)
    if ids.dim() != 2 or len(shown) != ids.shape[1]:
        raise InputError(
            f"the input's tokens are {list(ids.shape)}, and there are {len(shown)} words: give one for each"
        )
    return Text(shown, None if isinstance(baseline, NeuronValues) else baseline)


def without_input_baseline(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the method that ranks: a baseline of the text goes to methods that start from inputs only."""
    passed = method in _ALONG_INPUTS or isinstance(options.get("baseline"), NeuronValues)
    return {name: value for name, value in options.items() if name != "baseline" or passed}


def input_maps(response: Response, keeps: Sequence[NeuronValues | None], text: Text | None) -> list[Tensor]:
    """What a page shows over the input for each set of neurons, None for all of them.

    The gradient through them, shaped like the first floating-point input. For a text
    (e - e') ⊙ ∫ ∇_e Φ dα through them along the line from the baseline e' of its embeddings, summed over features,
    [1, length], signed: through all neurons these are integrated gradients. The gradient at the text itself would say
    little: a layer norm after the embedding makes it orthogonal to what is embedded.
    """
    if text is None:
        return [leading(response, response.run.input_gradients(response.value, keep=keep)) for keep in keeps]
    check_moves(response)
    totals = totals_of(response, len(keeps))
    for run, line, weights, samples in points_of(response, text.baseline, text.points, None, len(keeps)):
        value = response.of_rows(run, samples)
        for number, keep in enumerate(keeps):
            gradients = run.input_gradients(value, keep=keep)
            add_to(totals, number, [None if g is None else g.unsqueeze(0) for g in gradients], line, weights, samples)
    return list(_at_tokens(over_input(tuple(totals), response), response.x))


def completeness(response: Response, text: Text, whole: Tensor) -> tuple[str, str]:
    """How exact the integration is, in words: the map through all neurons adds up to the change of the response."""
    changes = [InputLine(response, start).change for start in starts_of(text.baseline, response)]
    change = float(sum(float(one[0]) for one in changes) / len(changes))
    said = f"{float(whole.double().sum()):.4g} of {change:.4g}, the change of the response from {text.start}"
    return "Map of the whole network", f"adds up to {said} ({text.points} points)"


def through_units(response: Response, text: Text, units: Sequence[Unit]) -> list[Tensor]:
    """For each unit its conductance by tokens, [1, length]: equation 2, summed over embedding features."""
    if not units:
        return []
    through = {str(number): [unit] for number, unit in enumerate(units)}
    asked = {"baseline": text.baseline, "points": text.points}
    found = conductance_maps(response.net, response.x, through, response.target, **asked)
    return list(_at_tokens(found.maps, response.x))


def _at_tokens(maps: ModelInput, x: ModelInput) -> Tensor:
    """The map over the tokens, of all maps over an input's parts."""
    parts, found = ([*one.values()] if isinstance(one, Mapping) else [*one] if isinstance(one, tuple) else [one]
                    for one in (x, maps))  # fmt: skip
    ids = tokens_of(x)
    at = next(one for part, one in zip(parts, found, strict=True) if part is ids)
    assert isinstance(at, Tensor)
    return at


def place_in_text(site: Site, index: Sequence[int], text: Text | None) -> str:
    """Where a neuron stands: at a word, where a site has one position a token, else at its coordinates."""
    place = [i for dim, i in enumerate(index) if dim != site.channel_dim]
    if text is not None and len(place) == 1 and site.neurons == site.channels * len(text.tokens):
        return f"at “{text.tokens[place[0]].text}” (token {place[0]})"
    return f"at ({', '.join(map(str, place))})"


def _token(word: str) -> Token:
    known = as_word(word)
    return Token(str(known), known.joined, known.special, known.unknown)


def _numbered(ids: Tensor) -> tuple[Token, ...]:
    return tuple(Token(f"#{number}") for number in ids[0].tolist()) if ids.dim() == 2 else ()
