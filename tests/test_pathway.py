"""``Pathway`` as a set of neurons, sample by sample."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import critpath as cp
from critpath.errors import MismatchError
from tests import tiny

SHAPES = ((3, 4, 5), (7,), (6, 2))


def path(seed: int, batch: int = 2, share: float = 0.4, channels_last: bool = False) -> cp.Pathway:
    generator = torch.Generator().manual_seed(seed)
    keep = [torch.rand((batch, *shape), generator=generator) < share for shape in SHAPES]
    return cp.Pathway(tiny.values_of(*keep, channels_last=channels_last), 0.6)


def sets(pathway: cp.Pathway) -> list[set[int]]:
    """The kept neurons of every sample, by their index in ``flatten()``."""
    return [{i for i, keep in enumerate(row) if keep} for row in pathway.keep.flatten().tolist()]


class TestAlgebra:
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (operator.and_, set.__and__),
            (operator.or_, set.__or__),
            (operator.sub, set.__sub__),
            (operator.xor, set.__xor__),
        ],
    )
    def test_is_that_of_sets(self, ours: Callable, theirs: Callable) -> None:
        p, q = path(1), path(2)
        assert sets(ours(p, q)) == [theirs(a, b) for a, b in zip(sets(p), sets(q), strict=True)]
        assert ours(p, q).requested is None

    def test_complement(self) -> None:
        p = path(1)
        everything = set(range(p.space.neurons))
        assert sets(~p) == [everything - kept for kept in sets(p)]
        assert (~p).requested is None

    @settings(max_examples=40, deadline=None)
    @given(seeds=st.tuples(*[st.integers(0, 10**6)] * 3), share=st.sampled_from([0.0, 0.3, 1.0]))
    def test_laws(self, seeds: tuple[int, int, int], share: float) -> None:
        p, q, r = (path(seed, share=share if i == 0 else 0.5) for i, seed in enumerate(seeds))
        assert p & (q | r) == (p & q) | (p & r)
        assert ~(p | q) == ~p & ~q
        assert p ^ q == (p | q) - (p & q)
        assert p - q == p & ~q
        assert ~~p == p
        assert (p & ~p).size.tolist() == [0, 0]
        assert (p | ~p).sparsity.tolist() == [0, 0]

    def test_operands_are_not_changed(self) -> None:
        p, q = path(1), path(2)
        before = sets(p), sets(q)
        _ = p & q, p | q, p - q, p ^ q, ~p
        assert (sets(p), sets(q)) == before

    def test_contains(self) -> None:
        p, q = path(1), path(2)
        assert (p | q).contains(p).tolist() == [True, True]
        assert p.contains(p).tolist() == [True, True]
        assert (p & q).contains(p).tolist() == [False, False]
        mixed = cp.Pathway(tiny.values_of(*(torch.stack([a[0], b[1]]) for a, b in _rows(p, p & q))))
        assert mixed.contains(p).tolist() == [True, False]


def _rows(p: cp.Pathway, q: cp.Pathway) -> zip:
    return zip(p.keep.tensors, q.keep.tensors, strict=True)


class TestNumbers:
    def test_size_and_sparsity(self) -> None:
        p = path(3)
        assert p.size.tolist() == [len(s) for s in sets(p)]
        assert p.sparsity.tolist() == pytest.approx([1 - len(s) / 79 for s in sets(p)])
        assert p.batch == 2
        assert p.requested == 0.6

    def test_density(self) -> None:
        p = path(4)
        naive = [[float(keep[i].double().mean()) for keep in p.keep.tensors] for i in range(2)]
        assert torch.allclose(p.density(), torch.tensor(naive, dtype=torch.float64))

    @pytest.mark.parametrize("last", [False, True])
    def test_channel_density(self, last: bool) -> None:
        p = path(5, channels_last=last)
        for site, keep, found in zip(p.space, p.keep.tensors, p.channel_density(), strict=True):
            dim = len(site.shape) - 1 if last else 0
            assert found.shape == (2, site.shape[dim])
            for sample in range(2):
                for channel in range(site.shape[dim]):
                    naive = float(keep[sample].select(dim, channel).double().mean())
                    assert float(found[sample, channel]) == pytest.approx(naive)

    def test_sample(self) -> None:
        p = path(6, batch=3)
        assert sets(p.sample(1)) == [sets(p)[1]]
        assert sets(p.sample(-1)) == [sets(p)[2]]
        assert p.sample(0).requested == 0.6
        for outside in (3, -4):
            with pytest.raises(MismatchError, match="in a batch of 3"):
                p.sample(outside)

    def test_scalar_site(self) -> None:
        p = cp.Pathway(tiny.values_of(torch.tensor([True, False]), torch.ones(2, 3, dtype=torch.bool)))
        assert p.size.tolist() == [4, 3]
        assert p.density().tolist() == [[1, 1], [0, 1]]
        assert p.channel_density()[0].tolist() == [[1], [0]]


class TestEquality:
    def test_of_values_not_of_requests(self) -> None:
        p = path(1)
        assert p == cp.Pathway(tiny.values_of(*(t.clone() for t in p.keep.tensors)), 0.1)
        assert p != path(2)

    def test_one_neuron_of_one_sample_tells_them_apart(self) -> None:
        p = path(1)
        other = [t.clone() for t in p.keep.tensors]
        other[1][1, 6] ^= True
        assert p != cp.Pathway(tiny.values_of(*other))

    def test_other_things_are_not_equal(self) -> None:
        p = path(1)
        assert p != path(1, batch=3)
        assert p != cp.Pathway(tiny.values_of(torch.ones(2, 4, dtype=torch.bool)))
        assert p != "pathway"
        assert p.keep != p

    def test_no_hash(self) -> None:
        with pytest.raises(TypeError, match="unhashable"):
            hash(path(1))


class TestErrors:
    def test_not_boolean(self) -> None:
        with pytest.raises(MismatchError, match=r"boolean, but site s1 holds torch\.float64"):
            cp.Pathway(tiny.values_of(torch.ones(1, 2, dtype=torch.bool), tiny.numbers(1, 3)))

    @pytest.mark.parametrize("combine", [operator.and_, operator.or_, operator.sub, operator.xor])
    def test_other_network(self, combine: Callable) -> None:
        other = cp.Pathway(tiny.values_of(*(torch.ones(2, *s, dtype=torch.bool) for s in ((3, 4, 5), (8,), (6, 2)))))
        with pytest.raises(MismatchError, match=r"s1 \[7\] against s1 \[8\]"):
            combine(path(1), other)
        with pytest.raises(MismatchError, match="3 sites against 1"):
            combine(path(1), cp.Pathway(tiny.values_of(torch.ones(2, 3, dtype=torch.bool))))

    def test_other_batch(self) -> None:
        with pytest.raises(MismatchError, match="2 and 3 samples"):
            path(1) & path(1, batch=3)
        with pytest.raises(MismatchError, match="3 and 2 samples"):
            path(1).contains(path(1, batch=3))

    def test_shapes_of_values(self) -> None:
        space = tiny.space_of((2, 3), (4,))
        with pytest.raises(MismatchError, match=r"s1 takes \[2, \*\[4\]\], got \[2, 5\]"):
            cp.NeuronValues(space, (torch.ones(2, 2, 3), torch.ones(2, 5)))
        with pytest.raises(MismatchError, match=r"s1 takes \[2, \*\[4\]\], got \[3, 4\]"):
            cp.NeuronValues(space, (torch.ones(2, 2, 3), torch.ones(3, 4)))
        with pytest.raises(MismatchError, match="1 tensors for 2 sites"):
            cp.NeuronValues(space, (torch.ones(2, 2, 3),))

    def test_unknown_site(self) -> None:
        with pytest.raises(MismatchError, match=r"no site is called 's1#' among the 3 sites; near it are .*s1"):
            path(1).keep["s1#"]


def test_repr_says_size_and_sparsity() -> None:
    assert repr(path(1, batch=6)).startswith("Pathway(batch=6, neurons=79, sparsity=[0.")
    assert "…" in repr(path(1, batch=6))


class TestValues:
    """The container under a pathway."""

    def test_flatten_is_in_site_order(self) -> None:
        values = tiny.values_of(tiny.numbers(2, 3, 4), tiny.numbers(2, 5))
        flat = values.flatten()
        assert flat.shape == (2, 17)
        for index in (0, 7, 11, 12, 16):
            site, place = values.space.locate(index)
            assert flat[1, index] == values[site.name][(1, *place)]
        with pytest.raises(MismatchError, match="the space has 17"):
            values.space.locate(17)

    @pytest.mark.parametrize("last", [False, True])
    def test_channel_sums(self, last: bool) -> None:
        values = tiny.values_of(tiny.numbers(2, 3, 4, 5), tiny.numbers(2, 5), channels_last=last)
        wide, narrow = values.channels()
        assert torch.allclose(wide, values["s0"].sum(dim=(1, 2) if last else (2, 3)))
        assert torch.equal(narrow, values["s1"])
        assert torch.allclose(values.site_sums()[:, 0], values["s0"].sum(dim=(1, 2, 3)))

    def test_stack(self) -> None:
        from critpath.neurons import stack

        values = tiny.values_of(tiny.numbers(3, 2, 2), tiny.numbers(3, 4))
        assert torch.equal(stack([values.sample(i) for i in range(3)]).flatten(), values.flatten())
        with pytest.raises(MismatchError, match="2 sites against 1"):
            stack([values, tiny.values_of(tiny.numbers(3, 2, 2))])

    def test_scalar_site(self) -> None:
        values = tiny.values_of(tiny.numbers(2), tiny.numbers(2, 3))
        assert values.flatten().shape == (2, 4)
        assert values.site_sums().shape == (2, 2)
        assert values.channels()[0].shape == (2, 1)
