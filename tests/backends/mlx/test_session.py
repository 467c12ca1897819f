"""What is MLX's own beside `test_contract.py`: its state, quantized weights, where a prefill can be broken off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import edgelfm
from edgelfm.backends.base import Token
from edgelfm.backends.cancel import Cancel
from edgelfm.backends.mlx.session import MlxSession
from edgelfm.errors import BackendError, RequestError
from edgelfm.models.entry import Sampling

Open = Callable[..., MlxSession]
GREEDY = Sampling()


def ids_of(events: list[Token]) -> list[int]:
    return [token for event in events for token in event.ids]


def answer(session: MlxSession, prompt: list[int], count: int = 8) -> list[int]:
    return ids_of(list(session.generate(prompt, GREEDY, max_tokens=count)))


def test_eight_bits_and_eight_bit_keys_run(eight_bit_folder: Path, open_mlx: Open) -> None:
    exact, small = open_mlx(eight_bit_folder), open_mlx(eight_bit_folder, kv_type="q8_0")
    prompt = exact.tokenize("hello there")
    assert len(answer(exact, prompt)) == len(answer(small, prompt)) == 8
    assert small.memory().kv < exact.memory().kv


@pytest.mark.parametrize(("kv_type", "bytes_each"), [("f16", 4), ("q8_0", 1.25), ("q4_0", 0.75)])
def test_the_bill_for_keys_and_values_is_what_is_held(kv_type: str, bytes_each: float, tiny_folder: Path) -> None:
    """Two layers of one head, 32 wide; quantized with a scale and a bias in 32 bits for 32 of them."""
    with edgelfm.load(
        tiny_folder, backend="mlx", context=512, micro_batch=64, kv_type=kv_type, tune=False, progress=False
    ) as lfm:
        assert lfm.memory().kv == 0
        lfm.complete("one two three " * 30, max_tokens=4)
        assert lfm.candidate.memory.part("KV cache") == lfm.memory().kv == 2 * 2 * 32 * 512 * bytes_each


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

    @pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
    @pytest.mark.parametrize("kind", ["tiny_folder", "attention_folder"])
    def test_going_back_anywhere_gives_what_a_fresh_model_gives(
        self, kind: str, kv_type: str, open_mlx: Open, request: pytest.FixtureRequest
    ) -> None:
        folder = request.getfixturevalue(kind)
        # One token at a time: then how a prompt was cut cannot change the rounding, and equality can be exact.
        used, fresh = (open_mlx(folder, micro_batch=1, kv_type=kv_type) for _ in range(2))
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
        assert again[-1].timings.cached_tokens == len(prompt)
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
        written = memory.compute
        session.prime([20 + i % 400 for i in range(250)])
        assert session.memory().compute > written > 0  # to read a long prompt takes more


class TestRefused:
    @pytest.mark.parametrize("token", [-1, 512])
    def test_a_token_that_the_network_has_no_place_for(self, token: int, tiny_folder: Path, open_mlx: Open) -> None:
        with pytest.raises(RequestError, match=f"the token {token}, and the network knows 512"):
            open_mlx(tiny_folder).generate([20, token, 21], GREEDY)

    def test_a_forked_process_would_wait_for_ever(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder)
        session._process -= 1
        with pytest.raises(BackendError, match="forked") as caught:
            session.generate([20, 21], GREEDY)
        assert "spawn" in caught.value.hint


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
    def test_between_the_steps_of_a_prefill_and_what_was_done_is_kept(self, tiny_folder: Path, open_mlx: Open) -> None:
        session = open_mlx(tiny_folder, micro_batch=8)
        prompt = session.tokenize("The colour of the sea, and of all the other seas that there are")
        events = list(session.generate(prompt, GREEDY, max_tokens=5, cancel=SecondThoughts(3)))
        assert [event.finish_reason for event in events] == ["cancelled"]
        assert events[0].timings.completion_tokens == 0
        after = list(session.generate(prompt, GREEDY, max_tokens=5))
        assert after[-1].timings.cached_tokens == 16
        assert ids_of(after) == answer(open_mlx(tiny_folder, micro_batch=8), prompt, 5)
