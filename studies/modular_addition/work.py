"""The study's program: each part is one question about the same network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

import critpath as cp
from critpath.contributions import neuron_scores
from critpath.pathway import Pathway, SearchWarning
from critpath.response import Response, keeping, respond
from critpath.selection import find_in_response
from studies.modular_addition import measures
from studies.modular_addition.clusters import Frequencies, answers, every_input, frequencies, sampled
from studies.networks import modadd113
from studies.plain import plain

SITE = "mlp.1#0"
METHODS = ("taylor", "intgrad", "conductance", "ablation", "shapley", "greedy", "l0", "dgr", "random")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)
SHAPLEY = 10
"""Inputs on which Shapley values are sampled, the first of all: two orders and their reverses, each of them exact
where the response is linear in the neurons."""


def parts(**options: Any) -> list[str]:
    """Names of the parts."""
    return sorted(PARTS)


def run(part: str, **options: Any) -> dict[str, Any]:
    """One part; ``pairs`` is the number of inputs, ``seed`` draws them."""
    return dict(plain(PARTS[part](int(options["pairs"]), int(options["seed"]))))


@cache
def network() -> cp.Network:
    return cp.Network(modadd113().model)


@cache
def known() -> Frequencies:
    """The frequencies of the hidden neurons."""
    return frequencies(network().run(every_input(), graph=False).values()[SITE])


def of_neurons(pairs: int, seed: int) -> dict[str, Any]:
    """The network as it is: whether it adds, and by which frequencies."""
    run = network().run(every_input(), graph=False)
    clusters = known()
    sizes = clusters.clusters.bincount(minlength=len(clusters.names))
    medians = [float(clusters.explained[clusters.clusters == i].median()) for i in range(len(sizes)) if sizes[i]]
    return {
        "right": (run.output.argmax(dim=1) == answers(every_input())).double().mean(),
        "inputs": len(every_input()),
        "active": (run.values()[SITE] > 0).double().mean(),
        "names": list(clusters.names),
        "sizes": sizes,
        "explained": medians,
        "written": _written(),
    }


def of_pathways(pairs: int, seed: int, target: Callable[[Tensor], Any]) -> dict[str, Any]:
    """Each method's pathways: how they lie to the clusters, and whether they give the answer alone."""
    x = sampled(pairs, seed)
    found: dict[str, Any] = {}
    for method in METHODS:
        tokens = x[:SHAPLEY] if method == "shapley" else x
        response = respond(network(), tokens, target(tokens))
        local = dict(_pathways(response, "taylor", seed))
        paths = _pathways(response, method, seed)
        found[method] = {str(s): {"taylor": _jaccard(p, local[s]), **_pathway(response, p)} for s, p in paths}
    return found


def of_neighbours(pairs: int, seed: int) -> dict[str, Any]:
    """Whether neurons that are selected together, input by input, have one frequency."""
    response = _response(sampled(5 * pairs, seed))
    scores = {method: neuron_scores(response, method) for method in ("taylor", "conductance")}
    values = {f"{method}, scores": one[SITE] for method, one in scores.items()}
    values |= {method: cp.select(one, 0.9).keep[SITE] for method, one in scores.items()}
    values |= {method: _sets(response, method, seed) for method in ("l0", "random")}
    return {name: _neighbours(one) for name, one in values.items()}


def of_groups(pairs: int, seed: int) -> dict[str, Any]:
    """A cluster taken out as one thing, beside the sum of its neurons taken out alone."""
    x = sampled(pairs, seed)
    classes, groups = answers(x), known().groups(SITE)
    targets = {"logit": cp.respond(network(), x, classes).target, "probability": cp.Probability(classes)}
    found: dict[str, Any] = {}
    for name, target in targets.items():
        together = cp.score(network(), x, "ablation", target, by=groups)
        alone = cp.score(network(), x, "ablation", target).tensors[0]
        sums = {g: alone[:, known().clusters == i].sum(dim=1) for i, g in enumerate(known().names)}
        found[name] = {g: {"together": together[g], "alone": sums[g]} for g in groups}
    response = _response(x)
    found["right without"] = {g: _right(response, known().clusters != i) for i, g in enumerate(known().names)}
    found["right with"] = _subsets(response)
    return found


def of_answers(pairs: int, seed: int) -> dict[str, Any]:
    """Pathways of inputs that share the sum, the difference, or neither."""
    x = sampled(8 * pairs, seed)
    response = _response(x)
    total, difference = answers(x), (x[:, 0] - x[:, 1]) % 113
    same, near = total[:, None] == total, difference[:, None] == difference
    found: dict[str, Any] = {}
    for method in ("taylor", "random"):
        kept = _sets(response, method, seed)
        overlaps = measures.jaccards(kept).fill_diagonal_(torch.nan)
        wanted = {"same sum": same & ~near, "same difference": near & ~same, "neither": ~same & ~near}
        found[method] = {name: measures.mean_where(overlaps, where) for name, where in wanted.items()}
    return found


def of_heads(pairs: int, seed: int) -> dict[str, Any]:
    """Attention's heads as sites: alone and together, and which clusters each of them feeds."""
    net = cp.Network(modadd113().model, attention=True)
    x = sampled(pairs, seed)
    response = respond(net, x, answers(x))
    site = next(name for name in response.space.names if name != SITE)
    heads = [cp.Channel(site, h) for h in range(response.space[site].channels)]
    single = cp.score(net, x, "ablation", answers(x), by=heads)
    every = cp.score(net, x, "ablation", answers(x), by={"heads": heads})
    shapley = cp.score(net, x, "shapley", answers(x), by=heads)
    feeds = [_fed(response, site, h) for h in range(len(heads))]
    return {
        "alone": dict(zip(map(str, range(len(heads))), single.values.T, strict=True)),
        "shapley": dict(zip(map(str, range(len(heads))), shapley.values.T, strict=True)),
        "sum alone": single.values.sum(dim=1),
        "together": every["heads"],
        "feeds": feeds,
        "names": list(known().names),
    }


