"""The command line with texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from critpath import zoo
from critpath.cli import main
from tests import texts

OWN = """
import torch
from torch import nn

class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.windows, self.last = nn.Embedding(30, 8), nn.Conv1d(8, 12, 3, padding=1), nn.Linear(12, 2)

    def forward(self, ids):
        return self.last(self.windows(self.table(ids).mT).relu().amax(-1))

def tokenizer(text):
    return text.split(), [len(word) for word in text.split()]

def build():
    torch.manual_seed(0)
    return Bag(), tokenizer

def bare():
    return Bag()
"""

Run = Callable[..., Result]
SHORT = ("--sparsity", "0.5")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("texts")
    (made / "mine.py").write_text(OWN)
    return made


@pytest.fixture(scope="module")
def folder(place: Path) -> Path:
    pytest.importorskip("transformers")
    texts.write(place, "bert")
    texts.write(place, "encoder")
    return place


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(place)
    return lambda *arguments: CliRunner().invoke(main, [*arguments])


class TestOwnModule:
    def test_a_page(self, run: Run, place: Path) -> None:
        done = run("explain", "--model", "mine.py:build", "--text", "a <b>bold</b> film", "-o", "own.html")
        assert done.output == "Report: own.html\n", done.output
        html = (place / "own.html").read_text("utf-8")
        assert "<h1>a &lt;b&gt;bold&lt;/b&gt; film</h1>" in html
        assert html.count('class="reading"') > 8

    def test_json(self, run: Run) -> None:
        done = run("explain", "--model", "mine.py:build", "--text", "not a bad film", "--json", *SHORT)
        (found,) = json.loads(done.stdout)
        assert found["text"] == "not a bad film"
        assert [token["text"] for token in found["tokens"]] == ["not", "a", "bad", "film"]
        main_map = found["levels"][found["main_level"]]["map"]
        assert len(main_map) == 4
        assert any(main_map)

    def test_several_texts_give_a_folder_with_an_index(self, run: Run, place: Path) -> None:
        arguments = ["--text", "Not a bad film!", "--text", "naïve / …", "--text", "☃", "-o", "several"]
        done = run("explain", "--model", "mine.py:build", *arguments)
        assert done.output == "Report: several/index.html\n", done.output
        names = sorted(file.name for file in (place / "several").iterdir())
        assert names == ["0001-not-a-bad-film.html", "0002-naïve.html", "0003-text.html", "index.html"]
        assert "Not a bad film!" in (place / "several" / "index.html").read_text("utf-8")

    def test_doctor(self, run: Run) -> None:
        done = run("doctor", "mine.py:build", "--text", "a b c d", "--batch", "3")
        assert "Bag" in done.output
        assert "12x4" in done.output
        assert "batch of 3" in done.output
        assert "12x7" in run("doctor", "mine.py:build").output

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--text", "a"], "--text needs a text model"),
            (["--text", "a", "--model", "torchvision:resnet50"], "is a model of images"),
            (["--text", "a", "--model", "digits"], "is a model of images"),
            (["--model", "hf:nowhere"], 'give --text "..."'),
            (["--text", "a", "--model", "hf:a/b/c"], "There is no folder a/b/c"),
            (
                ["--text", "a", "--model", "mine.py:build", "--baseline", "foo"],
                "'foo' is no baseline of a text: there are",
            ),
            (["--text", "a", "image.png", "--model", "mine.py:build"], "not both"),
            (["--text", "a", "--demo", "--model", "mine.py:build"], "not both"),
            (["--text", "", "--model", "mine.py:build"], "one word at least"),
            (["--text", "a", "--model", "mine.py:bare"], "without a tokenizer"),
            (["--text", "a", "--model", "mine.py:build", "--baseline", "mask"], "no 'mask' token"),
            (["--text", "a", "--text", "b", "--model", "mine.py:build", "-o", "x.html"], "2 texts give one page each"),
            (["--text", "a", "--like", "b", "--target", "1", "--model", "mine.py:build"], "instead of --target"),
            (["--like", "b", "--demo"], "--like goes with --text"),
            (["--text", "a", "--like", "b", "--model", "mine.py:build"], "no hidden states"),
            (["--text", "a", "--target", "2", "--model", "mine.py:build"], "out of range"),
        ],
    )
    def test_what_is_refused(self, arguments: list[str], said: str, run: Run) -> None:
        done = run("explain", *arguments)
        assert done.exit_code == 1
        assert said in done.output
        assert "Traceback" not in done.output


class TestHuggingFace:
    def test_a_classifier(self, run: Run, folder: Path) -> None:
        done = run("explain", "--model", "hf:bert", "--text", "The film is not bad.", "--target", "good", "--json")
        (found,) = json.loads(done.stdout)
        assert found["target"] == "good film"
        assert sorted(prediction["label"] for prediction in found["predictions"]) == sorted(texts.NAMES.values())
        loaded = zoo.load(f"hf:{folder / 'bert'}")
        assert loaded.tokenizer is not None
        logits = loaded.model(**loaded.tokenizer(["The film is not bad."]).x).logits
        assert found["response"] == pytest.approx(float(logits[0, 1].detach()), rel=1e-4)
        assert [token["text"] for token in found["tokens"] if token["special"]] == ["[CLS]", "[SEP]"]

    @pytest.mark.parametrize("baseline", ["mask", "padding", "zero"])
    def test_baselines(self, baseline: str, run: Run, folder: Path) -> None:
        done = run(
            "explain", "--model", "hf:bert", "--text", "not bad", "--baseline", baseline, "--method", "conductance",
            "--json", *SHORT,
        )  # fmt: skip
        (found,) = json.loads(done.stdout)
        assert ["Baseline of the maps", baseline] in found["provenance"]
        assert (found["plain"][0] == 0) is (baseline != "zero")

    @pytest.mark.filterwarnings("default")
    def test_a_text_that_is_too_long(self, run: Run, folder: Path) -> None:
        done = run("explain", "--model", "hf:bert", "--text", "bad " * 40, "--json", *SHORT)
        (found,) = json.loads(done.stdout)
        assert len(found["tokens"]) == texts.LENGTH
        assert found["warnings"][0].endswith("24 tokens are explained, and 18 more were left out.")
        assert "Warning: the text is too long" in done.stderr

    def test_a_sentence_encoder(self, run: Run, folder: Path) -> None:
        done = run("explain", "--model", "hf:encoder", "--text", "not bad", "--like", "good", "--json", *SHORT)
        (found,) = json.loads(done.stdout)
        assert found["target"] == "similarity to “good” (cosine of the sentences' embeddings, mean pooling)"
        assert -1 <= found["response"] <= 1
        assert found["predictions"] == []

    def test_an_encoder_needs_something_to_compare_with(self, run: Run, folder: Path) -> None:
        done = run("explain", "--model", "hf:encoder", "--text", "not bad")
        assert done.exit_code == 1
        assert '--like "another text"' in done.output

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--target", "great"], "names no classes; there are: 0 bad film, 1 good film, 2 no film"),
            (["--target", "film"], "names 3 classes: 0 bad film"),
            (["--like", "good"], "is a classifier"),
        ],
    )
    def test_what_a_classifier_refuses(self, arguments: list[str], said: str, run: Run, folder: Path) -> None:
        done = run("explain", "--model", "hf:bert", "--text", "not bad", *arguments)
        assert done.exit_code == 1
        assert said in done.output

    def test_an_image_for_a_text_model(self, run: Run, folder: Path) -> None:
        from PIL import Image

        Image.new("RGB", (8, 8)).save(folder / "grey.png")
        done = run("explain", "--model", "hf:bert", "grey.png")
        assert "takes texts, not images" in done.output

    def test_it_is_listed(self, run: Run) -> None:
        assert "hf:FOLDER" in run("models").output
