"""The parameter-randomisation check (Adebayo et al. 2018): a map should change when the network forgets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from critpath.evaluation.randomisation.classes import explained_classes, predicted
from critpath.evaluation.randomisation.coverage import Coverage, coverage_of
from critpath.evaluation.randomisation.drawing import Change, new_values
from critpath.evaluation.randomisation.parts import Parts, Tensors, parts_of, restoring, write
from critpath.evaluation.randomisation.stages import Patterns, Stage, stages_of
from critpath.evaluation.removal import reduced
from critpath.evaluation.similarity import SIMILARITIES, Similarity, compared_with
from critpath.evaluation.values import Explain, checked_maps, explained
from critpath.network import Network
from critpath.network.wrappers import check_mode, unwrapped
from critpath.options import check_choice, check_count, check_flag, check_several

MODES = ("cascading", "independent")
ORIGINAL = "original"


class UnmovedMapsWarning(UserWarning):
    """Not one map changed, to the last bit, whatever was done to the model's parameters."""


@dataclass(frozen=True, eq=False)
class Randomisation:
    """How alike maps of a randomised network and of the original are.

    ``values``: by similarity, float64 [images, stages, repeats] on the CPU; the first of ``stages`` is "original", the
    similarity of the original maps with themselves. NaN where a similarity is not defined (a constant map, of which
    there are no ranks). ``target``: the classes [images] explained at the original network. ``coverage`` says what
    became of every tensor of the model.
    """

    stages: tuple[str, ...]
    values: Mapping[str, Tensor]
    target: Tensor
    coverage: Coverage
    mode: str
    change: Change

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def parameter_randomisation(
    model: nn.Module | Network,
    explain: Explain,
    x: Tensor,
    target: Tensor | Sequence[int] | int | None = None,
    *,
    mode: str = "cascading",
    how: str = "gaussian",
    std: float | str = 0.1,
    stages: Patterns = (),
    buffers: str = "kept",
    repeats: int = 1,
    seed: int = 0,
    similarities: Sequence[str] | Mapping[str, Similarity] = ("ssim", "spearman", "spearman_abs", "hog"),
    original: Tensor | None = None,
    reselect: bool = False,
) -> Randomisation:
    """Randomises a model stage by stage, explains ``x`` [n, C, H, W] each time, and compares with the original maps.

    Maps are compared as ``reduced`` to the signed value of the channel with the largest absolute value. ``explain`` is
    called once for the original maps, unless ``original`` gives them, and once a stage and repeat; it has to look at
    this model, whose parameters are written in place. On every exit they hold their old bits again.

    Parameters
    ----------
    target
        Classes to explain; by default those that the original network predicts, at every stage.
    mode
        "cascading": a stage is randomised on top of those before it; "independent": it alone is.
    how
        "gaussian": normal with this ``std`` around 0, or with each tensor's own mean and standard deviation
        ("matched"). 0.1 is what the code of the pathway papers has (and "On Sparse Critical Paths", as variance 0.01);
        0.01 is what "Input-specific Network Pruning" writes. "reinitialised": by the ``reset_parameters`` of the module
        (torch's attention: ``_reset_parameters``); where it has none, uniform within 1/sqrt(inputs), for a
        vector 1/sqrt(length). "shuffled": the values of each tensor permuted.
    stages
        ``fnmatch`` patterns of module names. One stage joins all below a module that matches; all other modules that
        own parameters are a stage each. A tuple joins what its patterns match: ``("layer*.*", ("conv1", "bn1"))``
        gives the 18 stages of the papers' ResNet-50. From the last used to the first.
    buffers
        "kept" as they are (the papers), or running statistics "reset".
    repeats, seed
        Each tensor and repeat draws from a generator of its own, which ``seed``, repeat and name alone decide.
    similarities
        Names out of ``SIMILARITIES``, or functions by name.
    reselect
        Explain the class that the randomised network predicts, as the papers' code does.

    Raises OptionError, InputError, TargetError, TrainingModeError, and what ``explain`` raises, with the stage noted.
    Warns UnmovedMapsWarning where all maps of all stages are bit-identical to the original ones.
    """
    check_choice("mode", mode, MODES)
    check_count("repeats", repeats, 1)
    check_flag("reselect", reselect)
    change = Change(how, std, buffers, seed)
    compared = _similarities(similarities)
    parts = prepared(model, x, change)
    plan = stages_of(parts, stages)
    classes = explained_classes(parts.model, x, target)
    first = reduced(explained(explain, x, classes) if original is None else checked_maps(original, x))
    to_first = {name: compared_with(first, alike) for name, alike in compared.items()}
    task = _Task(parts, explain, x, classes, first, to_first, change, reselect)
    with restoring(parts.changing) as saved:
        found = [list(_one_repeat(task, saved, plan, mode, repeat)) for repeat in range(repeats)]
    if not task.moved:
        warn_unmoved()
    return Randomisation(
        stages=(ORIGINAL, *(stage.name for stage in plan)),
        values=_values(task, found),
        target=classes.cpu(),
        coverage=coverage_of(parts, plan, task.words, task.differs),
        mode=mode,
        change=change,
    )


