"""Whatever a server does wrong: an error that names it, in time, and a conversation that can go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

import edgelfm
from edgelfm.errors import (
    ContextExceeded,
    EdgelfmError,
    RequestError,
    ServerBusy,
    ServerError,
    ServerRefused,
    ServerTimeout,
    ServerUnreachable,
    SessionClosed,
    StreamBroken,
    UnknownModel,
)
from tests.backends.remote.conftest import Connected
from tests.fault_server import Handler, Play, chunk, fault_server, replies, says, streams

Served = Callable[..., Connected]


def hang(handler: Handler) -> None:
    handler.hang()


def hang_in_stream(handler: Handler) -> None:
    handler.begin()
    handler.event(chunk("Once "))
    handler.hang()


def garbage(handler: Handler) -> None:
    handler.begin()
    handler.event(chunk("Once "))
    handler.event("{not json")
    handler.finish_stream()


def no_utf8(handler: Handler) -> None:
    handler.begin()
    handler.event(chunk("Once "))
    handler.raw(b'data: {"choices": "\xff\xfe\xff"}\n\n')
    handler.finish_stream()


def ends_early(handler: Handler) -> None:
    streams(chunk("Once "))(handler)


def die(handler: Handler) -> None:
    handler.die()


TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 2048 tokens. However, you requested 3001 tokens.",
        "type": "invalid_request_error",
    }
}
COUNTED = {  # vLLM's
    "error": {
        "message": "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 "
        "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        "prompt. (parameter=input_tokens, value=2049)",
        "type": "BadRequestError", "param": "input_tokens", "code": 400,
    }
}  # fmt: skip
CASES: dict[str, tuple[Play, type[EdgelfmError], str]] = {
    "no key": (says(401, {"error": {"message": "Invalid API key"}}), ServerRefused, r"wants a key.*Invalid API key"),
    "forbidden": (says(403, {"error": "not for you"}), ServerRefused, r"refuses this key.*not for you"),
    "unknown model": (says(404, {"error": {"message": "model 'tiny' not found"}}), UnknownModel, r"it has tiny"),
    "no such place": (says(404, "<html><h1>Not Found</h1></html>"), RequestError, r"does not give a reply.*Not Found"),
    "unknown model, as llama-server says it": (
        says(400, {"error": {"message": "model 'tiny' not found"}}), UnknownModel, r"it has tiny",
    ),
    "too long": (says(400, TOO_LONG), ContextExceeded, r"3001 tokens.*holds 2048"),
    "counted no further": (says(400, COUNTED), ContextExceeded, r"has at least 2049 tokens.*holds 2048"),
    "not taken": (says(400, {"error": {"message": "stop is too long"}}), RequestError, r"stop is too long"),
    "out of order": (says(500, "<b>Internal</b> trouble"), ServerError, r"failed \(500\): Internal trouble"),
    "not JSON": (says(418, "I am a teapot"), ServerError, r"418.*teapot"),
    "no eyes": (says(500, {"error": "image input is not supported"}), RequestError, r"does not take.*image input"),
    "moved": (says(307, "", Location="https://elsewhere"), ServerError, r"sends us to https://elsewhere"),
    "moved a little": (says(307, "", Location="/v1/chat/"), ServerError, r"sends us to http://[\d.:]+/v1/chat/"),
    "a page": (says(200, "<html>Please log in to this hotel</html>"), StreamBroken, r"text/html.*log in to this hotel"),
    "JSON instead": (says(200, {"choices": []}), StreamBroken, r"application/json, not with a stream"),
    "garbage": (garbage, StreamBroken, r"what is no reply after 1 pieces"),
    "no UTF-8": (no_utf8, StreamBroken, r"no reply|middle"),
    "dies in the stream": (streams(chunk("Once "), then=Handler.die), StreamBroken, r"in the middle.*after 1 pieces"),
    "ends too early": (ends_early, StreamBroken, r"in the middle"),
    "says nothing": (streams(), StreamBroken, r"in the middle"),
    "an error in the stream": (
        streams(chunk("Once "), {"error": {"message": "the GPU fell off"}}), StreamBroken, r"the GPU fell off",
    ),
    "numbers instead": (streams(42, None, "[]", {"choices": 7}), StreamBroken, r"in the middle"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_fault_has_its_error_and_the_conversation_goes_on(case: str, served: Served) -> None:
    play, error, said = CASES[case]
    lfm, server = served(play, replies("Fine", " again"), retries=0)
    talk = lfm.conversation(system="Be brief.")
    stream = talk.stream("Tell me a story.")
    with pytest.raises(error, match=f"(?s){said}") as caught:
        for _ in stream:
            pass
    assert caught.value.hint
    assert stream.ended
    assert [one.role for one in talk.messages] == ["system"]
    assert talk.regenerate() == "Fine again"
    assert [one.content for one in talk.messages] == ["Be brief.", "Tell me a story.", "Fine again"]
    assert server.asked[-1]["messages"] == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me a story."},
    ]  # fmt: skip


def test_what_came_before_the_fault_is_kept_in_the_stream(served: Served) -> None:
    lfm, _ = served(streams(chunk("Once "), chunk("upon"), then=Handler.die))
    stream = lfm.stream("Tell me a story.")
    with pytest.raises(StreamBroken):
        list(stream)
    assert stream.reply == "Once upon"


@pytest.mark.parametrize("then", [Handler.die, Handler.hang])
def test_a_reply_that_has_ended_is_whole_whatever_comes_after(then: Play, served: Served) -> None:
    lfm, _ = served(streams(chunk("Hello"), chunk(finish="stop"), then=then), between_tokens_seconds=0.2)
    assert lfm.chat("Hi") == "Hello"


class TestPatience:
    def test_a_busy_server_is_asked_again_as_late_as_it_wants(self, served: Served) -> None:
        busy = says(429, {"error": {"message": "slow down"}}, Retry_After="0.05")
        lfm, server = served(busy, busy, replies("Here"))
        assert lfm.chat("Hello") == "Here"
        assert len(server.asked) == 3

    def test_a_server_that_is_starting_is_waited_for(self, served: Served) -> None:
        lfm, server = served(says(503, {"error": {"message": "Loading model"}}, retry_after_ms="20"), replies("Here"))
        assert lfm.chat("Hello") == "Here"
        assert len(server.asked) == 2

    def test_a_connection_that_is_reset_before_the_answer_is_tried_again(self, served: Served) -> None:
        lfm, server = served(die, replies("Here"))
        assert lfm.chat("Hello") == "Here"
        assert len(server.asked) == 2

    def test_patience_ends(self, served: Served) -> None:
        lfm, server = served(says(429, {"error": "slow down"}, Retry_After="0.01"), retries=2)
        with pytest.raises(ServerBusy, match="slow down"):
            lfm.chat("Hello")
        assert len(server.asked) == 3

    def test_nobody_waits_an_hour_without_being_told(self, served: Served) -> None:
        lfm, server = served(says(429, {"error": "quota"}, Retry_After="3600"))
        with pytest.raises(ServerBusy, match="wait 3600 s"):
            lfm.chat("Hello")
        assert len(server.asked) == 1

    @pytest.mark.parametrize("status", [400, 401, 404, 500])
    def test_what_will_not_change_is_not_asked_again(self, status: int, served: Served) -> None:
        lfm, server = served(says(status, {"error": "no"}))
        with pytest.raises(EdgelfmError):
            lfm.chat("Hello")
        assert len(server.asked) == 1

    def test_nothing_is_asked_again_after_the_first_token(self, served: Served) -> None:
        lfm, server = served(streams(chunk("Once "), then=Handler.die), replies("Another"))
        with pytest.raises(StreamBroken):
            lfm.chat("Hello")
        assert len(server.asked) == 1

    def test_a_server_that_went_away_is_named(self, served: Served) -> None:
        with fault_server() as server:
            lfm = edgelfm.connect(server.url, retries=0)
        with lfm, pytest.raises(ServerUnreachable, match="refused") as caught:
            lfm.chat("Hello")
        assert server.url in str(caught.value)


class TestSilence:
    def test_before_the_first_byte(self, served: Served) -> None:
        lfm, server = served(hang, replies("Here"), first_token_seconds=0.2)
        with pytest.raises(ServerTimeout, match=r"nothing for 0\.2 s") as caught:
            lfm.chat("Hello")
        assert "first_token_seconds" in caught.value.hint
        assert server.gone.wait(20)
        assert len(server.asked) == 1

    def test_in_the_middle(self, served: Served) -> None:
        lfm, server = served(hang_in_stream, replies("Here"), between_tokens_seconds=0.2)
        talk = lfm.conversation()
        with pytest.raises(ServerTimeout, match=r"nothing for 0\.2 s after 1 pieces") as caught:
            talk.send("Hello")
        assert "between_tokens_seconds" in caught.value.hint
        assert server.gone.wait(20)
        assert talk.regenerate() == "Here"

    def test_a_call_of_a_tool_is_a_beginning(self, served: Served) -> None:
        piece = chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}])
        lfm, _ = served(streams(piece, then=Handler.hang), between_tokens_seconds=0.2)
        with pytest.raises(ServerTimeout, match=r"nothing for 0\.2 s after 1 pieces"):
            lfm.chat("Hello")

    def test_empty_pieces_are_silence(self, served: Served) -> None:
        def prattle(handler: Handler) -> None:
            handler.begin()
            while not handler.fault.released.wait(0.01):
                handler.event(chunk(""))

        lfm, _ = served(prattle, first_token_seconds=0.2)
        with pytest.raises(ServerTimeout, match=r"nothing for 0\.2 s"):
            lfm.chat("Hello")

    def test_a_slow_reader_is_no_silent_server(self, served: Served) -> None:
        """The time between tokens counts while we wait for the server, not while somebody reads what came."""
        first = threading.Event()

        def waits(handler: Handler) -> None:
            handler.begin()
            handler.event(chunk("Once "))
            first.wait(60)
            handler.event(chunk("upon"))
            handler.event(chunk(finish="stop"))
            handler.finish_stream()

        lfm, _ = served(waits, between_tokens_seconds=5)
        stream = iter(lfm.stream("Hello"))
        assert next(stream) == "Once "
        (line,) = lfm._remote._busy
        assert line.deadline is None
        first.set()
        assert "".join(stream) == "upon"


class TestCancel:
    @pytest.mark.parametrize("play", [hang, hang_in_stream])
    def test_from_another_thread_it_ends_at_once_and_the_server_hears_of_it(self, play: Play, served: Served) -> None:
        lfm, server = served(play, replies("Here"))
        talk = lfm.conversation()
        stream = talk.stream("Hello")
        stopper = threading.Thread(target=lambda: (server.hanging.wait(60), stream.cancel()))
        stopper.start()
        reply = stream.reply
        stopper.join()
        assert reply.finish_reason == "cancelled"
        assert server.gone.wait(20)
        assert reply == ("Once " if play is hang_in_stream else "")
        assert len(talk.messages) == (2 if play is hang_in_stream else 0)  # stopped replies stay as far as they came
        assert lfm.chat("Hello") == "Here"

    def test_before_it_is_read_nothing_is_asked(self, served: Served) -> None:
        lfm, server = served()
        stream = lfm.stream("Hello")
        stream.cancel()
        assert stream.reply.finish_reason == "cancelled"
        assert server.asked == []

    def test_while_it_waits_for_a_busy_server(self, served: Served) -> None:
        lfm, server = served(says(503, {}, Retry_After="25"), replies("Here"))
        stream = lfm.stream("Hello")

        def stop() -> None:
            while not server.asked:
                time.sleep(0.001)
            stream.cancel()

        stopper = threading.Thread(target=stop)
        stopper.start()
        started = time.monotonic()
        assert stream.reply.finish_reason == "cancelled"
        assert time.monotonic() - started < 20
        stopper.join()

    def test_a_stream_that_nobody_reads_on_lets_the_server_go(self, served: Served) -> None:
        lfm, server = served(hang_in_stream)
        for _ in lfm.stream("Hello"):
            break
        assert server.gone.wait(20)

    def test_closing_the_model_ends_its_replies(self, served: Served) -> None:
        lfm, server = served(hang)
        stopper = threading.Thread(target=lambda: (server.hanging.wait(60), lfm.close()))
        stopper.start()
        with pytest.raises(SessionClosed):
            lfm.chat("Hello")
        stopper.join()
        with pytest.raises(SessionClosed):
            lfm.chat("Hello")
