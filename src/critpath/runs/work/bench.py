"""What a worker keeps between tasks: models, data, explainers, and the images that were read last."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from critpath.attribution.explainer import explainer
from critpath.errors import OptionError
from critpath.evaluation.responses import class_scores
from critpath.evaluation.retraining.split import Split
from critpath.evaluation.values import Explain, Model
from critpath.network import Network
from critpath.runs.loading import loaded, opened
from critpath.runs.plan import Plan
from critpath.runs.work.rows import rowwise
from critpath.zoo import DataSet, LoadedModel
from critpath.zoo.python_file import call_python

T = TypeVar("T")

LAST = {"model": 2, "data": 4, "images": 2, "split": 3, "tuned": 1, "maps": 1, "program": 4}
"""How many of a kind are kept."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images of a chunk: their numbers [n], inputs x [n, C, H, W], predicted classes [n], labels [n].

    ``bad`` are the rows that cannot be used, with the reason; something that can be stands there in ``x``. Where no
    row can be used ``x`` is empty.
    """

    numbers: Tensor
    x: Tensor
    target: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    bad: Mapping[int, str]

    def failures(self, more: Mapping[int, str]) -> list[list[Any]]:
        """[image number, message] of rows that failed, as a shard keeps them."""
        return [[int(self.numbers[row]), more[row]] for row in sorted(more)]


@dataclass(frozen=True, eq=False)
class Kit:
    """A model, its network, and its explanations by method."""

    loaded: LoadedModel
    network: Network
    explain: dict[str, Explain] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything by its name in the plan, made when it is first asked for."""

    plan: Plan
    device: str
    kept: dict[str, dict[Hashable, Any]] = field(default_factory=dict)

    def kit(self, name: str) -> Kit:
        """A model and what is made of it."""
        return self.keep("model", name, lambda: self._kit(name))

    def _kit(self, name: str) -> Kit:
        model = loaded(name, self.plan.models[name], self.device)
        return Kit(model, Network(model.model))

    def model(self, name: str) -> LoadedModel:
        return self.kit(name).loaded

    def scores(self, name: str) -> Model:
        """The model as a callable that gives class scores."""
        return scores_of(self.model(name).model)

    def network(self, name: str) -> Network:
        return self.kit(name).network

    def explain(self, model: str, method: str) -> Explain:
        """The explanation of a method for a model."""
        kit = self.kit(model)
        if method not in kit.explain:
            kit.explain[method] = self._explain(model, method)
        return kit.explain[method]

    def _explain(self, model: str, method: str) -> Explain:
        entry = self.plan.methods[method]
        if entry.method is not None:
            return explainer(self.network(model), entry.method, **entry.options)
        assert entry.python is not None
        purpose = "take the model and return explain(x, target)"
        found = call_python(entry.python, self.model(model).model, purpose=purpose)
        if not callable(found):
            raise OptionError(f"{entry.python} returned a {type(found).__name__}; it has to {purpose}")
        return cast(Explain, found)

    def data(self, name: str) -> DataSet:
        return self.keep("data", name, lambda: opened(name, self.plan.data[name]))

    def images(self, model: str, data: str, first: int, stop: int) -> Images:
        """The images ``first`` to ``stop`` of a data set, as the model takes them, with the classes it predicts."""
        return self.keep("images", (model, data, first, stop), lambda: self._images(model, data, first, stop))

    def _images(self, model: str, data: str, first: int, stop: int) -> Images:
        source, numbers = self.data(data), range(first, stop)
        x, unread = source.inputs(numbers, self.model(model).preprocess)
        bad = {number - first: message for number, message in unread.items()}
        scores = self.scores(model)
        found, failed = rowwise(lambda x: {"target": _predicted(scores, x)}, (x.to(self.device),), bad)
        bad = {**bad, **failed}
        target = found["target"].nan_to_num(-1).long() if found else torch.full((len(x),), -1)
        labels = torch.full((len(x),), -1) if source.labels is None else source.labels[first:stop]
        ids = tuple(source.ids[number] for number in numbers)
        return Images(torch.arange(first, stop), x.to(self.device), target, labels, ids, bad)

    def split(self, model: str, data: str) -> tuple[Split, Tensor]:
        """All images of a data set that can be read, with their labels; and their numbers."""
        return self.keep("split", (model, data), lambda: self._split(model, data))

    def _split(self, model: str, data: str) -> tuple[Split, Tensor]:
        source = self.data(data)
        x, unread = source.inputs(range(len(source)), self.model(model).preprocess)
        numbers = torch.tensor([n for n in range(len(source)) if n not in unread])
        assert source.labels is not None
        return Split(x[numbers].to(self.device), source.labels[numbers].to(self.device)), numbers

    def keep(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under this key, or is made now; of some kinds only the last few are kept."""
        there = self.kept.setdefault(kind, {})
        found = there.pop(key) if key in there else make()
        there[key] = found
        while len(there) > LAST[kind]:
            there.pop(next(iter(there)))
        return cast(T, found)


def scores_of(model: Callable[[Tensor], Any]) -> Model:
    """A model that gives scores, or an object or mapping with ``logits``, as a function that gives scores."""

    def scores(x: Tensor) -> Tensor:
        output = model(x)
        if not isinstance(output, Tensor):
            output = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
        return cast(Tensor, output)

    return scores


def _predicted(scores: Model, x: Tensor) -> Tensor:
    """The predicted classes [n], as float64 in which NaN can stand for none."""
    found = class_scores(scores, x)
    if not torch.isfinite(found).all():
        raise ValueError(f"the model's output {list(found.shape)} is NaN or infinite")
    return found.argmax(dim=1).double()
