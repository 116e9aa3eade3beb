"""``select`` and ``find_pathway`` against a full sort."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import critpath as cp
from critpath.errors import NumericalError, OptionError
from critpath.selection import kept_count, random_pathway, random_within, threshold
from critpath.selection.threshold import keep_largest
from tests import tiny

SCOPES = ("network", "site", "channel")
SPARSITIES = (0.0, 0.1, 0.5, 0.77, 0.9, 0.99, 0.9999)


def naive_largest(flat: Tensor, k: int) -> Tensor:
    """The k of largest |value| by a full stable sort; zeros are never among them."""
    order = sorted(range(len(flat)), key=lambda i: (-abs(float(flat[i])), i))
    kept = torch.zeros(len(flat), dtype=torch.bool)
    kept[[i for i in order[:k] if flat[i] != 0]] = True
    return kept


def sorted_largest(flat: Tensor, k: int) -> Tensor:
    """The same, by numpy, for sizes at which Python is too slow."""
    order = np.argsort(-np.abs(flat.numpy()), kind="stable")[:k]
    kept = torch.zeros(len(flat), dtype=torch.bool)
    kept[torch.from_numpy(order)] = True
    return kept & (flat != 0)


def naive_select(scores: cp.NeuronValues, sparsity: float, scope: str) -> list[Tensor]:
    """One row of booleans [neurons] a sample, from the words of the definition."""
    return [_naive_sample(scores.sample(i), sparsity, scope) for i in range(scores.batch)]


def _naive_sample(scores: cp.NeuronValues, sparsity: float, scope: str) -> Tensor:
    if scope == "network":
        flat = scores.flatten()[0]
        return naive_largest(flat, round((1 - sparsity) * len(flat)))
    return torch.cat([_naive_site(s, t[0], sparsity, scope).flatten() for s, t in scores.items()])


def _naive_site(site: cp.Site, values: Tensor, sparsity: float, scope: str) -> Tensor:
    if scope == "site" or len(values.shape) < 2:
        k = round((1 - sparsity) * values.numel())
        return naive_largest(values.flatten(), k).view(values.shape)
    kept = torch.zeros(values.shape, dtype=torch.bool)
    for channel in range(values.shape[site.channel_dim]):
        part = values.select(site.channel_dim, channel)
        k = round((1 - sparsity) * part.numel())
        kept.select(site.channel_dim, channel).copy_(naive_largest(part.flatten(), k).view(part.shape))
    return kept


def ties(*shape: int, levels: int = 3, seed: int = 0) -> Tensor:
    """Small signed integers: most values tie, many are 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-levels, levels + 1, shape, generator=generator).double()


@contextmanager
def small_steps(sample: int, chunk: int) -> Iterator[None]:
    """The sampling and chunking of large inputs, at sizes small enough for a naive sort."""
    with mock.patch.multiple(threshold, SAMPLE=sample, CHUNK=chunk):
        yield


