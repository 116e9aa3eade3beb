"""The models and data of a plan, loaded, if they are what they were when the run began."""

from __future__ import annotations

from dataclasses import replace

from critpath.errors import CritpathError, MismatchError, MissingDependencyError, OptionError
from critpath.runs.plan import DataEntry, ModelEntry, Plan
from critpath.zoo import DataSet, LoadedModel, load, load_data
from critpath.zoo.contents import model_digest
from critpath.zoo.data import data_fingerprint


def opened(name: str, entry: DataEntry) -> DataSet:
    """The data set of an entry, under its name in the plan. Raises MismatchError where it is another than it was."""
    data = load_data(
        entry.source, entry.where, start=entry.start, limit=entry.limit, shuffle=entry.shuffle, **entry.options
    )
    if data_fingerprint(data) != entry.digest:
        raise MismatchError(
            f"the data {name!r} ({entry.where}) are not those that the run began with: {len(data):,} images against "
            f"{entry.images:,}, or other names, labels or contents. Put them back, or start a new run in another "
            "folder; a function of your own has to give the same data each time"
        )
    return replace(data, name=name, classes=tuple(entry.names) if entry.names else data.classes)


def loaded(name: str, entry: ModelEntry, device: str) -> LoadedModel:
    """The model of an entry, under its name in the plan. Raises MismatchError where its weights are others than they
    were, and what ``load`` raises."""
    model = load(entry.load, arch=entry.arch, allow_pickle=entry.allow_pickle, device=device)
    if entry.digest and model_digest(model.model) != entry.digest:
        raise MismatchError(
            f"the weights of the model {name!r} ({entry.load}) are not those that the run began with: put them back, "
            "or start a new run in another folder; a function of your own that builds a network has to give it the "
            "same weights each time"
        )
    return model


def with_models(plan: Plan) -> Plan:
    """The plan with the digest of each model's weights: each is loaded once, before any work is done.

    Raises OptionError with the model's name where one cannot be loaded, MissingDependencyError, and MismatchError
    where the plan knows its digest and its weights are others.
    """
    found = {name: replace(entry, digest=_weights(name, entry, plan.device)) for name, entry in plan.models.items()}
    return replace(plan, models=found)


def check_sources(plan: Plan) -> None:
    """Raises MismatchError where models or data are others than when the run began, and what loading them raises."""
    with_models(plan)
    for name, entry in plan.data.items():
        opened(name, entry)


def _weights(name: str, entry: ModelEntry, device: str) -> str:
    try:
        return model_digest(loaded(name, entry, device).model)
    except (MissingDependencyError, MismatchError):
        raise
    except CritpathError as error:
        raise OptionError(f"the model {name!r} cannot be loaded: {error}") from error
