"""The study of remove and retrain: the fold, differences, verdicts, the page, and ResNet-8."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from scipy.stats import spearmanr, ttest_ind
from studies.data import cifar10_test
from studies.networks import resnet8
from studies.roar import maps, page, published, verdicts
from studies.study import HOLDS, NOT, OPEN, Estimate
from tests import tiny

import critpath as cp
from critpath.evaluation.retraining import ResNet8, Split, accuracy_of, papers_recipe, roar_area, t_estimate
from studies import differences, trained


def of(values: list[float]) -> Estimate:
    """A mean with its t interval."""
    found = t_estimate(torch.tensor(values))
    return {"mean": float(found.mean), "low": float(found.low), "high": float(found.high), "n": found.n}


# ------------------------------------------------------------------------------------------------- differences
def test_a_difference_is_that_of_two_samples() -> None:
    one, other = [0.50, 0.53, 0.54], [0.60, 0.62, 0.66]
    found = differences.difference_of_seeds(of(one), of(other))
    low, high = ttest_ind(one, other).confidence_interval(0.95)
    assert [found["low"], found["high"]] == pytest.approx([low, high])
    assert found["mean"] == pytest.approx(-0.1033, abs=1e-4)


def test_a_difference_without_intervals() -> None:
    single: Estimate = {"mean": 0.5, "low": None, "high": None, "n": 1}
    nothing: Estimate = {"mean": None, "low": None, "high": None, "n": 0}
    for of_two in (differences.difference, differences.difference_of_seeds):
        assert of_two(single, single) == {"mean": 0.0, "low": None, "high": None, "n": 1}
        assert of_two(single, nothing)["mean"] is None


def test_a_difference_of_unequal_samples() -> None:
    one, other = [0.50, 0.53, 0.54], [0.60, 0.62]
    found = differences.difference_of_seeds(of(one), of(other))
    low, high = ttest_ind(one, other).confidence_interval(0.95)
    assert [found["low"], found["high"], found["n"]] == pytest.approx([low, high, 2])


def test_a_difference_of_other_images() -> None:
    one: Estimate = {"mean": 0.5, "low": 0.4, "high": 0.7, "n": 9}
    other: Estimate = {"mean": 0.1, "low": -0.1, "high": 0.4, "n": 9}
    found = differences.difference(one, other)
    assert (found["low"], found["high"]) == (pytest.approx(0.4 - 0.1 * 10**0.5), pytest.approx(0.4 + 0.2 * 2**0.5))
    assert differences.difference(one, {**other, "high": None})["low"] is None


# ------------------------------------------------------------------------------------------------- published
def test_the_published_areas_are_those_of_the_published_accuracies() -> None:
    for method, accuracies in published.ACCURACIES.items():
        area = float(roar_area(published.SHARES, torch.tensor(accuracies, dtype=torch.float64), published.BASE))
        assert int(1000 * area) / 1000 == published.AREAS[method]  # table 1 cuts off after three decimals


# ------------------------------------------------------------------------------------------------- the page
def run_like_the_papers(turned: bool = False) -> dict[str, Any]:
    """As `critpath show --json` would print it; ``turned``: good maps are bad ones."""
    highest = max(published.AREAS.values())
    areas = {m: highest - a + 0.3 if turned else a for m, a in published.AREAS.items()}
    own = {
        "prunegrad": 0.9 if turned else 0.6,
        "prunegrad-mid": 0.9 if turned else 0.52,
        "random": 0.2 if turned else 0.79,
    }
    rows = [_row(m, area, own["random"]) for m, area in {**areas, **own}.items()]
    curves = [{"method": m, "values": [_ends(0.84), _ends(a), _ends(a)]} for m, a in {**areas, **own}.items()]
    roar = {
        "kind": "roar",
        "metric": "roar",
        "seeds": [0, 1, 2],
        "rows": rows,
        "figures": [{"places": [0.0, 0.3, 0.9], "curves": curves}],
        "settings": [["recipe", "width 16"], ["shares", "0.3, 0.9"], ["seeds", "0, 1, 2"]],
    }
    fidelity = {"kind": "f_fidelity", "metric": "fidelity", "rows": [_row(m, 1 - a, 0.5) for m, a in areas.items()]}
    return {"tables": [roar, fidelity], "provenance": [["Data train", "4,000 images of x"], ["Device", "cpu"]]}


def _ends(mean: float, half: float = 0.001) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _row(method: str, mean: float, random: float) -> dict[str, Any]:
    less = None if method == "random" else _ends(mean - random)
    return {"method": method, "n": 3, "values": [_ends(mean)], "to_reference": less}


def test_the_papers_numbers_hold() -> None:
    results = page.kept(run_like_the_papers())
    assert {c.verdict for c in page.claims(results)} == {HOLDS}


def test_turned_round_they_do_not() -> None:
    results = page.kept(run_like_the_papers(turned=True))
    found = [claim.verdict for claim in page.claims(results)]
    assert HOLDS not in found
    assert found.count(NOT) >= 4


def test_a_single_seed_decides_nothing() -> None:
    run = run_like_the_papers()
    for row in run["tables"][0]["rows"]:
        row["n"] = 1
        for value in (*row["values"], row["to_reference"] or {}):
            value.update(low=None, high=None)
    assert {c.verdict for c in page.claims(page.kept(run)) if "F-Fidelity" not in c.claim} == {OPEN}


def test_keep_and_retrain_stands_beside() -> None:
    run = run_like_the_papers()
    kar = {**run["tables"][0], "metric": "kar", "rows": [_row(m, 0.9, 0.5) for m in published.AREAS]}
    both = page.kept({**run, "tables": [*run["tables"], kar]})
    assert {name: part for name, part in both.items() if name != "kar"} == page.kept(run)
    assert both["kar"]["areas"]["gradient"]["mean"] == 0.9
    assert "## Keep and retrain" in "\n".join(page.sections(both))


def test_a_run_that_is_not_at_its_end() -> None:
    """The random maps are retrained last; of the second method one seed is there, and no area."""
    run = run_like_the_papers()
    roar = run["tables"][0]
    roar["rows"] = [{**row, "to_reference": None} for row in roar["rows"][:2]]
    roar["rows"][1].update(n=1, values=[{"mean": None, "low": None, "high": None}])
    roar["figures"][0]["curves"] = roar["figures"][0]["curves"][:2]
    roar["figures"][0]["curves"][1]["values"][2] = {"mean": None, "low": None, "high": None}
    results = page.kept(run)
    assert [claim.asked_here for claim in page.claims(results)] == [True]
    text = "\n".join(page.sections(results))
    assert "- Not retrained: GradCAM, InputMCT," in text
    assert re.search(r"\| GBP \| 0.702 \| 0.\d+ \| n/a \| n/a \| 1 \|", text)
    assert set(page.figures(results)) == {"curves.svg", "areas.svg"}


def test_fewer_methods() -> None:
    run = run_like_the_papers()
    for table in run["tables"]:
        table["rows"] = [r for r in table["rows"] if r["method"] in ("gradient", "gradcam", "neuron-mct", "random")]
    claims = page.claims(page.kept(run))
    assert not any("order of" in claim.claim for claim in claims)
    assert any("GradCAM" in claim.claim for claim in claims)


def test_the_order_is_spearmans() -> None:
    one, other = [0.3, 0.1, 0.2, 0.9, 0.5], [0.2, 0.3, 0.1, 0.8, 0.9]
    assert verdicts.spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)


def test_the_page() -> None:
    results = page.kept(run_like_the_papers())
    text = "\n".join(page.sections(results))
    assert "| NeuronMCT | 0.580 | 0.565 | 0.580 [0.579, 0.581] | -0.210 [-0.211, -0.209] | 3 |" in text
    assert "| GradCAM | 0.700 / 0.584 [0.583, 0.585] | 0.476 / 0.584 [0.583, 0.585] |" in text
    assert "4,000 for training" in text
    files = page.figures(results)
    assert {name for name in files if f"study-roar-{name}" in text} == set(files)


def test_plans_name_the_papers_rows() -> None:
    folder = Path(page.__file__).parent
    plans = {name: yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("small", "cpu", "full")}
    for name, plan in plans.items():
        assert set(plan["methods"]) <= set(published.NAMES)
        assert name == "small" or set(plan["methods"]) == set(published.NAMES)
    full = plans["full"]["metrics"]["roar"]
    assert (full["shares"], full["seeds"], full.get("recipe")) == ([0.1, 0.3, 0.5, 0.7, 0.9], [0, 1, 2], None)


# ------------------------------------------------------------------------------------------------- maps and ResNet-8
def test_neuron_intgrad_maps() -> None:
    model = tiny.seeded(lambda: ResNet8(4, 3, 4)).eval()
    x = tiny.numbers(2, 3, 8, 8)
    target = model(x).argmax(dim=1)
    found = maps.neuron_intgrad(model)(x, target)
    net = cp.Network(model)
    scores = cp.score(net, x, "intgrad", target=target, points=maps.POINTS)
    wanted = cp.attribute(net, x, "pathway_gradient", target=target, pathway=cp.select(scores, sparsity=0.8))
    assert torch.equal(found, wanted)


def test_normalised_images_are_what_the_model_takes() -> None:
    images = torch.randint(256, (2, 32, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = trained.normalised(images, torch.tensor([1, 2]))
    mean, std = torch.tensor(trained.MEAN), torch.tensor(trained.STD)
    torch.testing.assert_close(found.x[1, :, 3, 5], (images[1, 3, 5] / 255 - mean) / std)
    assert found.y.tolist() == [1, 2]


def test_training_happens_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def train(file: Path) -> None:
        calls.append(file)
        file.write_bytes(b"")
        file.with_suffix(".json").write_text(json.dumps({"recipe": trained._recipe(), "seed": trained.SEED}))

    monkeypatch.setattr(trained, "_train", train)
    assert trained.resnet8_file(tmp_path) == trained.resnet8_file(tmp_path) == tmp_path / "resnet8.safetensors"
    assert len(calls) == 1
    monkeypatch.setattr(trained, "RECIPE", papers_recipe(10, epochs=3))
    assert trained.resnet8_file(tmp_path) == trained.resnet8_file(tmp_path)
    assert len(calls) == 2


def test_a_small_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the size."""
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (80, 32, 32, 3), generator=draws, dtype=torch.uint8)
    monkeypatch.setattr(trained, "cifar10_train", lambda: (images, torch.arange(80) % 10))
    monkeypatch.setattr(trained, "cifar10_test", lambda: (images[:20], torch.arange(20) % 10))
    monkeypatch.setattr(trained, "RECIPE", papers_recipe(10, width=2, epochs=1, precision="bfloat16"))
    file = trained.resnet8_file(tmp_path)
    told = json.loads(file.with_suffix(".json").read_text())
    assert (told["train"], told["validation"], told["recipe"]["epochs"]) == (70, 10, 1)
    assert 0 <= told["accuracy"] <= 1


def test_the_trained_network(assets: Path) -> None:
    if not (trained.FOLDER / "resnet8.safetensors").exists():
        pytest.skip("ResNet-8 is not trained yet: python -m studies.trained")
    loaded = resnet8()
    images, labels = cifar10_test()
    x, y = trained.normalised(images[::50], labels[::50])
    assert isinstance(loaded.model, ResNet8)
    assert accuracy_of(loaded.model, Split(x, y)) == pytest.approx(trained.resnet8_facts()["accuracy"], abs=0.1)