class TestSelectAgainstSort:
    @pytest.mark.parametrize("channels_last", [False, True])
    @pytest.mark.parametrize("scope", SCOPES)
    @pytest.mark.parametrize("sparsity", SPARSITIES)
    def test_equals_naive(self, scope: str, sparsity: float, channels_last: bool) -> None:
        for kind in (ties, lambda *s, seed=0: tiny.numbers(*s, seed=seed)):
            scores = tiny.values_of(
                kind(2, 4, 5, 3), kind(2, 11, seed=1), kind(2, 3, 7, seed=2), channels_last=channels_last
            )
            found = cp.select(scores, sparsity, scope)
            for row, expected in zip(found.keep.flatten(), naive_select(scores, sparsity, scope), strict=True):
                assert torch.equal(row, expected)

    @pytest.mark.parametrize("name", tiny.NETWORKS)
    def test_on_real_scores(self, name: str) -> None:
        kind = tiny.NETWORKS[name]
        scores = cp.score(cp.Network(kind.build()), kind.inputs(2))
        for sparsity in (0.3, 0.9):
            found = cp.select(scores, sparsity).keep.flatten()
            for row, expected in zip(found, naive_select(scores, sparsity, "network"), strict=True):
                assert torch.equal(row, expected)

    @pytest.mark.parametrize("scope", SCOPES)
    def test_batch_equals_loop(self, scope: str) -> None:
        scores = tiny.values_of(ties(3, 4, 6), tiny.numbers(3, 9), ties(3, 2, 3, 3, seed=5))
        together = cp.select(scores, 0.7, scope)
        for i in range(3):
            assert together.sample(i) == cp.select(scores.sample(i), 0.7, scope)

    @pytest.mark.parametrize("scope", SCOPES)
    def test_nested_across_sparsities(self, scope: str) -> None:
        scores = tiny.values_of(ties(2, 5, 8, levels=9), tiny.numbers(2, 23))
        wide = cp.select(scores, 0.0, scope)
        for sparsity in torch.linspace(0, 0.99, 30).tolist():
            narrow = cp.select(scores, sparsity, scope)
            assert wide.contains(narrow).all()
            wide = narrow

    def test_ties_go_to_the_earlier_site_and_index(self) -> None:
        scores = tiny.values_of(torch.ones(1, 2, 2), -torch.ones(1, 6))
        assert cp.select(scores, 0.5).keep.flatten().tolist() == [[True] * 5 + [False] * 5]

    def test_sign_and_dtype_do_not_matter(self) -> None:
        values = tiny.numbers(1, 50)
        wide = cp.select(tiny.values_of(values), 0.8)
        assert wide == cp.select(tiny.values_of(-values), 0.8)
        assert wide == cp.select(tiny.values_of(values.abs()), 0.8)
        assert wide == cp.select(tiny.values_of(values.float()), 0.8)

    def test_float64_is_ranked_in_float64(self) -> None:
        close = 1 + torch.arange(64, dtype=torch.float64) * 1e-15
        kept = cp.select(tiny.values_of(close[None]), 0.75).keep.flatten()[0]
        assert torch.equal(kept, naive_largest(close, 16))
        assert kept[-1]

    def test_scores_may_be_views(self) -> None:
        wide = tiny.numbers(2, 6, 8, 3)
        strided = tiny.values_of(wide.transpose(1, 3)[:, :, ::2])
        copied = tiny.values_of(wide.transpose(1, 3)[:, :, ::2].contiguous())
        for scope in SCOPES:
            assert cp.select(strided, 0.6, scope) == cp.select(copied, 0.6, scope)

    def test_scores_are_left_alone(self) -> None:
        scores = tiny.values_of(tiny.numbers(1, 30))
        before = scores.tensors[0].clone()
        cp.select(scores, 0.5)
        assert torch.equal(scores.tensors[0], before)

    def test_site_with_one_neuron_a_sample(self) -> None:
        scores = tiny.values_of(tiny.numbers(3), tiny.numbers(3, 4))
        for scope in SCOPES:
            assert cp.select(scores, 0.0, scope).size.tolist() == [5, 5, 5]

    def test_site_without_neurons(self) -> None:
        scores = tiny.values_of(tiny.numbers(2, 4), torch.zeros(2, 0, dtype=torch.float64))
        for scope in SCOPES:
            assert cp.select(scores, 0.0, scope).size.tolist() == [4, 4]

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, dtype: torch.dtype) -> None:
        scores = tiny.values_of(tiny.numbers(1, 40).to(dtype))
        assert torch.equal(cp.select(scores, 0.8).keep.flatten()[0], naive_select(scores, 0.8, "network")[0])


