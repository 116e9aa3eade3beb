"""The arithmetic of the study of faults, and its measurements on small numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from studies.faults import maps, sanity, texts, work
from studies.faults.claims import claims
from studies.faults.paths import shares_of_sites
from studies.faults.subjects import subject
from studies.folded import estimated, joined
from studies.folders import Study
from studies.plain import plain
from studies.study import HOLDS, NOT, OPEN, PARTLY, Estimate


class TestTexts:
    def test_chance_of_independent_sets(self) -> None:
        generator = torch.Generator().manual_seed(0)
        a, b = (torch.rand(200_000, generator=generator) < share for share in (0.3, 0.1))
        assert texts.chance(0.3, 0.1) == pytest.approx(float((a & b).sum() / (a | b).sum()), abs=0.002)

    def test_share_is_the_inverse(self) -> None:
        assert texts.share_of(texts.chance(0.37, 0.1), 0.1) == pytest.approx(0.37)

    def test_labels(self) -> None:
        found = texts.labels()
        assert found["off chance"]["GreedyPruning"] < 5e-5 < 0.01 < found["off chance"]["Random"]
        assert found["share of greedy"] == pytest.approx(0.789, abs=5e-4)
        assert found["share of DGR(init=r)"] == pytest.approx(0.0282, abs=5e-5)

    def test_areas_are_trapezoids(self) -> None:
        values = texts.published.LERF_STEPS["CIFAR-10"]["Gradient"]
        expected = torch.trapezoid(torch.tensor([0, *values]), dx=0.01)
        assert texts.areas()["CIFAR-10"]["Gradient"] == pytest.approx(float(expected))

    def test_one_row_is_copied(self) -> None:
        assert texts.copied()["equal"] == ["NeuronIntGrad"]

    def test_cut_explains_every_cell(self) -> None:
        found = texts.truncated()
        assert (found["cut fits"], found["cells"]) == (21, 21)
        assert found["rounding fits"] + len(found["differ"]) == 21
        assert found["differ"]

    def test_samples(self) -> None:
        found = texts.samples()
        assert found["best"] == [1416]
        assert (found["fit half"], found["cells"]) == (16, 16)
        assert found["fit stated"] < 3

    def test_examples(self) -> None:
        found = texts.examples()
        meant = {"gradient x activation": 0.0, "conductance": 1.0}
        assert found["saturation, min"] == pytest.approx(meant, abs=1e-3)
        assert found["saturation, max"]["gradient x activation"] == pytest.approx(2)
        assert found["overshoot, 1 + ε"] == pytest.approx({"gradient x activation": 1.1, "conductance": 0.1}, abs=1e-3)
        assert found["overshoot, 1 - ε"] == {"gradient x activation": 0, "conductance": 0}
        assert found["roots"] == pytest.approx({"hidden integral": 1 / 3, "conductance": 1 / 2}, abs=1e-3)


IMAGES = {"integrals.resnet20": 25, "maps.squeezenet": 5}


class TestParts:
    def test_names(self) -> None:
        names = work.parts(images=IMAGES, seed=0)
        assert names == [
            "texts",
            "integrals.resnet20.000",
            "integrals.resnet20.001",
            "maps.squeezenet.000",
            "maps.squeezenet.001",
        ]

    def test_texts_need_no_image(self) -> None:
        assert work.run("texts", images={}, seed=0)["samples"]["half"] == 1416


class TestMeasured:
    def test_calls(self, assets: Path) -> None:
        found = shares_of_sites(subject("resnet20", slice(0, 1), 0))
        assert (found["calls"], found["modules"]) == (19, 10)

    def test_images_are_those_of_the_seed(self, assets: Path) -> None:
        first, second = (subject("resnet20", part, 0).x for part in (slice(0, 4), slice(2, 4)))
        assert torch.equal(first[2:], second)
        assert not torch.equal(first[:2], subject("resnet20", slice(0, 2), 1).x)

    def test_maps(self, assets: Path) -> None:
        found = maps.measured(subject("resnet20", slice(0, 3), 0))
        gradient, random = found["lerf"]["Gradient"], found["eight bits"]["random"]
        assert torch.allclose(gradient["change"], gradient["released"] - gradient["right"])
        assert (random["same"]["0.5"] > 0.9).all()
        assert found["zeroed"]["cosine"].shape == (3,)

    def test_sanity(self, assets: Path) -> None:
        found = sanity.measured(subject("resnet20", slice(0, 2), 0), sanity.STAGES["resnet20"])
        again = found["class re-picked"]["Gradient"]["linear"]
        right = found["right"]["Gradient"]["linear"]
        assert torch.allclose(again["ssim, change"], again["ssim"] - right["ssim"])
        assert list(found["right"]["GBP"]) == ["linear", "layer3", "layer2", "layer1", "conv1 + bn1"]


class TestFolded:
    def test_plain(self) -> None:
        found = plain({"a": torch.tensor([1.23456789, float("nan")]), 3: (1, "x", None)})
        assert found == {"a": [1.2346, None], "3": [1, "x", None]}

    def test_joined(self) -> None:
        parts = [{"a": [1.0], "b": {"c": [2.0]}, "n": 7}, {"a": [3.0, 4.0], "b": {"c": []}, "n": 7}]
        assert joined(parts) == {"a": [1, 3, 4], "b": {"c": [2]}, "n": 7}

    def test_estimated(self) -> None:
        found = estimated({"a": [1.0, 3.0, None], "names": ["x"], "n": 7}, whole=("names",))
        assert found["a"]["mean"] == 2
        assert found["a"]["n"] == 2
        assert (found["names"], found["n"]) == (["x"], 7)


def kept() -> dict[str, Any]:
    return copy.deepcopy(Study("faults").kept())


def verdict(results: dict[str, Any], words: str) -> str:
    (found,) = (claim.verdict for claim in claims(results) if words in claim.claim)
    return found


def of(mean: float, half: float = 0.001) -> Estimate:
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": 9}


class TestVerdictsFollowTheNumbers:
    def test_paths_of_the_asked_size(self) -> None:
        results = kept()
        for percent in (50, 70, 90):
            results["selections.squeezenet"][f"ties, {percent} %"]["kept, released"] = of(1 - percent / 100)
        for network in ("resnet8", "resnet20"):
            results[f"integrals.{network}"]["calls"]["kept, released"] = of(0.1)
            results[f"integrals.{network}"]["alphas"]["jaccard"] = of(0.99)
        results["gates.resnet20"]["ties of gates"]["kept, released"] = of(0.1)
        for words in ("A percentile", "on ResNet-8", "equation 4", "DGR(init=r)"):
            assert (verdict(kept(), words), verdict(results, words)) in ((NOT, HOLDS), (PARTLY, HOLDS))

    @pytest.mark.parametrize(
        ("signed", "wanted"), [(of(0.07, 0.01), OPEN), (of(0.01), HOLDS), (of(0.2), NOT)], ids=("near", "less", "more")
    )
    def test_signed_ranks_against_random_maps(self, signed: Estimate, wanted: str) -> None:
        results = kept()
        for network in ("resnet20", "squeezenet"):
            for row in results[f"maps.{network}"]["lerf"].values():
                row["released"] = signed
            results[f"maps.{network}"]["lerf"]["random"]["right"] = of(0.1, 0.05)
        assert verdict(results, "LeRF tells maps") == wanted

    def test_both_maps_have_to_lose_their_likeness(self) -> None:
        for method in ("Gradient", "NeuronMCT"):
            results = kept()
            *_, last = results["sanity.resnet20"]["class re-picked"][method].values()
            last["spearman"] = of(-0.6)
            assert (verdict(kept(), "re-picked"), verdict(results, "re-picked")) == (HOLDS, PARTLY)

    def test_the_worked_examples(self) -> None:
        results = kept()
        found = results["texts"]["examples"]
        found["saturation, max"]["gradient x activation"] = 0.0
        found["overshoot, 1 - ε"]["gradient x activation"] = 1 - found["ε"]
        found["roots"]["hidden integral"] = 2 / 3
        assert (verdict(kept(), "worked examples"), verdict(results, "worked examples")) == (PARTLY, HOLDS)
