"""`edgelfm.load()` end to end: a real machine, a real model, real replies."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import edgelfm
from edgelfm.errors import ContextExceeded, DoesNotFit, RequestError, SessionClosed
from tests.tiny import write_tiny_lfm2


@pytest.fixture(scope="module")
def lfm() -> Iterator[edgelfm.Model]:
    with edgelfm.load("starter", progress=False) as model:
        yield model


def test_a_model_chats_and_says_what_it_took(lfm: edgelfm.Model) -> None:
    reply = lfm.chat("Why is the sky blue?", temperature=0, max_tokens=40)
    assert "sky" in reply
    assert reply.model == "starter"
    assert reply.usage.context == lfm.context
    assert reply.timings.decode_tokens_per_second > 0


def test_a_stream_is_the_same_text_in_pieces(lfm: edgelfm.Model) -> None:
    stream = lfm.stream("Why is the sky blue?", temperature=0, max_tokens=40)
    pieces = list(stream)
    assert len(pieces) > 10
    assert "".join(pieces) == stream.reply
    assert stream.reply.finish_reason == "length"


def test_each_chat_begins_anew(lfm: edgelfm.Model) -> None:
    once, twice = (lfm.chat("Name three colours.", temperature=0, max_tokens=12) for _ in range(2))
    assert once == twice


def test_a_system_prompt_and_a_list_of_messages_are_the_same_thing(lfm: edgelfm.Model) -> None:
    listed = [{"role": "system", "content": "Talk like a pirate."}, {"role": "user", "content": "Hello"}]
    given = lfm.chat("Hello", system="Talk like a pirate.", temperature=0, max_tokens=12)
    assert lfm.chat(listed, temperature=0, max_tokens=12) == given
    assert given.usage.prompt_tokens > lfm.count_tokens("Hello") + lfm.count_tokens("Talk like a pirate.")


def test_a_conversation_can_begin_in_the_middle(lfm: edgelfm.Model) -> None:
    said = [{"role": "user", "content": "The code word is 'pelican'."}, {"role": "assistant", "content": "Noted."}]
    talk = lfm.conversation(messages=said)
    assert "pelican" in talk.send("What is the code word?", temperature=0, max_tokens=20).lower()
    assert len(talk.messages) == 4


def test_a_text_can_be_continued_without_a_template(lfm: edgelfm.Model) -> None:
    reply = lfm.complete("one, two, three, four,", temperature=0, max_tokens=6)
    assert reply.strip().startswith("five")


def test_the_plan_that_was_followed_is_kept(lfm: edgelfm.Model) -> None:
    assert lfm.plan.chosen is lfm.candidate
    assert lfm.candidate.settings.context.value == lfm.context
    assert lfm.candidate.memory.total <= lfm.plan.budget.usable_bytes
    assert "SmolLM2" in repr(lfm)


def test_memory_is_what_was_planned(lfm: edgelfm.Model) -> None:
    planned, held = lfm.candidate.memory, lfm.memory()
    assert held.kv == planned.part("KV cache")
    assert held.weights == pytest.approx(planned.part("weights"), rel=0.01)
    assert held.compute == pytest.approx(planned.part("compute buffers"), abs=16_384)


def test_the_prompt_that_is_too_long_is_told_before_anything_is_computed(lfm: edgelfm.Model) -> None:
    with pytest.raises(ContextExceeded) as caught:
        lfm.chat("word " * (lfm.context + 10))
    assert caught.value.context == lfm.context
    assert str(caught.value.prompt_tokens) in str(caught.value)


def test_threads_share_one_model(lfm: edgelfm.Model) -> None:
    questions = ["Name a river.", "Name a town.", "Name a star."]
    alone = [lfm.chat(question, temperature=0, max_tokens=10) for question in questions]
    together: dict[str, str] = {}

    def ask(question: str) -> None:
        together[question] = lfm.chat(question, temperature=0, max_tokens=10)

    threads = [threading.Thread(target=ask, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [together[question] for question in questions] == alone


def test_a_local_file_of_any_name_loads(tmp_path: Path) -> None:
    path = write_tiny_lfm2(tmp_path / "my fine-tune.gguf")
    with edgelfm.load(path, context=512) as model:
        assert model.context == 512
        assert model.chat("Hi", max_tokens=3, temperature=0).usage.completion_tokens <= 3
        assert model.candidate.model.architecture.conv_cache == 3


def test_what_will_not_fit_is_refused_before_memory_is_touched() -> None:
    before = psutil.Process().memory_info().rss
    with pytest.raises(DoesNotFit) as caught:
        edgelfm.load("starter", memory="60 MiB", progress=False)
    assert psutil.Process().memory_info().rss - before < 20 * 1024**2
    assert caught.value.hint
    assert "60" in str(caught.value)


def test_a_closed_model_says_so() -> None:
    model = edgelfm.load("starter", context=512, progress=False)
    model.close()
    model.close()
    with pytest.raises(SessionClosed, match="closed"):
        model.chat("Hi")


def test_closing_gives_the_memory_back() -> None:
    process = psutil.Process()
    with edgelfm.load("starter", progress=False) as model:
        model.chat("Hi", max_tokens=2)
        held = process.memory_info().rss
        weights = model.memory().weights
    assert held - process.memory_info().rss > 0.8 * weights


def test_a_model_that_nobody_holds_is_freed_at_once() -> None:
    """What people do in a notebook: load again into the same name, and never close."""
    process = psutil.Process()
    model = edgelfm.load("starter", context=4096, progress=False, tune=False)
    talk = model.conversation()
    talk.send("Hi", max_tokens=2)
    for _ in talk.stream("Tell me a story."):
        break
    held, memory = process.memory_info().rss, model.memory()
    touched = memory.weights + memory.kv  # a short prompt leaves most of the compute buffer untouched
    gc.disable()
    try:
        del model, talk
        assert held - process.memory_info().rss > 0.9 * touched
    finally:
        gc.enable()


class TestAsync:
    def test_the_loop_stays_free_while_a_reply_is_made(self, lfm: edgelfm.Model) -> None:
        import asyncio

        async def main() -> tuple[int, edgelfm.Reply]:
            ticks = 0
            asking = asyncio.create_task(lfm.aio.chat("Tell me a story.", temperature=0, max_tokens=40))
            while not asking.done():
                ticks += 1
                await asyncio.sleep(0)
            return ticks, await asking

        ticks, reply = asyncio.run(main())
        assert ticks > 100
        assert reply == lfm.chat("Tell me a story.", temperature=0, max_tokens=40)

    def test_async_for_gives_the_same_text(self, lfm: edgelfm.Model) -> None:
        import asyncio

        async def main() -> tuple[str, edgelfm.Reply]:
            stream = lfm.aio.stream("Name a colour.", temperature=0, max_tokens=10)
            text = "".join([piece async for piece in stream])
            return text, await stream.reply()

        text, reply = asyncio.run(main())
        assert text == reply == lfm.chat("Name a colour.", temperature=0, max_tokens=10)

    def test_cancelling_one_task_frees_the_model_for_the_next(self, lfm: edgelfm.Model) -> None:
        import asyncio

        async def main() -> edgelfm.Reply:
            begun = asyncio.Event()

            async def endless() -> None:
                async for _ in lfm.aio.stream("Tell me a story.", temperature=0):
                    begun.set()

            task = asyncio.create_task(endless())
            await begun.wait()
            waiting = asyncio.create_task(lfm.aio.chat("Name a colour.", temperature=0, max_tokens=10))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await waiting

        assert asyncio.run(main()) == lfm.chat("Name a colour.", temperature=0, max_tokens=10)

    def test_a_conversation_has_its_twin(self, lfm: edgelfm.Model) -> None:
        import asyncio

        async def main() -> tuple[edgelfm.Message, ...]:
            talk = lfm.aio.conversation(system="Be brief.")
            await talk.send("Hi", max_tokens=4)
            await talk.send("Bye", max_tokens=4)
            return talk.messages

        assert [m.role for m in asyncio.run(main())] == ["system", "user", "assistant", "user", "assistant"]

    def test_an_error_comes_out_where_it_is_awaited(self, lfm: edgelfm.Model) -> None:
        import asyncio

        with pytest.raises(RequestError):
            asyncio.run(lfm.aio.chat("Hi", temperature=-1))


def test_a_question_asked_once_leaves_no_state_behind(lfm: edgelfm.Model) -> None:
    """Only conversations are come back to. Memory must not grow with every question."""
    lfm._session.forget()
    for question in ("Tell me a story about a fox.", "What is a very large number called?", "Where do rivers end?"):
        lfm.chat(question + " Say all you know about it, and say it well." * 3, temperature=0, max_tokens=2)
    assert lfm._session.kept().parked == ()
    talk = lfm.conversation()
    talk.send("Tell me another story. Let it be about the sea and a boy who never saw it." * 2, max_tokens=2)
    lfm.chat("And now something else." * 12, max_tokens=2)
    assert len(lfm._session.kept().parked) == 1
