"""The runtimes that bench_engine.py compares, each in a process of its own that it starts and asks.

A runtime is a class whose methods answer one question each. `Remote` is the parent's end of the pipe, `serve` the
child's: one JSON document a line, `["stream", {"text": …}]` and then the answer. Seconds are those of the child's own
`perf_counter`, around what a person's program would do.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

CONTEXT = 4096
Messages = list[dict[str, str]]
#: Everybody draws from the same chain, whatever a model's own preset adds. The second is the preset of the LFM2 cards.
CHAINS: dict[str, dict[str, float]] = {
    "greedy": {"temperature": 0.0, "min_p": 0.0, "repetition_penalty": 1.0, "top_k": 0, "top_p": 1.0},
    "preset": {"temperature": 0.3, "min_p": 0.15, "repetition_penalty": 1.05, "top_k": 0, "top_p": 1.0},
}
SEED = 1
_CHECKPOINTS = 25  # taken and put back for one median


class Edgelfm:
    """What this package does, with the settings it chooses itself."""

    def __init__(self, model: str) -> None:
        import edgelfm

        self.lfm = edgelfm.load(model, context=CONTEXT, progress=False)
        self.talk: Any = None
        self.greedy = {"temperature": 0, "repetition_penalty": 1, "min_p": 0}

    def settings(self) -> dict[str, Any]:
        """What the plan decided, for the others to copy."""
        chosen = self.lfm.candidate.settings
        names = ("threads", "threads_prefill", "batch", "micro_batch", "flash_attention", "kv_type", "mmap")
        return {name: getattr(chosen, name).value for name in names}

    def prompt(self, text: str) -> list[int]:
        """The token ids of a chat that says `text`."""
        from edgelfm.chat.messages import read_messages

        engine = self.lfm._engine
        return list(engine.fit(read_messages(text), engine.options({}), "error").ids)

    def reply_ids(self, text: str, tokens: int, chain: str) -> list[int]:
        """The token ids of a reply, to see that all write the same."""
        reply = self.lfm.chat(text, max_tokens=tokens, logprobs=0, seed=SEED, **CHAINS[chain])
        return [one.id for one in reply.logprobs]

    def stream(self, text: str, tokens: int, chain: str) -> dict[str, float]:
        """Read a reply as it comes. Seconds from its first token, and from its first text, to its end."""
        started, first = time.perf_counter(), 0.0
        with self.lfm.stream(text, max_tokens=tokens, seed=SEED, **CHAINS[chain]) as stream:
            for _ in stream:
                first = first or time.perf_counter()
        ended = time.perf_counter()
        timings = stream.reply.timings
        return {
            "tokens": timings.completion_tokens,
            "after_token": ended - started - timings.first_token_seconds,
            "after_text": ended - first,
        }

    def talk_begin(self, messages: Messages, question: str) -> dict[str, float]:
        """Time to the first token of a conversation that nobody has seen, and the rest of that answer untimed."""
        system, *history = messages
        self.talk = self.lfm.conversation(system=system["content"], messages=history)
        return self._first_token(lambda: self.talk.stream(question, max_tokens=16, **self.greedy))

    def talk_regenerate(self) -> dict[str, float]:
        """Another answer to the last question."""
        return self._first_token(lambda: self.talk.regenerate_stream(max_tokens=4, **self.greedy))

    def talk_edit(self, question: str) -> dict[str, float]:
        """Another last question."""
        return self._first_token(lambda: self.talk.edit_stream(-1, question, max_tokens=4, **self.greedy))

    def talk_fork(self, question: str) -> dict[str, float]:
        """Go on in a copy of the conversation, which stays as it is."""
        return self._first_token(lambda: self.talk.fork().stream(question, max_tokens=4, **self.greedy))

    def talk_go_on(self, question: str) -> dict[str, float]:
        """Go on in the conversation itself."""
        return self._first_token(lambda: self.talk.stream(question, max_tokens=4, **self.greedy))

    def checkpoint(self) -> dict[str, float]:
        """Bytes of a checkpoint at the end of the last conversation, and seconds to take it and to put it back."""
        state, length = self.lfm._session._states.runtime, self.lfm._session.kept().tokens
        taken, restored = [], []
        for _ in range(_CHECKPOINTS):
            with timed(taken):
                copied = state.checkpoint()
            with timed(restored):
                assert state.go_back(length, copied)
        return {"bytes": copied.bytes, "take": statistics.median(taken), "restore": statistics.median(restored)}

    def alternate(self, systems: Sequence[str], questions: Sequence[str]) -> dict[str, int]:
        """Ask conversations with `systems` in turns. Counts the prompt tokens that were evaluated though they had been
        before: all that a conversation has seen is its last prompt and reply, but for the last token sampled.
        """
        talks = [self.lfm.conversation(system=system) for system in systems]
        seen = [0] * len(talks)
        counts = {"longest": 0, "prefilled": 0, "twice": 0}
        for question in questions:
            for index, talk in enumerate(talks):
                usage = talk.send(question, max_tokens=12, **self.greedy).usage
                counts["prefilled"] += usage.prompt_tokens - usage.cached_tokens
                counts["twice"] += max(0, seen[index] - usage.cached_tokens)
                seen[index] = usage.prompt_tokens + usage.completion_tokens - 1
        return {**counts, "longest": max(seen)}

    @staticmethod
    def _first_token(start: Any) -> dict[str, float]:
        """Seconds to the first token, and tokens of the prompt that had to be evaluated for it."""
        begun = time.perf_counter()
        stream = start()
        called = time.perf_counter() - begun
        timings = stream.reply.timings
        return {"seconds": called + timings.first_token_seconds, "new": timings.prompt_tokens - timings.cached_tokens}


class Bare:
    """`llama_decode` and a chain of C samplers in a loop that does nothing else."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        import llama_cpp

        from edgelfm.backends.llama_cpp.library import repacks

        self.llama = llama_cpp
        self.silent = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.silent, ctypes.c_void_p())
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = repacks()  # AMX code that crashes is kept off here, too
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_MMAP if settings["mmap"] else llama_cpp.LLAMA_LOAD_MODE_NONE
        self.model = llama_cpp.llama_model_load_from_file(model.encode(), params)
        given = llama_cpp.llama_context_default_params()
        given.n_ctx, given.n_batch, given.n_ubatch = CONTEXT, settings["batch"], settings["micro_batch"]
        given.n_threads, given.n_threads_batch = settings["threads"], settings["threads_prefill"]
        given.flash_attn_type, given.no_perf = int(settings["flash_attention"]), True
        given.type_k = given.type_v = getattr(llama_cpp, f"GGML_TYPE_{settings['kv_type'].upper()}")
        self.ctx, self.batch = llama_cpp.llama_init_from_model(self.model, given), int(settings["batch"])

    def loop(self, prompt: list[int], tokens: int, chain: str) -> dict[str, Any]:
        """Seconds from the first sampled token to the last, and their ids."""
        llama, ctx = self.llama, self.ctx
        llama.llama_memory_clear(llama.llama_get_memory(ctx), False)
        sampler = self._sampler(chain)
        for token in prompt:
            llama.llama_sampler_accept(sampler, token)
        for start in range(0, len(prompt), self.batch):
            part = prompt[start : start + self.batch]
            ids = (ctypes.c_int32 * len(part))(*part)
            assert llama.llama_decode(ctx, llama.llama_batch_get_one(ids, len(part))) == 0
        one = (ctypes.c_int32 * 1)()
        batch = llama.llama_batch_get_one(one, 1)
        one[0] = llama.llama_sampler_sample(sampler, ctx, -1)
        written = [one[0]]
        started = time.perf_counter()
        for _ in range(tokens - 1):
            llama.llama_decode(ctx, batch)
            one[0] = llama.llama_sampler_sample(sampler, ctx, -1)
            written.append(one[0])
        seconds = time.perf_counter() - started
        llama.llama_sampler_free(sampler)
        return {"seconds": seconds, "ids": written}

    def _sampler(self, chain: str) -> Any:
        llama, chosen = self.llama, CHAINS[chain]
        params = llama.llama_sampler_chain_default_params()
        params.no_perf = True
        made = llama.llama_sampler_chain_init(params)
        links = [llama.llama_sampler_init_greedy()]
        if chosen["temperature"]:
            words = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
            links = [
                llama.llama_sampler_init_penalties(words, 64, chosen["repetition_penalty"], 0.0, 0.0),
                llama.llama_sampler_init_min_p(chosen["min_p"], 1),
                llama.llama_sampler_init_temp(chosen["temperature"]),
                llama.llama_sampler_init_dist(SEED),
            ]
        for link in links:
            llama.llama_sampler_chain_add(made, link)
        return made


