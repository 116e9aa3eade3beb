"""Image files to pictures: any common format, as upright 8-bit RGB."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from critpath.errors import ImageError, MissingDependencyError

MAX_PIXELS = 100_000_000
"""The largest picture that is decoded (width times height)."""

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2"}
)
"""What a folder's image files are recognised by."""

# Formats that only hold pixels: no PostScript, which pillow would hand to another program.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
_PHOTOGRAPHS = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "camera.png")


def read_image(path: str | Path) -> Image.Image:
    """The picture in a file: RGB, 8 bit, upright (EXIF), on white where it is transparent.

    16-bit grey values are scaled, not clipped; of an animation it is the first frame.

    Raises:
        ImageError: the file is missing, a folder, no image, damaged, or larger than `MAX_PIXELS`.
    """
    path = Path(path)
    _check_is_file(path)
    with warnings.catch_warnings():  # pillow's warnings: the size is checked here, odd metadata is ignored
        warnings.simplefilter("ignore")
        with _opened(path) as image:
            _check_size(path, image)
            return _to_rgb(path, _decoded(path, image))


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """The image files among `paths`, in order, each once; a folder gives its own image files, sorted.

    Raises:
        ImageError: a path does not exist, a folder has no image file, or there are no paths.
    """
    found = [file for path in paths for file in _expanded(Path(path))]
    if not found:
        raise ImageError("No image was named. Give at least one image file, or a folder of images.")
    return list(dict.fromkeys(found))


def demo_images() -> tuple[Path, ...]:
    """Photographs that come with scikit-image, those that are installed as files: a cat comes first.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("scikit-image", "demo", "A demonstration photograph")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return tuple(folder / name for name in _PHOTOGRAPHS if (folder / name).is_file())


def _expanded(path: Path) -> list[Path]:
    if not path.is_dir():
        _check_is_file(path)
        return [path]
    files = sorted(file for file in _listed(path) if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise ImageError(
            f"The folder {path} has no image file of its own ({' '.join(sorted(SUFFIXES))}). "
            "Folders inside it are not searched: name the one that holds the images."
        )
    return files


def _listed(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if not file.name.startswith(".")]
    except OSError as error:
        raise ImageError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image file. Name a file in it.")
    if not path.exists():
        raise ImageError(f"There is no file {path} (looked from {Path.cwd()}). Check the path.")


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=_formats())
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is not an image in a format that is read here ({', '.join(_FORMATS)}). Convert it to PNG or JPEG."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, str(error)) from error
    except Exception as error:  # a format's reader raises anything on a damaged header
        raise ImageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width} x {height} pixels")


def _too_large(path: Path, size: str) -> ImageError:
    return ImageError(
        f"{path} is too large to decode: {size}; the limit is {MAX_PIXELS // 10**6} megapixels. "
        "Networks see a few hundred pixels a side: scale it down first."
    )


def _decoded(path: Path, image: Image.Image) -> Image.Image:
    try:
        image.load()
    except Exception as error:  # a decoder raises anything on damaged data
        raise ImageError(
            f"{path} is damaged or cut short: its {image.format} data cannot be decoded ({error}). "
            "Copy or download it again."
        ) from error
    return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the orientation; the pixels are sound
        return image


def _to_rgb(path: Path, image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise _unknown_range(path, image.mode)
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _grey16_to_grey8(path, image)
    try:
        return _on_white(image) if _is_transparent(image) else image.convert("RGB")
    except ValueError as error:
        raise _unknown_range(path, image.mode) from error


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in {"LA", "PA", "RGBA", "RGBa"} or "transparency" in image.info


def _on_white(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, "white")
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("RGB")


def _grey16_to_grey8(path: Path, image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise _unknown_range(path, image.mode)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _unknown_range(path: Path, mode: str) -> ImageError:
    return ImageError(
        f"{path} holds values whose black and white are not defined (pillow mode {mode!r}). "
        "Save it with 8 or 16 bits a channel."
    )
