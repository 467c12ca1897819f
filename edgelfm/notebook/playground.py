"""`edgelfm.playground()`: pick a model, load it, chat with it, turn its knobs, and watch what it takes."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import RequestError
from ..markup import escape
from . import holders
from .chat_view import ChatView
from .loader import Loader
from .panels import PANELS
from .sampling import SamplingControls
from .transcript import escape_lines
from .worker import Worker

if TYPE_CHECKING:
    from ..chat import Conversation
    from ..model import Model
    from ..planning.plan import Plan


class Playground(ipywidgets.VBox):
    """A chat with everything around it. Several views of it, in one tab or two, show the same.

    `model` and `conversation` are what is on screen; both work from other cells too, once `wait()` says that loading is
    done. `close()` ends it, and frees the model if it was loaded here. A playground that nobody sees any more gives its
    model up when another loads one.
    """

    def __init__(self, model: Model | str | Path | None = None, *, plan: Plan | None = None, **asked: Any) -> None:
        from ..loading import plan as make_plan
        from ..model import Model

        me = weakref.ref(self)

        def failed(error: Exception) -> None:
            if (one := me()) is not None:
                one.view.desk.tell(error)

        self._worker = Worker(failed)
        self._owned: Model | None = None
        self.sampling = SamplingControls()
        self.system = ipywidgets.Textarea(
            placeholder="What the model is told before everything else. It holds from the next new chat on.",
            layout={"width": "auto", "height": "7em"},
        )
        self.view = ChatView(
            self._worker, options=self.sampling.options, system=lambda: self.system.value.strip() or None
        )
        self.why = ipywidgets.HTML()
        # Buttons and not an accordion, whose headings ipywidgets leaves out of reach for a keyboard.
        self.side = ipywidgets.ToggleButtons(
            options=[("Sampling", 0), ("System prompt", 1), ("Why so", 2)], style={"button_width": "auto"},
        )  # fmt: skip
        shown = ipywidgets.Stack([self.sampling, self.system, self.why], selected_index=0)
        ipywidgets.jslink((self.side, "index"), (shown, "selected_index"))
        side = ipywidgets.VBox(
            [self.side, shown], layout={"flex": "1 1 17em", "min_width": "16em", "width": "auto", "overflow": "auto"}
        )
        self.view.layout = {"flex": "3 1 24em", "min_width": "min(20em, 100%)", "width": "auto"}
        chat = ipywidgets.HBox([self.view, side], layout={"flex_flow": "row wrap", "width": "100%", "grid_gap": "8px"})
        self.tabs = ipywidgets.Tab([chat], titles=("Chat",), layout={"width": "100%"})
        self.loader: Loader | None = None
        children: list[Any] = [self.tabs]
        if not isinstance(model, Model):
            made = plan or make_plan(model, **asked)
            self.loader = Loader(self._worker, made, before=self._let_go, after=self._take)
            self.loader.button.on_click(lambda _: self.view.desk.stop())  # nobody waits for a reply of the old model
            children.insert(0, self.loader)
            self.view.desk.shut("Choose a model and load it.")
        super().__init__(children, layout={"width": "100%"})
        self.add_class("elfm-playground")
        holders.hold(self)
        if isinstance(model, Model):
            self._use(model)
        elif model is not None and self.loader is not None:
            self.loader.load()

    @property
    def model(self) -> Model | None:
        """The model on screen, None before one is loaded."""
        return self.view.desk.model

    @property
    def conversation(self) -> Conversation | None:
        """The conversation on screen."""
        return self.view.desk.conversation

    def send(self, text: str) -> None:
        """Say `text`, as if somebody wrote it in the page. Returns at once; `wait()` waits for the reply.

        Raises `RequestError` before a model is loaded, and while a reply is being written.
        """
        self._loaded()
        if self.view.desk.busy:
            raise RequestError("a reply is being written", hint="playground.wait() waits for it")
        self.view.desk.send(text)

    def show(self, talk: Conversation) -> None:
        """Go on with this conversation in the page. Raises `RequestError` if it is not one with the model shown."""
        model = self._loaded()
        if getattr(talk, "_engine", None) is not model._engine:
            raise RequestError(
                "this is no conversation with the model of this playground", hint="make it with playground.model"
            )
        self.view.desk.open(model, talk)

    def _loaded(self) -> Model:
        if self.model is None:
            raise RequestError("no model is loaded yet", hint="playground.wait() waits while one is being loaded")
        return self.model

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until what was asked for is done: a load, a reply. False if `timeout` seconds were not enough."""
        return self._worker.wait(timeout)

    def close(self) -> None:
        """Stop what runs, free the model if it was loaded here, and leave the page."""
        holders.let_go(self)
        desk, owned = self.view.desk, self._owned
        self._owned = None
        desk.close()
        self._worker.close(owned.close if owned is not None else None)
        for panel in self.tabs.children[1:]:
            panel.close()
        for widget in [self.view, self.loader, self.sampling, self.system, self.why, self.tabs]:
            if widget is not None:
                widget.close()
        super().close()

    def _take(self, model: Model) -> None:
        """A model that was loaded here."""
        self._owned = model
        self._use(model)

    def _use(self, model: Model) -> None:
        self.sampling.show(model.entry.sampling)
        self.why.value = _why(model)
        self.view.desk.open(model)
        panels = [(one.title, one.make(model)) for one in PANELS]
        for old in self.tabs.children[1:]:
            old.close()
        shown = [(title, widget) for title, widget in panels if widget is not None]
        self.tabs.children = (self.tabs.children[0], *(widget for _, widget in shown))
        self.tabs.titles = ("Chat", *(title for title, _ in shown))

    @property
    def idle_unseen(self) -> bool:
        """Whether it is on no page and no reply is being written."""
        return not self.view.desk.feed.views and not self.view.desk.busy

    def give_up(self) -> None:
        """Free the model if it was loaded here. The chat says so."""
        owned, self._owned = self._owned, None
        if owned is not None:
            self.view.desk.shut("Its model was freed to make room for another. Load it again to go on.")
            owned.close()

    def _let_go(self) -> None:
        """Make room for another model."""
        self.give_up()
        holders.free_unseen(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget; and the chat so far for what cannot show widgets, such as GitHub."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle["text/html"] = self._as_html()
        return bundle

    def _as_html(self) -> str:
        talk, model = self.conversation, self.model
        if talk is None or model is None:
            return "<p><b>edgelfm playground</b>: no model is loaded.</p>"
        said = "".join(
            f"<p><b>{escape(one.role)}</b></p><pre style='white-space: pre-wrap'>{escape_lines(one.content)}</pre>"
            for one in talk.messages
        )
        return f"<p><b>edgelfm playground</b> with {escape(model.entry.name)}.</p>{said}"


def _why(model: Model) -> str:
    bundle: Any = getattr(model.candidate, "_repr_mimebundle_", None)
    if bundle is not None:
        return str(bundle()["text/html"])
    return escape(model.candidate.reason)
