"""What people see when something goes wrong: two lines on stderr and an exit status, never a traceback.

`EDGELFM_DEBUG=1` shows the traceback as well.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from ..errors import EdgelfmError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130  # 130 is what a shell reports for SIGINT
DEBUG = "EDGELFM_DEBUG"


def guarded(run: Callable[[], int]) -> int:
    """Call `run` and turn whatever it raises into an exit status and two lines for people."""
    try:
        status = run()
        sys.stdout.flush()  # here, where a closed pipe can still be met quietly
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _close_stdout()
    except EdgelfmError as error:
        _show_traceback()
        return report(error.message, error.hint)
    except Exception as error:  # noqa: BLE001  (the last line of defence: people get a sentence, not a traceback)
        _show_traceback()
        said = str(error).strip().partition("\n")[0]
        return report(
            f"unexpected {type(error).__name__}{': ' if said else ''}{said}",
            f"run the same command with {DEBUG}=1 to see where it happened",
        )
    return status


def report(message: str, hint: str = "", *, status: int = FAILED) -> int:
    """Write `error:` and `hint:` lines to stderr and return `status`."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    red, cyan, off = ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") if colour else ("", "", "")
    for label, text in ((f"{red}error:{off} ", message), (f"{cyan}hint:{off} ", hint)):
        if text:
            print(label + text.replace("\n", "\n       "), file=sys.stderr)
    return status


def _show_traceback() -> None:
    if os.environ.get(DEBUG, "") not in ("", "0"):
        traceback.print_exc()


def _close_stdout() -> int:
    """The reader went away, as in `edgelfm models | head -1`. Point stdout elsewhere, or Python complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
