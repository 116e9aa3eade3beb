"""The command line: what it writes and prints, and one clear error for everything that is wrong."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import critpath
from critpath.cli import main

MODELS = """
import torch
from torch import nn
from critpath.zoo import LoadedModel, Preprocess

def bare():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(54, 4),
    )

def seeded():
    torch.manual_seed(0)
    return bare()

def net():
    return seeded(), Preprocess(16, 16)

def named():
    return LoadedModel("mine", *net(), classes=("red fox", "grey fox", "owl", "owlet"), licence="MIT")

def raises():
    raise KeyError("layers")

def raises_when_run():
    class Broken(nn.Sequential):
        def forward(self, x):
            raise ValueError("no such layer")
    return Broken(bare()), Preprocess(16, 16)

def other_size():
    return seeded(), Preprocess(64, 64)

def double():
    return seeded().double(), Preprocess(16, 16)

def nan():
    model = seeded()
    nn.init.constant_(model[5].bias, float("nan"))
    return model, Preprocess(16, 16)

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), Preprocess(16, 16)

def constant():
    model = seeded()
    nn.init.zeros_(model[5].weight)
    return model, Preprocess(16, 16)

def detached():
    class Detached(nn.Sequential):
        def forward(self, x):
            return super().forward(x).detach()
    return Detached(*seeded()), Preprocess(16, 16)

def dropout():
    return nn.Sequential(*seeded(), nn.Dropout()).train(), Preprocess(16, 16)

def no_module():
    return "resnet"
"""

Run = Callable[..., Result]


def picture(size: tuple[int, int] = (20, 24), seed: int = 0) -> Image.Image:
    pixels = np.random.RandomState(seed).randint(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own folder to work in, with a model's file and three pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    for number in range(3):
        picture(seed=number).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.fixture
def run(place: Path) -> Run:
    def running(*words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    return running


def explain(run: Run, *words: object, model: str = "m.py:net") -> Result:
    return run("explain", *words, "--model", model)


def written(place: Path) -> set[str]:
    """Every file and folder that the fixture did not put there."""
    found = {p.relative_to(place).as_posix() for p in place.rglob("*") if "__pycache__" not in p.parts}
    return found - {"m.py", "0.png", "1.png", "2.png"}


def refused(result: Result, *words: str) -> str:
    """The one message of a command that failed on purpose."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert sum(line.startswith("Error: ") for line in lines) == 1
    message = result.stderr[result.stderr.index("Error: ") :]
    for word in words:
        assert word in message, message
    return message


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


