"""`RemoteModel`: a model behind a server, with the verbs of a model that runs here. What only a runtime here can do
says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .aio import AsyncRemoteModel
from .backends.base import Memory, Session
from .backends.remote.candidate import candidate
from .backends.remote.server import ServedModel, Server
from .backends.remote.session import RemoteSession
from .chat.remote_engine import RemoteEngine
from .errors import RequestError
from .model import Model

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from .chat.answering import Overflow
    from .chat.messages import Messages
    from .chat.remote_engine import ServerOptions
    from .chat.reply import Reply
    from .chat.stream import Stream
    from .hardware.host import Host
    from .models.entry import ModelEntry
    from .planning.plan import Plan


class RemoteModel(Model):
    """One model of a server. `server` says what was found there, `served` what it tells of this model.

    `chat`, `stream` and the turns of a conversation also take `tools`, `tool_choice`, `response_format` and `extra`,
    and pass them on. Replies may be made side by side. `context` is 0 if the server does not say it;
    `served.context_from` tells where it is from. `close` ends every reply and every connection, and the server goes on.
    `plan`, `tune`, `bench`, `prime`, `memory` and `count_tokens` are for models that run here; they raise
    `RequestError`.
    """

    def __init__(self, session: RemoteSession, entry: ModelEntry, *, preset_known: bool) -> None:
        self._remote = session
        self._session = cast(Session, session)  # of which only what is also there is used: context, events, close
        self._engine = RemoteEngine(session, entry, preset_known=preset_known)
        self.candidate = candidate(session.server, session.model, entry)
        self.load_seconds = 0.0

    @property
    def server(self) -> Server:
        """The server, and all its models."""
        return self._remote.server

    @property
    def served(self) -> ServedModel:
        """What the server tells of this model."""
        return self._remote.model

    @property
    def adapter(self) -> None:
        """Only for models that run here."""
        return

    def use_adapter(self, adapter: str | Path | None) -> NoReturn:
        """Only for models that run here."""
        self._refuse("has the adapters that it was started with; some list them as models of their own")

    @property
    def aio(self) -> AsyncRemoteModel:
        """The same verbs for `async` code."""
        return AsyncRemoteModel(self)

    def chat(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        **options: Unpack[ServerOptions],
    ) -> Reply:
        """Answer a text or a list of messages and forget it again. Messages may be whatever the server takes.

        Raises `ServerError` and those below it, `UnknownModel`, `ContextExceeded`, `RequestError`, `SessionClosed`.
        """
        return self.stream(messages, system=system, overflow=overflow, **options).reply

    def stream(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        **options: Unpack[ServerOptions],
    ) -> Stream:
        """Like `chat`, but read it as it comes. The server is asked when the stream is read."""
        return super().stream(messages, system=system, overflow=overflow, **cast(Any, options))

    def embed(self, texts: str | Sequence[str]) -> list[list[float]]:
        """A vector for each text. Raises `RequestError` if the server gives no embeddings."""
        listed = [texts] if isinstance(texts, str) else list(texts)
        if not listed or not all(isinstance(text, str) and text for text in listed):
            raise RequestError("there is a text missing", hint='as in lfm.embed(["a first text", "a second"])')
        return self._remote.embed(listed)

    def count_tokens(self, text: str) -> int:
        """Only for models that run here."""
        self._refuse("has the tokenizer, and the protocol has no way to ask it")

    def memory(self) -> Memory:
        """Only for models that run here."""
        self._refuse("holds the model, and does not say in how much memory")

    def prime(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Only for models that run here."""
        self._refuse("keeps the state of what it has read, and decides itself for how long")

    def tune(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Only for models that run here."""
        self._refuse("was started with its settings")

    def bench(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Only for models that run here."""
        self._refuse("and the network would be measured together; reply.timings has what was seen of one reply")

    def monitor(self) -> NoReturn:
        """Only for models that run here."""
        self._refuse("works elsewhere, and this machine's sensors say nothing of it")

    @property
    def plan(self) -> Plan:  # type: ignore[override]
        """Only for models that run here."""
        self._refuse("was planned by somebody else")

    @property
    def host(self) -> Host:
        """Only for models that run here."""
        self._refuse("is the machine, and does not describe itself")

    def _refuse(self, why: str) -> NoReturn:
        name = f'"{self.entry.id}"' if self.entry.artifacts else ""  # the catalogue's, or one that only the server has
        raise RequestError(
            f"{self.server.name} at {self.server.url} {why}", hint=f"load one that runs here: edgelfm.load({name})"
        )

    def __repr__(self) -> str:
        context = f", context {self.context} tokens" if self.context else ""
        return f"<Model {self.entry.name} on {self.server.name} at {self.server.url}{context}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .model_html import remote_bundle

        return remote_bundle(self)
