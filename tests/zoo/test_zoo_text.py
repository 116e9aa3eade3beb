"""Text models from folders, tokenizers, and sentences."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests import texts
from torch import nn

from critpath import zoo
from critpath.errors import InputError, MismatchError, NumericalError, OptionError, StorageError, TargetError
from critpath.network import Network
from critpath.response import respond
from critpath.zoo import hugging_face_hub

pytest.importorskip("transformers")

TEXTS = ["The film is NOT bad at all, unmistaken", "not good"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    for name in (*texts.KINDS, "encoder"):
        texts.write(made, name)
    return made


@pytest.fixture(scope="module")
def loaded(folder: Path) -> zoo.LoadedModel:
    return zoo.load(f"hf:{folder / 'bert'}")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> zoo.LoadedModel:
    return zoo.load(f"hf:{folder / 'encoder'}")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder / "bert", tmp_path / "copy")
    return tmp_path / "copy"


class TestLoading:
    @pytest.mark.parametrize("name", texts.KINDS)
    def test_a_padded_batch_gives_what_texts_alone_give(self, name: str, folder: Path) -> None:
        found = zoo.load(f"hf:{folder / name}")
        assert found.classes == tuple(texts.NAMES.values())
        assert found.tokenizer is not None
        assert not any(module.training for module in found.model.modules())
        both = found.tokenizer([*TEXTS])
        assert both.padding[1].any()
        together = found.model(**both.x).logits
        for i in range(2):
            alone = found.model(**both.one(i).x).logits
            assert torch.allclose(together[i : i + 1], alone, atol=1e-5)
            assert torch.equal(both.one(i).ids, found.tokenizer([TEXTS[i]]).ids)

    def test_the_weights_are_the_files(self, folder: Path, loaded: zoo.LoadedModel) -> None:
        from safetensors.torch import load_file

        for name, tensor in load_file(folder / "bert" / "model.safetensors").items():
            assert torch.equal(loaded.model.state_dict()[name], tensor)
            assert tensor.dtype == torch.float32

    def test_half_precision_becomes_single(self, copy: Path) -> None:
        from safetensors.torch import load_file, save_file

        half = {name: tensor.half() for name, tensor in load_file(copy / "model.safetensors").items()}
        save_file(half, copy / "model.safetensors", {"format": "pt"})
        assert next(zoo.load(f"hf:{copy}").model.parameters()).dtype == torch.float32

    def test_nothing_is_asked_of_a_network(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise AssertionError(f"a connection was tried: {args}")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert zoo.load(f"hf:{folder / 'distilbert'}").tokenizer is not None

    def test_an_encoder_has_no_classes(self, folder: Path) -> None:
        found = zoo.load(f"hf:{folder / 'encoder'}")
        assert found.classes is None
        assert found.pooling == zoo.Pooling("mean")

    def test_it_is_listed(self) -> None:
        info = next(info for info in zoo.available() if info.family == "hf")
        assert info.name == "hf:FOLDER"
        assert info.offline


class TestRefusals:
    @pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "a/b/c", ""])
    def test_no_folder(self, name: str) -> None:
        with pytest.raises(StorageError, match="no folder"):
            zoo.load(f"hf:{name}")

    @pytest.mark.parametrize(
        ("missing", "said"),
        [
            ("config.json", "no config.json"),
            ("tokenizer.json", "no tokenizer"),
            ("model.safetensors", "no weights in safetensors"),
        ],
    )
    def test_a_file_is_missing(self, missing: str, said: str, copy: Path) -> None:
        (copy / missing).unlink()
        (copy / "pytorch_model.bin").write_bytes(b"a pickle")
        with pytest.raises(StorageError, match=said):
            zoo.load(f"hf:{copy}")

    @pytest.mark.parametrize("damaged", ["config.json", "tokenizer.json", "model.safetensors"])
    def test_a_file_is_damaged(self, damaged: str, copy: Path) -> None:
        (copy / damaged).write_text("{")
        with pytest.raises(StorageError, match="cannot read"):
            zoo.load(f"hf:{copy}")

    def test_weights_without_a_classifier(self, folder: Path, copy: Path) -> None:
        shutil.copy(folder / "encoder" / "model.safetensors", copy)
        with pytest.raises(MismatchError, match=r"no .*classifier"):
            zoo.load(f"hf:{copy}")

    def test_weights_that_are_not_finite(self, copy: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(copy / "model.safetensors")
        weights["classifier.bias"][0] = float("nan")
        save_file(weights, copy / "model.safetensors", {"format": "pt"})
        with pytest.raises(NumericalError, match="NaN"):
            zoo.load(f"hf:{copy}")

    def test_code_of_its_own_is_not_run(self, copy: Path) -> None:
        config = json.loads((copy / "config.json").read_text())
        config |= {"architectures": ["MineForTexts"], "auto_map": {"AutoModel": "mine.MineForTexts"}}
        (copy / "config.json").write_text(json.dumps(config))
        (copy / "mine.py").write_text("raise AssertionError('it was run')")
        with pytest.raises(OptionError, match="which is not run"):
            zoo.load(f"hf:{copy}")

    @pytest.mark.parametrize("stated", ["NoSuchModel", "AutoConfig", "__version__", "pipeline"])
    def test_a_class_that_is_none(self, stated: str, copy: Path) -> None:
        config = json.loads((copy / "config.json").read_text()) | {"architectures": [stated]}
        (copy / "config.json").write_text(json.dumps(config))
        with pytest.raises(OptionError, match="does not have"):
            zoo.load(f"hf:{copy}")


class TestWords:
    def test_pieces_are_those_of_the_text(self, loaded: zoo.LoadedModel) -> None:
        assert loaded.tokenizer is not None
        tokens = loaded.tokenizer(["Reading NOT\nnaïve, <b>☃"])
        words = tokens.words[0]
        assert words == ("[CLS]", "Read", "ing", "NOT", "na", "ï", "ve", ",", "<", "b", ">", "☃", "[SEP]")
        joined = [word for word in words if word.joined]
        assert joined == ["ing", "ï", "ve", ",", "b", ">", "☃"]
        assert [word for word in words if word.unknown] == ["☃"]
        assert [word for word in words if word.special] == ["[CLS]", "[SEP]"]
        assert tokens.special.tolist() == [[True, *[False] * 11, True]]

    def test_bytes_of_a_character(self, folder: Path) -> None:
        found = zoo.load(f"hf:{folder / 'gpt2'}")
        assert found.tokenizer is not None
        tokens = found.tokenizer(["not  bad ï!"])
        assert tokens.words[0] == ("not", "␣", "bad", "␣", "ï", "·", "!")
        assert [word.joined for word in tokens.words[0]] == [False, False, False, False, False, True, True]
        assert not tokens.special.any()

    def test_a_batch_is_padded_on_the_right(self, loaded: zoo.LoadedModel) -> None:
        assert loaded.tokenizer is not None
        tokens = loaded.tokenizer(TEXTS)
        assert len(tokens) == 2
        assert tokens.padding.tolist()[1] == [False] * 4 + [True] * (tokens.ids.shape[1] - 4)
        assert tokens.words[1][4:] == ("[PAD]",) * (tokens.ids.shape[1] - 4)
        assert tokens.one(1).words == (("[CLS]", "not", "good", "[SEP]"),)
        assert tokens.one(-1).ids.tolist() == tokens.ids[1:, :4].tolist()
        with pytest.raises(IndexError):
            tokens.one(2)

    def test_baselines(self, loaded: zoo.LoadedModel) -> None:
        assert loaded.tokenizer is not None
        tokens = loaded.tokenizer(TEXTS)
        assert tokens.baseline("zero") == "zero"
        for kind, number in (("mask", 4), ("padding", 0)):
            made = tokens.baseline(kind)
            assert isinstance(made, dict)
            assert set(made) == set(tokens.x)
            stays = tokens.special | tokens.padding
            assert torch.equal(made["input_ids"][stays], tokens.ids[stays])
            assert (made["input_ids"][~stays] == number).all()
        with pytest.raises(OptionError, match=r"'blur' is no baseline.*zero, mask, padding"):
            tokens.baseline("blur")

    def test_no_mask_without_a_mask(self, folder: Path) -> None:
        found = zoo.load(f"hf:{folder / 'gpt2'}")
        assert found.tokenizer is not None
        with pytest.raises(OptionError, match="no 'mask' token"):
            found.tokenizer(["not"]).baseline("mask")

    def test_a_long_text_is_cut_off_and_that_is_said(self, loaded: zoo.LoadedModel) -> None:
        assert loaded.tokenizer is not None
        with pytest.warns(zoo.TruncationWarning, match=r"takes 24 tokens, and 8 more"):
            tokens = loaded.tokenizer(["good", "bad " * 30])
        assert tokens.left_out == (0, 8)
        assert tokens.ids.shape == (2, 24)
        assert tokens.one(1).left_out == (8,)

    @pytest.mark.parametrize("text", ["", "  \n "])
    def test_an_empty_text(self, text: str, loaded: zoo.LoadedModel) -> None:
        assert loaded.tokenizer is not None
        with pytest.raises(InputError, match="is empty"):
            loaded.tokenizer([text])

    @pytest.mark.parametrize("wrong", ["a text", [], [1], ["\ud800"]])
    def test_no_texts(self, wrong: Any, loaded: zoo.LoadedModel) -> None:
        assert loaded.tokenizer is not None
        with pytest.raises(InputError, match=r"list of texts|cannot read"):
            loaded.tokenizer(wrong)


class TestOwn:
    def test_a_function_of_a_text(self) -> None:
        tokenizer = zoo.OwnTokenizer(lambda text: (text.split(), [len(word) for word in text.split()]), padding=0)
        tokens = tokenizer(["a film ##s", "good"])
        assert tokens.ids.tolist() == [[1, 4, 3], [4, 0, 0]]
        assert tokens.words[0] == ("a", "film", "s")
        assert [word.joined for word in tokens.words[0]] == [False, False, True]
        assert tokens.one(1).ids.tolist() == [[4]]
        assert torch.equal(tokens.baseline("padding"), torch.zeros(2, 3).long())

    def test_unequal_lengths_need_padding(self) -> None:
        tokenizer = zoo.OwnTokenizer(lambda text: (list(text), [ord(sign) for sign in text]))
        assert tokenizer(["ab", "cd"]).ids.shape == (2, 2)
        with pytest.raises(InputError, match="no number for padding"):
            tokenizer(["ab", "c"])

    @pytest.mark.parametrize(
        "given", [(["a"], [1, 2]), (["a"], [0.5]), ([], []), "ab", None, (["a"], [[1], [2]])], ids=str
    )
    def test_what_is_no_pair(self, given: Any) -> None:
        with pytest.raises(InputError, match=r"words?\b"):
            zoo.OwnTokenizer(lambda text: given)(["a"])

    def test_a_file_that_returns_a_model_and_a_tokenizer(self, tmp_path: Path) -> None:
        (tmp_path / "mine.py").write_text(
            "from torch import nn\n"
            "def build():\n    return nn.Embedding(9, 2), lambda text: (text.split(), range(len(text.split())))\n"
        )
        found = zoo.load(f"{tmp_path / 'mine.py'}:build")
        assert isinstance(found.model, nn.Embedding)
        assert found.tokenizer is not None
        assert found.tokenizer(["a b c"]).ids.tolist() == [[0, 1, 2]]

    def test_a_file_that_returns_a_tokenizer_of_transformers(self, tmp_path: Path) -> None:
        (tmp_path / "mine.py").write_text(
            "from torch import nn\nfrom tests.texts import word_pieces\n"
            "def build():\n    return nn.Embedding(9, 2), word_pieces()\n"
        )
        found = zoo.load(f"{tmp_path / 'mine.py'}:build")
        assert isinstance(found.tokenizer, zoo.HuggingFaceTokenizer)


class TestSentences:
    @pytest.mark.parametrize("mode", ["mean", "first", "max"])
    def test_the_response_is_the_cosine(self, mode: str, encoder: zoo.LoadedModel) -> None:
        from dataclasses import replace

        assert encoder.tokenizer is not None
        encoder = replace(encoder, pooling=zoo.Pooling(mode))
        tokens = encoder.tokenizer(TEXTS)
        target = zoo.similarity(encoder, tokens, "a good film")
        value = respond(Network(encoder.model), tokens.x, target).value.detach()

        def embed(text: str) -> torch.Tensor:
            hidden = encoder.model(**encoder.tokenizer([text]).x).last_hidden_state[0]
            return {"mean": hidden.mean(0), "first": hidden[0], "max": hidden.max(0).values}[mode]

        for i, text in enumerate(TEXTS):
            naive = torch.cosine_similarity(embed(text), embed("a good film"), dim=0)
            assert float(value[i]) == pytest.approx(float(naive.detach()), abs=1e-5)

    @pytest.mark.parametrize(
        ("stated", "mode"),
        [
            ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
            ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
            ({"pooling_mode": "max"}, "max"),
        ],
    )
    def test_pooling_is_read(self, stated: dict[str, Any], mode: str, tmp_path: Path) -> None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16} | stated))
        from critpath.zoo.sentences import read_pooling

        assert read_pooling(lambda file: tmp_path / file) == zoo.Pooling(mode)

    def test_what_cannot_be_pooled_is_refused(self, encoder: zoo.LoadedModel, folder: Path, tmp_path: Path) -> None:
        shutil.copytree(folder / "encoder", tmp_path / "dense")
        kinds = ["sentence_transformers.models.Transformer", "sentence_transformers.models.Dense"]
        (tmp_path / "dense" / "modules.json").write_text(json.dumps([{"type": kind} for kind in kinds]))
        found = zoo.load(f"hf:{tmp_path / 'dense'}")
        assert found.tokenizer is not None
        with pytest.raises(OptionError, match="the layer Dense"):
            zoo.similarity(found, found.tokenizer(["good"]), "bad")

    def test_a_classifier_has_no_sentences(self, loaded: zoo.LoadedModel) -> None:
        assert loaded.tokenizer is not None
        with pytest.raises(TargetError, match="no hidden states"):
            zoo.similarity(loaded, loaded.tokenizer(["good"]), "bad")


class Hub:
    """A hub with some files of a model, and a cache with others; it counts what is asked of it."""

    def __init__(self, folder: Path, cached: set[str], files: list[str] | None) -> None:
        self.folder, self.cached, self.files, self.asked = folder, cached, files, 0

    def try_to_load_from_cache(self, name: str, file: str) -> str | None:
        return str(self.folder / file) if file in self.cached else None

    def HfApi(self) -> Hub:  # noqa: N802
        return self

    def model_info(self, name: str, timeout: float) -> Any:
        self.asked += 1
        if self.files is None:
            raise ConnectionError("no way there")
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in self.files])

    def hf_hub_download(self, name: str, file: str) -> str:
        return str(self.folder / file)


POOLING = ["modules.json", "1_Pooling/config.json"]


class TestHub:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / POOLING[0]).write_text(json.dumps([{"type": "Transformer"}, {"type": "Pooling"}]))
        (tmp_path / POOLING[1]).write_text(json.dumps({"pooling_mode_cls_token": True}))
        return tmp_path

    @pytest.mark.parametrize(
        ("cached", "files", "mode"), [(POOLING, None, "first"), ([], POOLING, "first"), ([], ["config.json"], "mean")]
    )
    def test_pooling(
        self, cached: list[str], files: list[str] | None, mode: str, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hugging_face_hub, "_hub", lambda: Hub(place, {*cached}, files))
        assert hugging_face_hub.hub_pooling("a/b") == zoo.Pooling(mode)

    def test_pooling_that_is_not_known_is_refused(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hugging_face_hub, "_hub", lambda: Hub(place, set(), None))
        assert "is not known" in hugging_face_hub.hub_pooling("a/b").refused

    def test_the_hub_is_asked_once(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("transformers")
        hub = Hub(place, set(), None)
        monkeypatch.setattr(hugging_face_hub, "_hub", lambda: hub)
        with pytest.raises(StorageError, match=r"There is no folder nosuchfolder .*\(ConnectionError, no way there"):
            zoo.load("hf:nosuchfolder")
        assert hub.asked == 1
        hub.cached.add("config.json")
        hugging_face_hub.check_hub("a/b")
        assert hub.asked == 1
