"""A text classifier of one's own, explained: which words made it say so, through which pathway and which filters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import critpath as cp
from critpath import zoo

GOOD, BAD, NEUTRAL = ["good", "great", "charming"], ["bad", "dull", "awful"], ["the", "film", "plot", "is", "was"]
VOCABULARY = {word: number for number, word in enumerate(["[none]", "not", *GOOD, *BAD, *NEUTRAL])}


class Reviews(nn.Module):
    """Windows of three words, the strongest of each filter, two classes: bad and good."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(len(VOCABULARY), 12)
        self.windows, self.last = nn.Conv1d(12, 16, 3, padding=1), nn.Linear(16, 2)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.last(self.windows(self.table(ids).mT).relu().amax(-1))
        return logits


def words_and_numbers(text: str) -> tuple[list[str], list[int]]:
    """What a tokenizer of one's own has to give."""
    words = text.lower().split()
    return words, [VOCABULARY.get(word, 0) for word in words]


def reviews(count: int) -> tuple[Tensor, Tensor]:
    """Made-up reviews "the film is [not] WORD", and whether they are good: "not" turns the word around.

    A quarter of the words is hidden, so that a text of hidden words is a baseline that the network knows.
    """
    draw = torch.randint(0, 2**16, (7, count), generator=torch.Generator().manual_seed(0))
    judged = torch.tensor([VOCABULARY[word] for word in GOOD + BAD])[draw[0] % 6]
    turned, good = draw[1] % 2 == 1, draw[0] % 6 < 3
    neutral = torch.tensor([VOCABULARY[word] for word in NEUTRAL])
    first, second, third = (neutral[numbers % len(NEUTRAL)] for numbers in draw[2:5])
    x = torch.stack([first, second, third, torch.where(turned, VOCABULARY["not"], third), judged], dim=1)
    hidden = (draw[5].unsqueeze(1) >> torch.arange(5)) & (draw[6].unsqueeze(1) >> torch.arange(5)) & 1
    return x.masked_fill(hidden == 1, 0), (good ^ turned).long()


def train(model: nn.Module) -> nn.Module:
    """A few seconds of training; the words here are few and the sentences all alike."""
    x, y = reviews(2048)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model.eval()


torch.manual_seed(0)
net = cp.Network(train(Reviews()))
tokens = zoo.OwnTokenizer(words_and_numbers, padding=0)(["the film is not bad"])
words, hidden = tokens.words[0], tokens.baseline("padding")
found = cp.explain(net, tokens.x, words=words, baseline=hidden, classes=("bad", "good"), title="the film is not bad")

print(found)
for word, all_neurons, pathway in zip(words, found.gradient[0].tolist(), found.map[0].tolist(), strict=True):
    print(f"{word:>6}: {all_neurons:+.3f} through all neurons, {pathway:+.3f} through the pathway")
best = found.content.top_channels[0]
print(f"{best.unit} of {best.site}:", *(f"{word} {value:+.2f}" for word, value in zip(words, best.where, strict=True)))
print(found.save("text.html"))
