"""`edgelfm.compare([…])`: the same prompt to several models, their replies and figures side by side."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import DoesNotFit
from ..markup import element, escape
from ..units import format_bytes, format_seconds
from . import holders
from .chat_view import ChatView
from .transcript import escape_lines
from .worker import Worker

if TYPE_CHECKING:
    from ..chat import Reply
    from ..model import Model

_STYLE = (
    ".elfm-compare { border-collapse: collapse; font-variant-numeric: tabular-nums; line-height: 1.5; }"
    ".elfm-compare :is(th, td) { text-align: left; padding: 0.15em 1.2em 0.15em 0; }"
    ".elfm-compare td { border-top: 1px solid color-mix(in srgb, currentColor 18%, transparent); }"
)
_HEADER = ("model", "decode", "first token", "prompt", "reply", "memory")


class Column:
    """One of those that answer: a model that was given, or how to load one."""

    def __init__(
        self, asked: Model | str | Path | Mapping[str, Any], worker: Worker, options: Mapping[str, Any]
    ) -> None:
        from ..model import Model

        self.model = asked if isinstance(asked, Model) else None
        self.owned = self.model is None
        self.how: dict[str, Any] = {}
        if isinstance(asked, Mapping):
            self.how = dict(asked)
        elif not isinstance(asked, Model):
            self.how = {"name": asked}
        self.view = ChatView(worker, options=lambda: options, composer=False, actions=False)
        self.view.layout = {"flex": "1 1 20em", "min_width": "min(16em, 100%)", "width": "auto"}
        self.reply: Reply | None = None
        if self.model is not None:
            self.view.desk.open(self.model)
        else:
            self.view.desk.shut(f"{self.title} is loaded with the first prompt.")

    @property
    def title(self) -> str:
        """What it is called, and before it is loaded how it was asked for."""
        if self.model is not None:
            one = self.model.candidate
            return f"{one.model.name} {one.quantization}, {one.backend}"
        parts = [str(self.how.get("name", "the model for this machine"))]
        return " ".join(parts + [str(self.how[key]) for key in ("quantization", "backend") if key in self.how])

    def open(self) -> Model:
        """Load the model unless it is loaded. In the worker."""
        if self.model is None:
            from ..loading import load

            model = load(**{"progress": False, **self.how})
            self.view.desk.open(model)
            self.model = model
        return self.model

    def free(self) -> bool:
        """Give up a model that was loaded here. False if there is none."""
        if self.model is None or not self.owned:
            return False
        model, self.model = self.model, None
        self.view.desk.shut(f"{self.title} made room for another. It is loaded again when it is asked.")
        model.close()
        return True


class Comparison(ipywidgets.VBox):
    """Several chats and one line to write in. `ask(text)` asks from Python, `replies` are the latest, in order.

    One model answers after the other, so that none slows another down. If not all fit into memory together, they take
    turns there too.
    """

    def __init__(self, models: Sequence[Any], **options: Any) -> None:
        me = weakref.ref(self)

        def failed(error: Exception) -> None:
            if (one := me()) is not None:
                one._tell(error)

        self._worker = Worker(failed)
        self.columns = [Column(one, self._worker, options) for one in models]
        self.prompt = ipywidgets.Textarea(
            placeholder="Ask all of them", rows=2, layout={"width": "auto", "flex": "1 1 20em"}
        )
        self.button = ipywidgets.Button(description="Ask", button_style="primary", layout={"width": "7em"})
        self.stop_button = ipywidgets.Button(
            description="Stop", button_style="danger", layout={"width": "7em"}, disabled=True
        )
        self.table = ipywidgets.HTML()
        self.button.on_click(lambda _: self._pressed())
        self.stop_button.on_click(lambda _: self.stop())
        row = ipywidgets.HBox(
            [self.prompt, self.button, self.stop_button], layout={"flex_flow": "row wrap", "align_items": "center"}
        )
        views = ipywidgets.HBox(
            [one.view for one in self.columns], layout={"flex_flow": "row wrap", "width": "100%", "grid_gap": "8px"}
        )
        super().__init__([row, views, self.table], layout={"width": "100%"})
        self._stopped = False
        holders.hold(self)

    @property
    def replies(self) -> tuple[Reply | None, ...]:
        """The latest reply of each, None where there is none yet."""
        return tuple(one.reply for one in self.columns)

    def ask(self, text: str) -> None:
        """Ask all of them. Returns at once; `wait()` waits for the replies."""
        if not text.strip():
            return
        self.button.disabled, self.stop_button.disabled = True, False
        self._stopped = False
        for column in self.columns:
            column.reply = None
            self._worker.submit(functools.partial(self._answer, column, text))
        self._worker.submit(self._done)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all have answered. False if `timeout` seconds were not enough."""
        return self._worker.wait(timeout)

    def stop(self) -> None:
        """End the reply that is being written, and ask no further."""
        self._stopped = True
        for column in self.columns:
            column.view.desk.stop()

    def close(self) -> None:
        """Stop, free the models that were loaded here, and leave the page."""
        holders.let_go(self)
        self.stop()
        columns = self.columns

        def free() -> None:
            for column in columns:
                column.free()

        self._worker.close(free)
        for column in columns:
            column.view.close()
        super().close()

    @property
    def idle_unseen(self) -> bool:
        """Whether it is on no page and nothing is being answered."""
        return not self.button.disabled and not any(one.view.desk.feed.views for one in self.columns)

    def give_up(self) -> None:
        """Free the models that were loaded here. They are loaded again when they are asked."""
        for column in self.columns:
            column.free()

    def _pressed(self) -> None:
        text, self.prompt.value = self.prompt.value, ""
        self.ask(text)

    def _answer(self, column: Column, text: str) -> None:
        """In the worker: have one column answer, in a chat of its own each time."""
        if self._stopped:
            return
        if column.model is None:
            holders.free_unseen(self)
        try:
            column.open()
        except DoesNotFit:
            freed = [other.free() for other in self.columns if other is not column]
            if not any(freed):
                raise
            column.open()
        desk = column.view.desk
        desk.new()
        desk.ask(text)
        column.reply = desk.reply
        self.table.value = self._figures()

    def _done(self) -> None:
        self.button.disabled, self.stop_button.disabled = False, True

    def _tell(self, error: Exception) -> None:
        hint = getattr(error, "hint", "")
        text = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
        self.table.value = f"<p role='alert'>{escape(text)} <code>{escape(hint)}</code></p>{self._figures()}"

    def _figures(self) -> str:
        """What each reply took, as a table."""
        rows = []
        for column in self.columns:
            reply, model = column.reply, column.model
            if reply is None or model is None:
                continue
            decode = reply.timings.decode_tokens_per_second
            cells = (
                column.title,
                f"{decode:.1f} tokens/s" if decode else "–",
                format_seconds(reply.timings.first_token_seconds),
                f"{reply.usage.prompt_tokens} tokens",
                f"{reply.usage.completion_tokens} tokens, {reply.finish_reason}",
                format_bytes(model.memory().total) if model.candidate.memory.parts else "–",  # a server's is not told
            )
            rows.append(element("tr", "".join(element("td", escape(cell)) for cell in cells)))
        if not rows:
            return ""
        head = element("tr", "".join(element("th", escape(name)) for name in _HEADER))
        table = element("table", element("thead", head) + element("tbody", "".join(rows)), class_="elfm-compare")
        return f"<style>{_STYLE}</style>{table}"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget; and the replies so far for what cannot show widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            said = [
                f"<p><b>{escape(column.title)}</b></p>"
                f"<pre style='white-space: pre-wrap'>{escape_lines(column.reply.text)}</pre>"
                for column in self.columns
                if column.reply is not None
            ]
            bundle["text/html"] = self._figures() + "".join(said) or "<p>Nothing has been asked yet.</p>"
        return bundle
