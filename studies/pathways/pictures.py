"""The decoded pictures of a photograph on one sheet; the photograph itself is not part of this project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from studies.pathways.figures import IMAGES, LABELS
from studies.pathways.run import WORK

Row = dict[str, Any]
SIDE, GAP, TITLE = 128, 6, 16


def sheets(results: Mapping[str, Row]) -> None:
    """``docs/images/study-pathways-decoded-NETWORK-NUMBER.jpg`` for every photograph whose pictures are at hand."""
    for name, row in results.items():
        for number, one in enumerate(row.get("decoded", [])):
            folder = WORK / name / "pictures" / f"{number:04d}"
            if folder.is_dir():
                _sheet(one, folder).save(IMAGES / f"study-pathways-decoded-{name}-{number}.jpg", quality=88)


def _sheet(one: Row, folder: Path) -> Image.Image:
    names = list(one["seen"]["paper"])
    width, height = len(names) * (SIDE + GAP), TITLE + 3 * (SIDE + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    for i, name in enumerate(names):
        _place(sheet, folder / f"paper-{name}.png", i, 0, LABELS[name])
        _place(sheet, folder / f"today-{name}.png", i, 1)
        if (channel := one["top_channels"].get(name)) is not None:
            _place(sheet, folder / f"channel-{channel}.png", i, 2)
    return sheet


def _place(sheet: Image.Image, file: Path, column: int, row: int, title: str = "") -> None:
    left, top = column * (SIDE + GAP), TITLE + row * (SIDE + GAP)
    if file.is_file():
        sheet.paste(Image.open(file).convert("RGB").resize((SIDE, SIDE)), (left, top))
    ImageDraw.Draw(sheet).text((left + 2, 2), title, fill="black")
