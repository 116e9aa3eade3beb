"""A page is written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from critpath.errors import StorageError
from critpath.report import Content, render, save, write


def test_the_file_holds_the_page(content: Content, tmp_path: Path) -> None:
    assert save(content, tmp_path / "a.html") == tmp_path / "a.html"
    assert (tmp_path / "a.html").read_text("utf-8") == render(content)
    assert os.listdir(tmp_path) == ["a.html"]


def test_an_older_file_is_replaced_and_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "old.html").write_text("old")
    (tmp_path / "link.html").symlink_to("old.html")
    write("é", tmp_path / "link.html")
    assert (tmp_path / "old.html").read_text("utf-8") == "é"
    assert (tmp_path / "link.html").is_symlink()


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write("x", tmp_path / "a.html")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.html", "other")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    ("path", "words"),
    [("missing/a.html", "folder does not exist"), (".", "it is a folder"), ("file/a.html", "folder")],
)
def test_a_place_that_takes_no_file_is_refused(path: str, words: str, tmp_path: Path, content: Content) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=words):
        save(content, tmp_path / path)


def test_a_device_is_refused() -> None:
    with pytest.raises(StorageError, match="not a regular file"):
        write("x", os.devnull)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission denied"):
        write("x", tmp_path / "a.html")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "No space left"), (errno.EACCES, "permission denied")])
def test_a_failure_leaves_the_older_file_and_nothing_else(
    step: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    (tmp_path / "a.html").write_text("old")
    monkeypatch.setattr(os, step, failing)
    with pytest.raises(StorageError, match=words):
        write("new", tmp_path / "a.html")
    assert os.listdir(tmp_path) == ["a.html"]
    assert (tmp_path / "a.html").read_text() == "old"


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write("new", tmp_path / "a.html")
    assert os.listdir(tmp_path) == []
