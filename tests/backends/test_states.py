"""What is kept and where it goes back to, on a runtime small enough to see through."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelfm.backends.states import WORTH_PARKING, Copied, States, common_prefix

CHECKPOINT_BYTES, LOGITS_BYTES = 10, 5


class Glass:
    """A hybrid runtime one can look into: a row of keys that can be cut, and a convolution of all tokens that cannot.

    The convolution is the exact tokens it was made of, so a state that was put together wrongly is seen at once.
    """

    def __init__(self, *, cuttable: bool = False) -> None:
        self.cuttable = cuttable
        self.keys: list[int] = []
        self.convolution: tuple[int, ...] = ()
        self.copies = 0

    def evaluate(self, tokens: list[int]) -> None:
        self.keys += tokens
        self.convolution = (*self.convolution, *tokens)

    def checkpoint(self) -> Copied:
        return Copied(self.convolution, CHECKPOINT_BYTES)

    def go_back(self, length: int, checkpoint: Copied | None) -> bool:
        if self.cuttable:
            self.convolution = self.convolution[:length]
        elif checkpoint is None:
            return False
        else:
            self.convolution = checkpoint.data
        del self.keys[length:]
        return True

    def size(self) -> int:
        return 4 * len(self.keys)

    def take(self) -> Copied:
        self.copies += 1
        return Copied((tuple(self.keys), self.convolution), self.size())

    def put(self, copied: Copied) -> bool:
        self.keys, self.convolution = list(copied.data[0]), copied.data[1]
        return True

    def clear(self) -> None:
        self.keys, self.convolution = [], ()


def turn(states: States, prompt: list[int], *, keep: bool = True) -> int:
    """Evaluate a prompt as a session does, with a checkpoint before it and one with the logits at its end."""
    reached = states.go_to(prompt, keep=keep)
    assert states.tokens == prompt[:reached]
    states.mark()
    if reached < len(prompt):
        states.runtime.evaluate(prompt[reached:])  # type: ignore[attr-defined]
        states.advance(prompt[reached:])
        states.mark(Copied(tuple(prompt), LOGITS_BYTES))
    assert states.logits is not None
    assert states.logits.data == tuple(prompt), "logits of another place"
    return reached


def whole(states: States) -> bool:
    """Whether the runtime holds exactly what the session thinks it does."""
    glass = states.runtime
    assert isinstance(glass, Glass)
    return glass.keys == states.tokens and list(glass.convolution) == states.tokens


def numbers(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


STORY, OTHER = numbers(0, 100), numbers(1000, 80)


class TestGoingBack:
    def test_a_longer_prompt_costs_what_is_new(self) -> None:
        states = States(Glass(), 10_000)
        turn(states, STORY)
        assert turn(states, [*STORY, 7, 8]) == 100

    @pytest.mark.parametrize("cuttable", [False, True])
    def test_the_same_prompt_again_costs_nothing(self, cuttable: bool) -> None:
        glass = Glass(cuttable=cuttable)
        states = States(glass, 10_000)
        turn(states, STORY)
        assert turn(states, STORY) == 100  # where it stands already
        glass.evaluate([5, 6])
        states.advance([5, 6])
        assert turn(states, STORY) == 100
        turn(states, OTHER)
        assert turn(states, STORY) == 100  # and was parked meanwhile
        assert whole(states)

    @pytest.mark.parametrize(("cuttable", "reached"), [(False, 0), (True, 98)])
    def test_where_nobody_kept_logits_the_last_token_is_left(self, cuttable: bool, reached: int) -> None:
        states = States(Glass(cuttable=cuttable), 10_000)
        turn(states, STORY)
        assert turn(states, STORY[:99]) == reached
        assert whole(states)

    def test_another_last_turn_goes_back_to_where_it_began(self) -> None:
        states = States(Glass(), 10_000)
        turn(states, STORY)
        turn(states, [*STORY, *numbers(500, 40)])
        assert turn(states, [*STORY, *numbers(700, 40)]) == 100
        assert whole(states)

    def test_attention_alone_is_cut_anywhere(self) -> None:
        states = States(Glass(cuttable=True), 10_000)
        turn(states, STORY)
        assert turn(states, [*STORY[:41], 9]) == 41
        assert whole(states)

    def test_a_broken_off_evaluation_goes_back_to_the_last_checkpoint(self) -> None:
        glass = Glass()
        states = States(glass, 10_000)
        turn(states, STORY)
        states.mark()
        glass.evaluate([1, 2, 3])  # and then it was interrupted: nobody said that they count
        states.recover()
        assert states.tokens == STORY
        assert whole(states)

    def test_nothing_to_go_back_to_is_an_empty_state(self) -> None:
        glass = Glass()
        states = States(glass, 10_000)
        glass.evaluate([1, 2, 3])
        states.recover()
        assert states.tokens == []
        assert whole(states)


class TestSeveralConversations:
    def test_alternating_evaluates_nothing_twice(self) -> None:
        states = States(Glass(), 10_000)
        talks = [list(STORY), list(OTHER)]
        for talk in talks:
            turn(states, talk)
        for number in range(10):
            for talk in talks:
                before = len(talk)
                talk += numbers(5000 + number, 3)
                assert turn(states, talk) == before
                assert whole(states)

    def test_a_fork_leaves_the_other_where_it_was(self) -> None:
        states = States(Glass(), 10_000)
        turn(states, STORY)
        left, right = [*STORY, *numbers(500, 50)], [*STORY, *numbers(700, 50)]
        turn(states, left)
        assert turn(states, right) == 100
        assert turn(states, [*left, 1]) == 150
        assert turn(states, [*right, 1]) == 150

    def test_what_nobody_comes_back_to_is_not_parked(self) -> None:
        glass = Glass()
        states = States(glass, 10_000)
        turn(states, STORY, keep=False)
        turn(states, OTHER, keep=False)
        assert (states.kept().parked, glass.copies) == ((), 0)

    def test_a_question_in_between_does_not_cost_the_conversation(self) -> None:
        states = States(Glass(), 10_000)
        turn(states, STORY)
        turn(states, OTHER, keep=False)
        assert turn(states, [*STORY, 1]) == 100

    def test_a_few_tokens_are_not_worth_a_copy(self) -> None:
        glass = Glass()
        states = States(glass, 10_000)
        turn(states, STORY)
        states.runtime.evaluate([1])  # type: ignore[attr-defined]
        states.advance([1])
        turn(states, STORY)
        assert glass.copies == 0

    def test_growing_conversations_leave_no_shorter_copies_behind(self) -> None:
        states = States(Glass(), 100_000)
        talks = [list(STORY), list(OTHER)]
        for number in range(20):
            for talk in talks:
                talk += numbers(9000 + 100 * number, 40)
                turn(states, talk)
        assert len(states.parked) <= 2


class TestLimit:
    def test_the_longest_unused_goes_first(self) -> None:
        states = States(Glass(), 2 * 4 * 100 + 200)
        talks = [numbers(1000 * number, 100) for number in range(4)]
        for talk in talks:
            turn(states, talk)
        assert [one.tokens for one in states.parked] == [talks[1], talks[2]]

    def test_a_machine_without_room_parks_nothing(self) -> None:
        states = States(Glass(), 10_000, room_for=lambda _: False)
        turn(states, STORY)
        turn(states, OTHER)
        assert states.parked == []

    def test_a_pinned_state_is_not_pushed_out(self) -> None:
        states = States(Glass(), 500)
        turn(states, STORY)
        states.pin()
        for number in range(1, 6):
            turn(states, numbers(1000 * number, 100))
        assert turn(states, [*STORY, 1]) == 100
        turn(states, OTHER)
        assert turn(states, [*STORY, 2]) == 100

    def test_the_last_checkpoint_stays_with_no_room_at_all(self) -> None:
        states = States(Glass(), 0)
        turn(states, STORY)
        assert turn(states, STORY) == 100


def test_a_copy_the_runtime_refuses_costs_an_evaluation_and_no_more() -> None:
    class Picky(Glass):
        def put(self, copied: Copied) -> bool:
            self.keys = [-1]  # half written
            return False

    states = States(Picky(), 10_000)
    turn(states, STORY)
    turn(states, OTHER)
    assert turn(states, [*STORY, 1]) == 0
    assert whole(states)
    assert states.kept().parked == (len(OTHER),)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 90), st.lists(st.integers(0, 2), min_size=1, max_size=45)),
        max_size=30,
    ),
    st.integers(0, 1500),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_state_is_always_that_of_the_prompt(
    walk: list[tuple[int, int, list[int]]], limit: int, cuttable: bool
) -> None:
    """Three conversations, cut anywhere and continued with anything, under any limit."""
    states = States(Glass(cuttable=cuttable), limit)
    talks: list[list[int]] = [[], [], []]
    for which, kept, added in walk:
        talks[which] = [*talks[which][:kept], *added]
        turn(states, talks[which])
        assert whole(states)
        assert states.tokens == talks[which]
        kept_now = states.kept()
        assert kept_now.bytes <= max(limit, CHECKPOINT_BYTES + LOGITS_BYTES)


@pytest.mark.parametrize("length", [WORTH_PARKING - 1, WORTH_PARKING])
def test_parking_begins_where_it_pays(length: int) -> None:
    states = States(Glass(), 10_000)
    turn(states, numbers(0, length))
    turn(states, OTHER)
    assert len(states.parked) == (length >= WORTH_PARKING)


@given(st.lists(st.integers(0, 1), max_size=12), st.lists(st.integers(0, 1), max_size=12))
def test_common_prefix_is_that_of_a_plain_loop(left: list[int], right: list[int]) -> None:
    plain = 0
    while plain < min(len(left), len(right)) and left[plain] == right[plain]:
        plain += 1
    assert common_prefix(left, right) == plain
