"""Data sets by name: every source against the same images in memory, and no code in any of them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from critpath.errors import InputError, MissingDependencyError, ModelError, OptionError, StorageError
from critpath.zoo import DataSet, Preprocess, available, load, load_data, packages
from critpath.zoo.data import SOURCES, arrays, data_fingerprint, of_arrays, packaged, selected, source_options
from critpath.zoo.digits import digits_network

SMALL = Preprocess(8, 8)


@pytest.fixture
def pixels() -> np.ndarray[Any, Any]:
    return np.random.RandomState(0).randint(0, 256, (6, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def wanted(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.stack([SMALL(Image.fromarray(one)) for one in pixels])


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    """b/0.png, b/1.png, a/2.png, ... : a folder for each class."""
    for i, one in enumerate(pixels):
        place = tmp_path / "pictures" / ("b" if i < 2 else "a")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(place / f"{i}.png")
    return tmp_path / "pictures"


def read(data: DataSet) -> Tensor:
    x, failures = data.inputs(range(len(data)), SMALL)
    assert failures == {}
    return x


def test_a_folder_for_each_class(folder: Path, wanted: Tensor) -> None:
    data = load_data("images", folder)
    assert list(data.ids) == ["a/2.png", "a/3.png", "a/4.png", "a/5.png", "b/0.png", "b/1.png"]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert data.classes == ("a", "b")
    assert torch.equal(read(data), wanted[[2, 3, 4, 5, 0, 1]])


def test_a_flat_folder_has_no_labels(folder: Path) -> None:
    data = load_data("images", folder / "a")
    assert data.labels is None
    assert "no labels" in repr(data)
    (folder / "a" / ".hidden.png").write_bytes(b"")
    (folder / "a" / "notes.txt").write_text("")
    assert len(load_data("images", folder / "a")) == 4


@pytest.mark.parametrize(
    ("table", "labels", "classes"),
    [
        ("file,class_index\n2.png,7\n4.png,1\n5.png,0\n", [7, -1, 1, 0], None),
        ("class_index,label,file\n0,owl,2.png\n1,fox,3.png\n", [0, 1, -1, -1], ("owl", "fox")),
        ("file,label\n2.png,owl\n3.png,fox\n4.png,owl\n5.png,cat\n", [2, 1, 2, 0], ("cat", "fox", "owl")),
        ("\ufefffile,label\r\n2.png,3\r\n", [3, -1, -1, -1], None),
    ],
)
def test_labels_in_a_table(folder: Path, table: str, labels: list[int], classes: tuple[str, ...] | None) -> None:
    (folder / "labels.csv").write_text(table, encoding="utf-8")
    data = load_data("images", folder / "a", labels=folder / "labels.csv")
    assert data.labels is not None
    assert data.labels.tolist() == labels
    assert data.classes == classes


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "columns none"),
        ("name,label\nx,1\n", "columns name, label"),
        ("file,class_index\n2.png,first\n", "'first'"),
        ("file,class_index\nother.png,1\n", "none of the 4 files"),
    ],
)
def test_tables_that_are_no_labels(folder: Path, table: str, words: str) -> None:
    (folder / "labels.csv").write_text(table)
    with pytest.raises(OptionError, match=words):
        load_data("images", folder / "a", labels=folder / "labels.csv")
    with pytest.raises(StorageError, match="cannot be read"):
        load_data("images", folder / "a", labels=folder / "gone.csv")


def test_an_unreadable_image_fails_alone(folder: Path, wanted: Tensor) -> None:
    (folder / "a" / "3.png").write_bytes(b"no image")
    x, failures = load_data("images", folder).inputs([0, 1, 2], SMALL)
    assert list(failures) == [1]
    assert failures[1].startswith("a/3.png: ")
    assert x[1].isnan().all()
    assert torch.equal(x[[0, 2]], wanted[[2, 4]])
    x, failures = load_data("images", folder).inputs([1], SMALL)
    assert x.shape == (1, 0)
    assert list(failures) == [1]


def test_pictures_need_preprocessing(folder: Path) -> None:
    with pytest.raises(OptionError, match="how they become inputs"):
        load_data("images", folder).inputs([0])


def test_arrays_of_pictures(tmp_path: Path, pixels: np.ndarray[Any, Any], wanted: Tensor) -> None:
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(6, dtype=np.int32))
    save_file({"images": torch.from_numpy(pixels), "labels": torch.arange(6)}, tmp_path / "a.safetensors")
    for name in ("a.npz", "a.safetensors"):
        data = load_data("arrays", tmp_path / name)
        assert torch.equal(read(data), wanted)
        assert data.labels is not None
        assert data.labels.tolist() == list(range(6))


def test_grey_pictures(pixels: np.ndarray[Any, Any]) -> None:
    for grey in (pixels[..., 0], pixels[..., :1]):
        view = np.repeat(pixels[:1, ..., :1], 3, axis=3)[0]
        assert torch.equal(of_arrays("grey", grey).inputs([0], SMALL)[0][0], SMALL(Image.fromarray(view)))


def test_arrays_of_inputs_are_taken_as_they_are(tmp_path: Path) -> None:
    images = np.random.RandomState(0).rand(3, 2, 4, 4)
    images[1, 0, 0, 0] = np.inf
    np.savez(tmp_path / "a.npz", images=images)
    x, failures = load_data("arrays", tmp_path / "a.npz").inputs([0, 1, 2])
    assert x.dtype == torch.float64
    assert torch.equal(x[[0, 2]], torch.from_numpy(images)[[0, 2]])
    assert list(failures) == [1]


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((3, 8, 8, 4), np.uint8), None, "1 or 3"),
        (np.zeros((3, 8), np.float32), None, "uint8 .n, H, W, C."),
        (np.zeros((3, 8, 8, 3), np.int64), None, "int64"),
        (np.zeros((3, 8, 8), np.uint8), np.zeros(2, int), "one for each"),
        (np.zeros((3, 8, 8), np.uint8), np.zeros(3), "whole numbers"),
    ],
)
def test_arrays_that_are_no_images(images: Any, labels: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        of_arrays("a", images, labels)


class Evil:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.array([Evil()], dtype=object))
    with pytest.raises(StorageError, match="Python objects"):
        load_data("arrays", tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(StorageError, match="cannot be read"):
        load_data("arrays", tmp_path / "b.npz")
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Evil()))
    for name in ("CIFAR10", "CIFAR100", "LSUN"):
        with pytest.raises(OptionError, match="allow_pickle"):
            load_data("torchvision", name, root=tmp_path)
    with pytest.raises(StorageError, match="Python version, which is a pickle"):
        load_data("cifar10", tmp_path)


def test_damaged_and_other_files(tmp_path: Path) -> None:
    for name in ("a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 cut short")
        with pytest.raises(StorageError, match="cannot be read"):
            load_data("arrays", tmp_path / name)
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(OptionError, match=r"\.npz or \.safetensors"):
        load_data("arrays", tmp_path / "a.npy")
    np.savez(tmp_path / "c.npz", x=np.zeros(3))
    with pytest.raises(OptionError, match="needs images"):
        load_data("arrays", tmp_path / "c.npz")


def test_cifar10_in_its_binary_version(tmp_path: Path) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(10, dtype=np.uint8)
    records = np.concatenate([labels[:, None], pixels.transpose(0, 3, 1, 2).reshape(10, -1)], axis=1)
    for i in range(5):
        (tmp_path / f"data_batch_{i + 1}.bin").write_bytes(records[2 * i : 2 * i + 2].tobytes())
    (tmp_path / "test_batch.bin").write_bytes(records[:3].tobytes())
    whole = torch.stack([Preprocess(32, 32)(Image.fromarray(one)) for one in pixels])
    train, test = (load_data("cifar10", tmp_path, split=split) for split in ("train", "test"))
    assert torch.equal(train.inputs(range(10), Preprocess(32, 32))[0], whole)
    assert torch.equal(test.inputs(range(3), Preprocess(32, 32))[0], whole[:3])
    assert train.labels is not None
    assert train.labels.tolist() == list(range(10))
    assert train.classes is not None
    assert train.classes[3] == "cat"
    (tmp_path / "batches.meta.txt").write_text("one\ntwo\n\n")
    assert load_data("cifar10", tmp_path).classes == ("one", "two")
    (tmp_path / "test_batch.bin").write_bytes(records[:3].tobytes()[:-1])
    with pytest.raises(StorageError, match="damaged"):
        load_data("cifar10", tmp_path)
    with pytest.raises(OptionError, match="train, test"):
        load_data("cifar10", tmp_path, split="validation")


def test_torchvision_on_disk(folder: Path, wanted: Tensor) -> None:
    data = load_data("torchvision", "ImageFolder", root=folder)
    assert torch.equal(read(data), wanted[[2, 3, 4, 5, 0, 1]])
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert data.classes == ("a", "b")


def test_torchvision_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Nothing is downloaded"):
        load_data("torchvision", "MNIST", root=tmp_path, split="test")
    with pytest.raises(OptionError, match="Did you mean MNIST"):
        load_data("torchvision", "MINST", root=tmp_path)
    with pytest.raises(OptionError, match="no split 'dev'"):
        load_data("torchvision", "MNIST", root=tmp_path, split="dev")
    with pytest.raises(OptionError, match="does not take these options"):
        load_data("torchvision", "MNIST", root=tmp_path, options={"size": 3})


@pytest.fixture
def table(pixels: np.ndarray[Any, Any]) -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=[f"c{i}" for i in range(6)])}
    )
    rows = {"image": [Image.fromarray(one) for one in pixels], "label": list(range(6))}
    return datasets.Dataset.from_dict(rows, features=features)


def test_hugging_face_on_disk(tmp_path: Path, table: Any, wanted: Tensor) -> None:
    datasets = pytest.importorskip("datasets")
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"test": table}).save_to_disk(tmp_path / "splits")
    (tmp_path / "files").mkdir()
    table.to_parquet(tmp_path / "files" / "test-0.parquet")
    for place, options in (
        ("one", {}),
        ("splits", {"split": "test"}),
        ("files", {"split": "test"}),
        ("files/test-0.parquet", {}),
    ):
        data = load_data("huggingface", tmp_path / place, **options)
        assert torch.equal(read(data), wanted), place
        assert data.labels is not None
        assert data.labels.tolist() == list(range(6))
        assert data.classes == tuple(f"c{i}" for i in range(6))
    with pytest.raises(OptionError, match="splits test"):
        load_data("huggingface", tmp_path / "splits")
    with pytest.raises(OptionError, match="columns image, label, not 'img'"):
        load_data("huggingface", tmp_path / "one", image="img")
    with pytest.raises(StorageError, match="no folder"):
        load_data("huggingface", tmp_path / "gone")
    with pytest.raises(StorageError, match="no data set on disk"):
        load_data("huggingface", tmp_path)


def test_a_damaged_image_in_a_table_fails_alone(tmp_path: Path, pixels: np.ndarray[Any, Any]) -> None:
    datasets = pytest.importorskip("datasets")
    good = io.BytesIO()
    Image.fromarray(pixels[0]).save(good, "png")
    rows = {"image": [{"bytes": good.getvalue(), "path": None}, {"bytes": b"damaged", "path": None}], "label": [0, 1]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "one")
    x, failures = load_data("huggingface", tmp_path / "one").inputs([0, 1], SMALL)
    assert list(failures) == [1]
    assert torch.equal(x[0], SMALL(Image.fromarray(pixels[0])))


def test_own_functions(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(
        "import torch\nfrom critpath.zoo.data import of_arrays\n"
        "def pair():\n    return torch.zeros(3, 1, 4, 4), torch.arange(3)\n"
        "def whole():\n    return of_arrays('mine', torch.ones(2, 1, 4, 4))\n"
        "def raises():\n    raise KeyError('x')\n"
        "def number():\n    return 3\n"
    )
    pair = load_data("python", f"{tmp_path}/d.py:pair")
    assert (pair.name, len(pair)) == ("pair", 3)
    assert load_data("python", f"{tmp_path}/d.py:whole").name == "mine"
    with pytest.raises(ModelError, match="return the data without arguments"):
        load_data("python", f"{tmp_path}/d.py:raises")
    with pytest.raises(OptionError, match="returned a int"):
        load_data("python", f"{tmp_path}/d.py:number")


def test_parts_of_a_data_set() -> None:
    images = torch.arange(10.0).view(-1, 1, 1, 1)
    whole = of_arrays("ten", images, torch.arange(10))
    part = selected(whole, start=2, limit=3)
    assert list(part.ids) == ["2", "3", "4"]
    assert torch.equal(part.inputs([0, 2])[0].flatten(), torch.tensor([2.0, 4.0]))
    assert part.labels is not None
    assert part.labels.tolist() == [2, 3, 4]
    shuffled = selected(whole, shuffle=1)
    assert sorted(shuffled.ids) == sorted(whole.ids)
    assert list(shuffled.ids) != list(whole.ids)
    assert [int(i) for i in shuffled.inputs(range(10))[0].flatten()] == [int(i) for i in shuffled.ids]
    assert list(selected(whole, shuffle=1, start=4, limit=3).ids) == list(shuffled.ids)[4:7]
    assert list(selected(whole, limit=99).ids) == list(whole.ids)
    for wrong in ({"start": 10}, {"limit": 0}, {"shuffle": -1}, {"start": 1.5}):
        with pytest.raises(OptionError):
            selected(whole, **wrong)  # type: ignore[arg-type]


def test_fingerprints_tell_data_apart(tmp_path: Path) -> None:
    one = of_arrays("a", torch.zeros(3, 1, 2, 2), torch.arange(3))
    same = of_arrays("b", torch.zeros(3, 1, 2, 2), torch.arange(3))
    assert data_fingerprint(one) == data_fingerprint(same)
    assert data_fingerprint(one) != data_fingerprint(one.taken([0, 1]))
    assert data_fingerprint(one) != data_fingerprint(of_arrays("a", torch.zeros(3, 1, 2, 2), torch.tensor([0, 1, 1])))


def test_unknown_sources_and_options(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'images'"):
        load_data("image", tmp_path)
    with pytest.raises(OptionError, match="labels, not split"):
        load_data("images", tmp_path, split="test")
    with pytest.raises(StorageError, match="no folder"):
        load_data("images", tmp_path / "gone")
    with pytest.raises(OptionError, match="no image files"):
        load_data("images", tmp_path)
    assert source_options("images") == ("labels",)
    assert set(SOURCES) >= {"images", "cifar10", "arrays", "torchvision", "huggingface", "digits", "python"}


def test_shapes_that_differ_are_refused() -> None:
    sizes = [torch.zeros(1, 2, 2), torch.zeros(1, 3, 3)]
    with pytest.raises(InputError, match="different shapes"):
        DataSet("a", ["0", "1"], sizes.__getitem__).inputs([0, 1])


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "installed", lambda module: False)
    with pytest.raises(MissingDependencyError, match=r"critpath\[evaluation\]"):
        arrays.digits()
    with pytest.raises(MissingDependencyError, match="datasets"):
        packaged.huggingface_data(tmp_path)


def test_digits_in_parts() -> None:
    pytest.importorskip("sklearn")
    whole, parts = load_data("digits", "all"), [load_data("digits", p) for p in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1197, 300, 300]
    x = whole.inputs(range(len(whole)))[0]
    assert torch.equal(torch.cat([part.inputs(range(len(part)))[0] for part in parts]), x)
    assert (float(x.min()), float(x.max()), tuple(x.shape)) == (0, 1, (1797, 1, 8, 8))
    with pytest.raises(OptionError, match="train, validation, test"):
        load_data("digits", "dev")


def test_the_digits_model() -> None:
    """Trained at load: the same bits whatever the threads and the caller's random state, at least 95 % right."""
    pytest.importorskip("sklearn")
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    with torch.no_grad():
        one = load("digits")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    torch.manual_seed(2)
    torch.set_num_threads(2)
    try:
        other = load("digits")
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
    test = load_data("digits", "test")
    x, _ = test.inputs(range(len(test)))
    assert test.labels is not None
    assert float((one.model(x).argmax(dim=1) == test.labels).double().mean()) >= 0.95
    assert not one.model.training
    assert one.classes == tuple("0123456789")
    assert sum(p.numel() for p in digits_network().parameters()) == 19178
    assert "digits" in [info.name for info in available()]
