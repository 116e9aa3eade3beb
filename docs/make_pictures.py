"""The README's picture: the report on the default model and its photograph, as a browser shows it.

    python docs/make_pictures.py [-o docs/images]

Needs critpath[demo], playwright, and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1100, 1270
COLOURS = 256


def report(folder: Path) -> Path:
    """The page of ``critpath explain --demo``."""
    page = folder / "report.html"
    subprocess.run([sys.executable, "-m", "critpath.cli", "explain", "--demo", "-o", str(page)], check=True)
    return page


def screenshot(page_file: Path, picture: Path) -> None:
    """The top of the page, in a light colour scheme, in few enough colours to be small."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.resolve().as_uri())
        page.screenshot(path=str(picture))
        browser.close()
    with Image.open(picture) as image:
        colours = image.convert("RGB")
        palette = colours.quantize(COLOURS, kmeans=2)
        colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(picture, optimize=True)


def _chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("Chromium is not installed.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "images")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        screenshot(report(Path(scratch)), folder / "report.png")
    print(f"{folder / 'report.png'}: {(folder / 'report.png').stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
