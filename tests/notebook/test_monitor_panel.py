"""`lfm.monitor()`, the kernel's side: what it tells the page, when it looks, and what it leaves behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edgelfm
from edgelfm import Trace
from edgelfm.notebook.monitor_rows import COLUMNS

comm = pytest.importorskip("comm", reason="to run: pip install 'edgelfm[notebook]'")
pytest.importorskip("anywidget", reason="to run: pip install 'edgelfm[notebook]'")


class Page(comm.base_comm.BaseComm):  # type: ignore[misc,name-defined]
    """The other end of a widget: what it was sent, and a voice."""

    def __init__(self, *args: Any, **known: Any) -> None:
        self.got: list[tuple[dict[str, Any], list[bytes]]] = []
        self.changed = threading.Condition()
        super().__init__(*args, **known)

    def publish_msg(self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **_: Any) -> None:
        if data and data.get("method") == "custom":
            with self.changed:
                self.got.append((data["content"], [bytes(one) for one in buffers or ()]))
                self.changed.notify_all()

    def say(self, **said: Any) -> None:
        self.hear({"view": "a", **said})

    def hear(self, content: Any) -> None:
        self.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})

    def wait_for(self, found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message from now on that is so."""
        with self.changed:
            begun = len(self.got)
            assert self.changed.wait_for(lambda: any(found(said) for said, _ in self.got[begun:]), 20)
            return next(said for said, _ in self.got[begun:] if found(said))


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comm, "create_comm", Page)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def lfm() -> Iterator[edgelfm.Model]:
    with edgelfm.load("starter", context=1024, progress=False, tune=False) as model:
        yield model


@pytest.fixture
def panel(lfm: edgelfm.Model) -> Iterator[Any]:
    made = lfm.monitor()
    yield made
    made.close()
    made.layout.close()
    assert not recorders()


def recorders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "edgelfm-recorder"]


def rows(page: Page, panel: Any) -> list[dict[str, float]]:
    """Every row that was sent, with the names of its figures."""
    width = len(COLUMNS) + panel.about["cores"]
    found = []
    for said, buffers in list(page.got):
        figures = array("f", buffers[0]) if buffers else array("f")
        assert len(figures) == said["rows"] * width
        for place in range(0, len(figures), width):
            found.append(dict(zip(COLUMNS, figures[place : place + width], strict=False)))
    return found


def is_rows(said: dict[str, Any]) -> bool:
    return said["kind"] == "rows"


def test_nothing_is_looked_at_before_somebody_looks(panel: Any) -> None:
    assert not panel.looking
    assert len(panel.trace) == 1
    assert not panel.comm.got


def test_displayed_it_looks_at_once_for_the_page_may_be_heard_late(panel: Any) -> None:
    """With Run All the next cell runs before the page has said a word."""
    panel._repr_mimebundle_()
    assert panel.looking
    panel.comm.wait_for(is_rows)


def test_a_view_gets_the_past_and_then_row_after_row(panel: Any) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True)
    assert page.got[0][0]["kind"] == "history"
    page.wait_for(is_rows)
    page.wait_for(is_rows)
    numbers = [said["seq"] for said, _ in page.got if is_rows(said)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert rows(page, panel)[-1]["resident"] == pytest.approx(
        panel.trace.readings[-1].resident_bytes / 1024**2, rel=0.05
    )
    assert panel.about["predicted"] > 0
    assert {one["name"] for one in panel.about["held"]} >= {"weights", "KV cache"}


def test_a_reply_shows_its_speed_and_what_the_model_is_doing(panel: Any, lfm: edgelfm.Model) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True)
    with lfm.conversation().stream("Tell me a story.", temperature=0, max_tokens=60) as reply:
        next(iter(reply))  # it goes on when the page has seen it
        page.wait_for(lambda said: said["status"]["doing"] == "reply")
        list(reply)
    last = page.wait_for(lambda said: said["status"]["doing"] == "idle")
    assert last["status"]["tokens"] == 60
    speeds = [row["speed"] for row in rows(page, panel) if row["speed"] == row["speed"]]
    assert max(speeds) > 0
    assert panel.trace.summary().tokens == 60


def test_messages_are_bounded_by_the_rate(panel: Any, lfm: edgelfm.Model) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True)
    begun, before = time.monotonic(), len(page.got)
    lfm.chat("Tell me a story.", temperature=0, max_tokens=80)
    assert len(page.got) - before <= 4 * (time.monotonic() - begun) + 2


