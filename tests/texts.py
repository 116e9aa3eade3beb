"""Small text models in folders as transformers writes them, with vocabularies made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from critpath.zoo import import_transformers

WORDS = (
    *("a", "at", "bad", "film", "good", "is", "it", "not", "the", "was", "all", ",", ".", "!", "<", "b", ">", "/"),
    *("i", "read", "un", "charm", "na", "##ly", "##ing", "##mis", "##ï", "##ve"),
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LENGTH = 24
"""Tokens that the models of word pieces take; those of bytes take twice as many."""


def word_pieces() -> Any:
    """A WordPiece tokenizer that lowers the case, with BERT's special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], SPECIAL, strict=True))
    return import_transformers().PreTrainedTokenizerFast(tokenizer_object=made, **names)


def byte_pairs() -> Any:
    """A byte-level tokenizer as GPT-2's: an end of text, and neither padding nor a mask."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("n", "o"), ("no", "t"), ("Ġ", "b"), ("Ġb", "a"), ("Ġba", "d")]
    tokens = [*letters, *(a + b for a, b in merges), "<|endoftext|>"]
    made = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return import_transformers().PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|endoftext|>")


def bert(**options: Any) -> Any:
    """The configuration of a tiny BERT."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
    return import_transformers().BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS), max_position_embeddings=LENGTH, pad_token_id=0, **sizes, **options
    )


NAMES = {0: "bad film", 1: "good film", 2: "no film"}


def configuration(name: str) -> tuple[str, Any, Any]:
    """A model's class, its configuration and its tokenizer."""
    made = import_transformers()
    labels = {"id2label": NAMES, "label2id": {word: number for number, word in NAMES.items()}}
    if name == "bert":
        return "BertForSequenceClassification", bert(**labels), word_pieces()
    if name == "encoder":
        return "BertModel", bert(), word_pieces()
    if name == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 20, "max_position_embeddings": LENGTH}
        config = made.DistilBertConfig(vocab_size=len(SPECIAL) + len(WORDS), pad_token_id=0, **sizes, **labels)
        return "DistilBertForSequenceClassification", config, word_pieces()
    tokenizer = byte_pairs()
    if name == "gpt2":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 2 * LENGTH}
        return "GPT2ForSequenceClassification", made.GPT2Config(vocab_size=len(tokenizer), **sizes, **labels), tokenizer
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
    config = made.LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2 * LENGTH, **sizes, **labels)
    return "LlamaForSequenceClassification", config, tokenizer


KINDS = ("bert", "distilbert", "gpt2", "llama")


def write(folder: Path, name: str) -> Path:
    """A model with random weights and its tokenizer, in a folder of its own under this one."""
    kind, config, tokenizer = configuration(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = getattr(import_transformers(), kind)(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    place = folder / name
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place
