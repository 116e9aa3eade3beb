"""The comparison of finders against each finder run by itself and sets of neurons."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor, nn

import critpath as cp
from critpath.analysis import FinderComparison, compare_finders, dead_share, faithfulness, merged, pathways_at, resized
from critpath.errors import InputError, MismatchError, OptionError
from critpath.neurons import NeuronValues
from critpath.pathway import Pathway, Search, SearchWarning
from critpath.response import Response, respond
from critpath.selection import FINDERS, connected_part, find_in_response

SPARSITIES = (0.6, 0.9)
SIZES = (0.05, 0.3, 1.0)
FOUND = ("taylor", "magnitude", "random", "active", "greedy")


def network() -> cp.Network:
    return cp.Network(tiny.seeded(lambda: tiny.MLP(hidden=50)))


@pytest.fixture
def net() -> cp.Network:
    return network()


def images(count: int) -> Tensor:
    return tiny.numbers(count, 6)


def members(pathway: Pathway, i: int) -> set[int]:
    return {n for n, k in enumerate(pathway.keep.flatten()[i].tolist()) if k}


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else math.nan


def alone(net: cp.Network, x: Tensor, finder: str, sparsity: float, **options: Any) -> Pathway:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchWarning)
        return cp.find_pathway(net, x, finder, sparsity, **options)


def top(values: NeuronValues, i: int, k: int) -> set[int]:
    flat = values.flatten()[i].abs()
    order = sorted(range(len(flat)), key=lambda n: (-float(flat[n]), n))[:k]
    return {n for n in order if flat[n] > 0}


@pytest.fixture(scope="module")
def compared() -> FinderComparison:
    batches = [images(5)[:3], images(5)[3:]]
    return compare_finders(network(), batches, FOUND, SPARSITIES, sizes=SIZES, options={"greedy": {"step": 0.1}})


class TestAgainstEachAlone:
    def test_what_each_finder_found(self, net: cp.Network, compared: FinderComparison) -> None:
        x = images(5)
        values = net.run(x).values()
        assert compared.images == 5
        assert compared.finders == FOUND
        assert compared.sparsities == SPARSITIES
        assert compared.seconds.shape == (5, 5)
        assert (compared.seconds > 0).all()
        assert torch.allclose(compared.base_dead, (values.flatten() <= 0).double().mean(1))
        classes = net.model(x).argmax(1)
        for at, (f, finder) in itertools.product(compared.at, enumerate(FOUND)):
            options = {"step": 0.1} if finder == "greedy" else {}
            path = alone(net, x, finder, at.sparsity, **options)
            assert torch.allclose(at.realised[f], path.sparsity)
            assert torch.allclose(at.dead[f], dead_share(path, values), equal_nan=True)
            pruned = respond(net, x).pruned(path).run.output
            assert at.keeps_class[f].tolist() == (pruned.argmax(1) == classes).double().tolist()
            assert at.connected[f].isnan().all()
        assert compared.at[0].nesting.isnan().all()
        assert compared.at[1].nesting[:4].tolist() == [[0.0] * 5] * 4

    def test_pairs(self, net: cp.Network, compared: FinderComparison) -> None:
        """Contributions go to the size of what was searched for; the rest is compared as it is."""
        x = images(5)
        n = net.sites(x).neurons
        rankings = {"taylor": cp.score(net, x), "magnitude": net.run(x).values()}
        for at in compared.at:
            paths = {f: alone(net, x, f, at.sparsity, **({"step": 0.1} if f == "greedy" else {})) for f in FOUND}
            assert torch.equal(at.jaccard.nan_to_num(), at.jaccard.transpose(0, 1).nan_to_num())
            for i in range(5):
                for (f, one), (g, other) in itertools.combinations_with_replacement(enumerate(FOUND), 2):
                    if {"random", "active"} & {one, other}:
                        continue
                    a, b = members(paths[one], i), members(paths[other], i)
                    if other == "greedy" != one:
                        a = top(rankings[one], i, len(b))
                    assert len(a) == len(b)
                    assert float(at.jaccard[f, g, i]) == pytest.approx(jaccard(a, b))
                    share = len(a) / n
                    assert float(at.compared[f, g, i]) == pytest.approx(share)
                    assert float(at.chance[f, g, i]) == pytest.approx(share / (2 - share))
            a = [members(paths["taylor"], i) for i in range(5)]
            b = [members(paths["random"], i) for i in range(5)]
            assert at.jaccard[0, 2].tolist() == pytest.approx([jaccard(*pair) for pair in zip(a, b, strict=True)])

    def test_sites(self, net: cp.Network, compared: FinderComparison) -> None:
        x = images(5)
        at = compared.at[1]
        p, q = (alone(net, x, f, 0.9) for f in ("taylor", "magnitude"))
        start = 0
        for s, site in enumerate(p.space):
            inside = set(range(start, start + site.neurons))
            each = [jaccard(members(p, i) & inside, members(q, i) & inside) for i in range(5)]
            known = [j for j in each if j == j]
            assert float(at.site_counted[0, 1, s]) == len(known)
            expected = sum(known) / len(known) if known else math.nan
            assert float(at.site_jaccard[0, 1, s]) == pytest.approx(expected, nan_ok=True)
            sizes = [[len(members(path, i) & inside) / site.neurons for path in (p, q)] for i in range(5)]
            chances = [a * b / (a + b - a * b) for a, b in sizes if a + b]
            expected = sum(chances) / len(chances) if chances else math.nan
            assert float(at.site_chance[0, 1, s]) == pytest.approx(expected, nan_ok=True)
            start += site.neurons

    def test_response_kept(self, net: cp.Network, compared: FinderComparison) -> None:
        x = images(5)
        response = respond(net, x)
        none = cp.Pathway(response.run.values().map(lambda a: torch.zeros_like(a, dtype=torch.bool)))
        floor = response.pruned(none).value
        for i, finder in enumerate(("taylor", "magnitude")):
            value = response.pruned(alone(net, x, finder, 0.9)).value
            expected = (value - floor) / (response.value - floor)
            assert torch.allclose(compared.at[1].kept[i], expected.detach().double())

    def test_faithfulness(self, net: cp.Network, compared: FinderComparison) -> None:
        x = images(5)
        assert set(compared.faithfulness) == set(FOUND) - {"active"}
        expected = faithfulness(respond(net, x), cp.score(net, x), SIZES)
        found = compared.faithfulness["taylor"]["zero"]
        for name in ("kept", "without", "whole", "floor", "kept_area", "without_area"):
            assert torch.allclose(getattr(found, name), getattr(expected, name))

    def test_batch_by_batch_is_all_at_once(self, net: cp.Network, compared: FinderComparison) -> None:
        whole = compare_finders(net, images(5), FOUND, SPARSITIES, sizes=SIZES, options={"greedy": {"step": 0.1}})
        assert same(whole, compared)
        parts = [
            compare_finders(
                net, images(5)[i : i + 1], FOUND, SPARSITIES, sizes=SIZES, options={"greedy": {"step": 0.1}}
            )
            for i in range(5)
        ]
        assert same(merged(parts), compared)
        assert same(parts[0] + parts[1] + (parts[2] + (parts[3] + parts[4])), compared)

    def test_in_words_and_numbers(self, compared: FinderComparison) -> None:
        text = str(compared)
        assert "5 images" in text
        assert "sparsity 0.9" in text
        assert all(finder in text for finder in FOUND)
        assert "nan" not in text
        plain = json.loads(json.dumps(compared.to_dict(), allow_nan=False))
        assert plain["at"][1]["nesting"][0] == [0.0] * 5
        assert plain["at"][0]["nesting"][0] == [None] * 5
        assert plain["faithfulness"]["taylor"]["zero"]["sizes"] == list(SIZES)
        assert plain["neurons"] == compared.space.neurons


def same(one: FinderComparison, other: FinderComparison) -> bool:
    """Everything but the time."""
    first, second = ({k: v for k, v in c.to_dict().items() if k != "seconds"} for c in (one, other))
    return bool(first == _approx(second))


def _approx(value: Any) -> Any:
    """Numbers may differ by rounding: other batch sizes sum in another order."""
    if isinstance(value, dict):
        return {k: _approx(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_approx(v) for v in value]
    return pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value


class TestOneSearchForSeveralSparsities:
    @pytest.mark.parametrize("step", [0.1, 0.3])
    def test_greedy(self, net: cp.Network, step: float) -> None:
        x, sparsities = images(2), (0.1, 0.35, 0.6, 0.8, 0.97)
        found = pathways_at(respond(net, x), "greedy", sparsities, step=step)
        for sparsity, ranked in zip(sparsities, found, strict=True):
            expected = alone(net, x, "greedy", sparsity, step=step)
            assert ranked.pathway == expected
            assert ranked.pathway.search is not None
            assert expected.search is not None
            assert [bool(s) for s in ranked.pathway.search.stopped] == [bool(s) for s in expected.search.stopped]

    @pytest.mark.parametrize("options", [{}, {"binarise": "threshold"}, {"init": "uniform"}, {"preset": "khakzar2021"}])
    def test_dgr(self, net: cp.Network, options: dict[str, Any]) -> None:
        x, sparsities = images(2), (0.3, 0.9)
        found = pathways_at(respond(net, x), "dgr", sparsities, iterations=5, **options)
        for sparsity, ranked in zip(sparsities, found, strict=True):
            expected = alone(net, x, "dgr", sparsity, iterations=5, **options)
            assert ranked.pathway == expected
            assert ranked.pathway.search is not None
            assert expected.search is not None
            assert [bool(s) for s in ranked.pathway.search.stopped] == [bool(s) for s in expected.search.stopped]

    @pytest.mark.parametrize("name", ["taylor", "random", "magnitude", "active"])
    def test_others(self, net: cp.Network, name: str) -> None:
        x = images(2)
        for sparsity, ranked in zip(SPARSITIES, pathways_at(respond(net, x), name, SPARSITIES), strict=True):
            assert ranked.pathway == alone(net, x, name, sparsity)
            assert (ranked.ranking is None) == (name == "active")
            if ranked.ranking is not None:
                assert ranked.pathway == cp.select(ranked.ranking, sparsity)

    def test_connected(self, net: cp.Network) -> None:
        (ranked,) = pathways_at(respond(net, images(2)), "taylor", (0.8,), connected=True)
        assert ranked.pathway == alone(net, images(2), "taylor", 0.8, connected=True)
        assert not ranked.any_size


@pytest.fixture
def finder() -> Iterator[dict[str, Any]]:
    """A finder ``made_up`` that does what the test says; it is taken out of the registry afterwards."""
    behaviour: dict[str, Any] = {}

    @FINDERS.register("made_up", forwards=0, backwards=0)
    def made_up(response: Response, sparsity: float) -> Pathway:
        return behaviour["does"](response, sparsity)

    yield behaviour
    del FINDERS.methods["made_up"]


class TestSearches:
    def test_stops_are_recorded_and_not_warned(self, net: cp.Network, finder: dict[str, Any]) -> None:
        def does(response: Response, sparsity: float) -> Pathway:
            path = cp.select(response.run.values(), sparsity)
            why = tuple("short" if i == 1 else "" for i in range(path.batch))
            warnings.warn("short", SearchWarning, stacklevel=2)
            return Pathway(path.keep, sparsity, Search("made_up", stopped=why))

        finder["does"] = does
        found = compare_finders(net, images(5).split(2), ["taylor", "made_up"], SPARSITIES, ablations=())
        assert found.stopped == {"taylor": (), "made_up": tuple((i, s, "short") for i in (1, 3) for s in SPARSITIES)}
        assert found.faithfulness == {}

    def test_sizes_that_cannot_be_made_equal(self, net: cp.Network, finder: dict[str, Any]) -> None:
        """Neither of two searches without a ranking can be cut; the contribution can."""
        finder["does"] = lambda response, sparsity: cp.select(response.run.values(), 0.7)
        (at,) = compare_finders(net, images(3), ["taylor", "active", "made_up"], ablations=()).at
        assert at.jaccard[1, 2].isnan().all()
        assert at.chance[2, 1].isnan().all()
        assert at.compared[1, 2].isnan().all()
        assert (at.site_counted[1, 2] == 0).all()
        assert at.site_jaccard[1, 2].isnan().all()
        assert torch.allclose(at.compared[0, 2], torch.full((3,), 0.3).double())
        assert (at.jaccard[0, 1] == 1).any()

    def test_a_search_with_a_ranking_is_cut(self, net: cp.Network, finder: dict[str, Any]) -> None:
        def does(response: Response, sparsity: float) -> Pathway:
            values = response.run.values()
            return Pathway(cp.select(values, 0.5).keep, sparsity, Search("made_up", ranking=values))

        finder["does"] = does
        (at,) = compare_finders(net, images(3), ["made_up", "active"], ablations=()).at
        sizes = torch.stack([1 - at.realised[0], 1 - at.realised[1]])
        cuttable = sizes[0] >= sizes[1]
        assert torch.equal(~at.jaccard[0, 1].isnan(), cuttable)

    def test_an_error_names_finder_and_images(self, net: cp.Network, finder: dict[str, Any]) -> None:
        def does(response: Response, sparsity: float) -> Pathway:
            raise InputError("too dark")

        finder["does"] = does
        with pytest.raises(InputError, match="made_up, images 0 to 1: too dark"):
            compare_finders(net, images(3).split(2), ["taylor", "made_up"], ablations=())

    def test_other_neurons_are_refused(self, net: cp.Network, finder: dict[str, Any]) -> None:
        finder["does"] = lambda response, sparsity: Pathway(tiny.values_of(torch.ones(3, 4, dtype=torch.bool)))
        with pytest.raises(MismatchError, match=r"made_up, images 0 to 2: .* other neurons"):
            compare_finders(net, images(3), ["made_up"])


class TestOptions:
    def test_labels_seeds_and_connected(self, net: cp.Network) -> None:
        named = {"one": "random", "other": "random", "joined": "taylor"}
        options = {"other": {"seed": 5}, "joined": {"connected": True}}
        found = compare_finders(net, images(2), named, (0.8,), options=options, seed=3, connected=True, ablations=())
        paths = [alone(net, images(2), "random", 0.8, seed=s) for s in (3, 5)]
        paths.append(alone(net, images(2), "taylor", 0.8, connected=True))
        response = respond(net, images(2))
        assert found.finders == ("one", "other", "joined")
        for f, path in enumerate(paths):
            assert torch.allclose(found.at[0].connected[f], connected_part(response, path).size.double() / path.size)
        assert found.at[0].connected[2].tolist() == [1, 1]
        expected = [jaccard(members(paths[0], i), members(paths[1], i)) for i in range(2)]
        assert found.at[0].jaccard[0, 1].tolist() == pytest.approx(expected)

    def test_ablations(self, net: cp.Network) -> None:
        x, kinds = images(4), ("zero", "mean", "resample")
        means = cp.mean_activations(net, [x])
        found = compare_finders(net, x, ["taylor"], ablations=kinds, sizes=SIZES, means=means)
        for kind in kinds:
            elsewhere = means if kind == "mean" else None
            expected = faithfulness(respond(net, x), cp.score(net, x), SIZES, kind, elsewhere)
            assert torch.allclose(found.faithfulness["taylor"][kind].kept, expected.kept)

    def test_resampling_of_single_images_takes_the_one_before(self, net: cp.Network) -> None:
        x = images(3)
        found = compare_finders(net, [x[:2], x[2:]], ["taylor"], ablations=["resample"], sizes=SIZES)
        last, before = respond(net, x[2:]), net.run(x[1:2]).values()
        expected = faithfulness(last, cp.score(net, x[2:]), SIZES, "resample", before)
        assert torch.allclose(found.faithfulness["taylor"]["resample"].kept[2:], expected.kept)
        with pytest.raises(InputError, match="taylor, image 0: ablation='resample'"):
            compare_finders(net, [x[:1]], ["taylor"], ablations=["resample"])

    def test_resampling_of_the_first_image_takes_the_one_after(self, net: cp.Network) -> None:
        x = images(3)
        found = compare_finders(net, iter(x.split(1)), ["taylor"], ablations=["resample"], sizes=SIZES)
        after = net.run(x[1:2]).values()
        expected = faithfulness(respond(net, x[:1]), cp.score(net, x[:1]), SIZES, "resample", after)
        assert torch.allclose(found.faithfulness["taylor"]["resample"].kept[:1], expected.kept)
        assert found.images == 3

    def test_a_response_of_no_class(self, net: cp.Network) -> None:
        found = compare_finders(net, images(2), ["taylor"], target=lambda out: out.sum(1), ablations=())
        assert found.at[0].keeps_class.isnan().all()
        assert "-" in str(found)

    def test_progress_and_one_pass_over_the_data(self, net: cp.Network) -> None:
        told: list[tuple[int, str]] = []
        found = compare_finders(
            net, iter(images(3).split(2)), ["taylor", "active"], ablations=(), progress=lambda *a: told.append(a)
        )
        assert found.images == 3
        assert told == [(0, "taylor"), (0, "active"), (2, "taylor"), (2, "active")]

    def test_tokens_and_no_grad(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
        tokens = torch.randint(9, (2, 3))
        with torch.no_grad():
            found = compare_finders(cp.Network(model), tokens, ["taylor", "random"], (0.5,), sizes=SIZES)
        assert found.at[0].realised.shape == (2, 2)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"finders": []}, "no finder to compare"),
            ({"finders": "taylor"}, "give a list"),
            ({"finders": ["tailor"]}, "Did you mean 'taylor'"),
            ({"sparsities": ()}, "sparsities are empty"),
            ({"sparsities": (1.0,)}, "sparsity is 1.0"),
            ({"ablations": ("none",)}, "no ablation is called"),
            ({"ablations": ("mean",)}, "mean_activations"),
            ({"options": {"taylor": {"step": 1}}}, "does not take the option 'step'"),
            ({"options": {"greedy": {"step": 1}}}, "no finder in this comparison is called 'greedy'"),
            ({"sizes": (0.0,)}, "sizes are"),
        ],
    )
    def test_bad_options(self, net: cp.Network, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(OptionError, match=words):
            compare_finders(net, images(1), **{"finders": ["taylor"], **changes})

    def test_no_images(self, net: cp.Network) -> None:
        with pytest.raises(InputError, match="empty"):
            compare_finders(net, [], ["taylor"])
        with pytest.raises(InputError, match="empty"):
            merged([])

    def test_merging_what_differs(self, net: cp.Network) -> None:
        def total(output: Tensor) -> Tensor:
            return output.flatten(1).sum(1)

        one = compare_finders(net, images(1), ["taylor"], sizes=SIZES)
        for other, words in (
            (compare_finders(net, images(1), ["active"]), "finders"),
            (compare_finders(net, images(1), ["taylor"], (0.5,)), "sparsities"),
            (compare_finders(net, images(1), ["taylor"], ablations=()), "faithfulness"),
            (compare_finders(net, images(1), ["taylor"], sizes=(0.5,)), "sizes"),
            (compare_finders(net, tiny.numbers(1, 2, 6), ["taylor"], target=total), "input shapes"),
        ):
            with pytest.raises(MismatchError, match=words):
                one + other
        with pytest.raises(MismatchError, match="input shapes"):
            compare_finders(net, [images(1), tiny.numbers(1, 2, 6)], ["taylor"], target=total)


class TestScopes:
    """What a finder ranks within sites or channels is ranked so in its curves too."""

    @pytest.mark.parametrize("scope", ["site", "channel"])
    @pytest.mark.parametrize("method", ["taylor", "random", "magnitude"])
    def test_the_ranking_gives_the_pathway_of_any_size(self, method: str, scope: str) -> None:
        kind = tiny.NETWORKS["conv"]
        response = respond(cp.Network(kind.build()), kind.inputs(3))
        parts = {"site": len(response.space), "channel": sum(site.channels for site in response.space)}[scope]
        (found,) = pathways_at(response, method, [0.5], scope=scope)
        assert found.ranking is not None
        for sparsity in (0.5, 0.75):
            wanted = find_in_response(response, method, sparsity, scope=scope)
            for i, size in enumerate(wanted.size.tolist()):
                top = resized(found.pathway, found.ranking, [size] * 3).sample(i)
                apart = int((top ^ wanted.sample(i)).size)
                assert apart <= parts  # half a neuron of each, rounded, on either side
                assert apart < size / 2

    def test_connected_pathways_have_no_ranking(self, net: cp.Network) -> None:
        (found,) = pathways_at(respond(net, images(2)), "taylor", [0.5], connected=True)
        assert found.ranking is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": "a"}, "seed is 'a'"),
        ({"options": {"taylor": 3}}, r"options\['taylor'\] is of type int"),
        ({"finders": "taylor"}, "give a list of names"),
        ({"finders": 3}, "give a list of names"),
    ],
)
def test_bad_options_are_told(net: cp.Network, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compare_finders(net, images(2), **{"finders": ["taylor"], **options})


def test_one_sparsity_may_be_a_number(net: cp.Network) -> None:
    assert compare_finders(net, images(2), ["taylor"], 0.5, ablations=()).sparsities == (0.5,)


def test_a_layer_that_divides_by_nothing_gives_no_number() -> None:
    """Without any neuron the norm is 0, and 0 / 0 is not the floor of anything."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x).relu()
            return self.out(h / h.norm(dim=1, keepdim=True))

    net = cp.Network(tiny.seeded(Normed))
    found = compare_finders(net, tiny.numbers(2, 6), ["taylor"], 0.5)
    assert found.at[0].kept.isnan().all()
    assert found.faithfulness["taylor"]["zero"].floor.isnan().all()
    assert found.at[0].keeps_class.isfinite().all()
