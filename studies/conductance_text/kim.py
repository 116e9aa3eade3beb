"""Kim's convolutional network for sentences, as the paper describes it, and its training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from studies.conductance_text.sources import Labelled
from studies.conductance_text.words import PADDING, Vocabulary, padded, vocabulary

EMBEDDED, FILTERS, WIDTHS, HIDDEN = 50, 64, (3, 4, 5, 6), 10
SLOPE = 0.1
"""Of the ten hidden neurons below zero: of plain ReLU all ten die together in some trainings."""

FILTER_SITE = "filters#0"
"""The 256 pooled filters, the neurons of the study."""


class KimCNN(nn.Module):
    """Embedding 50, 64 filters of each width 3 to 6, 1-max pool to 256, 10, classes (Kim 2014; the paper, section 6).

    The ReLU follows the pool, which gives the same as before it, and makes the 256 pooled filters one site. Every
    sentence stands between windows of padding alone, so how far a batch is padded changes nothing.
    """

    def __init__(self, words: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, EMBEDDED, padding_idx=PADDING)
        self.convolutions = nn.ModuleList(nn.Conv1d(EMBEDDED, FILTERS, width) for width in WIDTHS)
        self.filters = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(FILTERS * len(WIDTHS), HIDDEN)
        self.hidden = nn.LeakyReLU(SLOPE)
        self.fc2 = nn.Linear(HIDDEN, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [n, classes] of tokens int64 [n, length]."""
        x = F.pad(self.embedding(tokens).mT, (max(WIDTHS), max(WIDTHS)))
        pooled = torch.cat([convolution(x).amax(dim=2) for convolution in self.convolutions], dim=1)
        logits: Tensor = self.fc2(self.hidden(self.fc1(self.dropout(self.filters(pooled)))))
        return logits


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: Adam, batches of sentences of about the same length, cross-entropy."""

    epochs: int = 4
    batch: int = 64
    lr: float = 1e-3
    weight_decay: float = 0.0
    dropout: float = 0.5
    word_dropout: float = 0.0


@dataclass(frozen=True, eq=False)
class Trained:
    """A network in evaluation mode, and the words that it knows."""

    model: KimCNN
    vocabulary: Vocabulary

    def accuracy(self, data: Labelled) -> float:
        """Share of sentences whose class is predicted."""
        return float((self.predicted(data.sentences) == torch.tensor(data.labels)).double().mean())

    def predicted(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        """Predicted classes [n]."""
        return self.logits(sentences).argmax(dim=1)

    @torch.no_grad()
    def logits(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        """[n, classes]"""
        rows = [self.vocabulary.ids(sentence) for sentence in sentences]
        return torch.cat([self.model(padded(rows[i : i + 256])) for i in range(0, len(rows), 256)])


def train(data: Labelled, classes: int, recipe: Recipe, seed: int) -> Trained:
    """A network trained on ``data`` from random embeddings; the same seed gives the same network."""
    known = vocabulary(data.sentences)
    rows, labels = [known.ids(sentence) for sentence in data.sentences], torch.tensor(data.labels)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = KimCNN(len(known), classes, recipe.dropout)
        optimiser = torch.optim.Adam(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
        for _ in range(recipe.epochs):
            for numbers in batches(rows, recipe.batch, generator):
                loss = F.cross_entropy(model(padded([rows[i] for i in numbers])), labels[numbers])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    return Trained(model.eval(), known)


def batches(rows: Sequence[Sequence[int]], size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Numbers of rows of about the same length, in an order drawn anew."""
    shuffled = torch.randperm(len(rows), generator=generator).tolist()
    ordered = sorted(shuffled, key=lambda number: len(rows[number]))
    parts = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    return (parts[i] for i in torch.randperm(len(parts), generator=generator).tolist())
