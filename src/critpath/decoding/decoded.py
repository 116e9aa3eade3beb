"""What decoding gives: pictures, and how the objective rose on the way."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from critpath.decoding.settings import Settings
from critpath.errors import InputError, StorageError
from critpath.files import write_whole


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pictures of what drives an objective.

    ``images`` [pictures, channels, height, width] in [0, 1]. ``curve`` [steps, pictures]: the objective at every step,
    on the pictures as they were shown then (shifted, turned, ...). ``value`` [pictures]: the objective of the finished
    pictures, only resized.
    """

    images: Tensor
    curve: Tensor
    value: Tensor
    settings: Settings

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        (height, width), shown = self.settings.size, ", ".join(f"{v:.4g}" for v in self.value[:4].tolist())
        more = ", …" if len(self) > 4 else ""
        return f"Decoded(pictures={len(self)}, {height} x {width}, steps={len(self.curve)}, value=[{shown}{more}])"

    def pil(self, index: int = 0) -> Image.Image:
        """One picture, RGB or grey. Raises InputError where there is none, or where it has other channels."""
        if not -len(self) <= index < len(self):
            raise InputError(f"there is no picture {index} among {len(self)}")
        return _as_image(self.images[index])

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the pictures; the files' paths.

        To a folder that is there, or a name without a suffix: 000.png, 001.png and so on. To a name with one
        (.png, .jpg, ...): one file, several pictures side by side. Raises StorageError, InputError.
        """
        path = Path(path)
        if path.suffix and not path.is_dir():
            return [write_whole(path, _encoded(self._row(), path.suffix))]
        _make_folder(path)
        return [write_whole(path / f"{i:03d}.png", _encoded(self.pil(i), ".png")) for i in range(len(self))]

    def _row(self) -> Image.Image:
        return _as_image(torch.cat(list(self.images), dim=2))

    def _repr_html_(self) -> str:
        shown = (base64.b64encode(_encoded(self.pil(i), ".png")).decode("ascii") for i in range(len(self)))
        values = self.value.tolist()
        return "".join(
            f'<img src="data:image/png;base64,{data}" alt="decoded picture {i}" title="objective {values[i]:.4g}"/> '
            for i, data in enumerate(shown)
        )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {os.fspath(path)!r}: {error.strerror or error}") from error


def _as_image(picture: Tensor) -> Image.Image:
    if len(picture) not in (1, 3):
        raise InputError(f"a picture has 1 or 3 channels to be shown, and these have {len(picture)}: use .images")
    values = (picture.detach().float().cpu() * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(values if values.shape[2] == 3 else values[:, :, 0])


def _encoded(image: Image.Image, suffix: str) -> bytes:
    kind = Image.registered_extensions().get(suffix.lower())
    if kind not in Image.SAVE:
        raise InputError(f"pictures cannot be written as {suffix!r}; .png and .jpg can")
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()