class TestExplain:
    def test_one_image(self, run: Run, place: Path) -> None:
        assert done(explain(run, "0.png", "-o", "r.html")) == "Report: r.html\n"
        assert written(place) == {"r.html"}
        page = (place / "r.html").read_text("utf-8")
        assert page.lower().startswith("<!doctype html>")
        assert "0.png" in page
        assert "m.py:net" in page

    def test_where_the_report_goes_by_default(self, run: Run, place: Path) -> None:
        assert done(explain(run, "0.png")) == "Report: critpath-report.html\n"
        assert written(place) == {"critpath-report.html"}

    def test_an_older_report_is_replaced(self, run: Run, place: Path) -> None:
        (place / "r.html").write_text("older")
        done(explain(run, "0.png", "-o", "r.html"))
        assert "older" not in (place / "r.html").read_text("utf-8")[:100]
        assert written(place) == {"r.html"}

    def test_several_images(self, run: Run, place: Path) -> None:
        assert done(explain(run, "0.png", "1.png", "2.png", "-o", "out")).endswith("out/index.html\n")
        pages = {"out/0001-0.html", "out/0002-1.html", "out/0003-2.html"}
        assert written(place) == {"out", "out/index.html", *pages}
        index = (place / "out/index.html").read_text("utf-8")
        assert all(f'href="{Path(page).name}"' in index for page in pages)

    def test_a_folder(self, run: Run, place: Path) -> None:
        done(explain(run, place, "-o", "out"))
        assert {"out/0001-0.html", "out/0003-2.html", "out/index.html"} < written(place)

    def test_several_images_by_default(self, run: Run, place: Path) -> None:
        assert done(explain(run, "0.png", "1.png")).endswith("critpath-reports/index.html\n")

    def test_same_stem_in_two_folders(self, run: Run, place: Path) -> None:
        for number, name in enumerate(("a/cat.png", "b/cat.png", "b/cat.jpg")):
            (place / name).parent.mkdir(exist_ok=True)
            picture(seed=number).save(place / name)
        result = done(explain(run, "a", "b/cat.png", "b/cat.jpg", "-o", "out", "--json"))
        pages = [(place / "out" / f"000{i}-cat.html").read_text("utf-8") for i in (1, 2, 3)]
        assert len({json.dumps(entry["predictions"]) for entry in json.loads(result)}) == 3
        assert len(set(pages)) == 3

    def test_the_same_image_twice_is_one(self, run: Run, place: Path) -> None:
        assert len(json.loads(done(explain(run, "0.png", "0.png", "--json")))) == 1

    def test_options_arrive(self, run: Run) -> None:
        words = [
            "--target",
            "2",
            "--method",
            "activation",
            "--sparsity",
            "0.66",
            "--scope",
            "site",
            "--seed",
            "7",
            "--json",
        ]
        (numbers,) = json.loads(done(explain(run, "0.png", *words)))
        assert numbers["target"] == "class 2"
        assert numbers["method"] == "activation"
        assert numbers["levels"][numbers["main_level"]]["requested"] == 0.66
        facts = dict(numbers["provenance"])
        assert facts["Seed"] == "7"
        assert facts["Scores"] == "activation, ranked over the site"
        assert facts["Image"] == "0.png"

    def test_numbers_are_those_of_the_library(self, run: Run, place: Path) -> None:
        from critpath.zoo import load, read_image

        (numbers,) = json.loads(done(explain(run, "1.png", "--json", "--seed", "3")))
        loaded = load("m.py:net")
        x = loaded.preprocess(read_image("1.png")).unsqueeze(0)
        found = json.loads(critpath.explain(critpath.Network(loaded.model), x, seed=3).to_json())
        for part in ("response", "target", "predictions", "levels", "sites", "top_neurons", "reach"):
            assert numbers[part] == found[part]

    def test_weights_from_a_file(self, run: Run, place: Path) -> None:
        save_file(_weights(), place / "w.safetensors")
        spec = "file:w.safetensors"
        (numbers,) = json.loads(done(explain(run, "0.png", "--json", "--arch", "m.py:net", model=spec)))
        assert (
            json.loads(done(explain(run, "0.png", "--json", model=f"{spec}@m.py:net")))[0]["response"]
            == (numbers["response"])
        )
        (seeded,) = json.loads(done(explain(run, "0.png", "--json")))
        assert numbers["response"] != seeded["response"]

    def test_a_pickle_that_is_allowed(self, run: Run, place: Path) -> None:
        torch.save(_weights(), place / "w.pt")
        done(explain(run, "0.png", "--allow-pickle", "-o", "r.html", model="file:w.pt@m.py:net"))

    @pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA", "RGBA", "I;16", "animated", "YCbCr"])
    def test_image_modes(self, run: Run, place: Path, mode: str) -> None:
        image = picture()
        file = place / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.gif" if mode == "animated" else "x.png")
        if mode == "I;16":
            grey = np.random.RandomState(0).randint(0, 65536, (20, 24)).astype(np.uint16)
            Image.fromarray(grey).save(file)
        elif mode == "animated":
            image.save(file, save_all=True, append_images=[picture(seed=5)])
        else:
            image.convert(mode).save(file)
        (numbers,) = json.loads(done(explain(run, file, "--json")))
        assert np.isfinite(numbers["response"])


def _weights(seed: int = 9, classes: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"0": (4, 3, 3, 3), "2": (6, 4, 3, 3), "5": (classes, 54)}
    weights = {f"{n}.weight": torch.randn(s, generator=generator) for n, s in shapes.items()}
    return weights | {f"{n}.bias": torch.randn(s[0], generator=generator) for n, s in shapes.items()}


