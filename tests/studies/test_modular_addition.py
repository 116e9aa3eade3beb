"""The study of addition modulo 113: its measures against definitions, and the network that it is about."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from studies.folders import Study
from studies.modular_addition import measures, work
from studies.modular_addition.claims import claims
from studies.modular_addition.clusters import answers, every_input, frequencies, sampled
from studies.networks import modadd113
from studies.study import HOLDS, NOT, OPEN
from torch.nn import functional as F

from critpath.zoo.weights import read_weights


def drawn(kept: int, pool: int, draws: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random sets [draws, 60] of the first neurons."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(draws, pool, generator=generator)
    sets = torch.zeros(draws, 60, dtype=torch.bool)
    return sets.scatter(1, noise.topk(kept, dim=1).indices, True), (torch.arange(60) < pool).expand(draws, -1)


class TestMeasures:
    CLUSTERS = torch.arange(60) % 4

    @pytest.mark.parametrize(("kept", "pool"), [(5, 60), (20, 60), (20, 41)])
    def test_random_sets_are_as_uneven_as_chance(self, kept: int, pool: int) -> None:
        found = measures.unevenness(*drawn(kept, pool, 4000), self.CLUSTERS)
        assert float(found.mean()) == pytest.approx(1, abs=0.05)

    def test_a_whole_cluster_is_uneven(self) -> None:
        kept = (self.CLUSTERS == 1).unsqueeze(0)
        found = measures.unevenness(kept, torch.ones_like(kept), self.CLUSTERS)
        expected = 15 / 4
        by_hand = ((15 - expected) ** 2 + 3 * expected**2) / expected / (3 * 45 / 59)
        assert float(found) == pytest.approx(by_hand)

    def test_nothing_to_choose(self) -> None:
        every = torch.ones(1, 60, dtype=torch.bool)
        assert measures.unevenness(every, every, self.CLUSTERS).isnan().all()
        assert measures.unevenness(~every, every, self.CLUSTERS).isnan().all()

    def test_neighbours(self) -> None:
        generator = torch.Generator().manual_seed(0)
        common = torch.randn(200, 4, generator=generator)[:, self.CLUSTERS]
        values = common + 0.1 * torch.randn(200, 60, generator=generator)
        values[:, 0] = 1
        same, chance = measures.nearest_alike(values, self.CLUSTERS)
        assert same[0].isnan()
        assert same[1:].tolist() == [1] * 59
        assert float(chance[1]) == pytest.approx(14 / 58)

    def test_jaccards(self) -> None:
        kept = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0]]).bool()
        assert measures.jaccards(kept).tolist() == [[1, pytest.approx(1 / 3)], [pytest.approx(1 / 3), 1]]

    def test_composition(self) -> None:
        kept = torch.tensor([[1, 1, 0, 1]]).bool()
        assert measures.composition(kept, torch.tensor([0, 0, 1, 1])).tolist() == [[2 / 3, 1 / 3]]


def test_frequencies_of_cosines() -> None:
    a, b = every_input()[:, 0], every_input()[:, 1]
    angles = [2 * torch.pi * k / 113 for k in (5, 50, 7)]
    neurons = [torch.cos(angles[0] * a) + torch.cos(angles[0] * b), torch.cos(angles[1] * (a + b) + 1),
               torch.relu(torch.cos(angles[2] * (a - b)))]  # fmt: skip
    found = frequencies(torch.stack(neurons, dim=1))
    assert found.of.tolist() == [5, 50, 7]
    assert found.explained[:2].tolist() == pytest.approx([1, 1])
    assert 0.5 < float(found.explained[2]) < 1


def test_verdicts_follow_the_numbers() -> None:
    def verdict(results: dict[str, Any], words: str) -> str:
        (found,) = (claim.verdict for claim in claims(results) if words in claim.claim)
        return found

    results = copy.deepcopy(Study("modular_addition").kept())
    before = {words: verdict(results, words) for words in ("whole clusters", "Greedy", "A head feeds", "same answer")}
    assert before == {"whole clusters": NOT, "Greedy": NOT, "A head feeds": NOT, "same answer": HOLDS}
    near = {"mean": 0.1, "low": 0.05, "high": 0.2, "n": 9}
    results["logit"]["greedy"]["0.9"]["kept"] = near
    results["logit"]["taylor"]["0.9"]["frequencies"] = {"mean": 2.0, "low": 1.5, "high": 2.5, "n": 9}
    results["answers"]["taylor"]["same sum"] = results["answers"]["taylor"]["neither"] = near
    results["heads"]["feeds"] = [[float(head == cluster) for cluster in range(6)] for head in range(4)]
    after = {words: verdict(results, words) for words in before}
    assert after == {"whole clusters": HOLDS, "Greedy": OPEN, "A head feeds": HOLDS, "same answer": OPEN}


def test_samples_are_inputs() -> None:
    assert len({tuple(row) for row in sampled(500, 0).tolist()}) == 500
    assert torch.equal(sampled(500, 0)[:20], sampled(20, 0))


class TestNetwork:
    def test_right_on_every_input(self, assets: Path) -> None:
        with torch.no_grad():
            found = modadd113().model(every_input()).argmax(dim=1)
        assert torch.equal(found, answers(every_input()))

    def test_as_written_out(self, assets: Path) -> None:
        """The stored arrays by the formulas of a transformer, at every position and causal."""
        w = read_weights(assets / "transformer_grokking" / "modadd113_relu_1layer.safetensors")
        tokens = sampled(50, 0)
        x = w["embed.W_E"].T[tokens] + w["pos_embed.W_pos"]
        q, k, v = (torch.einsum("hid,bsd->bhsi", w[f"blocks.0.attn.W_{name}"], x) for name in "QKV")
        scores = (q @ k.transpose(2, 3) / 32**0.5).masked_fill(torch.ones(3, 3).triu(1).bool(), -torch.inf)
        x = x + (scores.softmax(3) @ v).transpose(1, 2).flatten(2) @ w["blocks.0.attn.W_O"].T
        hidden = F.relu(x @ w["blocks.0.mlp.W_in"].T + w["blocks.0.mlp.b_in"])
        x = x + hidden @ w["blocks.0.mlp.W_out"].T + w["blocks.0.mlp.b_out"]
        with torch.no_grad():
            assert torch.allclose(modadd113().model(tokens), (x @ w["unembed.W_U"])[:, -1], atol=1e-4)

    def test_parts(self, assets: Path) -> None:
        found = work.run("neurons", pairs=4, seed=0)
        assert sum(found["sizes"]) == 512
        assert found["right"] == 1

    def test_clusters_together(self, assets: Path) -> None:
        """The logit is linear in the neurons: a cluster's part is the sum of its neurons' parts."""
        found = work.run("groups", pairs=2, seed=0)["logit"]
        for one in found.values():
            assert one["together"] == pytest.approx(one["alone"], abs=1e-2)
