"""The study of PruneGrad: what a part computes against loops, the fold, and the verdicts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from studies.prunegrad import fold, page, radii, verdicts, work
from studies.study import HOLDS, NOT, OPEN, PARTLY, estimate
from studies.trained import FOLDER
from tests import tiny
from torch import Tensor, nn

import critpath as cp
from critpath.response import Response

SPARSITIES = (0.0, 0.1, 0.6, 0.9)


def layers() -> nn.Sequential:
    two = (nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU())
    return nn.Sequential(*two, nn.Flatten(), nn.Linear(6 * 64, 4))


def network() -> nn.Sequential:
    model = tiny.seeded(layers).double().eval()
    assert isinstance(model, nn.Sequential)
    return model


def images(n: int = 3) -> Tensor:
    return tiny.numbers(n, 3, 12, 12)


# ------------------------------------------------------------------------------------------------- a part
def pruned_scores(model: nn.Sequential, x: Tensor, kept: list[Tensor]) -> Tensor:
    first = model[1](model[0](x)) * kept[0]
    return torch.as_tensor(model[5](model[4](model[3](model[2](first)) * kept[1])))


@pytest.mark.parametrize("probability", [True, False])
def test_changes_by_hand(probability: bool) -> None:
    model, x = network(), images()
    net = cp.Network(model)
    found = work.changes(net, x, SPARSITIES, probability)
    for i, image in enumerate(x):
        one = image[None]
        label = int(model(one).argmax())
        scores = cp.score(net, one, "taylor", target=label)
        for row, sparsity in enumerate(SPARSITIES):
            path = cp.select(scores, sparsity=sparsity)
            with torch.no_grad():
                both = [model(one)[0], pruned_scores(model, one, [t[0] for t in path.keep.tensors])[0]]
            before, after = (float((s.softmax(0) if probability else s)[label]) for s in both)
            assert found["change"][row][i] == pytest.approx(abs(after - before) / abs(before), abs=1e-9)
            assert found["realised"][row][i] == pytest.approx(float(path.sparsity))
            assert found["keeps"][row][i] == float(int(both[1].argmax()) == label)
    zero = [(a <= 0).double().flatten(1).mean(dim=1) for a in (model[:2](x), model[:4](x))]
    sizes = (6 * 100, 6 * 64)
    assert found["dead"] == pytest.approx((sum(z * s for z, s in zip(zero, sizes, strict=True)) / sum(sizes)).tolist())


def test_maps_are_compared_with_the_gradient() -> None:
    found = work.changes(cp.Network(network()), images(), SPARSITIES)
    assert found["likeness"][0] == pytest.approx([1.0] * 3)  # what has a score of 0 passes no gradient on
    assert max(found["likeness"][-1]) < 0.99
    assert work.changes(cp.Network(network()), images(), SPARSITIES, maps=False)["likeness"] == []


def test_a_pathway_that_is_the_same_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    net, runs = cp.Network(network()), 0
    wanted = work.changes(net, images(), (0.05, 0.7), maps=False)
    pruned = Response.pruned

    def counted(self: Response, *given: Any, **more: Any) -> Response:
        nonlocal runs
        runs += 1
        return pruned(self, *given, **more)

    monkeypatch.setattr(Response, "pruned", counted)
    found = work.changes(net, images(), (0.0, 0.05, 0.7), maps=False)  # below the dead share the same are left out
    assert found["change"] == [wanted["change"][0], *wanted["change"]]
    assert runs == 2


def test_parts_cover_all_images_once() -> None:
    parts = work.parts(photographs=10, cifar=120, chunk=4)
    assert [p for p in parts if p.startswith("vgg16")] == ["vgg16.0", "vgg16.4", "vgg16.8"]
    assert [p for p in parts if p.startswith("resnet8.")] == ["resnet8.0", "resnet8.100"]
    assert len(set(parts)) == len(parts) == 3 * 3 + 2


# ------------------------------------------------------------------------------------------------- the fold
def chunk(name: str, change: list[list[float]], dead: float = 0.4) -> dict[str, Any]:
    n = len(change[0])
    rows = [[1.0] * n for _ in change]
    given = {"realised": rows, "keeps": rows, "likeness": [[0.8] * n for _ in change]}
    sparsities = list(work.SPARSITIES) if len(change) == len(work.SPARSITIES) else [0.1 * i for i in range(len(change))]
    return {"network": name, "sparsities": sparsities, "change": change, "dead": [dead] * n, **given}


def test_chunks_are_put_together() -> None:
    parts = [chunk("a", [[0.0], [0.2]]), chunk("b", [[0.5], [0.5]]), chunk("a", [[0.1, 0.2], [0.4, 0.6]])]
    found = fold.networks(parts)
    assert found["a"]["images"] == 3
    assert found["a"]["change"][1] == estimate([0.2, 0.4, 0.6])
    assert found["b"]["change"][0]["mean"] == 0.5


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ([[0.0], [0.1], [0.2]], 0.15),
        ([[0.0], [0.3], [0.0]], 0.05),
        ([[0.0], [0.1], [0.1]], 0.2),
        ([[0.2], [0.3], [0.4]], 0.0),
    ],
)
def test_where_the_change_exceeds_the_allowed_one(change: list[list[float]], wanted: float) -> None:
    found = fold.crossing((0.0, 0.1, 0.2), torch.tensor(change, dtype=torch.float64))
    assert found == {"mean": pytest.approx(wanted), "low": None, "high": None, "n": 1}


def test_the_crossing_has_an_interval() -> None:
    change = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.4, 0.3]], dtype=torch.float64)
    found = fold.crossing((0.0, 0.1, 0.2), change)
    low, high = found["low"], found["high"]
    assert low == pytest.approx(0.075)  # the first image alone
    assert high == pytest.approx(0.15)  # the second alone
    assert found["mean"] == pytest.approx(0.12)


# ------------------------------------------------------------------------------------------------- verdicts
def table(values: dict[str, float], random: float, half: float = 0.01, better: str = "lower") -> dict[str, Any]:
    def of(mean: float) -> dict[str, Any]:
        return {"mean": mean, "low": mean - half, "high": mean + half, "n": 50}

    return {
        "column": "area",
        "better": better,
        "rows": {m: of(v) for m, v in {**values, "random": random}.items()},
        "to_random": {m: of(v - random) for m, v in values.items()},
    }


METHODS = ("gradient-0", "gradient-dead", "gradient-80", "gradient-95", "pgd-0", "pgd-dead", "pgd-80", "pgd-95")


def results() -> dict[str, Any]:
    """As the paper has it."""
    grid = work.SPARSITIES
    change = [[max(0.0, (s - 0.4) / 2), max(0.0, (s - 0.4) / 2)] for s in grid]
    change[grid.index(0.5)] = [0.0, 0.0]
    change[grid.index(0.85)] = [0.3, 0.4]
    nets = fold.networks([chunk(name, change, 0.5) for name in ("resnet50", "resnet8", "vgg16")])
    layers = {m: 0.02 for m in verdicts.LAYERS if m not in ("random",)}
    areas = dict(zip(METHODS, (0.7, 0.7, 0.5, 0.6, 0.9, 0.7, 0.5, 0.6), strict=True))
    return {
        "networks": nets,
        "layers": {"lerf": table(layers, 0.06), "morf": table(layers, 0.01, better="higher")},
        "sparsities": {"lerf": table(areas, 0.95)},
        "radii": fold.radii([radius(0.1, [0.9, 0.8]), radius(0.1, [0.7])]),
        "explained": {},
    }


def radius(size: float, both: list[float]) -> dict[str, Any]:
    columns = [f"{m} {what}" for m in ("pgd-0", "pgd-dead") for what in ("gradient", "lerf", "morf")]
    return {"radii": [{"radius": size, "both": both, **dict.fromkeys(columns, both)}]}


def by_claim(given: dict[str, Any]) -> dict[str, str]:
    return {claim.claim: claim.verdict for claim in page.claims(given)}


def verdict(given: dict[str, Any], words: str) -> str:
    (found,) = (v for claim, v in by_claim(given).items() if words in claim)
    return found


def test_all_that_can_hold_holds() -> None:
    assert set(by_claim(results()).values()) == {HOLDS, "not comparable"}


def test_the_budget_fails() -> None:
    given = results()
    given["networks"]["resnet50"]["crossing"] = {"mean": 0.55, "low": 0.52, "high": 0.58, "n": 9}
    assert verdict(given, "sparsity of 70 %") == NOT
    given["networks"]["resnet50"]["crossing"] = {"mean": 0.6, "low": 0.5, "high": 0.8, "n": 2}
    assert verdict(given, "sparsity of 70 %") == OPEN


def test_half_of_the_neurons_and_excess() -> None:
    given = results()
    given["networks"]["vgg16"]["change"][work.SPARSITIES.index(0.5)] = estimate([0.1, 0.2])
    given["networks"]["vgg16"]["change"][work.SPARSITIES.index(0.85)] = estimate([0.1, 0.1])
    assert verdict(given, "half of the neurons") == PARTLY
    assert verdict(given, "above 80 %") == PARTLY


def test_what_an_interval_leaves_open_is_not_refuted() -> None:
    given = results()
    wide = {"mean": 0.15, "low": 0.05, "high": 0.3, "n": 9}
    for net in given["networks"].values():
        net["change"][work.SPARSITIES.index(0.85)] = wide
        net["change"][work.SPARSITIES.index(0.5)] = {"mean": 0.005, "low": 0.0, "high": 0.02, "n": 9}
        net["likeness"][work.SPARSITIES.index(0.7)] = {"mean": 0.88, "low": 0.8, "high": 0.95, "n": 9}
    for words in ("above 80 %", "half of the neurons", "local sensitivity"):
        assert verdict(given, words) == OPEN
    for row in given["sparsities"]["lerf"]["rows"].values():
        row.update(low=row["mean"] - 0.3, high=row["mean"] + 0.3)
    assert verdict(given, "about as good as PrunePGD") == OPEN


def test_figure_7_turned_round() -> None:
    given = results()
    rows = given["sparsities"]["lerf"]["rows"]
    rows["gradient-80"], rows["gradient-0"] = rows["gradient-0"], rows["gradient-80"]
    assert verdict(given, "minimal importance") == NOT
    assert verdict(given, "about as good as PrunePGD") == PARTLY
    given["sparsities"]["fidelity"] = copy.deepcopy(given["sparsities"]["lerf"])  # of which a high number is good
    assert verdict(given, "minimal importance") == PARTLY


def test_the_dead_make_no_difference() -> None:
    given = results()
    rows = given["sparsities"]["lerf"]["rows"]
    rows["pgd-dead"] = rows["pgd-0"]
    assert verdict(given, "without its dead neurons") == OPEN


def test_maps_that_are_the_same() -> None:
    given = results()
    assert given["radii"][0]["both"] == estimate([0.9, 0.8, 0.7])
    given["radii"] = fold.radii([radius(0.1, [0.998, 0.996])])
    assert verdict(given, "without its dead neurons") == NOT


def test_in_a_small_ball_the_adversarial_change_is_the_gradient(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radii, "RADII", (0.1, 20.0))
    monkeypatch.setattr(radii, "STEPS", 8)
    if not (FOLDER / "resnet8.safetensors").exists():
        pytest.skip("ResNet-8 is not trained yet: python -m studies.trained")
    near, *_, far = radii.run("0", images=2, chunk=2)["radii"]
    assert min(near["pgd-0 gradient"]) > 0.97 > max(far["pgd-0 gradient"])


def test_the_page() -> None:
    given = results()
    text = "\n".join(page.sections(given))
    assert "| ResNet-50 | 2 | 0.50 [0.50, 0.50] | 0.70 | 0.70 " in text
    assert "| PruneGrad 50* | 0.7000 [0.6900, 0.7100] | -0.2500 " in text
    files = page.figures(given)
    assert {name for name in files if f"study-prunegrad-{name}" in text} == set(files)
    assert all(data.startswith(b"<svg ") for data in files.values())


def test_what_is_kept_of_a_run() -> None:
    value = {"mean": 1.0, "low": 0.5, "high": None}
    row = {"method": "gradient-0", "n": 4, "values": [value, value], "to_reference": None}
    one = {"metric": "lerf", "columns": ["area", "other"], "better": "lower", "rows": [row]}
    run = {
        "tables": [{**one, "evaluation": "sparsities"}, {**one, "evaluation": "layers", "metric": "morf"}],
        "agreements": [{"names": ["a", "b"], "n": 4, "values": [[value, value], [value, value]]}],
        "programs": {"changes": {"a.0": chunk("a", [[0.1], [0.3]])}, "radii": {"0": radius(0.1, [0.5])}},
    }
    found = page.kept(run)
    assert found["sparsities"]["lerf"]["rows"]["gradient-0"] == {**value, "n": 4}
    assert found["sparsities"]["lerf"]["to_random"]["gradient-0"]["mean"] is None
    assert list(found["layers"]) == ["morf"]
    assert found["alike"] == {"a": {"b": {**value, "n": 4}}, "b": {"a": {**value, "n": 4}}}
    assert found["networks"]["a"]["crossing"]["mean"] == pytest.approx(0.025)


def test_plans_name_what_the_page_reads() -> None:
    for name in ("small", "cpu", "full"):
        plan = yaml.safe_load((Path(page.__file__).parent / f"{name}.yaml").read_text())
        layers, sparsities = plan["evaluations"]
        assert set(layers["methods"]) == set(verdicts.LAYERS)
        assert set(METHODS) < set(sparsities["methods"])
        assert work.parts(**plan["programs"]["changes"]["options"])


# ------------------------------------------------------------------------------------------------- real networks
def test_a_part_of_squeezenet(assets: Path) -> None:
    found = work.run("squeezenet1_1.0", photographs=1, cifar=1, chunk=1)
    assert len(found["change"]) == len(work.SPARSITIES)
    at_half, at_most = found["change"][work.SPARSITIES.index(0.5)][0], found["change"][-1][0]
    assert at_half < 1e-5 < 0.9 < at_most
    assert 0.3 < found["dead"][0] < 0.8