class TestMethods:
    def test_the_error_of_an_integral_is_on_the_page(self, run: Run, place: Path) -> None:
        done(explain(run, "0.png", "--method", "intgrad", "--tolerance", 0.1, "--memory", "1GiB", "-o", "r.html"))
        page = (place / "r.html").read_text("utf-8")
        assert "Wanted was 10%, which was reached." in page
        assert ">Error</th>" in page

    def test_baselines(self, run: Run) -> None:
        words = ("0.png", "--method", "conductance", "--points", 9, "--json", "--baseline")
        found = {name: json.loads(done(explain(run, *words, name))) for name in ("zero", "black", "mean")}
        shares = {name: [site["contribution"] for site in numbers[0]["sites"]] for name, numbers in found.items()}
        assert len({tuple(share) for share in shares.values()}) == 3

    def test_what_a_method_does_not_take_is_refused_before_the_model_is_loaded(self, run: Run) -> None:
        refused(explain(run, "0.png", "--tolerance", 0.1, model="nothing.py:f"), "taylor does not take", "'tolerance'")

    def test_bad_values_are_refused(self, run: Run) -> None:
        method = ("0.png", "--method", "conductance")
        refused(explain(run, *method, "--points", 0), "points is 0")
        refused(explain(run, *method, "--tolerance", -1), "tolerance is -1")
        refused(explain(run, *method, "--baseline", "grey"), "no baseline is called 'grey'")
        refused(explain(run, *method, "--memory", "lots"), "memory is 'lots'")
        refused(explain(run, *method, "--memory", "1KiB"), "one sample needs about")


class TestJson:
    def test_is_all_there_is_on_stdout(self, run: Run, place: Path) -> None:
        result = explain(run, "0.png", "1.png", "--json")
        first, second = json.loads(done(result))
        assert result.stderr == ""
        assert (first["image"], second["image"]) == ("0.png", "1.png")
        assert written(place) == set()

    def test_with_a_report(self, run: Run, place: Path) -> None:
        json.loads(done(explain(run, "0.png", "--json", "-o", "r.html")))
        assert written(place) == {"r.html"}

    def test_is_strict(self, run: Run) -> None:
        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        json.loads(done(explain(run, "0.png", "--json", "--sparsity", "0.999")), parse_constant=refuse)

    def test_nothing_on_stdout_after_a_failure(self, run: Run, place: Path) -> None:
        (place / "bad.png").write_text("no image")
        refused(explain(run, "bad.png", "--json"), "bad.png")

    def test_good_images_among_bad_ones(self, run: Run, place: Path) -> None:
        (place / "bad.png").write_text("no image")
        result = explain(run, "0.png", "bad.png", "2.png", "--json")
        assert result.exit_code == 1
        assert [entry["image"] for entry in json.loads(result.stdout)] == ["0.png", "2.png"]
        assert "1 of 3 images" in result.stderr


class TestTarget:
    @pytest.mark.parametrize(
        ("target", "label"),
        [("3", "owlet"), ("owl", "owl"), ("OWLET", "owlet"), ("Red", "red fox"), ("grey fox", "grey fox")],
    )
    def test_by_number_and_name(self, run: Run, target: str, label: str) -> None:
        (numbers,) = json.loads(done(explain(run, "0.png", "--target", target, "--json", model="m.py:named")))
        assert numbers["target"] == label

    def test_ambiguous(self, run: Run, place: Path) -> None:
        refused(explain(run, "0.png", "--target", "fox", model="m.py:named"), "2 classes", "0 red fox, 1 grey fox")
        assert written(place) == set()

    @pytest.mark.parametrize("target", ["cat", "1.5", "-", "²", "٣٣", "--3", "0x1"])
    def test_no_such_class(self, run: Run, place: Path, target: str) -> None:
        refused(explain(run, "0.png", f"--target={target}", model="m.py:named"))
        assert written(place) == set()

    @pytest.mark.parametrize("target", ["4", "-1", "99999999999999999999"])
    def test_out_of_range(self, run: Run, place: Path, target: str) -> None:
        refused(explain(run, "0.png", f"--target={target}"))
        assert written(place) == set()

    def test_empty_name(self, run: Run) -> None:
        refused(explain(run, "0.png", "--target", "", model="m.py:named"))

    def test_name_without_names(self, run: Run) -> None:
        refused(explain(run, "0.png", "--target", "owl"), "no class names")


