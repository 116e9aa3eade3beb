"""``compare_pathways`` on tiny networks: the page's content against the numbers that it is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor, nn

import critpath as cp
from critpath.comparison import CONTROLS, PathwayComparison, check_pathways, compare_pathways, step_count
from critpath.errors import CritpathError, InputError, OptionError, TargetError

OPTIONS = {"greedy": {"step": 0.2}, "dgr": {"iterations": 3}, "intgrad": {"points": 2}}


def network(seed: int = 0) -> cp.Network:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 6)
    )
    return cp.Network(model.double().eval())


def images(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def found() -> PathwayComparison:
    finders = ["taylor", "intgrad", "greedy", "dgr"]
    return compare_pathways(
        network(), images(5).split(2), finders, 0.75, sparsities=[0.5], options=OPTIONS, decode=1, decode_steps=2,
        titles=("a.png", "b.png"), classes=tuple("uvwxyz"), notes=(("Licence", "MIT"),),
    )  # fmt: skip


def test_controls_are_always_compared_with(found: PathwayComparison) -> None:
    names = [finder.name for finder in found.content.finders]
    assert names == ["taylor", "intgrad", "greedy", "dgr", "random", "magnitude"]
    assert [finder.name for finder in found.content.finders if finder.control] == list(CONTROLS)
    own = compare_pathways(network(), images(2), ["magnitude", "random"])
    assert [finder.name for finder in own.content.finders] == ["magnitude", "random"]


def test_rows_are_means_over_images(found: PathwayComparison) -> None:
    content, at = found.content, found.comparison.at[1]
    assert content.main.requested == 0.75
    assert content.main_level == 1
    assert content.images == 5
    for i, row in enumerate(content.main.rows):
        assert row.realised.mean == pytest.approx(float(at.realised[i].mean()))
        assert row.dead.mean == pytest.approx(float(at.dead[i].mean()))
        assert row.dead.low <= row.dead.mean <= row.dead.high
        assert (row.class_kept, row.class_known) == (int(at.keeps_class[i].sum()), 5)
        assert row.connected.mean == pytest.approx(float(at.connected[i].mean()))
        for j, pair in enumerate(content.overlap[i]):
            assert pair.jaccard.mean == pytest.approx(float(at.jaccard[i, j].nanmean()), nan_ok=True)
    assert content.base_dead.mean == pytest.approx(float(found.comparison.base_dead.mean()))


def test_the_share_kept_is_that_of_the_pathway_alone(found: PathwayComparison) -> None:
    """Against the pathways themselves, run alone image by image."""
    net, x = network(), images(5)
    shares = []
    for i in range(5):
        one = x[i : i + 1]
        whole = net.run(one, graph=False).output
        best = int(whole.argmax())
        keep = cp.find_pathway(net, one, "taylor", 0.75).keep
        alone = net.run(one, lambda site, a, keep=keep: a * keep[site.name], graph=False).output
        floor = net.run(one, lambda site, a: a * 0, graph=False).output
        shares.append(((alone - floor)[0, best] / (whole - floor)[0, best]).item())
    assert found.content.main.rows[0].alone.mean == pytest.approx(sum(shares) / 5)


def test_photographs_are_the_first_inputs(found: PathwayComparison) -> None:
    shown = found.content.photographs
    predicted = network().run(images(5), graph=False).output.argmax(dim=1).tolist()
    assert [one.title for one in shown] == ["a.png", "b.png", "input 3", "input 4", "input 5"]
    assert [one.predicted for one in shown] == [tuple("uvwxyz")[i] for i in predicted]
    assert [one.target for one in shown] == [one.predicted for one in shown]
    assert all(one.picture is not None and one.picture.shape == (8, 8, 3) for one in shown)


def test_pictures_of_every_pathway(found: PathwayComparison) -> None:
    (decoded,) = found.content.decoded
    assert decoded.title == "a.png"
    names = [one.name for one in decoded.pictures]
    assert names[:3] == ["whole network", "all active neurons", "taylor"]
    assert len(names) == 8
    for one in decoded.pictures:
        assert one.picture is not None or one.note
        assert one.picture is None or (one.picture.dtype == np.uint8 and one.picture.shape[2] == 3)


def test_batches_do_not_matter() -> None:
    both = [
        compare_pathways(network(), x, ["taylor", "greedy"], 0.75, options={"greedy": {"step": 0.2}})
        for x in (images(4), iter(images(4).split(1)))
    ]
    first, second = (json.loads(one.to_json()) for one in both)
    for key in ("images", "base_dead", "levels", "overlap", "curves", "photographs"):
        assert _close(first[key], second[key])


def _close(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    return a == pytest.approx(b) if isinstance(a, float) else a == b


def test_one_image() -> None:
    one = compare_pathways(network(), images(1), ["taylor"], 0.75)
    assert one.content.images == 1
    assert all(math.isnan(row.dead.low) for row in one.content.main.rows)
    assert "n/a (one image)" in one._repr_html_()
    assert "One image was looked at" in " ".join(one.content.caveats)


def test_saved_and_as_json(found: PathwayComparison, tmp_path: object) -> None:
    path = found.save(f"{tmp_path}/a.html")
    assert "MIT" in path.read_text("utf-8")
    data = json.loads(found.to_json())
    assert data["images"] == 5
    assert found.content.provenance[0] == ("Licence", "MIT")
    assert "taylor" in str(found)


def test_settings_and_stops_are_told(found: PathwayComparison) -> None:
    settings = {finder.name: finder.settings for finder in found.content.finders}
    assert settings["greedy"] == "step 0.2"
    assert settings["dgr"] == "iterations 3"
    stopped = {name: whys for name, whys in found.comparison.stopped.items() if any(at == 0.75 for _, at, _ in whys)}
    rows = {row.finder: row.stopped for row in found.content.main.rows}
    for name, whys in stopped.items():
        expected = [(image, why) for image, at, why in whys if at == 0.75]
        assert len(rows[name]) == len(expected)
        assert all(said.endswith(why) for said, (_, why) in zip(rows[name], expected, strict=True))


def test_progress_counts_to_the_end() -> None:
    told: list[int] = []
    x = images(3).split(2)
    compare_pathways(
        network(), x, ["taylor"], 0.75, decode=1, decode_steps=1, progress=lambda done, words: told.append(done)
    )
    plan = check_pathways(["taylor"], 0.75)
    assert told == list(range(step_count(plan, len(x), 1)))


@pytest.mark.parametrize("ablation", ["zero", "mean", "resample"])
def test_ablations(ablation: str) -> None:
    one = compare_pathways(network(), images(3).split(2), ["taylor"], 0.75, ablations=[ablation])
    (curves,) = one.content.curves
    assert ablation in curves.ablation or ablation == "resample"
    assert 0.25 in curves.sizes


def test_a_model_without_forward_mode_is_compared_without_connectedness() -> None:
    class Rough(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return gradient * 2

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(Rough.apply(x))

    one = compare_pathways(cp.Network(Model().double().eval()), images(2), ["taylor"], 0.5)
    assert "connected could not be found" in one.content.warnings[0]
    assert all(math.isnan(row.connected.mean) for row in one.content.main.rows)


def test_the_global_random_state_is_untouched() -> None:
    net = network()
    before = torch.get_rng_state()
    compare_pathways(net, images(2), ["taylor"], decode=1, decode_steps=1)
    assert torch.equal(torch.get_rng_state(), before)


def _nothing() -> Iterator[Tensor]:
    yield from ()


def test_bad_input() -> None:
    net, x = network(), images(2)
    with pytest.raises(OptionError, match="Did you mean 'taylor'"):
        compare_pathways(net, x, ["tailor"])
    with pytest.raises(OptionError, match="give a list of names"):
        compare_pathways(net, x, "taylor")
    with pytest.raises(OptionError, match="give a list of names"):
        compare_pathways(net, x, [])
    with pytest.raises(OptionError, match="sparsity is 1"):
        compare_pathways(net, x, ["taylor"], 1.0)
    with pytest.raises(OptionError, match="options for 'dgr'"):
        compare_pathways(net, x, ["taylor"], options={"dgr": {}})
    with pytest.raises(OptionError, match="does not take the option"):
        compare_pathways(net, x, ["greedy"], options={"greedy": {"stride": 2}})
    with pytest.raises(OptionError, match="decode is -1"):
        compare_pathways(net, x, ["taylor"], decode=-1)
    with pytest.raises(OptionError, match="not a generator"):
        compare_pathways(net, iter([x]), ["taylor"], ablations=["mean"])
    with pytest.raises(OptionError, match="no ablation is called 'noise'"):
        compare_pathways(net, x, ["taylor"], ablations=["noise"])
    with pytest.raises(OptionError, match="the seed is -1"):
        compare_pathways(net, x, ["taylor"], seed=-1)
    with pytest.raises(InputError, match="no images"):
        compare_pathways(net, _nothing(), ["taylor"])
    with pytest.raises(TargetError):
        compare_pathways(net, x, ["taylor"], target=6)
    with pytest.raises(CritpathError):
        compare_pathways(net, x * math.nan, ["taylor"])


def test_one_finder_with_several_options_under_labels() -> None:
    kind = tiny.NETWORKS["conv"]
    net, x = cp.Network(kind.build()), kind.inputs(2)
    found = cp.compare_pathways(
        net, x, {"plain": "taylor", "on routes": "taylor"}, 0.7, options={"on routes": {"connected": True}}, decode=0
    )
    at = found.comparison.at[0]
    assert found.comparison.finders == ("plain", "on routes", "random", "magnitude")
    assert at.connected[1].tolist() == [1.0, 1.0]
    assert "on routes" in found._repr_html_()
