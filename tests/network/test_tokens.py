"""How tokens are found where a model looks them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests import tokens as of
from torch import Tensor, nn
from torch.nn import functional as F

import critpath as cp
from critpath.errors import InputError
from critpath.network import tokens_of
from critpath.response import respond

IDS = torch.tensor([[0, 1, 2, 3], [5, 1, 1, 4]])


class Looks(nn.Module):
    """Looks tokens up in some way, and gives [batch, 3]."""

    def __init__(self, look: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(9, 5, padding_idx=8), nn.Embedding(9, 5)
        self.hidden, self.out, self.look = nn.Linear(5, 4), nn.Linear(4, 3), look

    def forward(self, ids: Tensor) -> Tensor:
        return self.above(self.look(self, ids))

    def above(self, embedded: Tensor) -> Tensor:
        """Every place counts by another weight."""
        weights = torch.arange(1, embedded.shape[1] + 1).unsqueeze(1)
        return self.out((F.relu(self.hidden(embedded)) * weights).sum(1))


def shifted(ids: Tensor) -> Tensor:
    """One to the right, behind a start, as decoders of translation models have it."""
    found = ids.new_zeros(len(ids), ids.shape[1] + 1)
    found[:, 1:] = ids.clone()
    found[:, 0] = 7
    return found


WAYS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "module": lambda m, ids: m.table(ids),
    "function": lambda m, ids: F.embedding(input=ids, weight=m.table.weight),
    "torch.embedding": lambda m, ids: torch.embedding(m.table.weight, ids),
    "getitem": lambda m, ids: m.table.weight[ids],
    "getitem by a tuple": lambda m, ids: m.table.weight[(ids,)],
    "index_select": lambda m, ids: m.table.weight.index_select(0, ids.flatten()).view(*ids.shape, -1),
    "clone": lambda m, ids: m.table(ids.clone()),
    "cast": lambda m, ids: m.table(ids.int().to(torch.int64).contiguous()),
    "positions first, as copies": lambda m, ids: m.places(torch.arange(4).expand_as(ids).clone()) + m.table(ids),
    "flat": lambda m, ids: m.table(ids.view(-1)).view(*ids.shape, -1),
    "sequence first": lambda m, ids: m.table(ids.t().contiguous()).transpose(0, 1),
    "one at a time": lambda m, ids: torch.stack([m.table(ids[:, i]) for i in range(4)], dim=1),
    "another vocabulary": lambda m, ids: m.table(torch.arange(9).flip(0).flip(0)[ids]),
    "turned over": lambda m, ids: m.table(ids.flip(1)).flip(1),
    "rolled": lambda m, ids: m.table(torch.roll(ids, 1, dims=1)).roll(-1, 1),
    "padded and cut": lambda m, ids: m.table(F.pad(ids, (1, 1), value=8))[:, 1:-1],
    "joined with a start": lambda m, ids: m.table(torch.cat([ids.new_full((len(ids), 1), 7), ids], dim=1))[:, 1:],
    "shifted in place": lambda m, ids: m.table(shifted(ids))[:, 1:],
    "a slice, cast, before all": lambda m, ids: 0 * m.places(ids[:, :-1].long()).sum() + m.table(ids),
    "a table with all its columns": lambda m, ids: m.table.weight[ids, :],
    "row by row": lambda m, ids: torch.stack([m.table(row) for row in ids]),
    "picked": lambda m, ids: m.table(ids.gather(1, torch.arange(4).expand_as(ids))),
    "changed": lambda m, ids: m.table(torch.where(ids < 9, ids, 0).clamp(0, 8)),
}


def looking(way: str) -> nn.Module:
    torch.manual_seed(3)
    return Looks(WAYS[way]).double().eval()


@pytest.mark.parametrize("way", list(WAYS))
def test_every_way_of_looking_up_is_seen(way: str) -> None:
    model = looking(way)
    found = cp.attribute(cp.Network(model), IDS, "input_gradient", target=[1, 2])
    e = model.table(IDS).detach().requires_grad_()
    output = model.above(model.places(torch.arange(4)) + e if "positions" in way else e)
    (gradient,) = torch.autograd.grad(output[0, 1] + output[1, 2], e)
    assert torch.allclose(found, (e * gradient).sum(2), rtol=1e-9, atol=1e-12)


def test_tokens_of_which_only_some_are_looked_up() -> None:
    model = looking("module")
    model.look = lambda m, ids: m.table(ids[:, ::2])
    found = cp.attribute(cp.Network(model), IDS, "gradient", target=1)
    assert (found[:, ::2] > 0).all()
    assert not found[:, 1::2].any()


def test_what_is_put_in_the_place_of_a_token_is_none() -> None:
    model = looking("module")
    model.look = lambda m, ids: m.table(torch.where(ids == 1, 6, ids)) + m.table(ids.masked_fill(ids > 1, 6))
    first, second = cp.Network(model).run(IDS).lookups
    assert torch.equal(first.any(-1), IDS != 1)
    assert torch.equal(second.any(-1), IDS <= 1)


def test_the_same_tokens_in_two_orders_both_move() -> None:
    model = looking("module")
    model.look = lambda m, ids: m.table(ids) + m.places(ids.flip(1))
    found = cp.attribute(cp.Network(model), IDS, "integrated_gradients", target=0, points=400)
    start = model.above(torch.zeros(2, 4, 5, dtype=torch.float64))
    assert torch.allclose(found.sum(1), (model(IDS) - start)[:, 0], atol=2e-3)


@pytest.mark.parametrize(
    "mix", [lambda ids: (ids + ids.flip(1)) % 9, lambda ids: ids.sort(1).values, lambda ids: ids.cumsum(1) % 9]
)
def test_lookups_of_several_tokens_together_are_told(mix: Callable[[Tensor], Tensor]) -> None:
    model = looking("module")
    model.look = lambda m, ids: m.table(ids) + m.places(mix(ids))
    net = cp.Network(model)
    assert net.run(IDS).mixed == ("places",)
    assert "places: looks up integers made of several tokens" in str(net.doctor(IDS))
    with pytest.raises(InputError, match="places looks up integers made of several tokens"):
        cp.attribute(net, IDS, "gradient")
    assert cp.score(net, IDS).batch == 2


def test_positions_counted_from_the_tokens_that_are_there_are_no_tokens() -> None:
    model = looking("module")
    model.look = lambda m, ids: m.table(ids) + m.places(ids.ne(0).int().cumsum(1).long())
    run = cp.Network(model).run(IDS)
    assert (len(run.lookups), run.mixed) == (1, ())


def test_positions_that_equal_the_tokens_are_no_tokens() -> None:
    model = looking("module")
    ids = torch.arange(4).expand(2, 4).clone()
    model.look = lambda m, ids: m.table(ids) + m.places(torch.arange(4).expand(ids.shape).clone())
    (lookup,) = cp.Network(model).lookups(ids)
    assert (lookup.module, lookup.padding) == ("table", 8)
    assert torch.equal(lookup.values, model.table(ids))
    run = cp.Network(model).run(ids)
    assert len(run.lookups) == 1
    assert len(run.seeds) == 1


def test_input_ids_are_the_tokens_and_else_the_first_integers() -> None:
    mask, ids, values = torch.ones(2, 3).long(), torch.ones(2, 3).int(), torch.ones(2, 3)
    assert tokens_of({"mask": mask, "input_ids": ids}) is ids
    assert tokens_of({"values": values, "flag": mask.bool(), "words": ids}) is ids
    assert tokens_of((values, mask, ids)) is mask
    assert tokens_of(values) is None


def test_tokens_beside_an_image_both_move() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.see, self.table, self.out = nn.Conv2d(1, 4, 3), nn.Embedding(9, 4), nn.Linear(4, 3)

        def forward(self, question: Tensor, image: Tensor) -> Tensor:
            return self.out(F.relu(self.see(image).mean(dim=(2, 3)) + self.table(question).mean(1)))

    torch.manual_seed(0)
    model = Both().double().eval()
    image = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    net, x = cp.Network(model), {"question": IDS, "image": image}
    found = cp.attribute(net, x, "integrated_gradients", target=0, points=200)
    start = model.out(F.relu(model.see(0 * image).mean(dim=(2, 3))))
    assert found["question"].shape == (2, 4)
    assert found["question"].any()
    total = found["question"].sum(1) + found["image"].flatten(1).sum(1)
    assert torch.allclose(total, (model(**x) - start)[:, 0], atol=2e-3)
    assert cp.fgsm(net, x, epsilon=0.1)["question"] is IDS


@pytest.mark.parametrize("name", list(of.HUGGING_FACE))
def test_mlps_of_transformers_are_sites_and_their_embedding_is_found(name: str) -> None:
    net, x = cp.Network(of.built(of.HUGGING_FACE[name])), of.texts()
    kind, sites = of.MLPS[name]
    kinds = {site.name: site.kind for site in net.sites(x)}
    assert [site for site, k in kinds.items() if k == kind] == sites
    (lookup,) = net.lookups(x)
    assert (lookup.module, lookup.values.shape) == (of.TABLES[name], (3, 6, 8))
    assert f"looked up in {of.TABLES[name]}" in str(net.doctor(x))


@pytest.mark.parametrize("name", [*of.HUGGING_FACE, "encoder"])
def test_the_network_is_run_as_it_is(name: str) -> None:
    model, x = of.built(of.HUGGING_FACE.get(name, of.Encoder)), of.texts()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plain = model(**x)
    run = cp.Network(model).run(x)
    assert torch.allclose(getattr(run.output, "logits", run.output), getattr(plain, "logits", plain), atol=1e-12)
    response = respond(cp.Network(model), x, 0)
    again = response.run_at(response.run.moving, response.samples)
    assert torch.allclose(response.of_rows(again, response.samples), response.value, atol=1e-12)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
