"""Tiny text classifiers of transformers and of torch, in float64, and a batch of texts of different lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

WORDS, LENGTH, PADDING = 30, 6, 0
SIZES = {"vocab_size": WORDS, "num_labels": 3, "pad_token_id": PADDING}
LAYERS = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}


def bert(**options: Any) -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(**SIZES, **LAYERS, max_position_embeddings=16, **options))


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    return LlamaForSequenceClassification(LlamaConfig(**SIZES, **LAYERS, num_key_value_heads=1))


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    ends = {"bos_token_id": 1, "eos_token_id": 1}
    return GPT2ForSequenceClassification(GPT2Config(**SIZES, **ends, n_embd=8, n_layer=2, n_head=2, n_positions=16))


HUGGING_FACE: dict[str, Callable[[], nn.Module]] = {"bert": bert, "llama": llama, "gpt2": gpt2}

MLPS = {
    "bert": ("GELUActivation", [f"bert.encoder.layer.{i}.intermediate.intermediate_act_fn#0" for i in (0, 1)]),
    "llama": ("SiLUActivation", [f"model.layers.{i}.mlp.act_fn#0" for i in (0, 1)]),
    "gpt2": ("NewGELUActivation", [f"transformer.h.{i}.mlp.act#0" for i in (0, 1)]),
}
"""Of each what activates in its MLPs, and the names of these sites."""

TABLES = {"bert": "bert.embeddings.word_embeddings", "llama": "model.embed_tokens", "gpt2": "transformer.wte"}


def built(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """In float64 and eval mode, with weights large enough for all to matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make().double().eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 0.4)
    return model


def texts(lengths: tuple[int, ...] = (6, 4, 5), seed: int = 2) -> dict[str, Tensor]:
    """Texts padded to the longest, with a mask."""
    ids = torch.randint(1, WORDS, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return {"input_ids": torch.where(mask, ids, PADDING), "attention_mask": mask.long()}


def one(x: dict[str, Tensor], i: int) -> dict[str, Tensor]:
    """A text by itself, without padding."""
    length = int(x["attention_mask"][i].sum())
    return {name: values[i : i + 1, :length] for name, values in x.items()}


class Encoder(nn.Module):
    """An embedding, torch's encoder and a mean over the tokens that are no padding."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Embedding(WORDS, 8, padding_idx=PADDING)
        layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found = self.layers(self.look(input_ids), src_key_padding_mask=attention_mask == 0)
        kept = attention_mask.unsqueeze(2)
        return self.out((found * kept).sum(1) / kept.sum(1))
