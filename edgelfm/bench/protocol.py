"""How a benchmark measures: what every runtime must be able to do, and in which order it is asked.

The method follows pipette, the benchmark harness of Liquid AI (docs/methodology: decode-throughput,
prefill-throughput, end-to-end-latency, peak-memory-linux, device-conditions), so that figures can be set beside its
own: exact token counts, fresh state for every repetition, decode at a stated depth, times stored and not rates. One
repetition is one process: it loads, and is then asked in the order of `steps`. Runtimes take turns, one in memory at a
time.

The prompt is English text made of a word list and a seed, tokenized by the runtime itself and cut to the exact number
of tokens. The same seed gives the same text, so all runtimes read the same; two repetitions share no beginning.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from ..errors import RequestError
from .report import Kind, Subject

FirstToken = Literal["first_token_cold", "first_token_warm", "first_token_after_edit"]

#: Tokens of the last message in the first-token steps: a short question at the end of a long conversation.
QUESTION = 32
#: Tokens of the answer that was given before an edit takes it back.
ANSWER = 16
#: A slice of a sustained run: a prompt of this many tokens, then this many tokens written.
SUSTAINED_DEPTH, SUSTAINED_TOKENS = 64, 128


class Runner(Protocol):
    """One runtime with one model. Made cheaply; nothing is loaded before `start`, and it may be started again later.

    Methods raise `EdgelfmError` with the reason if the runtime cannot do it. The clock is `time.perf_counter` in the
    process that computes.
    """

    name: str
    #: Of the last `start`: from asking the library for the model until it takes a prompt. Its imports are not in it.
    #: None for a model that was open already.
    load_seconds: float | None
    pid: int | None  # of the process that holds the model, for its memory; None while it is stopped
    bytes_per_token: int | None  # read for one token at `speed.DEPTH`, None if that is not known of this runtime

    def start(self) -> Subject:
        """Load the model in a fresh state, and say what it is and how it was opened."""
        ...

    def prefill(self, tokens: int) -> float:
        """Seconds to evaluate a prompt of exactly `tokens`, from nothing, until its first token is sampled."""
        ...

    def decode(self, depth: int, tokens: int) -> float:
        """Seconds from the first sampled token after a prompt of `depth` until `tokens` more have been sampled.

        That is `tokens` evaluations of one token. End-of-text must not end it.
        """
        ...

    def first_token(self, kind: FirstToken, history: int, question: int) -> float | None:
        """Seconds from the call to the first token. None if this runtime cannot be asked that way.

        The prompt has `history` + `question` tokens. Cold: nothing of it is in the state. Warm: the history is, as
        after the last turn. After an edit: the history and another question with `ANSWER` tokens of answer are, and
        this question takes their place.
        """
        ...

    def stop(self) -> None:
        """Free everything, end the process. Calling it twice is fine, also after a failure."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to time once in a repetition. `tokens` and `depth` as in `Series`."""

    kind: Kind
    tokens: int
    depth: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured, and how often. The defaults are those of `edgelfm bench`."""

    prompt: int = 512  # tokens of a prefill, and of the conversation in the first-token steps
    tokens: int = 100  # written by a decode
    depths: tuple[int, ...] = (512,)  # tokens of context at which decode is timed
    repetitions: int = 5
    sustained: float = 0.0  # seconds of decode at a stretch, 0 to leave it out
    patience: float = 60.0  # seconds in all that may be spent waiting for a quiet and cool machine

    def __post_init__(self) -> None:
        for name, value, least in (
            ("prompt", self.prompt, 2 * QUESTION),
            ("tokens", self.tokens, 2),
            ("repetitions", self.repetitions, 1),
            *(("depth", depth, 1) for depth in self.depths),
        ):
            if value < least:
                raise RequestError(f"{name} is {value}", hint=f"give a whole number of at least {least}")
        if not self.depths:
            raise RequestError("no depth is given", hint="as in depths=(512, 2048)")
        for name, seconds in (("sustained", self.sustained), ("patience", self.patience)):
            if not 0 <= seconds < 86_400:
                raise RequestError(f"{name} is {seconds:g} s", hint="give seconds, 0 to leave it out")

    @property
    def context(self) -> int:
        """Tokens of context that all steps together need."""
        return max(self.prompt + ANSWER, SUSTAINED_DEPTH + SUSTAINED_TOKENS, max(self.depths) + self.tokens) + 8

    def steps(self) -> Iterator[Step]:
        """In the order in which a fresh process does them.

        The cold first token comes first, when nothing has been computed yet; after it the others are warmed up.
        """
        history = self.prompt - QUESTION
        yield Step("first_token_cold", self.prompt, 0)
        yield Step("prefill", self.prompt, 0)
        for depth in self.depths:
            yield Step("decode", self.tokens, depth)
        yield Step("first_token_warm", QUESTION, history)
        yield Step("first_token_after_edit", QUESTION, history)


#: `--quick`: enough to see where one stands, too little to compare by.
QUICK = Settings(prompt=128, tokens=32, depths=(128,), repetitions=3, patience=10.0)

#: `--peers`: some runtimes are twenty times slower than others, and all together should take minutes.
WITH_PEERS = Settings(prompt=128, tokens=48, depths=(128,), repetitions=3)


def read_settings(
    *, quick: bool = False, peers: bool = False, depths: Sequence[int] | None = None, **wishes: float | None
) -> Settings:
    """The defaults, or the quick ones, or those with peers, with what somebody asked for. None asks for nothing.

    Raises `RequestError` for a value that makes no sense.
    """
    asked: dict[str, Any] = {name: value for name, value in wishes.items() if value is not None}
    if depths:
        asked["depths"] = tuple(sorted(set(depths)))
    return replace(QUICK if quick else WITH_PEERS if peers else Settings(), **asked)


@dataclass(frozen=True, slots=True)
class Peers:
    """The other runtimes on this machine that can run the same weights, and why the rest cannot.

    `bench.peers.find(candidate, files, context, told)` gives them, in the order of a report.
    """

    runners: tuple[Runner, ...]
    notes: tuple[str, ...]  # "transformers is not installed: pip install 'edgelfm[transformers]'"


def measure(runner: Runner, step: Step) -> float | None:
    """Let a started runner do one step. Seconds, or None if it cannot be asked that way."""
    if step.kind == "prefill":
        return runner.prefill(step.tokens)
    if step.kind == "decode":
        return runner.decode(step.depth, step.tokens)
    if step.kind == "first_token_cold":
        return runner.first_token(step.kind, step.tokens - QUESTION, QUESTION)
    if step.kind == "first_token_warm" or step.kind == "first_token_after_edit":
        return runner.first_token(step.kind, step.depth, step.tokens)
    raise ValueError(f"{step.kind} is not a step")


def passage(seed: int, words: int) -> str:
    """English-looking text that depends on nothing but the seed, and differs from the first word on."""
    pick, known = random.Random(seed), _WORDS.split()
    sentences: list[str] = []
    while words > 0:
        length = min(words, pick.randint(6, 14))
        chosen = [pick.choice(known) for _ in range(length)]
        sentences.append(" ".join(chosen).capitalize() + ".")
        words -= length
    return " ".join(sentences)


def prompt_ids(tokenize: Callable[[str], Sequence[int]], seed: int, tokens: int, bos: Sequence[int] = ()) -> list[int]:
    """Exactly `tokens` token ids of `passage(seed, …)`, beginning with `bos`. `tokenize` must add nothing itself."""
    words = tokens
    while True:
        ids = [*bos, *tokenize(passage(seed, words))]
        if len(ids) >= tokens:
            return ids[:tokens]
        words *= 2


_WORDS = (
    "water light stone river garden winter morning paper window bridge market engine signal copper harbour valley "
    "letter number pattern shadow silver forest island animal kitchen doctor teacher captain farmer painter quickly "
    "slowly often never always under over between beside behind across through carries brings opens closes follows "
    "measures builds paints repairs counts the a this every another small large quiet bright heavy narrow ancient green"
)