def _response(x: Tensor) -> Response:
    return respond(network(), x, answers(x))


def _neighbours(values: Tensor) -> dict[str, Any]:
    same, chance = measures.nearest_alike(values, known().clusters)
    return {"same": same, "chance": chance.nanmean(), "inputs": len(values)}


def _pathways(response: Response, method: str, seed: int) -> Iterator[tuple[float, Pathway]]:
    if method == "random":
        sets = ((sparsity, _sets(response, method, seed, sparsity)) for sparsity in SPARSITIES)
        yield from ((s, Pathway(response.run.values().map(lambda a, kept=kept: kept), s)) for s, kept in sets)
        return
    options: dict[str, Any] = {"seed": seed, "permutations": 2} if method == "shapley" else {}
    if method in cp.contribution_names():
        scores = neuron_scores(response, method, **options)
        yield from ((sparsity, cp.select(scores, sparsity)) for sparsity in SPARSITIES)
        return
    for sparsity in SPARSITIES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SearchWarning)  # the sizes that were reached are told
            yield sparsity, find_in_response(response, method, sparsity, **options)


def _pathway(response: Response, pathway: Pathway) -> dict[str, Any]:
    kept, active = pathway.keep[SITE], response.run.values()[SITE] > 0
    right = response.keeps_class(response.pruned(pathway, graph=False))
    shares = measures.composition(kept & active, known().clusters)
    return {
        "kept": kept.double().mean(dim=1),
        "dead": (kept & ~active).sum(dim=1) / kept.sum(dim=1),
        "unevenness": measures.unevenness(kept, active, known().clusters),
        "right": torch.zeros(len(kept)) if right is None else right.double(),
        "frequencies": (shares[:, : len(known().keys)] > 0).sum(dim=1).double(),
        "composition": shares.nanmean(dim=0),
    }


def _jaccard(one: Pathway, other: Pathway) -> Tensor:
    return cp.overlap(one, other).jaccard


def _sets(response: Response, method: str, seed: int, sparsity: float = 0.9) -> Tensor:
    """Pathways [n, neurons]; random ones drawn anew for each input, from the neurons that are active on it."""
    if method == "random":
        active = response.run.values()[SITE] > 0
        drawn = torch.rand(active.shape, generator=torch.Generator().manual_seed(seed)).where(active, -1)
        return torch.zeros_like(active).scatter_(1, drawn.topk(round((1 - sparsity) * active.shape[1])).indices, True)
    return find_in_response(response, method, sparsity).keep[SITE]


def _right(response: Response, keep: Tensor) -> Tensor:
    """Whether the answer is kept [n] by a set [neurons]."""
    path = Pathway(response.run.values().map(lambda a: keep.expand(a.shape)))
    kept = response.keeps_class(response.rerun(keeping(path), graph=False))
    assert kept is not None
    return kept.double()


def _subsets(response: Response) -> dict[str, float]:
    """The share of right answers with only some whole clusters, for every choice of them."""
    numbers = range(len(known().keys))
    chosen = [c for size in range(1, len(known().keys) + 1) for c in combinations(numbers, size)]
    return {_label(c): float(_right(response, _members(c)).mean()) for c in chosen}


def _label(chosen: Sequence[int]) -> str:
    return " ".join(known().names[i] for i in chosen)


def _members(chosen: Sequence[int]) -> Tensor:
    return torch.isin(known().clusters, torch.tensor(chosen))


def _fed(response: Response, site: str, head: int) -> list[float]:
    """The share of each cluster's part of the logit that is lost without one head."""

    def rule(at: Any, a: Tensor) -> Tensor:
        return a.index_fill(1, torch.tensor([head]), 0) if at.name == site else a

    before, after = (_parts_of_logit(r) for r in (response, response.rerun(rule, graph=True)))
    return (1 - after / before).tolist()


def _parts_of_logit(response: Response) -> Tensor:
    """Each cluster's part of the logit, its mean over inputs [clusters]: exact, as the logit is linear in the MLP."""
    scores = (response.gradients[SITE] * response.run.values()[SITE]).mean(dim=0).detach()
    return torch.zeros(len(known().names)).index_add_(0, known().clusters, scores)


@torch.no_grad()
def _written() -> list[float]:
    """How alike is what neurons of a cluster write to the answers: the share of power at their own frequency."""
    model: Any = network().model
    spectrum = torch.fft.rfft((model.unembed.weight @ model.mlp[2].weight)[:113].double(), dim=0).abs().square()[1:]
    own = spectrum.gather(0, (known().of - 1).unsqueeze(0)).squeeze(0) / spectrum.sum(dim=0)
    return [float(own[known().clusters == i].median()) for i in range(len(known().names))]


PARTS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "neurons": of_neurons,
    "logit": lambda pairs, seed: of_pathways(pairs, seed, answers),
    "margin": lambda pairs, seed: of_pathways(pairs, seed, lambda x: cp.Margin(answers(x))),
    "neighbours": of_neighbours,
    "groups": of_groups,
    "answers": of_answers,
    "heads": of_heads,
}
