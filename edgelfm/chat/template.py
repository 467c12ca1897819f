"""From messages to the text a model was trained on, through the Jinja template that came with its weights.

A template is code from the internet, so it runs in Jinja's immutable sandbox: it cannot reach files, modules or our
objects.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import TemplateError
from .messages import Message

if TYPE_CHECKING:
    from jinja2 import Environment

#: For a file that carries no template: what LFM2 and most small models were trained on.
CHATML = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
"""


class ChatTemplate:
    """A compiled template.

    `now` is fixed, so that a template that prints the date renders the same prefix every turn.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], *, now: datetime | None = None) -> None:
        from jinja2 import TemplateError as JinjaError

        self.source = source
        self._special = dict(special_tokens)
        self._now = now or datetime.now()
        try:
            self._template = _environment().from_string(source)
        except JinjaError as error:
            raise TemplateError(
                f"the chat template of this model is broken: {error}",
                hint="get the weights from another publisher, or give your own with chat_template=",
            ) from error

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True, tools: Sequence[Any] | None = None
    ) -> str:
        """The prompt as text, markers included.

        Raises `TemplateError` with the template's own words when it refuses.
        """
        try:
            return self._template.render(
                messages=[message.for_template() for message in messages],
                tools=list(tools) if tools else None,
                add_generation_prompt=add_generation_prompt,
                strftime_now=self._now.strftime,
                **self._special,
            )
        except _Refused as error:
            raise TemplateError(
                f"the chat template refused these messages: {error}",
                hint="most templates want an optional system message, then user and assistant in turn",
            ) from error
        except Exception as error:
            raise TemplateError(
                f"the chat template failed on these messages: {type(error).__name__}: {error}",
                hint="check the messages, or give your own template with chat_template=",
            ) from error

    @functools.cached_property
    def opening(self) -> str:
        """What `add_generation_prompt` adds: the text after which a reply begins. Empty if it adds nothing."""
        probe = [Message("user", "a")]
        try:
            with_it, without = (self.render(probe, add_generation_prompt=add) for add in (True, False))
        except TemplateError:  # it wants more than one message, and so cannot be asked
            return ""
        return with_it.removeprefix(without) if with_it.startswith(without) else ""


class _Refused(Exception):
    """Raised by a template through `raise_exception`."""


@functools.cache
def _environment() -> Environment:
    """Jinja as Hugging Face templates expect it: trimmed blocks, loop controls, `{% generation %}`, UTF-8 `tojson`."""
    import json

    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks the assistant's tokens for training; for us the block is its body."""

        tags = {"generation"}  # noqa: RUF012  (Jinja's own way to declare tags)

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    def raise_exception(message: str) -> None:
        raise _Refused(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    return environment
