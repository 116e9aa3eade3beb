"""Importance and features of filters against sums written out; selection against a loop; label sets counted."""

from __future__ import annotations

import sys
from math import comb
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests import tiny
from torch import Tensor

from critpath import Network, score
from critpath.errors import InputError, MismatchError, MissingDependencyError, OptionError
from critpath.evaluation.channels import channel_features, stacked
from critpath.evaluation.feature_selection import (
    FeatureSelection,
    compare_selection,
    enough_images,
    feature_selection,
    label_sets,
    random_importances,
    ranked_channels,
)
from critpath.evaluation.seeds import derived
from critpath.intervals import bootstrap_interval

NET = Network(tiny.NETWORKS["conv"].build())
X = tiny.numbers(11, *tiny.IMAGE)


# ------------------------------------------------------------------------------------------------- filters
@pytest.mark.parametrize("target", [None, 2, torch.arange(11) % 5])
def test_importances_and_features(target: Any) -> None:
    methods = ("activation", "gradient_activation", "influence", "conductance")
    line = {"rule": "trapezoid", "points": 6}
    found = channel_features(NET, X, methods=methods, target=target, memory="2MiB", **line)
    assert found.names == tuple(f"{site.name}[{i}]" for site in NET.sites(X) for i in range(site.channels))
    for method in methods:
        options: dict[str, Any] = line if method in ("influence", "conductance") else {}
        scores = score(NET, X, method, target, **options)
        wanted = torch.cat([t.flatten(2).sum(dim=2) if t.dim() > 2 else t for t in scores.tensors], dim=1)
        torch.testing.assert_close(found.importances[method], wanted)
    values = NET.run(X).values()
    means = torch.cat([t.flatten(2).mean(dim=2) if t.dim() > 2 else t for t in values.tensors], dim=1)
    torch.testing.assert_close(found.features, means)


def test_some_sites() -> None:
    whole = channel_features(NET, X, methods=["activation"])
    first, second, last = NET.sites(X).names
    one = channel_features(NET, X, [second], ["activation"])
    assert one.names == tuple(f"{second}[{i}]" for i in range(6))
    assert set(one.sites) == {second}
    assert torch.equal(one.features, whole.features[:, 4:10])
    assert torch.equal(one.importances["activation"], whole.importances["activation"][:, 4:10])
    two = whole.at(f"{first[:-1]}*", last)
    assert two.features.shape == (11, 14)
    with pytest.raises(OptionError, match="nowhere matches none of the sites"):
        whole.at("nowhere")


def test_batches_together() -> None:
    whole = channel_features(NET, X, methods=["activation"])
    parts = [channel_features(NET, X[rows], methods=["activation"]) for rows in (slice(0, 4), slice(4, 11))]
    torch.testing.assert_close(stacked(parts).features, whole.features)
    with pytest.raises(MismatchError, match="different filters"):
        stacked([whole, whole.at(whole.sites[0])])


def test_other_filters_inputs() -> None:
    with pytest.raises(OptionError, match="none of activation takes"):
        channel_features(NET, X, methods=["activation"], nothing=1)
    with pytest.raises(OptionError, match=r"target is \[3\]"):
        channel_features(NET, X, methods=["activation"], target=torch.tensor([0, 1, 2]))


# ------------------------------------------------------------------------------------------------- selection
CHANNELS, LABELS = 12, 4
GENERATOR = torch.Generator().manual_seed(0)
Y = torch.arange(60) % LABELS
FEATURES = torch.randn(60, CHANNELS, generator=GENERATOR, dtype=torch.float64)
FEATURES[torch.arange(60), Y] += 3  # the first channels tell the labels
GOOD = torch.rand(60, CHANNELS, generator=GENERATOR, dtype=torch.float64)
GOOD[torch.arange(60), Y] += 5
BAD = torch.rand(60, CHANNELS, generator=GENERATOR, dtype=torch.float64)
BAD[:, 6:] += 5


def naive(
    importances: Tensor, labels_of: tuple[int, ...], k: int, share: float, seed: int, aggregate: str, strength: float
) -> float:
    train: list[int] = []
    held_out: list[int] = []
    for label in labels_of:
        members = [i for i in range(60) if Y[i] == label]
        order = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed)).tolist()
        first = round(share * len(members))
        train += [members[i] for i in order[:first]]
        held_out += [members[i] for i in order[first:]]
    value = {}
    for channel in range(CHANNELS):
        sums = []
        for label in labels_of:
            scores = [float(importances[i, channel]) for i in train if Y[i] == label]
            sums.append(sum(scores) / (len(scores) if aggregate == "mean" else 1))
        value[channel] = max(sums)
    best = sorted(value, key=lambda channel: -value[channel])[:k]
    x = FEATURES[:, best]
    x = (x - x[train].mean(dim=0)) / x[train].std(dim=0, correction=0)
    classifier = LogisticRegression(C=1 / strength, max_iter=1000).fit(x[train].numpy(), Y[train].numpy())
    return float(classifier.score(x[held_out].numpy(), Y[held_out].numpy()))


