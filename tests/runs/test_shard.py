"""Files of results: the round trip, and all that is refused."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from critpath.errors import OptionError, StorageError
from critpath.runs.shard import HEADER_LIMIT, Shard, read_shard, shard_bytes
from critpath.runs.task import Task, canonical, check_name, digests, in_order

DIGEST = "d" * 64


def shard() -> Shard:
    tensors = {
        "values": tiny.numbers(4, 3),
        "half": tiny.numbers(5).bfloat16(),
        "images": torch.arange(4),
        "one": torch.tensor(2.5, dtype=torch.float64),
        "none": torch.empty(0, 3),
        "mask": torch.tensor([True, False]),
        "nan": torch.tensor([float("nan"), -0.0]),
    }
    return Shard(tensors, {"failures": [[2, "unreadable: ü"]], "share": 0.1, "nested": {"b": 1, "a": [None, True]}})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes(shard_bytes(shard(), DIGEST))
    return path


def rewritten(file: Path, **changes: Any) -> None:
    """The same file with other entries in critpath's part of the header."""
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    own = {**json.loads(header["__metadata__"]["critpath"]), **changes}
    header["__metadata__"]["critpath"] = json.dumps(own)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


class TestRoundTrip:
    def test_all_types(self, file: Path) -> None:
        loaded = read_shard(file, DIGEST)
        assert loaded.facts == shard().facts
        assert set(loaded.tensors) == set(shard().tensors)
        for name, tensor in shard().tensors.items():
            assert loaded.tensors[name].dtype == tensor.dtype
            assert loaded.tensors[name].shape == tensor.shape
            assert torch.equal(loaded.tensors[name].nan_to_num(9), tensor.nan_to_num(9))

    def test_same_bytes_for_the_same_content(self) -> None:
        other = Shard(dict(reversed(shard().tensors.items())), dict(reversed(shard().facts.items())))
        assert shard_bytes(other, DIGEST) == shard_bytes(shard(), DIGEST)

    def test_views_and_shared_memory(self, tmp_path: Path) -> None:
        base = tiny.numbers(6, 6).requires_grad_()
        data = shard_bytes(Shard({"a": base, "b": base[::2].T, "c": base}), DIGEST)
        (tmp_path / "x").write_bytes(data)
        assert torch.equal(read_shard(tmp_path / "x").tensors["b"], base[::2].T)

    def test_without_a_digest_any_is_read(self, file: Path) -> None:
        assert read_shard(file).facts == shard().facts


class TestRefused:
    def test_another_digest(self, file: Path) -> None:
        with pytest.raises(StorageError, match="another task"):
            read_shard(file, "e" * 64)

    def test_another_format(self, file: Path) -> None:
        rewritten(file, format=99)
        with pytest.raises(StorageError, match="format version 99"):
            read_shard(file)

    def test_other_facts_under_the_same_checksum(self, file: Path) -> None:
        rewritten(file, facts='{"share": 0.2}')
        with pytest.raises(StorageError, match="checksum"):
            read_shard(file)

    def test_facts_that_are_no_mapping(self, file: Path) -> None:
        rewritten(file, facts="[1]")
        with pytest.raises(StorageError, match="damaged"):
            read_shard(file)

    def test_every_truncation(self, file: Path) -> None:
        data = file.read_bytes()
        for size in [*range(0, len(data), 29), len(data) - 1]:
            file.write_bytes(data[:size])
            with pytest.raises(StorageError, match="damaged"):
                read_shard(file)

    def test_more_than_there_should_be(self, file: Path) -> None:
        file.write_bytes(file.read_bytes() + b"\0")
        with pytest.raises(StorageError, match="damaged"):
            read_shard(file)

    def test_every_flipped_byte(self, file: Path) -> None:
        data = file.read_bytes()
        for place in range(0, len(data), 7):
            file.write_bytes(data[:place] + bytes([data[place] ^ 0x21]) + data[place + 1 :])
            with pytest.raises(StorageError):
                read_shard(file, DIGEST)

    def test_header_of_an_absurd_length(self, file: Path) -> None:
        file.write_bytes(struct.pack("<Q", HEADER_LIMIT + 1) + file.read_bytes()[8:])
        with pytest.raises(StorageError, match="header's length"):
            read_shard(file)

    def test_deep_header(self, file: Path) -> None:
        text = b"[" * 100_000
        file.write_bytes(struct.pack("<Q", len(text)) + text)
        with pytest.raises(StorageError, match="damaged"):
            read_shard(file)

    def test_pickle(self, tmp_path: Path) -> None:
        class Payload:
            def __reduce__(self) -> Any:
                return os.mkdir, (str(tmp_path / "executed"),)

        (tmp_path / "x").write_bytes(pickle.dumps(Payload()))
        with pytest.raises(StorageError):
            read_shard(tmp_path / "x")
        assert not (tmp_path / "executed").exists()

    def test_link_pipe_folder_and_nothing(self, file: Path) -> None:
        link, pipe = file.with_name("link"), file.with_name("pipe")
        link.symlink_to(file)
        os.mkfifo(pipe)
        with pytest.raises(StorageError, match="it is a link"):
            read_shard(link)
        for path in (pipe, file.parent, file.with_name("nothing")):
            with pytest.raises(StorageError, match="cannot read"):
                read_shard(path)

    @pytest.mark.parametrize(
        "wrong",
        [
            Shard({"x": torch.zeros(1)}, {"a": torch.zeros(1)}),
            Shard({"x": torch.zeros(1)}, {"a": float("nan")}),
            Shard({"x": [1.0]}, {}),  # type: ignore[dict-item]
        ],
    )
    def test_what_no_file_can_hold(self, wrong: Shard) -> None:
        with pytest.raises(OptionError, match="shard"):
            shard_bytes(wrong, DIGEST)

    def test_facts_beyond_the_limit(self) -> None:
        with pytest.raises(OptionError, match="limit"):
            shard_bytes(Shard({"x": torch.zeros(1)}, {"a": "x" * (HEADER_LIMIT - 9)}), DIGEST)