class TestSparsity:
    @pytest.mark.parametrize("sparsity", SPARSITIES)
    def test_exactly_the_requested_number(self, sparsity: float) -> None:
        scores = tiny.values_of(tiny.numbers(2, 7, 11), tiny.numbers(2, 123))
        pathway = cp.select(scores, sparsity)
        k = round((1 - sparsity) * 200)
        assert pathway.requested == sparsity
        assert pathway.size.tolist() == [k, k] == [kept_count(200, sparsity)] * 2
        assert pathway.sparsity.tolist() == pytest.approx([1 - k / 200] * 2)

    @pytest.mark.parametrize("scope", SCOPES)
    def test_zero_is_never_kept(self, scope: str) -> None:
        values = tiny.numbers(1, 10, 10)
        values[0, :, 3:] = 0.0
        values[0, 0] = -0.0
        pathway = cp.select(tiny.values_of(values), 0.1, scope)
        assert pathway.requested == 0.1
        assert not pathway.keep.tensors[0][values == 0].any()
        if scope != "channel":
            assert pathway.size.item() == 27
            assert pathway.sparsity.item() == pytest.approx(0.73)

    def test_all_zero_gives_an_empty_pathway(self) -> None:
        for scope in SCOPES:
            assert cp.select(tiny.values_of(torch.zeros(2, 3, 4)), 0.0, scope).size.tolist() == [0, 0]

    def test_the_smallest_numbers_are_not_zero(self) -> None:
        values = torch.full((1, 8), 5e-324, dtype=torch.float64)
        assert cp.select(tiny.values_of(values), 0.5).keep.flatten()[0].tolist() == [True] * 4 + [False] * 4

    @pytest.mark.parametrize("sparsity", [1.0, 1, -0.1, float("nan"), float("inf"), 90, "0.9", None])
    def test_out_of_range(self, sparsity: object) -> None:
        with pytest.raises(OptionError, match="at least 0 and below 1"):
            cp.select(tiny.values_of(tiny.numbers(1, 4)), sparsity)

    def test_unknown_scope(self) -> None:
        with pytest.raises(OptionError, match="network, site, channel"):
            cp.select(tiny.values_of(tiny.numbers(1, 4)), 0.5, "layer")

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("scope", SCOPES)
    @pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
    def test_not_finite(self, bad: float, scope: str, sparsity: float) -> None:
        for place in (0, 17, 39):
            values = tiny.numbers(1, 4, 10)
            values.view(-1)[place] = bad
            with pytest.raises(NumericalError, match="NaN or infinity"):
                cp.select(tiny.values_of(tiny.numbers(1, 6), values), sparsity, scope)

    def test_large_finite_values_are_ranked(self) -> None:
        values = torch.tensor([[1e308, -1.7e308, 1e308, 3.0]], dtype=torch.float64)
        for scope in SCOPES:
            assert cp.select(tiny.values_of(values), 0.5, scope).keep.flatten().tolist() == [[True, True, False, False]]


