"""The notebooks of the documentation: they run in JupyterLab, and can be read where there is no kernel."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.lab import Book

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: What a reader must find in the outputs of each.
FOUND = {
    "01": ["SmolLM2-135M-Instruct", "tokens/s", "first token after", "Paris", "playground"],
    "02": ["Raspberry Pi 5", "Jetson Orin Nano", "MacBook Air", "LFM2.5-1.2B-Instruct", "edgelfm.load("],
    "03": ["2/2", "cached", "greenhouse.json", "greenhouse.state", "What about snails?"],
    "04": ["predicted", "MiB", "tokens/s", "weights", ".jsonl"],
    "05": ["prefill", "decode", "threads", "calibrated"],
}


def number(path: Path) -> str:
    return path.name[:2]


def test_they_are_all_there() -> None:
    assert [number(path) for path in NOTEBOOKS] == sorted(FOUND)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=number)
def test_it_runs_in_jupyterlab_as_a_reader_runs_it(path: Path, open_book: Callable[..., Book]) -> None:
    book = open_book(path)
    page = book.page
    book.menu("Edit", "Clear Outputs of All Cells")
    book.run(timeout=120)
    errors = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]')
    assert errors.count() == 0, errors.first.inner_text()
    stderr = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')
    assert stderr.count() == 0, stderr.first.inner_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=number)
def test_it_carries_outputs_of_one_run_from_top_to_bottom(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "python scripts/run_notebooks.py"
    assert not [one for cell in code for one in cell.outputs if one.output_type == "error"]
    assert path.stat().st_size < 600_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=number)
def test_it_says_nothing_of_the_machine_it_was_made_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/root|/home/\w|/work/|/tmp/\w|site-packages", text)
    assert "widget-view" not in text, "a widget without its kernel shows nothing"


class Reader(HTMLParser):
    """The words of a page, and what it loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=number)
def test_nbconvert_makes_a_page_of_it_that_can_be_read(path: Path, tmp_path: Path) -> None:
    done: Any = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(path)],
        capture_output=True, text=True, timeout=120, env=clean_environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reader = Reader()
    reader.feed(next(tmp_path.glob("*.html")).read_text(encoding="utf-8"))
    text = " ".join(" ".join(reader.words).split())
    missing = [one for one in FOUND[number(path)] if one not in text]
    assert missing == []


def clean_environment(folder: Path) -> dict[str, str]:
    import os

    return {**os.environ, "JUPYTER_CONFIG_DIR": str(folder), "IPYTHONDIR": str(folder)}
