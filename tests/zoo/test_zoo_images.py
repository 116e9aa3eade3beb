"""Image files: every mode to upright 8-bit RGB, every unreadable file to one clear error."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from critpath import zoo
from critpath.errors import ImageError, MissingDependencyError
from critpath.zoo import images

RED = (200, 30, 40)


def saved(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def corner(path: Path) -> tuple[int, ...]:
    image = zoo.read_image(path)
    assert image.mode == "RGB"
    return image.getpixel((0, 0))


@pytest.mark.parametrize(
    ("mode", "colour", "name", "expected"),
    [
        ("RGB", RED, "a.png", RED),
        ("L", 77, "a.png", (77, 77, 77)),
        ("1", 1, "a.png", (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), "a.tif", (255, 0, 0)),
        ("RGBA", (0, 0, 0, 0), "a.png", (255, 255, 255)),
        ("RGBA", (0, 0, 0, 255), "a.webp", (0, 0, 0)),
        ("LA", (0, 51), "a.png", (204, 204, 204)),
        ("I;16", 65535, "a.png", (255, 255, 255)),
        ("I;16", 32896, "a.tif", (128, 128, 128)),
        ("I;16", 300, "a.png", (1, 1, 1)),
        ("I", 257 * 9, "a.tif", (9, 9, 9)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, mode: str, colour: object, name: str, expected: tuple[int, ...]
) -> None:
    path = saved(tmp_path, Image.new(mode, (6, 4), colour), name, **({"lossless": True} if "webp" in name else {}))
    assert corner(path) == expected


def test_palette_with_and_without_a_transparent_colour(tmp_path: Path) -> None:
    picture = Image.new("RGB", (6, 4), RED).quantize(2)
    assert corner(saved(tmp_path, picture, "plain.png")) == RED
    index = picture.getpixel((0, 0))
    assert corner(saved(tmp_path, picture, "hole.png", transparency=index)) == (255, 255, 255)
    assert corner(saved(tmp_path, picture, "bytes.png", transparency=bytes([0] * 256))) == (255, 255, 255)


def test_rgb_with_a_transparent_colour(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (6, 4), RED), "key.png", transparency=RED)
    assert corner(path) == (255, 255, 255)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    path = saved(tmp_path, Image.new("RGB", (6, 4), RED), "turned.jpg", exif=exif)
    assert zoo.read_image(path).size == (4, 6)


def test_damaged_exif_is_ignored(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (6, 4), RED), "odd.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert zoo.read_image(path).size == (6, 4)


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in (RED, (0, 0, 255))]
    path = saved(tmp_path, frames[0], "moves.gif", save_all=True, append_images=frames[1:])
    assert corner(path) == RED


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"There is no file .*none\.png"):
        zoo.read_image(tmp_path / "none.png")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        zoo.read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="is not an image in a format"):
        zoo.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.tif"])
def test_truncated(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"a\.\w+ "):
        zoo.read_image(path)


def png_header(width: int, height: int, text: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    start += chunk(b"zTXt", b"note\0\0" + zlib.compress(text)) if text else b""
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_text_that_unpacks_to_megabytes(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(png_header(4, 4, b"0" * 2**21))
    with pytest.raises(ImageError, match="cannot be read: Decompressed data too large"):
        zoo.read_image(tmp_path / "text.png")


@pytest.mark.parametrize("side", [10_001, 12_000, 60_000])
def test_huge_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(ImageError, match="too large to decode"):
        zoo.read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 1 << 20), ("I", -1)])
def test_values_without_a_range(tmp_path: Path, mode: str, value: float) -> None:
    path = saved(tmp_path, Image.new(mode, (6, 4), value), "a.tif")
    with pytest.raises(ImageError, match="black and white are not defined"):
        zoo.read_image(path)


def test_find_images_keeps_the_order_and_sorts_folders(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "inner/c.png"):
        (tmp_path / name).touch()
    found = zoo.find_images([tmp_path / "inner/c.png", tmp_path, tmp_path / "notes.txt", tmp_path / "a.png"])
    assert [p.name for p in found] == ["c.png", "a.png", "b.JPG", "notes.txt"]


def test_find_images_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="has no image file"):
        zoo.find_images([tmp_path])
    with pytest.raises(ImageError, match="There is no file"):
        zoo.find_images([str(tmp_path / "none")])
    with pytest.raises(ImageError, match="No image was named"):
        zoo.find_images([])


def test_demo_images_are_readable_and_need_no_import_of_skimage() -> None:
    pytest.importorskip("skimage")
    code = "import sys; from critpath import zoo; print(zoo.demo_images()[0].name, 'skimage' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["chelsea.png", "False"]
    assert all(zoo.read_image(path).mode == "RGB" for path in zoo.demo_images())


def test_demo_images_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"critpath\[demo\]"):
        zoo.demo_images()
