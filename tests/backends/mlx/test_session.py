"""The token loop and its state in MLX, against llama.cpp with the same weights and against fresh sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelfm.backends.base import Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.backends.mlx.session import MlxSession
from edgelfm.errors import ContextExceeded, RequestError, SessionClosed
from edgelfm.models.entry import Sampling

Open = Callable[..., MlxSession]
GREEDY = Sampling()
HOT = Sampling(temperature=1.5, top_k=200)
QUESTION = "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n"


def ids_of(events: list[Token]) -> list[int]:
    return [token for event in events for token in event.ids]


def answer(session: MlxSession, prompt: list[int], count: int = 8) -> list[int]:
    return ids_of(list(session.generate(prompt, GREEDY, max_tokens=count)))


@pytest.mark.parametrize("text", ["one two three", "The colour of the sea", "number 5 says"])
def test_greedy_tokens_are_those_of_llama_cpp(
    text: str, tiny_folder: Path, tiny_path: Path, open_mlx: Open, open_session: Callable[..., LlamaSession]
) -> None:
    ours, theirs = open_mlx(tiny_folder), open_session(tiny_path)
    prompt = ours.tokenize(text)
    assert prompt == theirs.tokenize(text)
    events = list(ours.generate(prompt, GREEDY, max_tokens=16))
    assert ids_of(events) == ids_of(list(theirs.generate(prompt, GREEDY, max_tokens=16)))
    assert events[-1].timings.completion_tokens == 16


def test_eight_bits_and_eight_bit_keys_run(eight_bit_folder: Path, open_mlx: Open) -> None:
    exact, small = open_mlx(eight_bit_folder), open_mlx(eight_bit_folder, kv_type="q8_0")
    prompt = exact.tokenize("hello there")
    assert len(answer(exact, prompt)) == len(answer(small, prompt)) == 8
    assert small.memory().kv < exact.memory().kv


class TestState:
    def test_a_prompt_that_goes_on_costs_only_its_new_part(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        prompt = session.tokenize("one two three")
        longer = prompt + answer(session, prompt, 10) + session.tokenize("<|im_end|>\n<|im_start|>user\nAnd?")
        second = list(session.generate(longer, GREEDY, max_tokens=10))
        # The last token of a reply that was cut short was sampled but never evaluated.
        assert second[-1].timings.cached_tokens == len(prompt) + 9
        assert ids_of(second) == answer(open_mlx(tiny_folder), longer, 10)

    def test_the_token_that_ends_a_reply_is_evaluated_already(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        prompt = session.tokenize("hello there")
        events = list(session.generate(prompt, GREEDY))
        assert events[-1].finish_reason == "stop"
        longer = [*prompt, *ids_of(events), *session.tokenize("<|im_end|>\n<|im_start|>user\nAnd?")]
        second = list(session.generate(longer, GREEDY, max_tokens=4))
        assert second[-1].timings.cached_tokens == len(prompt) + len(ids_of(events)) + 1
        assert ids_of(second) == answer(open_mlx(tiny_folder), longer, 4)

    @pytest.mark.parametrize("kind", ["tiny_folder", "attention_folder"])
    def test_going_back_anywhere_gives_what_a_fresh_model_gives(
        self, kind: str, open_mlx: Open, request: pytest.FixtureRequest
    ) -> None:
        folder = request.getfixturevalue(kind)
        # One token at a time: then how a prompt was cut cannot change the rounding, and equality can be exact.
        used, fresh = open_mlx(folder, micro_batch=1), open_mlx(folder, micro_batch=1)
        prompt: list[int] = []
        for keep, added in [(0, "one two"), (9, " three"), (3, "x"), (2, "abc"), (5, ""), (5, "ab"), (1, "zz")]:
            prompt = prompt[:keep] + used.tokenize(added, special=False)
            fresh.forget()
            assert answer(used, prompt, 4) == answer(fresh, prompt, 4), (keep, added)

    def test_attention_alone_is_cut_at_any_length(self, attention_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(attention_folder)
        prompt = session.tokenize("The colour of the sea")
        answer(session, prompt)
        last = list(session.generate([*prompt[:5], 20, 21], GREEDY, max_tokens=2))[-1]
        assert last.timings.cached_tokens == 5

    def test_convolutions_go_back_to_the_end_of_a_prompt(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        prompt = session.tokenize("The colour of the sea")
        first = list(session.generate(prompt, GREEDY, max_tokens=8))
        again = list(session.generate(prompt, GREEDY, max_tokens=8))
        assert again[-1].timings.cached_tokens == len(prompt) - 1
        assert ids_of(first) == ids_of(again)
        other = list(session.generate([*prompt[:4], 20, 21], GREEDY, max_tokens=2))
        assert other[-1].timings.cached_tokens == 0

    def test_memory_is_what_the_architecture_says(self, tiny_folder: Path, open_mlx: Open) -> None:
        """Two attention layers of one 32-wide KV head in steps of 256 tokens; four convolution layers of 64 x 2."""
        session = open_mlx(tiny_folder)
        before = session.memory()
        assert (before.kv, before.conv, before.compute) == (0, 0, 0)
        answer(session, session.tokenize("hello there"))
        memory = session.memory()
        assert memory.kv == 256 * 2 * 32 * 2 * 4
        assert memory.conv == 4 * 64 * 2 * 4
        in_file = (tiny_folder / "model.safetensors").stat().st_size
        assert 0 < in_file - memory.weights < 8000  # the header of the file
        assert memory.compute > 0


class TestSampling:
    def test_the_same_seed_gives_the_same_text_and_another_another(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        prompt = session.tokenize("hello")
        texts = [ids_of(list(session.generate(prompt, HOT, max_tokens=12, seed=seed))) for seed in (7, 7, 8)]
        assert texts[0] == texts[1] != texts[2]

    def test_no_seed_gives_another_text_each_time(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        prompt = session.tokenize("hello")
        texts = {tuple(ids_of(list(session.generate(prompt, HOT, max_tokens=12)))) for _ in range(3)}
        assert len(texts) == 3

    def test_a_repetition_penalty_looks_at_prompt_and_reply(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        once_each = ids_of(
            list(session.generate(session.tokenize("hello"), Sampling(repetition_penalty=1e6), max_tokens=30))
        )
        assert len(set(once_each)) == len(once_each)


class TestText:
    def test_random_weights_write_broken_utf8_and_we_never_show_it_broken(
        self, tiny_folder: Path, open_mlx: Open
    ) -> None:
        session = open_mlx(tiny_folder)
        events = list(session.generate(session.tokenize("x"), Sampling(temperature=3.0), max_tokens=150, seed=3))
        written = b"".join(session.vocabulary.piece(token) for token in ids_of(events))
        assert len(written) > 50
        assert "".join(event.text for event in events) == written.decode("utf-8", "replace")

    def test_a_stop_string_is_not_shown_and_ends_the_reply(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        prompt = session.tokenize("hello there")
        whole = "".join(event.text for event in session.generate(prompt, GREEDY, max_tokens=16))
        stop = whole[6:8]
        events = list(session.generate(prompt, GREEDY, max_tokens=16, stop=[stop]))
        assert "".join(event.text for event in events) == whole[: whole.index(stop)]
        assert events[-1].finish_reason == "stop"


class SecondThoughts(Cancel):
    """Sets itself when it is looked at for the given time."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks

    def is_set(self) -> bool:
        self.left -= 1
        if self.left <= 0 and not super().is_set():
            self.set()
        return super().is_set()


