"""What a chat in a page does, without the page: a real model, and messages as a browser sends them."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import edgelfm
from edgelfm.backends.endless import never_ending
from edgelfm.notebook.desk import Desk
from edgelfm.notebook.worker import Worker


@pytest.fixture(scope="module")
def lfm() -> Iterator[edgelfm.Model]:
    with edgelfm.load("starter", context=2048, progress=False, tune=False) as model:
        yield model


class Table:
    """A desk, its worker, and all it said."""

    def __init__(self, lfm: edgelfm.Model, **options: Any) -> None:
        self.said: list[Mapping[str, Any]] = []
        self.options: dict[str, Any] = {"temperature": 0, "max_tokens": 12, **options}
        self.worker = Worker()
        self.desk = Desk(self.hear, self.worker, options=lambda: self.options)
        self.writing = threading.Event()
        self.desk.open(lfm)
        self.do("hello")

    def hear(self, said: Mapping[str, Any]) -> None:
        self.said.append(said)
        if any(op["op"] == "text" for op in said.get("ops", ())):
            self.writing.set()

    def do(self, kind: str, **more: Any) -> None:
        """What a person does in a page, until it is done."""
        self.desk.hear({"kind": kind, "view": "page", **more})
        if kind != "send" or more.get("text") != "…":
            assert self.worker.wait(60)

    @property
    def shown(self) -> list[Any]:
        document = self.desk.feed.document()
        return [document["messages"][key] for key in document["path"]]

    @property
    def texts(self) -> list[str]:
        return [one["text"] for one in self.shown]

    @property
    def status(self) -> Any:
        return self.desk.feed.document()["status"]

    def key(self, place: int) -> str:
        return str(self.desk.feed.document()["path"][place])


@pytest.fixture
def table(lfm: edgelfm.Model) -> Iterator[Table]:
    made = Table(lfm)
    yield made
    made.desk.close()
    made.worker.close()
    made.worker.join(30)


def test_a_turn_is_shown_as_it_is_kept(table: Table, lfm: edgelfm.Model) -> None:
    table.do("send", text="What is the capital of France?")
    question, answer = table.shown
    talk = table.desk.conversation
    assert talk is not None
    assert (question["role"], question["text"]) == ("user", "What is the capital of France?")
    assert answer["text"] == talk.messages[-1].content
    assert answer["text"] == lfm.chat("What is the capital of France?", temperature=0, max_tokens=12)
    assert answer["state"] == "done"
    assert "tokens/s" in answer["figures"]
    assert table.status["busy"] is False
    assert f"{talk.context_used} of 2,048 tokens" in table.status["title"]


def test_the_page_saw_it_grow_and_missed_nothing(table: Table) -> None:
    table.options["max_tokens"] = 60
    table.do("send", text="Tell me a story about a fox.")
    assert [said["seq"] for said in table.said] == sorted({said["seq"] for said in table.said})
    grown = "".join(
        op["add"] for said in table.said for op in said.get("ops", ()) if op["op"] == "text" and op["part"] == "text"
    )
    assert grown == table.texts[-1]


def test_regenerating_keeps_the_old_answer_and_one_can_walk_between(table: Table) -> None:
    table.options.update(temperature=1.5, seed=1)
    table.do("send", text="Say something.")
    first = table.texts[-1]
    table.options["seed"] = 2
    table.do("regenerate", key=table.key(-1))
    second = table.texts[-1]
    assert second != first
    assert table.shown[-1]["versions"] == {"at": 2, "of": 2}
    table.do("version", key=table.key(-1), at=1)
    assert table.texts[-1] == first
    table.do("version", key=table.key(-1), at=2)
    assert table.texts[-1] == second
    table.do("version", key=table.key(-1), at=99)
    assert table.texts[-1] == second


def test_editing_a_question_answers_the_new_one(table: Table, lfm: edgelfm.Model) -> None:
    table.do("send", text="What is the capital of France?")
    table.do("send", text="Thanks.")
    table.do("edit", key=table.key(0), text="What is the capital of Italy?")
    assert table.texts[0] == "What is the capital of Italy?"
    assert len(table.texts) == 2
    assert table.texts[1] == lfm.chat("What is the capital of Italy?", temperature=0, max_tokens=12)
    assert table.shown[0]["versions"] == {"at": 2, "of": 2}
    table.do("version", key=table.key(0), at=1)
    assert len(table.texts) == 4, "the old way is there to its end"


def test_branching_goes_on_from_a_reply_another_way(table: Table) -> None:
    table.do("send", text="What is the capital of France?")
    table.do("send", text="And of Italy?")
    table.do("branch", key=table.key(1))
    assert len(table.texts) == 2
    table.do("send", text="And of Spain?")
    assert table.texts[2] == "And of Spain?"
    assert table.shown[2]["versions"] == {"at": 2, "of": 2}


def test_stopping_keeps_what_is_there(table: Table, lfm: edgelfm.Model) -> None:
    table.options.update(max_tokens=1500, logit_bias=never_ending(lfm._session))
    table.desk.hear({"kind": "send", "view": "page", "text": "Tell me a very long story."})
    assert table.writing.wait(60)
    table.do("stop")
    assert table.shown[-1]["state"] == "done"
    assert table.texts[-1]
    assert "cancelled" in table.shown[-1]["figures"]
    assert table.status["busy"] is False
    table.options["max_tokens"] = 5
    table.do("send", text="Thanks.")
    assert len(table.texts) == 4


def test_stopping_before_the_first_word_says_that_nothing_was_kept(table: Table) -> None:
    held = threading.Event()
    table.worker.submit(lambda: held.wait(60) and None)
    table.desk.hear({"kind": "send", "view": "page", "text": "Hello"})
    table.desk.hear({"kind": "stop", "view": "page"})
    held.set()
    assert table.worker.wait(60)
    assert table.texts == []
    assert "nothing was kept" in table.status["notice"]["text"]


def test_a_page_that_shows_something_old_is_told_the_whole(table: Table) -> None:
    table.do("version", key="m999", at=1)
    assert table.said[-1]["kind"] == "snapshot"
    table.do("edit", key="m999", text="Hello")
    assert table.texts == []


def test_an_error_is_shown_with_what_to_do_and_the_chat_goes_on(table: Table) -> None:
    table.options["max_tokens"] = 0
    table.do("send", text="Hello")
    notice = table.status["notice"]
    assert notice["kind"] == "error"
    assert "max_tokens is 0" in notice["text"]
    assert "at least 1" in notice["hint"]
    table.options["max_tokens"] = 3
    table.do("send", text="Hello")
    assert len(table.texts) == 2
    assert table.status["notice"] is None


@pytest.mark.parametrize(
    "said", [{"kind": "dance"}, {"kind": "send"}, {"kind": "export", "format": 7}, {}, {"kind": 3}]
)
def test_nonsense_from_a_page_does_no_harm(table: Table, said: dict[str, Any]) -> None:
    table.desk.hear(said)
    table.do("send", text="Hello")
    assert len(table.texts) == 2


def test_the_json_of_a_chat_can_be_resumed(table: Table, lfm: edgelfm.Model, tmp_path: Any) -> None:
    table.do("send", text="What is the capital of France?")
    table.do("regenerate", key=table.key(-1))
    table.do("export", format="json")
    file = table.said[-1]
    assert (file["kind"], file["view"]) == ("file", "page")
    path = tmp_path / file["name"]
    path.write_text(file["text"])
    assert json.loads(file["text"])["messages"]
    again = lfm.resume(path)
    assert [one.content for one in again.messages] == table.texts
    assert len(again.tree.leaves()) == 2


def test_the_python_of_a_chat_runs_and_goes_on_from_there(table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    table.options["seed"] = 3
    table.desk._system = lambda: 'You say "yes"\nor </script>.'
    table.do("new")
    table.do("send", text="Is water wet?\n'quotes' and \\ back")
    table.do("export", format="python")
    script = table.said[-1]["text"]
    ast.parse(script)
    assert 'edgelfm.load("starter"' in script
    names: dict[str, Any] = {}
    exec(compile(script.replace("context=", "tune=False, progress=False, context="), "chat.py", "exec"), names)
    assert [one.content for one in names["talk"].messages[:3]] == table.texts
    assert len(names["talk"].messages) == 5
    assert capsys.readouterr().out == names["talk"].messages[-1].content
    names["lfm"].close()


def test_tool_calls_are_cards(table: Table, lfm: edgelfm.Model) -> None:
    raw = '<|tool_call_start|>[weather(city="Bonn", days=2)]<|tool_call_end|>'
    table.desk.open(
        lfm, lfm.conversation(messages=[{"role": "user", "content": "?"}, {"role": "assistant", "content": raw}])
    )
    card = table.shown[-1]
    assert card["calls"] == [{"name": "weather", "arguments": {"city": "Bonn", "days": 2}}]
    assert card["text"] == ""
