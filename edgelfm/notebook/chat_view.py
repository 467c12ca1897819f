"""The chat as a widget: a `Desk` with a page. See frontend/chat.js for the page's side."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from .desk import Desk, Options
from .kernel import soon
from .worker import Worker

_STATIC = Path(__file__).with_name("static")


class ChatView(anywidget.AnyWidget):
    """One chat in as many places as it is displayed. `desk` is what it shows and does."""

    _esm = _STATIC / "chat.js"
    _css = _STATIC / "chat.css"
    #: Whether there is a line to write in.
    composer = traitlets.Bool(True).tag(sync=True)
    #: Whether messages can be edited, answered again, branched and exported.
    actions = traitlets.Bool(True).tag(sync=True)

    def __init__(
        self,
        worker: Worker,
        *,
        options: Callable[[], Options] = dict,
        system: Callable[[], str | None] = lambda: None,
        composer: bool = True,
        actions: bool = True,
    ) -> None:
        super().__init__(composer=composer, actions=actions)
        me = weakref.ref(self)

        def send(said: Mapping[str, Any]) -> None:
            view = me()
            if view is None or view.comm is None:
                return
            try:
                view.send(said)
            except UnicodeEncodeError:  # half a surrogate pair, as a file may hold; Jupyter refuses it
                view.send(_whole(said))

        self.desk = Desk(send, worker, options=options, system=system, beat=soon)
        self.on_msg(_hear)

    def close(self) -> None:
        """End what goes on and leave the page."""
        self.desk.close()
        super().close()


def _whole(value: Any) -> Any:
    """`value` with what is no character replaced, in every text of it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, (list, tuple)) else value


def _hear(view: ChatView, said: object, buffers: object) -> None:
    if isinstance(said, Mapping):
        view.desk.hear(said)
