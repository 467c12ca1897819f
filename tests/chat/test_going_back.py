"""Regenerate, edit, fork, undo and switch: what they leave in the tree, and that the model answers as if nothing else
had ever been said.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from edgelfm.backends.base import Token
from edgelfm.chat.conversation import Conversation
from edgelfm.chat.engine import Engine
from edgelfm.chat.messages import Message
from edgelfm.chat.reply import Reply
from edgelfm.chat.template import ChatTemplate
from edgelfm.errors import BackendError, RequestError

MakeEngine = Callable[..., Engine]
GREEDY = {"temperature": 0, "repetition_penalty": 1, "max_tokens": 8}


def contents(talk: Conversation) -> list[str]:
    """What the person said on this branch."""
    return [message.content for message in talk.messages if message.role == "user"]


@pytest.fixture
def talk(tiny_path: Path, engine: MakeEngine) -> Conversation:
    """Two turns behind it."""
    talk = Conversation(engine(tiny_path), system="Be brief.")
    for text in ("one", "two"):
        talk.send(text, **GREEDY)
    return talk


class TestBranches:
    def test_an_edit_stands_beside_what_was_said(self, talk: Conversation) -> None:
        before = talk.messages
        reply = talk.edit(0, "uno", **GREEDY)
        assert contents(talk) == ["uno"]
        assert talk.messages[-1].content == reply
        versions = talk.branches(0)
        assert [node.message.content for node in versions.questions] == ["one", "uno"]
        assert versions.question.message.content == "uno"
        talk.switch(versions.questions[0])
        assert talk.messages == before  # down to the end of the old branch

    def test_going_back_to_a_reply_begins_another_branch_there(self, talk: Conversation) -> None:
        before = talk.messages
        first_answer = talk.branches(0).answer
        assert first_answer is not None
        talk.back_to(first_answer)
        assert talk.messages == before[:3]  # the system prompt, the question, the answer
        talk.send("three", **GREEDY)
        assert contents(talk) == ["one", "three"]
        assert [node.message.content for node in talk.branches(1).questions] == ["two", "three"]
        talk.switch(talk.branches(1).questions[0])
        assert talk.messages == before

    def test_one_cannot_go_back_to_a_question(self, talk: Conversation) -> None:
        before = talk.messages
        with pytest.raises(RequestError, match="without an answer") as caught:
            talk.back_to(talk.branches(1).question)
        assert "talk.edit" in caught.value.hint
        assert talk.messages == before

    def test_turns_are_counted_from_the_end_too(self, talk: Conversation) -> None:
        talk.edit(-1, "due", **GREEDY)
        assert contents(talk) == ["one", "due"]

    def test_answers_stand_beside_each_other(self, talk: Conversation) -> None:
        old = talk.messages[-1]
        talk.regenerate(max_tokens=3, temperature=1.5, seed=3)
        versions = talk.branches()
        assert [node.message for node in versions.answers] == [old, talk.messages[-1]]
        assert versions.answer == versions.answers[1] == talk.node
        assert contents(talk) == ["one", "two"]
        talk.switch(versions.answers[0].id)
        assert talk.messages[-1] == old

    def test_what_was_undone_can_be_walked_to(self, talk: Conversation) -> None:
        before, end = talk.messages, talk.node
        talk.undo()
        talk.undo()
        assert talk.messages == (Message("system", "Be brief."),)
        assert end is not None
        talk.switch(end)
        assert talk.messages == before

    def test_without_a_system_prompt_everything_can_be_undone(self, tiny_path: Path, engine: MakeEngine) -> None:
        talk = Conversation(engine(tiny_path))
        talk.send("one", **GREEDY)
        talk.undo()
        assert (talk.messages, talk.node) == ((), None)
        talk.send("uno", **GREEDY)
        assert [node.message.content for node in talk.branches().questions] == ["one", "uno"]

    def test_a_fork_goes_its_own_way(self, talk: Conversation) -> None:
        other = talk.fork()
        other.send("three", **GREEDY)
        assert contents(talk) == ["one", "two"]
        assert contents(other) == ["one", "two", "three"]
        assert other.context_used > talk.context_used

    @pytest.mark.parametrize(("turns", "left"), [(2, ["one", "two"]), (1, ["one"]), (-1, ["one"]), (0, []), (-2, [])])
    def test_a_fork_of_the_first_turns(self, talk: Conversation, turns: int, left: list[str]) -> None:
        other = talk.fork(turns)
        assert contents(other) == left
        assert other.messages[0] == Message("system", "Be brief.")

    def test_reset_forgets_every_branch(self, talk: Conversation) -> None:
        talk.regenerate(**GREEDY)
        talk.reset()
        assert len(talk.tree) == 1
        assert talk.context_used == 0

    def test_the_context_used_is_that_of_the_branch(self, talk: Conversation) -> None:
        used = talk.context_used
        longer = talk.send("three", **GREEDY)
        assert talk.context_used == longer.usage.prompt_tokens + len(talk.messages[-1].ids or ())
        talk.undo()
        assert talk.context_used == used

    def test_it_shows_its_turns_and_branches(self, talk: Conversation) -> None:
        talk.edit(0, "uno", **GREEDY)
        lines = repr(talk).splitlines()
        assert lines[0] == f"Conversation with Test: 1 turn, 2 branches, {talk.context_used} of 1024 tokens"
        assert lines[2] == "  0  user       uno  2/2"

    @pytest.mark.parametrize(
        ("verb", "message"),
        [
            (lambda talk: talk.edit(2, "x"), "there is no turn 2: there are 2 turns here"),
            (lambda talk: talk.edit(-3, "x"), "there is no turn -3"),
            (lambda talk: talk.edit("0", "x"), "there is no turn '0'"),
            (lambda talk: talk.edit(0, None), "not NoneType"),
            (lambda talk: talk.branches(5), "there is no turn 5"),
            (lambda talk: talk.fork(3), "there are 2 turns, not 3"),
            (lambda talk: talk.switch(99), "no message 99"),
            (lambda talk: talk.switch(talk.fork(1).tree[2]), None),
        ],
    )
    def test_what_is_not_there_is_named(
        self, talk: Conversation, verb: Callable[[Conversation], object], message: str | None
    ) -> None:
        before = talk.messages
        if message is None:  # the fork shares this node: the same id, the same message
            verb(talk)
        else:
            with pytest.raises(RequestError, match=message) as caught:
                verb(talk)
            assert caught.value.hint
        assert talk.messages == before

    def test_a_node_of_another_conversation_is_refused(self, talk: Conversation) -> None:
        other = talk.fork()
        other.send("three", **GREEDY)
        talk.send("drei", **GREEDY)
        with pytest.raises(RequestError, match="another conversation"):
            talk.switch(other.tree[5])


class TestUnfinished:
    def test_a_reply_stopped_before_its_first_word_can_be_asked_for_again(self, talk: Conversation) -> None:
        before = talk.messages
        stream = talk.stream("three", **GREEDY)
        stream.cancel()
        assert stream.reply == ""
        assert talk.messages == before
        talk.regenerate(**GREEDY)
        assert contents(talk) == ["one", "two", "three"]
        talk.regenerate(**GREEDY)
        assert len(talk.branches().answers) == 2

    def test_a_stopped_edit_too(self, talk: Conversation) -> None:
        talk.edit_stream(0, "uno", **GREEDY).close()
        assert contents(talk) == ["one", "two"]
        talk.regenerate(**GREEDY)
        assert contents(talk) == ["uno"]

    def test_a_reply_stopped_half_way_can_be_regenerated(self, talk: Conversation) -> None:
        with talk.stream("three", temperature=0) as stream:
            next(stream.pieces())
        half = talk.messages[-1]
        talk.regenerate(**GREEDY)
        assert [node.message for node in talk.branches().answers] == [half, talk.messages[-1]]

    def test_an_empty_reply_is_a_reply(self, tiny_path: Path, engine: MakeEngine) -> None:
        one = engine(tiny_path)
        talk = Conversation(one)
        first = talk.send("one", **GREEDY)
        assert talk.regenerate(**GREEDY, stop=first[0]) == ""
        assert [m.content for m in talk.messages] == ["one", ""]
        assert talk.messages[-1].ids is None
        assert talk.regenerate(**GREEDY) == first
        assert talk.branches().answers[0].message == talk.branches().answers[2].message

    def test_a_reply_that_failed_leaves_everything_as_it_was(
        self, talk: Conversation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session, before, size = talk._engine.session, talk.messages, len(talk.tree)
        generate = session.generate

        def breaking(*arguments: object, **options: object) -> Iterator[Token]:
            yield next(iter(generate(*arguments, **options)))
            raise BackendError("the runtime fell over")

        with monkeypatch.context() as patched:
            patched.setattr(session, "generate", breaking)
            with pytest.raises(BackendError, match="fell over"):
                talk.send("three", **GREEDY)
        assert (talk.messages, len(talk.tree)) == (before, size)
        talk.regenerate(**GREEDY)
        assert contents(talk) == ["one", "two", "three"]

    def test_undo_takes_back_what_has_an_answer(self, talk: Conversation) -> None:
        talk.stream("three").close()
        talk.undo()
        assert contents(talk) == ["one"]
        talk.regenerate(**GREEDY)  # of "one": what was stopped has been given up
        assert contents(talk) == ["one"]

    def test_a_dropped_conversation_goes_at_once(self, tiny_path: Path, engine: MakeEngine) -> None:
        """No circle of references holds it, whatever was done with it."""
        one = engine(tiny_path)
        gc.disable()
        try:
            talk = Conversation(one)
            talk.send("one", **GREEDY)
            talk.edit(0, "uno", **GREEDY)
            for _ in talk.regenerate_stream():
                break
            for _ in talk.fork().edit_stream(0, "due"):
                break
            gone = weakref.ref(talk)
            del talk
            assert gone() is None
        finally:
            gc.enable()


WORDS = ("water", "soil", "light", "seed", "root", "leaf", "frost", "bee", "worm", "rain", "shade", "clay", "sand")


def alone(engine: Engine, talk: Conversation) -> Reply:
    """The last answer of `talk`, made again by a model that has seen none of it."""
    engine.complete("Something else entirely.", engine.options({"max_tokens": 1})).reply
    question = next(i for i in range(len(talk.messages) - 1, -1, -1) if talk.messages[i].role == "user")
    other = Conversation(engine, history=talk.messages[:question])
    reply = other.send(talk.messages[question].content, **GREEDY, logprobs=2)
    assert reply.usage.cached_tokens <= 1
    return reply


def assert_same(left: Reply, right: Reply, rounding: float) -> None:
    """Token for token the same.

    Sums are rounded in another order when tokens are evaluated in other batches, so of two tokens that are equally
    likely but for that, either may come.
    """
    for one, other in zip(left.logprobs, right.logprobs, strict=False):
        assert abs(one.logprob - other.logprob) < rounding
        if one.id != other.id:
            assert abs(one.top[0][2] - one.top[1][2]) < rounding
            return
    assert left == right


class Walk:
    """Random operations on conversations that share a model; every answer is compared with one made `alone`."""

    def __init__(self, used: Engine, other: Engine, seed: int, rounding: float) -> None:
        self.random = random.Random(seed)
        self.talks = [Conversation(used, system="You are a gardener who answers in very few words.")]
        self.other = other
        self.rounding = rounding
        self.evaluated = self.prompted = 0

    def step(self) -> None:
        talk = self.random.choice(self.talks)
        turns = len(contents(talk))
        verbs = (
            ["send"] if turns == 0 else ["send", "send", "regenerate", "edit", "edit", "undo", "switch", "fork", "cut"]
        )
        verb = self.random.choice(verbs)
        if turns > 5:
            verb = "undo"
        if verb == "send":
            self.check(talk, talk.send(self.text(), **GREEDY, logprobs=2))
        elif verb == "regenerate":
            self.check(talk, talk.regenerate(**GREEDY, logprobs=2))
        elif verb == "edit":
            self.check(talk, talk.edit(self.random.randrange(-1, turns), self.text(), **GREEDY, logprobs=2))
        elif verb == "undo":
            talk.undo()
        elif verb == "switch":
            talk.switch(self.random.randrange(len(talk.tree)))
        elif verb == "fork" and len(self.talks) < 3:
            self.talks.append(talk.fork(self.random.randint(0, turns)))
        elif verb == "cut":
            with talk.stream(self.text(), temperature=0) as stream:
                for _ in zip(stream, range(self.random.randrange(3)), strict=False):
                    pass

    def check(self, talk: Conversation, reply: Reply) -> None:
        assert_same(reply, alone(self.other, talk), self.rounding)
        self.prompted += reply.usage.prompt_tokens
        self.evaluated += reply.usage.prompt_tokens - reply.usage.cached_tokens

    def text(self) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(1, 8)))


@pytest.mark.parametrize("seed", range(4))
def test_any_way_there_gives_the_same_answers_with_a_tiny_lfm2(seed: int, tiny_path: Path, engine: MakeEngine) -> None:
    walk = Walk(engine(tiny_path), engine(tiny_path, state_bytes=0), seed, rounding=0.01)
    for _ in range(40):
        walk.step()
    assert walk.evaluated < walk.prompted / 2


def test_any_way_there_gives_the_same_answers_with_the_starter(starter_path: Path, engine: MakeEngine) -> None:
    walk = Walk(engine(starter_path, threads=2), engine(starter_path, threads=2, state_bytes=0), 1, rounding=0.3)
    for _ in range(14):
        walk.step()
    assert walk.evaluated < walk.prompted / 2


@pytest.mark.parametrize("model", ["tiny_path", "starter_path"])
def test_only_the_difference_is_evaluated(model: str, request: pytest.FixtureRequest, engine: MakeEngine) -> None:
    """A long conversation, then everything that goes back."""
    talk = Conversation(engine(request.getfixturevalue(model), context=2048), system="You are a gardener.")
    one_turn = 0
    for number in range(8):
        before = talk.context_used
        talk.send(f"Tell me about plant number {number}, please, and where it grows.", **GREEDY)
        one_turn = talk.context_used - before

    def fresh(reply: Reply) -> int:
        return reply.usage.prompt_tokens - reply.usage.cached_tokens

    assert fresh(talk.regenerate(**GREEDY)) == 0
    assert fresh(talk.edit(-1, "Tell me about another plant, please.", **GREEDY)) <= one_turn
    other = talk.fork()
    assert fresh(other.send("And its colour?", **GREEDY)) <= one_turn
    assert fresh(talk.send("And its smell?", **GREEDY)) <= one_turn
    assert fresh(talk.edit(5, "Tell me about mushrooms.", **GREEDY)) <= one_turn
    talk.undo()
    assert fresh(talk.send("What about moss?", **GREEDY)) <= one_turn
    assert fresh(other.send("And its fruit?", **GREEDY)) <= one_turn


HEADER = "<|im_start|>system\n{{ %s }}<|im_end|>\n"
TURNS = (
    "{%% for m in messages %%}<|im_start|>{{ m.role }}\n{{ %s }}<|im_end|>\n{%% endfor %%}"
    "{%% if add_generation_prompt %%}<|im_start|>assistant\n{%% endif %%}"
)


def test_a_template_that_changes_old_replies(tiny_path: Path, engine: MakeEngine) -> None:
    """The prompt says what the template says, and the state is used up to where it differs."""
    shortened = "(m.content[3:] if m.role == 'assistant' and not loop.last else m.content)"
    talk = Conversation(engine(tiny_path, chat_template=TURNS % shortened))
    first = talk.send("Tell me about water, soil and light in the garden.", **GREEDY)
    second = talk.send("two", **GREEDY)
    raw = talk.messages[1].written
    prompt = talk._engine.prompt([*talk.messages, Message("user", "x")])
    assert f"assistant\n{raw[3:]}<|im_end|>" in prompt.text
    assert talk._engine.session.detokenize(prompt.ids) == prompt.text
    assert second.usage.cached_tokens >= first.usage.prompt_tokens - 1
    fresh = Conversation(engine(tiny_path, chat_template=TURNS % shortened), history=talk.messages[:2])
    assert fresh.send("two", **GREEDY) == second


def test_thinking_is_left_out_of_old_turns_and_kept_in_the_tree(tiny_path: Path, engine: MakeEngine) -> None:
    stripped = "m.content.split('</think>')[-1]"
    one = engine(tiny_path, chat_template=TURNS % stripped)
    raw = "<think>Plants drink.</think>Yes."
    answer = Message("assistant", "Yes.", raw, tuple(one.session.tokenize(raw)))
    talk = Conversation(one, history=[Message("user", "Water?"), answer])
    reply = talk.send("Soil?", **GREEDY)
    prompt = one.prompt(talk.messages[:3])
    assert "Plants drink" not in prompt.text
    assert "assistant\nYes.<|im_end|>" in prompt.text
    assert one.session.detokenize(prompt.ids) == prompt.text
    assert reply.usage.prompt_tokens == len(prompt.ids)
    assert talk.messages[1].written == raw


def test_a_template_that_says_which_day_it_is(tiny_path: Path, engine: MakeEngine) -> None:
    dated = HEADER % "strftime_now('%d %B %Y')" + TURNS % "m.content"
    one = engine(tiny_path, chat_template=dated)
    talk = Conversation(one)
    talk.send("one", **GREEDY)
    same_day = talk.send("two", **GREEDY)
    assert same_day.usage.prompt_tokens - same_day.usage.cached_tokens < same_day.usage.prompt_tokens / 2
    one.template = ChatTemplate(dated, one.session.special_tokens(), now=datetime(2001, 5, 9))
    next_day = talk.send("three", **GREEDY)
    assert next_day.usage.cached_tokens < 20  # the new date stands at the beginning
    prompt = one.prompt([*talk.messages[:4], Message("user", "three")])
    assert "09 May 2001" in prompt.text
    again = talk.regenerate(**GREEDY)
    assert again == next_day
    assert again.usage.prompt_tokens == again.usage.cached_tokens
