"""The contract between edgelfm and a runtime. It fits on a screen, and a third party can fulfil it.

A backend turns a prompt of token ids into a stream of `Token` events. It knows nothing of messages, tools, schemas or
widgets. Register one under the entry point group `edgelfm.backends`, name = the backend's name, value = a callable
`open(candidate, files, progress=None) -> Session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from ..models.entry import Role, Sampling
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
class Token:
    """One event of the stream.

    Text never ends inside a UTF-8 character or inside what may become a stop string, so it may be empty, or hold
    several tokens' worth.
    """

    ids: tuple[int, ...]  # tokens sampled since the last event, without the one that ends the reply
    text: str  # text that became certain with them
    finish_reason: FinishReason | None = None  # on the last event only
    timings: Timings | None = None  # on the last event only


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


class Session(Protocol):
    """One loaded model. Methods may be called from any thread; one generation runs at a time, others wait in line."""

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together."""
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

    def generate(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[Token]:
        """Stream a completion of `prompt`. Raises `ContextExceeded`, `SessionClosed`, `BackendError`."""
        ...

    def memory(self) -> Memory:
        """Bytes held, as the runtime reports them."""
        ...

    def close(self) -> None:
        """Free everything. Calling it twice is fine."""
        ...


class Backend(Protocol):
    """What an entry point of group `edgelfm.backends` must be."""

    def __call__(self, candidate: Candidate, files: Mapping[Role, Path], progress: Progress | None = None) -> Session:
        """Load the weights and return a session. Raises `BackendError`, `BackendMissing`, `ModelFileError`."""
        ...
