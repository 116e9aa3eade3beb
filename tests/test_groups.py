"""Neurons counted together, and a value for each group."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import critpath as cp
from critpath.accuracy import Accuracy
from critpath.errors import MismatchError, OptionError, TargetError
from critpath.groups import Groups, GroupValues, grouped, groups_of
from critpath.neurons import NeuronSpace, NeuronValues, Site
from tests import tiny

SPACE = NeuronSpace(
    (
        Site("a.relu#0", (3, 2, 4), "relu"),
        Site("a.relu#1", (5, 3), "gelu", channel_dim=1),
        Site("b#0", (6,), "relu"),
        Site("b#10", (2, 3, 2), "relu", channel_dim=1),
        Site("b#1", (), "relu"),
    ),
    "f",
)
VALUES = NeuronValues(SPACE, tuple(tiny.numbers(2, *site.shape, seed=i) for i, site in enumerate(SPACE)))


def sums(groups: Groups, values: NeuronValues = VALUES) -> Tensor:
    """The definition: every group's members, site by site."""
    total = torch.zeros(values.batch, len(groups), dtype=torch.float64)
    for group in range(len(groups)):
        for position, tensor in enumerate(values.tensors):
            mask = groups.mask(group, position)
            if mask is not None:
                total[:, group] += (tensor * mask).reshape(values.batch, -1).sum(1)
    return total


OWN: list[Any] = [
    ["b#0", "a.*"],
    ["a.relu#0", "a.relu#1", "b#0", "b#10", "b#1"],
    [cp.Channel("a.relu#0", 1), cp.Channel("a.relu#1", -1), cp.Channel("b#10", 2), cp.Channel("b#1", 0)],
    [cp.Neuron("a.relu#0", (1, 0, 3)), cp.Neuron("a.relu#0", (-1, -1, -1)), cp.Neuron("b#0", 4)],
    {
        "mixed": [cp.Channel("a.relu#0", 1), cp.Neuron("a.relu#0", (1, 0, 3)), "b*"],
        "one": "b#0",
        3: cp.Neuron("b#0", 0),
    },
]


@pytest.mark.parametrize("by", [None, "neurons", "channels", "sites", *OWN], ids=str)
def test_all_ways_to_count_agree(by: Any) -> None:
    """Sizes, columns and sums are those of the members."""
    groups = groups_of(by, SPACE)
    assert len(groups) == len(groups.names) == len(groups.sizes) == len(set(groups.names))
    for position, site in enumerate(SPACE):
        masks = [groups.mask(group, position) for group in range(len(groups))]
        assert all(mask is None or (mask.shape == site.shape and mask.any()) for mask in masks)
        columns = [group for group, mask in enumerate(masks) if mask is not None]
        assert groups.columns(position).tolist() == columns
        assert groups.reduce(position, VALUES.tensors[position]).shape == (2, len(columns))
    ones = VALUES.map(torch.ones_like)
    assert torch.equal(groups.sizes.double(), sums(groups, ones)[0])
    assert torch.allclose(grouped(VALUES, groups).values, sums(groups), rtol=1e-13)
    magnitudes = grouped(VALUES, groups, absolute=True).values
    assert torch.allclose(magnitudes, sums(groups, VALUES.map(torch.abs)), rtol=1e-13)


def test_neurons_are_all_neurons_one_by_one() -> None:
    groups = groups_of(None, SPACE)
    assert len(groups) == SPACE.neurons
    assert torch.equal(grouped(VALUES, groups).values, VALUES.flatten())
    assert groups.names[:2] == ("a.relu#0[0, 0, 0]", "a.relu#0[0, 0, 1]")
    assert groups.names[-1] == "b#1"


def test_channels_are_those_of_the_site() -> None:
    groups = groups_of("channels", SPACE)
    assert groups.names[:4] == ("a.relu#0[0]", "a.relu#0[1]", "a.relu#0[2]", "a.relu#1[0]")
    assert groups.sizes.tolist() == [8] * 3 + [5] * 3 + [1] * 6 + [4] * 3 + [1]
    assert torch.allclose(grouped(VALUES, groups).values, torch.cat(VALUES.channels(), dim=1))
    assert torch.allclose(grouped(VALUES, groups)["b#10[2]"], VALUES["b#10"][:, :, 2].sum((1, 2)))


def test_sites_are_named_as_they_are() -> None:
    groups = groups_of("sites", SPACE)
    assert groups.names == SPACE.names
    assert torch.allclose(grouped(VALUES, groups).values, VALUES.site_sums())


def test_units_are_named_by_what_they_are() -> None:
    by = ["a.*", "b#0", cp.Channel("a.relu#1", -1), cp.Neuron("a.relu#0", (-1, 0, 3)), cp.Neuron("b#0", 5)]
    assert groups_of(by, SPACE).names == ("a.*", "b#0", "a.relu#1[2]", "a.relu#0[2, 0, 3]", "b#0[5]")
    assert groups_of({"x": "a.*", 7: ["b#0"]}, SPACE).names == ("x", "7")


def test_a_neuron_counts_once_in_a_group_and_may_be_in_several() -> None:
    groups = groups_of({"all": ["b#0", "b#0", cp.Neuron("b#0", 1)], "again": "b*"}, SPACE)
    assert groups.sizes.tolist() == [6, 6 + 12 + 1]
    assert groups.spanning.tolist() == [False, True]


def test_a_name_comes_before_a_pattern() -> None:
    space = NeuronSpace((Site("x[0]#0", (2,), "relu"), Site("x0#0", (2,), "relu")))
    assert groups_of(["x[0]#0"], space).sizes.tolist() == [2]
    assert groups_of(["x[0]#0"], space).columns(0).tolist() == [0]


