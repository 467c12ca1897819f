"""Stopping llama.cpp in the middle of a computation without Python in its way."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType


class AbortFlag:
    """A byte that llama.cpp looks at before every graph node.

    Its abort callback is `bool (*)(void *)`. A Python function there would take the interpreter lock hundreds of
    times a token. The C library's `strlen` has the right shape: on an empty string it says 0, go on; on a string of
    one character it says 1, stop. So the flag is a string, raising it writes one byte, and no Python runs at all.
    """

    def __init__(self, llama: ModuleType, context: int) -> None:
        self._text = ctypes.create_string_buffer(2)
        libc = ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None)
        callback = ctypes.cast(libc.strlen, llama.ggml_abort_callback)
        llama.llama_set_abort_callback(context, callback, ctypes.cast(self._text, ctypes.c_void_p))
        self._kept = (libc, callback)

    def raise_(self) -> None:
        """Stop the computation that runs, or the next one."""
        self._text[0] = b"\x01"

    def lower(self) -> None:
        """Let computations run again."""
        self._text[0] = b"\x00"