class TestKeepLargest:
    """The bracket around the threshold, with samples and chunks so small that it has to work for it."""

    @settings(max_examples=400, deadline=None)
    @given(
        sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
        levels=st.sampled_from([0, 1, 2, 5, 1000]),
        zeros=st.sampled_from([0.0, 0.5, 0.95]),
        sample=st.sampled_from([1, 4, 16, 64]),
        chunk=st.sampled_from([1, 3, 16, 64]),
        share=st.floats(0, 1),
        seed=st.integers(0, 2**31),
    )
    def test_equals_sort_under_ties(
        self,
        sizes: list[int],
        levels: int,
        zeros: float,
        sample: int,
        chunk: int,
        share: float,
        seed: int,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        parts = [ties(n, levels=levels, seed=seed + i) for i, n in enumerate(sizes)]
        parts = [p * (torch.rand(len(p), generator=generator) >= zeros) for p in parts]
        flat = torch.cat(parts)
        k = round(share * len(flat))
        with small_steps(sample, chunk):
            assert torch.equal(torch.cat(list(keep_largest(parts, k))), naive_largest(flat, k))

    @settings(max_examples=200, deadline=None)
    @given(
        values=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3, max_size=80),
        k=st.integers(0, 81),
        sample=st.sampled_from([1, 2, 8]),
    )
    def test_equals_sort_on_any_floats(self, values: list[float], k: int, sample: int) -> None:
        for dtype in (torch.float32, torch.float64):
            flat = torch.tensor(values, dtype=dtype)
            parts = list(flat.split([len(flat) // 3, len(flat) - len(flat) // 3]))
            with small_steps(sample, 5):
                assert torch.equal(torch.cat(list(keep_largest(parts, k))), naive_largest(flat, k))

    @pytest.mark.parametrize("k", [0, 1, 2, 500, 999, 1000, 1001])
    @pytest.mark.parametrize(
        "pattern",
        [
            "constant",
            "negative",
            "rising",
            "falling",
            "one spike",
            "spikes where nothing is sampled",
            "spikes where it is sampled",
            "two levels",
            "alternating",
            "nearly all zero",
            "huge range",
        ],
    )
    def test_structure_that_misleads_a_sample(self, pattern: str, k: int) -> None:
        n = 1000
        i = torch.arange(n, dtype=torch.float64)
        step = 17  # what _sample takes for 1000 entries and 62 samples, see below
        flat = {
            "constant": torch.ones(n).double(),
            "negative": -torch.ones(n).double(),
            "rising": i + 1,
            "falling": n - i,
            "one spike": torch.where(i == 531, 1e9, 1.0),
            "spikes where nothing is sampled": torch.where(i % step != 0, 10 + i, 1.0),
            "spikes where it is sampled": torch.where(i % step == 0, 10 + i, 1.0),
            "two levels": torch.where(i < 500, 2.0, 1.0),
            "alternating": torch.where(i % 2 == 0, 1.0, -3.0),
            "nearly all zero": torch.where(i % 333 == 1, i, 0.0),
            "huge range": 10.0 ** (i % 600 - 300),
        }[pattern].double()
        expected = naive_largest(flat, k)
        for parts in ([flat], list(flat.split([990, *([1] * 10)])), list(flat.split([1] * 10 + [990]))):
            with small_steps(62, 64):
                assert len(threshold._sample([flat])) < 80
                assert torch.equal(torch.cat(list(keep_largest(parts, k))), expected)

    def test_bracket_is_widened_when_the_sample_misleads(self) -> None:
        """The case that the loop is for does occur, and is right."""
        flat = torch.where(torch.arange(20_000) % 17 == 0, 1.0, 5.0).double()
        with (
            small_steps(1200, 4096),
            mock.patch.object(threshold, "_keep_between", wraps=threshold._keep_between) as attempts,
        ):
            kept = torch.cat(list(keep_largest([flat], 1_300)))
        assert attempts.call_count > 1
        assert torch.equal(kept, sorted_largest(flat, 1_300))

    @pytest.mark.parametrize("kind", ["normal", "ties", "sparse", "sorted in sites"])
    def test_millions_of_entries(self, kind: str) -> None:
        n = 3_000_000 if kind == "normal" else 700_000
        flat = torch.randn(n, generator=torch.Generator().manual_seed(0))
        if kind == "ties":
            flat = (flat * 3).round()
        if kind == "sparse":
            flat[flat.abs() < 1.9] = 0.0
        if kind == "sorted in sites":
            flat = flat.sort().values
        sizes = [n - 300_050, 300_000, *([1] * 50)]
        for k in (1, n // 10, n - 1) if kind == "normal" else (1, 1000, n // 10, n // 2, n - 1):
            found = torch.cat(list(keep_largest(flat.split(sizes), k)))
            assert torch.equal(found, sorted_largest(flat, k))

    def test_writes_to_what_it_is_given(self) -> None:
        parts = [tiny.numbers(2, 5), tiny.numbers(7)]
        kept = [torch.ones(2, 5, dtype=torch.bool), torch.ones(7, dtype=torch.bool)]
        assert keep_largest(parts, 4, kept) is kept
        assert sum(int(k.sum()) for k in kept) == 4
        keep_largest(parts, 0, kept)
        assert not any(k.any() for k in kept)

    def test_plain_torch_path_equals_numpy_path(self) -> None:
        """The path for other devices, run on the CPU."""

        def everywhere(part: Tensor, keep: Tensor, low: float, high: float) -> threshold._Reached:
            with mock.patch.object(Tensor, "device", torch.device("meta")):
                return reach(part, keep, low, high)

        reach = threshold._reach
        for k in (1, 40, 75, 150):
            for flat in (ties(150), tiny.numbers(150)):
                with small_steps(150, 7), mock.patch.object(threshold, "_reach", everywhere):
                    assert torch.equal(torch.cat(list(keep_largest([flat], k))), naive_largest(flat, k))


class TestFinders:
    def test_names(self) -> None:
        assert set(cp.contribution_names()) < set(cp.finder_names())
        assert {"random", "active", "taylor"} <= set(cp.finder_names())

    @pytest.mark.parametrize("name", tiny.NETWORKS)
    def test_a_contribution_is_score_then_select(self, name: str) -> None:
        kind = tiny.NETWORKS[name]
        net, x = cp.Network(kind.build()), kind.inputs(2)
        for method in cp.contribution_names():
            for scope in SCOPES:
                found = cp.find_pathway(net, x, method, sparsity=0.6, target=1, scope=scope)
                assert found == cp.select(cp.score(net, x, method, target=1), 0.6, scope)

    @pytest.mark.parametrize("name", tiny.NETWORKS)
    def test_active(self, name: str) -> None:
        kind = tiny.NETWORKS[name]
        net, x = cp.Network(kind.build()), kind.inputs(2)
        expected = [a > 0 if site.rectifying else a != 0 for site, a in net.run(x).values().items()]
        assert cp.find_pathway(net, x, "active") == cp.Pathway(cp.NeuronValues(net.sites(x), tuple(expected)))

    def test_random_network(self) -> None:
        kind = tiny.NETWORKS["conv"]
        net, x = cp.Network(kind.build()), kind.inputs(3)
        found = cp.find_pathway(net, x, "random", sparsity=0.9, seed=3)
        k = round(0.1 * found.space.neurons)
        assert found.size.tolist() == [k] * 3
        assert found == cp.find_pathway(net, x, "random", sparsity=0.9, seed=3)
        assert found != cp.find_pathway(net, x, "random", sparsity=0.9, seed=4)
        assert found.sample(1) == cp.find_pathway(net, tiny.sample(x, 1), "random", sparsity=0.9, seed=3)

    @pytest.mark.parametrize("scope", ["site", "channel"])
    def test_random_within_scope(self, scope: str) -> None:
        space = tiny.space_of((4, 5, 5), (40,))
        found = random_pathway(space, 2, 0.8, scope, seed=1)
        assert found.density().flatten().tolist() == pytest.approx([0.2] * 4)
        if scope == "channel":
            assert torch.allclose(found.channel_density()[0], torch.full((2, 4), 0.2))

    def test_random_is_uniform(self) -> None:
        space = tiny.space_of((6, 5), (10,))
        counts = sum(random_pathway(space, 1, 0.75, seed=s).keep.flatten()[0].double() for s in range(400))
        assert counts.sum() == 400 * 10
        assert (counts / 400 - 0.25).abs().max() < 5 * (0.25 * 0.75 / 400) ** 0.5

    def test_random_within_has_the_size_of_each_sample(self) -> None:
        pathway = cp.Pathway(tiny.values_of(tiny.numbers(3, 4, 9) > 0.5, tiny.numbers(3, 8) > 0))
        drawn = random_within(pathway, seed=2)
        assert drawn.size.tolist() == pathway.size.tolist()
        assert drawn == random_within(pathway, seed=2)
        assert drawn != random_within(pathway, seed=3)

    def test_random_leaves_the_random_state(self) -> None:
        torch.manual_seed(0)
        before = torch.random.get_rng_state()
        random_pathway(tiny.space_of((5,)), 1, 0.5)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_errors(self) -> None:
        kind = tiny.NETWORKS["mlp"]
        net, x = cp.Network(kind.build()), kind.inputs(1)
        with pytest.raises(OptionError, match="Did you mean 'random'"):
            cp.find_pathway(net, x, "randm")
        with pytest.raises(OptionError, match="does not take the option 'points'"):
            cp.find_pathway(net, x, "taylor", points=8)
        with pytest.raises(OptionError, match="does not take the option 'seed'"):
            cp.find_pathway(net, x, "active", seed=8)
        with pytest.raises(OptionError, match="'layer'"):
            cp.find_pathway(net, x, "taylor", scope="layer")
        with pytest.raises(OptionError, match="'layer'"):
            cp.find_pathway(net, x, "random", scope="layer")
        with pytest.raises(OptionError, match=r"sparsity is 1\.5"):
            cp.find_pathway(net, x, "random", sparsity=1.5)
