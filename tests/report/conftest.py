"""A content to show, and a browser to show it in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report_contents import make_content

from critpath.report import Content


@pytest.fixture(scope="session")
def content() -> Content:
    return make_content()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; without one the tests are skipped here and fail in CI."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    flags = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    flags += " disable-component-update disable-sync"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=[f"--{flag}" for flag in flags.split()])
        yield running
        running.close()


Opener = Callable[..., Any]


class Watched:
    """A page opened from a file, with every request and complaint it made."""

    def __init__(self, browser: Any, file: Path, width: int, dark: bool) -> None:
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())
        self.page.wait_for_load_state("load")


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    opened: list[Watched] = []

    def opening(html: str, width: int = 1280, dark: bool = False) -> Watched:
        file = tmp_path / f"page{len(opened)}.html"
        file.write_text(html, "utf-8")
        opened.append(Watched(browser, file, width, dark))
        return opened[-1]

    yield opening
    for watched in opened:
        watched.context.close()