def test_hidden_it_is_idle_and_seen_again_it_goes_on(panel: Any) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True)
    page.wait_for(is_rows)
    assert panel.looking
    page.say(kind="beat", visible=False)
    assert not panel.looking
    seen = len(panel.trace)
    page.say(kind="beat", visible=False)
    assert len(panel.trace) <= seen + 1  # one that was under way
    page.say(kind="beat", visible=True)
    assert panel.looking
    page.wait_for(is_rows)


def test_two_tabs(panel: Any) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True, view="a")
    page.say(kind="hello", visible=True, view="b")
    page.say(kind="gone", view="a")
    assert panel.looking
    page.say(kind="gone", view="b")
    assert not panel.looking


def test_a_tab_that_was_closed_without_a_word(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelfm.notebook.audience._EVERY", 0.0)
    panel.comm.say(kind="hello", visible=True)
    deadline = time.monotonic() + 20
    while panel.looking:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_pausing_holds_until_it_is_resumed(panel: Any) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True)
    page.say(kind="pause")
    assert not panel.looking
    assert page.got[-1][0]["status"]["held"]
    page.say(kind="beat", visible=True)
    assert not panel.looking
    page.say(kind="resume")
    assert panel.looking
    page.wait_for(is_rows)


def test_a_mark_from_the_page_and_from_python(panel: Any) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True)
    page.say(kind="mark", note="<img src=x onerror=alert(1)>" + "x" * 200)
    panel.mark("from Python")
    notes = [event["note"] for said, _ in page.got for event in said["marks"]]
    assert len(notes[0]) == 80
    assert notes[1] == "from Python"
    assert [event.note for event in panel.trace.events if event.kind == "mark"] == notes


def test_saving_writes_a_trace_and_says_where(panel: Any, tmp_path: Path) -> None:
    page = panel.comm
    page.say(kind="hello", visible=True)
    page.wait_for(is_rows)
    page.say(kind="save")
    (path,) = tmp_path.glob("trace-*.jsonl")
    assert page.got[-1][0]["status"]["saved"] == str(path)
    assert Trace.read(path).about.model
    assert panel.save(tmp_path / "mine.jsonl") == tmp_path / "mine.jsonl"


def test_a_folder_that_takes_no_files_is_told_on_the_page(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Path.cwd() / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    panel.comm.say(kind="save")
    assert panel.comm.got[-1][0]["status"]["problem"]


def test_nonsense_from_a_page_does_no_harm(panel: Any) -> None:
    for said in (
        {"kind": "explode"},
        {"kind": "beat"},
        {},
        {"kind": None, "view": 5},
        {"kind": "mark", "note": {"a": 1}},
    ):
        panel.comm.say(**said)
    panel.comm.handle_msg({"content": {"data": {"method": "custom", "content": [1, 2]}}})
    assert not panel.looking


def test_where_there_is_no_page_the_latest_reading_stands(panel: Any, lfm: edgelfm.Model) -> None:
    shown, _ = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert "resident" in shown["text/plain"]
    assert lfm.entry.name in shown["text/html"]
    assert "<script" not in shown["text/html"]


def test_when_the_model_is_closed_the_thread_goes_and_the_page_is_told() -> None:
    with edgelfm.load("starter", context=512, progress=False, tune=False) as model:
        seen, hidden = model.monitor(), model.monitor()
        seen.comm.say(kind="hello", visible=True)
        threads = recorders()
        assert len(threads) == 2
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert seen.comm.got[-1][0]["status"]["closed"]
    for panel in (seen, hidden):
        panel.close()
        panel.layout.close()


def test_it_does_not_keep_the_model_alive() -> None:
    model = edgelfm.load("starter", context=512, progress=False, tune=False)
    panel = model.monitor()
    panel.comm.say(kind="hello", visible=True)
    model.chat("Hi", max_tokens=2)
    gone = weakref.ref(model._session)
    (thread,) = recorders()
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()
    thread.join(10)
    assert not thread.is_alive()
    assert panel.comm.got[-1][0]["status"]["closed"]
    panel.close()
    panel.layout.close()


def test_closing_twice_and_reading_afterwards(lfm: edgelfm.Model) -> None:
    panel = lfm.monitor()
    panel.close()
    panel.close()
    panel.layout.close()
    assert not recorders()
    assert len(panel.trace) == 2
