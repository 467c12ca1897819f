"""A chat as something to take away: a Python script that goes on with it, or the JSON that `edgelfm.resume` reads."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..chat import Conversation


def as_json(talk: Conversation) -> str:
    """Every branch, as `talk.save` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.json"
        talk.save(path)
        return path.read_text(encoding="utf-8")


def as_python(talk: Conversation, load_command: str, options: Mapping[str, Any]) -> str:
    """A script that loads the same model, takes up the present branch and asks on, with the same sampling."""
    lines = ["import edgelfm", "", f"lfm = {load_command}", "talk = lfm.conversation("]
    messages = [(one.role, one.content) for one in talk.messages]
    if messages and messages[0][0] == "system":
        lines.append(f"    system={messages.pop(0)[1]!r},")
    if messages:
        lines.append("    messages=[")
        lines += [f"        {{'role': {role!r}, 'content': {content!r}}}," for role, content in messages]
        lines.append("    ],")
    lines.append(")")
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    lines += [f"for text in talk.stream('…'{given}):", "    print(text, end='', flush=True)", ""]
    return "\n".join(lines)
