"""Digests of data and weights, and the files that a user's file imports: every change of content is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from critpath.zoo.contents import END, contents_digest, model_digest
from critpath.zoo.data import DataSet, data_fingerprint, load_data, of_arrays
from critpath.zoo.python_file import own_files


def picture(value: int) -> Image.Image:
    return Image.fromarray(np.full((4, 4, 3), value, np.uint8))


def test_an_edited_picture_is_noticed_where_it_is_used(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(7).save(tmp_path / f"{name}.png")
    whole, first = (lambda: load_data("images", tmp_path)), (lambda: load_data("images", tmp_path, limit=1))
    before = data_fingerprint(whole()), data_fingerprint(first())
    size = (tmp_path / "b.png").stat().st_size
    picture(8).save(tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size == size
    assert data_fingerprint(whole()) != before[0]
    assert data_fingerprint(first()) == before[1]
    picture(7).save(tmp_path / "b.png")
    assert data_fingerprint(whole()) == before[0]
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert data_fingerprint(whole()) != before[0]


def test_a_copy_in_another_folder_is_the_same(tmp_path: Path) -> None:
    for folder in (tmp_path / "one" / "pics", tmp_path / "other" / "pics"):
        folder.mkdir(parents=True)
        picture(7).save(folder / "a.png")
    one, other = (load_data("images", tmp_path / name / "pics") for name in ("one", "other"))
    assert data_fingerprint(one) == data_fingerprint(other)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.bfloat16])
def test_arrays_go_in_by_their_values(kind: torch.dtype) -> None:
    images = torch.arange(3 * 48).view(3, 3, 4, 4) if kind != torch.uint8 else torch.arange(3 * 48).view(3, 4, 4, 3)
    one, other = images.to(kind), images.to(kind)
    assert data_fingerprint(of_arrays("a", one)) == data_fingerprint(of_arrays("a", other))
    other[2, 0, 0, 0] += 1
    assert data_fingerprint(of_arrays("a", one)) != data_fingerprint(of_arrays("a", other))


def test_without_files_the_pictures_are_read() -> None:
    values = [1, 2, 3]

    def read(index: int) -> Image.Image:
        if values[index] == 0:
            raise OSError("damaged")
        return picture(values[index])

    data = DataSet("mine", ["0", "1", "2"], read)
    found = [data_fingerprint(data)]
    for value in (9, 0):
        values[1] = value
        found.append(data_fingerprint(data))
    assert len(set(found)) == 3
    assert data_fingerprint(data.taken([0, 2])) == data_fingerprint(replace(data, ids=["0", "2"], read=[
        picture(1), picture(3)].__getitem__))  # fmt: skip


def test_many_large_files_go_in_by_their_ends(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(bytes(3 * END))
    items: list[Callable[[], Path]] = [lambda file=file: file for file in files]  # type: ignore[misc]
    whole, ends = (lambda: contents_digest(items)), (lambda: contents_digest(items, whole=4 * END))
    before = whole(), ends()
    data = bytearray(3 * END)
    data[3 * END // 2] = 1
    files[1].write_bytes(data)
    assert whole() != before[0]
    assert ends() == before[1]
    data[3 * END - 1] = 1
    files[1].write_bytes(data)
    assert ends() != before[1]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2).bfloat16()
        self.register_buffer("kept", torch.tensor(1.0))
        self.register_buffer("loose", torch.zeros(0, 2), persistent=False)


def test_every_value_of_a_model_counts() -> None:
    model = Net()
    found = [model_digest(model)]
    assert model_digest(model) == found[0]
    for name, index in (("layer.weight", (1, 2)), ("kept", ())):
        with torch.no_grad():
            model.state_dict()[name][index] += 1
        found.append(model_digest(model))
    model.loose = torch.zeros(0, 3)
    found.append(model_digest(model))
    assert len(set(found)) == 4


def test_files_that_a_file_imports(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    lazily = "def f():\n    from pack.sub import *\n"
    write("mine.py", f"import os, torch\nimport helper as h\nfrom pack import inner\n{lazily}")
    write("helper.py", "import mine\n")
    write("pack/__init__.py", "from . import beside\n")
    write("pack/inner.py", "from ..helper import y\n")
    write("pack/beside.py", "import unused_name\nthis is no Python\n")
    write("pack/sub/__init__.py", "")
    write("pack/other.py", "")
    write("other.py", "")
    found = own_files(tmp_path / "mine.py")
    assert found[0] == tmp_path / "mine.py"
    names = {str(file.relative_to(tmp_path)) for file in found}
    assert names == {
        *("mine.py", "helper.py", "pack/__init__.py", "pack/inner.py", "pack/beside.py", "pack/sub/__init__.py"),
    }
