"""The conversation loop of `edgelfm chat`: read, answer, show the figures, again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import EdgelfmError
from ..paths import config_folder
from ..units import format_bytes
from . import commands
from .answer import write_answer, write_figures
from .failures import report
from .line_input import LineInput
from .output import write_facts, write_line

if TYPE_CHECKING:
    from ..chat import Conversation, Reply, ReplyOptions, Stream
    from ..model import Model


class Talk:
    """What the loop and the slash commands share."""

    def __init__(self, model: Model, system: str | None, options: ReplyOptions) -> None:
        self.model = model
        self.options = options
        self.conversation: Conversation = model.conversation(system=system)
        self.replies: list[Reply] = []

    def run(self) -> None:
        """Until /quit or Ctrl-D. An error is told and the conversation goes on as it was."""
        self._greet()
        reader = LineInput(config_folder() / "chat_history", commands.NAMES)
        interrupted = False
        while True:
            try:
                text = reader.read()
            except KeyboardInterrupt:
                write_line()
                if interrupted:
                    write_line("/quit or Ctrl-D ends the conversation.", style="dim")
                interrupted = True
                continue
            except EOFError:
                write_line()
                return
            interrupted = False
            try:
                if text.startswith("/"):
                    commands.run(self, text)
                elif text:
                    self.answer(self.conversation.stream(text, **self.options))
            except commands.Quit:
                return
            except EdgelfmError as error:
                report(error.message, error.hint)

    def answer(self, stream: Stream) -> None:
        """Show a reply and its figures."""
        write_line()
        reply = write_answer(stream)
        self.replies.append(reply)
        write_figures(reply)
        write_line()

    def regenerate(self) -> None:
        """Answer the last message again."""
        self.answer(self.conversation.regenerate_stream(**self.options))

    def edit(self, turn: int, text: str) -> None:
        """Answer `text` in place of what was said in `turn`."""
        self.answer(self.conversation.edit_stream(turn, text, **self.options))

    def _greet(self) -> None:
        one = self.model.candidate
        write_line()
        write_facts([
            ("model", f"{one.model.name} {one.quantization} on {one.backend}"),
            ("context", f"{self.model.context} tokens"),
            ("memory", f"{format_bytes(one.memory.total)} expected, loaded in {self.model.load_seconds:.1f} s"),
            ("why", one.reason),
        ])  # fmt: skip
        write_line()
        write_line(
            '/help lists the commands. Ctrl-C stops a reply. """ begins and ends a text of several lines.', style="dim"
        )
        write_line()