class TestCancel:
    def test_within_one_token(self, tiny_folder: Path, open_mlx: Open) -> None:
        session, cancel = open_mlx(tiny_folder), Cancel()
        events = []
        for event in session.generate(session.tokenize("hello there"), GREEDY, cancel=cancel):
            events.append(event)
            if len(events) == 3:
                cancel.set()
        assert events[-1].finish_reason == "cancelled"
        assert events[-1].timings.completion_tokens <= 6
        assert len(events) == 4

    def test_between_the_steps_of_a_prefill_and_what_was_done_is_kept(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder, micro_batch=8)
        prompt = session.tokenize("The colour of the sea, and of all the other seas that there are")
        events = list(session.generate(prompt, GREEDY, max_tokens=5, cancel=SecondThoughts(3)))
        assert [event.finish_reason for event in events] == ["cancelled"]
        assert events[0].timings.completion_tokens == 0
        after = list(session.generate(prompt, GREEDY, max_tokens=5))
        assert after[-1].timings.cached_tokens == 16
        assert ids_of(after) == answer(open_mlx(tiny_folder, micro_batch=8), prompt, 5)

    def test_before_it_starts(self, tiny_folder: Path, open_mlx: Open) -> None:
        session, cancel = open_mlx(tiny_folder), Cancel()
        cancel.set()
        events = list(session.generate([20, 21], GREEDY, cancel=cancel))
        assert [event.finish_reason for event in events] == ["cancelled"]

    def test_cancelling_one_does_not_stop_the_next(self, tiny_folder: Path, open_mlx: Open) -> None:
        session, cancel = open_mlx(tiny_folder), Cancel()
        list(session.generate([20, 21], GREEDY, max_tokens=3, cancel=cancel))
        cancel.set()
        assert list(session.generate([20, 21], GREEDY, max_tokens=3))[-1].finish_reason == "length"


