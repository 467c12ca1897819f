"""One reply on the screen: text as it comes, thinking set apart, Ctrl-C, and the line of figures below it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .interrupt import on_ctrl_c
from .output import decorated, screen, side
from .wrap import Folder

if TYPE_CHECKING:
    from ..chat import Reply, Stream

_DIM, _OFF = "\x1b[2m", "\x1b[0m"


def write_answer(stream: Stream, *, thinking: bool = True) -> Reply:
    """Write a reply to stdout while it is made. Ctrl-C stops the reply; it is then as long as it came."""
    fancy = decorated()
    folder = Folder(screen().width) if fancy else None
    shown: str | None = None

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        with on_ctrl_c(stream.cancel), stream:
            for piece in stream.pieces():
                if piece.kind == "thinking" and not (thinking and fancy):
                    continue
                if piece.kind != shown:
                    if shown is not None:
                        write((folder.finish() if folder else "") + _OFF + "\n\n")
                        folder = Folder(screen().width)
                    if piece.kind == "thinking":
                        write(_DIM)
                    shown = piece.kind
                write(folder.feed(piece.text) if folder else piece.text)
    finally:
        # Whatever happened, the terminal gets its own colour back and the cursor a new line.
        if shown is not None:
            write((folder.finish() if folder else "") + (_OFF if fancy else "") + "\n")
    return stream.reply


def write_figures(reply: Reply) -> None:
    """Speed, time to first token and context used, as one quiet line on stderr: a pipe gets the answer only."""
    if sys.stderr.isatty():
        side().print(reply.summary(), style="dim", markup=False)


def reply_data(reply: Reply) -> dict[str, object]:
    """A reply as plain data for JSON. Seconds and tokens per second."""
    return {
        "text": reply.text,
        "thinking": reply.thinking,
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "usage": {
            "prompt_tokens": reply.usage.prompt_tokens,
            "cached_tokens": reply.usage.cached_tokens,
            "completion_tokens": reply.usage.completion_tokens,
            "total_tokens": reply.usage.total_tokens,
            "context": reply.usage.context,
        },
        "timings": {
            "prefill_seconds": reply.timings.prefill_seconds,
            "decode_seconds": reply.timings.decode_seconds,
            "first_token_seconds": reply.timings.first_token_seconds,
            "prefill_tokens_per_second": reply.timings.prefill_tokens_per_second,
            "decode_tokens_per_second": reply.timings.decode_tokens_per_second,
        },
    }