def bomb(side: int) -> bytes:
    """A small PNG that claims to be side x side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


class TestBadImages:
    @pytest.mark.parametrize(
        "name", ["text.png", "empty.jpg", "cut.png", "cut.jpg", "bomb.png", "vast.png", "page.pdf"]
    )
    def test_refused(self, run: Run, place: Path, name: str) -> None:
        file = place / name
        if name.startswith("cut"):
            picture((90, 90)).save(file)
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        else:
            content = {"bomb.png": bomb(12_000), "vast.png": bomb(60_000), "page.pdf": b"%PDF-1.4", "text.png": b"hi"}
            file.write_bytes(content.get(name, b""))
        refused(explain(run, file, "-o", "r.html"), name)
        assert written(place) == {name}

    def test_missing(self, run: Run, place: Path) -> None:
        refused(explain(run, "nowhere.png"), "nowhere.png")
        refused(run("explain"), "No image was named")
        (place / "empty").mkdir()
        refused(explain(run, "empty"), "no image file")
        assert written(place) == {"empty"}

    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_one_of_three(self, run: Run, place: Path, position: int) -> None:
        """The bad one is named, the others are explained and linked, and the command fails."""
        names = ["0.png", "1.png", "2.png"]
        (place / "bad.png").write_text("no image")
        names[position] = "bad.png"
        result = explain(run, *names, "-o", "out")
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        first, second = result.stderr.splitlines()
        assert first.startswith("Left out: bad.png is not an image")
        assert second == "Error: 1 of 3 images could not be read; they are named above"
        good = {f"out/000{i + 1}-{n[0]}.html" for i, n in enumerate(names) if n != "bad.png"}
        assert written(place) == {"bad.png", "out", "out/index.html", *good}
        index = (place / "out/index.html").read_text("utf-8")
        assert all(f'href="{Path(page).name}"' in index for page in good)
        assert index.count('.html"') == 2

    def test_all_of_three(self, run: Run, place: Path) -> None:
        for name in ("a.png", "b.png"):
            (place / name).write_text("no image")
        result = explain(run, "a.png", "b.png", "-o", "out")
        assert result.exit_code == 1
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 3
        assert not {name for name in written(place) if name.endswith("html")}


class TestBadModels:
    @pytest.mark.parametrize(
        ("model", "words"),
        [
            ("m.py:raises", ["KeyError", "layers"]),
            ("m.py:raises_when_run", ["cannot run this input", "no such layer"]),
            ("m.py:other_size", ["cannot run this input", "[1, 3, 64, 64]"]),
            ("m.py:double", ["cannot run this input", "float64"]),
            ("m.py:nan", ["NaN"]),
            ("m.py:linear", ["no activation function"]),
            ("m.py:constant", ["no neuron contributes"]),
            ("m.py:detached", ["constant"]),
            ("m.py:no_module", ["returned"]),
            ("m.py:bare", ["without its preprocessing"]),
            ("m.py:nothing", ["nothing"]),
            ("nowhere.py:net", ["nowhere.py"]),
            ("m.py", ["m.py:function"]),
            ("resnet-9000", ["Unknown model"]),
            ("torchvision:resnet9000", ["resnet9000"]),
            ("file:nowhere.safetensors@m.py:net", ["nowhere.safetensors"]),
            ("", ["Unknown model"]),
        ],
    )
    def test_refused(self, run: Run, place: Path, model: str, words: list[str]) -> None:
        refused(explain(run, "0.png", "-o", "r.html", model=model), *words)
        several = explain(run, "0.png", "1.png", "-o", "out", model=model)
        assert several.exit_code == 1
        assert isinstance(several.exception, SystemExit)
        assert all(word in several.stderr for word in words)
        assert several.stdout == ""
        assert {name for name in written(place) if name.endswith("html")} == set()

    def test_no_folder_is_left(self, run: Run, place: Path) -> None:
        refused(explain(run, "0.png", "1.png", "-o", "out", model="m.py:raises"))
        assert written(place) == set()

    def test_a_file_that_does_not_parse(self, run: Run, place: Path) -> None:
        (place / "broken.py").write_text("def net(:\n")
        refused(explain(run, "0.png", model="broken.py:net"), "SyntaxError")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda w: w.update({"5.weight": torch.ones(7, 54)}), ["[7, 54]", "[4, 54]"]),
            (lambda w: w.pop("2.bias"), ["1 missing: 2.bias"]),
            (lambda w: w.update({"7.bias": torch.ones(2)}), ["1 unexpected: 7.bias"]),
            (lambda w: w["0.weight"].view(-1)[3:4].fill_(float("nan")), ["NaN", "0.weight"]),
            (lambda w: w["0.weight"].view(-1)[3:4].fill_(float("inf")), ["infinity", "0.weight"]),
        ],
        ids=["shape", "missing", "unexpected", "nan", "inf"],
    )
    def test_weights_that_do_not_fit(self, run: Run, place: Path, change: Any, words: list[str]) -> None:
        weights = _weights()
        change(weights)
        save_file(weights, place / "w.safetensors")
        refused(explain(run, "0.png", model="file:w.safetensors@m.py:net"), *words)
        assert written(place) == {"w.safetensors"}

    def test_a_pickle_is_refused(self, run: Run, place: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple:
                return (Path.touch, (place / "ran",))

        torch.save(_weights(), place / "w.pt")
        torch.save({"weights": Evil()}, place / "evil.pt")
        refused(explain(run, "0.png", model="file:w.pt@m.py:net"), "pickle", "--allow-pickle")
        refused(explain(run, "0.png", model="file:evil.pt@m.py:net"), "pickle")
        refused(explain(run, "0.png", "--allow-pickle", model="file:evil.pt@m.py:net"), "cannot be read")
        assert written(place) == {"w.pt", "evil.pt"}

    def test_device(self, run: Run) -> None:
        refused(explain(run, "0.png", "--device", "gpu"), "'gpu'")
        refused(explain(run, "0.png", "--device", "meta"))


class TestBadOptions:
    @pytest.mark.parametrize(
        "words",
        [
            "--sparsity 1.0",
            "--sparsity -0.1",
            "--sparsity nan",
            "--sparsity inf",
            "--sparsity many",
            "--method tailor",
            "--method pathway_gradient",
            "--scope layer",
            "--seed x",
            "--seed 99999999999999999999999",
            "--arch torchvision:resnet18",
            "--colour red",
        ],
    )
    def test_refused(self, run: Run, place: Path, words: str) -> None:
        refused(explain(run, "0.png", *words.split()))
        assert written(place) == set()

    def test_an_option_is_refused_before_the_long_work(self, run: Run, place: Path) -> None:
        """Not only once the model is loaded: here there is none."""
        for words in ("--sparsity 1.0", "--method tailor", "--scope layer"):
            message = refused(explain(run, "0.png", *words.split(), model="m.py:raises"))
            assert words.split()[0].strip("-") in message or words.split()[1] in message


class TestBadOutput:
    @pytest.mark.parametrize(
        ("output", "words"),
        [("a/b/r.html", "does not exist"), ("/dev/null", "not a file"), ("m.py/r.html", "")],
    )
    def test_refused(self, run: Run, place: Path, output: str, words: str) -> None:
        refused(explain(run, "0.png", "-o", output, model="m.py:raises"), words)
        assert written(place) == set()

    @pytest.mark.parametrize(("output", "words"), [("r.html", "folder"), ("m.py", "m.py"), ("m.py/out", "m.py")])
    def test_several_need_a_folder(self, run: Run, place: Path, output: str, words: str) -> None:
        refused(explain(run, "0.png", "1.png", "-o", output, model="m.py:raises"), words)
        assert written(place) == set()
        assert (place / "m.py").read_text() == MODELS

    def test_not_writable(self, run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        refused(explain(run, "0.png", "-o", "r.html"), "permission denied")
        assert written(place) == set()

    def test_disk_full(self, run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        (place / "r.html").write_text("older")
        refused(explain(run, "0.png", "-o", "r.html"), "No space left")
        assert (place / "r.html").read_text() == "older"
        assert written(place) == {"r.html"}

    def test_an_index_that_cannot_be_written(self, run: Run, place: Path) -> None:
        (place / "out" / "index.html").mkdir(parents=True)
        refused(explain(run, "0.png", "1.png", "-o", "out", model="m.py:raises"), "index.html")


class TestDoctor:
    def test_model_with_preprocessing(self, run: Run, place: Path) -> None:
        text = done(run("doctor", "m.py:net"))
        assert "2 sites, 250 neurons a sample" in text
        assert "bit-identical" in text
        assert "taylor" in text
        assert written(place) == set()

    def test_shape_and_batch(self, run: Run) -> None:
        found = json.loads(done(run("doctor", "m.py:bare", "--shape", "3x16x16", "--batch", "2", "--json")))
        assert found["batch"] == 2
        assert [report["site"]["name"] for report in found["sites"]] == ["1#0", "3#0"]
        assert {row["method"] for row in found["predictions"]} >= set(critpath.contribution_names())
        assert {row["method"] for row in found["predictions"]} >= set(critpath.attribution_names())

    def test_on_an_image(self, run: Run) -> None:
        assert "2 sites" in done(run("doctor", "m.py:net", "--image", "0.png"))

    @pytest.mark.parametrize(
        "words",
        [
            "m.py:bare",
            "m.py:net --batch 0",
            "m.py:net --batch -1",
            "m.py:bare --shape 3xx",
            "m.py:bare --shape 0x16x16",
            "m.py:bare --shape x",
            "m.py:bare --shape 3x4",
            "m.py:net --image nowhere.png",
            "m.py:linear",
            "m.py:raises",
            "m.py:raises_when_run",
            "nothing",
        ],
    )
    def test_refused(self, run: Run, place: Path, words: str) -> None:
        refused(run("doctor", *words.split()))
        assert written(place) == set()


class TestModels:
    def test_list(self, run: Run) -> None:
        text = done(run("models"))
        assert text.startswith("efficientnet-lite0")
        for form in ("file:WEIGHTS@ARCHITECTURE", "path/to/module.py:function", "timm:NAME"):
            assert form in text

    def test_all(self, run: Run) -> None:
        pytest.importorskip("critpath.zoo").import_torchvision()
        assert "torchvision:resnet50 " in done(run("models", "--all"))

    def test_json(self, run: Run) -> None:
        found = json.loads(done(run("models", "--json")))
        assert found[0]["name"] == "efficientnet-lite0"
        assert all({"name", "family", "description", "offline", "note"} == set(row) for row in found)


class TestHelp:
    @pytest.mark.parametrize("words", ["--help", "-h", "explain --help", "doctor -h", "models --help", "--version"])
    def test_needs_no_torch(self, words: str) -> None:
        script = (
            "import sys\nfrom critpath.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "finally: print(*(m for m in ('torch', 'numpy', 'PIL') if m in sys.modules), file=sys.stderr)"
        )
        result = _python("-c", script, *words.split())
        assert result.returncode == 0
        assert result.stderr.strip() == ""
        assert result.stdout

    def test_says_what_there_is(self, run: Run) -> None:
        text = done(run("--help"))
        assert all(command in text for command in ("explain", "doctor", "models"))
        assert critpath.__version__ in done(run("--version"))

    def test_unknown_command(self, run: Run) -> None:
        refused(run("explian"), "explian")


def _python(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", *words], capture_output=True, text=True, check=False, cwd=cwd)


class TestProcess:
    """The program as it is run, without a test runner around it."""

    def test_explains(self, place: Path) -> None:
        result = _python("-m", "critpath.cli", "explain", "0.png", "1.png", "--model", "m.py:net", "--json", cwd=place)
        assert result.returncode == 0, result.stderr
        assert len(json.loads(result.stdout)) == 2
        assert result.stderr == ""

    def test_refuses(self, place: Path) -> None:
        (place / "bad.png").write_text("no image")
        result = _python("-m", "critpath.cli", "explain", "bad.png", "--model", "m.py:net", cwd=place)
        assert result.returncode == 1
        assert result.stdout == ""
        assert result.stderr.startswith("Error: bad.png is not an image")
        assert "Traceback" not in result.stderr
        assert written(place) == {"bad.png"}

    def test_model_that_is_in_training_mode_is_put_in_evaluation_mode(self, place: Path) -> None:
        assert isinstance(nn.Dropout(), nn.Module)
        text = (
            MODELS + "\ndef dropout():\n    return nn.Sequential(*seeded(), nn.Dropout()).train(), Preprocess(16, 16)\n"
        )
        (place / "m.py").write_text(text)
        result = _python("-m", "critpath.cli", "explain", "0.png", "--model", "m.py:dropout", "--json", cwd=place)
        assert result.returncode == 0, result.stderr


def test_the_default_model_is_the_zoos() -> None:
    """Named twice, so that the command line starts without torch."""
    from critpath import cli, zoo

    assert cli.DEFAULT_MODEL == zoo.DEFAULT_MODEL
