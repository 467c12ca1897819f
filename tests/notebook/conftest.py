"""JupyterLab and Chromium, started once for all tests that need them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Book, Browser, Lab, missing


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if todo := missing():
        (pytest.fail if os.environ.get("EDGELFM_TESTS_NEED") == "browser" else pytest.skip)(f"needs more: {todo}")
    with Lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def browser(lab: Lab) -> Iterator[Browser]:
    with Browser() as chromium:
        yield chromium


@pytest.fixture
def open_book(lab: Lab, browser: Browser) -> Iterator[Callable[..., Book]]:
    """`open_book([cells])` opens a notebook in a tab; it is closed and its kernel ended after the test.

    A test also fails if a page raised an error that nobody caught.
    """
    books: list[Book] = []

    def open(cells: Sequence[str] | Path, **context: Any) -> Book:
        books.append(lab.open(browser, cells, **context))
        return books[-1]

    yield open
    errors = [error for book in books for error in book.errors]
    for book in books:
        book.close()
    assert not errors
