"""In which steps a model is randomised."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from critpath.errors import InputError, OptionError
from critpath.evaluation.randomisation.parts import Parts
from critpath.network import Use
from critpath.options import check_several, shown

Patterns = Sequence[str | Sequence[str]]
"""``fnmatch`` patterns of module names; several in a tuple of their own are joined."""


@dataclass(frozen=True)
class Stage:
    """Tensors that are randomised in one step."""

    name: str
    tensors: tuple[str, ...]


def stages_of(parts: Parts, patterns: Patterns = ()) -> tuple[Stage, ...]:
    """The tensors to randomise in stages, in the order of their last use in the forward pass, from its end.

    Each module that owns some is a stage. A pattern joins all below a module whose name it matches (the outermost),
    a tuple of patterns all below every module that one of them matches. What the forward pass never uses belongs to
    its module's stage, and to the last stage where that has none. Raises OptionError for a pattern that matches
    nothing, InputError where the forward pass uses nothing that could be randomised.
    """
    groups = _groups([use for use in parts.uses if use.name in parts.changing], _checked(patterns, parts))
    used = {key: uses for key, uses in groups.items() if any(use.used for use in uses)}
    if not used:
        raise InputError(f"{type(parts.model).__name__} uses no floating-point parameter in its forward pass")
    order = sorted(used, key=lambda key: max(use.last for use in used[key] if use.last is not None), reverse=True)
    rest = tuple(use.name for key, uses in groups.items() if key not in used for use in uses)
    stages = [Stage(key or _joined(used[key]), tuple(use.name for use in used[key])) for key in order]
    return (*stages[:-1], Stage(stages[-1].name, stages[-1].tensors + rest))


def _groups(uses: Sequence[Use], patterns: Patterns) -> dict[str, list[Use]]:
    groups: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        groups[_group(use.module, patterns)].append(use)
    return groups


def _group(module: str, patterns: Patterns) -> str:
    """What the stage of a module is called."""
    for name in _above(module):
        for pattern in patterns:
            if isinstance(pattern, str) and fnmatchcase(name, pattern):
                return name
            if not isinstance(pattern, str) and any(fnmatchcase(name, one) for one in pattern):
                return " + ".join(pattern)
    return module


def _above(module: str) -> list[str]:
    """A module's own name after those of the modules around it."""
    parts = module.split(".") if module else []
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _joined(uses: Sequence[Use]) -> str:
    """Names of tensors that the model itself owns."""
    return " + ".join(use.name for use in uses)


def _checked(patterns: Patterns, parts: Parts) -> Patterns:
    if len(patterns):
        check_several("stages", patterns)
    known = {name for use in parts.uses for name in _above(use.module)}
    for pattern in patterns:
        for one in [pattern] if isinstance(pattern, str) else pattern:
            if not isinstance(one, str) or not any(fnmatchcase(name, one) for name in known):
                raise OptionError(
                    f"stages has {shown(one)}, which matches no module of {type(parts.model).__name__} that holds "
                    f"parameters; there are {', '.join(sorted(known)[:8])}{', …' * (len(known) > 8)}"
                )
    return patterns
