"""What the README shows is what happens."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs_and_prints_what_is_shown() -> None:
    """Line for line; figures and, on another processor, words may differ."""
    code, shown = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README, re.DOTALL).groups()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    printed = done.stdout.strip().splitlines()
    assert len(printed) == len(shown.strip().splitlines())
    assert "sky" in printed[1]
    assert re.fullmatch(r"\d+ tokens · .* tokens/s · first token after .* cached\) · context \d+/\d+.*", printed[-1])


def test_going_back_works_as_shown(tmp_path: Path) -> None:
    _, shown = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    before = 'import edgelfm\nlfm = edgelfm.load("starter")\n'
    after = 'print(talk)\nprint(edgelfm.resume("talk.json", lfm).messages == talk.messages)'
    code = before + shown + after
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "1 turn, 2 branches" in done.stdout
    assert "tomatoes" in done.stdout
    assert done.stdout.endswith("True\n")
    assert {path.name for path in tmp_path.iterdir()} == {"talk.json", "talk.state"}


def test_the_tables_are_current() -> None:
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "scripts" / "readme_tables.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.rewritten(README) == README, "run: python scripts/readme_tables.py"


def test_every_command_it_names_exists() -> None:
    help_text = subprocess.run([sys.executable, "-m", "edgelfm.cli", "--help"], capture_output=True, text=True).stdout
    named = set(re.findall(r"`edgelfm (\w+)", README))
    assert named
    assert named <= set(re.findall(r"^\W*(\w+) ", help_text, re.MULTILINE))


def test_every_make_target_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake (\w[\w-]*)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
