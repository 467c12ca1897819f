"""`edgelfm chat`: a conversation in the terminal, or one answer for a script."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .output import write_json

if TYPE_CHECKING:
    from ..chat import ReplyOptions

_SERVER = "A model that another program serves"
_SAMPLING = "How it answers (left out: the model's own preset)"


def chat(
    model: options.ModelName = None,
    once: Annotated[
        str | None,
        typer.Option(
            "--once", metavar="TEXT", help="Answer this and stop. A prompt in a pipe does the same.", show_default=False
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="The system prompt.")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on with the conversation in FILE and keep every turn there, or begin it.",
            show_default=False,
        ),
    ] = None,
    task: options.Task = "chat",
    context: options.Context = None,
    quantization: options.Quantization = None,
    backend: options.Backend = None,
    memory: options.Memory = None,
    adapter: options.Adapter = None,
    profile: options.Profile = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 always takes the likeliest token.", rich_help_panel=_SAMPLING)
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Choose among this many tokens.", rich_help_panel=_SAMPLING)] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Choose among this share of probability.", rich_help_panel=_SAMPLING)
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Drop tokens below this share of the likeliest.", rich_help_panel=_SAMPLING)
    ] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="1 is none.", rich_help_panel=_SAMPLING)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest reply.", rich_help_panel=_SAMPLING)] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same reply.", rich_help_panel=_SAMPLING)
    ] = None,
    offline: options.Offline = False,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Talk to MODEL of this server (Ollama, vLLM, llama-server, …); 'find' looks for one on this machine.",
            rich_help_panel=_SERVER,
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="The key that this server wants.", rich_help_panel=_SERVER, show_default=False),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With one answer: the reply with its figures as JSON.")
    ] = False,
) -> None:
    """Talk to a model, or have it answer once.

    Inside, /help lists the commands, Ctrl-C stops a reply, Ctrl-D ends.

    With --once, or with a prompt in a pipe, it answers once and stdout carries the answer only. With --resume, that is
    the next turn of the conversation in the file.
    """
    from ..errors import RequestError
    from .opening import open_model, open_remote
    from .resuming import one_turn

    given: ReplyOptions = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    if once is None and not sys.stdin.isatty():
        once = sys.stdin.read()
    if once is not None and not once.strip():
        raise RequestError("the prompt is empty", hint='edgelfm chat --once "Why is the sky blue?"')
    if as_json and once is None:
        raise RequestError("--json is for one answer", hint='edgelfm chat --json --once "Why is the sky blue?"')
    wishes = {
        "task": task, "context": context, "quantization": quantization, "backend": backend, "memory": memory,
        "adapter": adapter, "profile": profile, "offline": offline or None,
    }  # fmt: skip
    if key is not None and url is None:
        raise RequestError("--key is for a server", hint="edgelfm chat --url URL --key KEY")
    here = [name for name in ("quantization", "backend", "memory", "adapter", "profile", "offline") if wishes[name]]
    if url is not None and here:
        raise RequestError(f"--{here[0]} is for a model that runs here", hint="leave it out; a server has its own")
    if resume is not None:
        from .resuming import as_recorded

        resume = resume.expanduser()
        model, wishes = as_recorded(resume, model, system, wishes, remote=url is not None)
    with open_model(model, **wishes) if url is None else open_remote(url, model, key, context) as lfm:
        if once is None:
            from .talk import Talk

            Talk(lfm, system, given, resume).run()
        elif as_json:
            from .answer import reply_data

            with one_turn(lfm, system, resume) as talk:
                reply = talk.send(once, **given)
            write_json(reply_data(reply))
        else:
            from .answer import write_answer, write_figures

            with one_turn(lfm, system, resume) as talk:
                reply = write_answer(talk.stream(once, **given), thinking=False)
            write_figures(reply)
            if reply.finish_reason == "cancelled":
                raise KeyboardInterrupt