class TestThreads:
    def test_each_gets_what_it_would_get_alone(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder, micro_batch=1)
        prompts = [session.tokenize(f"number {i} says") for i in range(4)]
        alone = [answer(session, prompt, 5) for prompt in prompts]
        together: dict[int, list[int]] = {}
        start = threading.Barrier(len(prompts))

        def work(index: int) -> None:
            start.wait(10)
            together[index] = answer(session, prompts[index], 5)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [together[i] for i in range(len(prompts))] == alone

    @pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.1)])
    def test_every_token_may_be_asked_for_by_another_thread(
        self, sampling: Sampling, tiny_folder: Path, open_mlx: Open
    ) -> None:
        """What an event loop does that hands each `next` to a pool. MLX's computations belong to threads."""
        session = open_mlx(tiny_folder)
        prompt = session.tokenize("hello there")
        alone = list(session.generate(prompt, sampling, max_tokens=8, seed=5))
        for _ in range(2):  # the second time the state was left by a thread that is gone
            stream = session.generate(prompt, sampling, max_tokens=8, seed=5)
            assert ids_of(list(each_in_its_own_thread(stream))) == ids_of(alone)

    def test_a_half_read_stream_ends_when_the_same_person_starts_another(
        self, tiny_folder: Path, open_mlx: Open
    ) -> None:
        session = open_mlx(tiny_folder)
        half = session.generate(session.tokenize("hello there"), GREEDY)
        next(half)
        assert list(session.generate([20, 21], GREEDY, max_tokens=2))[-1].finish_reason == "length"
        assert list(half) == []

    def test_closing_ends_a_reply_in_another_thread(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        begun, ended = threading.Event(), []

        def work() -> None:
            try:
                for _ in session.generate(session.tokenize("hello there"), HOT, seed=2):
                    begun.set()
            except SessionClosed as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert begun.wait(30)
        session.close()
        session.close()
        thread.join(30)
        assert not thread.is_alive()
        with pytest.raises(SessionClosed) as caught:
            session.generate([1], GREEDY)
        assert "edgelfm.load" in caught.value.hint


def each_in_its_own_thread(stream: Iterator[Token]) -> Iterator[Token]:
    while True:
        got: list[Token | BaseException | None] = []

        def step(got: list[Token | BaseException | None] = got) -> None:
            try:
                got.append(next(stream, None))
            except BaseException as error:  # noqa: BLE001  (raised below, in the thread of the test)
                got.append(error)

        thread = threading.Thread(target=step)
        thread.start()
        thread.join(30)
        if isinstance(got[0], BaseException):
            raise got[0]
        if got[0] is None:
            return
        yield got[0]


class TestLimits:
    def test_a_prompt_longer_than_the_context_names_both_lengths(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder, context=256)
        with pytest.raises(ContextExceeded, match="300 tokens and the context holds 256") as caught:
            session.generate([20] * 300, GREEDY)
        assert (caught.value.prompt_tokens, caught.value.context) == (300, 256)

    def test_a_reply_ends_where_the_context_ends(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder, context=40)
        events = list(session.generate([20] * 36, Sampling(repetition_penalty=1.5)))
        assert events[-1].finish_reason == "length"
        assert events[-1].timings.completion_tokens == 4

    @pytest.mark.parametrize(("prompt", "maximum"), [([], None), ([1], 0), ([1], -3)])
    def test_senseless_requests(
        self, prompt: list[int], maximum: int | None, tiny_folder: Path, open_mlx: Open
    ) -> None:
        with pytest.raises(RequestError):
            open_mlx(tiny_folder).generate(prompt, GREEDY, max_tokens=maximum)
