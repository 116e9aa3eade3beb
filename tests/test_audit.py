"""The released code's artefacts: the numbers that are known of them, and loops written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import critpath as cp
from critpath.audit import (
    ARTEFACTS,
    AuditReport,
    alpha_schedule,
    artefacts,
    audit,
    first_calls,
    oscillating_greedy,
    percentile_pathway,
    released_intgrad,
)
from critpath.contributions import score_response
from critpath.errors import OptionError
from critpath.response import Response, respond
from tests import tiny
from tests.reference.twins import Case, case_of


class Half(nn.Module):
    """Φ = a² / 2."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu() ** 2 / 2


def at_one() -> Response:
    return respond(cp.Network(Half().eval()), torch.ones(1, 1, dtype=torch.float64), 0)


def of_case(name: str) -> tuple[Case, Response]:
    case = case_of(name)
    return case, respond(cp.Network(case.model), case.x)


class TestAlphas:
    def test_schedule(self) -> None:
        known = [0, 0.1, 0.3, 0.6, 1, 1.5, 2.1, 2.8, 3.6, 4.5, 5.5]
        assert alpha_schedule(10).tolist() == pytest.approx(known)
        assert float(alpha_schedule(10).mean()) == pytest.approx(2.0)
        assert float(alpha_schedule(50).mean()) == pytest.approx(8.67, abs=0.005)
        assert float(alpha_schedule(50)[-1]) == pytest.approx(25.5)

    @pytest.mark.parametrize(("points", "released"), [(10, 2.0), (50, 26 / 3)])
    def test_square(self, points: int, released: float) -> None:
        assert float(released_intgrad(at_one(), points).tensors[0]) == pytest.approx(released)
        assert float(released_intgrad(at_one(), points, alphas="right").tensors[0]) == pytest.approx(0.5)

    @pytest.mark.parametrize("name", ["reused", "dense", "sequence first"])
    @pytest.mark.parametrize("alphas", ["released", "right"])
    def test_every_score_by_the_twin(self, name: str, alphas: str) -> None:
        case, response = of_case(name)
        found = released_intgrad(response, 4, alphas=alphas, calls="all")
        scales = [0, 0.25, 0.75, 1.5, 2.5] if alphas == "released" else [0, 0.25, 0.5, 0.75, 1]
        classes = response.target.classes  # type: ignore[attr-defined]
        for position, site in enumerate(case.sites):
            total = torch.zeros((), dtype=torch.float64)
            for scale in scales:
                scaled: dict[int, Tensor] = {}

                def rule(number: int, a: Tensor, at: int = position, by: float = scale, into: dict = scaled) -> Tensor:
                    if number != at:
                        return a
                    into[0] = (by * a).detach().requires_grad_()
                    into[1] = a.detach()
                    return into[0]

                out = case.twin(case.model, case.x, rule).gather(1, classes.unsqueeze(1)).sum()
                (gradient,) = torch.autograd.grad(out, scaled[0], allow_unused=True)
                total = total + (0 if gradient is None else scaled[1] * gradient)
            assert torch.allclose(found[site].flatten(), (total / 5).abs().flatten(), atol=1e-12), site

    def test_right_is_near_the_method(self) -> None:
        kind = tiny.NETWORKS["mlp"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        right = released_intgrad(response, 30, alphas="right", calls="all")
        exact = score_response(response, "intgrad", points=30)
        for a, b in zip(right.tensors, exact.tensors, strict=True):
            assert float((a - b.abs()).abs().sum() / b.abs().sum()) < 0.05

    def test_bad_options(self) -> None:
        for options, words in (
            ({"points": 0}, "points is 0"),
            ({"alphas": "wrong"}, "alphas is 'wrong'"),
            ({"calls": 1}, "calls is 1"),
        ):
            with pytest.raises(OptionError, match=words):
                released_intgrad(at_one(), **options)  # type: ignore[arg-type]


class TestCalls:
    def test_one_module_called_four_times(self) -> None:
        _, response = of_case("reused")
        scores = released_intgrad(response, 4)
        assert not scores.tensors[0].isnan().any()
        assert all(t.isnan().all() for t in scores.tensors[1:])
        every = released_intgrad(response, 4, calls="all")
        assert torch.equal(every.tensors[0], scores.tensors[0])
        for a, b in zip(first_calls(every).tensors, scores.tensors, strict=True):
            assert torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))

    def test_the_others_are_never_pruned(self) -> None:
        """Asked for 90 %, a quarter of the sites takes part: at most 22.5 % are pruned."""
        _, response = of_case("reused")
        path = percentile_pathway(released_intgrad(response, 4), 90)
        assert (path.density()[:, 1:] == 1).all()
        assert (path.density()[:, 0] < 0.15).all()
        assert (path.sparsity < 0.25).all()

    def test_without_reuse_nothing_is_missing(self) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(2))
        assert not any(t.isnan().any() for t in released_intgrad(response, 2).tensors)


