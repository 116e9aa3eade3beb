"""Weight files to tensors, and tensors into a model: every misfit is named, nothing is half loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from critpath.errors import MismatchError, NumericalError, OptionError, StorageError

_PICKLES = {".pt", ".pth", ".bin", ".ckpt"}
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_SHOWN = 4


def read_weights(path: Path, *, allow_pickle: bool = False) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file, or of a pickle (.pt, .pth) where that is allowed.

    A pickle is read with `torch.load(weights_only=True)`, which refuses code; a state dict inside a
    checkpoint, and the prefix that DataParallel adds, are unwrapped.

    Raises:
        StorageError: the file is missing, damaged, or holds something other than named tensors.
        OptionError: it is a pickle and they are not allowed, or its suffix is unknown.
    """
    _check_path(path, allow_pickle)
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # safetensors, pickle and zip errors have no common class
        raise StorageError(
            f"The weights in {path} cannot be read: {_first_line(error)}. The file is damaged, of another "
            "format, or holds more than tensors: save model.state_dict() again with safetensors."
        ) from error
    return _named_tensors(path, content)


def fit_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Copy `weights` into `model`, in the model's own dtype (half precision becomes float32).

    Raises:
        MismatchError: tensors are missing, unexpected, or of another shape or kind; nothing is copied.
        NumericalError: a tensor holds NaN or infinity.
    """
    expected = {name: t for name, t in model.state_dict().items() if isinstance(t, Tensor)}
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    problems = [
        _listing("missing", sorted(expected.keys() - weights.keys() - counters)),
        _listing("unexpected", sorted(weights.keys() - expected.keys())),
        _listing("of another shape or kind", _misshapen(expected, weights)),
    ]
    if any(problems):
        found = "; ".join(filter(None, problems))
        raise MismatchError(
            f"The weights in {source} do not fit {type(model).__name__}: {found}. "
            "Name the architecture that they were saved from; for another number of classes, or renamed "
            "layers, write a function that builds the model and use module.py:function."
        )
    check_finite(weights, source)
    model.load_state_dict(dict(weights), strict=False)


def fingerprint(path: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _check_path(path: Path, allow_pickle: bool) -> None:
    if not path.is_file():
        raise StorageError(f"There is no weights file {path} (looked from {Path.cwd()}). Check the path.")
    if path.suffix not in {*_PICKLES, ".safetensors"}:
        raise OptionError(
            f"{path} is no weights file that is known by its suffix {path.suffix!r}. "
            f"Known: .safetensors, and with allow_pickle=True {', '.join(sorted(_PICKLES))}."
        )
    if path.suffix in _PICKLES and not allow_pickle:
        raise OptionError(
            f"{path} is a pickle, a format that can carry code. Convert it to safetensors "
            "(safetensors.torch.save_file(state_dict, 'weights.safetensors')), or pass allow_pickle=True "
            "(--allow-pickle): it is then read with torch.load(weights_only=True), which refuses code."
        )


def _named_tensors(path: Path, content: Any) -> dict[str, Tensor]:
    if isinstance(content, dict):
        content = next((content[k] for k in _WRAPPERS if isinstance(content.get(k), dict)), content)
    if not isinstance(content, dict) or not content or not all(map(_is_named_tensor, content.items())):
        keys = f" with {_shown(map(str, content))}" if isinstance(content, dict) else ""
        raise StorageError(
            f"{path} holds no named tensors but a {type(content).__name__}{keys}. "
            "Save model.state_dict(), not the model or a training checkpoint."
        )
    parallel = all(name.startswith("module.") for name in content)
    return {name.removeprefix("module.") if parallel else name: t for name, t in content.items()}


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _misshapen(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    common = [(name, expected[name], weights[name]) for name in sorted(expected.keys() & weights.keys())]
    return [
        f"{name} (file {_kind(found)}, model {_kind(wanted)})"
        for name, wanted, found in common
        if wanted.shape != found.shape or wanted.is_floating_point() != found.is_floating_point()
    ]


def _kind(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{list(tensor.shape)}{kind}"


def check_finite(weights: Mapping[str, Tensor], source: str) -> None:
    """Raises NumericalError where a tensor holds NaN or infinity."""
    broken = [name for name, t in weights.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise NumericalError(
            f"The weights in {source} hold NaN or infinity: {_shown(broken)}. The file is damaged, or the "
            "training diverged: use another checkpoint."
        )


def _listing(what: str, names: list[str]) -> str:
    return f"{len(names)} {what}: {_shown(names)}" if names else ""


def _shown(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
