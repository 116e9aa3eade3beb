"""Models of Hugging Face with their tokenizers: from a local folder, or by a name on the hub."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from critpath.errors import MismatchError, OptionError, StorageError
from critpath.zoo.hugging_face_hub import check_hub, hub_pooling
from critpath.zoo.hugging_face_tokens import HuggingFaceTokenizer
from critpath.zoo.packages import import_transformers, installed
from critpath.zoo.sentences import MEAN, Pooling, read_pooling
from critpath.zoo.values import LoadedModel, ModelInfo
from critpath.zoo.weights import check_finite

_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_LARGEST = 10**9
"""Tokenizers without a limit state a larger one."""


def load_hugging_face(name: str) -> LoadedModel:
    """The model in a folder that transformers wrote, or one of the hub by its name, with its tokenizer.

    The class is the one that the configuration names. Weights are read from safetensors only, as float32; code that
    comes with a model is not run. Nothing is downloaded for a folder.

    Raises:
        StorageError: there is no such folder, or a file of it is missing or damaged; a download failed.
        OptionError: the configuration names no class of transformers, or one that needs code of its own.
        MismatchError: the weights lack a part of the model, which would be random.
        NumericalError: the weights hold NaN or infinity.
        MissingDependencyError: transformers is not installed.
    """
    transformers = import_transformers()
    folder = _folder(name)
    if folder is None:
        check_hub(name)
    with _quiet(transformers):
        config = _read(transformers.AutoConfig, "configuration", name, folder)
        model = _model(transformers, config, name, folder)
        tokenizer = _read(transformers.AutoTokenizer, "tokenizer", name, folder)
    _settle_padding(tokenizer, model)
    classes = _classes(config, model)
    accepts = frozenset(inspect.signature(model.forward).parameters)
    return LoadedModel(
        f"hf:{name}",
        model,
        classes=classes,
        source=f"folder {folder.name} ({type(model).__name__})" if folder else f"{name} of the Hugging Face hub",
        tokenizer=HuggingFaceTokenizer(tokenizer, _limit(tokenizer, model), accepts),
        pooling=_pooling(name, folder) if classes is None else MEAN,
    )


def hugging_face_info() -> ModelInfo:
    """One line for all of them."""
    ready = installed("transformers")
    description = "a text model in a folder of transformers' (config, tokenizer, safetensors), for --text"
    return ModelInfo("hf:FOLDER", "hf", description, ready, "" if ready else "pip install 'critpath[text]'")


def _folder(name: str) -> Path | None:
    """The local folder, checked; None for a name on the hub."""
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        if not name or folder.exists() or folder.is_absolute() or name.startswith(".") or name.count("/") > 1:
            raise StorageError(f"There is no folder {name or '(no name)'} (looked from {Path.cwd()}). Check the path.")
        return None
    if not (folder / "config.json").is_file():
        raise StorageError(
            f"The folder {folder} has no config.json, so it holds no model of transformers. Name the folder that "
            "model.save_pretrained(folder) and tokenizer.save_pretrained(folder) wrote."
        )
    if not any((folder / file).is_file() for file in _TOKENIZERS):
        raise StorageError(
            f"The folder {folder} has no tokenizer ({', '.join(_TOKENIZERS[:4])}, ...). Write it there with "
            "tokenizer.save_pretrained(folder)."
        )
    if not any(folder.glob("*.safetensors")):
        raise StorageError(
            f"The folder {folder} has no weights in safetensors. Pickles (pytorch_model.bin) can carry code and are "
            "not read: write them again with model.save_pretrained(folder)."
        )
    return folder


def _read(kind: Any, what: str, name: str, folder: Path | None, **options: Any) -> Any:
    """``from_pretrained`` without code from elsewhere; without a network for a folder, and for what lies in the cache
    of the hub."""

    def attempt(local: bool) -> Any:
        return kind.from_pretrained(folder or name, local_files_only=local, trust_remote_code=False, **options)

    try:
        if folder is None:
            with suppress(Exception):
                return attempt(local=True)
        return attempt(local=folder is not None)
    except Exception as error:  # from transformers, tokenizers, safetensors and the network: no common class
        hint = "" if folder else " Without a network, name a folder: hf:path/to/folder."
        raise StorageError(
            f"transformers cannot read the {what} of {name!r}: {' '.join(str(error).split())[:300]}.{hint}"
        ) from error


def _model(transformers: Any, config: Any, name: str, folder: Path | None) -> nn.Module:
    kind = _class(transformers, config, name)
    options = {"config": config, "use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    model, info = _read(kind, "weights", name, folder, **options)
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise MismatchError(
            f"The weights of {name!r} have no {', '.join(missing[:4])}: {kind.__name__} would have random numbers "
            "there. Name the folder of a model that was trained for its task."
        )
    check_finite(model.state_dict(), name)
    model.eval()
    assert isinstance(model, nn.Module)
    return model


def _class(transformers: Any, config: Any, name: str) -> Any:
    """The class that the configuration names."""
    stated = (getattr(config, "architectures", None) or ["none"])[0]
    kind = None if stated.startswith("_") else getattr(transformers, stated, None)
    if getattr(config, "auto_map", None) and kind is None:
        raise OptionError(
            f"{name!r} needs Python code that comes with it ({stated}), which is not run. Build the model in a "
            "function of your own that returns (model, tokenizer): path/to/module.py:function."
        )
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise OptionError(f"The configuration of {name!r} names the class {stated}, which transformers does not have.")
    return kind


def _classes(config: Any, model: nn.Module) -> tuple[str, ...] | None:
    """Names of the classes of a classifier of texts; every configuration has some, whether there are classes or not."""
    named = getattr(config, "id2label", None)
    if not named or "SequenceClassification" not in type(model).__name__:
        return None
    return tuple(str(named[number]) for number in sorted(named, key=int))


def _pooling(name: str, folder: Path | None) -> Pooling:
    return hub_pooling(name) if folder is None else read_pooling(lambda file: folder / file)


def _settle_padding(tokenizer: Any, model: Any) -> None:
    """A padding token for both, where there is none: without it a decoder takes one text at a time only."""
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def _limit(tokenizer: Any, model: Any) -> int | None:
    """The largest number of tokens that the tokenizer, and the model's table of positions, state."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None:
        positions -= _first_position(model)
    stated = [int(size) for size in (tokenizer.model_max_length, positions) if size is not None]
    return min((size for size in stated if 0 < size < _LARGEST), default=None)


def _first_position(model: nn.Module) -> int:
    """Where positions begin: after the padding's own one, where the table has that (RoBERTa)."""
    tables = (part for name, part in model.named_modules() if name.endswith("position_embeddings"))
    padding = next((getattr(table, "padding_idx", None) for table in tables), None)
    return 0 if padding is None else int(padding) + 1


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars, and with errors only: what matters is raised."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
