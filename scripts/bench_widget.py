"""What does streaming into a page cost?

    python scripts/bench_widget.py                    500 tokens, 4 rounds, starter
    python scripts/bench_widget.py --model X.gguf

In one kernel and one run, each beside `lfm.stream` read by a thread, in turns: the playground as a page elsewhere sees
it (the Jupyter server sends every message to a client that answers as a page does and draws nothing), and with Chromium
drawing it on this machine, without a graphics processor, where the model computes. Each with an empty chat, and with
20,000 characters above. Decode speed is by the model's own clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.lab import TOKEN, Book, lab_and_browser, missing

SETUP = """
import threading, edgelfm
from edgelfm.backends.endless import never_ending
lfm = edgelfm.load({model!r}, context=8192, progress=False)
pg = edgelfm.playground(lfm)
pg
"""
MEASURE = """
import time
asked = dict(max_tokens={tokens}, temperature=0.7, seed=1, logit_bias=never_ending(lfm._session))
pg.view.desk._options = lambda: asked
PARAGRAPH = "A paragraph of a *long* chat, with `code`. "
long_chat = [{{"role": "user", "content": "Tell me everything."}},
             {{"role": "assistant", "content": "\\n\\n".join([PARAGRAPH * 8] * 57)[:20_000]}}]
QUESTION = "Tell me a long story about a fox."
found = {{}}

def plain(history=None):
    stream = lfm.conversation(messages=history).stream(QUESTION, **asked)
    for _ in stream.pieces():
        pass
    return stream.reply, 0, 0.0

def widget(history=None):
    desk = pg.view.desk
    desk.open(lfm, lfm.conversation(messages=history) if history else None)
    sent, begun = desk.feed.sent, time.perf_counter()
    desk.send(QUESTION)
    pg.wait()
    return desk.reply, desk.feed.sent - sent, time.perf_counter() - begun

def start(name, run, *args):
    found.pop(name, None)
    def go():
        reply, messages, seconds = run(*args)
        found[name] = (reply.timings.decode_tokens_per_second, reply.usage.completion_tokens, messages, seconds)
    threading.Thread(target=go).start()
"""
CHATS = {"": "", " after 20,000 characters": ", long_chat"}


class Elsewhere:
    """What a browser on another machine is to this one: a client of the Jupyter server that answers once a second."""

    def __init__(self, book: Book) -> None:
        import websocket

        url = book.lab.url.replace("http", "ws", 1)
        self._comm = book.kernel("pg.view.comm.comm_id")
        self._session = uuid.uuid4().hex
        self._socket = websocket.create_connection(
            f"{url}/api/kernels/{book.kernel_id}/channels?token={TOKEN}&session_id={self._session}"
        )
        self.text = 0  # characters that came
        self._ended = False
        self._say({"kind": "hello"})
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _say(self, content: dict[str, Any]) -> None:
        head = {"msg_id": uuid.uuid4().hex, "msg_type": "comm_msg", "username": "", "session": self._session,
                "version": "5.3", "date": ""}  # fmt: skip
        data = {"comm_id": self._comm, "data": {"method": "custom", "content": {**content, "view": "elsewhere"}}}
        message = {
            "header": head,
            "parent_header": {},
            "metadata": {},
            "content": data,
            "channel": "shell",
            "buffers": [],
        }
        self._socket.send(json.dumps(message))

    def _read(self) -> None:
        answered = 0.0
        while True:
            try:
                said = json.loads(self._socket.recv())
            except (OSError, ValueError, ConnectionError):
                return
            except Exception:  # noqa: BLE001  the client's own errors, when it was closed
                return
            content = said["content"].get("data", {}).get("content", {}) if said["msg_type"] == "comm_msg" else {}
            if "seq" not in content:
                continue
            ops = content.get("ops", ())
            self.text += sum(len(op["add"]) for op in ops if op["op"] == "text")
            if time.monotonic() - answered > 1 or any(op["op"] != "text" for op in ops):
                answered = time.monotonic()
                self._say({"kind": "ack", "seq": content["seq"]})

    def close(self) -> None:
        """Say goodbye."""
        self._say({"kind": "bye"})
        self._socket.close()
        self._thread.join()


def measure(book: Book, name: str, how: str) -> Any:
    """One reply in one way; the kernel's main thread stays free to hear the page, as it is for people."""
    book.execute(f"start({name!r}, {how})")
    book.until(f"{name!r} in found", timeout=600, pause=1.0)
    return book.kernel(f"found[{name!r}]")


def compare(book: Book, where: str, rounds: int, tokens: int) -> dict[str, Any]:
    """The playground beside `lfm.stream`, for an empty and a long chat: speeds, and messages a second."""
    found: dict[str, Any] = {}
    for chat, history in CHATS.items():
        ways = {"lfm.stream": f"plain{history}", "playground": f"widget{history}"}
        samples: dict[str, list[float]] = {name: [] for name in ways}
        rates = []
        for turn in range(rounds + 1):
            for name in list(ways) if turn % 2 else list(ways)[::-1]:
                speed, written, messages, seconds = measure(book, name, ways[name])
                assert written >= tokens - 1, f"{name} ended after {written} tokens"
                if turn:  # the first of each only warms up
                    samples[name].append(speed)
                    rates += [messages / seconds] if messages else []
        ratios = [speed / base for base, speed in zip(*samples.values(), strict=True)]
        found[where + chat] = {**samples, "ratios": ratios, "messages_per_second": rates}
        figures = [statistics.median(one) for one in (*samples.values(), ratios, rates)]
        print(f"{where + chat:46} {figures[0]:6.1f} {figures[1]:7.1f} {figures[2]:7.3f} {figures[3]:7.1f}", flush=True)
    return found


def main() -> int:
    """Measure and print a table, and the samples as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="starter")
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if todo := missing():
        print(f"needs more: {todo}", file=sys.stderr)
        return 2
    print(f"{asked.tokens} tokens of {asked.model}, {asked.rounds} rounds, medians of tokens/s")
    print(f"{'':46} {'stream':>6} {'widget':>7} {'ratio':>7} {'msgs/s':>7}")
    with tempfile.TemporaryDirectory() as folder, lab_and_browser(Path(folder)) as (lab, browser):
        book = lab.open(browser, [SETUP.format(model=asked.model)])
        book.run(timeout=300)
        book.page.locator(".elfm-chat").wait_for()
        book.execute(MEASURE.format(tokens=asked.tokens))
        here = compare(book, "drawn on this machine", asked.rounds, asked.tokens)
        assert len(book.page.locator(".elfm-assistant").last.inner_text()) > asked.tokens, "the page shows the reply"
        book.page.goto("about:blank")
        elsewhere = Elsewhere(book)
        there = compare(book, "seen from elsewhere", asked.rounds, asked.tokens)
        assert elsewhere.text > asked.tokens, "it was sent there"
        elsewhere.close()
        book.close()
    if asked.json:
        asked.json.write_text(json.dumps({**here, **there}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
