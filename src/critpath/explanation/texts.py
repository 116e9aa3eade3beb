"""What a page shows of a text: its tokens, and what flows from each of them through a pathway or a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from critpath.zoo.tokens import Tokens, as_word

POINTS, FEWER, LONG = 16, 8, 128
"""Points of the line along which maps over a text are integrated; fewer where it is longer than so many tokens."""

MORE = 4
"""How many times as many points are tried where the integral has not converged."""

MISS, SMALL = 0.1, 0.1
"""An integral has converged where it misses its total by at most ``MISS`` of it, or of ``SMALL`` of the sum of
magnitudes where that is larger."""

_ALONG_INPUTS = ("conductance", "influence")
"""Contributions whose baseline is one of the input; that of others is one of activations."""

Unit = Neuron | Channel


@dataclass(frozen=True, eq=False)
class Text:
    """The tokens of an input [1, length], for the page, where the conductance of its units starts, and the points of
    the line along which its maps are integrated."""

    tokens: tuple[Token, ...]
    baseline: Any = None
    points: int = POINTS

    @property
    def start(self) -> str:
        """The baseline in words."""
        if self.baseline is None or isinstance(self.baseline, str):
            named = {None: "embeddings of zeros", "zero": "embeddings of zeros", "padding": "padding tokens"}
            return named.get(self.baseline, str(self.baseline))
        return "the baseline given"


@dataclass(frozen=True)
class Control:
    """What the map of the whole network adds up to, beside the change of the response, which it should be.

    ``size`` is the sum of the map's magnitudes; ``tried`` are the numbers of points, the last one that of the map.
    """

    total: float
    change: float
    size: float
    start: str
    tried: tuple[int, ...]

    @property
    def converged(self) -> bool:
        """Whether the map adds up to the change, about."""
        return abs(self.total - self.change) <= MISS * max(abs(self.change), SMALL * self.size)

    @property
    def said(self) -> tuple[str, str]:
        """A row of the page's table."""
        change = f"{self.change:.4g}, the change of the response from {self.start}"
        return "Map of the whole network", f"adds up to {self.total:.4g} of {change} ({self.tried[-1]} points)"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know where it does not add up."""
        if self.converged:
            return ()
        points = " and ".join(map(str, sorted(self.tried)))
        return (
            f"The maps over the text have not converged: through the whole network the tokens' values add up to "
            f"{self.total:.4g}, and the response changes by {self.change:.4g} from {self.start} to the text ({points} "
            "points tried). Neither signs nor sizes of the values can be trusted, nor those beside neurons and "
            "channels. Start from other tokens: --baseline mask or --baseline padding, whichever the tokenizer has "
            "(in Python baseline=tokens.baseline(...)).",
        )


def settled(response: Response, text: Text) -> tuple[Text, Control]:
    """The text with as many points as its map of the whole network needs: the usual ones, or ``MORE`` times as many
    where these converge and the usual ones do not."""
    usual = _control(response, text)
    if usual.converged:
        return text, usual
    finer = replace(text, points=MORE * text.points)
    control = _control(response, finer)
    return (finer, control) if control.converged else (text, replace(usual, tried=(finer.points, text.points)))


def _control(response: Response, text: Text) -> Control:
    whole = input_maps(response, [None], text)[0].double()
    changes = [InputLine(response, start).change for start in starts_of(text.baseline, response)]
    change = float(sum(float(one[0]) for one in changes) / len(changes))
    return Control(float(whole.sum()), change, float(whole.abs().sum()), text.start, (text.points,))


def unpacked(x: Any, words: Sequence[str] | None) -> tuple[ModelInput, Sequence[str] | None]:
    """The input and its words, of ``Tokens`` too."""
    if not isinstance(x, Tokens):
        return x, words
    return x.x, x.words[0] if words is None and len(x) == 1 else words


def text_of(x: ModelInput, words: Sequence[str] | None, baseline: object) -> Text | None:
    """The input as a text; None where it is none.

    Raises InputError where words are given for another kind of input, or not one for each token.
    """
    _check_words(words)
    ids = tokens_of(x)
    if ids is None or not holds_text(x):
        if words is not None:
            raise InputError("words are given, but the input holds no tokens (integers) that they could stand for")
        return None
    if ids.dim() == 1:
        raise InputError(
            f"the input's tokens are {list(ids.shape)}, without the dimension of the batch: give ids.unsqueeze(0), "
            "[1, length]"
        )
    shown = tuple(_token(word) for word in words) if words is not None else _numbered(ids)
    if ids.dim() != 2 or len(shown) != ids.shape[1]:
        raise InputError(
            f"the input's tokens are {list(ids.shape)}, and there are {len(shown)} words: give one for each"
        )
    points = POINTS if len(shown) <= LONG else FEWER
    return Text(shown, None if isinstance(baseline, NeuronValues) else baseline, points)


def _check_words(words: Any) -> None:
    """Raises InputError for what is no list of one text's words."""
    if isinstance(words, str):
        raise InputError(f"words is the string {words[:40]!r}; give a list, one word for each token: tokens.words[0]")
    if words is not None and not all(isinstance(word, str) for word in words):
        raise InputError(
            "words holds lists, the words of every text; give those of the one that is explained: words=tokens.words[0]"
        )


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
