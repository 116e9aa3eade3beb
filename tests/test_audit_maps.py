"""What the released code does to maps, by definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import critpath as cp
from critpath.audit import ARTEFACTS, MAP_ARTEFACTS, artefacts, eight_bit, summed_gradients
from critpath.errors import InputError, OptionError
from critpath.evaluation import remove
from critpath.response import Response, respond
from tests import tiny


def of_images(batch: int = 3) -> Response:
    x = torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return respond(cp.Network(tiny.conv_net().double().eval()), x)


class TestEightBit:
    def test_by_numpy(self) -> None:
        maps = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(1))
        for one, found in zip(maps.numpy(), eight_bit(maps), strict=True):
            scaled = (one - one.min()) / (one.max() - one.min()) * 255
            assert np.array_equal(scaled.astype(np.uint8), found.numpy())

    def test_each_map_by_itself(self) -> None:
        maps = torch.stack([torch.arange(16.0), torch.arange(16.0) * 4 - 8]).view(2, 1, 4, 4)
        found = eight_bit(maps)
        assert torch.equal(found[0], found[1])
        assert (found.amin(), found.amax()) == (0, 255)

    def test_constant(self) -> None:
        assert torch.equal(eight_bit(torch.full((1, 2, 2), 7.0)), torch.zeros(1, 2, 2))

    def test_small_values_are_tied_and_go_by_place(self) -> None:
        maps = torch.zeros(1, 1, 2, 4)
        maps[0, 0] = torch.tensor([[1e-4, 2e-4, 3e-4, 4e-4], [5e-4, 6e-4, 7e-4, 1.0]])
        x = torch.ones(1, 1, 2, 4)
        exact, cut = (remove(x, m, 0.5, fill="zero") for m in (maps, eight_bit(maps)))
        assert exact.flatten().tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
        assert cut.flatten().tolist() == [0, 0, 0, 1, 1, 1, 1, 0]

    @pytest.mark.parametrize("maps", [torch.zeros(3), torch.zeros(1, 2, dtype=torch.int64)])
    def test_other_shapes(self, maps: torch.Tensor) -> None:
        with pytest.raises(InputError, match="the maps are"):
            eight_bit(maps)


class TestSummedGradients:
    def test_linear(self) -> None:
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2).double(), nn.ReLU()).eval()
        with torch.no_grad():
            model[1].bias.zero_()
        x = torch.rand(2, 3, 2, 2, dtype=torch.float64)
        response = respond(cp.Network(model), x)
        total = summed_gradients(response, 10).flatten(1).sum(dim=1)
        alive = response.value > 0
        # the first of the eleven gradients is taken at 0, where a ReLU passes none
        assert torch.allclose(total[alive], response.value.detach()[alive])

    def test_written_out(self) -> None:
        response = of_images()
        model, x = response.net.model, response.x
        total = torch.zeros_like(x)
        for alpha in (0.0, 0.25, 0.5, 0.75, 1.0):
            leaf = (x * alpha).requires_grad_()
            scores = model(leaf).gather(1, model(x).argmax(1, keepdim=True))
            total += torch.autograd.grad(scores.sum(), leaf)[0]
        assert torch.allclose(summed_gradients(response, 4), x * total / 4)

    def test_batch_equals_loop(self) -> None:
        response = of_images()
        alone = [summed_gradients(respond(response.net, x.unsqueeze(0)), 3) for x in response.x]
        assert torch.allclose(summed_gradients(response, 3), torch.cat(alone))

    def test_points(self) -> None:
        with pytest.raises(OptionError, match="points"):
            summed_gradients(of_images(), 0)


def test_both_tables_in_words() -> None:
    assert all(one.released in artefacts() and one.right in artefacts() for one in (*ARTEFACTS, *MAP_ARTEFACTS))
    assert len({one.name for one in (*ARTEFACTS, *MAP_ARTEFACTS)}) == 9
