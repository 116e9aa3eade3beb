"""Optional packages: found, imported, or named in an error."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from critpath.errors import MissingDependencyError

_OPERATORS = ("nms", "qnms")
_library: Any = None  # a torch.library.Library; the operators live as long as it does


def installed(module: str) -> bool:
    """Whether a top-level module can be found; it is not imported."""
    return importlib.util.find_spec(module) is not None


def require(module: str, package: str, extra: str, purpose: str) -> Any:
    """Import an optional module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if not installed(module):
        raise MissingDependencyError(package, extra, purpose)
    return importlib.import_module(module)


def import_torchvision() -> Any:
    """torchvision, also beside a torch build that its compiled part does not fit.

    Without its compiled part torchvision fails on import: "operator torchvision::nms does not exist".
    So where that part does not load, the missing operators are declared first. Classification models
    and transforms use none of them; calling one raises an error that names it.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if "torchvision" not in sys.modules:
        _declare_missing_operators()
    return require("torchvision", "torchvision", "vision", "A torchvision model")


def import_timm() -> Any:
    """timm, which imports torchvision.

    Raises:
        MissingDependencyError: it, or torchvision, is not installed.
    """
    import_torchvision()
    return require("timm", "timm", "vision", "A timm model")


def import_transformers() -> Any:
    """transformers, which imports torchvision where that is installed.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if "transformers" not in sys.modules and "torchvision" not in sys.modules:
        _declare_missing_operators()
    return require("transformers", "transformers", "text", "A model of Hugging Face")


def close_matches(name: str, known: Iterable[str]) -> str:
    """A sentence that names up to five of `known` that resemble `name`; empty where none does."""
    matches = difflib.get_close_matches(name, list(known), n=5, cutoff=0.5)
    return f" Did you mean {', '.join(matches)}?" if matches else ""


def _declare_missing_operators() -> None:
    global _library
    _load_compiled_part()
    missing = [name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if not missing or not installed("torchvision"):
        return
    new_library: Any = torch.library.Library
    _library = _library or new_library("torchvision", "FRAGMENT")
    for name in missing:
        _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _load_compiled_part() -> None:
    ops: Any = torch.ops
    spec = importlib.util.find_spec("torchvision")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in sorted(Path(folder).glob("_C.*")):
            with contextlib.suppress(OSError):  # a build for another torch, or for CUDA
                ops.load_library(library)
