"""Models by name: `load` turns a short text into a model that is ready to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from critpath.errors import OptionError
from critpath.zoo.default import DEFAULT_MODEL, default_info, load_default
from critpath.zoo.digits import DIGITS_MODEL, digits_info, load_digits_model
from critpath.zoo.hugging_face import hugging_face_info, load_hugging_face
from critpath.zoo.packages import close_matches
from critpath.zoo.python_file import is_python_spec, load_python
from critpath.zoo.timm_models import load_timm, timm_info, untrained_timm
from critpath.zoo.torchvision_models import load_torchvision, torchvision_infos, untrained_torchvision
from critpath.zoo.values import LoadedModel, ModelInfo
from critpath.zoo.weights import fingerprint, fit_weights, read_weights

_TRAINED = {"torchvision": load_torchvision, "timm": load_timm, "hf": load_hugging_face}
_UNTRAINED = {"torchvision": untrained_torchvision, "timm": untrained_timm}
_FORMS = (
    f"{DEFAULT_MODEL}, {DIGITS_MODEL}, torchvision:NAME, timm:NAME, hf:FOLDER, "
    "file:WEIGHTS.safetensors@ARCHITECTURE, "
    "or path/to/module.py:function"
)


def load(spec: str, *, arch: str | None = None, allow_pickle: bool = False, device: str = "cpu") -> LoadedModel:
    """The model that `spec` names, in evaluation mode, on `device`. The random state is left as it was.

    Args:
        spec: `efficientnet-lite0`; `digits`; `torchvision:NAME` or `torchvision:NAME@WEIGHTS`; `timm:NAME`;
            `hf:FOLDER`, a text model with its tokenizer, as transformers saves them (a name of the Hugging Face hub is
            downloaded by transformers); `file:WEIGHTS@ARCHITECTURE`, weights from a .safetensors file into
            `torchvision:NAME`, `timm:NAME` or `module.py:function`; or `path/to/module.py:function`, which is run and
            returns a module, `(module, Preprocess)`, `(module, tokenizer)` or a `LoadedModel`.
        arch: the architecture for `file:WEIGHTS`, instead of after an @.
        allow_pickle: let `file:` read .pt and .pth files, with `torch.load(weights_only=True)`.
        device: as torch names it, e.g. `cuda:0`.

    Raises:
        OptionError: a name is unknown, or the text, `arch` or `device` cannot be used.
        StorageError: a file is missing or damaged, or a download failed.
        MismatchError: the weights do not fit the architecture.
        NumericalError: the weights hold NaN or infinity.
        ModelError: the user's own file or function raised.
        MissingDependencyError: an optional package is not installed.
    """
    place = _device(device)
    if arch is not None and not spec.startswith("file:"):
        raise OptionError(f"arch={arch!r} goes with file:WEIGHTS only; {spec!r} has its own architecture.")
    with torch.random.fork_rng(devices=[]):
        loaded = _resolve(spec, arch, allow_pickle)
    loaded.model.eval().to(place)
    return loaded


def available() -> tuple[ModelInfo, ...]:
    """What `load` takes, the default first; the model's own line says whether it loads without a network."""
    files = (
        ModelInfo("file:WEIGHTS@ARCHITECTURE", "file", "weights of your own (.safetensors)", True),
        ModelInfo("path/to/module.py:function", "file", "a function of your own that builds a model", True),
    )
    return (default_info(), digits_info(), *torchvision_infos(), timm_info(), hugging_face_info(), *files)


def _resolve(spec: str, arch: str | None, allow_pickle: bool) -> LoadedModel:
    scheme, _, rest = spec.partition(":")
    if spec == DEFAULT_MODEL:
        return load_default()
    if spec == DIGITS_MODEL:
        return load_digits_model()
    if scheme == "file":
        return _load_file(rest, arch, allow_pickle)
    if scheme in _TRAINED:
        return _TRAINED[scheme](rest)
    if is_python_spec(spec):
        return load_python(spec)
    raise OptionError(f"Unknown model {spec!r}.{_hint(spec)} A model is named by {_FORMS}.")


def _hint(spec: str) -> str:
    if spec.endswith((".safetensors", ".pt", ".pth")):
        return f" For a weights file write file:{spec}@ARCHITECTURE."
    if spec.endswith(".py"):
        return f" Name the function in the file too: {spec}:function."
    return close_matches(spec, [info.name for info in available()])


def _load_file(text: str, arch: str | None, allow_pickle: bool) -> LoadedModel:
    file, architecture = _file_and_architecture(text, arch)
    path = Path(file).expanduser()
    weights = read_weights(path, allow_pickle=allow_pickle)
    base = _untrained(architecture)
    fit_weights(base.model, weights, source=str(path))
    source = f"file {path.name} (SHA-256 {fingerprint(path)}...) in {architecture}"
    return replace(base, name=f"file:{text}", source=source, licence="not stated")


def _file_and_architecture(text: str, arch: str | None) -> tuple[str, str]:
    file, _, named = text.rpartition("@")
    if file and not _is_architecture(named) and Path(file).expanduser().is_file():
        raise OptionError(
            f"{named!r} is not an architecture for {file}. Write file:{file}@torchvision:NAME, @timm:NAME or "
            "@module.py:function."
        )
    if not file or not _is_architecture(named):  # the @ is part of the path
        file, named = text, ""
    if bool(named) == bool(arch):
        given = f"both {named} and arch={arch}" if named else "none"
        raise OptionError(
            f"file:{text} needs one architecture for its weights; it has {given}. Write "
            f"file:{file}@torchvision:NAME, @timm:NAME or @module.py:function."
        )
    return file, named or str(arch)


def _is_architecture(text: str) -> bool:
    return text.partition(":")[0] in _UNTRAINED or is_python_spec(text)


def _untrained(architecture: str) -> LoadedModel:
    scheme, _, name = architecture.partition(":")
    if scheme in _UNTRAINED:
        return _UNTRAINED[scheme](name)
    if is_python_spec(architecture):
        return load_python(architecture)
    raise OptionError(f"Unknown architecture {architecture!r}. Use torchvision:NAME, timm:NAME or module.py:function.")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f"The device {name!r} cannot be used here: {reason.rstrip(chr(46))}. Use 'cpu'.") from error
    return device
