"""The token loop and its state in ONNX Runtime, against llama.cpp, transformers and fresh sessions."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgelfm.backends.base import Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.onnx.session import OnnxSession
from edgelfm.decision import Decision
from edgelfm.errors import RequestError, StateRefused
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings

Open = Callable[..., OnnxSession]
GREEDY = Sampling()
HOT = Sampling(temperature=1.5, top_k=200)


def ids_of(events: list[Token]) -> list[int]:
    return [token for event in events for token in event.ids]


def answer(session: OnnxSession, prompt: list[int], count: int = 8) -> list[int]:
    return ids_of(list(session.generate(prompt, GREEDY, max_tokens=count)))


class TestTheSameAnswers:
    def test_logits_and_64_tokens_are_those_of_transformers(
        self, model: Path, tiny_folder: Path, open_onnx: Open
    ) -> None:
        torch = pytest.importorskip("torch", reason="needs: pip install 'edgelfm[transformers]'")
        transformers = pytest.importorskip("transformers", reason="needs: pip install 'edgelfm[transformers]'")
        reference = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).eval()
        session = open_onnx(model)
        prompt = session.tokenize("The colour of the sea")
        for _ in range(64):
            with torch.no_grad():
                theirs = reference(torch.tensor([prompt])).logits[0, -1].numpy()
            event = next(iter(session.generate(prompt, GREEDY, max_tokens=1)))
            assert np.abs(session._network.row - theirs).max() < 2e-4  # the largest is above 5
            if event.ids != (int(theirs.argmax()),):
                assert event.finish_reason == "stop"
            prompt.append(int(theirs.argmax()))

    @pytest.mark.parametrize(
        ("name", "kv", "bytes_"), [("half", 0.5, 0.51), ("eight_bits", 1, 0.5), ("dynamic", 1, 0.51)]
    )
    def test_in_fewer_bits_they_hardly_differ(
        self, name: str, kv: float, bytes_: float, published: Path, open_onnx: Open, request: pytest.FixtureRequest
    ) -> None:
        """Along the reply of the exact one. How far apart the rows of logits are, test_parity.py holds."""
        exact, small = open_onnx(published), open_onnx(request.getfixturevalue(name))
        prompt = exact.tokenize("The colour of the sea")
        reply = answer(exact, prompt, 40)
        places = [prompt + reply[:written] for written in range(len(reply))]
        same = sum(answer(exact, place, 1) == answer(small, place, 1) for place in places)
        assert same >= 0.85 * len(places)
        assert small.memory().kv == kv * exact.memory().kv
        assert small.memory().weights == pytest.approx(bytes_ * exact.memory().weights, rel=0.02)

    def test_likelihoods_are_those_of_the_other_layout(self, published: Path, plain: Path, open_onnx: Open) -> None:
        told = []
        for path in (published, plain):
            session = open_onnx(path)
            events = list(session.generate(session.tokenize("hello"), GREEDY, max_tokens=6, logprobs=3))
            told.append([one for event in events for one in event.logprobs])
        assert len(told[0]) == 6
        for first, second in zip(*told, strict=True):
            assert first.logprob == pytest.approx(second.logprob, abs=1e-4)
            assert [id_ for id_, _, _ in first.top] == [id_ for id_, _, _ in second.top]
            assert first.top[0][0] == first.id


class TestState:
    def test_a_conversation_goes_on_at_the_cost_of_what_is_new(self, model: Path, open_onnx: Open) -> None:
        session = open_onnx(model)
        prompt = session.tokenize("one two three")
        longer = prompt + answer(session, prompt, 10) + session.tokenize("<|im_end|>\n<|im_start|>user\nAnd?")
        second = list(session.generate(longer, GREEDY, max_tokens=10))
        # The last token of a reply that was cut short was sampled but never evaluated.
        assert second[-1].timings.cached_tokens == len(prompt) + 9
        assert ids_of(second) == answer(open_onnx(model), longer, 10)

    def test_going_back_anywhere_gives_what_a_fresh_model_gives(self, graph: Path, open_onnx: Open) -> None:
        # One token at a time: then how a prompt was cut cannot change the rounding, and equality can be exact.
        used, fresh = open_onnx(graph, micro_batch=1), open_onnx(graph, micro_batch=1)
        dice, known = random.Random(5), [used.tokenize("one two three four five")]
        for _ in range(25):
            base = dice.choice(known)
            prompt = base[: dice.randint(1, len(base))] + [dice.randrange(20, 512) for _ in range(dice.randint(0, 40))]
            if dice.random() < 0.3:
                prompt += answer(used, prompt, 5)  # goes on from its own reply
            known.append(prompt)
            fresh.forget()
            assert answer(used, prompt, 4) == answer(fresh, prompt, 4)
        assert used.kept().parked

    def test_attention_alone_is_cut_at_any_length(self, attention_alone: Path, open_onnx: Open) -> None:
        session = open_onnx(attention_alone, micro_batch=1)
        prompt = session.tokenize("The colour of the sea")
        answer(session, prompt)
        other = [*prompt[:5], 20, 21]
        events = list(session.generate(other, GREEDY, max_tokens=6))
        assert events[-1].timings.cached_tokens == 5
        assert ids_of(events) == answer(open_onnx(attention_alone, micro_batch=1), other, 6)

    def test_regenerating_starts_at_the_end_of_the_prompt(self, graph: Path, open_onnx: Open) -> None:
        session = open_onnx(graph)
        prompt = session.tokenize("The colour of the sea")
        first = list(session.generate(prompt, GREEDY, max_tokens=8))
        again = list(session.generate(prompt, GREEDY, max_tokens=8))
        assert again[-1].timings.cached_tokens == len(prompt)
        assert ids_of(first) == ids_of(again)

    def test_it_travels_to_another_session(self, graph: Path, open_onnx: Open) -> None:
        one, other = open_onnx(graph), open_onnx(graph, context=512)
        prompt = one.tokenize("one two three")
        expected = answer(one, prompt, 10)
        state = one.export_state(prompt)
        assert state.identity == other.state_identity()
        other.import_state(state)
        events = list(other.generate(prompt, GREEDY, max_tokens=10))
        assert events[-1].timings.cached_tokens == len(prompt)
        assert ids_of(events) == expected

    def test_one_of_other_weights_or_of_no_sense_is_refused(self, published: Path, half: Path, open_onnx: Open) -> None:
        one, other = open_onnx(published), open_onnx(half)
        prompt = one.tokenize("one two three")
        answer(one, prompt)
        state = one.export_state(prompt)
        with pytest.raises(StateRefused):
            other.import_state(state)
        with pytest.raises(StateRefused, match="not one of ONNX Runtime"):
            one.import_state(replace(state, data=b"nonsense"))

    def test_memory_is_what_the_architecture_says(self, published: Path, plain: Path, open_onnx: Open) -> None:
        """Two attention layers of one 32-wide KV head, four convolution layers of 64 x 3 in two buffers."""
        shared, double = open_onnx(published, context=512).memory(), open_onnx(plain, context=512).memory()
        assert shared.kv == 512 * 2 * 32 * 2 * 4
        assert double.kv == 2 * shared.kv
        assert shared.conv == double.conv == 4 * 64 * 3 * 4 * 2
        assert shared.output == 512 * 4
        assert shared.weights == sum(path.stat().st_size for path in published.parent.iterdir())

    def test_closing_frees_it(self, model: Path, open_onnx: Open) -> None:
        session = open_onnx(model)
        answer(session, session.tokenize("hello"))
        alive = [weakref.ref(session._network), weakref.ref(session._network._session)]
        session.close()
        gc.collect()
        assert [one() for one in alive] == [None, None]


@pytest.mark.parametrize("token", [-1, 512])
def test_a_token_that_the_graph_has_no_place_for_is_refused(token: int, published: Path, open_onnx: Open) -> None:
    """As a tokenizer of another model gives them."""
    session = open_onnx(published)
    expected = answer(session, [20, 21])
    with pytest.raises(RequestError, match=f"the token {token}, and the network knows 512"):
        session.generate([20, token, 21], GREEDY)
    assert answer(session, [20, 21]) == expected


class TestSampling:
    def test_the_same_seed_gives_the_same_text_in_every_layout(
        self, published: Path, model: Path, open_onnx: Open
    ) -> None:
        texts = []
        for path in (published, model):
            session = open_onnx(path)
            texts.append(ids_of(list(session.generate(session.tokenize("hello"), HOT, max_tokens=12, seed=3))))
        assert texts[0] == texts[1]

    def test_a_bias_decides(self, published: Path, open_onnx: Open) -> None:
        session = open_onnx(published)
        events = list(session.generate([20, 21], GREEDY, max_tokens=3, logit_bias={99: 1000.0}))
        assert ids_of(events) == [99, 99, 99]


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
    def test_in_the_middle_of_a_computation_which_leaves_the_state_as_it_was(
        self, model: Path, open_onnx: Open
    ) -> None:
        """The graph is told to stop before it starts, which it notices between two operators."""
        session = open_onnx(model)
        prompt = session.tokenize("The colour of the sea")
        expected = answer(session, prompt, 6)
        network = session._network
        run = network._session.run_with_iobinding

        def stopped(binding: object, options: object) -> None:
            session._interrupt()
            run(binding, options)

        before = network.state.take()
        network._session.run_with_iobinding = stopped
        assert not network.evaluate([20, 21, 22], logits=False)
        network._session.run_with_iobinding = run
        after = network.state.take()
        assert before.data.tokens == after.data.tokens
        assert all((before.data.arrays[name] == after.data.arrays[name]).all() for name in before.data.arrays)
        assert answer(session, prompt, 6) == expected

    def test_from_another_thread_while_the_graph_runs(self, attention_alone: Path, open_onnx: Open) -> None:
        """On the CPU; a provider that makes one operator of everything is stopped between its runs only."""
        given = settings(context=4096, micro_batch=4000)
        cpu = replace(given, providers=Decision(("cpu",), "for the test"))
        network = open_onnx(attention_alone, given=cpu)._network
        tokens = [20 + i % 400 for i in range(3900)]  # half a second, over some dozens of operators
        assert network.evaluate(tokens, logits=False)

        def in_the_middle() -> bool:
            """Whether it was stopped by a thread that speaks up once the graph has used the processor for a while."""
            network.state.clear()
            network.resume()
            begun = time.process_time()

            def interrupt() -> None:
                while time.process_time() - begun < 0.05:
                    time.sleep(0.001)
                network.interrupt()

            stopper = threading.Thread(target=interrupt)
            stopper.start()
            stopped = not network.evaluate(tokens, logits=False)
            stopper.join()
            return stopped

        # Where other programs have the processor, the other thread may not have its turn before the graph is done.
        assert any(in_the_middle() for _ in range(10))
        assert network.state.length == 0

    def test_in_a_long_prefill_of_which_the_finished_part_is_kept(self, model: Path, open_onnx: Open) -> None:
        session = open_onnx(model, micro_batch=8)
        prompt = session.tokenize("The colour of the sea, and of all the other seas that there are")
        events = list(session.generate(prompt, GREEDY, max_tokens=5, cancel=SecondThoughts(3)))
        assert [event.finish_reason for event in events] == ["cancelled"]
        after = list(session.generate(prompt, GREEDY, max_tokens=5))
        assert after[-1].timings.cached_tokens == 16
        assert ids_of(after) == answer(open_onnx(model, micro_batch=8), prompt, 5)