@contextmanager
def randomised(
    model: nn.Module | Network,
    x: Tensor,
    *,
    how: str = "gaussian",
    std: float | str = 0.1,
    buffers: str = "kept",
    seed: int = 0,
    repeat: int = 0,
) -> Iterator[Coverage]:
    """Inside, all parameters of the model are randomised; afterwards they hold their old bits again.

    The options are those of ``parameter_randomisation``; ``x`` is what the coverage's use of tensors is seen on.
    """
    change = Change(how, std, buffers, seed)
    check_count("repeat", repeat, 0)
    parts = prepared(model, x, change)
    whole = (Stage("all", tuple(parts.changing)),)
    with restoring(parts.changing) as saved:
        words, differs = rewritten(parts, saved, whole[0], change, repeat)
        yield coverage_of(parts, whole, words, differs)


def prepared(model: nn.Module | Network, x: Tensor, change: Change) -> Parts:
    """What of a model is randomised. Raises TrainingModeError, InputError."""
    inside = unwrapped(model.model if isinstance(model, Network) else model)
    if not isinstance(model, Network):  # which has been asked whether training mode is meant
        check_mode(dict(inside.named_modules()), allow_training=False)
    return parts_of(inside, x, change.buffers == "reset")


def rewritten(
    parts: Parts, saved: Tensors, stage: Stage, change: Change, repeat: int
) -> tuple[dict[str, str], dict[str, bool]]:
    """Writes a stage's new values; in words where they come from, and whether they differ, by tensor."""
    new = new_values(parts, saved, stage.tensors, change, repeat)
    write(parts.changing, {name: one.values for name, one in new.items()})
    differs = {name: not torch.equal(parts.changing[name], saved[name]) for name in new}
    return {name: one.words for name, one in new.items()}, differs


@dataclass(eq=False)
class _Task:
    """What stays the same over all stages, and what is noted on the way."""

    parts: Parts
    explain: Explain
    x: Tensor
    classes: Tensor
    original: Tensor
    similarities: Mapping[str, Callable[[Tensor], Tensor]]
    change: Change
    reselect: bool
    moved: bool = False
    words: dict[str, str] = field(default_factory=dict)
    differs: dict[str, bool] = field(default_factory=dict)

    def note(self, words: Mapping[str, str], differs: Mapping[str, bool]) -> None:
        self.words |= words
        self.differs |= {name: changed and self.differs.get(name, True) for name, changed in differs.items()}


def _one_repeat(
    task: _Task, saved: Tensors, plan: Sequence[Stage], mode: str, repeat: int
) -> Iterator[dict[str, Tensor]]:
    write(task.parts.changing, saved)
    for stage in plan:
        task.note(*rewritten(task.parts, saved, stage, task.change, repeat))
        with _noting(
            f"while stage {stage.name!r} of the {mode} parameter randomisation, repeat {repeat}, was explained"
        ):
            yield _compared(task)
        if mode == "independent":
            write(task.parts.changing, {name: saved[name] for name in stage.tensors})


def _compared(task: _Task) -> dict[str, Tensor]:
    """Similarities [n] of the model as it is now."""
    classes = predicted(task.parts.model, task.x) if task.reselect else task.classes
    maps = reduced(explained(task.explain, task.x, classes))
    task.moved |= not torch.equal(maps, task.original)
    return _alike(task, maps)


def _alike(task: _Task, maps: Tensor) -> dict[str, Tensor]:
    return {name: alike(maps).double().cpu() for name, alike in task.similarities.items()}


def _values(task: _Task, found: Sequence[Sequence[Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """From [repeats][stages] of [n] to [n, stages, repeats], the original before the stages."""
    itself = _alike(task, task.original)
    return {
        name: torch.stack([torch.stack([itself[name], *(at[name] for at in one)]) for one in found]).permute(2, 1, 0)
        for name in task.similarities
    }


@contextmanager
def _noting(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise


def _similarities(wanted: Sequence[str] | Mapping[str, Similarity]) -> Mapping[str, Similarity]:
    if isinstance(wanted, Mapping):
        return wanted
    check_several("similarities", wanted)
    for name in wanted:
        check_choice("similarities", name, tuple(SIMILARITIES))
    return {name: SIMILARITIES[name] for name in wanted}


def warn_unmoved() -> None:
    warnings.warn(
        "every map of the randomised network is bit-identical to that of the original one: explain seems not to look "
        "at this model object (does it hold a copy?), or its maps do not depend on the network",
        UnmovedMapsWarning,
        stacklevel=3,
    )


def _lines(result: Randomisation) -> Iterator[str]:
    images, _, repeats = next(iter(result.values.values())).shape
    yield f"{result.mode}, {result.change.how}; means over {images} images and {repeats} repeats"
    width = max(len(stage) for stage in result.stages)
    yield f"{'':<{width}}  " + "  ".join(f"{name:>12}" for name in result.values)
    means = {name: values.nanmean(dim=(0, 2)) for name, values in result.values.items()}
    for i, stage in enumerate(result.stages):
        yield f"{stage:<{width}}  " + "  ".join(f"{mean[i]:12.3f}" for mean in means.values())