@pytest.mark.parametrize("by", ["neurons", "channels", "sites"])
def test_owners_are_the_columns_of_the_masks(by: str) -> None:
    groups = groups_of(by, SPACE)
    for position in range(len(SPACE)):
        owners = groups.owners(position)
        for number, group in enumerate(groups.columns(position).tolist()):
            assert torch.equal(owners == number, groups.mask(group, position))


def test_owners_of_groups_leave_the_others_out() -> None:
    groups = groups_of([cp.Neuron("b#0", 1), cp.Neuron("b#0", 5)], SPACE)
    assert groups.owners(2).tolist() == [2, 0, 2, 2, 2, 1]
    assert (groups.owners(0) == 0).all()
    with pytest.raises(OptionError, match="overlap at site b#0"):
        groups_of(["b#0", cp.Neuron("b#0", 1)], SPACE).owners(2)


BAD: list[tuple[Any, type[Exception], str]] = [
    ("layers", OptionError, "by='layers' is none of neurons, channels, sites.*by=\\['layers'\\]"),
    ([], OptionError, "names no group"),
    ({}, OptionError, "names no group"),
    ({"x": []}, OptionError, "the group 'x' is empty"),
    (["c*"], OptionError, "'c\\*' matches none of the 5 sites: a.relu#0"),
    (["a.relu#7"], MismatchError, "no site is called 'a.relu#7' among the 5.*a.relu#0"),
    ([cp.Channel("c", 0)], MismatchError, "no site is called 'c'"),
    ([cp.Channel("a.relu#1", 3)], TargetError, "channel 3 is not in site a.relu#1, which has \\[3\\]"),
    ([cp.Channel("a.relu#1", -4)], TargetError, "channel -4 is not"),
    ([cp.Channel("a.relu#1", 0.5)], TargetError, "give integers"),  # type: ignore[arg-type]
    ([cp.Neuron("a.relu#0", (0, 0))], TargetError, "neuron \\(0, 0\\) is not in site a.relu#0.*\\[3, 2, 4\\]"),
    ([cp.Neuron("b#0", 6)], TargetError, "neuron 6 is not in site b#0"),
    (["b#0", "b#0"], OptionError, "two groups are called 'b#0'"),
    ([cp.Neuron("b#0", 5), cp.Neuron("b#0", -1)], OptionError, "two groups are called 'b#0\\[5\\]'"),
    ([3], OptionError, "3 is no site's name"),
    ({"a.*"}, OptionError, "by is set"),
    (cp.Channel("b#0", 1), OptionError, "by is Channel"),
]


@pytest.mark.parametrize(("by", "error", "message"), BAD, ids=lambda part: str(part)[:30])
def test_bad_groups_are_refused(by: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        groups_of(by, SPACE)


def test_groups_of_another_network_are_refused() -> None:
    with pytest.raises(MismatchError, match="another network"):
        grouped(VALUES, groups_of("channels", tiny.space_of((3,))))


class TestGroupValues:
    values = grouped(VALUES, groups_of("channels", SPACE))

    def test_by_name(self) -> None:
        assert torch.equal(self.values["a.relu#0[1]"], self.values.values[:, 1])
        with pytest.raises(MismatchError, match=r"no group is called 'a.relu#0\[9\]' among the 16; there are a.relu#0"):
            self.values["a.relu#0[9]"]

    def test_of_one_site(self) -> None:
        assert torch.equal(self.values.of("b#10"), self.values.values[:, 12:15])
        assert self.values.of("b#1").shape == (2, 1)
        assert torch.equal(grouped(VALUES, groups_of("sites", SPACE)).of("b#1")[:, 0], VALUES["b#1"])
        with pytest.raises(MismatchError, match="none of the 16 groups is named after site 'c'"):
            self.values.of("c")

    def test_largest_first(self) -> None:
        values = GroupValues(("x", "y", "z"), torch.tensor([1, 1, 1]), torch.tensor([[1.0, -3, 2], [5, 0, 0]]))
        assert values.top(2) == [("y", -3.0), ("z", 2.0)]
        assert values.top(9, sample=-1) == [("x", 5.0), ("y", 0.0), ("z", 0.0)]
        with pytest.raises(OptionError, match="k is 0"):
            values.top(0)
        with pytest.raises(MismatchError, match="no sample 2 in a batch of 2"):
            values.top(1, sample=2)

    def test_of_one_sample(self) -> None:
        assert torch.equal(self.values.sample(-1).values, self.values.values[1:])
        assert (self.values.batch, self.values.sample(0).batch) == (2, 1)

    def test_the_estimate_of_error_is_kept(self) -> None:
        number = torch.rand(2, len(SPACE))
        values = NeuronValues(SPACE, VALUES.tensors, Accuracy(SPACE, number, number, number, number, "rule"))
        error = grouped(values, groups_of("sites", SPACE)).sample(1).error
        assert error is not None
        assert torch.equal(error.error, number[1:])

    def test_it_says_what_it_is(self) -> None:
        assert repr(self.values) == "GroupValues(batch=2, groups=16, neurons=58)"
        assert repr(groups_of("channels", SPACE)) == "Groups(16 of 58 neurons)"

    def test_names_sizes_and_values_belong_together(self) -> None:
        with pytest.raises(MismatchError, match="2 groups take values"):
            GroupValues(("x", "y"), torch.tensor([1, 1]), torch.zeros(1, 3))
