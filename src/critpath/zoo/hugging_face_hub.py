"""The hub of Hugging Face: what its cache has, and one question to it, instead of half a minute of retries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from critpath.errors import StorageError
from critpath.zoo.packages import require
from critpath.zoo.sentences import Pooling, read_pooling

SECONDS = 10
"""How long the hub is waited for."""


def check_hub(name: str) -> None:
    """Raises StorageError, which says first that there is no such folder, where the hub has to be asked for a model and
    does not have it or does not answer."""
    if _cached(name, "config.json") is None:
        _files(name)


def hub_pooling(name: str) -> Pooling:
    """The pooling of a sentence encoder of the hub; refused where the hub does not answer and the cache lacks it."""
    try:
        files = [] if _cached(name, "modules.json") is not None else _files(name)
        return read_pooling(lambda file: _cached(name, file) or _fetched(name, file, files))
    except StorageError as error:
        return Pooling(refused=f"its pooling (modules.json, 1_Pooling/config.json) is not known. {error}")


def _hub() -> Any:
    return require("huggingface_hub", "huggingface_hub", "text", "A model of the Hugging Face hub")


def _cached(name: str, file: str) -> Path | None:
    """A file of the model in the cache."""
    try:
        found = _hub().try_to_load_from_cache(name, file)
    except ValueError:  # no name that the hub could have
        return None
    return Path(found) if isinstance(found, str) else None


def _files(name: str) -> list[str]:
    """The files that the hub has of a model."""
    try:
        return [one.rfilename for one in _hub().HfApi().model_info(name, timeout=SECONDS).siblings or []]
    except Exception as error:  # from the network, the hub and its client: no common class
        raise StorageError(
            f"There is no folder {name} (looked from {Path.cwd()}), and no model of that name was found "
            f"on the Hugging Face hub ({_short(error)}). Check the path: hf:path/to/folder."
        ) from error


def _fetched(name: str, file: str, files: Sequence[str]) -> Path | None:
    if files and file not in files:
        return None
    try:
        return Path(_hub().hf_hub_download(name, file))
    except Exception as error:  # as above
        raise StorageError(f"{file} of {name} cannot be downloaded: {_short(error)}.") from error


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}, {' '.join(str(error).split())[:160].rstrip('.')}"
