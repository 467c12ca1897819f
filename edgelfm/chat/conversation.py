"""A conversation: turns with one model, kept as a tree in which one can go back and take another way."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RequestError
from .answering import Answering, Overflow
from .messages import Message, Question, calling, read_question
from .options import ReplyOptions
from .outline import outline
from .reply import Reply
from .stream import Stream, Written
from .tree import Branches, Node, Tree

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .resuming import Resumed

_RETRY_SECONDS = 0.001  # between attempts to end a reply that another thread is computing
_PATIENCE_SECONDS = 30.0  # with such a thread: it may itself be waiting for its turn with the model


class Conversation:
    """Turns with one model. What it has seen already is not evaluated again, also after going back.

    Nothing that was said is lost: `regenerate`, `edit` and `undo` begin another branch of `tree`, and `switch` goes to
    any other. Only `reset` forgets.

    One reply at a time: starting another ends the one under way. A reply that was stopped stays as far as it came; one
    that failed, or was stopped before its first word, leaves the conversation as it was.
    """

    def __init__(
        self,
        engine: Answering,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        history: Sequence[Message] = (),
        tree: Tree | None = None,
        seen: int = 0,
    ) -> None:
        """Begin with `system` and `history`, or go on with `tree`. `seen` tokens of it are in the model's state."""
        self._engine = engine
        self._overflow: Overflow = overflow
        first = [Message("system", system)] if system is not None else []
        self._tree = Tree.of([*first, *history]) if tree is None else tree
        self._used: dict[int, int] = {}  # tokens up to the end of a reply, by its node
        if seen and self._tree.current is not None:
            self._used[self._tree.current] = seen
        self._asked: tuple[int | None, Message] | None = None  # the last question, as long as it has no answer
        self._active: Callable[[], Stream | None] = lambda: None
        #: How it was taken up again, if it comes from a file.
        self.resumed: Resumed | None = None

    @property
    def tree(self) -> Tree:
        """Every message of every branch."""
        return self._tree

    @property
    def node(self) -> Node | None:
        """Where in the tree the conversation is: its last message. None before the first."""
        return None if self._tree.current is None else self._tree[self._tree.current]

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation so far, oldest first: the branch of the tree that ends here."""
        return tuple(node.message for node in self._tree.path())

    @property
    def context_used(self) -> int:
        """Tokens that the model has seen of this branch, as of its last reply. `lfm.context` is what it can hold."""
        return next((self._used[node.id] for node in reversed(self._tree.path()) if node.id in self._used), 0)

    def send(self, text: Question, **options: Unpack[ReplyOptions]) -> Reply:
        """Say `text` and wait for the answer. A server also takes what it calls a message, or the parts of one.

        Raises `ContextExceeded`, `TemplateError`, `RequestError`, `SessionClosed`.
        """
        return self.stream(text, **options).reply

    def stream(self, text: Question, **options: Unpack[ReplyOptions]) -> Stream:
        """Say `text` and read the answer as it comes.

        Errors in the request are raised here, before anything is computed.
        """
        question = read_question(text, 'talk.send("Hello")', beyond_text=self._engine.beyond_text)
        self._stop_active()
        return self._answer(self._tree.current, question, options)

    def regenerate(self, **options: Unpack[ReplyOptions]) -> Reply:
        """Answer the last message again, and keep the old answer beside the new one.

        Raises `RequestError` if there is nothing to answer, and what `send` raises.
        """
        return self.regenerate_stream(**options).reply

    def regenerate_stream(self, **options: Unpack[ReplyOptions]) -> Stream:
        """`regenerate`, read as it comes."""
        self._stop_active()
        if self._asked is not None:  # stopped or failed before its first word
            parent, question = self._asked
            return self._answer(parent, question, options)
        results = [node for node in self._tree.path() if node.message.role in ("user", "tool")]
        asked = results[-1] if results else self._turn(-1)  # what tools gave is answered again, not asked for again
        return self._answer(asked.id, None, options)

    def edit(self, turn: int, text: Question, **options: Unpack[ReplyOptions]) -> Reply:
        """Say `text` in place of what was said in `turn`, and keep the old way beside the new one.

        Turns are counted from 0, or from the end with -1 as the last. Raises `RequestError` if there is no such turn,
        and what `send` raises.
        """
        return self.edit_stream(turn, text, **options).reply

    def edit_stream(self, turn: int, text: Question, **options: Unpack[ReplyOptions]) -> Stream:
        """`edit`, read as it comes."""
        question = read_question(text, 'talk.edit(0, "Hello")', beyond_text=self._engine.beyond_text)
        self._stop_active()
        return self._answer(self._turn(turn).parent, question, options)

    def undo(self) -> None:
        """Go back to before the last message. It and its answer stay in the tree.

        Raises `RequestError` if there is none.
        """
        self._stop_active()
        self._asked = None
        self._tree.go(self._turn(-1).parent)

    def reset(self) -> None:
        """Forget everything but the system prompt."""
        self._stop_active()
        self._asked = None
        self._used = {}
        self._tree = Tree.of(message for message in self.messages[:1] if message.role == "system")

    def fork(self, turns: int | None = None) -> Conversation:
        """Another conversation with the same history, or with its first `turns` only. Neither touches the other.

        A negative number leaves out turns at the end, as in a slice. Raises `RequestError` for more than there are.
        """
        path = self._tree.path()
        if turns is not None:
            said = [index for index, node in enumerate(path) if node.message.role == "user"]
            if not isinstance(turns, int) or isinstance(turns, bool) or not -len(said) <= turns <= len(said):
                raise RequestError(
                    f"there are {len(said)} turns, not {turns!r}", hint=f"fork(turns) takes {-len(said)} to {len(said)}"
                )
            path = path[: [*said, len(path)][turns if turns >= 0 else turns + len(said)]]
        other = Conversation(self._engine, overflow=self._overflow, tree=Tree.of(node.message for node in path))
        other._used = {new: self._used[node.id] for new, node in enumerate(path) if node.id in self._used}
        return other

    def save(self, path: str | Path, *, state: bool = False) -> tuple[Path, ...]:
        """Write every branch to `path` as JSON, so that `edgelfm.resume(path)` goes on here. Returns what was written.

        `state=True` ends a reply under way, and keeps what the model has computed beside the JSON in a `.state` file,
        12 KB a token for the 350M and the 1.2B; the next start computes none of it again. Whoever is killed while
        writing leaves the files as they were. Raises `ChatFileError`, `StoreError`, `NoDiskSpace`.
        """
        from .resuming import save

        if state:
            self._stop_active()
        tree = self._tree
        if self._asked is not None:
            tree = Tree(tree.nodes)
            tree.add(self._asked[1], self._asked[0])
        return save(self._engine, tree, self._overflow, Path(path), state=state)

    def branches(self, turn: int = -1) -> Branches:
        """The versions of a turn: of what was said, and of the answer to it. `switch` goes to one of them.

        Raises `RequestError` if there is no such turn.
        """
        question = self._turn(turn)
        answer = next((node for node in self._tree.path() if node.parent == question.id), None)
        return Branches(self._tree.siblings(question.id), question, self._tree.children(question.id), answer)

    def switch(self, node: Node | int) -> None:
        """Go to the branch through `node`, which may be given by its id, and there to where you were last.

        Raises `RequestError` if it is not in this conversation.
        """
        id = self._find(node)
        self._stop_active()
        self._asked = None
        self._tree.go(self._tree.leaf_below(id))

    def back_to(self, node: Node | int) -> None:
        """Go back to a reply, so that the next message begins another branch after it. What followed it stays.

        Raises `RequestError` if it is not in this conversation, or is a question: `edit` says another in its place.
        """
        id = self._find(node)
        if self._tree[id].message.role == "user":
            raise RequestError("a question cannot be left without an answer", hint='talk.edit(turn, "…") asks another')
        self._stop_active()
        self._asked = None
        self._tree.go(id)

    def _find(self, node: Node | int) -> int:
        id = node.id if isinstance(node, Node) else node
        if isinstance(node, Node) and self._tree[id] != node:
            raise RequestError("this message is of another conversation", hint="use one of talk.tree.nodes")
        return self._tree[id].id

    def _turn(self, turn: int) -> Node:
        """The user's message of a turn on this branch."""
        said = [node for node in self._tree.path() if node.message.role == "user"]
        if not said:
            raise RequestError("nothing has been said yet", hint='begin with talk.send("Hello")')
        if not isinstance(turn, int) or isinstance(turn, bool) or not -len(said) <= turn < len(said):
            there = "is 1 turn" if len(said) == 1 else f"are {len(said)} turns"
            raise RequestError(
                f"there is no turn {turn!r}: there {there} here", hint=f"use 0 to {len(said) - 1}, or -1 for the last"
            )
        return said[turn]

    def _answer(self, parent: int | None, question: Message | None, given: ReplyOptions) -> Stream:
        """Answer `question` after `parent`; without a question, answer `parent` itself."""
        options = self._engine.options(given)
        messages = [node.message for node in self._tree.path_to(parent)]
        tree = self._tree

        def keep(written: Written) -> None:
            raw = "".join(written.raw)
            if written.failed or (not raw and (written.timings is None or written.finish == "cancelled")):
                return
            # After a stop string the last tokens say more than the text does, so they do not stand for it.
            exact = not (options.stop and (written.timings is None or written.finish == "stop"))
            ids = tuple(written.ids) if exact else None
            answer = Message("assistant", "".join(written.text), raw, ids, calling(written.text, written.tool_calls))
            asked = parent if question is None else tree.add(question, parent).id
            self._used[tree.add(answer, asked).id] = written.seen
            self._asked = None

        asking = [*messages, question] if question else messages
        stream = self._engine.answer(asking, options, self._overflow, keep)
        self._asked = (parent, question) if question else None
        self._active = weakref.ref(stream)  # weak: a stream that nobody reads any more must end
        return stream

    def _stop_active(self) -> None:
        active = self._active()
        if active is None or active.ended:
            return
        active.cancel()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ValueError):  # another thread is computing it and will see that it was cancelled
                active.close()
                return
            time.sleep(_RETRY_SECONDS)
        raise RequestError(
            "another thread is in the middle of a reply of this conversation",
            hint="wait for it, or give each thread its own with talk.fork()",
        )

    def __repr__(self) -> str:
        turns = sum(node.message.role == "user" for node in self._tree.path())
        facts = [f"{turns} turn" if turns == 1 else f"{turns} turns"]
        if (branches := len(self._tree.leaves())) > 1:
            facts.append(f"{branches} branches")
        context = self._engine.context
        facts.append(f"{self.context_used} of {context} tokens" if context else f"{self.context_used} tokens")
        head = f"Conversation with {self._engine.model.name}: {', '.join(facts)}"
        return "\n".join([head, *outline(self._tree)])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import conversation_bundle

        return conversation_bundle(self)
