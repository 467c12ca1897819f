"""The Jupyter kernel this runs in, if it does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def shell() -> Any | None:
    """IPython's shell, None in a plain interpreter."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def soon(then: Callable[[], None]) -> None:
    """Call `then` on the thread that hears the page, when it has time. At once where there is no kernel."""
    loop = getattr(getattr(shell(), "kernel", None), "io_loop", None)
    if loop is None:
        then()
    else:
        loop.add_callback(then)