@pytest.mark.parametrize("aggregate", ["mean", "sum"])
@pytest.mark.parametrize(("labels_of", "share", "strength"), [((0, 1, 2, 3), 0.6, 1.0), ((3, 1), 0.5, 0.1)])
def test_equals_the_loop(aggregate: str, labels_of: tuple[int, ...], share: float, strength: float) -> None:
    options: dict[str, Any] = {"train_share": share, "aggregate": aggregate, "strength": strength, "seed": 5}
    for importances in (GOOD, BAD):
        found = feature_selection(importances, FEATURES, Y, labels_of, (1, 3, 7), **options)
        wanted = [naive(importances, labels_of, k, share, 5, aggregate, strength) for k in (1, 3, 7)]
        assert found.tolist() == wanted


def test_channels_are_ranked_by_their_largest_signed_aggregate() -> None:
    importances = torch.tensor([[1.0, -9, 0, 2], [3, -9, 0, 0], [0, 1, 4, 0], [0, 1, 4, 3]])
    labels = torch.tensor([0, 0, 7, 7])
    assert ranked_channels(importances, labels).tolist() == [2, 0, 3, 1]
    uneven = torch.tensor([0, 7, 7, 7])  # sums: 3, 1 -> [3 1, -7, 8, 2 3]; means: [1, -7/3, 8/3, 2]
    assert ranked_channels(importances, uneven, "sum").tolist() == [2, 0, 3, 1]
    assert ranked_channels(importances, uneven, "mean").tolist() == [2, 3, 0, 1]
    assert ranked_channels(torch.ones(4, 3), labels).tolist() == [0, 1, 2]


def test_no_penalty_on_separable_labels_warns_of_nothing() -> None:
    features = FEATURES.index_put((torch.arange(60), Y), torch.tensor(50.0, dtype=torch.float64))
    found = feature_selection(GOOD, features, Y, (0, 1), (2, 12), strength=0, standardise=False)
    assert found.tolist() == [1, 1]


def test_a_constant_filter_does_no_harm() -> None:
    features = FEATURES.clone()
    features[:, 5] = 4
    found = feature_selection(GOOD, features, Y, (0, 1, 2, 3), (12,))
    without = [i for i in range(12) if i != 5]
    assert found == feature_selection(GOOD[:, without], features[:, without], Y, (0, 1, 2, 3), (11,))


def test_methods_are_compared_on_the_same_sets_and_images() -> None:
    sets = label_sets(Y, 4, 3, seed=2)
    found = compare_selection({"good": GOOD, "bad": BAD}, FEATURES, Y, sets, (2, 4), seed=7, train_share=0.5)
    assert found.methods == ("good", "bad", "random")
    assert found.accuracy.shape == (3, 4, 2)
    for number, one in enumerate(sets):
        drawn = random_importances(FEATURES, derived(7, "filters", number))
        for name, importances in (("good", GOOD), ("bad", BAD), ("random", drawn)):
            wanted = feature_selection(
                importances, FEATURES, Y, one, (2, 4), seed=derived(7, "set", number), train_share=0.5
            )
            assert torch.equal(found.of(name)[number], wanted)
    mean, low, high = found.difference("good", "bad")
    differences = found.of("good") - found.of("bad")
    wanted_low, wanted_high = bootstrap_interval(differences.T)
    assert torch.equal(mean, differences.mean(dim=0))
    assert torch.equal(low, wanted_low)
    assert torch.equal(high, wanted_high)
    assert float(low[1]) > 0
    assert torch.equal(found.estimate("good")[0], found.of("good").mean(dim=0))


def test_the_sets_of_one_seed_draw_nothing_that_those_of_the_next_draw() -> None:
    """The second set by one seed is not the first by the seed after it."""
    sets = [(0, 1), (0, 1)]
    seeds = [derived(seed, what, number) for seed in range(3) for what in ("set", "filters") for number in range(9)]
    assert len(set(seeds)) == 3 * 2 * 9
    first, second = (compare_selection({}, FEATURES, Y, sets, (1, 2, 3, 5, 7), seed=s).accuracy[0] for s in (0, 1))
    assert not torch.equal(first[1], second[0])
    assert not torch.equal(first[0], first[1])


