"""`%%lfm`: a cell that is a prompt, in IPython without widgets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import edgelfm
from edgelfm.notebook.magic import _markdown


@pytest.fixture(scope="module")
def lfm() -> Iterator[edgelfm.Model]:
    with edgelfm.load("starter", context=2048, progress=False, tune=False) as model:
        yield model


class Shell:
    """IPython, and what a notebook would show."""

    def __init__(self, lfm: edgelfm.Model) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from IPython.utils.capture import capture_output

        self.capture = capture_output
        self.shell = InteractiveShell.instance()
        self.shell.user_ns["lfm"] = lfm
        self.shell.run_line_magic("load_ext", "edgelfm")

    def run(self, cell: str) -> list[str]:
        """The Markdown that the cell leaves and left on its way, last one last."""
        with self.capture() as seen:
            self.shown = self.shell.run_cell(cell)
        self.stdout = seen.stdout + seen.stderr
        return [one.data["text/markdown"] for one in seen.outputs if "text/markdown" in one.data]

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]


@pytest.fixture
def shell(lfm: edgelfm.Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)  # of the terminal; IPython warns if it is not ours
    made = Shell(lfm)
    yield made
    made.shell.run_line_magic("unload_ext", "edgelfm")
    made.shell.clear_instance()


def test_a_cell_is_asked_and_the_reply_streams(shell: Shell, lfm: edgelfm.Model) -> None:
    shown = shell.run("%%lfm -t 0 --max-tokens 40 --into reply\nTell me about foxes.")
    reply = shell["reply"]
    assert reply == lfm.chat("Tell me about foxes.", temperature=0, max_tokens=40)
    assert len(shown) > 2, "it was shown in pieces"
    assert shown[-1].startswith(_markdown(reply.text, ""))
    assert "tokens/s" in shown[-1]
    parts = shown[1:-1]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(parts))


def test_cells_are_one_conversation_until_a_new_one(shell: Shell) -> None:
    shell.run("%%lfm -t 0 --max-tokens 5 --new --into a\nOne.")
    shell.run("%%lfm -t 0 --max-tokens 5 --into b\nTwo.")
    assert shell["b"].usage.cached_tokens > shell["a"].usage.prompt_tokens
    shell.run("%%lfm -t 0 --max-tokens 5 --new --into c\nOne.")
    assert shell["c"].usage.prompt_tokens == shell["a"].usage.prompt_tokens
    assert shell["c"] == shell["a"]


def test_a_system_prompt_in_quotes_is_used_without_them(shell: Shell, lfm: edgelfm.Model) -> None:
    shell.run("%%lfm -t 0 --max-tokens 5 --system 'You are a pirate.' --into reply\nHello.")
    asked = [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "Hello."}]
    assert shell["reply"].usage.prompt_tokens == lfm.chat(asked, max_tokens=1).usage.prompt_tokens


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%lfm --max-tokens 0\nHello", "max_tokens is 0"),
        ("%%lfm --colour red\nHello", "unrecognized arguments"),
        ("%%lfm --model no-such-model\nHello", "no-such-model"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_without_a_traceback(shell: Shell, cell: str, said: str) -> None:
    shell.run(cell)
    assert said in shell.stdout
    assert "Traceback" not in shell.stdout


def test_what_the_model_writes_is_no_markup_of_the_page() -> None:
    shown = _markdown("<script>x</script> ![a](http://b) \n```html\n<b>![c]\n```\n", "<i>\nhm")
    assert "<script>" not in shown
    assert "![a]" not in shown
    assert "```html\n<b>![c]\n```" in shown, "code is shown as it stands"
    assert "&lt;i&gt;<br>hm" in shown