def greedy_by_hand(case: Case, sample: int, target: int, rounds: int) -> tuple[list[np.ndarray], list[float]]:
    """One sample, one round after the other, with numpy."""
    x = case.x[sample : sample + 1]
    masks: list[Tensor] | None = None
    kept: list[float] = []
    for i in range(1, rounds + 1):
        seen: list[Tensor] = []

        def rule(number: int, a: Tensor, before: list[Tensor] | None = masks, into: list[Tensor] = seen) -> Tensor:
            a = a if before is None else a * before[number]
            into.append(a)
            return a

        out = case.twin(case.model, x.clone().requires_grad_(), rule)[0, target]
        gradients = torch.autograd.grad(out, seen, allow_unused=True)
        pairs = zip(seen, gradients, strict=True)
        scores = [np.zeros(a.shape) if g is None else (a * g).abs().detach().numpy() for a, g in pairs]
        flat = np.concatenate([s.ravel() for s in scores])
        threshold = np.percentile(np.where(flat == 0, flat.max(), flat), i)
        new = [np.ones_like(s) if m is None else m.numpy() for s, m in zip(scores, masks or [None] * 9, strict=False)]
        for s, m in zip(scores, new, strict=True):
            m[s <= threshold] = 0
            m[s <= 0] = 1
        masks = [torch.from_numpy(m.copy()) for m in new]
        kept.append(float(np.concatenate([m.ravel() for m in new]).mean()))
    assert masks is not None
    return [m.numpy() for m in masks], kept


class TestRevival:
    @pytest.mark.parametrize("name", ["reused", "branching"])
    def test_by_hand(self, name: str) -> None:
        case, response = of_case(name)
        rounds = 25
        found = oscillating_greedy(response, rounds)
        assert found.search is not None
        assert found.requested is None
        for i in range(3):
            target = int(response.target.classes[i])  # type: ignore[attr-defined]
            masks, kept = greedy_by_hand(case, i, target, rounds)
            assert found.search.curves["kept"][:, i].tolist() == pytest.approx(kept)
            for mine, theirs in zip(found.keep.tensors, masks, strict=True):
                assert np.array_equal(mine[i].numpy().ravel(), theirs.ravel() > 0)

    def test_oscillates_and_ends_far_above(self) -> None:
        """What one round prunes, the next one brings back; asked for 99 %, it prunes a quarter."""
        kind = tiny.NETWORKS["residual"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        found, before = oscillating_greedy(response), oscillating_greedy(response, 98)
        assert (found.size < response.space.neurons).all()
        assert (~found & ~before).size.tolist() == [0, 0, 0]
        assert (found.size > 0.6 * response.space.neurons).all()
        assert found.search is not None
        kept = found.search.curves["kept"]
        assert kept.shape == (99, 3)
        assert (kept[-1] - kept[40]).abs().max() < 0.02  # nothing is won for long

    def test_bad_rounds(self) -> None:
        with pytest.raises(OptionError, match="rounds is 0"):
            oscillating_greedy(at_one(), 0)


class TestTies:
    def scores(self) -> cp.NeuronValues:
        first = torch.tensor([[0.0, -3, 1, 1, 2], [0, 0, 0, 0, 5]])
        second = torch.tensor([[1.0, 4, 0, 0, 6], [0, 0, -1, 0, 0]])
        return tiny.values_of(first, second)

    @pytest.mark.parametrize("percent", [0, 20, 45, 50, 80, 100])
    @pytest.mark.parametrize("ties", ["drop", "keep"])
    def test_as_numpy_does(self, percent: float, ties: str) -> None:
        found = percentile_pathway(self.scores(), percent, ties=ties)
        flat = self.scores().flatten().abs().numpy()
        limit = np.percentile(flat.astype(np.float64), percent, axis=1, keepdims=True)
        expected = flat > limit if ties == "drop" else flat >= limit
        assert np.array_equal(found.keep.flatten().numpy(), expected)
        assert found.requested == pytest.approx(percent / 100)

    def test_ties_go_together(self) -> None:
        """Three ones at the threshold: asked for half, 4 of 10 are kept, or 7; select keeps 5."""
        assert percentile_pathway(self.scores(), 50).size[0] == 4
        assert percentile_pathway(self.scores(), 50, ties="keep").size[0] == 7
        assert cp.select(self.scores(), 0.5).size[0] == 5

    def test_more_dead_than_percent(self) -> None:
        """Then the path is all that is active, whatever was asked for."""
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(2))
        scores = score_response(response, "taylor")
        nonzero = scores.map(lambda s: s != 0)
        assert percentile_pathway(scores, 10) == cp.Pathway(nonzero)
        assert (percentile_pathway(scores, 10).sparsity > 0.3).all()

    def test_bad_options(self) -> None:
        with pytest.raises(OptionError, match="percent is 101"):
            percentile_pathway(self.scores(), 101)
        with pytest.raises(OptionError, match="ties is 'index'"):
            percentile_pathway(self.scores(), 50, ties="index")


