"""The conversation loop of `edgelfm chat`: read, answer, show the figures, again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chat.resuming import state_beside
from ..errors import EdgelfmError
from ..paths import config_folder
from ..units import format_bytes
from . import commands
from .answer import write_answer, write_figures
from .failures import report
from .line_input import LineInput
from .output import write_facts, write_line
from .resuming import resume

if TYPE_CHECKING:
    from pathlib import Path

    from ..chat import Conversation, Reply, ReplyOptions, Stream
    from ..model import Model


class Talk:
    """What the loop and the slash commands share.

    With a `file`, the conversation is written there whenever it has changed, so that nothing is lost if this is killed.
    """

    def __init__(self, model: Model, system: str | None, options: ReplyOptions, file: Path | None = None) -> None:
        self.model = model
        self.options = options
        self.file = file
        self.conversation: Conversation = model.conversation(system=system)
        self.replies: list[Reply] = []

    def run(self) -> None:
        """Until /quit or Ctrl-D. An error is told and the conversation goes on as it was."""
        self._greet()
        if self.file is not None:
            self._begin(self.file)
        try:
            self._loop()
        finally:
            self._keep_state()

    def take_up(self, file: Path) -> None:
        """Go on with the conversation in `file`."""
        self.conversation = resume(self.model, file)
        if self.file is not None:
            self.file = file
        self._tell_resumed()

    def _loop(self) -> None:
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
            self._keep()

    def answer(self, stream: Stream) -> None:
        """Show a reply and its figures."""
        self._keep()  # the question, should this be killed before the answer is there
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

    def _begin(self, file: Path) -> None:
        if file.exists():
            self.take_up(file)
        else:
            write_line(f"Every turn is kept in {file}.", style="dim")
            write_line()

    def _tell_resumed(self) -> None:
        messages, resumed = self.conversation.messages, self.conversation.resumed
        write_line(f"{len(messages)} messages read." if messages else "No messages there yet.", style="dim")
        if resumed is not None and resumed.state_tokens:
            write_line(f"The state of {resumed.state_tokens} tokens was kept.", style="dim")
        if resumed is not None and resumed.refused:
            write_line(f"{resumed.refused}; the conversation is evaluated anew.", style="dim")
        if messages and messages[-1].role == "user":
            write_line("The last one has no answer: /regenerate gives one.", style="dim")
        write_line()

    def _keep(self) -> None:
        if self.file is None:
            return
        try:
            self.conversation.save(self.file)
        except EdgelfmError as error:
            report(error.message, error.hint)

    def _keep_state(self) -> None:
        """Renew the state if one was asked for before: it lies beside the file."""
        if self.file is None or not state_beside(self.file).exists():
            return
        try:
            self.conversation.save(self.file, state=True)
        except EdgelfmError as error:
            report(error.message, error.hint)

    def _greet(self) -> None:
        one, held = self.model.candidate, self.model.candidate.memory.total
        write_line()
        write_facts([
            ("model", f"{one.model.name} {one.quantization} on {one.backend}"),
            ("adapter", self.model.adapter.where if self.model.adapter else ""),
            ("context", f"{self.model.context} tokens" if self.model.context else ""),
            ("memory", f"{format_bytes(held)} expected, loaded in {self.model.load_seconds:.1f} s" if held else ""),
            ("why", one.reason),
        ])  # fmt: skip
        write_line()
        write_line(
            '/help lists the commands. Ctrl-C stops a reply. """ begins and ends a text of several lines.', style="dim"
        )
        write_line()
