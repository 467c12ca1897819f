"""The token loop in transformers, against llama.cpp with the same weights and against transformers' own forward."""

from __future__ import annotations

import gc
import math
import random
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.backends.base import Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.errors import BackendError, ContextExceeded, RequestError, SessionClosed
from edgelfm.models.entry import Sampling

Open = Callable[..., TransformersSession]
GREEDY = Sampling()
HOT = Sampling(temperature=1.5, top_k=200)
FOLDERS = ["tiny_folder", "llama_folder", "moe_folder", "sliding_folder", "lfm3_folder"]
#: Largest difference of a logit between a prompt computed in pieces with a cache and at once without. Logits of these
#: networks are around 1 to 10; sums in another order differ in the last bits of f32.
TOLERANCE = 1e-4


def ids_of(events: list[Token]) -> list[int]:
    return [token for event in events for token in event.ids]


def answer(session: TransformersSession, prompt: list[int], count: int = 8) -> list[int]:
    return ids_of(list(session.generate(prompt, GREEDY, max_tokens=count)))


class TestParity:
    @pytest.mark.parametrize("text", ["one two three", "The colour of the sea", "number 5 says"])
    def test_64_greedy_tokens_are_those_of_llama_cpp(
        self, text: str, tiny_folder: Path, tiny_path: Path, open_torch: Open, open_session: Callable[..., LlamaSession]
    ) -> None:
        ours, theirs = open_torch(tiny_folder), open_session(tiny_path)
        prompt = ours.tokenize(text)
        assert prompt == theirs.tokenize(text)
        biased = {7: -100.0}  # nobody ends before the 64th
        written = [
            ids_of(list(session.generate(prompt, GREEDY, max_tokens=64, logit_bias=biased)))
            for session in (ours, theirs)
        ]
        assert len(written[0]) == 64
        assert written[0] == written[1]

    @pytest.mark.parametrize("kind", FOLDERS)
    def test_logits_are_those_of_one_forward_without_a_cache(
        self, kind: str, open_torch: Open, request: pytest.FixtureRequest
    ) -> None:
        """The prompt in pieces of 16, then the reply token by token, each against `model(ids).logits`."""
        import torch

        session = open_torch(request.getfixturevalue(kind), micro_batch=16)
        prompt = random.Random(1).choices(range(20, 500), k=75)
        rows: list[object] = []
        model = session._loaded.model

        def hear(module: object, given: object, output: object) -> None:
            rows.append(output.logits[0, -1].clone())  # type: ignore[attr-defined]

        hook = model.register_forward_hook(hear)
        written = ids_of(list(session.generate(prompt, GREEDY, max_tokens=12, logit_bias={7: -100.0})))
        hook.remove()
        with torch.inference_mode():
            whole = model(torch.tensor([prompt + written])).logits[0, len(prompt) - 1 : -1]
        assert len(rows) == len(written) == 12
        assert (torch.stack(rows) - whole).abs().max() < TOLERANCE

    def test_bf16_is_near_f32(self, tiny_folder: Path, open_torch: Open) -> None:
        """Kullback-Leibler divergence of the next word, in nats; bf16 keeps 8 bits of each weight and activation."""
        exact, rounded = open_torch(tiny_folder), open_torch(tiny_folder, dtype="bf16")
        prompt = exact.tokenize("The colour of the sea")
        tops = []
        for session in (exact, rounded):
            events = list(session.generate(prompt, GREEDY, max_tokens=1, logprobs=512))
            tops.append({id_: logprob for id_, _, logprob in events[0].logprobs[0].top})
        divergence = sum(math.exp(p) * (p - tops[1][id_]) for id_, p in tops[0].items())
        assert 0 < divergence < 0.01
        assert rounded.memory().weights < 0.501 * exact.memory().weights


