"""Options that several verbs share, declared once."""

from __future__ import annotations

from typing import Annotated

import typer

_WISHES = "What you ask for"

ModelName = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A name from `edgelfm models`, a Hub repository, a .gguf file or a folder. Left out: what suits best.",
        show_default=False,
    ),
]
Task = Annotated[
    str,
    typer.Option(help="What the model is for: chat, agent, reason, extract, rag, tools, …", rich_help_panel=_WISHES),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context", "-c", metavar="TOKENS", help="Tokens of prompt and reply together.", rich_help_panel=_WISHES
    ),
]
Quantization = Annotated[
    str | None,
    typer.Option("--quantization", "-q", metavar="NAME", help="Q4_0, Q4_K_M, Q8_0, …", rich_help_panel=_WISHES),
]
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend", "-b", metavar="NAME", help="llama.cpp, mlx, onnx, transformers.", rich_help_panel=_WISHES
    ),
]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Use at most this much, as in '1.5 GiB'.", rich_help_panel=_WISHES)
]
Adapter = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="A LoRA beside the model: a folder of PEFT or mlx-lm, a repository, a .gguf file.",
        rich_help_panel=_WISHES,
        show_default=False,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="ID|FILE", help="This hardware profile instead of the one that matches.", rich_help_panel=_WISHES
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
