"""The texts: the Stanford Sentiment Treebank, rt-polarity, and WikiTableQuestions with the type of each answer."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from studies.conductance_text.words import Sentence, words_of
from studies.networks import asset

TYPES = ("numeric", "date", "boolean", "string", "list")
"""Answers of WikiTableQuestions, as the paper names their types."""

_YEAR = "january february march april may june july august september october november december"
_MONTHS = tuple(_YEAR.split())
_MONTH = rf"(?:{'|'.join([*_MONTHS, 'sept', *(month[:3] for month in _MONTHS)])})\.?"
_DATE = re.compile(
    rf"(?:(?:1\d|20)\d\d(?:s|[-–/](?:\d\d|\d{{4}}))?|\d{{1,4}}[-/.](?:\d{{1,2}}|[A-Z][a-z]{{2}})[-/.]\d{{1,4}}"
    rf"|{_MONTH}(?: \d{{1,2}}(?:st|nd|rd|th)?)?,?(?: \d{{4}})?|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH},?(?: \d{{4}})?)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+−]?[$£€]?\d[\d,]*(?:\.\d+)?(?:\s?%|\s?[a-z]+)?|[-+−]?\.\d+")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")
_BOOLEAN = frozenset({"yes", "no", "true", "false"})
_LEAF = re.compile(r"\((\d)|([^\s()]+)|\)")
_SHARED = 6  # words in a row that make two sentences the same


@dataclass(frozen=True)
class Labelled:
    """Sentences and their classes."""

    sentences: tuple[Sentence, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: Labelled) -> Labelled:
        return Labelled(self.sentences + other.sentences, self.labels + other.labels)

    def some(self, numbers: Iterable[int]) -> Labelled:
        """Those of some numbers."""
        chosen = list(numbers)
        return Labelled(tuple(self.sentences[i] for i in chosen), tuple(self.labels[i] for i in chosen))


def treebank(part: str) -> Labelled:
    """Whole sentences of the treebank's "train", "dev" or "test", with their five grades 0 to 4."""
    lines = _lines(f"text/sst/trees_{part}.txt")
    return _labelled((int(line[1]), " ".join(leaf for _, leaf in _LEAF.findall(line) if leaf)) for line in lines)


def phrases() -> Labelled:
    """Phrases and sentences of the treebank's training part that are not neutral, each once; 0 negative, 1 positive."""
    found: dict[Sentence, int] = {}
    for line in _lines("text/sst/trees_train.txt"):
        for grade, phrase in nodes(line):
            if grade != 2 and phrase:
                found.setdefault(phrase, int(grade > 2))
    return Labelled(tuple(found), tuple(found.values()))


def nodes(tree: str) -> Iterator[tuple[int, Sentence]]:
    """The grade and the words of every node of a tree "(3 (2 It) (4 works))", the inner ones first."""
    open_nodes: list[tuple[int, list[str]]] = []
    for match in _LEAF.finditer(tree):
        grade, leaf = match.groups()
        if grade is not None:
            open_nodes.append((int(grade), []))
        elif leaf is not None:
            open_nodes[-1][1].append(leaf)
        else:
            closed, under = open_nodes.pop()
            if open_nodes:
                open_nodes[-1][1].extend(under)
            yield closed, words_of(" ".join(under))


def polarity(*without: Labelled) -> Labelled:
    """rt-polarity's snippets; those that share six words in a row with a sentence of ``without`` are left out.

    The treebank is made of these snippets, so most are left out.
    """
    text = asset("text/mr/rt-polarity.all").read_text(encoding="iso-8859-1")
    known = {run for part in without for sentence in part.sentences for run in runs(sentence)}
    found = _labelled((int(line[0]), line[2:]) for line in text.split("\n") if line.strip())
    return found.some(i for i, sentence in enumerate(found.sentences) if known.isdisjoint(runs(sentence)))


def runs(sentence: Sentence, length: int = _SHARED) -> set[Sentence]:
    """Every run of six words without punctuation; of fewer words, all of them."""
    plain = tuple(word for word in sentence if word[-1].isalnum())
    return {plain[i : i + length] for i in range(max(1, len(plain) - length + 1))}


def questions(part: str) -> Labelled:
    """Questions of WikiTableQuestions' random split 1, "train" (11,321) or "dev" (2831), with types of answers."""
    with tarfile.open(asset("text/wtq/wtq.tar.xz")) as archive:
        member = next(m for m in archive if m.name.endswith(f"random-split-1-{part}.tsv"))
        file = archive.extractfile(member)
        assert file is not None
        rows = [line.rstrip("\n").split("\t") for line in io.TextIOWrapper(file, encoding="utf-8")]
    return _labelled((TYPES.index(type_of(answer)), question) for _, question, _, answer in rows[1:])


def type_of(answer: str) -> str:
    """The type of an answer: a list where several are given, then boolean, date, numeric; everything else is a string.

    A number from 1000 to 2099 without a comma is a year, and so a date. A number may have one word for its unit; an
    ordinal is a string.
    """
    text = answer.strip()
    if "|" in text:
        return "list"
    if text.lower() in _BOOLEAN:
        return "boolean"
    if _DATE.fullmatch(text):
        return "date"
    return "numeric" if _NUMBER.fullmatch(text) and not _ORDINAL.fullmatch(text) else "string"


def _lines(path: str) -> list[str]:
    return [line for line in asset(path).read_text(encoding="utf-8").split("\n") if line.strip()]


def _labelled(rows: Iterable[tuple[int, str]]) -> Labelled:
    pairs = [(label, words_of(text)) for label, text in rows]
    return Labelled(tuple(words for _, words in pairs), tuple(label for label, _ in pairs))


def sizes(labels: Sequence[int], classes: Sequence[str]) -> dict[str, int]:
    """How many there are of each class."""
    return {name: sum(label == number for label in labels) for number, name in enumerate(classes)}
