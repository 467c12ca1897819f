"""The sources of what runs in the browser: their own tests, and that the built file in the package is theirs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import edgelfm

NOTEBOOK = Path(edgelfm.__file__).parent / "notebook"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the packages they use, and the built files beside it."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node.js with npm 10 or newer")
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copytree(NOTEBOOK / "frontend", folder / "frontend", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(NOTEBOOK / "static", folder / "static")
    run(["npm", "ci", "--no-audit", "--no-fund"], folder / "frontend")
    return folder / "frontend"


def run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_sources_do_what_they_say(sources: Path) -> None:
    assert "# fail 0" in run(["node", "--test", "--test-reporter=tap"], sources)


def test_the_built_file_is_built_from_these_sources(sources: Path) -> None:
    """If not: `npm ci && npm run build` in edgelfm/notebook/frontend, and commit ../static."""
    run(["node", "build.mjs", "--check"], sources)


def test_what_the_wheel_carries_asks_nobody_on_the_network() -> None:
    """A board may have no internet, and a person may want none."""
    for file in (NOTEBOOK / "static").iterdir():
        if file.suffix not in (".js", ".css"):
            continue
        text = file.read_text(encoding="utf-8")
        assert "import(" not in text, file.name
        assert "@import" not in text, file.name
        assert "url(" not in text, file.name
        assert "fetch(" not in text, file.name
        assert "XMLHttpRequest" not in text, file.name


def test_packages_in_the_built_file_come_with_their_licences() -> None:
    licences = (NOTEBOOK / "static" / "chat.LICENSES.txt").read_text(encoding="utf-8")
    for name in ("markdown-it", "dompurify", "highlight.js"):
        assert name in licences
