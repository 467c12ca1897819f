"""The verbs of `Model` and `Conversation` for `async` code: `await lfm.aio.chat(…)`, `async for text in
lfm.aio.stream(…)`.

Every stream has a thread of its own that computes, and hands what it makes to the event loop, which stays free.
Cancelling the task stops the computation within one token.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .chat.conversation import Conversation
from .chat.messages import Message, Messages
from .chat.reply import Reply
from .chat.stream import Piece, Stream
from .chat.tree import Branches, Node, Tree

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .chat.answering import Overflow
    from .chat.options import ReplyOptions
    from .chat.resuming import Resumed
    from .model import Model
    from .remote_model import RemoteModel

_WAITING = 64  # pieces computed ahead of a slow reader; then the computation waits for it


class AsyncStream:
    """A `Stream` for `async for`. `await stream.reply()` gives the finished reply."""

    def __init__(self, start: Callable[[], Stream]) -> None:
        self._start = start
        self._stream: Stream | None = None
        self._pieces = self._run()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Text and thinking in the order the model writes them."""
        async for piece in self._pieces:
            yield piece

    async def reply(self) -> Reply:
        """The whole reply. Reads to the end if that has not happened yet."""
        async for _ in self._pieces:
            pass
        assert self._stream is not None
        return self._stream.reply

    async def __aiter__(self) -> AsyncIterator[str]:
        async for piece in self._pieces:
            if piece.kind == "text":
                yield piece.text

    async def aclose(self) -> None:
        """Stop the computation."""
        await self._pieces.aclose()

    async def _run(self) -> AsyncGenerator[Piece, None]:
        loop = asyncio.get_running_loop()
        ready: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()
        room = threading.Semaphore(_WAITING)
        stream = self._stream = await asyncio.to_thread(self._start)

        def compute() -> None:
            last: BaseException | None = None
            try:
                for piece in stream.pieces():
                    room.acquire()
                    loop.call_soon_threadsafe(ready.put_nowait, piece)
            except BaseException as error:  # noqa: BLE001  (raised again in the task that reads)
                last = error
            loop.call_soon_threadsafe(ready.put_nowait, last)

        thread = threading.Thread(target=compute, name="edgelfm-stream", daemon=True)
        thread.start()
        try:
            while (item := await ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
                room.release()
        finally:
            stream.cancel()
            room.release(_WAITING)
            # Shielded: a cancelled task must still leave the model free for the next one.
            await asyncio.shield(asyncio.to_thread(thread.join))


class AsyncConversation:
    """A `Conversation` for `async` code."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    @property
    def resumed(self) -> Resumed | None:
        """How it was taken up again, if it comes from a file."""
        return self._conversation.resumed

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, oldest first."""
        return self._conversation.messages

    @property
    def tree(self) -> Tree:
        """Every message of every branch."""
        return self._conversation.tree

    @property
    def node(self) -> Node | None:
        """Where in the tree the conversation is. None before the first message."""
        return self._conversation.node

    @property
    def context_used(self) -> int:
        """Tokens that the model has seen of this branch, as of its last reply."""
        return self._conversation.context_used

    async def send(self, text: str, **options: Unpack[ReplyOptions]) -> Reply:
        """Say `text` and wait for the answer without blocking the event loop."""
        return await self.stream(text, **options).reply()

    def stream(self, text: str, **options: Unpack[ReplyOptions]) -> AsyncStream:
        """Say `text` and read the answer with `async for`."""
        return AsyncStream(lambda: self._conversation.stream(text, **options))

    async def regenerate(self, **options: Unpack[ReplyOptions]) -> Reply:
        """Answer the last message again. See `Conversation.regenerate`."""
        return await self.regenerate_stream(**options).reply()

    def regenerate_stream(self, **options: Unpack[ReplyOptions]) -> AsyncStream:
        """`regenerate`, read with `async for`."""
        return AsyncStream(lambda: self._conversation.regenerate_stream(**options))

    async def edit(self, turn: int, text: str, **options: Unpack[ReplyOptions]) -> Reply:
        """Say `text` in place of what was said in `turn`. See `Conversation.edit`."""
        return await self.edit_stream(turn, text, **options).reply()

    def edit_stream(self, turn: int, text: str, **options: Unpack[ReplyOptions]) -> AsyncStream:
        """`edit`, read with `async for`."""
        return AsyncStream(lambda: self._conversation.edit_stream(turn, text, **options))

    def fork(self, turns: int | None = None) -> AsyncConversation:
        """Another conversation with the same history. See `Conversation.fork`."""
        return AsyncConversation(self._conversation.fork(turns))

    async def save(self, path: str | Path, *, state: bool = False) -> tuple[Path, ...]:
        """Write every branch to a file without blocking the event loop. See `Conversation.save`."""
        return await asyncio.to_thread(self._conversation.save, path, state=state)

    def branches(self, turn: int = -1) -> Branches:
        """The versions of a turn. See `Conversation.branches`."""
        return self._conversation.branches(turn)

    def switch(self, node: Node | int) -> None:
        """Go to the branch through `node`. See `Conversation.switch`."""
        self._conversation.switch(node)

    def back_to(self, node: Node | int) -> None:
        """Go back to a reply, so that the next message begins another branch after it. See `Conversation.back_to`."""
        self._conversation.back_to(node)

    def undo(self) -> None:
        """Go back to before the last message."""
        self._conversation.undo()

    def reset(self) -> None:
        """Forget everything but the system prompt."""
        self._conversation.reset()

    def __repr__(self) -> str:
        return repr(self._conversation)


class AsyncModel:
    """A `Model` for `async` code."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def chat(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        **options: Unpack[ReplyOptions],
    ) -> Reply:
        """Answer without blocking the event loop. See `Model.chat`."""
        return await self.stream(messages, system=system, overflow=overflow, **options).reply()

    def stream(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        **options: Unpack[ReplyOptions],
    ) -> AsyncStream:
        """Read the answer with `async for`. See `Model.stream`."""
        return AsyncStream(lambda: self._model.stream(messages, system=system, overflow=overflow, **options))

    async def complete(self, text: str, **options: Unpack[ReplyOptions]) -> Reply:
        """Continue `text` without blocking the event loop. See `Model.complete`."""
        return await AsyncStream(lambda: self._model.complete_stream(text, **options)).reply()

    def conversation(
        self, *, system: str | None = None, overflow: Overflow = "error", messages: Messages | None = None
    ) -> AsyncConversation:
        """A conversation of several turns. See `Model.conversation`."""
        return AsyncConversation(self._model.conversation(system=system, overflow=overflow, messages=messages))

    async def use_adapter(self, adapter: str | Path | None) -> None:
        """Let another LoRA run beside the weights, or none. See `Model.use_adapter`."""
        await asyncio.to_thread(self._model.use_adapter, adapter)

    async def resume(self, path: str | Path) -> AsyncConversation:
        """Go on with a saved conversation. See `Model.resume`."""
        return AsyncConversation(await asyncio.to_thread(self._model.resume, path))


class AsyncRemoteModel(AsyncModel):
    """A `RemoteModel` for `async` code."""

    def __init__(self, model: RemoteModel) -> None:
        super().__init__(model)
        self._remote = model

    async def embed(self, texts: str | Sequence[str]) -> list[list[float]]:
        """A vector for each text. See `RemoteModel.embed`."""
        return await asyncio.to_thread(self._remote.embed, texts)