class LlamaCppPython:
    """The class `Llama` of llama-cpp-python, as its documentation uses it."""

    def __init__(self, model: str, settings: dict[str, Any] | None = None, context: int | None = None) -> None:
        from llama_cpp import Llama

        from edgelfm.backends.llama_cpp.library import repacks

        repacks()  # keeps AMX code off if it crashes; without that there would be nothing to compare
        given: dict[str, Any] = {"n_ctx": context} if context else {}
        if settings:
            given |= {"n_threads": settings["threads"], "n_threads_batch": settings["threads_prefill"]}
            given |= {"n_batch": settings["batch"], "n_ubatch": settings["micro_batch"]}
            given |= {"flash_attn": settings["flash_attention"], "use_mmap": settings["mmap"]}
        self.llama = Llama(model, verbose=False, **given)

    def stream(self, text: str, tokens: int) -> dict[str, float]:
        """Read a reply as it comes. Seconds from its first text to its end."""
        first, before = 0.0, 0
        said: Messages = [{"role": "user", "content": text}]
        for chunk in self.llama.create_chat_completion(said, stream=True, temperature=0, max_tokens=tokens):
            if not first and chunk["choices"][0]["delta"].get("content"):
                first, before = time.perf_counter(), self.llama.n_tokens
        # The state ends with the reply, without its last token.
        return {"tokens": tokens, "state": self.llama.n_tokens - before, "after_text": time.perf_counter() - first}

    def generate(self, prompt: list[int], tokens: int) -> float:
        """Sample tokens and never make text of them. Seconds from the first to the last."""
        self.llama.reset()
        written = self.llama.generate(prompt, temp=0.0, repeat_penalty=1.0)
        next(written)
        started = time.perf_counter()
        for _ in range(tokens - 1):
            next(written)
        return time.perf_counter() - started

    def first_token(self, messages: Messages) -> float:
        """Seconds to the first token of an answer. The rest of it, untimed, is left in the state as people would."""
        started = time.perf_counter()
        self.llama.create_chat_completion(messages, temperature=0, max_tokens=1)
        seconds = time.perf_counter() - started
        self.llama.create_chat_completion(messages, temperature=0, max_tokens=4)
        return seconds


RUNTIMES = {kind.__name__: kind for kind in (Edgelfm, Bare, LlamaCppPython)}


class Remote:
    """A runtime in a process of its own, with the OpenMP settings that its users have."""

    def __init__(self, kind: type, *arguments: Any) -> None:
        ours = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        command = [sys.executable, __file__, kind.__name__, json.dumps(arguments)]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def ask(self, what: str, /, **given: Any) -> Any:
        """The answer of a method. Raises `SystemExit` if the child ends instead; its own words are on stderr."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([what, given]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a child ended with status {self._process.wait()}: {' '.join(self._process.args)}")
        return json.loads(line)


def serve(kind: str, arguments: Sequence[Any]) -> None:
    """In a child: answer until the pipe ends. What libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    runtime = RUNTIMES[kind](*arguments)
    answers.write("null\n")
    answers.flush()
    for line in sys.stdin:
        question, given = json.loads(line)
        answers.write(json.dumps(getattr(runtime, question)(**given)) + "\n")
        answers.flush()


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Append the seconds that the block takes."""
    started = time.perf_counter()
    yield
    into.append(time.perf_counter() - started)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
