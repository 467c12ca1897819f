"""What is transformers' own beside `test_contract.py`: its logits, memory, threads, and what torch cannot do."""

from __future__ import annotations

import gc
import math
import random
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.backends.base import Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.llama_cpp.session import LlamaSession
from edgelfm.backends.transformers.session import TransformersSession
from edgelfm.errors import BackendError, RequestError
from edgelfm.models.entry import Sampling

Open = Callable[..., TransformersSession]
GREEDY = Sampling()
FOLDERS = ["tiny_folder", "llama_folder", "moe_folder", "sliding_folder", "lfm3_folder"]
#: Largest difference of a logit between a prompt computed in pieces with a cache and at once without. Logits of these
#: networks are around 1 to 10; sums in another order differ in the last bits of f32.
TOLERANCE = 1e-4


def ids_of(events: list[Token]) -> list[int]:
    return [token for event in events for token in event.ids]


def answer(session: TransformersSession, prompt: list[int], count: int = 8) -> list[int]:
    return ids_of(list(session.generate(prompt, GREEDY, max_tokens=count)))


class TestParity:
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
    def test_greedy_is_a_temperature_of_zero_with_or_without_the_sampler(
        self, tiny_folder: Path, open_torch: Open
    ) -> None:
        """The largest logit is found by torch; with a bias, by the sampler."""
        session = open_torch(tiny_folder)
        prompt = session.tokenize("hello")
        biased = ids_of(list(session.generate(prompt, GREEDY, max_tokens=16, logit_bias={0: 0.0})))
        assert answer(session, prompt, 16) == biased

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


class TestCancel:
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


class TestThreads:
    def test_the_number_of_threads_that_others_compute_with_stays(self, tiny_folder: Path, open_torch: Open) -> None:
        import torch

        before = torch.get_num_threads()
        session, seen = open_torch(tiny_folder, threads=before + 1), []
        hook = session._layers[0].register_forward_pre_hook(lambda *given: seen.append(torch.get_num_threads()))
        answer(session, [20, 21, 22], 3)
        hook.remove()
        assert set(seen) == {before + 1}
        assert torch.get_num_threads() == before


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
    @pytest.mark.parametrize("token", [512, 10**9, -1])
    def test_a_token_that_the_model_does_not_have(self, token: int, tiny_folder: Path, open_torch: Open) -> None:
        session = open_torch(tiny_folder)
        with pytest.raises(RequestError, match=f"the token {token}, and the network knows"):
            answer(session, [20, token, 21])
        with pytest.raises(RequestError, match="logit_bias names token"):
            list(session.generate([20, 21], GREEDY, logit_bias={token: 1.0}))
        assert len(answer(session, [20, 21], 3)) == 3
