"""Heavy work in a process of its own: its memory comes back whole, an interrupt ends it at once, a crash is an error.

    parent: run("edgelfm.conversion.quantizing", {...}, told, "llama.cpp's quantizer")   the result
    child:  serve(work)                                       in the module that `python -m` runs

The task comes as one JSON document, and one a line goes back: `{"done": 0.4}`, at the end `{"result": …}` or
`{"error": "…", "hint": "…", "kind": "ModelFileError"}`. What libraries print goes to stderr, of which the last line is
kept for an error.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import errors
from ..errors import BackendError, EdgelfmError

_LONGEST_SAID = 300  # characters of a library's last words
#: Nobody else's business: warnings, progress bars, and questions to a hub about files that are here.
_QUIET = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONUTF8": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "0", "PYTHONWARNINGS": "ignore",
}  # fmt: skip


def run(module: str, task: Mapping[str, Any], told: Callable[[float], None], what: str) -> Any:
    """What `module` answers to `task`. Raises what it raised, and `BackendError` for other failures of `what`."""
    result: Any = None
    with _process([sys.executable, "-m", module], what) as (process, said):
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; why is on its stderr
            process.stdin.write(json.dumps(task).encode())
            process.stdin.close()
        for line in process.stdout:
            answer = json.loads(line)
            if "done" in answer:
                told(float(answer["done"]))
            elif "error" in answer:
                kind = getattr(errors, str(answer["kind"]), BackendError)
                raise kind(answer["error"], hint=answer["hint"])
            else:
                result = answer
        code = process.wait()
        if result is None:
            raise BackendError(f"{what} {_ended(code)}: {said()}", hint="free some memory, then try it again")
    return result["result"]


def command(arguments: Sequence[str], what: str, folder: str) -> None:
    """Run a foreign program in `folder`. Raises `BackendError` with its last words unless it ends well."""
    with _process(arguments, what, folder) as (process, said):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        for _ in process.stdout:
            pass
        code = process.wait()
        if code:
            raise BackendError(f"{what} {_ended(code)}: {said()}", hint="look at what it says; another format may do")


def serve(work: Callable[[dict[str, Any], Callable[[float], None]], Any]) -> None:
    """Do the task on stdin and answer on stdout, which libraries cannot reach."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    task = json.loads(sys.stdin.buffer.read())
    try:
        tell({"result": work(task, lambda done: tell({"done": done}))})
    except EdgelfmError as error:
        tell({"error": error.message, "hint": error.hint, "kind": type(error).__name__})


@contextlib.contextmanager
def _process(arguments: Sequence[str], what: str, folder: str | None = None) -> Any:
    """A process that is gone when the block is left, however that is."""
    with tempfile.TemporaryFile() as heard:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=heard,
                env={**os.environ, **_QUIET},
                cwd=folder,
                start_new_session=True,  # Ctrl-C is for us, who end it ourselves
            )
        except OSError as error:
            raise BackendError(f"{what} cannot be started: {error}") from error
        try:
            yield process, lambda: _last_words(heard)
        finally:
            if process.poll() is None:
                _kill(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and whatever it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ended(code: int) -> str:
    if code < 0 and -code in signal.valid_signals():
        return f"was ended by {signal.Signals(-code).name}"
    return "failed"


def _last_words(heard: Any) -> str:
    heard.seek(0)
    lines = heard.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it gave no reason")[:_LONGEST_SAID]
