"""Class pathways and sketches against sets of neurons."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny

import critpath as cp
from critpath.analysis import class_pathways, class_similarity, classes, nearest, sketch
from critpath.analysis.classes import ClassPathways
from critpath.analysis.sketch import Sketch
from critpath.errors import InputError, MismatchError, OptionError
from critpath.intervals import resample_weights

SHAPES = ((3, 4), (), (17,))
NEURONS = 30
LABELS = (2, 0, 2, 2, 0, 5, 2)


def path(seed: int, batch: int, share: float = 0.4, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> cp.Pathway:
    generator = torch.Generator().manual_seed(seed)
    return cp.Pathway(tiny.values_of(*(torch.rand((batch, *s), generator=generator) < share for s in shapes)))


def members(pathway: cp.Pathway) -> list[set[int]]:
    """The kept neurons of each sample."""
    return [{i for i, k in enumerate(row) if k} for row in pathway.keep.flatten().tolist()]


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else math.nan


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


@pytest.fixture
def batches() -> list[tuple[cp.Pathway, list[int]]]:
    return [(path(1, 4), list(LABELS[:4])), (path(2, 3), list(LABELS[4:]))]


@pytest.fixture
def by_class(batches: list[tuple[cp.Pathway, list[int]]]) -> dict[int, list[set[int]]]:
    every = [s for p, _ in batches for s in members(p)]
    return {c: [s for s, label in zip(every, LABELS, strict=True) if label == c] for c in sorted(set(LABELS))}


Batches = list[tuple[cp.Pathway, list[int]]]
Sets = dict[int, list[set[int]]]


class TestClassPathways:
    def test_equals_sets(self, batches: Batches, by_class: Sets) -> None:
        found = class_pathways(iter(batches))
        assert found.classes == (0, 2, 5)
        assert found.images == {0: 2, 2: 4, 5: 1}
        for label, sets in by_class.items():
            assert members(found.union(label)) == [set.union(*sets)]
            assert members(found.intersection(label)) == [set.intersection(*sets)]
            frequency = found.frequency(label)
            expected = [mean([float(n in s) for s in sets]) for n in range(NEURONS)]
            assert frequency.flatten()[0].tolist() == pytest.approx(expected)
            for share in (0.25, 0.3, 0.5, 0.75, 1.0):
                enough = {n for n in range(NEURONS) if sum(n in s for s in sets) >= share * len(sets)}
                assert members(found.at_least(label, share)) == [enough]

    def test_mean_intersections(self, batches: Batches, by_class: Sets) -> None:
        found = class_pathways(batches)
        shared, sizes, overlaps = found.mean_intersections(), found.mean_sizes(), found.overlaps()
        for i, (a, first) in enumerate(by_class.items()):
            assert float(sizes[i]) == pytest.approx(mean([float(len(s)) for s in first]))
            for j, (b, second) in enumerate(by_class.items()):
                pairs = itertools.product(first, second) if a != b else itertools.combinations(first, 2)
                expected = mean([float(len(s & t)) for s, t in pairs])
                assert float(shared[i, j]) == pytest.approx(expected, nan_ok=True)
                union = float(sizes[i] + sizes[j]) - expected
                assert float(overlaps[i, j]) == pytest.approx(expected / union, nan_ok=True)

    @pytest.mark.parametrize("chunk", [1, 7, 20])
    def test_some_neurons_at_a_time(self, batches: Batches, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """No more counts than ``CHUNK`` of three classes at once, one neuron at least."""
        found = class_pathways(batches)
        whole = found.mean_intersections()
        monkeypatch.setattr(classes, "CHUNK", chunk)
        assert torch.allclose(found.mean_intersections(), whole, equal_nan=True)
        assert {part.shape[0] for part in found._chunks()} == {3}
        assert max(part.shape[1] for part in found._chunks()) == max(1, chunk // 3)

    def test_one_pathway_alone(self) -> None:
        p = path(1, 3)
        found = class_pathways(p)
        assert found.images == {-1: 3}
        assert members(found.union(-1)) == [set.union(*members(p))]

    def test_parts_add_up(self, batches: Batches) -> None:
        whole, parts = class_pathways(batches), [class_pathways([one]) for one in batches]
        joined = parts[0] + parts[1]
        assert joined.images == whole.images
        for label in whole.classes:
            assert (joined.counts[label] == whole.counts[label]).all()
            assert joined.counts[label].dtype == np.uint16
        assert parts[0].images == {0: 1, 2: 3}
        assert (parts[0].counts[0] <= 1).all()

    def test_more_images_than_two_bytes_count(self) -> None:
        p = path(1, 1)
        one = class_pathways([(p, 3)])
        many = ClassPathways(one.space, {3: 65_535}, {3: (one.counts[3] * np.uint16(65_535))})
        joined = many + one
        assert joined.counts[3].dtype == np.int32
        assert members(joined.intersection(3)) == members(p)
        assert float(joined.frequency(3).flatten().max()) == 1

    def test_labels_in_any_form(self) -> None:
        p = path(1, 3)
        for labels in (torch.tensor([1, 1, 1]), [1, 1, 1], (1, 1, 1), 1, np.int64(1)):
            assert class_pathways([(p, labels)]).images == {1: 3}  # type: ignore[list-item]

    def test_bad_input(self, batches: Batches) -> None:
        found = class_pathways(batches)
        with pytest.raises(OptionError, match="no pathway of class 1 was seen; there are 0, 2, 5"):
            found.union(1)
        with pytest.raises(OptionError, match="share is 0"):
            found.at_least(0, 0)
        with pytest.raises(InputError, match="empty"):
            class_pathways([])
        with pytest.raises(InputError, match="2 classes for 4 pathways"):
            class_pathways([(path(1, 4), [1, 2])])
        with pytest.raises(InputError, match="classes are integers"):
            class_pathways([(path(1, 1), ["cat"])])  # type: ignore[list-item]
        other = path(1, 1, shapes=((4,),))
        with pytest.raises(MismatchError, match="3 sites against 1"):
            class_pathways([*batches, (other, 0)])
        with pytest.raises(MismatchError, match="cannot be added"):
            found + class_pathways([(other, 0)])


class TestExactSketch:
    """A sketch of a network with few neurons holds them all."""

    @pytest.fixture
    def whole(self, batches: Batches) -> Sketch:
        return sketch(iter(batches))

    def test_jaccards(self, whole: Sketch, batches: Batches) -> None:
        sets = [s for p, _ in batches for s in members(p)]
        assert whole.exact
        assert whole.bits.shape == (7, 4)
        assert whole.sizes.tolist() == [len(s) for s in sets]
        expected = [[jaccard(a, b) for b in sets] for a in sets]
        assert torch.allclose(whole.jaccards(), torch.tensor(expected, dtype=torch.float64))
        assert not whole.standard_error().any()
        p, q = len(sets[0]) / NEURONS, len(sets[1]) / NEURONS
        assert float(whole.chances()[0, 1]) == pytest.approx(p * q / (p + q - p * q))

    def test_nearest(self, whole: Sketch, batches: Batches) -> None:
        query = path(8, 2)
        sets = [s for p, _ in batches for s in members(p)]
        found = nearest(query, whole, 3)
        for i, own in enumerate(members(query)):
            order = sorted(range(7), key=lambda n: (-jaccard(own, sets[n]), n))[:3]
            assert found.numbers[i].tolist() == order
            assert found.jaccard[i].tolist() == pytest.approx([jaccard(own, sets[n]) for n in order])
            assert found.labels[i].tolist() == [LABELS[n] for n in order]
        assert nearest(whole, whole, 1).numbers.flatten().tolist() == list(range(7))
        assert nearest(query, whole, 50).numbers.shape == (2, 7)

    def test_parts_add_up(self, whole: Sketch, batches: Batches) -> None:
        joined = sketch(batches[0][0]) + sketch([batches[1]])
        assert torch.equal(joined.bits, whole.bits)
        assert joined.labels.tolist() == [-1] * 4 + list(LABELS[4:])
        assert torch.equal(whole.of_class(2).bits, whole.bits[[0, 2, 3, 6]])
        assert len(whole.of_class(9)) == 0
        assert whole.jaccards(whole.of_class(9)).shape == (7, 0)

    def test_empty_pathways(self) -> None:
        nothing = path(1, 2) & ~path(1, 2)
        assert sketch(nothing).jaccards().isnan().all()

    def test_classes(self, whole: Sketch, by_class: Sets) -> None:
        found = class_similarity(whole)
        within = [jaccard(a, b) for s in by_class.values() for a, b in itertools.combinations(s, 2)]
        between = [
            jaccard(a, b) for s, t in itertools.combinations(by_class.values(), 2) for a, b in itertools.product(s, t)
        ]
        assert found.within == pytest.approx(mean(within))
        assert found.between == pytest.approx(mean(between))
        assert found.difference == pytest.approx(mean(within) - mean(between))
        assert (found.sampling_within, found.sampling_between) == (0, 0)
        assert "within: mean Jaccard" in str(found)

    def test_interval_over_images(self, whole: Sketch, batches: Batches) -> None:
        """Against images drawn one by one; a pair of an image with itself does not count."""
        found = class_similarity(whole, 0.8, seed=3, resamples=40)
        sets = [s for p, _ in batches for s in members(p)]
        weights = torch.cat(list(resample_weights(7, seed=3, resamples=40))).int().tolist()
        means = []
        for row in weights:
            drawn = [i for i, n in enumerate(row) for _ in range(n)]
            pairs = [(i, j) for i, j in itertools.combinations(drawn, 2) if i != j and LABELS[i] == LABELS[j]]
            means.append(mean([jaccard(sets[i], sets[j]) for i, j in pairs]))
        ends = torch.tensor(means, dtype=torch.float64).nanquantile(torch.tensor([0.1, 0.9]).double())
        assert found.within_interval == pytest.approx(tuple(ends.tolist()))

    def test_bad_input(self, whole: Sketch) -> None:
        with pytest.raises(InputError, match="empty"):
            sketch([])
        with pytest.raises(OptionError, match="neurons is 0"):
            sketch(path(1, 1), 0)
        with pytest.raises(OptionError, match="n is 0"):
            nearest(whole, whole, 0)
        with pytest.raises(OptionError, match="among is of type int, not Sketch"):
            nearest(path(1, 1), 3)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="query is of type int, not Sketch: give a Pathway"):
            nearest(3, whole)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="pathways is of type Pathway, not Sketch"):
            class_similarity(path(1, 1))  # type: ignore[arg-type]
        with pytest.raises(MismatchError, match="another network"):
            nearest(path(1, 1, shapes=((4,),)), whole)
        with pytest.raises(MismatchError, match="cannot be sketched"):
            sketch([path(1, 1), path(1, 1, shapes=((4,),))])
        with pytest.raises(InputError, match="has a class"):
            class_similarity(sketch(path(1, 3)))

    @pytest.mark.parametrize("options", [{"level": 2.0}, {"level": "a"}, {"resamples": 0}, {"seed": "a"}])
    def test_bad_options_of_similarity(self, whole: Sketch, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match=f"^{next(iter(options))} is"):
            class_similarity(whole, **options)


class TestSampledSketch:
    SHAPES = ((20, 10, 10), (1000,))

    @pytest.fixture
    def pathways(self) -> cp.Pathway:
        """Two classes that share neurons within: random sets, mixed with their class's own."""
        noise, core = path(1, 24, 0.1, self.SHAPES), path(2, 2, 0.1, self.SHAPES)
        pick = path(3, 24, 0.5, self.SHAPES)
        own = cp.Pathway(core.keep.map(lambda k: k[torch.arange(24) % 2]))
        return (pick & own) | (~pick & noise)

    def test_same_seed_same_neurons(self, pathways: cp.Pathway) -> None:
        state = torch.random.get_rng_state()
        one, again, other = sketch(pathways, 500), sketch(pathways, 500), sketch(pathways, 500, seed=1)
        assert torch.equal(state, torch.random.get_rng_state())
        assert torch.equal(one.bits, again.bits)
        assert len(one.neurons.unique()) == 500
        with pytest.raises(MismatchError, match="same seed"):
            one.jaccards(other)
        flat = pathways.keep.flatten()
        assert torch.equal(one.unpacked().bool(), flat[:, one.neurons])

    def test_error_is_as_stated(self, pathways: cp.Pathway) -> None:
        """Over many choices of neurons, the errors' spread is the standard error."""
        exact = sketch(pathways).jaccards()[0, 1:]
        for neurons in (300, 2000):
            sketches = [sketch(pathways, neurons, seed=s) for s in range(60)]
            off = torch.stack([s.jaccards()[0, 1:] - exact for s in sketches])
            stated = torch.stack([s.standard_error()[0, 1:] for s in sketches]).square().mean().sqrt()
            assert float(off.square().mean().sqrt()) == pytest.approx(float(stated), rel=0.15)

    def test_error_of_means_is_as_stated(self, pathways: cp.Pathway) -> None:
        labels = [i % 2 for i in range(24)]
        exact = class_similarity(sketch([(pathways, labels)]), resamples=2)
        found = [class_similarity(sketch([(pathways, labels)], 500, seed=s), resamples=2) for s in range(40)]
        for name in ("within", "between", "difference"):
            off = mean([(getattr(f, name) - getattr(exact, name)) ** 2 for f in found]) ** 0.5
            stated = mean([getattr(f, f"sampling_{name}") ** 2 for f in found]) ** 0.5
            assert stated == pytest.approx(off, rel=0.4)
        assert exact.difference > 5 * exact.sampling_difference
        assert exact.within > exact.between


@pytest.mark.parametrize("collect", [cp.sketch, cp.class_pathways])
def test_a_pair_alone_is_no_list_of_pairs(collect: Callable[[object], object]) -> None:
    net = cp.Network(tiny.NETWORKS["conv"].build())
    pathway = cp.find_pathway(net, tiny.NETWORKS["conv"].inputs(2))
    for given in ((pathway, 0), (pathway, 0)[::-1], 3, torch.ones(2)):
        with pytest.raises(InputError, match=r"\[\(pathway, classes\)\] for one batch"):
            collect(given)