class TestTasks:
    @pytest.mark.parametrize("name", ["", "A", "a/b", "../a", ".a", "-a", "a b", "a" * 151, "ü", "a\n", 3])
    def test_names_refused(self, name: Any) -> None:
        with pytest.raises(OptionError, match="no name for a task"):
            Task("k", name, {})

    def test_names_taken(self) -> None:
        for name in ("a", "0.9_x-y", "a" * 150):
            assert check_name(name) == name

    @pytest.mark.parametrize("facts", [{"x": torch.zeros(1)}, {"x": float("inf")}, {"x": {1, 2}}])
    def test_facts_refused(self, facts: Any) -> None:
        with pytest.raises(OptionError, match="JSON"):
            Task("k", "a", facts)

    @pytest.mark.parametrize("wrong", [{"images": -1}, {"cost": 0.0}, {"cost": float("nan")}])
    def test_numbers_refused(self, wrong: Any) -> None:
        with pytest.raises(OptionError, match="images are 0 or more"):
            Task("k", "a", {}, **wrong)

    def test_order_is_as_given_but_after_needs(self) -> None:
        tasks = [Task("k", "c", {}, ("a", "b")), Task("k", "b", {}), Task("k", "d", {}), Task("k", "a", {}, ("d", "d"))]
        assert [task.name for task in in_order(tasks)] == ["b", "d", "a", "c"]

    def test_long_chain(self) -> None:
        chain = [Task("k", f"t{i}", {}, (f"t{i + 1}",)) for i in range(3000)] + [Task("k", "t3000", {})]
        assert [task.name for task in in_order(chain)] == [f"t{i}" for i in range(3000, -1, -1)]

    def test_circle(self) -> None:
        circle = [Task("k", "a", {}, ("b",)), Task("k", "b", {}, ("a",)), Task("k", "c", {})]
        with pytest.raises(OptionError, match=r"circle.*: a, b$"):
            in_order(circle)

    def test_need_that_is_no_task(self) -> None:
        with pytest.raises(OptionError, match="needs 'b'"):
            in_order([Task("k", "a", {}, ("b",))])

    def test_same_name_twice(self) -> None:
        with pytest.raises(OptionError, match="two tasks are called 'a'"):
            in_order([Task("k", "a", {}), Task("k", "a", {"x": 1})])

    def test_digest_follows_what_the_result_depends_on(self) -> None:
        def digest(kind: str = "k", need: int = 1, facts: Any = None, **more: Any) -> str:
            tasks = [Task("n", "n", {"x": need}), Task(kind, "a", facts or {"p": 1, "q": [2.5]}, ("n",), **more)]
            return digests(tasks)["a"]

        same = {digest(), digest(images=5, cost=3.0), digest(facts={"q": [2.5], "p": 1})}
        other = {digest("l"), digest(need=2), digest(facts={"p": 1, "q": [2.6]}), digest(facts={"p": "1", "q": [2.5]})}
        assert len(same) == 1
        assert len(other | same) == 5

    def test_canonical_text(self) -> None:
        assert canonical({"b": [1, "ü"], "a": None}) == b'{"a":null,"b":[1,"\\u00fc"]}'
