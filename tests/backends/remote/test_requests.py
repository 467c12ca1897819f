"""What goes over the wire, and what is made of what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from pydantic import BaseModel

import edgelfm
from edgelfm.backends.remote.body import Wish, request_body
from edgelfm.chat.tool_calls import ToolCall
from edgelfm.errors import BackendError, RequestError
from edgelfm.models.entry import Sampling
from tests.backends.remote.conftest import Connected
from tests.fault_server import chunk, fault_server, replies, streams, usage

Served = Callable[..., Connected]
PRESET = Sampling(temperature=0.1, top_k=50, top_p=0.9, repetition_penalty=1.05)
WEATHER = {"name": "weather", "description": "…", "parameters": {"type": "object", "properties": {}}}


class Colour(BaseModel):
    name: str


class TestSampling:
    @pytest.mark.parametrize(
        ("kind", "sent"),
        [
            ("llama.cpp", {"temperature": 0.1, "top_k": 50, "top_p": 0.9, "repeat_penalty": 1.05}),
            ("lm studio", {"temperature": 0.1, "top_k": 50, "top_p": 0.9, "repeat_penalty": 1.05}),
            ("vllm", {"temperature": 0.1, "top_k": 50, "top_p": 0.9, "repetition_penalty": 1.05}),
            ("ollama", {"temperature": 0.1, "top_p": 0.9}),  # its OpenAI protocol reads no others
            ("openai", {"temperature": 0.1, "top_p": 0.9}),
        ],
    )
    def test_a_preset_goes_in_the_words_of_each_program(self, kind: str, sent: dict[str, float]) -> None:
        assert request_body(kind, "m", Wish(PRESET)) == {"model": "m", **sent}  # type: ignore[arg-type]

    def test_a_server_decides_where_nothing_is_known_of_the_model(self) -> None:
        assert request_body("vllm", "m", Wish(Sampling(), preset_known=False)) == {"model": "m"}
        asked = Wish(Sampling(temperature=0.0), frozenset({"temperature"}), preset_known=False)
        assert request_body("vllm", "m", asked) == {"model": "m", "temperature": 0.0}

    def test_an_option_that_would_be_ignored_is_refused_and_can_be_sent_all_the_same(self) -> None:
        asked = Wish(Sampling(top_k=40), frozenset({"top_k"}))
        with pytest.raises(RequestError, match="Ollama is not known to take top_k") as caught:
            request_body("ollama", "m", asked)
        assert "extra={'top_k': 40}" in caught.value.hint

    def test_no_limit_is_written_as_each_program_writes_it(self) -> None:
        asked = Wish(Sampling(top_k=0), frozenset({"top_k"}))
        assert request_body("vllm", "m", asked)["top_k"] == -1
        assert request_body("llama.cpp", "m", asked)["top_k"] == 0
        assert "top_k" not in request_body("openai", "m", asked)

    def test_biases_are_of_token_ids_and_within_the_protocol(self) -> None:
        wish = Wish(Sampling(), logit_bias={12: float("-inf"), 13: 5})
        assert request_body("openai", "m", wish)["logit_bias"] == {"12": -100, "13": 5}
        with pytest.raises(RequestError, match="only the server could tell"):
            request_body("openai", "m", Wish(Sampling(), logit_bias={" maybe": -5}))

    def test_the_preset_of_a_liquid_model_is_known_by_its_name(self) -> None:
        with fault_server(
            models=[{"id": "hf.co/LiquidAI/LFM2.5-1.2B-Instruct-GGUF:Q4_0", "owned_by": "vllm"}]
        ) as server:
            with edgelfm.connect(server.url) as lfm:
                assert lfm.entry.id == "lfm2.5-1.2b-instruct"
                lfm.chat("Hello")
                lfm.chat("Hello", temperature=1.5)
            preset = lfm.entry.sampling
            assert server.asked[0]["temperature"] == preset.temperature
            assert server.asked[0]["top_k"] == preset.top_k
            assert server.asked[1]["temperature"] == 1.5

    def test_options_of_a_reply_are_passed(self, served: Served) -> None:
        lfm, server = served()
        lfm.chat("Hello", temperature=0, seed=7, stop=["\n"], max_tokens=9, logprobs=2, extra={"user": "me"})
        assert server.asked[0] == {
            "model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "stream": True,
            "stream_options": {"include_usage": True}, "temperature": 0, "seed": 7, "stop": ["\n"], "max_tokens": 9,
            "logprobs": True, "top_logprobs": 2, "user": "me",
        }  # fmt: skip

    def test_what_json_cannot_hold_is_refused_and_half_a_character_is_replaced(self, served: Served) -> None:
        lfm, server = served()
        for extra in ({"a": {1}}, {"a": float("nan")}, {"a": "half \ud83d"}, ["a"]):
            with pytest.raises(RequestError, match=r"cannot be sent|extra is a list"):
                lfm.chat("Hello", extra=extra)
        assert server.asked == []
        lfm.chat("half \ud83d", extra={"stream": False})
        assert server.asked[0]["messages"][0]["content"] == "half ?"
        assert server.asked[0]["stream"] is True

    def test_a_word_that_is_no_option_is_told_with_the_way_around(self, served: Served) -> None:
        lfm, _ = served()
        with pytest.raises(RequestError, match="frequency_penalty") as caught:
            lfm.chat("Hello", frequency_penalty=1)  # type: ignore[call-arg]
        assert "extra=" in caught.value.hint


class TestKeys:
    def test_no_key_of_the_environment_leaves_this_machine(
        self, served: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
            monkeypatch.setenv(name, "secret-of-another-server")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
        lfm, server = served()
        lfm.chat("Hello")
        assert len(server.asked) == 1
        for request in server.requests:
            assert "authorization" not in request.headers
            assert "secret" not in str(request.headers)
            assert not [name for name in request.headers if name.startswith("x-stainless")]

    def test_a_given_key_is_sent_with_every_request(self, served: Served) -> None:
        lfm, server = served(key="sk-mine", headers={"X-Team": "lab"})
        lfm.chat("Hello")
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-mine"}
        assert {request.headers["x-team"] for request in server.requests} == {"lab"}

    def test_the_line_break_of_a_file_is_not_part_of_a_key(self, served: Served) -> None:
        lfm, server = served(key=" sk-mine\n")
        lfm.chat("Hello")
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer sk-mine"}

    def test_another_kind_of_authorization_is_sent_with_every_request(self, served: Served) -> None:
        lfm, server = served(headers={"Authorization": "Basic bWU6cHc="})
        lfm.chat("Hello")
        assert {request.headers["authorization"] for request in server.requests} == {"Basic bWU6cHc="}


class TestReplies:
    def test_figures_are_the_servers_own(self, served: Served) -> None:
        timings = {"prompt_n": 20, "prompt_ms": 50.0, "predicted_n": 3, "predicted_ms": 30.0, "cache_n": 11}
        lfm, _ = served(replies("a", "b", "c", more=[{**usage(31, 3, cached=11), "timings": timings}]), context=64)
        reply = lfm.chat("Hello")
        assert (reply.usage.prompt_tokens, reply.usage.cached_tokens, reply.usage.completion_tokens) == (31, 11, 3)
        assert reply.timings.prefill_tokens_per_second == pytest.approx(400)
        assert "prompt 31 (11 cached) · context 34/64" in reply.summary()

    def test_what_the_server_does_not_say_is_not_made_up(self, served: Served) -> None:
        lfm, _ = served(replies("a", "b"))
        reply = lfm.chat("Hello")
        assert reply.usage.completion_tokens == 2  # pieces that came
        assert reply.timings.prefill_tokens_per_second is None
        assert reply.timings.first_token_seconds > 0
        assert "prompt" not in reply.summary()
        assert "context" not in reply.summary()
        assert "0 tokens" not in repr(lfm.conversation()) or lfm.context == 0

    def test_a_server_that_knows_no_usage_is_asked_without_it(self, served: Served) -> None:
        from tests.fault_server import says

        unknown = says(400, {"error": {"message": "extra fields not permitted: stream_options"}})
        lfm, server = served(unknown, replies("Here"), retries=0)
        assert lfm.chat("Hello") == "Here"
        assert lfm.chat("Hello") == "Here"
        assert ["stream_options" in body for body in server.asked] == [True, False, False]

    @pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
    def test_thinking_is_told_from_the_answer(self, name: str, served: Served) -> None:
        lfm, server = served(
            streams(chunk(**{name: "Hm, "}), chunk(**{name: "blue?"}), chunk("Bl"), chunk("ue."), chunk(finish="stop"))
        )
        talk = lfm.conversation()
        pieces = list(talk.stream("Colour?").pieces())
        assert [(piece.kind, piece.text) for piece in pieces] == [
            ("thinking", "Hm, "), ("thinking", "blue?"), ("text", "Bl"), ("text", "ue."),
        ]  # fmt: skip
        assert talk.messages[-1].raw == "<think>Hm, blue?</think>Blue."
        talk.send("Sure?")
        assert server.asked[1]["messages"][1] == {"role": "assistant", "content": "Blue."}

    def test_thinking_inside_the_text_is_found_too(self, served: Served) -> None:
        lfm, _ = served(replies("<thi", "nk>Hm</think>", "Blue"))
        reply = lfm.chat("Colour?")
        assert (reply, reply.thinking) == ("Blue", "Hm")

    def test_characters_stay_whole(self, served: Served) -> None:
        """JSON may cut an emoji in two, TCP any character in three."""
        text = "grün 水 😀"

        def slowly(handler) -> None:  # type: ignore[no-untyped-def]
            handler.begin()
            handler.event('{"choices": [{"delta": {"content": "\\ud83d"}}]}')
            handler.event('{"choices": [{"delta": {"content": "\\ude00!"}}]}')
            data = f'data: {{"choices": [{{"delta": {{"content": "{text}"}}, "finish_reason": "stop"}}]}}\n\n'.encode()
            for byte in data:
                handler.raw(bytes([byte]))
            handler.finish_stream()

        lfm, _ = served(slowly)
        reply = lfm.chat("Hello")
        assert reply == f"😀!{text}"
        reply.encode()

    def test_plain_completions_tell_the_likeliest_in_a_form_of_their_own(self, served: Served) -> None:
        told = {"tokens": ["a", "b"], "token_logprobs": [-0.1, -2.0], "top_logprobs": [{"a": -0.1, "x": -3.0}, None]}
        lfm, _ = served(streams({"choices": [{"text": "ab", "finish_reason": "stop", "logprobs": told}]}))
        first, second = lfm.complete("A", logprobs=1).logprobs
        assert (first.piece, first.logprob, first.top) == (b"a", -0.1, ((-1, b"a", -0.1),))
        assert (second.piece, second.top) == (b"b", ())

    def test_of_several_replies_the_first_is_read(self, served: Served) -> None:
        def one(index: int, text: str) -> dict[str, object]:
            return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": "stop"}]}

        lfm, _ = served(streams(one(1, "Bye"), one(0, "Hello")))
        assert lfm.chat("Hi", extra={"n": 2}) == "Hello"

    def test_length_is_told_from_stop(self, served: Served) -> None:
        lfm, _ = served(replies("a", finish="length"))
        assert lfm.chat("Hello").finish_reason == "length"

    def test_events_tell_of_every_token(self, served: Served) -> None:
        lfm, _ = served(replies("a", "b", "c"))
        inbox = lfm._session.events.listen()
        lfm.chat("Hello")
        events, moments = inbox.take()
        assert [event.kind for event in events] == ["prefill", "first_token", "reply"]
        assert len(moments) == 3


class TestPassedOn:
    def test_tools_go_and_their_calls_come_back(self, served: Served) -> None:
        def part(index: int, **given: object) -> dict[str, object]:
            return chunk(tool_calls=[{"index": index, **given}])

        calls = streams(
            part(0, id="c1", type="function", function={"name": "weather", "arguments": ""}),
            part(0, function={"arguments": '{"city": "Bo'}),
            part(0, function={"arguments": 'nn"}'}),
            part(1, id="c2", function={"name": "clock", "arguments": "{}"}),
            chunk(finish="tool_calls"),
        )
        lfm, server = served(calls, replies("It rains in Bonn."))
        talk = lfm.conversation()
        reply = talk.send("Weather in Bonn?", tools=[WEATHER], tool_choice="auto")  # type: ignore[call-arg]
        assert reply == ""
        assert reply.tool_calls == (ToolCall("weather", {"city": "Bonn"}, "c1"), ToolCall("clock", {}, "c2"))
        assert server.asked[0]["tools"] == [{"type": "function", "function": WEATHER}]
        assert server.asked[0]["tool_choice"] == "auto"
        results = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in reply.tool_calls]
        assert talk.send(results) == "It rains in Bonn."
        sent = server.asked[1]["messages"]
        assert [one["role"] for one in sent] == ["user", "assistant", "tool", "tool"]
        assert sent[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Bonn"}'}
        assert [one["tool_call_id"] for one in sent[2:]] == ["c1", "c2"]
        assert talk.regenerate() == "It rains in Bonn."
        assert server.asked[2]["messages"] == sent
        assert [one.role for one in talk.messages] == ["user", "assistant", "tool", "assistant"]

    @pytest.mark.parametrize(
        "places", [({"index": 0, "id": "a"}, {"index": 0, "id": "b"}), ({"id": "a"}, {}), ({}, {})]
    )
    def test_calls_that_come_whole_are_told_apart(self, places: Sequence[dict[str, object]], served: Served) -> None:
        """Some servers give every call the same index, or none, or no id; some say the name with every piece."""
        first, second = places
        lfm, _ = served(
            streams(
                chunk(tool_calls=[{**first, "function": {"name": "weather", "arguments": '{"city": '}}]),
                chunk(tool_calls=[{**first, "function": {"name": "weather", "arguments": '"Bonn"}'}}]),
                chunk(tool_calls=[{**second, "function": {"name": "clock", "arguments": "{}"}}]),
                chunk(tool_calls=[{"index": 7, "id": None, "function": None}]),
                chunk(finish="tool_calls"),
            )
        )
        calls = lfm.chat("Hi", tools=[WEATHER]).tool_calls
        assert [(call.name, call.arguments) for call in calls] == [("weather", {"city": "Bonn"}), ("clock", {})]

    def test_arguments_that_are_no_json_are_shown_as_they_are(self, served: Served) -> None:
        broken = chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{oops"}}])
        lfm, _ = served(streams(broken, chunk(finish="tool_calls")))
        assert lfm.chat("Hi", tools=[WEATHER]).tool_calls == (ToolCall("f", {"text": "{oops"}, "c"),)

    @pytest.mark.parametrize("wanted", [Colour, Colour.model_json_schema()])
    def test_a_schema_is_put_into_its_envelope(self, wanted: object, served: Served) -> None:
        lfm, server = served()
        lfm.chat("Hello", response_format=wanted)
        sent = server.asked[0]["response_format"]
        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["name"] == "Colour"
        assert sent["json_schema"]["schema"] == Colour.model_json_schema()

    def test_pictures_go_as_parts_and_are_kept_in_files(self, served: Served, tmp_path) -> None:  # type: ignore[no-untyped-def]
        lfm, server = served()
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        talk = lfm.conversation()
        talk.send([{"type": "text", "text": "What is this?"}, picture])
        assert server.asked[0]["messages"][0]["content"][1] == picture
        assert talk.messages[0].content == "What is this?\n[image_url]"
        talk.save(tmp_path / "talk.json")
        again = edgelfm.resume(tmp_path / "talk.json", lfm)
        again.send("Are you sure?")
        assert server.asked[1]["messages"][0]["content"][1] == picture

    def test_embeddings_come_as_lists(self, served: Served) -> None:
        def play(handler) -> None:  # type: ignore[no-untyped-def]
            handler.say(200, {"data": [{"index": i, "embedding": [i, 0.5]} for i in range(2)]})

        lfm, server = served(play)
        assert lfm.embed(["a", "b"]) == [[0, 0.5], [1, 0.5]]
        assert server.asked[0]["input"] == ["a", "b"]

    def test_embeddings_are_in_the_order_of_their_texts(self, served: Served) -> None:
        from tests.fault_server import says

        data = [{"index": 1, "embedding": [0.2]}, {"index": 0, "embedding": [0.1]}]
        lfm, _ = served(says(200, {"data": data}), says(200, {"data": [{"embedding": "AACAPw=="}]}))
        assert lfm.embed(["a", "b"]) == [[0.1], [0.2]]
        with pytest.raises(BackendError, match="sent 0 embeddings"):
            lfm.embed("a")

    @pytest.mark.parametrize("status", [404, 501])
    def test_what_a_server_cannot_do_is_said(self, status: int, served: Served) -> None:
        from tests.fault_server import says

        lfm, _ = served(says(status, {"error": "no such thing"}))
        with pytest.raises(RequestError, match="does not give embeddings"):
            lfm.embed("a")
        with pytest.raises(RequestError, match="does not give completions"):
            lfm.complete("a")
