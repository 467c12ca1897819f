from __future__ import annotations

import contextlib
from datetime import datetime

import pytest

from edgelfm.chat.messages import Message
from edgelfm.chat.template import CHATML, ChatTemplate
from edgelfm.errors import TemplateError
from tests.tiny import CHAT_TEMPLATE

SPECIAL = {"bos_token": "<|startoftext|>", "eos_token": "<|im_end|>"}
TURNS = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Bye")]


def test_an_lfm2_prompt_is_the_documented_one() -> None:
    assert ChatTemplate(CHAT_TEMPLATE, SPECIAL).render(TURNS) == (
        "<|startoftext|><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_model_without_a_template_gets_the_same_turns() -> None:
    assert ChatTemplate(CHATML, SPECIAL).render(TURNS) == ChatTemplate(CHAT_TEMPLATE, SPECIAL).render(TURNS)


def test_a_template_sees_what_the_model_wrote_and_strips_thinking_itself() -> None:
    stripping = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}|{% endfor %}"
    reply = Message("assistant", "Yes", raw="<think>hm</think>Yes")
    assert ChatTemplate(stripping, SPECIAL).render([Message("user", "?"), reply]) == "?|Yes|"
    assert ChatTemplate("{{ messages[1].content }}", SPECIAL).render([Message("user", "?"), reply]) == reply.raw


def test_the_date_stands_still_so_that_the_prefix_does() -> None:
    template = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}", SPECIAL, now=datetime(2026, 2, 28, 23, 59))
    assert template.render(TURNS) == "2026-02-28"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% generation %}x{% endgeneration %}", "x"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{{ {'a': 'é<'} | tojson }}", '{"a": "é<"}'),
        ("a\n{% if true %}\nb\n{% endif %}\nc", "a\nb\nc"),
    ],
)
def test_what_hugging_face_templates_use_works(source: str, expected: str) -> None:
    assert ChatTemplate(source, {}).render(TURNS) == expected


@pytest.mark.parametrize(
    "attack",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ strftime_now.__self__.__class__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'x'}) }}",
        "{% for i in range(10**9) %}x{% endfor %}",
    ],
)
def test_a_hostile_template_gets_nowhere(attack: str) -> None:
    with contextlib.suppress(TemplateError):
        # What may not be reached is undefined, and prints nothing.
        assert ChatTemplate(attack, SPECIAL).render(TURNS) == ""


@pytest.mark.parametrize("broken", ["{% if %}", "{{ unclosed", "{% nonsense %}"])
def test_a_broken_template_is_an_error_with_a_way_out(broken: str) -> None:
    with pytest.raises(TemplateError, match="broken") as caught:
        ChatTemplate(broken, SPECIAL)
    assert "chat_template=" in caught.value.hint


def test_a_template_refuses_in_its_own_words() -> None:
    with pytest.raises(TemplateError, match="roles must alternate"):
        ChatTemplate("{{ raise_exception('roles must alternate') }}", SPECIAL).render(TURNS)
