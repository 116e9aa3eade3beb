"""Dead shares, nesting, and pathways cut to one size, against sets of neurons."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from tests import tiny
from torch import Tensor

import critpath as cp
from critpath.analysis import (
    Ranked,
    at_equal_size,
    base_dead_share,
    dead_share,
    nesting,
    resized,
    site_dead_share,
)
from critpath.errors import MismatchError, OptionError

SHAPES = ((4, 5), (), (7,))


def path(seed: int, share: float = 0.4, batch: int = 3) -> cp.Pathway:
    generator = torch.Generator().manual_seed(seed)
    return cp.Pathway(tiny.values_of(*(torch.rand((batch, *s), generator=generator) < share for s in SHAPES)))


def values(seed: int, batch: int = 3) -> cp.NeuronValues:
    return tiny.values_of(*(tiny.numbers(batch, *s, seed=seed + i) for i, s in enumerate(SHAPES)))


def members(pathway: cp.Pathway, sample: int) -> set[int]:
    return {i for i, k in enumerate(pathway.keep.flatten()[sample].tolist()) if k}


def ratio(a: set[int], b: set[int]) -> float:
    return len(a) / len(b) if b else math.nan


class TestDead:
    def test_equals_sets(self) -> None:
        p, a = path(1, share=0.3), values(5)
        p.keep.tensors[2][1] = False
        whole, sites, base = dead_share(p, a), site_dead_share(p, a), base_dead_share(a)
        assert whole.shape == base.shape == (3,)
        assert sites.shape == (3, 3)
        ends = [0, 20, 21, 28]
        for i in range(3):
            dead = {n for n, v in enumerate(a.flatten()[i].tolist()) if v <= 0}
            kept = members(p, i)
            assert float(whole[i]) == pytest.approx(ratio(kept & dead, kept), nan_ok=True)
            assert float(base[i]) == pytest.approx(len(dead) / 28)
            for s in range(3):
                inside = {n for n in kept if ends[s] <= n < ends[s + 1]}
                assert float(sites[i, s]) == pytest.approx(ratio(inside & dead, inside), nan_ok=True)
        assert sites[1, 2].isnan()

    def test_dead_means_zero_where_the_activation_may_be_negative(self) -> None:
        a = tiny.values_of(torch.tensor([[-1.0, 0.0, 2.0]]))
        p = cp.Pathway(a.map(lambda v: torch.ones_like(v, dtype=torch.bool)))
        gelu = replace(a.space, sites=(replace(a.space.sites[0], rectifying=False),))
        assert float(dead_share(p, a)) == pytest.approx(2 / 3)
        assert float(dead_share(p, cp.NeuronValues(gelu, a.tensors))) == pytest.approx(1 / 3)

    def test_empty_pathway_is_nan(self) -> None:
        nothing = path(1) & ~path(1)
        assert dead_share(nothing, values(1)).isnan().all()
        assert site_dead_share(nothing, values(1)).isnan().all()

    def test_of_another_network(self) -> None:
        with pytest.raises(MismatchError, match="3 sites against 1"):
            dead_share(path(1), tiny.values_of(torch.ones(3, 4)))
        with pytest.raises(MismatchError, match="of 2 samples"):
            dead_share(path(1, batch=2), values(1))

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            (
                lambda p: dead_share(p, torch.ones(3, 28)),
                "activations is of type Tensor, not NeuronValues: response.run",
            ),
            (lambda p: site_dead_share(values(1), values(1)), "pathway is of type NeuronValues, not Pathway"),
            (lambda p: base_dead_share(p), "activations is of type Pathway"),
            (lambda p: nesting(p, torch.ones(3, 28)), "outer is of type Tensor, not Pathway"),
            (lambda p: nesting(values(1), p), "inner is of type NeuronValues"),
        ],
    )
    def test_of_another_type(self, call: Callable[[cp.Pathway], object], words: str) -> None:
        with pytest.raises(OptionError, match=words):
            call(path(1))


class TestNesting:
    def test_equals_sets(self) -> None:
        inner, outer = path(1), path(2)
        found = nesting(inner, outer)
        for i in range(3):
            a, b = members(inner, i), members(outer, i)
            assert float(found[i]) == pytest.approx(ratio(a - b, a))

    def test_pathways_of_one_ranking(self) -> None:
        scores = values(3)
        small, large = (cp.select(scores, s) for s in (0.9, 0.5))
        assert nesting(small, large).tolist() == [0, 0, 0]
        assert (nesting(large, small) > 0).all()
        assert nesting(small & ~small, large).isnan().all()


def top(scores: Tensor, among: set[int], k: int) -> set[int]:
    return set(sorted(among, key=lambda n: (-abs(float(scores[n])), n))[:k])


class TestSizes:
    def test_resized_equals_sorting(self) -> None:
        p, scores = path(1), values(9)
        wanted = [3, int(p.size[1]), 20]
        found = resized(p, scores, wanted)
        for i, size in enumerate(wanted):
            flat, own = scores.flatten()[i], members(p, i)
            rest = set(range(28)) - own
            expected = top(flat, own, size) if size <= len(own) else own | top(flat, rest, size - len(own))
            assert members(found, i) == expected

    def test_of_one_ranking_is_its_prefix(self) -> None:
        scores = values(9)
        assert resized(cp.select(scores, 0.5), scores, [7, 21, 3]).size.tolist() == [7, 21, 3]
        for size in (3, 21):
            cut = resized(cp.select(scores, 0.5), scores, [size] * 3)
            assert cut == cp.select(scores, 1 - size / 28)

    def test_neurons_without_a_value_are_not_added(self) -> None:
        p = cp.Pathway(tiny.values_of(torch.tensor([[True, False, False, False]])))
        scores = tiny.values_of(torch.tensor([[0.0, 2.0, 0.0, -1.0]]))
        assert resized(p, scores, [4]).keep.flatten().tolist() == [[True, True, False, True]]

    def test_a_contribution_goes_to_the_size_of_a_search(self) -> None:
        scores, found = values(9), path(2)
        ranked = Ranked(cp.select(scores, 0.9), scores, True)
        for first, second in ((ranked, Ranked(found, values(4))), (Ranked(found, values(4)), ranked)):
            p, q, equal = at_equal_size(first, second)
            cut, other = (p, q) if first is ranked else (q, p)
            assert equal.all()
            assert other == found
            assert [members(cut, i) for i in range(3)] == [
                top(scores.flatten()[i], set(range(28)), int(found.size[i])) for i in range(3)
            ]

    def test_of_two_rankings_the_larger_is_cut(self) -> None:
        one, other = values(9), values(4)
        for any_size in (True, False):
            large = Ranked(cp.select(one, 0.5), one, any_size)
            small = Ranked(cp.select(other, 0.8), other, any_size)
            p, q, equal = at_equal_size(large, small)
            assert equal.all()
            assert q == small.pathway
            assert p == cp.select(one, 0.8)

    def test_what_cannot_be_cut_is_not_compared(self) -> None:
        one, other = path(1, share=0.2), path(2, share=0.8)
        p, q, equal = at_equal_size(Ranked(one), Ranked(other))
        assert not equal.any()
        assert (p, q) == (one, other)
        assert at_equal_size(Ranked(one), Ranked(~~one))[2].all()
        """A larger pathway with a ranking is cut; a smaller one, which only a search can enlarge, is not."""
        assert at_equal_size(Ranked(one), Ranked(other, values(1)))[2].all()
        assert not at_equal_size(Ranked(one, values(1)), Ranked(other))[2].any()

    def test_a_ranking_that_ends_early(self) -> None:
        """Only 2 neurons have a score; the search, which has a ranking, comes down to them, another one cannot."""
        scores = tiny.values_of(torch.tensor([[0.0, 2.0, 0.0, -1.0]]))
        search = cp.Pathway(tiny.values_of(torch.tensor([[True, True, True, False]])))
        ranked = Ranked(cp.select(scores, 0.0), scores, True)
        p, q, equal = at_equal_size(ranked, Ranked(search, tiny.values_of(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))))
        assert equal.tolist() == [True]
        assert p.keep.flatten().tolist() == [[False, True, False, True]]
        assert q.keep.flatten().tolist() == [[False, True, True, False]]
        assert at_equal_size(ranked, Ranked(search))[2].tolist() == [False]

    def test_mismatch(self) -> None:
        with pytest.raises(MismatchError, match="ranking belongs to another"):
            resized(path(1), tiny.values_of(torch.ones(3, 4)), [1, 1, 1])
