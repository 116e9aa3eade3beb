"""Files of pathways and values: the round trip, and all that is refused."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import critpath as cp
from critpath.errors import MismatchError, StorageError
from tests import tiny

ROOT = os.geteuid() == 0


def path(batch: int = 3, share: float = 0.3) -> cp.Pathway:
    keep = [tiny.numbers(batch, *shape).abs() < share for shape in ((5, 7, 3), (11,), (2, 2))]
    return cp.Pathway(tiny.values_of(*keep), 0.7)


def rewrite(file: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """Change the header or the tensors of a file that critpath wrote."""
    with safe_open(file, framework="pt") as stored:
        header = json.loads(stored.metadata()["critpath"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, file, metadata={"critpath": json.dumps(header)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    target = tmp_path / "p.critpath"
    cp.save_pathway(path(), target)
    return target


class TestRoundTrip:
    @pytest.mark.parametrize("batch", [1, 3, 8])
    def test_pathway(self, tmp_path: Path, batch: int) -> None:
        saved = path(batch)
        cp.save_pathway(saved, tmp_path / "p")
        loaded = cp.load_pathway(tmp_path / "p")
        assert loaded == saved
        assert loaded.requested == 0.7
        assert loaded.space == saved.space
        assert loaded.keep.tensors[0].dtype == torch.bool

    @pytest.mark.parametrize("share", [0.0, 99.0])
    def test_empty_and_full(self, tmp_path: Path, share: float) -> None:
        cp.save_pathway(path(share=share), tmp_path / "p")
        assert cp.load_pathway(tmp_path / "p") == path(share=share)

    def test_result_of_set_algebra(self, tmp_path: Path) -> None:
        cp.save_pathway(~path(), tmp_path / "p")
        assert cp.load_pathway(tmp_path / "p").requested is None

    def test_one_bit_a_neuron(self, tmp_path: Path) -> None:
        big = cp.Pathway(tiny.values_of(tiny.numbers(2, 100_003) > 0))
        cp.save_pathway(big, tmp_path / "p")
        assert 25_000 < (tmp_path / "p").stat().st_size < 26_000
        assert cp.load_pathway(tmp_path / "p") == big

    @pytest.mark.parametrize("name", tiny.NETWORKS)
    def test_of_networks(self, tmp_path: Path, name: str) -> None:
        kind = tiny.NETWORKS[name]
        net, x = cp.Network(kind.build()), kind.inputs(2)
        scores = cp.score(net, x)
        cp.save_values(scores, tmp_path / "v")
        cp.save_pathway(cp.select(scores, 0.8), tmp_path / "p")
        space = cp.Network(kind.build()).sites(kind.inputs(1))
        assert torch.equal(cp.load_values(tmp_path / "v", space).flatten(), scores.flatten())
        loaded = cp.load_pathway(tmp_path / "p", space)
        assert loaded == cp.select(scores, 0.8)
        assert torch.equal(
            cp.attribute(net, x, pathway=loaded)["values"]
            if name == "dict_output"
            else torch.cat([t.flatten() for t in _tuple(cp.attribute(net, x, pathway=loaded))]),
            cp.attribute(net, x, sparsity=0.8)["values"]
            if name == "dict_output"
            else torch.cat([t.flatten() for t in _tuple(cp.attribute(net, x, sparsity=0.8))]),
        )

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
    def test_values_keep_their_dtype(self, tmp_path: Path, dtype: torch.dtype) -> None:
        saved = tiny.values_of((tiny.numbers(2, 3, 4) * 9).to(dtype), (tiny.numbers(2, 5) * 9).to(dtype))
        cp.save_values(saved, tmp_path / "v")
        loaded = cp.load_values(tmp_path / "v")
        for a, b in zip(saved.tensors, loaded.tensors, strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)

    def test_values_that_are_views(self, tmp_path: Path) -> None:
        flat = tiny.numbers(1, 9)
        saved = tiny.values_of(flat[:, :4], flat[:, 4:], tiny.numbers(1, 4, 6).transpose(1, 2))
        cp.save_values(saved, tmp_path / "v")
        assert torch.equal(cp.load_values(tmp_path / "v").flatten(), saved.flatten())

    def test_values_in_a_graph(self, tmp_path: Path) -> None:
        cp.save_values(tiny.values_of(tiny.numbers(1, 4).requires_grad_()), tmp_path / "v")
        assert not cp.load_values(tmp_path / "v").tensors[0].requires_grad

    def test_replaces_an_older_file(self, file: Path) -> None:
        cp.save_pathway(path(1), file)
        assert cp.load_pathway(file) == path(1)
        assert os.listdir(file.parent) == [file.name]

    def test_same_bytes_each_time(self, file: Path) -> None:
        before = file.read_bytes()
        cp.save_pathway(path(), file)
        assert file.read_bytes() == before


def _tuple(maps: Any) -> tuple[torch.Tensor, ...]:
    return maps if isinstance(maps, tuple) else (maps,)


class TestRefused:
    def test_other_weights(self, tmp_path: Path) -> None:
        kind = tiny.NETWORKS["mlp"]
        x = kind.inputs(1)
        cp.save_pathway(cp.find_pathway(cp.Network(kind.build()), x), tmp_path / "p")
        other = cp.Network(tiny.seeded(kind.architecture, seed=7)).sites(x)
        with pytest.raises(MismatchError, match="other weights"):
            cp.load_pathway(tmp_path / "p", other)
        assert cp.load_pathway(tmp_path / "p").batch == 1

    def test_one_changed_weight(self, tmp_path: Path) -> None:
        kind = tiny.NETWORKS["mlp"]
        model, x = kind.build(), kind.inputs(1)
        net = cp.Network(model)
        cp.save_values(cp.score(net, x), tmp_path / "v")
        with torch.no_grad():
            model.last.bias[0] += 1e-3
        with pytest.raises(MismatchError, match="other weights"):
            cp.load_values(tmp_path / "v", net.sites(x))

    def test_other_input_shape(self, tmp_path: Path) -> None:
        net = cp.Network(tiny.NETWORKS["residual"].build())
        cp.save_pathway(cp.find_pathway(net, tiny.numbers(1, 3, 8, 8)), tmp_path / "p")
        with pytest.raises(MismatchError, match=r"relu#0 \[4, 8, 8\] against relu#0 \[4, 6, 8\]"):
            cp.load_pathway(tmp_path / "p", net.sites(tiny.numbers(1, 3, 6, 8)))

    def test_other_network(self, file: Path) -> None:
        kind = tiny.NETWORKS["conv"]
        space = cp.Network(kind.build()).sites(kind.inputs(1))
        with pytest.raises(MismatchError, match=r"site s0 \[5, 7, 3\] against"):
            cp.load_pathway(file, space)
        with pytest.raises(MismatchError, match="3 sites against 1"):
            cp.load_pathway(file, tiny.space_of((5, 7, 3)))

    def test_renamed_site(self, file: Path) -> None:
        space = path().space
        renamed = replace(space, sites=(*space.sites[:2], replace(space.sites[2], name="other")))
        with pytest.raises(MismatchError, match=r"s2 .* against other"):
            cp.load_pathway(file, renamed)

    def test_other_schema(self, file: Path) -> None:
        rewrite(file, lambda header, tensors: header.update(schema=2))
        with pytest.raises(StorageError, match="format version 2, this critpath reads version 1"):
            cp.load_pathway(file)

    def test_values_are_no_pathway(self, tmp_path: Path, file: Path) -> None:
        with pytest.raises(StorageError, match="holds pathway, not values"):
            cp.load_values(file)
        cp.save_values(tiny.values_of(tiny.numbers(1, 3)), tmp_path / "v")
        with pytest.raises(StorageError, match="holds values, not pathway"):
            cp.load_pathway(tmp_path / "v")

    def test_not_a_critpath_file(self, tmp_path: Path) -> None:
        save_file({"0": torch.ones(3)}, tmp_path / "weights")
        with pytest.raises(StorageError, match="no critpath header"):
            cp.load_pathway(tmp_path / "weights")
        save_file({"0": torch.ones(3)}, tmp_path / "weights", metadata={"format": "pt"})
        with pytest.raises(StorageError, match="no critpath header"):
            cp.load_values(tmp_path / "weights")

    @pytest.mark.parametrize(
        "content", [b"", b"short", b"not a safetensors file at all" * 9, b"\xff" * 400, b"PK\x03\x04" + b"\0" * 99]
    )
    def test_other_formats(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "f").write_bytes(content)
        with pytest.raises(StorageError, match="cannot read"):
            cp.load_pathway(tmp_path / "f")

    def test_a_pickle_is_not_run(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple:
                return (Path.touch, (tmp_path / "ran",))

        (tmp_path / "f").write_bytes(pickle.dumps(Evil()))
        torch.save({"x": torch.ones(2)}, tmp_path / "g")
        for name in "fg":
            with pytest.raises(StorageError, match="cannot read"):
                cp.load_pathway(tmp_path / name)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("kept", [0.05, 0.3, 0.9, 0.999])
    def test_truncated(self, file: Path, kept: float) -> None:
        whole = file.read_bytes()
        file.write_bytes(whole[: int(len(whole) * kept)])
        with pytest.raises(StorageError, match="cannot read"):
            cp.load_pathway(file)

    def test_missing_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"cannot read .*nowhere"):
            cp.load_pathway(tmp_path / "nowhere")
        with pytest.raises(StorageError, match="cannot read"):
            cp.load_values(tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda header, tensors: tensors.update({"0": tensors["0"][:-1].clone()}),
            lambda header, tensors: tensors.update({"0": tensors["0"].float()}),
            lambda header, tensors: tensors.pop("1"),
            lambda header, tensors: header.update(batch=2),
        ],
        ids=["fewer bytes", "another dtype", "a site missing", "another batch"],
    )
    def test_damaged(self, file: Path, change: Callable) -> None:
        rewrite(file, change)
        with pytest.raises(StorageError, match=r"damaged|cannot read"):
            cp.load_pathway(file)

    @pytest.mark.parametrize(
        "change",
        [
            lambda header, tensors: header.pop("sites"),
            lambda header, tensors: header.pop("batch"),
            lambda header, tensors: header.pop("kind"),
            lambda header, tensors: header["sites"][0].pop("shape"),
            lambda header, tensors: header["sites"][0].update(colour="red"),
            lambda header, tensors: header.update(sites=3),
            lambda header, tensors: header.update(batch="three"),
        ],
        ids=["no sites", "no batch", "no kind", "no shape", "unknown field", "sites no list", "batch no number"],
    )
    def test_damaged_header(self, file: Path, change: Callable) -> None:
        rewrite(file, change)
        with pytest.raises(StorageError):
            cp.load_pathway(file)

    @pytest.mark.parametrize("text", ["", "{", "not json", "[]", "3", "null"])
    def test_header_that_is_no_object(self, tmp_path: Path, text: str) -> None:
        save_file({"0": torch.ones(3)}, tmp_path / "f", metadata={"critpath": text})
        with pytest.raises(StorageError):
            cp.load_pathway(tmp_path / "f")

    def test_values_of_another_shape_than_the_header(self, tmp_path: Path) -> None:
        cp.save_values(tiny.values_of(tiny.numbers(2, 3)), tmp_path / "v")
        rewrite(tmp_path / "v", lambda header, tensors: tensors.update({"0": torch.ones(2, 4)}))
        with pytest.raises((StorageError, MismatchError), match=r"\[2, 4\]"):
            cp.load_values(tmp_path / "v")


SAVERS = {
    "pathway": lambda file: cp.save_pathway(path(), file),
    "values": lambda file: cp.save_values(tiny.values_of(tiny.numbers(2, 3)), file),
}


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)
class TestNotWritten:
    def test_folder_missing(self, tmp_path: Path, save: Callable) -> None:
        with pytest.raises(StorageError, match="its folder does not exist"):
            save(tmp_path / "a" / "b")
        assert not (tmp_path / "a").exists()

    def test_is_a_folder(self, tmp_path: Path, save: Callable) -> None:
        with pytest.raises(StorageError, match="it is a folder"):
            save(tmp_path)
        assert os.listdir(tmp_path) == []

    def test_read_only(self, tmp_path: Path, save: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *args, **kwargs: False)
        with pytest.raises(StorageError, match="permission denied"):
            save(tmp_path / "f")
        assert os.listdir(tmp_path) == []

    @pytest.mark.skipif(ROOT, reason="the superuser may write anywhere")
    def test_really_read_only(self, tmp_path: Path, save: Callable) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StorageError, match="permission denied"):
            save(tmp_path / "f")
        tmp_path.chmod(0o700)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
    def test_a_failure_leaves_the_older_file(
        self, tmp_path: Path, save: Callable, monkeypatch: pytest.MonkeyPatch, step: str, code: int
    ) -> None:
        def fail(*args: object) -> None:
            raise OSError(code, os.strerror(code))

        (tmp_path / "f").write_text("older")
        monkeypatch.setattr(os, step, fail)
        with pytest.raises(StorageError, match="Cannot write"):
            save(tmp_path / "f")
        assert os.listdir(tmp_path) == ["f"]
        assert (tmp_path / "f").read_text() == "older"

    def test_an_interrupt_leaves_nothing(self, tmp_path: Path, save: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*args: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "f")
        assert os.listdir(tmp_path) == []

    def test_a_link_is_followed(self, tmp_path: Path, save: Callable) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "real")
        save(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real").is_file()

    def test_a_device_is_refused(self, save: Callable) -> None:
        with pytest.raises(StorageError, match="not a regular file"):
            save("/dev/null")
