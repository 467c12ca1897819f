"""`%%lfm`: a cell that is a prompt. The reply streams as Markdown, without widgets, in anything that shows Markdown.

    %load_ext edgelfm

    %%lfm
    Why is the sky blue?

Cells of one notebook are one conversation; `%lfm --new` begins another. An interrupt ends the reply and keeps what is
there.
"""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import Markdown, display, update_display

from ..errors import EdgelfmError
from ..markup import escape

if TYPE_CHECKING:
    from ..chat import Conversation, Reply, Stream
    from ..model import Model

_BETWEEN = 0.12  # seconds between updates; each sends the whole text so far, so long ones are sent less often
_CHARACTERS_A_SECOND = 200_000  # of updates
_FENCE = re.compile(r"(^```.*?(?:^```\s*$|\Z))", re.DOTALL | re.MULTILINE)


@magics_class
class LfmMagics(Magics):
    """The model and the conversation behind `%%lfm`."""

    model: Model | None = None
    conversation: Conversation | None = None
    owned = False  # whether the model was loaded here
    asked_for = ""  # the name it was loaded by

    @magic_arguments()
    @argument("--model", "-m", default="", help="name of a model, or of a variable that holds one")
    @argument("--system", "-s", default="", help="system prompt; begins a new conversation")
    @argument("--new", "-n", action="store_true", help="begin a new conversation")
    @argument("--max-tokens", type=int, default=None, help="the longest reply")
    @argument("--temperature", "-t", type=float, default=None, help="0 takes the likeliest token every time")
    @argument("--seed", type=int, default=None, help="the same seed draws the same reply")
    @argument("--into", default="", help="name of a variable for the reply")
    @line_cell_magic("lfm")
    def lfm(self, line: str, cell: str | None = None) -> None:
        """Ask the model what stands in the cell."""
        asked = self.lfm.parser.parse_args(shlex.split(line))  # IPython's own splitting would keep quotes
        try:
            self._open(asked.model)
            assert self.model is not None
            if self.conversation is None or asked.new or asked.system:
                self.conversation = self.model.conversation(system=asked.system or None)
            if cell is None or not cell.strip():
                return
            given = {"max_tokens": asked.max_tokens, "temperature": asked.temperature, "seed": asked.seed}
            options: Any = {name: value for name, value in given.items() if value is not None}
            reply = _show(self.conversation.stream(cell.strip(), **options))
        except EdgelfmError as error:
            raise UsageError(str(error)) from error
        if asked.into:
            self.shell.user_ns[asked.into] = reply

    def _open(self, name: str) -> None:
        """Have the model that is called `name`: a variable of the notebook, or one to load."""
        from ..loading import load
        from ..model import Model

        if not name and self.model is not None:
            return
        held = self.shell.user_ns.get(name or "lfm")
        if isinstance(held, Model):
            if held is not self.model:
                self._let_go()
                self.model = held
            return
        if self.model is not None and self.asked_for == name:
            return
        self._let_go()
        self.model, self.owned, self.asked_for = load(name or None), True, name

    def _let_go(self) -> None:
        """Free a model that was loaded here."""
        model, self.model, self.conversation = self.model, None, None
        if model is not None and self.owned:
            model.close()
        self.owned, self.asked_for = False, ""


def _show(stream: Stream) -> Reply:
    """Stream a reply into the cell's output. An interrupt ends it and keeps what is there."""
    shown = display(Markdown("…"), display_id=True)
    assert shown is not None
    text: list[str] = []
    thinking: list[str] = []
    next_update = time.monotonic() + _BETWEEN
    try:
        with stream:
            for piece in stream.pieces():
                (text if piece.kind == "text" else thinking).append(piece.text)
                if time.monotonic() >= next_update:
                    so_far = "".join(text)
                    update_display(Markdown(_markdown(so_far, "".join(thinking))), display_id=shown.display_id)
                    next_update = time.monotonic() + max(_BETWEEN, len(so_far) / _CHARACTERS_A_SECOND)
    except KeyboardInterrupt:
        stream.cancel()
    reply = stream.reply
    end = f"\n\n<small>{escape(reply.summary())}</small>"
    update_display(Markdown(_markdown(reply.text, reply.thinking) + end), display_id=shown.display_id)
    return reply


def _markdown(text: str, thinking: str) -> str:
    """What the model wrote, harmless: its own HTML is shown as text, and no picture is fetched from anywhere."""
    parts = _FENCE.split(text)
    parts[::2] = [part.replace("&", "&amp;").replace("<", "&lt;").replace("![", "!\\[") for part in parts[::2]]
    shown = "".join(parts)
    if not thinking:
        return shown
    inside = "<br>".join(escape(line) for line in thinking.split("\n"))
    return f"<details><summary>Thinking</summary>{inside}</details>\n\n{shown}"
