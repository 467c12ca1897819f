"""What every runtime promises of `generate`, whichever computes: sampling, text, cancelling, threads, limits.

The tiny LFM2 in 32 bits. A runtime joins by a line in `RUNTIMES`; what only one of them does is tested in its folder.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgelfm.backends.base import Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.folder_session import FolderSession
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.errors import ContextExceeded, RequestError, SessionClosed
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings

Open = Callable[..., FolderSession]
GREEDY = Sampling()
HOT = Sampling(temperature=1.5, top_k=200)
#: Keeps the token that ends a reply from being sampled.
ENDLESS = {7: -100.0}


def _transformers(folder: Path, **given: Any) -> FolderSession:
    from edgelfm.backends.transformers.loading import load
    from edgelfm.backends.transformers.session import TransformersSession

    return TransformersSession(load(folder), settings(**given))


def _mlx(folder: Path, **given: Any) -> FolderSession:
    from edgelfm.backends.mlx.loading import load
    from edgelfm.backends.mlx.session import MlxSession

    return MlxSession(load(folder), settings(**given))


def _onnx(folder: Path, **given: Any) -> FolderSession:
    from edgelfm.backends.onnx.loading import load
    from edgelfm.backends.onnx.session import OnnxSession

    return OnnxSession(load(_graph(folder), settings(**given)))


@functools.cache
def _graph(folder: Path) -> Path:
    """The network of `folder` in the layout of the published repositories."""
    from tests.onnx_export import write_published_onnx

    return write_published_onnx(folder, folder.with_name("contract-onnx"))


#: What opens a session on a folder, and the modules without which it cannot.
RUNTIMES = {
    "transformers": (_transformers, ("torch",)), "mlx": (_mlx, ("mlx_lm",)), "onnx": (_onnx, ("onnxruntime", "onnx")),
}  # fmt: skip


@pytest.fixture(params=RUNTIMES)
def open_(request: pytest.FixtureRequest, tiny_folder: Path) -> Iterator[Open]:
    """Opens sessions of each runtime in turn and closes them after the test. What is given goes to `settings`."""
    opener, modules = RUNTIMES[request.param]
    for module in modules:
        pytest.importorskip(module, reason=f"needs: pip install 'edgelfm[{request.param}]' onnx")
    opened: list[FolderSession] = []

    def open_(**given: Any) -> FolderSession:
        opened.append(opener(tiny_folder, **given))
        return opened[-1]

    yield open_
    for session in opened:
        session.close()


@pytest.fixture
def session(open_: Open) -> FolderSession:
    """One with the usual settings."""
    return open_()


def ids_of(events: list[Token]) -> list[int]:
    return [token for event in events for token in event.ids]


def answer(session: FolderSession, prompt: list[int], count: int = 8) -> list[int]:
    return ids_of(list(session.generate(prompt, GREEDY, max_tokens=count)))


@pytest.mark.parametrize("text", ["one two three", "The colour of the sea", "number 5 says"])
def test_64_greedy_tokens_are_those_of_llama_cpp(
    text: str, session: FolderSession, tiny_path: Path, open_session: Callable[..., LlamaSession]
) -> None:
    theirs = open_session(tiny_path)
    prompt = session.tokenize(text)
    assert prompt == theirs.tokenize(text)
    written = [list(one.generate(prompt, GREEDY, max_tokens=64, logit_bias=ENDLESS)) for one in (session, theirs)]
    assert len(ids_of(written[0])) == written[0][-1].timings.completion_tokens == 64
    assert ids_of(written[0]) == ids_of(written[1])


class TestSampling:
    def test_the_same_seed_gives_the_same_text_and_another_another(self, session: FolderSession) -> None:
        prompt = session.tokenize("hello")
        texts = [ids_of(list(session.generate(prompt, HOT, max_tokens=12, seed=seed))) for seed in (7, 7, 8)]
        assert texts[0] == texts[1] != texts[2]

    def test_no_seed_gives_another_text_each_time(self, session: FolderSession) -> None:
        prompt = session.tokenize("hello")
        assert len({tuple(ids_of(list(session.generate(prompt, HOT, max_tokens=12)))) for _ in range(3)}) == 3

    def test_a_repetition_penalty_looks_at_prompt_and_reply(self, session: FolderSession) -> None:
        events = session.generate(session.tokenize("hello"), Sampling(repetition_penalty=1e6), max_tokens=30)
        once_each = ids_of(list(events))
        assert len(set(once_each)) == len(once_each)

    def test_a_seed_below_zero_is_one_as_well(self, session: FolderSession) -> None:
        texts = [ids_of(list(session.generate([20, 21], HOT, max_tokens=12, seed=-7))) for _ in range(2)]
        assert texts[0] == texts[1]

    def test_a_bias_on_a_token_that_is_none_is_refused(self, session: FolderSession) -> None:
        with pytest.raises(RequestError, match="logit_bias names token 9999"):
            list(session.generate([20, 21], GREEDY, logit_bias={9999: 1.0}))


class TestTheSamePromptAgain:
    """Its logits are kept, so that nothing is evaluated before the first token."""

    def test_draws_the_same_from_a_seed(self, session: FolderSession) -> None:
        prompt = session.tokenize("The colour of the sea")
        first, again = (list(session.generate(prompt, HOT, max_tokens=8, seed=3, logprobs=2)) for _ in range(2))
        assert [event.timings.cached_tokens for event in (first[-1], again[-1]) if event.timings] == [0, len(prompt)]
        assert ids_of(first) == ids_of(again)
        assert [event.logprobs for event in first] == [event.logprobs for event in again]

    def test_obeys_other_wishes(self, session: FolderSession) -> None:
        prompt = session.tokenize("The colour of the sea")
        first = answer(session, prompt)
        events = list(session.generate(prompt, GREEDY, max_tokens=1, logit_bias={first[0]: -100.0}, logprobs=2))
        (told,) = [told for event in events for told in event.logprobs]
        assert [token for token, _, _ in told.top] == [first[0], told.id]
        assert answer(session, prompt) == first, "the bias must not stay in what was kept"


class TestText:
    def test_random_weights_write_broken_utf8_and_we_never_show_it_broken(self, session: FolderSession) -> None:
        events = list(session.generate(session.tokenize("x"), Sampling(temperature=3.0), max_tokens=150, seed=3))
        written = b"".join(session.vocabulary.piece(token) for token in ids_of(events))
        assert len(written) > 50
        assert "".join(event.text for event in events) == written.decode("utf-8", "replace")

    def test_a_stop_string_is_not_shown_and_ends_the_reply(self, session: FolderSession) -> None:
        prompt = session.tokenize("hello there")
        whole = "".join(event.text for event in session.generate(prompt, GREEDY, max_tokens=16))
        stop = whole[6:8]
        events = list(session.generate(prompt, GREEDY, max_tokens=16, stop=[stop]))
        assert "".join(event.text for event in events) == whole[: whole.index(stop)]
        assert events[-1].finish_reason == "stop"


class TestCancel:
    def test_within_one_token(self, session: FolderSession) -> None:
        cancel, events = Cancel(), []
        for event in session.generate(session.tokenize("hello there"), GREEDY, cancel=cancel):
            events.append(event)
            if len(events) == 3:
                cancel.set()
        assert events[-1].finish_reason == "cancelled"
        assert events[-1].timings.completion_tokens <= 6
        assert len(events) == 4

    def test_before_it_starts(self, session: FolderSession) -> None:
        cancel = Cancel()
        cancel.set()
        events = list(session.generate([20, 21], GREEDY, cancel=cancel))
        assert [event.finish_reason for event in events] == ["cancelled"]

    def test_cancelling_one_does_not_stop_the_next(self, session: FolderSession) -> None:
        cancel = Cancel()
        list(session.generate([20, 21], GREEDY, max_tokens=3, cancel=cancel))
        cancel.set()
        assert list(session.generate([20, 21], GREEDY, max_tokens=3))[-1].finish_reason == "length"


class TestThreads:
    def test_each_gets_what_it_would_get_alone(self, open_: Open) -> None:
        session = open_(micro_batch=1)  # then how a prompt was cut cannot change the rounding
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

    @pytest.mark.parametrize("sampling", [GREEDY, HOT, Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.1)])
    def test_every_token_may_be_asked_for_by_another_thread(self, sampling: Sampling, session: FolderSession) -> None:
        """What an event loop does that hands each `next` to a pool. MLX's computations belong to threads."""
        prompt = session.tokenize("hello there")
        alone = list(session.generate(prompt, sampling, max_tokens=8, seed=5))
        for _ in range(2):  # the second time the state was left by a thread that is gone
            stream = session.generate(prompt, sampling, max_tokens=8, seed=5)
            assert ids_of(list(each_in_its_own_thread(stream))) == ids_of(alone)

    def test_a_half_read_stream_ends_when_the_same_person_starts_another(self, session: FolderSession) -> None:
        half = session.generate(session.tokenize("hello there"), GREEDY)
        next(half)
        assert list(session.generate([20, 21], GREEDY, max_tokens=2))[-1].finish_reason == "length"
        assert list(half) == []

    def test_closing_ends_a_reply_in_another_thread(self, session: FolderSession) -> None:
        begun, interrupted, ended = threading.Event(), threading.Event(), []
        interrupt = session._interrupt

        def interrupting() -> None:
            interrupt()
            interrupted.set()

        def in_the_middle_of_a_token(at: float) -> None:
            begun.set()
            assert interrupted.wait(30)

        session._interrupt, session.events.token = interrupting, in_the_middle_of_a_token  # type: ignore[method-assign]

        def work() -> None:
            try:
                list(session.generate(session.tokenize("hello there"), HOT, seed=2, logit_bias=ENDLESS))
            except SessionClosed as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert begun.wait(30)
        session.close()
        session.close()
        thread.join(30)
        assert not thread.is_alive()
        assert ended
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
    def test_a_prompt_longer_than_the_context_names_both_lengths(self, open_: Open) -> None:
        session = open_(context=256)
        with pytest.raises(ContextExceeded, match="300 tokens and the context holds 256") as caught:
            session.generate([20] * 300, GREEDY)
        assert (caught.value.prompt_tokens, caught.value.context) == (300, 256)

    def test_a_reply_ends_where_the_context_ends(self, open_: Open) -> None:
        session = open_(context=40)
        events = list(session.generate([20] * 36, Sampling(repetition_penalty=1.5), logit_bias=ENDLESS))
        assert events[-1].finish_reason == "length"
        assert events[-1].timings.completion_tokens == 4

    @pytest.mark.parametrize(("prompt", "maximum"), [([], None), ([1], 0), ([1], -3)])
    def test_senseless_requests(self, prompt: list[int], maximum: int | None, session: FolderSession) -> None:
        with pytest.raises(RequestError):
            session.generate(prompt, GREEDY, max_tokens=maximum)
