"""Voilà serves the playground as a page of its own, to people who need not see code."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.lab import Browser

pytest.importorskip("voila", reason="pip install voila")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "import edgelfm\n"
                "lfm = edgelfm.load('starter', context=1024, progress=False, tune=False)\n"
                "playground = edgelfm.playground(lfm)\n"
                "playground.sampling.max_tokens.value = 20\n"
                "playground"
            )
        ]
    )
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "playground.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "voila", str(tmp_path / "playground.ipynb"), "--no-browser", f"--port={port}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=environment(tmp_path),
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"http://\S+?:(\d+)", line):  # another, if somebody has taken that port meanwhile
            break
    else:
        raise AssertionError("".join(said))
    reader = threading.Thread(target=process.stderr.read, daemon=True)
    reader.start()
    yield f"http://localhost:{found[1]}/"
    process.terminate()
    process.wait(30)
    reader.join()
    process.stderr.close()


def environment(folder: Path) -> dict[str, str]:
    import os

    return {**os.environ, "JUPYTER_RUNTIME_DIR": str(folder), "IPYTHONDIR": str(folder), "PYTHONPATH": str(Path.cwd())}


def test_a_person_can_chat_there(address: str, browser: Browser) -> None:
    page = browser.page()
    page.goto(address, timeout=120_000)
    chat = page.locator(".elfm-chat")
    chat.wait_for(timeout=120_000)
    message = chat.get_by_role("textbox", name="Message")
    message.fill("What is the capital of France?")
    message.press("Enter")
    chat.locator(".elfm-assistant.elfm-done").wait_for()
    assert chat.locator(".elfm-assistant .elfm-body").inner_text().strip()
    assert "tokens/s" in chat.locator(".elfm-figures").inner_text()
    page.context.close()
