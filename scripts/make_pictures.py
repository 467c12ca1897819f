"""Pictures for the documentation: widgets in JupyterLab, light and dark, with a real model answering.

python scripts/make_pictures.py            all of them, into docs/images
python scripts/make_pictures.py playground
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.lab import Book, lab_and_browser, missing

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LOAD = "import edgelfm\nlfm = edgelfm.load('starter', context=4096, progress=False)"


def playground(book: Book) -> Any:
    """Two turns, the first answered twice."""
    chat = book.page.locator(".elfm-chat").first
    message = chat.get_by_role("textbox", name="Message")
    message.fill("Why is the sky blue? Answer in two sentences.")
    message.press("Enter")
    chat.get_by_role("button", name="Answer again").click()
    chat.get_by_role("group", name="Version 2 of 2").wait_for()
    message.fill("Show me a Python function that adds two numbers.")
    message.press("Enter")
    chat.locator(".elfm-assistant.elfm-done").nth(1).wait_for()
    return book.page.locator(".elfm-playground")


def monitor(book: Book) -> Any:
    """Some seconds of a reply."""
    book.execute("""
import threading
def tell():
    for _ in range(2):
        lfm.chat("Tell me a long story.", max_tokens=300)
threading.Thread(target=tell).start()
""")
    book.page.wait_for_timeout(9000)  # the picture is of that time
    return book.page.locator(".jp-OutputArea-output").last


def explorer(book: Book) -> Any:
    """What a Raspberry Pi 5 would run."""
    book.page.get_by_text("edgelfm.load(").first.wait_for()
    return book.page.locator(".jp-OutputArea-output").last


def compare(book: Book) -> Any:
    """One prompt, two models."""
    book.page.get_by_placeholder("Ask all of them").fill("Why is the sky blue? Answer in one sentence.")
    book.page.get_by_role("button", name="Ask", exact=True).click()
    book.page.locator(".elfm-compare tbody tr").nth(1).wait_for()
    return book.page.locator(".jp-OutputArea-output").last


def plan(book: Book) -> Any:
    """A plan as it shows itself."""
    return book.page.locator(".jp-OutputArea-output").last


PICTURES: dict[str, tuple[list[str], Callable[[Book], Any]]] = {
    "playground": (
        [LOAD, "pg = edgelfm.playground(lfm)\npg.sampling.max_tokens.value = 90\npg.sampling.seed.value = '7'\npg"],
        playground,
    ),
    "monitor": ([LOAD, "lfm.monitor()"], monitor),
    "explorer": (["import edgelfm\nedgelfm.plan(host='raspberry-pi-5.json').explore()"], explorer),
    "compare": (
        [
            "import edgelfm\n"
            "ways = [{'name': 'starter', 'context': context} for context in (512, 8192)]\n"
            "edgelfm.compare(ways, max_tokens=60, temperature=0)"
        ],
        compare,
    ),
    "plan": (["import edgelfm\nedgelfm.plan(host='raspberry-pi-5.json')"], plan),
}  # fmt: skip


def main() -> int:
    """Draw those that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("which", nargs="*", choices=[[], *PICTURES], default=[])
    names = parser.parse_args().which or list(PICTURES)
    if todo := missing():
        print(f"needs more: {todo}", file=sys.stderr)
        return 2
    IMAGES.mkdir(parents=True, exist_ok=True)
    for dark in (False, True):
        with tempfile.TemporaryDirectory() as folder, lab_and_browser(Path(folder), dark=dark) as (lab, browser):
            hosts = Path(__file__).parent.parent / "notebooks" / "hosts"
            (lab.folder / "raspberry-pi-5.json").write_text((hosts / "raspberry-pi-5.json").read_text())
            for name in names:
                cells, draw = PICTURES[name]
                with lab.open(browser, cells, viewport={"width": 1320, "height": 2200}) as book:
                    book.page.get_by_role("tab", name="File Browser").click()  # folds the side bar
                    book.run()
                    element = draw(book)
                    path = IMAGES / f"{name}-{'dark' if dark else 'light'}.png"
                    element.screenshot(path=path, animations="disabled")
                    print(f"{path.name}  {path.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
