"""What ``critpath explain`` explains: a photograph in a file, or a text."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from critpath.cli.shared import DEFAULT_MODEL, class_number
from critpath.errors import OptionError, TargetError

if TYPE_CHECKING:
    from critpath.explanation import Explanation, Progress
    from critpath.network import Network
    from critpath.targets import TargetLike
    from critpath.zoo import LoadedModel, Tokens

TITLE = 80
"""Characters of a text that stand for it."""

DIGITS, _OF_IMAGES = "digits", ("torchvision:", "timm:", "file:")
"""Models that are known to take images before they are loaded."""

ALONG_INPUTS = ("conductance", "influence")
"""Methods that start from a baseline of the input."""


class Subject(ABC):
    """One thing to explain."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def title(self) -> str:
        """Its page's heading."""

    @property
    @abstractmethod
    def stem(self) -> str:
        """What its page's file name begins with, after a number."""

    @property
    @abstractmethod
    def named(self) -> Mapping[str, str]:
        """Its entry in JSON."""

    @abstractmethod
    def explained(self, net: Network, loaded: LoadedModel, options: dict[str, Any], tell: Progress) -> Explanation:
        """All of it, by the options of the command."""


@final
@dataclass(frozen=True)
class Photograph(Subject):
    """An image file. ``explained`` raises ImageError where it cannot be read."""

    file: Path
    kind: ClassVar[str] = "image"

    @property
    def title(self) -> str:
        return self.file.name

    @property
    def stem(self) -> str:
        return self.file.stem[:100]

    @property
    def named(self) -> Mapping[str, str]:
        return {"image": str(self.file)}

    def explained(self, net: Network, loaded: LoadedModel, options: dict[str, Any], tell: Progress) -> Explanation:
        import numpy as np

        from critpath.explanation import explain
        from critpath.zoo import read_image

        if loaded.preprocess is None:
            raise OptionError(_no_preprocessing(loaded))
        image = read_image(self.file)
        return explain(
            net,
            loaded.preprocess(image).unsqueeze(0).to(options["device"]),
            class_number(options["target"], loaded.classes),
            **common(options),
            **score_options(options, loaded),
            classes=loaded.classes,
            picture=np.asarray(loaded.preprocess.view(image)),
            title=self.title,
            model=loaded.name,
            notes=(("Image", str(self.file)), *_weights(loaded)),
            progress=tell,
        )


@final
@dataclass(frozen=True)
class Text(Subject):
    """A text. ``explained`` raises InputError where it has no token."""

    text: str
    kind: ClassVar[str] = "text"

    @property
    def title(self) -> str:
        line = " ".join(self.text.split())
        return line if len(line) <= TITLE else line[: TITLE - 1] + "…"

    @property
    def stem(self) -> str:
        return re.sub(r"\W+", "-", self.text[:40]).strip("-_").lower() or "text"

    @property
    def named(self) -> Mapping[str, str]:
        return {"text": self.text}

    def explained(self, net: Network, loaded: LoadedModel, options: dict[str, Any], tell: Progress) -> Explanation:
        from critpath.explanation import explain

        tokens = _tokens(self.text, loaded, options)
        baseline = options["baseline"]
        start = {} if baseline is None else {"baseline": tokens.baseline(baseline)}
        try:
            return explain(
                net,
                tokens.x,
                _target(tokens, loaded, options),
                **common(options),
                **{**score_options(options), **start},
                classes=loaded.classes,
                words=tokens.words[0],
                title=self.title,
                model=loaded.name,
                notes=(("Text", self.title), ("Baseline of the maps", baseline or "zero"), *_weights(loaded)),
                cautions=_cautions(tokens, loaded),
                progress=tell,
            )
        except TargetError as error:
            raise _about_encoders(error, loaded, options) from error


def check_asked(images: Sequence[Path], texts: Sequence[str], demo: bool, options: Mapping[str, Any]) -> None:
    """Raises OptionError for what goes together with nothing; before a model is loaded."""
    from critpath.explanation import check_options

    if texts and (images or demo):
        raise OptionError("give images or --text, not both: a model takes one of them")
    if texts and options["model"] == DEFAULT_MODEL:
        raise OptionError(
            "--text needs a text model: --model hf:FOLDER, or --model path/to/module.py:function that returns "
            "(model, tokenizer)"
        )
    if texts and (options["model"].startswith(_OF_IMAGES) or options["model"] == DIGITS):
        raise OptionError(f"{options['model']} is a model of images, and --text needs a text model: --model hf:FOLDER")
    if not texts and options["model"].startswith("hf:"):
        raise OptionError(f'{options["model"]} takes texts, not images: give --text "..."')
    if options["like"] is not None and (not texts or options["target"] is not None):
        raise OptionError("--like goes with --text, and instead of --target: it is what is explained")
    given = {name: value for name, value in score_options(options).items() if not (texts and name == "baseline")}
    check_options(options["method"], [options["sparsity"]], options["scope"], options=given)


def common(options: Mapping[str, Any]) -> dict[str, Any]:
    """What every explanation takes."""
    return {name: options[name] for name in ("method", "sparsity", "scope", "seed")}


def score_options(options: Mapping[str, Any], loaded: LoadedModel | None = None) -> dict[str, Any]:
    """What was said about the method that ranks; a black baseline becomes values once the model is known."""
    names = ("points", "tolerance", "baseline", "memory")
    given = {name: options[name] for name in names if options[name] is not None}
    if (
        given.get("baseline") == "black"
        and options["method"] in ALONG_INPUTS
        and loaded is not None
        and loaded.preprocess is not None
    ):
        given["baseline"] = loaded.preprocess.black.to(options["device"])
    return given


def _tokens(text: str, loaded: LoadedModel, options: Mapping[str, Any]) -> Tokens:
    if loaded.tokenizer is None:
        raise OptionError(
            f"{loaded.name} comes without a tokenizer: let the function return (model, tokenizer), where "
            "tokenizer(text) gives (words, ids)"
        )
    return loaded.tokenizer([text]).to(options["device"])


def _target(tokens: Tokens, loaded: LoadedModel, options: Mapping[str, Any]) -> TargetLike:
    from critpath.zoo import similarity

    if options["like"] is not None:
        return similarity(loaded, tokens, options["like"])
    return class_number(options["target"], loaded.classes)


def _about_encoders(error: TargetError, loaded: LoadedModel, options: Mapping[str, Any]) -> TargetError:
    if options["like"] is not None or loaded.classes is not None:
        return error
    return TargetError(
        f"{type(loaded.model).__name__} has no class scores ({error}). To explain a sentence encoder, name a text that "
        'its sentence is compared with: --like "another text"'
    )


def _cautions(tokens: Tokens, loaded: LoadedModel) -> tuple[str, ...]:
    left, taken = tokens.left_out[0], tokens.ids.shape[1]
    if not left:
        return ()
    return (
        f"The text is too long for {loaded.name}: {taken:,} tokens are explained, and {left:,} more were left out.",
    )


def _no_preprocessing(loaded: LoadedModel) -> str:
    if loaded.tokenizer is not None:
        return f'{loaded.name} takes texts, not images: --text "..."'
    return (
        f"{loaded.name} comes without its preprocessing: let the function return (model, Preprocess(resize=256, "
        "crop=224)), with critpath.zoo.Preprocess"
    )


def _weights(loaded: LoadedModel) -> tuple[tuple[str, str], ...]:
    return ("Weights", loaded.source), ("Licence of the weights", loaded.licence)