@pytest.fixture(scope="module")
def seen() -> tuple[cp.Network, Tensor, AuditReport]:
    kind = tiny.NETWORKS["residual"]
    net, x = cp.Network(kind.build()), kind.inputs(2)
    return net, x, audit(net, x, 0.8, points=3, rounds=9)


class TestAudit:
    def test_rows(self, seen: tuple) -> None:
        net, x, found = seen
        assert [(v.artefact, v.version) for v in found.versions] == [
            (a.name, version) for a in ARTEFACTS for version in ("released", "right")
        ]
        response = respond(net, x)
        released = percentile_pathway(released_intgrad(response, 3, alphas="right"), 80)
        right = cp.select(released_intgrad(response, 3, alphas="right", calls="all"), 0.8)
        row = found.versions[2]
        assert row.sparsity.tolist() == released.sparsity.tolist()
        assert row.jaccard.tolist() == cp.overlap(released, right).jaccard.tolist()
        dead = cp.Pathway(response.run.values().map(lambda a: a <= 0))
        assert row.dead.tolist() == pytest.approx(((released & dead).size / released.size).tolist())
        classes = response.pruned(released).run.output.argmax(1) == response.run.output.argmax(1)
        assert row.keeps_class.tolist() == classes.tolist()
        assert all(v.jaccard.tolist() == [1, 1] for v in found.versions if v.version == "right")
        assert (found.versions[0].jaccard < 1).all()
        assert (found.versions[2].sparsity < 0.4).all()

    def test_batch_equals_loop(self, seen: tuple) -> None:
        net, x, found = seen
        for i in range(2):
            alone = audit(net, x[i : i + 1], 0.8, points=3, rounds=9)
            for mine, whole in zip(alone.versions, found.versions, strict=True):
                assert float(mine.sparsity) == float(whole.sparsity[i])
                assert float(mine.jaccard) == pytest.approx(float(whole.jaccard[i]))

    def test_in_words(self, seen: tuple) -> None:
        text = str(seen[2])
        lines = text.splitlines()
        assert lines[0] == "asked for: sparsity 0.8; 3 steps of integration, 9 rounds"
        assert sum(line.startswith(("alphas", "calls", "revival", "ties")) for line in lines) >= 16
        assert "kept" in text or "lost" in text
        assert "nan" not in text

    def test_a_response_of_no_class(self) -> None:
        kind = tiny.NETWORKS["mlp"]
        found = audit(cp.Network(kind.build()), kind.inputs(1), 0.5, lambda out: out[:, 0], points=2, rounds=3)
        assert all(version.keeps_class is None for version in found.versions)
        assert str(found).splitlines()[2].endswith("-")

    def test_overview(self) -> None:
        assert [a.name for a in ARTEFACTS] == ["alphas", "calls", "revival", "ties"]
        assert all(a.name in artefacts() and a.what in artefacts() for a in ARTEFACTS)

    def test_bad_sparsity(self) -> None:
        with pytest.raises(OptionError, match="sparsity is 1"):
            audit(cp.Network(Half().eval()), torch.ones(1, 1), 1)
