"""``critpath pathways``: what it writes and prints, and one clear error for everything that is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from critpath.cli import main

MODELS = """
import torch
from torch import nn
from critpath.zoo import LoadedModel, Preprocess

def bare():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(54, 4),
    )

def net():
    return bare(), Preprocess(16, 16)

def named():
    return LoadedModel("mine", *net(), classes=("red fox", "grey fox", "owl", "owlet"), licence="MIT")

def raises():
    raise KeyError("layers")
"""

Run = Callable[..., Result]
QUICK = ("--finders", "taylor,greedy,dgr", "--dgr-iterations", 2, "--greedy-step", 0.3, "--decode", 0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    for number in range(3):
        pixels = np.random.RandomState(number).randint(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.fixture
def run(place: Path) -> Run:
    def running(*words: object, model: str = "m.py:named") -> Result:
        return CliRunner().invoke(main, ["pathways", *map(str, words), "--model", model])

    return running


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result, *words: str) -> None:
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    for word in words:
        assert word in result.stderr, result.stderr


def names(numbers: dict[str, Any]) -> list[str]:
    return [finder["name"] for finder in numbers["finders"]]


def test_one_page(run: Run, place: Path) -> None:
    assert done(run("0.png", "1.png", *QUICK, "--sparsity", 0.8, "-o", "r.html")) == "Report: r.html\n"
    page = (place / "r.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    for word in ("0.png", "1.png", "taylor", "greedy", "dgr", "random", "magnitude", "iterations 2", "step 0.3", "MIT"):
        assert word in page


def test_a_folder_and_the_default_name(run: Run, place: Path) -> None:
    assert done(run(place, *QUICK, "--limit", 2)) == "Report: critpath-pathways.html\n"
    assert "2.png" not in (place / "critpath-pathways.html").read_text("utf-8")


def test_json_is_all_there_is_on_stdout(run: Run, place: Path) -> None:
    result = run(*("0.png", "1.png", "2.png"), *QUICK, "--sparsity", 0.8, "--sparsity", 0.5, "--json", "--seed", 3)
    numbers = json.loads(done(result), parse_constant=pytest.fail)
    assert result.stderr == ""
    assert names(numbers) == ["taylor", "greedy", "dgr", "random", "magnitude"]
    assert [level["requested"] for level in numbers["levels"]] == [0.5, 0.8]
    assert numbers["main_level"] == 1
    assert numbers["images"] == 3
    assert dict(numbers["provenance"])["Seed"] == "3"
    assert not (place / "critpath-pathways.html").exists()


def test_numbers_are_those_of_the_library(run: Run) -> None:
    import torch

    from critpath.comparison import compare_pathways
    from critpath.network import Network
    from critpath.zoo import load, read_image

    numbers = json.loads(done(run("0.png", "1.png", "--finders", "taylor", "--decode", 0, "--json")))
    loaded = load("m.py:named")
    assert loaded.preprocess is not None
    x = torch.stack([loaded.preprocess(read_image(f"{i}.png")) for i in (0, 1)])
    found = json.loads(compare_pathways(Network(loaded.model), x, ["taylor"]).to_json())
    for part in ("levels", "overlap", "curves", "site_overlap", "base_dead"):
        assert numbers[part] == found[part]


def test_pictures_are_decoded(run: Run, place: Path) -> None:
    words = ("--finders", "taylor", "--decode", 1, "--decode-steps", 2)
    numbers = json.loads(done(run("0.png", "1.png", *words, "--json", "-o", "r.html")))
    (decoded,) = numbers["decoded"]
    shown = [picture["name"] for picture in decoded["pictures"]]
    assert shown == ["whole network", "all active neurons", "taylor", "random", "magnitude"]
    assert (place / "r.html").read_text("utf-8").count("Picture decoded from") >= 2


def test_one_image_has_no_intervals(run: Run, place: Path) -> None:
    done(run("0.png", *QUICK, "-o", "r.html"))
    assert "n/a (one image)" in (place / "r.html").read_text("utf-8")


def test_target_and_ablations_arrive(run: Run) -> None:
    words = ("--finders", "taylor", "--decode", 0, "--target", "owlet", "--ablation", "mean", "--ablation", "resample")
    numbers = json.loads(done(run("0.png", "1.png", *words, "--json")))
    assert numbers["target"] == "owlet"
    assert len(numbers["curves"]) == 2


@pytest.mark.parametrize("position", [0, 2])
def test_an_unreadable_image_is_left_out_and_said(run: Run, place: Path, position: int) -> None:
    files = ["0.png", "1.png"]
    files.insert(position, "bad.png")
    (place / "bad.png").write_text("no image")
    result = run(*files, "--finders", "taylor", "--decode", 0, "-o", "r.html")
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("Left out: bad.png is not an image")
    assert second == "Error: 1 of 3 images could not be read; they are named above"
    page = (place / "r.html").read_text("utf-8")
    assert "Left out, because it could not be read: bad.png" in page
    assert "1.png" in page


def test_no_readable_image(run: Run, place: Path) -> None:
    for name in ("a.png", "b.png"):
        (place / name).write_text("no image")
    refused(run("a.png", "b.png", "-o", "r.html"), "none of 2 images")
    refused(run("a.png", "-o", "r.html"), "a.png is not an image")
    refused(run("nowhere.png"), "nowhere.png")
    refused(run(), "No image was named")
    assert not (place / "r.html").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--finders tailor", "Did you mean 'taylor'"),
        ("--finders ,", "names no finder"),
        ("--sparsity 1.0", "sparsity is 1.0"),
        ("--sparsity 0.9 --sparsity nan", "sparsity is nan"),
        ("--ablation noise", "noise"),
        ("--decode -1", "-1"),
        ("--decode-steps 0", "0"),
        ("--limit 0", "0"),
        ("--seed -1", "-1"),
        ("-o missing/r.html", "does not exist"),
        ("-o .", "folder"),
    ],
)
def test_bad_options_are_refused_before_the_model_is_loaded(run: Run, words: str, complaint: str) -> None:
    refused(run("0.png", *words.split(), model="m.py:raises"), complaint)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--greedy-step 2 --finders greedy", "step is 2"),
        ("--target fox", "2 classes"),
        ("--target 4", "4"),
        ("--device gpu", "'gpu'"),
    ],
)
def test_what_needs_the_model_is_refused_too(run: Run, place: Path, words: str, complaint: str) -> None:
    refused(run("0.png", *words.split(), "-o", "r.html"), complaint)
    assert not (place / "r.html").exists()


def test_models_that_do_not_fit(run: Run) -> None:
    refused(run("0.png", model="m.py:bare"), "without its preprocessing")
    refused(run("0.png", model="m.py:raises"), "KeyError")


def test_as_a_module_it_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "critpath.cli", "pathways", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: critpath pathways [OPTIONS] [IMAGES]...")
    assert "--dgr-iterations" in done.stdout
