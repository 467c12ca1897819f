"""The token loop and its state, against llama.cpp driven plainly: one model, one batch, no cleverness."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelfm.backends.base import Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.llama_cpp.library import repacks
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.errors import ContextExceeded, RequestError, SessionClosed
from edgelfm.models.entry import Sampling

Open = Callable[..., LlamaSession]
GREEDY = Sampling()
QUESTION = "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n"


def ids_of(events: list[Token]) -> list[int]:
    return [token for event in events for token in event.ids]


def plain_greedy(path: Path, prompt: list[int], count: int) -> list[int]:
    """What llama.cpp answers when each token is the arg max of a fresh evaluation's logits, computed in Python."""
    params = llama_cpp.llama_model_default_params()
    params.use_extra_bufts = repacks()  # by default llama.cpp crashes where its AMX code is broken
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    context_params = llama_cpp.llama_context_default_params()
    context_params.n_ctx, context_params.n_threads, context_params.n_threads_batch = 1024, 1, 1
    context_params.n_batch = context_params.n_ubatch = 64  # the same cuts, for the same rounding
    context_params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
    context = llama_cpp.llama_init_from_model(model, context_params)
    vocab = llama_cpp.llama_model_get_vocab(model)
    size = llama_cpp.llama_vocab_n_tokens(vocab)
    answer: list[int] = []
    feed = prompt
    while len(answer) < count:
        for start in range(0, len(feed), 64):
            part = feed[start : start + 64]
            ids = (ctypes.c_int32 * len(part))(*part)
            assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(ids, len(part))) == 0
        logits = llama_cpp.llama_get_logits_ith(context, -1)[:size]
        token = max(range(size), key=logits.__getitem__)
        if llama_cpp.llama_vocab_is_eog(vocab, token):
            break
        answer.append(token)
        feed = [token]
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return answer


@pytest.mark.parametrize("model", ["tiny_path", "starter_path"])
def test_greedy_tokens_are_those_of_plain_llama_cpp(
    model: str, request: pytest.FixtureRequest, open_session: Open
) -> None:
    path = request.getfixturevalue(model)
    session = open_session(path)
    prompt = session.tokenize(QUESTION)
    events = list(session.generate(prompt, GREEDY, max_tokens=24))
    assert ids_of(events) == plain_greedy(path, prompt, 24)


def test_the_starter_answers_in_words(starter_path: Path, open_session: Open) -> None:
    session = open_session(starter_path)
    events = list(session.generate(session.tokenize(QUESTION), GREEDY, max_tokens=40))
    text = "".join(event.text for event in events)
    assert "sky" in text
    assert "scatter" in text
    last = events[-1]
    assert last.finish_reason == "length"
    assert last.timings is not None
    assert last.timings.completion_tokens == 40
    assert last.timings.prompt_tokens == len(session.tokenize(QUESTION))
    assert 0 < last.timings.prefill_seconds <= last.timings.first_token_seconds
    assert last.timings.decode_tokens_per_second > 0


def test_a_prompt_that_goes_on_costs_only_its_new_part(tiny_path: Path, open_session: Open) -> None:
    session = open_session(tiny_path)
    prompt = session.tokenize(QUESTION)
    first = list(session.generate(prompt, GREEDY, max_tokens=10))
    longer = prompt + ids_of(first) + session.tokenize("<|im_end|>\n<|im_start|>user\nAnd at dusk?<|im_end|>\n")
    second = list(session.generate(longer, GREEDY, max_tokens=10))
    # The last token of a reply was sampled but never evaluated, so it is the one that has to be made up for.
    assert second[-1].timings.cached_tokens == len(prompt) + 9
    assert ids_of(second) == ids_of(list(open_session(tiny_path).generate(longer, GREEDY, max_tokens=10)))


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=40)), min_size=2, max_size=5))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("model", ["tiny_path", "starter_path"])
def test_going_back_anywhere_gives_what_a_fresh_model_gives(
    model: str, request: pytest.FixtureRequest, history: list[tuple[int, bytes]]
) -> None:
    """Cut the prompt anywhere, add anything: the state must stand for exactly the prompt."""
    used, fresh = shared_sessions(request.getfixturevalue(model))
    prompt: list[int] = []
    for keep, added in history:
        prompt = prompt[:keep] + used.tokenize(added.decode("latin-1"), special=False)
        got = ids_of(list(used.generate(prompt, GREEDY, max_tokens=4)))
        fresh.forget()
        assert got == ids_of(list(fresh.generate(prompt, GREEDY, max_tokens=4)))


_shared: dict[Path, tuple[LlamaSession, LlamaSession]] = {}


def shared_sessions(path: Path) -> tuple[LlamaSession, LlamaSession]:
    from edgelfm.backends.llama_cpp.loading import load
    from tests.backends.conftest import settings as plan_settings

    if path not in _shared:
        # One token a batch: then how a prompt was cut cannot change the rounding, and equality can be exact.
        made = [LlamaSession(load(path, plan_settings(micro_batch=1))) for _ in range(2)]
        _shared[path] = (made[0], made[1])
    return _shared[path]


