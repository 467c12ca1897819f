"""A real JupyterLab, a real Chromium, and the kernel between them, for tests and for pictures of the documentation.

with Lab(folder) as lab, Browser() as browser:
    book = lab.open(browser, ["import edgelfm", "pg = edgelfm.playground('starter'); pg"])
    book.run()
    book.page.get_by_role("textbox", name="Message").fill("Hello")
    assert book.kernel("pg.model.entry.id") == "starter"
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

CHROMIUM = "/usr/bin/chromium"
TOKEN = "for-tests"
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight are not on the page
}
_DARK = {"@jupyterlab/apputils-extension/themes": {"theme": "JupyterLab Dark"}}
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def missing() -> str:
    """What would have to be installed to run these, empty if nothing."""
    if not Path(CHROMIUM).exists():
        return "apt-get install chromium"
    for name in ("playwright", "jupyterlab", "anywidget"):
        if not _importable(name):
            return "pip install -e '.[dev]'"
    return ""


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


class Lab:
    """A JupyterLab server on loopback, with settings and kernels of its own."""

    def __init__(self, folder: Path, *, dark: bool = False, command: Sequence[str] = ("lab",)) -> None:
        self.folder = folder / "books"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._runtime = folder / "runtime"
        settings = folder / "settings"
        for name, values in {**_SETTINGS, **(_DARK if dark else {})}.items():
            file = settings / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        environment = {
            **os.environ,
            "JUPYTER_RUNTIME_DIR": str(self._runtime),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTERLAB_SETTINGS_DIR": str(settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "IPYTHONDIR": str(folder / "ipython"),
            "EDGELFM_CACHE": str(folder / "cache"),
            "EDGELFM_CONFIG": str(folder / "edgelfm-config"),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyter", *command, "--no-browser", "--allow-root", "--ServerApp.port=0",
                f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.folder}",
            ],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.url = self._address()

    def _address(self) -> str:
        lines: list[str] = []
        assert self._process.stderr is not None
        for line in self._process.stderr:
            lines.append(line)
            if found := re.search(r"(http://(?:127\.0\.0\.1|localhost):\d+)/lab", line):
                self._reader = threading.Thread(target=self._process.stderr.read, daemon=True)
                self._reader.start()  # a full pipe would stop it
                return found[1]
        raise RuntimeError("JupyterLab did not start:\n" + "".join(lines))

    def write(self, cells: Sequence[str]) -> Path:
        """A notebook of code cells."""
        path = self.folder / f"book-{uuid.uuid4().hex[:8]}.ipynb"
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, path)
        return path

    def open(self, browser: Browser, cells: Sequence[str] | Path, **context: Any) -> Book:
        """Open a notebook in a tab of its own, with a kernel of its own."""
        path = cells if isinstance(cells, Path) else self.write(cells)
        if path.parent != self.folder:
            for folder in (one for one in path.parent.iterdir() if one.is_dir() and not one.name.startswith(".")):
                shutil.copytree(folder, self.folder / folder.name, dirs_exist_ok=True)  # what the notebook reads
            path = Path(shutil.copy(path, self.folder))
        return Book(self, browser.page(**context), path)

    def api(self, path: str, method: str = "GET") -> Any:
        """What the server's REST API answers."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def connection_file(self, kernel: str) -> str:
        """Where a kernel says how to reach it."""
        return str(self._runtime / f"kernel-{kernel}.json")

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()


class Browser:
    """Headless Chromium."""

    def __enter__(self) -> Browser:
        from playwright.sync_api import sync_playwright

        self._driver = sync_playwright().start()
        self._browser = self._driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._driver.stop()

    def page(self, **context: Any) -> Any:
        """An empty tab with no memory of others."""
        made = self._browser.new_context(
            **{"viewport": {"width": 1280, "height": 1000}, "accept_downloads": True, **context}
        )
        page = made.new_page()
        page.set_default_timeout(120_000)  # other work may have the processor
        return page


