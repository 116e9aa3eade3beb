"""The study of conductance on images: choices against loops, measures of maps, folding and verdicts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.feature_selection import f_classif
from studies.conductance_images import filters, page, selecting, wordnet, work
from studies.conductance_images.fold import greys, kept_of
from studies.conductance_images.selecting import Images, Protocol, selection
from studies.conductance_images.subjects import ALL, OUTPUTS, SUBJECTS, columns_at
from studies.conductance_images.words import FOUR, ROWS, verdict_of
from studies.study import HOLDS, NOT, OPEN, PARTLY
from torch import Tensor

from critpath.evaluation.feature_selection import compare_selection

SITES = ("a",) * 8 + ("b",) * 16


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def images(per_label: int = 20, labels: int = 4) -> Images:
    """Features that tell labels apart at site "b"; importances of two methods."""
    classes = torch.arange(labels).repeat_interleave(per_label)
    means = draws(labels, 24, seed=1) * torch.tensor([0.1] * 8 + [1.5] * 16)
    features = draws(labels * per_label, 24, seed=2) + means[classes]
    importances = {"activation": features, "conductance": draws(labels * per_label, 24, seed=3) + means[classes]}
    return Images(importances, features, classes, SITES)


class TestSelection:
    SETS = ((0, 1, 2), (1, 2, 3))

    def test_the_library_does_the_same(self) -> None:
        given = images()
        accuracies, _ = selection(given, self.SETS, Protocol(), (3, 6), seed=5)
        found = compare_selection(given.importances, given.features, given.labels, self.SETS, (3, 6), seed=5)
        for row in given.importances:
            assert accuracies[row] == pytest.approx(found.of(row).numpy(), abs=1e-4)

    def test_the_library_does_the_same_without_a_penalty(self) -> None:
        given, protocol = images(), Protocol(standardise=False, penalty=0.0)
        accuracies, _ = selection(given, self.SETS, protocol, (3,), shuffled=False)
        options: dict[str, Any] = {"standardise": False, "strength": 0.0}
        found = compare_selection(given.importances, given.features, given.labels, self.SETS, (3,), **options)
        assert accuracies["conductance"] == pytest.approx(found.of("conductance").numpy(), abs=1e-4)

    def test_controls_take_as_many_filters_of_each_site(self) -> None:
        _, shares = selection(images(), self.SETS, Protocol(), (6,))
        assert shares["conductance of its sites, at random"] == pytest.approx(shares["conductance"])
        assert sum(shares["random"].values()) == pytest.approx(1, abs=1e-3)

    def test_the_choice_by_the_task_does_best_on_random_importances(self) -> None:
        given = Images({"conductance": draws(80, 24, seed=9)}, images().features, images().labels, SITES)
        accuracies, _ = selection(given, self.SETS * 4, Protocol(), (3,))
        means = {row: torch.tensor(sets).mean() for row, sets in accuracies.items()}
        assert means["F ratio"] > means["conductance"] + 0.05

    def test_a_split_draws_so_many_of_a_label(self) -> None:
        labels = torch.arange(3).repeat_interleave(90)
        train, held_out = selecting.split(labels, (0, 2), Protocol(), 7)
        assert torch.bincount(labels[train]).tolist() == [30, 0, 30]
        assert torch.bincount(labels[held_out]).tolist() == [20, 0, 20]
        assert not set(train.tolist()) & set(held_out.tolist())


class TestRanks:
    LABELS = torch.tensor([2, 0, 0, 2, 2, 1])

    def test_against_loops(self) -> None:
        values = draws(6, 5)
        means = [[values[label == self.LABELS, i].mean().item() for label in (0, 1, 2)] for i in range(5)]
        assert selecting.signed(values, self.LABELS).tolist() == pytest.approx([max(m) for m in means])
        assert selecting.absolute(values, self.LABELS).tolist() == pytest.approx([max(map(abs, m)) for m in means])
        wanted = [max(m) - sum(m) / 3 for m in means]
        assert selecting.contrast(values, self.LABELS).tolist() == pytest.approx(wanted)

    def test_f_ratio(self) -> None:
        values = draws(6, 5)
        wanted = torch.from_numpy(f_classif(values.numpy(), self.LABELS.numpy())[0]) * (3 - 1) / (6 - 3)
        assert selecting.f_ratio(values, self.LABELS).tolist() == pytest.approx(wanted.tolist())

    def test_scores_by_site(self) -> None:
        found = selecting.scaled_by_site(torch.tensor([1.0, -3.0, 10.0, 0.0]), ("a", "a", "b", "c"))
        assert found.tolist() == [0.5, -1.5, 1.0, 0.0]

    def test_shuffling_stays_in_sites(self) -> None:
        scores = torch.arange(24.0)
        found = selecting.shuffled_in_sites(scores, SITES, 0)
        assert sorted(found[:8].tolist()) == scores[:8].tolist()
        assert sorted(found[8:].tolist()) == scores[8:].tolist()
        assert found.tolist() != scores.tolist()


class TestGroups:
    NOUNS = (
        "  1 a line of the licence",
        "00000001 03 n 01 entity 0 000 | all there is",
        "00000002 03 n 01 dog 0 001 @ 00000001 n 0000 | barks",
        "00000003 03 n 02 corgi 0 Welsh_corgi 0 002 @ 00000002 n 0000 #m 00000001 n 0000 | small",
    )

    def test_hypernyms(self) -> None:
        found = wordnet.parents_of(iter(self.NOUNS))
        assert found == {"n00000001": [], "n00000002": ["n00000001"], "n00000003": ["n00000002"]}

    def test_a_class_is_in_the_first_group_above_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wordnet, "SYNSETS", {"dog": "n00000002", "entity": "n00000001"})
        found = wordnet.grouped(wordnet.parents_of(iter(self.NOUNS)), {7: "n00000003", 9: "n00000001"})
        assert found == {"dog": [7], "entity": [9]}

    def test_no_class_is_in_two(self) -> None:
        classes = [one for group in wordnet.read_groups().values() for one in group]
        assert len(classes) == len(set(classes)) > 400
        assert list(wordnet.read_groups()) == list(wordnet.SYNSETS)


class TestFilters:
    def test_crossing(self) -> None:
        conductance = torch.full((10, 40), -1.0) + draws(10, 40).float() * 0.1
        conductance[:, 3] = 5.0
        found, share = filters.crossing_filters(conductance)
        assert found[0] == 3
        assert share[3] == 1
        assert share.sum() == pytest.approx(filters.TOP)
        assert all(share[i] >= filters.CROSSING for i in found)

    def test_share_for_half(self) -> None:
        rows = torch.tensor([[1.0, -1, 1, -1, 1, -1, 1, -1], [9, 1, 1, 1, 1, 1, 1, 1], [0, 0, -4, 3, 2, 0, 0, 0]])
        assert filters.share_for_half(rows).tolist() == [0.5, 0.125, 0.25]

    def test_properties(self) -> None:
        pixels = torch.zeros(1, 3, 64, 64)
        pixels[0, 0, :, :8] = 1.0
        pixels[0, :, 30:34, 30:34] = 1.0
        assert filters.redness(pixels)[0, 5, 5] == 1
        assert filters.redness(pixels)[0, 31, 31] == 0
        assert filters.glare(pixels)[0, 31, 31] > 0.9
        assert filters.glare(pixels)[0, 5, 5] == 0
        assert filters.glare(torch.ones(1, 3, 64, 64)).abs().max() < 1e-6

    def test_correlation(self) -> None:
        a, b = draws(2, 6, 6), draws(2, 6, 6, seed=1)
        wanted = [
            torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].item() for x, y in zip(a, b, strict=True)
        ]
        assert filters.correlation(a, b).tolist() == pytest.approx(wanted)
        assert filters.correlation(a, torch.ones(6, 6)).tolist() == [0, 0]

    def test_maps_as_text(self) -> None:
        grey = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
        assert greys(filters.as_text(grey), 4) == (grey * 255).round().int().tolist()

    def test_scaled(self) -> None:
        assert filters.scaled(torch.arange(101.0))[[0, 50, 99, 100]].tolist() == pytest.approx([0, 50 / 99, 1, 1])
        assert filters.scaled(torch.zeros(3)).tolist() == [0, 0, 0]

    def test_the_named_classes_are_drawn(self) -> None:
        found = filters.drawn_classes(20, 0)
        assert found[:4] == [933, 931, 299, 380]
        assert len(set(found)) == 20


def test_verdicts_of_differences() -> None:
    def of(*ends: tuple[float, float]) -> str:
        return verdict_of([{"mean": sum(e) / 2, "low": e[0], "high": e[1], "n": 9} for e in ends])

    assert of((0.1, 0.2), (0.3, 0.4)) == HOLDS
    assert of((0.1, 0.2), (-0.3, 0.4)) == of((0.1, 0.2), (-0.3, -0.1), (-0.2, -0.1)) == PARTLY
    assert of((-0.2, -0.1), (-0.3, -0.1), (-0.1, 0.2)) == NOT
    assert of((-0.1, 0.2)) == of((-0.1, 0.2), (-0.3, -0.1)) == OPEN


def variant(own: float, other: float) -> dict[str, Any]:
    """Accuracies of 6 sets around two numbers."""
    noise = (0.02 * draws(6, 4)).round(decimals=4)
    rows = {row: (noise + (own if row == "conductance" else other)).tolist() for row in ROWS}
    controls = {selecting.SHUFFLED.format(row): rows["random"] for row in FOUR}
    stages = {row: dict.fromkeys(SUBJECTS["resnet20"].stages, 0.25) for row in rows}
    return {"accuracy": {**rows, **controls}, "stages": stages}


def a_run(own: float, other: float, sees: float) -> dict[str, Any]:
    names = (ALL, OUTPUTS, *SUBJECTS["resnet20"].stages, *work.PROTOCOLS)
    part = {"images": 500, "labels": list("abcdefghij"), "counts": [5, 10, 15, 20], "sets": []}
    part |= {"filters": dict.fromkeys(SUBJECTS["resnet20"].stages, 16)}
    part |= {"variants": {name: variant(own, other) for name in names}}
    noise = (0.01 * draws(4, 8)).tolist()
    rows = [[sees + v for v in noise[0]], noise[1], noise[2], noise[3]]
    seen = {
        "site": "layer", "filters": 128, "photographs": 8, "top": 10, "half": [0.1] * 8, "units": [3, 4, 5, 6],
        "chosen": {"red": 3, "glare": 3}, "correlation": {"red": rows, "glare": rows},
        "shared": {"most": {"3": 0.5}, "common": [0.2, 0.3], "chance": 0.08, "crossing": 9},
        "pairs": {name: {"filters": [1], "below": [0.99], "best": [[1, 2]]} for name in filters.PAIRS},
        "pictures": {of: {"classes": [1], "side": 2, "maps": ["AAECAw=="]} for of in ("red", "glare")},
    }  # fmt: skip
    error = {"influence": [0.1, 0.2], "conductance": [0.1, 0.3]}
    points = {"points": 16, "many": 128, "error": error, "same": error}
    return {
        "programs": {
            "selection": {"resnet20.zero": part, "resnet20.points": points},
            "filters": {"early": seen, "middle": copy.deepcopy(seen)},
        }
    }


class TestPage:
    def test_verdicts_follow_the_numbers(self) -> None:
        good, bad = (page.claims(kept_of(a_run(*given))) for given in ((0.8, 0.6, 0.5), (0.6, 0.8, -0.5)))
        assert {claim.verdict for claim in good} == {HOLDS}
        about_table = [claim.verdict for claim in bad if claim.source == "C, table 1"]
        assert about_table == [NOT] * len(about_table)
        assert {c.verdict for c in bad if c.source in ("C, figure 1", "C, figure 2")} == {NOT}
        assert "+0.20 [" in good[0].measured

    def test_every_figure_that_is_shown_is_made(self) -> None:
        results = kept_of(a_run(0.8, 0.6, 0.5))
        said = "\n".join(page.sections(results))
        made = page.figures(results)
        assert made
        assert all(f"images/study-conductance-images-{name})" in said for name in made)
        assert said.count("](images/") == len(made)

    def test_results_of_a_part_of_the_plan(self) -> None:
        results = kept_of({"programs": {"filters": a_run(0.8, 0.6, 0.5)["programs"]["filters"]}})
        assert page.claims(results)
        assert list(page.sections(results))
        assert page.figures(results)


def test_a_network(assets: Path) -> None:
    found = work.run(
        "resnet20.zero", networks={"resnet20": {"kinds": ["zero"], "per_label": 3, "points": 3}}, sets=2, variants=1
    )
    stages = SUBJECTS["resnet20"].stages
    assert found["filters"] == {"stem": 16, "stage 1": 96, "stage 2": 192, "stage 3": 384}
    assert set(found["variants"]) == {ALL, OUTPUTS, *stages, *work.PROTOCOLS, work.MAXIMUM, work.ALIKE}
    shares = found["variants"]["stage 2"]["stages"]["conductance"]
    assert shares == {"stem": 0, "stage 1": 0, "stage 2": 1, "stage 3": 0}


def test_candidates() -> None:
    subject = SUBJECTS["squeezenet"]
    sites = ["features.1#0", "features.3.squeeze_activation#0", "features.12.expand1x1_activation#0", "classifier.2#0"]
    assert columns_at(sites, subject.candidates()[ALL]) == [0, 1, 2]
    assert columns_at(sites, subject.candidates()[OUTPUTS]) == [2]
    assert subject.stage_of("features.12.expand1x1_activation#0") == "fire 6 to 9"
    assert columns_at(["relu#0", "layer4.1.relu#0", "layer4.1.relu#1"], SUBJECTS["resnet18"].outputs) == [2]
