"""Run the notebooks in `notebooks/` and write them with their outputs.

    python scripts/run_notebooks.py              all of them
    python scripts/run_notebooks.py 01 03        some of them

Outputs are made to be read without a kernel: widgets leave their static form, and paths of this machine are shortened.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(path: Path, *, timeout: float = 300.0) -> Any:
    """Execute a notebook in a fresh kernel, in its own folder, with caches of its own. Returns it with its outputs."""
    book = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        before = dict(os.environ)
        os.environ.update(EDGELFM_CACHE=f"{folder}/cache", EDGELFM_CONFIG=f"{folder}/config")
        try:
            NotebookClient(
                book, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}},
                store_widget_state=False, coalesce_streams=True,
            ).execute()  # fmt: skip
        finally:
            os.environ.clear()
            os.environ.update(before)
        tidy(book, Path(folder))
    return book


def tidy(book: Any, cache: Path) -> None:
    """Leave what people can read anywhere, and nothing of this machine that says nothing about the run."""
    places = {str(cache): "~/.cache/edgelfm", str(NOTEBOOKS.parent): "edgelfm", str(Path.home()): "~"}
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [one for one in cell.outputs if not _is_bar(one)]
        for output in cell.outputs:
            if "data" in output:
                output.data.pop(WIDGET, None)
                for kind, value in output.data.items():
                    if isinstance(value, str):
                        output.data[kind] = _shortened(value, places)
            elif "text" in output:
                output.text = _shortened(output.text, places)
    book.metadata.pop("widgets", None)
    book.metadata["language_info"] = {"name": "python"}
    book.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def _is_bar(output: Any) -> bool:
    """A progress bar: it has nothing to say once it is full."""
    html = output.get("data", {}).get("text/plain", "")
    return output.get("name") == "stderr" or html.startswith(("HBox(children=(", "measuring", "VBox(children=(HBox"))


def _shortened(text: str, places: dict[str, str]) -> str:
    for path, name in places.items():
        text = text.replace(path, name)
    return re.sub(r"/tmp/[\w.-]+", "/tmp/…", text)


def main() -> int:
    """Run those whose names begin as asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("which", nargs="*", help="beginnings of names, such as 01; all of them if left out")
    asked = parser.parse_args().which
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in paths:
        if asked and not any(path.name.startswith(one) for one in asked):
            continue
        started = time.perf_counter()
        book = run(path)
        nbformat.write(book, path)
        print(f"{path.name}  {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
