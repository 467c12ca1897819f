"""`Model`: one running model and all that can be done with it. How it came to run is the affair of `loading`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .chat.answering import Answering, LoadedAs, Overflow
from .chat.conversation import Conversation
from .chat.engine import Engine
from .chat.messages import Messages, read_messages
from .chat.reply import Reply
from .chat.stream import Stream
from .errors import RequestError
from .hardware.host import Host
from .upstairs import widget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self, Unpack

    from .aio import AsyncModel
    from .backends.base import Memory, Session
    from .bench.progress import Benching
    from .bench.report import BenchReport
    from .chat.options import ReplyOptions
    from .chat.priming import Primed
    from .models.entry import ModelEntry
    from .models.lora import Lora
    from .notebook.monitor_panel import MonitorPanel
    from .planning.plan import Candidate, Plan
    from .tuning.progress import Show as Measured
    from .tuning.tune import Tuned


class Model:
    """One running model. Use it as a context manager, or call `close()` when you are done.

    `plan` says why it runs the way it runs, `candidate` is the part of the plan that was taken, `load_seconds` what
    opening it took. Methods may be called from several threads; replies are made one at a time, first come, first
    served.
    """

    def __init__(
        self, session: Session, plan: Plan, *, load_seconds: float = 0.0, chat_template: str | None = None
    ) -> None:
        assert plan.chosen is not None
        self._session = session
        self._adapting = threading.Lock()  # so that what is said of the adapter is of the one that is there
        self.plan = plan
        self.candidate: Candidate = plan.chosen
        self.load_seconds = load_seconds
        known = _loaded_as(self.candidate, session.context, plan.request.adapter)
        self._engine: Answering = Engine(session, self.entry, chat_template=chat_template, loaded_as=known)

    @property
    def entry(self) -> ModelEntry:
        """What the catalogue knows about this model."""
        return self.candidate.model

    @property
    def adapter(self) -> Lora | None:
        """The LoRA that runs beside it."""
        return self.plan.request.adapter

    def use_adapter(self, adapter: str | Path | None) -> None:
        """Let another LoRA run beside the weights, or none. The weights stay in memory; this takes milliseconds.

        What was said stays, and is read again with the next turn, as the states of the old one mean nothing to the
        new. Raises `ModelFileError` for an adapter that does not fit, and nothing has changed then; `RequestError`
        where the runtime can have none.
        """
        from .backends.base import Adapting
        from .conversion.lora_file import as_read_by
        from .models.adapters import find_adapter
        from .planning.adapting import adapted, takes

        lora = find_adapter(adapter) if adapter is not None else None
        backend = self.candidate.backend
        if not isinstance(self._session, Adapting) or (lora is not None and not takes(backend, lora)):
            raise RequestError(
                f"{backend} cannot have {'the adapter ' + lora.name if lora else 'an adapter'} beside a model",
                hint="merge it: edgelfm convert <folder of its base model> --adapter <adapter>",
            )
        file = as_read_by(backend, lora, self.entry.architecture) if lora is not None else None
        with self._adapting:
            self._session.use_adapter(file)
            self.plan = adapted(self.plan, self.candidate, lora)
            self.candidate = self.plan.candidates[0]
            if isinstance(self._engine, Engine):
                self._engine.loaded_as = _loaded_as(self.candidate, self.context, lora)

    @property
    def host(self) -> Host:
        """The machine it was planned for."""
        return self.plan.host

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together."""
        return self._session.context

    @property
    def aio(self) -> AsyncModel:
        """The same verbs for `async` code."""
        from .aio import AsyncModel

        return AsyncModel(self)

    def chat(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        **options: Unpack[ReplyOptions],
    ) -> Reply:
        """Answer a text or a list of messages and forget it again. For several turns use `conversation()`.

        Raises `ContextExceeded` with both lengths, `TemplateError`, `RequestError`, `SessionClosed`.
        """
        return self.stream(messages, system=system, overflow=overflow, **options).reply

    def stream(
        self,
        messages: Messages,
        *,
        system: str | None = None,
        overflow: Overflow = "error",
        **options: Unpack[ReplyOptions],
    ) -> Stream:
        """Like `chat`, but read it as it comes: `for text in lfm.stream(…)`, then `.reply` for the figures."""
        one = self._engine
        read = one.options(options)
        return one.answer(read_messages(messages, system=system, beyond_text=one.beyond_text), read, overflow)

    def complete(self, text: str, **options: Unpack[ReplyOptions]) -> Reply:
        """Continue `text` as it stands, without a chat template. This is what base models are for."""
        return self.complete_stream(text, **options).reply

    def complete_stream(self, text: str, **options: Unpack[ReplyOptions]) -> Stream:
        """`complete`, read as it comes."""
        if not isinstance(text, str) or not text:
            raise RequestError("there is nothing to continue", hint='as in lfm.complete("Once upon a time")')
        return self._engine.complete(text, self._engine.options(options))

    def conversation(
        self, *, system: str | None = None, overflow: Overflow = "error", messages: Messages | None = None
    ) -> Conversation:
        """A conversation of several turns. `messages` is what has been said already.

        `overflow="drop_oldest"` forgets the oldest turns when the context is full; "error" says so instead.
        """
        beyond_text = self._engine.beyond_text
        history = read_messages(messages, beyond_text=beyond_text) if messages is not None else ()
        return Conversation(self._engine, system=system, overflow=overflow, history=history)

    def resume(self, path: str | Path) -> Conversation:
        """Go on with a conversation that `talk.save(path)` wrote, with any model. See `edgelfm.resume`."""
        from .chat import resuming, saved

        return resuming.resume(self._engine, Path(path), saved.read_chat(Path(path)))

    def prime(
        self,
        prefix: str | None = None,
        *,
        system: str | None = None,
        disk: bool | str | Path = False,
        progress: bool = True,
    ) -> Primed:
        """Evaluate a long beginning now, so that `lfm.chat(prefix + question, system=system)` starts at once.

        It stays in memory until the model is closed. `disk=True` keeps it in the cache folder, a path keeps it there,
        and the next process reads it instead of evaluating; a file that does not fit is replaced. An interrupt keeps
        what was done, and the next call goes on there. Raises `RequestError`, `ContextExceeded`, `StoreError`.
        """
        from .chat import priming

        assert isinstance(self._engine, Engine)
        kept = disk if isinstance(disk, bool) else Path(disk)
        return priming.prime(self._engine, prefix, system, kept, progress=progress)

    def tune(self, *, seconds: float = 20.0, progress: bool | Measured = True) -> Tuned:
        """Measure for about `seconds` which settings are fastest here, use them, and keep them for the next start.

        Backends other than llama.cpp leave nothing to choose; of those only the speed is measured, so that later plans
        can tell which is the fastest here. States of conversations are given up; their next turn reads them anew.
        `plan` and `candidate` are then those that follow. Raises `DoesNotFit`, `BackendError`.
        """
        from .tuning.adopting import replanned
        from .tuning.tune import tune

        tuned = tune(self._session, self.plan, self.candidate, seconds=seconds, progress=progress)
        self._adopt(replanned(self.plan, self.candidate, tuned.record))
        return tuned

    def _tune_on_first_use(self, progress: bool | Measured) -> None:
        from .tuning.adopting import first_use

        try:
            found = first_use(self._session, self.plan, self.candidate, progress=progress)
            if found is not None:
                self._adopt(found)
        except BaseException:  # Ctrl-C among them: nobody would get the model to close it
            self.close()
            raise

    def _adopt(self, plan: Plan) -> None:
        """Go on by another plan for the same artifact."""
        from .tuning.adopting import reopen

        assert plan.chosen is not None
        before, self.plan, self.candidate = self.candidate, plan, plan.chosen
        reopen(self._session, before.settings, self.candidate.settings)

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`, without a template around it."""
        return len(self._session.tokenize(text, special=False))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the runtime found out as it opened the model, in sentences: which execution providers run, and how many
        nodes of the graph fell back to the CPU. Empty where there is nothing to say.
        """
        found: tuple[str, ...] = getattr(self._session, "remarks", ())
        return found

    def memory(self) -> Memory:
        """Bytes held, as the runtime reports them."""
        return self._session.memory()

    def bench(
        self,
        *,
        quick: bool = False,
        prompt: int | None = None,
        tokens: int | None = None,
        depths: Sequence[int] | None = None,
        repetitions: int | None = None,
        sustained: float | None = None,
        patience: float | None = None,
        progress: bool | Callable[[Benching], None] = True,
    ) -> BenchReport:
        """Measure how fast this model runs here, as it is open now. Takes some seconds, or minutes on a small board.

        Prefill of a `prompt` of 512 tokens, decode of 100 `tokens` at each of `depths` tokens of context, time to the
        first token cold, warm and after an edit, each with `repetitions` (5) from a fresh state; `sustained` seconds of
        decode with heat and throttling. `quick` takes less of everything. It waits up to `patience` (60) seconds for a
        quiet and cool machine. Conversations come back afterwards. An interrupt gives the report of what was done.

        Raises `RequestError`, `SessionClosed`. `edgelfm bench` also measures loading and other runtimes.
        """
        from .bench import read_settings
        from .bench.open_model import bench

        settings = read_settings(
            quick=quick, prompt=prompt, tokens=tokens, depths=depths, repetitions=repetitions, sustained=sustained,
            patience=patience,
        )  # fmt: skip
        return bench(self._session, self.candidate, self.host, settings, progress=progress)

    def monitor(self) -> MonitorPanel:
        """A live widget: memory beside what was predicted, tokens per second, cores, heat and power."""
        panel: MonitorPanel = widget("monitor_panel", "MonitorPanel")(self)
        return panel

    def close(self) -> None:
        """Stop what runs and free everything. Calling it twice is fine."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<Model {self.entry.name} {self.candidate.quantization} "
            f"{f'with {self.adapter.name} ' if self.adapter else ''}on {self.candidate.backend}, "
            f"context {self.context} tokens>"
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .model_html import model_bundle

        return model_bundle(self)


def _loaded_as(candidate: Candidate, context: int, adapter: Lora | None) -> LoadedAs:
    from .models import catalog

    artifact = candidate.artifact
    catalogued = catalog.load().find(candidate.model.id) is not None
    name = artifact.path or (candidate.model.id if catalogued else artifact.repo)
    beside = adapter.where if adapter is not None else None
    return LoadedAs(name, artifact.quantization, artifact.backend, context, beside)
