"""What a page says in words: predictions, coverage, provenance, and what is not shown."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import torch

from critpath.errors import InputError, TargetError
from critpath.explanation.views import class_name
from critpath.network import Diagnosis
from critpath.neurons import NeuronValues
from critpath.report import Prediction, SiteRow, SparsityLevel
from critpath.response import Response
from critpath.targets import Channel, Logit, Margin, Neuron, Probability, Target, class_scores
from critpath.version import __version__


def predictions(response: Response, classes: Sequence[str] | None, count: int = 5) -> tuple[Prediction, ...]:
    """The most probable classes; none where the output is not one score per class."""
    scores = _scores(response)
    if scores is None or len(scores) < 2 or _problem(response) == "regression":
        return ()
    shares = _probabilities(scores, _problem(response))
    best = shares.topk(min(count, len(shares))).indices.tolist()
    return tuple(Prediction(class_name(i, classes), float(scores[i]), float(shares[i])) for i in best)


def about_predictions(response: Response) -> tuple[str, ...]:
    """What to know about the probabilities, where they are not those of one class among several."""
    if _problem(response) != MULTI_LABEL:
        return ()
    return ("The classes are questions of their own (several labels may hold): probabilities do not add up to 100%.",)


def check_classes(response: Response, classes: Sequence[str] | None) -> None:
    """Raises InputError where the names are not one for each class score."""
    scores = _scores(response)
    if classes is not None and scores is not None and len(classes) != len(scores):
        raise InputError(
            f"classes has {len(classes)} names, and the output has {len(scores)} scores: give one for each"
        )


MULTI_LABEL = "multi_label_classification"
"""What the configuration of a model of transformers calls classes that do not exclude each other."""


def _problem(response: Response) -> str | None:
    """The kind of problem that the configuration of a model of transformers states."""
    return getattr(getattr(response.net.model, "config", None), "problem_type", None)


def _scores(response: Response) -> torch.Tensor | None:
    """The class scores of the one sample; None where the output is not one score per class."""
    try:
        return class_scores(response.run).detach()[0].double()
    except TargetError:
        return None


def _probabilities(scores: torch.Tensor, problem: str | None) -> torch.Tensor:
    if problem == MULTI_LABEL:
        return scores.sigmoid()
    ends_in_softmax = bool((scores >= 0).all()) and abs(float(scores.sum()) - 1) < 1e-4
    return scores if ends_in_softmax else scores.softmax(dim=0)


def target_name(target: Target, classes: Sequence[str] | None) -> str:
    """What is explained, in words."""
    if isinstance(target, Margin):
        return f"{_classes(target.classes, classes)} rather than {_classes(target.foil, classes)} (logits)"
    if isinstance(target, Logit):
        return _classes(target.classes, classes)
    if isinstance(target, Probability):
        return f"{_classes(target.classes, classes)} (probability)"
    if isinstance(target, Neuron):
        return f"neuron {target.index} of {target.site}"
    if isinstance(target, Channel):
        return f"channel {target.channel} of {target.site} (mean)"
    return getattr(getattr(target, "function", target), "__name__", "a function of the output")


def _classes(index: object, classes: Sequence[str] | None) -> str:
    return class_name(int(index[0]), classes) if isinstance(index, torch.Tensor) else str(index)


def coverage(diagnosis: Diagnosis) -> tuple[tuple[str, str], ...]:
    """What was seen of the network, how, and what was not."""
    sites = diagnosis.sites
    kinds = Counter(report.site.kind for report in sites)
    linear = sum(report.site.piecewise_linear for report in sites)
    same = "the same, bit for bit" if diagnosis.identical else f"the same within {diagnosis.deviation:.1e}"
    rows = [
        ("Sites", f"{len(sites)} activation calls, {diagnosis.neurons:,} neurons"),
        ("Activations", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())),
        ("Piecewise linear", f"{linear} of {len(sites)} sites" + _guarantee(linear, len(sites))),
        ("How the model wrote them", _ways(diagnosis)),
        ("Output with and without observation", same),
    ]
    return (*rows, *(("Not covered", f"{what}: {why}") for what, why in diagnosis.not_covered))


def _guarantee(linear: int, sites: int) -> str:
    return "" if linear == sites else "; local linearity of the pathway is promised for these only"


def _ways(diagnosis: Diagnosis) -> str:
    counts = {
        "as functions": sum(r.functional for r in diagnosis.sites),
        "in place": sum(r.in_place for r in diagnosis.sites),
        "from modules called more than once": sum(r.reused for r in diagnosis.sites),
    }
    return ", ".join(f"{count} {way}" for way, count in counts.items() if count) or "each as a module of its own"


def provenance(
    response: Response, method: str, scope: str, seed: int, seconds: float, extra: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Versions, seed, time, and which network it was."""
    parameter = next(response.net.model.parameters(), None)
    place = f"{parameter.dtype} on {parameter.device}".removeprefix("torch.") if parameter is not None else "no weights"
    return (
        *extra,
        ("Network", f"{type(response.net.model).__name__}, fingerprint {response.space.network}, {place}"),
        ("Scores", f"{method}, ranked over the {scope}"),
        ("Seed", str(seed)),
        (
            "Versions",
            f"critpath {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        ),
        ("Made", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {seconds:.1f} s"),
    )


def accuracy(scores: NeuronValues) -> str:
    """How exact the scores are, as a sentence or two; empty where they are computed by their definition."""
    error = scores.error
    if error is None or error.rule == "exact":
        return ""
    worst, spent = int(error.relative[0].argmax()), error.points[0]
    most = _percent(float(error.relative[0, worst]))
    points = f"{int(spent.min())}" if spent.min() == spent.max() else f"{int(spent.min())} to {int(spent.max())}"
    said = (
        f"The contributions are estimates, by {error.rule} with {points} evaluations a site: their error is about "
        f"{_percent(float(error.overall[0]))} of all |contributions|, at most {most} at one site "
        f"({error.space.names[worst]})."
    )
    if error.tolerance is None:
        return said
    reached = "which was reached" if error.met else "which was NOT reached"
    return f"{said} Wanted was {_percent(error.tolerance)}, {reached}."


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%"


def caveats(method: str, diagnosis: Diagnosis, text: bool = False) -> tuple[str, ...]:
    """What the page does not show, plainly."""
    return tuple(_caveats(method, diagnosis, text))


_FIRST_ORDER = (
    "They are first-order estimates of what removing one neuron does, not the removal itself, and they say nothing "
    "about neurons that act only together."
)
_MEANINGS = {
    "taylor": _FIRST_ORDER,
    "gradient_activation": _FIRST_ORDER,
    "activation": "Activations say how strongly neurons fire, not what they do to the response.",
    "intgrad": "They share out what the response would lose if the whole site went to its baseline (zero, unless "
    "given), by gradients on the way there; that is not what removing one neuron does.",
    "conductance": "They share out how the response changes from the baseline to this input; another baseline gives "
    "other scores.",
    "influence": "They are mean gradients on the way from the baseline to this input: what a change of the neuron "
    "would do, however little it changed.",
    "ablation": "They are exact for one neuron taken out at a time, and say nothing about neurons that act only "
    "together.",
    "shapley": "They share out what a site's neurons do together, site by site; scores of different sites do not add "
    "up.",
}


def _caveats(method: str, diagnosis: Diagnosis, text: bool) -> Iterator[str]:
    yield f"The ranking uses {method} scores. {_MEANINGS.get(method, '')}".strip()
    yield (
        "A map shows where the response would change with the input if only the pathway could react. It does not show "
        f"that these {'words' if text else 'pixels'} caused the prediction; that takes an intervention on the input."
    )
    if text:
        yield (
            "Values by tokens share out how the response changes from the baseline to this text; another baseline "
            "gives others. Positions are held fixed: what a token's place in the text does is not shown."
        )
    yield (
        "Running the pathway alone sets all other neurons to zero, which takes the network to activations it never had "
        "in training. Little kept does not mean that the pathway is unimportant."
    )
    yield "One input was explained. Another input of the same class may use another pathway."
    if not all(report.site.piecewise_linear for report in diagnosis.sites):
        yield "Some activations are not piecewise linear, so the pathway's network is not linear around the input."
    yield "Every map has its own colour scale, so brightness cannot be compared between maps."


def warnings(
    main: SparsityLevel, gradient: bool, rows: Sequence[SiteRow], diagnosis: Diagnosis, scores: NeuronValues
) -> Iterator[str]:
    """What a reader must know before trusting the page."""
    if scores.error is not None and not scores.error.met:
        yield f"The contributions are less exact than was asked for. {accuracy(scores)}"
    if not gradient:
        yield "The plain gradient is zero as well: the response does not change with this input, at any sparsity."
    elif main.realised == 1:
        yield f"At sparsity {main.requested:g} no neuron is kept at all: the pathway is empty. Lower the sparsity."
    elif not main.reaches_input:
        empty = sum(row.density == 0 for row in rows)
        yield (
            f"At sparsity {main.requested:g} the pathway does not reach the input ({empty} sites are empty), so it "
            "has no map. Lower the sparsity, or rank within sites (scope 'site')."
        )
    if not diagnosis.identical and diagnosis.deviation > 1e-3:
        yield f"Observation changed the output by up to {diagnosis.deviation:.1e}."