class TestSampling:
    def test_the_same_seed_gives_the_same_text_and_another_another(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello")
        texts = [ids_of(list(session.generate(prompt, HOT, max_tokens=12, seed=seed))) for seed in (7, 7, 8)]
        assert texts[0] == texts[1] != texts[2]

    def test_no_seed_gives_another_text_each_time(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello")
        assert len({tuple(ids_of(list(session.generate(prompt, HOT, max_tokens=12)))) for _ in range(3)}) == 3

    def test_greedy_is_a_temperature_of_zero_with_or_without_the_sampler(
        self, tiny_folder: Path, open_torch: Open
    ) -> None:
        """The largest logit is found by torch; with a bias, by the sampler."""
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello")
        biased = ids_of(list(session.generate(prompt, GREEDY, max_tokens=16, logit_bias={0: 0.0})))
        assert answer(session, prompt, 16) == biased

    def test_a_repetition_penalty_looks_at_prompt_and_reply(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        events = session.generate(session.tokenize("hello"), Sampling(repetition_penalty=1e6), max_tokens=30)
        once_each = ids_of(list(events))
        assert len(set(once_each)) == len(once_each)

    def test_logprobs_are_those_of_llama_cpp(
        self, tiny_folder: Path, tiny_path: Path, open_torch: Open, open_session: Callable[..., LlamaSession]
    ) -> None:
        both = []
        for session in (open_torch(tiny_folder), open_session(tiny_path)):
            events = list(session.generate(session.tokenize("hello there"), GREEDY, max_tokens=5, logprobs=3))
            both.append([one for event in events for one in event.logprobs])
        assert len(both[0]) == len(both[1]) == 5
        for ours, theirs in zip(*both, strict=True):
            assert ours.logprob == pytest.approx(theirs.logprob, abs=0.02)  # llama.cpp keeps f16 keys and values
            assert ours.top[0] == (ours.id, ours.piece, ours.logprob)
            assert ours.id == theirs.id
            likelihoods = [[logprob for _, _, logprob in one.top] for one in (ours, theirs)]
            assert likelihoods[0] == pytest.approx(likelihoods[1], abs=0.02)


class TestText:
    def test_random_weights_write_broken_utf8_and_we_never_show_it_broken(
        self, tiny_folder: Path, open_torch: Open
    ) -> None:
        session = open_torch(tiny_folder)
        events = list(session.generate(session.tokenize("x"), Sampling(temperature=3.0), max_tokens=150, seed=3))
        written = b"".join(session.vocabulary.piece(token) for token in ids_of(events))
        assert len(written) > 50
        assert "".join(event.text for event in events) == written.decode("utf-8", "replace")

    def test_a_stop_string_is_not_shown_and_ends_the_reply(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello there")
        whole = "".join(event.text for event in session.generate(prompt, GREEDY, max_tokens=16))
        stop = whole[6:8]
        events = list(session.generate(prompt, GREEDY, max_tokens=16, stop=[stop]))
        assert "".join(event.text for event in events) == whole[: whole.index(stop)]
        assert events[-1].finish_reason == "stop"


class TestCancel:
    def test_within_one_token(self, tiny_folder: Path, open_torch: Open) -> None:
        session, cancel, events = open_torch(tiny_folder), Cancel(), []
        for event in session.generate(session.tokenize("hello there"), GREEDY, cancel=cancel):
            events.append(event)
            if len(events) == 3:
                cancel.set()
        assert events[-1].finish_reason == "cancelled"
        assert len(events) == 4

    @pytest.mark.parametrize("kind", ["tiny_folder", "llama_folder"])
    def test_in_the_middle_of_a_piece_of_a_prefill(
        self, kind: str, open_torch: Open, request: pytest.FixtureRequest
    ) -> None:
        """The last layer of the second piece is reached when somebody cancels: what the first gave is kept."""
        folder = request.getfixturevalue(kind)
        session, cancel = open_torch(folder, micro_batch=256), Cancel()
        prompt = random.Random(2).choices(range(20, 500), k=600)
        passed = []

        def count(*given: object) -> None:
            passed.append(1)
            if len(passed) == 2:
                cancel.set()

        hook = session._layers[-1].register_forward_pre_hook(count)
        events = list(session.generate(prompt, GREEDY, max_tokens=5, cancel=cancel))
        hook.remove()
        assert [event.finish_reason for event in events] == ["cancelled"]
        assert session.kept().tokens == 256
        after = list(session.generate(prompt, GREEDY, max_tokens=5))
        assert after[-1].timings.cached_tokens == 256
        assert ids_of(after) == answer(open_torch(folder, micro_batch=256), prompt, 5)

    def test_before_it_starts(self, tiny_folder: Path, open_torch: Open) -> None:
        session, cancel = open_torch(tiny_folder), Cancel()
        cancel.set()
        events = list(session.generate([20, 21], GREEDY, cancel=cancel))
        assert [event.finish_reason for event in events] == ["cancelled"]

    def test_cancelling_one_does_not_stop_the_next(self, tiny_folder: Path, open_torch: Open) -> None:
        session, cancel = open_torch(tiny_folder), Cancel()
        list(session.generate([20, 21], GREEDY, max_tokens=3, cancel=cancel))
        cancel.set()
        assert list(session.generate([20, 21], GREEDY, max_tokens=3))[-1].finish_reason == "length"


class TestThreads:
    def test_each_gets_what_it_would_get_alone(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
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

    def test_every_token_may_be_asked_for_by_another_thread(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello there")
        alone = ids_of(list(session.generate(prompt, HOT, max_tokens=8, seed=5)))
        stream = session.generate(prompt, HOT, max_tokens=8, seed=5)
        got: list[Token] = []
        ended = object()
        while not got or got[-1] is not ended:
            thread = threading.Thread(target=lambda: got.append(next(stream, ended)))  # type: ignore[arg-type]
            thread.start()
            thread.join(30)
        assert ids_of(got[:-1]) == alone

    def test_the_number_of_threads_that_others_compute_with_stays(self, tiny_folder: Path, open_torch: Open) -> None:
        import torch

        before = torch.get_num_threads()
        session, seen = open_torch(tiny_folder, threads=before + 1), []
        hook = session._layers[0].register_forward_pre_hook(lambda *given: seen.append(torch.get_num_threads()))
        answer(session, [20, 21, 22], 3)
        hook.remove()
        assert set(seen) == {before + 1}
        assert torch.get_num_threads() == before

    def test_closing_ends_a_reply_in_another_thread(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        begun, ended = threading.Event(), []

        def work() -> None:
            try:
                for _ in session.generate(session.tokenize("hello there"), HOT, seed=2, logit_bias={7: -100.0}):
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
        assert ended
        with pytest.raises(SessionClosed) as caught:
            session.generate([1], GREEDY)
        assert "edgelfm.load" in caught.value.hint


class TestMemory:
    def test_it_is_what_the_architecture_says(self, tiny_folder: Path, open_torch: Open) -> None:
        """Two attention layers of one 32-wide KV head in steps of 256 tokens; four convolution layers of 64 x 3."""
        session = open_torch(tiny_folder)
        before = session.memory()
        assert (before.kv, before.conv, before.compute) == (0, 0, 0)
        answer(session, session.tokenize("hello there"))
        memory = session.memory()
        assert memory.kv == 256 * 2 * 32 * 2 * 4
        assert memory.conv == 4 * 64 * 3 * 4
        in_file = (tiny_folder / "model.safetensors").stat().st_size
        assert 0 < in_file - memory.weights < 8000  # the header of the file
        assert memory.output == 0  # the logits are gone with the reply

    @pytest.mark.parametrize(("context", "room"), [(300, 512), (4096, 768)])
    def test_there_is_room_ahead_but_never_beyond_the_context(
        self, context: int, room: int, tiny_folder: Path, open_torch: Open
    ) -> None:
        """An eighth more than is needed, in steps of 256 tokens."""
        session = open_torch(tiny_folder, context=context)
        session.prime([20] * (context - 10 if context == 300 else 600))
        assert session.memory().kv == room * 2 * 32 * 2 * 4

    @pytest.mark.parametrize("closed", [True, False])
    def test_weights_and_state_are_gone_with_the_session(
        self, closed: bool, tiny_folder: Path, open_torch: Open
    ) -> None:
        from edgelfm.backends.transformers.loading import load
        from tests.backends.conftest import settings

        session = TransformersSession(load(tiny_folder), settings())
        answer(session, [20, 21, 22])
        held = [
            weakref.ref(session._loaded.model),
            weakref.ref(session._loaded.model.get_input_embeddings().weight),
            weakref.ref(session._state.cache.layers[2].keys),
        ]
        if closed:
            session.close()
        else:
            del session
            gc.collect()
        assert [one() for one in held] == [None, None, None]

    def test_what_torch_cannot_do_is_an_error_and_the_next_prompt_begins_anew(
        self, tiny_folder: Path, open_torch: Open
    ) -> None:
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello there")
        expected = answer(session, prompt)

        def fail(*given: object) -> None:
            raise RuntimeError("not enough memory: you tried to allocate 1 PiB\nsecond line")

        hook = session._layers[3].register_forward_pre_hook(fail)
        with pytest.raises(BackendError, match="1 PiB") as caught:
            answer(session, [*prompt, 30])
        hook.remove()
        assert "second line" not in str(caught.value)
        assert "context" in caught.value.hint
        assert session.kept().tokens == 0
        assert answer(session, prompt) == expected

    def test_ctrl_c_in_the_middle_leaves_a_session_that_works(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello there")
        expected = answer(session, prompt)

        def interrupt(*given: object) -> None:
            raise KeyboardInterrupt

        hook = session._layers[3].register_forward_pre_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            answer(session, [*prompt, 30])
        hook.remove()
        assert answer(session, prompt) == expected


class TestLimits:
    def test_a_prompt_longer_than_the_context_names_both_lengths(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder, context=256)
        with pytest.raises(ContextExceeded, match="300 tokens and the context holds 256") as caught:
            session.generate([20] * 300, GREEDY)
        assert (caught.value.prompt_tokens, caught.value.context) == (300, 256)

    def test_a_reply_ends_where_the_context_ends(self, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder, context=40)
        events = list(session.generate([20] * 36, Sampling(repetition_penalty=1.5), logit_bias={7: -100.0}))
        assert events[-1].finish_reason == "length"
        assert events[-1].timings.completion_tokens == 4

    @pytest.mark.parametrize(("prompt", "maximum"), [([], None), ([1], 0), ([1], -3)])
    def test_senseless_requests(
        self, prompt: list[int], maximum: int | None, tiny_folder: Path, open_torch: Open
    ) -> None:
        with pytest.raises(RequestError):
            open_torch(tiny_folder).generate(prompt, GREEDY, max_tokens=maximum)

    @pytest.mark.parametrize("token", [512, 10**9, -1])
    def test_a_token_that_the_model_does_not_have(self, token: int, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        with pytest.raises(RequestError, match=f"token {token} stands for nothing"):
            answer(session, [20, token, 21])
        with pytest.raises(RequestError, match="logit_bias names token"):
            list(session.generate([20, 21], GREEDY, logit_bias={token: 1.0}))
        assert len(answer(session, [20, 21], 3)) == 3
