"""The inputs of a data set that drive a unit most, against a sort of all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor

import critpath as cp
from critpath.decoding import top_examples
from critpath.errors import InputError, MismatchError, OptionError
from critpath.targets import Custom, Direction, Each, Logit

NEURON, CHANNEL = cp.Neuron("1#0", (2, 3, 4)), cp.Channel("4#0", 2)


@pytest.fixture(scope="module")
def net() -> cp.Network:
    return cp.Network(tiny.NETWORKS["conv"].build())


@pytest.fixture(scope="module")
def data() -> Tensor:
    """20 images; the last ones are copies of earlier ones, so that there are ties."""
    images = tiny.numbers(17, *tiny.IMAGE)
    return torch.cat([images, images[[3, 0, 9]]])


def batches(data: Tensor, *sizes: int) -> list[Tensor]:
    return list(data.split(list(sizes)))


def by_sorting(values: Tensor, n: int) -> list[int]:
    return sorted(range(len(values)), key=lambda i: (-round(float(values[i]), 12), i))[:n]


def unit_values(net: cp.Network, data: Tensor, unit: Any, by: str) -> Tensor:
    a = net.run(data).values()
    if isinstance(unit, cp.Neuron):
        return a[unit.site][(slice(None), *unit.index)]
    channel = a[unit.site][:, unit.channel].flatten(1)
    return channel.mean(dim=1) if by == "mean" else channel.max(dim=1).values


class TestRanking:
    @pytest.mark.parametrize("unit", [NEURON, CHANNEL])
    @pytest.mark.parametrize("by", ["mean", "max"])
    @pytest.mark.parametrize("sizes", [(20,), (7, 7, 6), (1,) * 20])
    def test_against_sorting(self, net: cp.Network, data: Tensor, unit: Any, by: str, sizes: tuple[int, ...]) -> None:
        found = top_examples(net, batches(data, *sizes), unit, 6, by=by, part=False)
        values = unit_values(net, data, unit, by)
        expected = by_sorting(values, 6)
        assert found.indices.tolist() == expected
        assert torch.allclose(found.values, values[expected])
        assert torch.equal(found.inputs, data[expected])
        assert found.maps is None

    def test_where_in_the_channel(self, net: cp.Network, data: Tensor) -> None:
        found = top_examples(net, [data], CHANNEL, 4, by="max", part=False)
        for i, position in enumerate(found.positions):
            assert position[0] == 2
            values = net.run(found.inputs[i : i + 1]).values()["4#0"][(0, *position)]
            assert torch.allclose(values, found.values[i])

    def test_several_units_in_one_pass(self, net: cp.Network, data: Tensor) -> None:
        units = [NEURON, CHANNEL, Logit(2), Direction("1#0", [1.0, 0.0, -1.0, 2.0]), Logit(1) - Logit(0)]
        together = top_examples(net, iter(batches(data, 9, 11)), units, 3, part=False)
        for unit, found in zip(units, together, strict=True):
            assert found.indices.tolist() == top_examples(net, [data], unit, 3, part=False).indices.tolist()

    def test_one_tensor_is_one_batch(self, net: cp.Network, data: Tensor) -> None:
        alone, listed = (top_examples(net, given, CHANNEL, 4, part=False) for given in (data, [data]))
        assert torch.equal(alone.indices, listed.indices)
        assert torch.equal(alone.inputs, listed.inputs)
        named = tiny.NETWORKS["dict_output"]
        other, x = cp.Network(named.build()), named.inputs(5)
        neuron = cp.Neuron(other.sites(x).names[0], (1,))
        assert torch.equal(top_examples(other, x, neuron, 3).indices, top_examples(other, [x], neuron, 3).indices)

    def test_fewer_data_than_asked_for(self, net: cp.Network, data: Tensor) -> None:
        assert len(top_examples(net, [data[:2]], CHANNEL, 9)) == 2

    def test_memory_parts(self, net: cp.Network, data: Tensor) -> None:
        small = top_examples(net, [data], CHANNEL, 5, memory=2 * net.footprint(data), part=False)
        assert torch.equal(small.indices, top_examples(net, [data], CHANNEL, 5, part=False).indices)

    def test_inputs_are_copies(self, net: cp.Network, data: Tensor) -> None:
        """Nothing of a batch is kept beside what is best."""
        found = top_examples(net, [data], CHANNEL, 2, part=False)
        assert found.inputs.untyped_storage().nbytes() == 2 * data[0].numel() * 8

    @pytest.mark.parametrize("name", ["two_inputs", "dict_output", "mlp"])
    def test_inputs_of_any_structure(self, name: str) -> None:
        case = tiny.NETWORKS[name]
        net, x = cp.Network(case.build()), case.inputs(8)
        site = net.sites(x).names[0]
        found = top_examples(net, [x], cp.Neuron(site, (1,) * len(net.sites(x)[site].shape)), 3)
        best = found.indices.tolist()
        for mine, given in zip(cp.network.tensors_of(found.inputs), cp.network.tensors_of(x), strict=True):
            assert torch.equal(mine, given[best])


class TestPart:
    def test_adds_up_to_the_unit(self, net: cp.Network, data: Tensor) -> None:
        """Equation 2 is complete: what the map holds is what the unit is above its value on the baseline."""
        unit = cp.Channel("1#0", 1)
        found = top_examples(net, [data], unit, 2, points=64)
        start = unit_values(net, torch.zeros_like(data[:1]), unit, "mean")
        assert found.maps.shape == (2, 8, 8)
        assert torch.allclose(found.maps.sum(dim=(1, 2)), found.values - start, atol=5e-3)

    def test_is_conductance_through_the_unit(self, net: cp.Network, data: Tensor) -> None:
        found = top_examples(net, [data], CHANNEL, 2, points=5)
        maps = cp.conductance_maps(net, found.inputs, CHANNEL, target=CHANNEL, points=5)
        assert torch.allclose(found.maps, maps.maps[0].sum(dim=1))

    def test_is_where_the_neuron_looks(self, net: cp.Network, data: Tensor) -> None:
        """A neuron of the first convolution sees 3 x 3 pixels: the map is zero elsewhere, the box within."""
        found = top_examples(net, [data], NEURON, 2)
        outside = torch.ones(8, 8, dtype=torch.bool)
        outside[2:5, 3:6] = False
        for i in range(2):
            assert (found.maps[i][outside] == 0).all()
            assert found.maps[i].abs().max() > 0
            top, left, bottom, right = found.boxes[i]
            assert 2 <= top < bottom <= 5
            assert 3 <= left < right <= 6
            assert torch.equal(found.crop(i), found.inputs[i, :, top:bottom, left:right])

    def test_box_holds_what_is_in_the_middle(self) -> None:
        """Four fifths of the rows' and of the columns' sums, a tenth left out on either side."""
        from critpath.decoding.examples import _box

        spread = torch.zeros(20, 10)
        spread[:, 4] = 1.0
        assert _box(spread) == (2, 4, 18, 5)
        assert _box(torch.zeros(4, 6)) == (0, 0, 4, 6)
        assert _box(-torch.ones(4, 6)) == (0, 0, 4, 6)

    def test_by_max_is_of_that_neuron(self, net: cp.Network, data: Tensor) -> None:
        found = top_examples(net, [data], CHANNEL, 3, by="max", points=4)
        for i, position in enumerate(found.positions):
            x, neuron = found.inputs[i : i + 1], cp.Neuron("4#0", position)
            alone = cp.attribute(net, x, "conductance", target=neuron, points=4)
            assert torch.allclose(found.maps[i], alone[0].sum(dim=0))


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"n": 0}, "n is 0"),
            ({"by": "median"}, "no measure of a unit is called"),
            ({"unit": []}, "a unit is"),
            ({"unit": ["1#0"]}, "a unit is"),
            ({"unit": 3}, "a unit is"),
            ({"n": "a"}, "n is 'a'"),
            ({"unit": Logit()}, "does not hold for single samples"),
            ({"unit": Logit([1, 2])}, "does not hold for single samples"),
            ({"unit": Custom(lambda output: output[:, 0])}, "does not hold for single samples"),
            ({"unit": Each((NEURON, CHANNEL))}, "does not hold for single samples"),
        ],
    )
    def test_options(self, net: cp.Network, data: Tensor, options: dict[str, Any], words: str) -> None:
        with pytest.raises(OptionError, match=words):
            top_examples(net, [data], **{"unit": CHANNEL, **options})

    def test_no_data(self, net: cp.Network) -> None:
        with pytest.raises(InputError, match="there is no data"):
            top_examples(net, [], CHANNEL)

    def test_unknown_site(self, net: cp.Network, data: Tensor) -> None:
        with pytest.raises(MismatchError, match="no site is called"):
            top_examples(net, [data], cp.Channel("9#0", 0))

    def test_no_such_example(self, net: cp.Network, data: Tensor) -> None:
        found = top_examples(net, [data], CHANNEL, 2, points=2)
        assert torch.equal(found.crop(-1), found.crop(1))
        for index in (2, -3):
            with pytest.raises(InputError, match=f"no example {index} among 2"):
                found.crop(index)

    def test_no_boxes(self, net: cp.Network, data: Tensor) -> None:
        with pytest.raises(InputError, match="there are no boxes"):
            top_examples(net, [data], CHANNEL, 1, part=False).crop(0)