def test_labels_with_one_image_are_not_enough() -> None:
    labels = torch.tensor([4, 2, 4, 9, 2, 2])
    assert enough_images(labels).tolist() == [True, True, True, False, True, True]
    assert enough_images(labels, 3).tolist() == [False, True, False, False, True, True]


def test_images_without_a_value_are_left_out_for_all() -> None:
    broken = GOOD.clone()
    broken[[3, 20]] = torch.nan
    rest = [i for i in range(60) if i not in (3, 20)]
    sets = [(0, 1, 2, 3)]
    found = compare_selection({"good": broken, "bad": BAD}, FEATURES, Y, sets, (3,))
    wanted = compare_selection({"good": GOOD[rest], "bad": BAD[rest]}, FEATURES[rest], Y[rest], sets, (3,))
    assert torch.equal(found.accuracy, wanted.accuracy)
    alone = feature_selection(broken, FEATURES, Y, sets[0], (3,), seed=derived(0, "set", 0))
    assert torch.equal(alone, found.of("good")[0])


def test_random_filters_differ_by_seed_only() -> None:
    one = random_importances(FEATURES, 1)
    assert one.shape == (60, CHANNELS)
    assert torch.equal(one[0], one[59])
    assert torch.equal(one, random_importances(FEATURES, 1))
    assert not torch.equal(one, random_importances(FEATURES, 2))


def test_label_sets() -> None:
    labels = torch.tensor([2, 5, 5, 9, 11, 30, 2])
    found = label_sets(labels, comb(5, 3), 3, seed=1)
    assert len({frozenset(one) for one in found}) == 10
    assert all(len(set(one)) == 3 and set(one) <= {2, 5, 9, 11, 30} for one in found)
    assert label_sets(labels, 4, 3, seed=1) == found[:4]
    assert label_sets(labels, 4, 3, seed=2) != found[:4]
    state = torch.get_rng_state()
    label_sets(labels, 4, 3)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(OptionError, match="5 labels give 10 sets of 3, and 11"):
        label_sets(labels, 11, 3)
    with pytest.raises(OptionError, match="size"):
        label_sets(labels, 1, 1)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"counts": (13,)}, OptionError, "13 filters are asked for, and there are 12"),
        ({"counts": (0,)}, OptionError, "count"),
        ({"counts": ()}, OptionError, "counts"),
        ({"label_set": (1,)}, OptionError, "two or more"),
        ({"label_set": (1, 1)}, OptionError, "different"),
        ({"label_set": (1, 9)}, InputError, "label 9 has 0 images"),
        ({"train_share": 1.0}, OptionError, "train_share"),
        ({"aggregate": "max"}, OptionError, "aggregate"),
        ({"strength": -1}, OptionError, "strength"),
        ({"standardise": 1}, OptionError, "standardise"),
        ({"features": FEATURES[:, :5]}, MismatchError, r"\[60, 5\]"),
        ({"labels": Y[:5]}, MismatchError, r"\[5\]"),
        ({"labels": Y.double()}, InputError, "integers"),
    ],
)
def test_bad_input(changes: dict[str, Any], error: type[Exception], told: str) -> None:
    given: dict[str, Any] = {
        "importances": GOOD,
        "features": FEATURES,
        "labels": Y,
        "label_set": (0, 1),
        "counts": (3,),
    }
    with pytest.raises(error, match=told):
        feature_selection(**{**given, **changes})


def test_bad_comparisons() -> None:
    with pytest.raises(OptionError, match="nothing to compare"):
        compare_selection({}, FEATURES, Y, [(0, 1)], random=False)
    with pytest.raises(OptionError, match="'random'"):
        compare_selection({"random": GOOD}, FEATURES, Y, [(0, 1)])
    with pytest.raises(OptionError, match="sets"):
        compare_selection({"good": GOOD}, FEATURES, Y, [])
    found = FeatureSelection(("a",), ((0, 1),), (3,), torch.zeros(1, 1, 1))
    with pytest.raises(OptionError, match="method"):
        found.of("b")


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingDependencyError, match="scikit-learn"):
        feature_selection(GOOD, FEATURES, Y, (0, 1), (3,))


def test_one_image_of_each_is_held_out_at_least() -> None:
    few = torch.tensor([0, 1, 4, 5])
    found = feature_selection(GOOD[few], FEATURES[few], Y[few], (0, 1), (2,), train_share=0.9)
    assert float(found) in (0.0, 0.5, 1.0)