class Book:
    """One notebook in one tab."""

    def __init__(self, lab: Lab, page: Any, path: Path) -> None:
        self.lab, self.page, self.path = lab, page, path
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.url = f"{lab.url}/lab/tree/{path.name}?token={TOKEN}&reset"
        page.goto(self.url)
        page.locator(".jp-NotebookPanel:visible .jp-Notebook").wait_for()
        self._client: Any = None
        # Cells that are run before both the kernel and the page's connection to it are there are lost without a word.
        self.client()
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()

    def run(self, timeout: float = 120.0) -> None:
        """Run all cells and wait until the kernel has done them."""
        self.page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        self.menu("Run", "Run All Cells")
        count = self.page.locator(".jp-Notebook .jp-CodeCell").count()
        self.page.wait_for_function(
            """count => {
                const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
                return prompts.length >= count && prompts.every((one) => /\\[\\d+\\]/.test(one.textContent));
            }""",
            arg=count,
            timeout=timeout * 1000,
        )

    @property
    def kernel_id(self) -> str:
        """The kernel of this notebook."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:  # JupyterLab asks for one when the notebook is open
            for one in self.lab.api("sessions"):
                if one["path"] == self.path.name and Path(self.lab.connection_file(one["kernel"]["id"])).exists():
                    return str(one["kernel"]["id"])
        raise LookupError(f"{self.path.name} has no kernel")

    def kernel(self, expression: str, timeout: float = 120.0) -> Any:
        """The value of an expression in the kernel, asked past the page. It must be a literal."""
        shown = self.client().execute_interactive(
            "",
            user_expressions={"asked": f"repr({expression})"},
            store_history=False,
            timeout=timeout,
            output_hook=lambda _: None,
        )["content"]
        answer = shown["user_expressions"]["asked"]
        assert answer["status"] == "ok", answer
        return ast.literal_eval(ast.literal_eval(answer["data"]["text/plain"]))

    def execute(self, code: str, timeout: float = 120.0) -> None:
        """Run code in the kernel, past the page."""
        answer = self.client().execute_interactive(
            code, store_history=False, timeout=timeout, output_hook=lambda _: None
        )
        assert answer["content"]["status"] == "ok", answer["content"]

    def until(self, expression: str, timeout: float = 120.0, pause: float = 0.1) -> None:
        """Ask the kernel until an expression is true, every `pause` seconds: each time costs it some work."""
        deadline = time.monotonic() + timeout
        while not self.kernel(expression):
            assert time.monotonic() < deadline, f"it never became true: {expression}"
            time.sleep(pause)

    def restart(self) -> None:
        """Restart the kernel and clear what it had shown, as a person does, and wait until it answers again."""
        self.menu("Kernel", "Restart Kernel and Clear Outputs of All Cells…")
        self.page.get_by_role("button", name="Confirm Kernel Restart").or_(
            self.page.locator(".jp-Dialog .jp-mod-accept")
        ).first.click()
        self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()
        _await_ready(self.client())

    def menu(self, *names: str) -> None:
        """Choose from JupyterLab's menus."""
        for name in names:
            self.page.get_by_role("menuitem", name=name, exact=True).first.click()

    def client(self) -> Any:
        """A connection to the kernel of our own."""
        if self._client is None:
            from jupyter_client import BlockingKernelClient

            self._client = BlockingKernelClient(connection_file=self.lab.connection_file(self.kernel_id))
            self._client.load_connection_file()
            self._client.start_channels()
            _await_ready(self._client)
        return self._client

    def close(self) -> None:
        """Close the tab and end the kernel."""
        if self._client is not None:
            self._client.stop_channels()
        with contextlib.suppress(LookupError, OSError):
            self.lab.api(f"kernels/{self.kernel_id}", "DELETE")
        self.page.context.close()

    def __enter__(self) -> Book:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _await_ready(client: Any, timeout: float = 120.0) -> None:
    """Wait for a kernel. One that gives no sign of life for a second is dead to its client, or has no processor yet."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return client.wait_for_ready(timeout=timeout)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise


@contextlib.contextmanager
def lab_and_browser(folder: Path, **options: Any) -> Iterator[tuple[Lab, Browser]]:
    """Both, for a script."""
    with Lab(folder, **options) as lab, Browser() as browser:
        yield lab, browser
