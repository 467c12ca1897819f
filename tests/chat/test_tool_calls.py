"""Tool calls in what a model wrote: found, taken apart, never run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.chat.tool_calls import END, START, ToolCall, read_calls, split_calls


@pytest.mark.parametrize(
    ("written", "name", "arguments"),
    [
        ('[weather(city="Bonn")]', "weather", {"city": "Bonn"}),
        ("[weather(city='Bonn', days=2, now=True)]", "weather", {"city": "Bonn", "days": 2, "now": True}),
        ("[home.light(on=true, colour=null)]", "home.light", {"on": True, "colour": None}),
        ('[find(where={"city": "Bonn", "near": [1, -2.5]})]', "find", {"where": {"city": "Bonn", "near": [1, -2.5]}}),
        ("[stop()]", "stop", {}),
        ("stop()", "stop", {}),
        ('[say("hello", loud=false)]', "say", {"0": "hello", "loud": False}),
        ('[{"name": "weather", "arguments": {"city": "Bonn"}}]', "weather", {"city": "Bonn"}),
        ('{"name": "weather", "parameters": {}}', "weather", {}),
    ],
)
def test_one_call(written: str, name: str, arguments: dict[str, Any]) -> None:
    assert read_calls(written) == (ToolCall(name, arguments),)


def test_several_calls_and_the_text_around_them() -> None:
    text, calls = split_calls(f'Let me look. {START}[a(x=1), b(y="]")]{END} One moment.')
    assert text == "Let me look.  One moment."
    assert calls == (ToolCall("a", {"x": 1}), ToolCall("b", {"y": "]"}))


@pytest.mark.parametrize(
    "written",
    [
        "", "hello", "[1, 2]", "[a(x=__import__('os'))]", "[a(**b)]", "[lambda: 0]", "[a(x=b)]", "[a(", '{"name": 1}',
        '[{"arguments": {}}]', "[" * 5000, "(" * 100_001, "[a(x=" + "-" * 20_000 + "1)]", '{"a":' * 30_000,
    ],
)  # fmt: skip
def test_what_is_no_call_stays_in_the_text(written: str) -> None:
    assert read_calls(written) == ()
    text = f"before {START}{written}{END} after"
    assert split_calls(text) == (text, ())


def test_a_call_that_was_cut_off_stays_in_the_text() -> None:
    text = f'{START}[weather(city="Bo'
    assert split_calls(text) == (text, ())


@given(st.text())
def test_any_text_is_either_kept_or_understood(text: str) -> None:
    kept, calls = split_calls(text)
    assert calls or kept == text


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}x", fullmatch=True), st.text() | st.integers() | st.booleans())
)
def test_what_is_written_as_python_is_read_back(arguments: dict[str, Any]) -> None:
    written = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    assert read_calls(f"[call({written})]") == (ToolCall("call", arguments),)
