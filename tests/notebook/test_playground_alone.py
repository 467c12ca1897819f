"""The playground without a page: what it loads, gives back, and leaves behind when it is closed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

import edgelfm
from edgelfm.errors import RequestError
from edgelfm.notebook.playground import Playground


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("edgelfm")]


@pytest.fixture
def playgrounds() -> Iterator[list[Playground]]:
    made: list[Playground] = []
    yield made
    for one in made:
        one.close()
        one._worker.join(30)


@pytest.fixture
def lfm() -> Iterator[edgelfm.Model]:
    with edgelfm.load("starter", context=512, progress=False, tune=False) as model:
        yield model


def opened(playgrounds: list[Playground]) -> Playground:
    one = edgelfm.playground("starter", context=512)
    playgrounds.append(one)
    assert one.wait(120)
    assert one.model is not None
    return one


def test_a_model_by_name_is_loaded_and_freed_with_the_playground(playgrounds: list[Playground]) -> None:
    one = opened(playgrounds)
    model = one.model
    assert model is not None
    one.sampling.max_tokens.value = 4
    one.send("Hello")
    assert one.wait(60)
    assert one.conversation is not None
    assert len(one.conversation.messages) == 2
    one.close()
    one._worker.join(30)
    assert model._session._closed  # type: ignore[attr-defined]
    assert threads() == []


def test_a_model_that_was_given_stays_open() -> None:
    with edgelfm.load("starter", context=512, progress=False, tune=False) as lfm:
        one = edgelfm.playground(lfm)
        one.close()
        one._worker.join(30)
        assert lfm.chat("Hello", max_tokens=2)
    assert threads() == []


def test_one_that_nobody_sees_gives_its_model_up_for_the_next(playgrounds: list[Playground]) -> None:
    """A cell that is run again: the first playground has no view any more, but Jupyter keeps it."""
    first = opened(playgrounds)
    held = first.model
    second = opened(playgrounds)
    assert held is not None
    assert held._session._closed  # type: ignore[attr-defined]
    assert first.model is None
    assert "freed to make room" in first.view.desk.feed.document()["status"]["waiting"]
    assert second.model is not None


def test_one_that_is_seen_keeps_its_model(playgrounds: list[Playground]) -> None:
    first = opened(playgrounds)
    first.view.desk.hear({"kind": "hello", "view": "page"})
    opened(playgrounds)
    assert first.model is not None
    assert not first.model._session._closed  # type: ignore[attr-defined]


def test_so_does_a_comparison_that_nobody_sees(playgrounds: list[Playground]) -> None:
    asked = {"name": "starter", "context": 512, "tune": False}
    both = edgelfm.compare([asked, asked], max_tokens=2)
    both.ask("Hello")
    assert both.wait(60)
    models = [one.model for one in both.columns]
    opened(playgrounds)
    assert all(one is not None and one._session._closed for one in models)  # type: ignore[attr-defined]
    both.close()
    both._worker.join(30)


def test_what_cannot_be_said_or_shown_now_is_told(playgrounds: list[Playground], lfm: edgelfm.Model) -> None:
    empty = edgelfm.playground(context=512)
    playgrounds.append(empty)
    with pytest.raises(RequestError, match="no model is loaded") as caught:
        empty.send("Hello")
    assert "wait()" in caught.value.hint
    one = edgelfm.playground(lfm)
    playgrounds.append(one)
    with lfm.conversation().stream("Hello", max_tokens=2) as first:
        next(iter(first))  # the model is busy, so what is sent waits
        one.send("Hello")
        with pytest.raises(RequestError, match="being written"):
            one.send("And again")
    assert one.wait(60)
    with edgelfm.load("starter", context=512, progress=False, tune=False) as other:
        with pytest.raises(RequestError, match="no conversation with the model") as caught:
            one.show(other.conversation())
        assert "playground.model" in caught.value.hint


def test_a_reply_to_an_old_conversation_does_not_run_on_in_a_new_one(
    playgrounds: list[Playground], lfm: edgelfm.Model
) -> None:
    one = edgelfm.playground(lfm)
    playgrounds.append(one)
    one.view.desk._options = lambda: {"max_tokens": 400, "seed": 1}
    with lfm.conversation().stream("Hello", max_tokens=2) as first:
        next(iter(first))
        one.send("Tell me a long story.")
        one.show(lfm.conversation(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]))
    assert one.wait(60)
    document = one.view.desk.feed.document()
    assert [document["messages"][key]["text"] for key in document["path"]] == ["Hi", "Ho"]
    assert document["status"]["busy"] is False


def test_a_model_that_cannot_be_loaded_is_told_with_what_to_do(
    playgrounds: list[Playground], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = edgelfm.playground(context=512)
    playgrounds.append(one)
    assert one.loader is not None
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    one.loader.load()
    assert one.wait(60)
    assert one.model is None
    assert "role='alert'" in one.loader.said.value
    assert "edgelfm pull" in one.loader.said.value or "offline" in one.loader.said.value
    assert not one.loader.button.disabled


def test_without_a_kernel_the_chat_can_be_read(playgrounds: list[Playground]) -> None:
    one = opened(playgrounds)
    assert one.model is not None
    one.show(one.model.conversation(messages=[{"role": "user", "content": "<b>&\nme"}]))
    static = one._repr_mimebundle_()["text/html"]
    assert "&lt;b&gt;&amp;\nme" in static
    assert "SmolLM2" in static


def test_controls_begin_at_the_preset_and_pass_on_what_was_moved(playgrounds: list[Playground]) -> None:
    one = opened(playgrounds)
    assert one.sampling.options() == {}
    one.sampling.top_k.value = 40
    one.sampling.seed.value = " 12 "
    assert one.sampling.options() == {"top_k": 40, "seed": 12}
    one.sampling.seed.value = "twelve"
    one.send("Hello")
    assert one.wait(60)
    assert "seed is 'twelve'" in one.view.desk.feed.document()["status"]["notice"]["text"]
    one.sampling.show(None)
    assert one.sampling.options() == {}
    gc.collect()
