"""The contract between edgelfm and a runtime. It fits on a screen, and a third party can fulfil it.

A backend turns a prompt of token ids into a stream of `Token` events. It knows nothing of messages, tools, schemas or
widgets. Register one under the entry point group `edgelfm.backends`, name = the backend's name, value = a callable
`open(candidate, files, progress=None) -> Session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from ..models.entry import Role, Sampling
from ..monitor.events import Events
from .cancel import Cancel

if TYPE_CHECKING:
    from ..planning.plan import Candidate

FinishReason = Literal["stop", "length", "cancelled"]
#: Called with the fraction loaded so far, 0 to 1. Returning False abandons the load.
Progress = Callable[[float], bool]


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one generation went. Seconds and token counts; rates are derived, never stored."""

    prompt_tokens: int  # in the prompt
    cached_tokens: int  # of those, already in the model's state
    completion_tokens: int
    prefill_seconds: float  # evaluating the uncached part of the prompt
    decode_seconds: float  # from the first sampled token to the last
    first_token_seconds: float  # from the call to the first sampled token

    @property
    def prefill_tokens_per_second(self) -> float | None:
        """Uncached prompt tokens per second, None if nothing had to be evaluated."""
        tokens = self.prompt_tokens - self.cached_tokens
        return tokens / self.prefill_seconds if tokens and self.prefill_seconds > 0 else None

    @property
    def decode_tokens_per_second(self) -> float | None:
        """Tokens after the first per second, None below two tokens."""
        if self.completion_tokens < 2 or self.decode_seconds <= 0:
            return None
        return (self.completion_tokens - 1) / self.decode_seconds


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was, before sampling filters and penalties had their say. Natural logarithms."""

    id: int
    piece: bytes  # the token's bytes, which may be part of a character
    logprob: float
    top: tuple[tuple[int, bytes, float], ...] = ()  # the likeliest tokens at this place: id, bytes, logprob


@dataclass(frozen=True, slots=True)
class Token:
    """One event of the stream.

    Text never ends inside a UTF-8 character or inside what may become a stop string, so it may be empty, or hold
    several tokens' worth.
    """

    ids: tuple[int, ...]  # tokens sampled since the last event, without the one that ends the reply
    text: str  # text that became certain with them
    finish_reason: FinishReason | None = None  # on the last event only
    timings: Timings | None = None  # on the last event only
    logprobs: tuple[TokenLogprob, ...] = ()  # one for each of `ids`, if they were asked for
    # On the last event, of a server that finds the calls of tools itself: id, name and JSON arguments of each.
    tool_calls: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What a loaded model holds, in bytes, as its runtime reports it."""

    weights: int
    kv: int
    conv: int
    compute: int
    output: int

    @property
    def total(self) -> int:
        """Sum of the parts; the interpreter and libraries are not in it."""
        return self.weights + self.kv + self.conv + self.compute + self.output

    def __add__(self, other: Memory) -> Memory:
        """Part by part."""
        return Memory(
            self.weights + other.weights,
            self.kv + other.kv,
            self.conv + other.conv,
            self.compute + other.compute,
            self.output + other.output,
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import memory_bundle

        return memory_bundle(self)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a session keeps besides the state it works on, to go back and to change conversations."""

    tokens: int  # in the state it works on now
    checkpoints: tuple[int, ...]  # lengths in tokens that this state can go back to at once
    parked: tuple[int, ...]  # lengths in tokens of the other states in memory, latest first
    bytes: int  # of checkpoints and parked states together
    limit_bytes: int  # what they may take before the longest unused one goes
    pinned_bytes: int = 0  # of `bytes`, those of states that never go


@dataclass(frozen=True, slots=True)
class State:
    """A state taken out of a session, to be written to disk or put into another session of the same model.

    `identity` says what it belongs to: runtime, build, model, quantization, type of the KV cache. It fits a session
    whose `state_identity()` is equal, and no other.
    """

    identity: Mapping[str, str]
    tokens: tuple[int, ...]  # what it stands for
    data: bytes | bytearray | memoryview  # the runtime's own form
    # Length in tokens, the part that cannot be cut back, and at the end of a prompt the logits: float32, little-endian.
    checkpoints: tuple[tuple[int, bytes, bytes], ...] = ()


class Session(Protocol):
    """One loaded model. Methods may be called from any thread; one generation runs at a time, others wait in line."""

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together."""
        ...

    @property
    def events(self) -> Events:
        """What it does and when, for whoever listens."""
        ...

    @property
    def chat_template(self) -> str | None:
        """The Jinja source the model file carries."""
        ...

    def special_tokens(self) -> Mapping[str, str]:
        """`bos_token` and `eos_token` as text, for the template."""
        ...

    def markers(self) -> frozenset[str]:
        """Texts that `tokenize(special=True)` reads as one control token: `<|im_end|>`, `<think>`, …"""
        ...

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`, adding no BOS. `special` reads markers such as `<|im_start|>` as one token."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, markers included. Raises `RequestError` for an id that stands for nothing here."""
        ...

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        logit_bias: Mapping[int, float] | None = None,
        logprobs: int | None = None,
        keep: bool = True,
        cancel: Cancel | None = None,
    ) -> Iterator[Token]:
        """Stream a completion of `prompt`.

        `logit_bias` is added to the logits of tokens before anything else looks at them. `logprobs` asks for the
        logarithm of each token's probability, and for that many of the likeliest ones beside it (0: only its own).
        `keep=False` says that nobody will come back to this, so its state is not kept when another takes its place.
        Raises `ContextExceeded`, `SessionClosed`, `BackendError`.
        """
        ...

    def prime(self, prompt: Sequence[int], *, pin: bool = False, cancel: Cancel | None = None) -> Timings:
        """Evaluate `prompt` now, so that whatever begins with it starts at once. `pin` keeps it until `close`.

        A cancelled call keeps what it has done. Raises like `generate`.
        """
        ...

    def forget(self) -> None:
        """Give up every state, pinned ones too. The next prompt is evaluated whole."""
        ...

    def kept(self) -> Kept:
        """What is in memory to go back to."""
        ...

    def state_identity(self) -> Mapping[str, str]:
        """What a `State` must say to fit here."""
        ...

    def export_state(self, prompt: Sequence[int]) -> State | None:
        """The state that stands for the longest beginning of `prompt`. None if there is none, or it cannot be had."""
        ...

    def import_state(self, state: State, *, pin: bool = False) -> None:
        """Keep a state for the prompts that begin as it does. Raises `StateRefused` with the reason."""
        ...

    def memory(self) -> Memory:
        """Bytes held, as the runtime reports them."""
        ...

    def close(self) -> None:
        """Free everything. Calling it twice is fine."""
        ...


@runtime_checkable
class Adapting(Protocol):
    """What a session can do besides, if a LoRA can run beside its weights."""

    def use_adapter(self, adapter: Path | None) -> None:
        """Go on with the adapter in `adapter`, as the runtime reads it, in place of the one before; None for none.

        The weights stay, every state is given up. Waits for the reply under way. Raises `ModelFileError` for one that
        does not fit; the one before stays then.
        """
        ...


class Backend(Protocol):
    """What an entry point of group `edgelfm.backends` must be."""

    def __call__(self, candidate: Candidate, files: Mapping[Role, Path], progress: Progress | None = None) -> Session:
        """Load the weights and return a session. Raises `BackendError`, `BackendMissing`, `ModelFileError`."""
        ...
