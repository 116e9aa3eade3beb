"""Trained networks on real photographs: what a person would do first."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import critpath as cp
from critpath.zoo import read_image

pytestmark = pytest.mark.assets

NETWORKS = {"resnet50": 49, "resnet18": 17, "squeezenet1_1": 26, "mobilenet_v2": 35}
PHOTOGRAPH = "n02510455_giant_panda.jpg"


@pytest.fixture(scope="module")
def networks() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "studies" / "networks.py"
    spec = importlib.util.spec_from_file_location("networks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NETWORKS)
def test_a_photograph_is_explained(name: str, networks: ModuleType, assets: Path, tmp_path: Path) -> None:
    loaded = getattr(networks, name)()
    image = read_image(assets / "imagenet1k_sample" / "images" / PHOTOGRAPH)
    x = loaded.preprocess(image).unsqueeze(0)
    net = cp.Network(loaded.model)
    found = cp.explain(
        net, x, sparsities=[0.7, 0.9], draws=2, top=2, classes=loaded.classes,
        picture=np.asarray(loaded.preprocess.view(image)), title=PHOTOGRAPH, model=loaded.name,
    )  # fmt: skip
    content = found.content
    assert content.predictions[0].label == content.target == "giant panda"
    assert len(content.sites) == NETWORKS[name]
    assert int(found.pathway.size) == round(0.1 * found.pathway.space.neurons)
    main = content.levels[content.main_level]
    assert main.reaches_input
    assert main.kept.pathway_keeps_class
    assert main.kept.pathway > 0.3 * content.response
    assert max(main.kept.random) < 0.2 * content.response
    assert found.save(tmp_path / "report.html").stat().st_size < 1_500_000
    with torch.no_grad():
        assert float(loaded.model(x).max()) == pytest.approx(content.response, rel=1e-4)


def test_one_batch_of_photographs_equals_a_loop_on_a_real_network(networks: ModuleType, assets: Path) -> None:
    """Values to rounding. Neurons whose scores tie within rounding may change places at the threshold."""
    loaded = networks.resnet18()
    names = [PHOTOGRAPH, "n02123045_tabby.jpg"]
    x = torch.stack([loaded.preprocess(read_image(assets / "imagenet1k_sample" / "images" / n)) for n in names])
    net = cp.Network(loaded.model)
    together = cp.score(net, x)
    for i in range(2):
        alone = cp.score(net, x[i : i + 1])
        difference = (together.sample(i).flatten() - alone.flatten()).abs().sum() / alone.flatten().abs().sum()
        assert float(difference) < 1e-3
        jaccard = cp.overlap(cp.select(together.sample(i)), cp.select(alone)).jaccard
        assert float(jaccard) > 0.995
