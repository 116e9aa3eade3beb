"""Small pictures in rows and columns with their names, as one JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from critpath.errors import OptionError

Picture = NDArray[np.uint8]

GAP, LETTER, LINE = 4, 13, 18


def picture_grid(
    rows: Sequence[Sequence[Picture | None]], row_names: Sequence[str], column_names: Sequence[str], side: int = 96
) -> bytes:
    """A JPEG of pictures uint8 [height, width, 3], each ``side`` pixels wide and high; None leaves a place empty.

    Raises OptionError where the names do not fit the rows, or where a picture has another shape.
    """
    _check(rows, row_names, column_names)
    font = ImageFont.load_default(LETTER)
    left = LINE + round(max((font.getlength(name) for name in row_names), default=0))
    widest = max((font.getlength(name) for name in column_names), default=0)
    columns = max(len(row) for row in rows)
    step = max(side, round(widest)) + GAP
    sheet = Image.new("RGB", (left + step * columns, LINE + GAP + (side + GAP) * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(column_names):
        draw.text((left + step * i, 2), name, fill="black", font=font)
    for j, (name, row) in enumerate(zip(row_names, rows, strict=True)):
        top = LINE + GAP + (side + GAP) * j
        draw.text((4, top + side // 2 - LETTER // 2), name, fill="black", font=font)
        for i, picture in enumerate(row):
            if picture is not None:
                sheet.paste(_fitted(picture, side), (left + step * i, top))
    stream = BytesIO()
    sheet.save(stream, "jpeg", quality=86)
    return stream.getvalue()


def _check(rows: Sequence[Sequence[Picture | None]], row_names: Sequence[str], column_names: Sequence[str]) -> None:
    if not rows or len(rows) != len(row_names) or any(len(row) != len(column_names) for row in rows):
        shape = f"{len(rows)} rows of {sorted({len(row) for row in rows})}"
        raise OptionError(f"there are {shape} pictures for {len(row_names)} row and {len(column_names)} column names")
    for picture in (p for row in rows for p in row if p is not None):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise OptionError(f"a picture is {picture.dtype} {list(picture.shape)}; it is uint8 [height, width, 3]")


def _fitted(picture: Picture, side: int) -> Image.Image:
    """Enlarged without smoothing, reduced with it."""
    small = max(picture.shape[:2]) <= side
    how = Image.Resampling.NEAREST if small else Image.Resampling.BOX
    return Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), how)
