"""A notebook that shows everything, executed, and then as nbconvert writes it: readable without a kernel."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

nbformat = pytest.importorskip("nbformat", reason="to run: pip install -e '.[dev]'")

CELLS = """
import edgelfm
from edgelfm.models import catalog
host = edgelfm.inspect(bandwidth=False); host
---
plan = edgelfm.plan("starter", host=host); plan
---
plan.match
---
plan.chosen
---
plan.chosen.settings.threads
---
catalog.load()
---
catalog.load().find("lfm2.5-350m")
---
lfm = edgelfm.load("starter", context=1024, tune=False, progress=False); lfm
---
lfm.memory()
---
lfm.chat("Say <b>hello</b>.", max_tokens=8, seed=1)
---
talk = lfm.conversation(system="<script>alert(1)</script>"); talk.send("Hi", max_tokens=8, seed=1); talk
---
talk.tree
---
talk.branches(0)
"""
#: What a reader looks for in the output of each cell, in order.
LOOKED_FOR = (
    "available of", "SmolLM2-135M-Instruct Q4_1", "left to the system", "convolution state|KV cache", "core|thread",
    "lfm2.5-1.2b-instruct", "LFM Open License v1.0", "planned for the whole process", "held by the model",
    "tokens/s", "Conversation with SmolLM2-135M-Instruct", "Tree: 3 messages", "question 1/1",
)  # fmt: skip


class Read(HTMLParser):
    """Every script's and every other text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inside = ""
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.words += data


def test_everything_shows_itself_in_an_executed_notebook_and_in_nbconvert() -> None:
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.split("---")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    for cell, words in zip(notebook.cells, LOOKED_FOR, strict=True):
        outputs = [one for one in cell.outputs if one.output_type == "execute_result"]
        assert len(outputs) == 1, cell.outputs
        data = outputs[0].data
        assert re.search(words, data["text/plain"] + data.get("text/html", "")), cell.source
        assert data["text/html"].startswith('<div class="elfm">')
    for theme in ("light", "dark"):
        page, _ = HTMLExporter(theme=theme).from_notebook_node(notebook)
        assert page.count('<div class="elfm">') == len(cells)
        assert "<script>alert(1)" not in page
        words = Read(page).words
        assert "<script>alert(1)</script>" in words
        assert "Conversation with SmolLM2-135M-Instruct" in words