@pytest.fixture(scope="module", autouse=True)
def _close_shared() -> Iterator[None]:
    yield
    for pair in _shared.values():
        for session in pair:
            session.close()
    _shared.clear()


class TestSampling:
    def test_the_same_seed_gives_the_same_text_and_another_another(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        prompt, hot = session.tokenize(QUESTION), Sampling(temperature=1.0, top_k=200)
        texts = [ids_of(list(session.generate(prompt, hot, max_tokens=16, seed=seed))) for seed in (7, 7, 8)]
        assert texts[0] == texts[1] != texts[2]

    def test_top_k_of_one_is_greedy(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        prompt = session.tokenize(QUESTION)
        greedy = ids_of(list(session.generate(prompt, GREEDY, max_tokens=12)))
        assert greedy == ids_of(list(session.generate(prompt, Sampling(temperature=2.0, top_k=1), max_tokens=12)))

    def test_min_p_of_one_is_greedy(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        prompt = session.tokenize(QUESTION)
        greedy = ids_of(list(session.generate(prompt, GREEDY, max_tokens=12)))
        assert greedy == ids_of(list(session.generate(prompt, Sampling(temperature=2.0, min_p=1.0), max_tokens=12)))

    def test_a_repetition_penalty_breaks_a_loop(self, starter_path: Path, open_session: Open) -> None:
        session = open_session(starter_path)
        prompt = session.tokenize("one two three four one two three four one two three four one two three four")
        again = "".join(event.text for event in session.generate(prompt, GREEDY, max_tokens=8))
        other = "".join(e.text for e in session.generate(prompt, Sampling(repetition_penalty=1.8), max_tokens=8))
        assert "one two three" in again
        assert "one two three" not in other


class TestText:
    def test_random_weights_write_broken_utf8_and_we_never_show_it_broken(
        self, tiny_path: Path, open_session: Open
    ) -> None:
        session = open_session(tiny_path)
        hot = Sampling(temperature=3.0)
        events = list(session.generate(session.tokenize("x"), hot, max_tokens=300, seed=1))
        written = b"".join(session.vocabulary.piece(token) for token in ids_of(events))
        assert "".join(event.text for event in events) == written.decode("utf-8", "replace")

    def test_any_text_survives_the_tokenizer(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        for text in ("Grüße, 日本語 🌵", "  leading and\n\ttabs ", "a" * 3000, ""):
            pieces = b"".join(session.vocabulary.piece(token) for token in session.tokenize(text))
            assert pieces.decode() == text

    def test_a_stop_string_is_not_shown_and_ends_the_reply(self, starter_path: Path, open_session: Open) -> None:
        session = open_session(starter_path)
        prompt = session.tokenize(QUESTION)
        whole = "".join(e.text for e in session.generate(prompt, GREEDY, max_tokens=40))
        events = list(session.generate(prompt, GREEDY, max_tokens=40, stop=["scatter"]))
        assert "".join(e.text for e in events) == whole[: whole.index("scatter")]
        assert events[-1].finish_reason == "stop"

    def test_markers_are_one_token_unless_asked_otherwise(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        assert session.tokenize("<|im_end|>") == [7]
        assert len(session.tokenize("<|im_end|>", special=False)) > 1
        assert {"<|im_start|>", "<|tool_call_start|>"} <= session.markers()
        assert session.special_tokens() == {"bos_token": "<|startoftext|>", "eos_token": "<|im_end|>"}


class WatchedCancel(Cancel):
    """Tells when the session has begun to listen."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    @contextmanager
    def watched_by(self, callback: Callable[[], None]) -> Iterator[None]:
        with super().watched_by(callback):
            self.heard.set()
            yield


class TestCancel:
    def test_within_one_token(self, tiny_path: Path, open_session: Open) -> None:
        session, cancel = open_session(tiny_path), Cancel()
        events = []
        for event in session.generate(session.tokenize("hello"), GREEDY, cancel=cancel):
            events.append(event)
            if len(events) == 3:
                cancel.set()
        assert len(events) <= 5
        assert events[-1].finish_reason == "cancelled"

    def test_in_the_middle_of_a_prefill_and_the_model_is_fine_afterwards(
        self, starter_path: Path, open_session: Open
    ) -> None:
        session = open_session(starter_path, context=4096, micro_batch=2048)
        prompt = session.tokenize("word " * 2000)
        cancel = WatchedCancel()
        stopper = threading.Thread(target=lambda: (cancel.heard.wait(10), cancel.set()))
        stopper.start()
        events = list(session.generate(prompt, GREEDY, max_tokens=5, cancel=cancel))
        stopper.join()
        assert [event.finish_reason for event in events] == ["cancelled"]
        assert events[0].timings.completion_tokens == 0
        question = session.tokenize(QUESTION)
        after = list(session.generate(question, GREEDY, max_tokens=12))
        assert ids_of(after) == plain_greedy(starter_path, question, 12)

    def test_an_interrupt_of_the_main_thread_ends_a_prefill_at_once(
        self, starter_path: Path, open_session: Open
    ) -> None:
        """The stop button of a notebook. One batch of 1,000 tokens takes some seconds."""
        session = open_session(starter_path, context=2048, micro_batch=1024)
        prompt = session.tokenize("word " * 1000)
        cancel = WatchedCancel()
        stopper = threading.Thread(target=lambda: (cancel.heard.wait(10), os.kill(os.getpid(), signal.SIGINT)))
        stopper.start()
        started = time.process_time()
        with pytest.raises(KeyboardInterrupt):
            list(session.generate(prompt, GREEDY, max_tokens=5, cancel=cancel))
        spent = time.process_time() - started
        stopper.join()
        started = time.process_time()
        whole = list(session.generate(prompt, GREEDY, max_tokens=1))
        assert whole[-1].timings.cached_tokens == 0  # nothing of the broken prefill is trusted
        assert spent < 0.5 * (time.process_time() - started)

    def test_before_it_starts(self, tiny_path: Path, open_session: Open) -> None:
        session, cancel = open_session(tiny_path), Cancel()
        cancel.set()
        events = list(session.generate(session.tokenize("hello"), GREEDY, cancel=cancel))
        assert [event.finish_reason for event in events] == ["cancelled"]

    def test_cancelling_one_does_not_stop_the_next(self, tiny_path: Path, open_session: Open) -> None:
        session, cancel = open_session(tiny_path), Cancel()
        prompt = session.tokenize("hello")
        list(session.generate(prompt, GREEDY, max_tokens=3, cancel=cancel))
        cancel.set()
        assert list(session.generate(prompt, GREEDY, max_tokens=3))[-1].finish_reason == "length"


class TestThreads:
    def test_each_gets_what_it_would_get_alone(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path, micro_batch=1)
        prompts = [session.tokenize(f"number {i} says") for i in range(6)]
        alone = [ids_of(list(session.generate(prompt, GREEDY, max_tokens=8))) for prompt in prompts]
        together: dict[int, list[int]] = {}
        start = threading.Barrier(len(prompts))

        def work(index: int) -> None:
            start.wait(10)
            together[index] = ids_of(list(session.generate(prompts[index], GREEDY, max_tokens=8)))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [together[i] for i in range(len(prompts))] == alone

    def test_a_half_read_stream_ends_when_the_same_person_starts_another(
        self, tiny_path: Path, open_session: Open
    ) -> None:
        session = open_session(tiny_path)
        half = session.generate(session.tokenize("one"), GREEDY)
        next(half)
        assert list(session.generate(session.tokenize("two"), GREEDY, max_tokens=2))[-1].finish_reason == "length"
        assert list(half) == []

    def test_closing_ends_a_reply_in_another_thread(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        begun, ended = threading.Event(), []

        def work() -> None:
            try:
                for _ in session.generate(session.tokenize("hello"), GREEDY):
                    begun.set()
            except SessionClosed as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert begun.wait(30)
        session.close()
        thread.join(30)
        assert not thread.is_alive()
        with pytest.raises(SessionClosed) as caught:
            session.generate([1], GREEDY)
        assert "edgelfm.load" in caught.value.hint

    def test_closing_twice_is_fine(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path)
        session.close()
        session.close()


class TestLimits:
    def test_a_prompt_longer_than_the_context_names_both_lengths(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path, context=256)
        with pytest.raises(ContextExceeded, match="300 tokens and the context holds 256") as caught:
            session.generate([20] * 300, GREEDY)
        assert (caught.value.prompt_tokens, caught.value.context) == (300, 256)
        assert "context=1024" in caught.value.hint

    def test_a_reply_ends_where_the_context_ends(self, tiny_path: Path, open_session: Open) -> None:
        session = open_session(tiny_path, context=256)
        prompt = [20] * 250
        events = list(session.generate(prompt, Sampling(temperature=1.0, top_k=5), seed=3))
        assert events[-1].finish_reason in ("length", "stop")
        assert events[-1].timings.completion_tokens <= 6

    @pytest.mark.parametrize(("prompt", "maximum"), [([], None), ([1], 0), ([1], -3)])
    def test_senseless_requests(
        self, prompt: list[int], maximum: int | None, tiny_path: Path, open_session: Open
    ) -> None:
        with pytest.raises(RequestError):
            open_session(tiny_path).generate(prompt, GREEDY, max_tokens=maximum)


def test_memory_is_what_the_architecture_says(tiny_path: Path, open_session: Open) -> None:
    """Two attention layers of one 32-wide KV head, four convolution layers of 64 x 2 columns in f32."""
    memory = open_session(tiny_path, context=1024).memory()
    assert memory.kv == 1024 * 2 * 32 * (2 + 2)
    assert memory.conv == pytest.approx(4 * 64 * 2 * 4, abs=5300)  # llama.cpp prints two decimals of a MiB
    assert memory.weights > 0
    assert memory.compute > 0
    assert memory.total == memory.weights + memory.kv + memory.conv + memory.compute + memory.output
