"""Connected parts against routes counted one by one over the weights."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import critpath as cp
from critpath.analysis.reach import connected_share, find_reach, find_reaches, reaches_input
from critpath.contributions import score_response
from critpath.errors import ForwardError, MismatchError, OptionError
from critpath.pathway import SearchWarning
from critpath.response import respond
from critpath.selection import connected_part, random_pathway, select_connected
from tests import tiny
from tests.reference.twins import ARCHITECTURES, case_of


def drawn(response: Any, share: float, seed: int) -> cp.Pathway:
    """Another random set for every sample."""
    generator = torch.Generator().manual_seed(seed)
    values = response.run.values().map(lambda a: torch.rand(a.shape, generator=generator) < share)
    return cp.Pathway(values)


def noise(response: Any) -> cp.NeuronValues:
    """Scores without meaning: many of the highest are not connected."""
    return response.run.values().map(lambda a: tiny.numbers(*a.shape, seed=a[0].numel()))


def dense_routes(weights: list[Tensor], acts: list[Tensor], keep: list[Tensor], target: int) -> list[set[int]]:
    """Every chain input, neuron, neuron, ..., output, tried: the neurons of those that are whole."""
    layers = [range(weights[0].shape[1]), *(range(len(a)) for a in acts), (target,)]
    on: list[set[int]] = [set() for _ in acts]
    for chain in itertools.product(*layers):
        inside = chain[1:-1]
        active = all(acts[i][j] > 0 and keep[i][j] for i, j in enumerate(inside))
        linked = all(w[b, a] != 0 for w, (a, b) in zip(weights, itertools.pairwise(chain), strict=True))
        if active and linked:
            for i, j in enumerate(inside):
                on[i].add(j)
    return on


def sparse_mlp(seed: int) -> nn.Sequential:
    """Three layers, two thirds of whose weights are 0."""
    model = nn.Sequential(
        *(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    )
    torch.manual_seed(seed)
    for layer in model[::2]:
        nn.init.normal_(layer.weight)
        layer.weight.data *= torch.rand_like(layer.weight) < 0.35
        nn.init.normal_(layer.bias, 0.3)
    return model.double().eval()


class TestConnectedPart:
    @pytest.mark.parametrize("seed", range(12))
    def test_dense_network_by_brute_force(self, seed: int) -> None:
        with torch.random.fork_rng():
            model = sparse_mlp(seed)
        x = tiny.numbers(3, 4, seed=seed)
        response = respond(cp.Network(model), x, 1)
        path = drawn(response, 0.7, seed)
        found = connected_part(response, path)
        weights = [layer.weight.data for layer in model[::2]]
        acts = response.run.values().tensors
        for i in range(3):
            keep = [t[i] for t in path.keep.tensors]
            expected = dense_routes(weights, [a[i] for a in acts], keep, 1)
            assert [set(t[i].nonzero().flatten().tolist()) for t in found.keep.tensors] == expected

    @pytest.mark.parametrize("seed", range(3))
    def test_convolution_by_brute_force(self, seed: int) -> None:
        """As a dense network over all positions: its weights are the Jacobians between neighbouring sites."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            first, second = nn.Conv1d(1, 2, 3).double(), nn.Conv1d(2, 2, 3).double()
            model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(4, 2).double()).eval()
            model[5].weight.data[0, :2] = 0
        x = tiny.numbers(2, 1, 6, seed=seed)
        response = respond(cp.Network(model), x, 0)
        path = drawn(response, 0.6, seed)
        found = connected_part(response, path)
        jacobians = [
            torch.autograd.functional.jacobian(lambda v: first(v.view(1, 1, 6)).flatten(), x[0].flatten()),
            torch.autograd.functional.jacobian(lambda v: second(v.view(1, 2, 4)).flatten(), torch.ones(8).double()),
            model[5].weight.data,
        ]
        for i in range(2):
            acts, keep = ([t[i].flatten() for t in v.tensors] for v in (response.run.values(), path.keep))
            expected = dense_routes(jacobians, acts, keep, 0)
            got = [set(t[i].flatten().nonzero().flatten().tolist()) for t in found.keep.tensors]
            assert got == expected

    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_batch_equals_loop_and_stable(self, name: str) -> None:
        case = case_of(name)
        response = respond(cp.Network(case.model), case.x)
        path = drawn(response, 0.6, 3)
        found = connected_part(response, path)
        assert found.size.sum() > 0
        assert (path.contains(found)).all()
        assert connected_part(response, found) == found
        assert connected_part(response, path, seed=5) == found
        if isinstance(case.x, Tensor) and name != "branching":
            for i in range(3):
                alone = connected_part(respond(cp.Network(case.model), case.x[i : i + 1]), path.sample(i))
                assert alone == found.sample(i)

    def test_nested(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        scores = score_response(response, "taylor")
        parts = [connected_part(response, cp.select(scores, s)) for s in (0.5, 0.8, 0.9, 0.95)]
        for large, small in itertools.pairwise(parts):
            assert large.contains(small).all()

    def test_the_global_random_state_and_no_grad(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(2))
        path = drawn(response, 0.5, 1)
        before = torch.random.get_rng_state()
        expected = connected_part(response, path)
        with torch.no_grad():
            assert connected_part(response, path) == expected
        assert torch.equal(before, torch.random.get_rng_state())

    def test_dead_neurons_pass_nothing_on(self) -> None:
        kind = tiny.NETWORKS["mlp"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        everything = cp.Pathway(response.run.values().map(lambda a: torch.ones_like(a, dtype=torch.bool)))
        active = cp.Pathway(response.run.values().map(lambda a: a > 0))
        assert not active.contains(everything).all()
        assert active.contains(connected_part(response, everything)).all()
        assert connected_part(response, everything) == connected_part(response, active)

    def test_empty_and_one_pathway_for_all(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        path = drawn(response, 0.6, 2)
        assert connected_part(response, path - path).size.tolist() == [0, 0, 0]
        one = path.sample(0)
        wide = cp.Pathway(one.keep.map(lambda keep: keep.expand(3, *keep.shape[1:])))
        assert connected_part(response, one) == connected_part(response, wide)

    def test_tokens_enter_by_their_embeddings(self) -> None:
        class Words(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.look, self.one, self.two = nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 6)
                self.out = nn.Linear(6, 3)

            def forward(self, tokens: Tensor) -> Tensor:
                return self.out(self.two(self.one(self.look(tokens)).relu()).relu().mean(1))

        model = tiny.seeded(Words)
        tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
        response = respond(cp.Network(model), tokens)
        path = drawn(response, 0.6, 1)
        found = connected_part(response, path)
        with torch.no_grad():
            embedded = model.look(tokens)
            first = model.one(embedded) > 0
            second = model.two(model.one(embedded).relu()) > 0
        low, high = (keep & on for keep, on in zip(path.keep.tensors, (first, second), strict=True))
        assert torch.equal(found.keep.tensors[0], low & high.any(2, keepdim=True))
        assert torch.equal(found.keep.tensors[1], high & low.any(2, keepdim=True))

    def test_bfloat16(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build().bfloat16()), kind.inputs(2).bfloat16())
        assert connected_part(response, drawn(response, 0.8, 1)).size.min() > 0

    def test_of_another_network(self) -> None:
        conv, mlp = (tiny.NETWORKS[n] for n in ("conv", "mlp"))
        response = respond(cp.Network(conv.build()), conv.inputs(2))
        other = respond(cp.Network(mlp.build()), mlp.inputs(2))
        with pytest.raises(MismatchError, match="3 sites against 2"):
            connected_part(response, drawn(other, 0.5, 0))
        with pytest.raises(MismatchError, match="pathways of 3 samples, a response of 2"):
            connected_part(response, random_pathway(response.space, 3, 0.5))

    def test_without_forward_mode(self) -> None:
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx: Any, grad: Tensor) -> Tensor:
                return 2 * grad * ctx.saved_tensors[0]

        class Model(tiny.MLP):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(Square.apply(x))

        response = respond(cp.Network(tiny.seeded(Model)), tiny.numbers(1, 6))
        with pytest.raises(ForwardError, match=r"forward-mode derivatives.*jvp"):
            connected_part(response, drawn(response, 0.5, 0))


class TestSelectConnected:
    @pytest.mark.parametrize("scope", ["network", "site", "channel"])
    def test_the_longest_prefix_of_all(self, scope: str) -> None:
        with torch.random.fork_rng():
            model = sparse_mlp(5)
        x = tiny.numbers(4, 4, seed=9)
        response = respond(cp.Network(model), x)
        scores = score_response(response, "activation")
        n = scores.space.neurons
        parts = [connected_part(response, cp.select(scores, 1 - k / n, scope)) for k in range(1, n + 1)]
        sizes = torch.stack([part.size for part in parts])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SearchWarning)
            for sparsity in (0.5, 0.7, 0.8):
                k = int(cp.select(scores.map(torch.ones_like), sparsity, scope).size[0])
                found = select_connected(response, scores, sparsity, scope)
                for i in range(4):
                    fitting = [j for j in range(n) if sizes[j, i] <= k]
                    best = parts[max(fitting)].sample(i) if fitting else None
                    size, least = int(found.size[i]), 0 if best is None else int(best.size[0])
                    assert size > least or best is None or found.sample(i) == best  # larger by a bridge, or the same
                    assert size >= least
                assert connected_part(response, found) == found
                assert found.requested == sparsity
                assert found.size.max() <= k

    def test_a_bridge_is_put_first(self) -> None:
        """One neuron of the second layer, ranked last, that all of the first layer's have to pass."""
        model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1), nn.ReLU(), nn.Linear(1, 2)).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(1)
        response = respond(cp.Network(model), torch.ones(2, 3, dtype=torch.float64), 0)
        ranking = torch.tensor([6.0, 5.0, 4.0, 3.0, 2.0, 1.5]).double().expand(2, 6)
        scores = cp.NeuronValues(response.space, (ranking, torch.ones(2, 1).double()))
        found = select_connected(response, scores, sparsity=4 / 7)
        assert found.keep.tensors[0].tolist() == [[True, True, False, False, False, False]] * 2
        assert found.keep.tensors[1].all()

    def test_batch_equals_loop(self) -> None:
        kind = tiny.NETWORKS["residual"]
        net, x = cp.Network(kind.build()), kind.inputs(3)
        found = cp.find_pathway(net, x, sparsity=0.9, connected=True)
        assert found.search is not None
        assert found.search.keeps_class is not None
        assert found.search.curves["prefix"].shape == found.search.curves["connected"].shape
        for i in range(3):
            alone = cp.find_pathway(net, x[i : i + 1], sparsity=0.9, connected=True)
            assert alone == found.sample(i)

    def test_all_of_it_is_connected_and_more_than_without(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        scores = noise(response)
        found, plain = select_connected(response, scores, 0.8), cp.select(scores, 0.8)
        assert connected_part(response, found) == found
        assert (connected_part(response, plain).size < plain.size).all()
        assert (found.size > connected_part(response, plain).size).all()

    def test_falls_short(self) -> None:
        """Only active neurons can be connected: half of all are not there."""
        kind = tiny.NETWORKS["mlp"]
        net, x = cp.Network(kind.build()), kind.inputs(2)
        with pytest.warns(SearchWarning, match=r"connected selection sample 0: has \d+ of 23 neurons: no more") as seen:
            found = cp.find_pathway(net, x, sparsity=0.05, connected=True)
        assert seen[0].filename == __file__
        assert found.search is not None
        assert not found.search.met
        assert found.size.max() < 23

    def test_bad_options(self) -> None:
        kind = tiny.NETWORKS["mlp"]
        net, x = cp.Network(kind.build()), kind.inputs(2)
        response = respond(net, x)
        scores = score_response(response, "taylor")
        with pytest.raises(OptionError, match="sparsity is 1"):
            select_connected(response, scores, 1)
        with pytest.raises(OptionError, match="scope"):
            select_connected(response, scores, 0.5, "layer")
        with pytest.raises(OptionError, match="within is -1"):
            select_connected(response, scores, 0.5, within=-1)
        with pytest.raises(OptionError, match=r"active .*connected_part"):
            cp.find_pathway(net, x, "active", connected=True)


class TestOverSparsity:
    def test_connected_share(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        scores = noise(response)
        sparsities = (0.2, 0.8, 0.9, 0.99)
        shares = connected_share(response, scores, sparsities)
        assert shares.shape == (3, 4)
        assert ((shares >= 0) & (shares <= 1)).all()
        for j, sparsity in enumerate(sparsities):
            path = cp.select(scores, sparsity)
            expected = connected_part(response, path).size.double() / path.size
            assert torch.equal(shares[:, j], expected)
            for i in range(3):
                alone = respond(cp.Network(kind.build()), tiny.sample(kind.inputs(3), i))
                reaches = reaches_input(alone, scores.sample(i), sparsity)
                assert reaches == bool(shares[i, j] > 0)

    def test_nothing_kept_is_no_share(self) -> None:
        kind = tiny.NETWORKS["mlp"]
        response = respond(cp.Network(kind.build()), kind.inputs(2))
        scores = score_response(response, "taylor")
        assert connected_share(response, scores, [0.99]).isnan().all()
        with pytest.raises(OptionError, match="sparsity is 2"):
            connected_share(response, scores, [0.5, 2])

    @pytest.mark.parametrize("name", ["conv", "residual", "two_inputs", "transformer"])
    @pytest.mark.parametrize("scope", ["network", "site"])
    def test_reach_of_a_batch_equals_loop(self, name: str, scope: str) -> None:
        kind = tiny.NETWORKS[name]
        net, x = cp.Network(kind.build()), kind.inputs(3)
        response = respond(net, x)
        scores = score_response(response, "taylor")
        found = find_reaches(response, scores, scope)
        for i in range(3):
            alone = respond(net, tiny.sample(x, i))
            assert find_reach(alone, scores.sample(i), scope) == found[i]
