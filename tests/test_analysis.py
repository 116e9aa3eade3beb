"""Overlap against sets and simulation; reach against every pathway there is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import critpath as cp
from critpath.analysis import find_reach, reaches_input
from critpath.contributions import score_response
from critpath.errors import InputError, MismatchError
from critpath.response import Response, respond
from critpath.selection import random_pathway
from tests import tiny


def path(seed: int, share: float = 0.4, batch: int = 3) -> cp.Pathway:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4, 5), (9,), (30,))
    return cp.Pathway(tiny.values_of(*(torch.rand((batch, *s), generator=generator) < share for s in shapes)))


def sets(pathway: cp.Pathway, sample: int) -> list[set[int]]:
    """The kept neurons of one sample, a set for every site."""
    return [{i for i, k in enumerate(t[sample].flatten().tolist()) if k} for t in pathway.keep.tensors]


def jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a | b else math.nan


class TestOverlap:
    def test_equals_sets(self) -> None:
        p, q = path(1), path(2, share=0.2)
        found = cp.overlap(p, q)
        assert found.jaccard.shape == found.chance.shape == (3,)
        assert found.site_jaccard.shape == found.site_chance.shape == (3, 3)
        for i in range(3):
            a, b = sets(p, i), sets(q, i)
            whole = [{(s, n) for s, part in enumerate(x) for n in part} for x in (a, b)]
            assert float(found.jaccard[i]) == pytest.approx(jaccard(*whole))
            for site in range(3):
                expected = jaccard(a[site], b[site])
                assert float(found.site_jaccard[i, site]) == pytest.approx(expected, nan_ok=True)

    def test_equal_disjoint_and_empty(self) -> None:
        p = path(1)
        nothing = p & ~p
        assert cp.overlap(p, p).jaccard.tolist() == [1, 1, 1]
        assert cp.overlap(p, ~p).jaccard.tolist() == [0, 0, 0]
        assert cp.overlap(p, nothing).jaccard.tolist() == [0, 0, 0]
        assert cp.overlap(p, nothing).chance.tolist() == [0, 0, 0]
        assert cp.overlap(nothing, nothing).jaccard.isnan().all()
        assert cp.overlap(~nothing, ~nothing).chance.tolist() == [1, 1, 1]

    def test_symmetric(self) -> None:
        one, other = cp.overlap(path(1), path(2)), cp.overlap(path(2), path(1))
        assert torch.equal(one.jaccard, other.jaccard)
        assert torch.equal(one.site_chance, other.site_chance)

    @pytest.mark.parametrize(("first", "second"), [(0.9, 0.9), (0.5, 0.9), (0.7, 0.2)])
    def test_chance_is_what_random_sets_have(self, first: float, second: float) -> None:
        space = tiny.space_of((50, 20), (3000,))
        pairs = [
            cp.overlap(random_pathway(space, 1, first, seed=s), random_pathway(space, 1, second, seed=1000 + s))
            for s in range(40)
        ]
        p, q = 1 - first, 1 - second
        formula = p * q / (p + q - p * q)
        for pair in pairs:
            assert float(pair.chance) == pytest.approx(formula, rel=1e-9)
        drawn = sum(float(pair.jaccard) for pair in pairs) / len(pairs)
        assert drawn == pytest.approx(formula, rel=0.03)
        for site in range(2):
            drawn = sum(float(pair.site_jaccard[0, site]) for pair in pairs) / len(pairs)
            chance = sum(float(pair.site_chance[0, site]) for pair in pairs) / len(pairs)
            assert drawn == pytest.approx(chance, rel=0.05)

    def test_in_words(self) -> None:
        text = str(cp.overlap(path(1), path(2)))
        assert len(text.splitlines()) == 3
        assert "sample 2: Jaccard 0." in text
        assert "chance 0." in text

    def test_mismatch(self) -> None:
        with pytest.raises(MismatchError, match="3 and 2 samples"):
            cp.overlap(path(1), path(1, batch=2))
        with pytest.raises(MismatchError, match="3 sites against 1"):
            cp.overlap(path(1), cp.Pathway(tiny.values_of(torch.ones(3, 4, dtype=torch.bool))))


def scored(model: nn.Module, x: object) -> tuple[Response, cp.NeuronValues]:
    response = respond(cp.Network(model), x)
    return response, score_response(response, "taylor")


def reaches_by_hand(model: nn.Sequential, x: torch.Tensor, pathway: cp.Pathway, target: int) -> bool:
    """Run a chain of modules with non-path neurons frozen, in plain PyTorch."""
    x = x.clone().requires_grad_()
    keep = iter(pathway.keep.tensors)
    value = x
    for module in model:
        value = module(value)
        if isinstance(module, nn.ReLU):
            mask = next(keep)
            value = torch.where(mask, value, value.detach())
    if not value.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(value[0, target], x)
    return bool(gradient.any())


class TestReach:
    def test_against_every_size(self) -> None:
        for seed in range(4):
            model = tiny.seeded(tiny.conv_net, seed)
            x = tiny.numbers(1, *tiny.IMAGE, seed=seed + 10)
            response, scores = scored(model, x)
            n = scores.space.neurons
            target = int(response.target.classes[0])
            reaching = [reaches_by_hand(model, x, cp.select(scores, 1 - k / n), target) for k in range(1, n + 1)]
            smallest = reaching.index(True) + 1
            assert all(reaching[smallest - 1 :])
            assert not any(reaching[: smallest - 1])
            found = find_reach(response, scores, within=1e-4)
            assert found.last is not None
            assert found.first_lost is not None
            assert found.first_lost - found.last <= 1e-4
            assert round((1 - found.last) * n) >= smallest
            assert round((1 - found.first_lost) * n) == smallest - 1
            assert cp.select(scores, found.first_lost).size.item() == smallest - 1

    def test_ends_of_the_answer_are_what_they_say(self) -> None:
        kind = tiny.NETWORKS["two_inputs"]
        response, scores = scored(kind.build(), kind.inputs(1))
        for scope in ("network", "site", "channel"):
            found = find_reach(response, scores, scope)
            assert found.tried_up_to == 0.999
            if found.last is not None:
                assert reaches_input(response, scores, found.last, scope)
            if found.first_lost is not None:
                assert not reaches_input(response, scores, found.first_lost, scope)

    def test_a_way_around_the_sites_always_reaches(self) -> None:
        kind = tiny.NETWORKS["transformer"]
        found = find_reach(*scored(kind.build(), kind.inputs(1)))
        assert (found.last, found.first_lost) == (0.999, None)

    def test_never_reaches(self) -> None:
        """A response that a hidden copy of the input cuts off from it."""

        class Cut(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = tiny.MLP()
                self.offset = nn.Parameter(torch.ones(1, 6))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.body(x.sign() + self.offset)

        found = find_reach(*scored(tiny.seeded(Cut), tiny.numbers(1, 6)))
        assert (found.last, found.first_lost) == (None, 0.0)

    def test_graph_is_left_for_more(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response, scores = scored(kind.build(), kind.inputs(1))
        first = find_reach(response, scores)
        assert find_reach(response, scores) == first

    def test_a_batch_is_refused(self) -> None:
        """One sample that reaches would answer for all."""
        kind = tiny.NETWORKS["conv"]
        response, scores = scored(kind.build(), kind.inputs(2))
        with pytest.raises(InputError):
            find_reach(response, scores)
