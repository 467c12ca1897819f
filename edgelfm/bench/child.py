"""A runner in a process of its own: fresh state for sure, its own peak of memory, and no harm if it crashes.

    parent: Child("edgelfm", "edgelfm.bench.own", {...})     a `Runner`; `start` starts the process
    child:  serve(OwnRunner)                                 in the module that `python -m` runs; answers until the end

They speak one JSON document a line: `{"call": "decode", "arguments": [512, 100]}` and `{"value": 0.93}` or
`{"error": "…", "hint": "…"}`. What libraries print on stdout goes to stderr, which the parent keeps for its last line.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import IO, Any, Protocol

from ..errors import BackendError, EdgelfmError
from .protocol import FirstToken, Runner
from .report import Subject

#: A call that takes longer than this is given up: loading from an SD card and a long prefill on a small board are
#: minutes, not hours.
TIMEOUT_SECONDS = 900.0
_END_SECONDS = 10.0  # for a process to end by itself when it is told to


class Child:
    """A `Runner` whose work is done by `python -m module`, which calls `serve`."""

    def __init__(
        self,
        name: str,
        module: str,
        options: Mapping[str, Any],
        *,
        bytes_per_token: int | None = None,
        environment: Mapping[str, str | None] | None = None,  # beside that of this process; None takes a variable away
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self.name = name
        self.load_seconds: float | None = None
        self.bytes_per_token = bytes_per_token
        self.pid: int | None = None
        self._module, self._options, self._timeout = module, dict(options), timeout
        changed = {**os.environ, **(environment or {})}
        self._environment = {name: value for name, value in changed.items() if value is not None}
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None
        self._busy = False  # it owes us an answer
        self._answers: queue.Queue[str | None] = queue.Queue()

    def start(self) -> Subject:
        """Start the process and let it load."""
        self.stop()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `stop`)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=self._environment,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the parent, which ends this one itself
            )
        except OSError as error:
            raise BackendError(f"{self.name}: cannot start a process: {error}") from error
        self.pid = self._process.pid
        self._answers = queue.Queue()
        threading.Thread(target=_listen, args=(self._process.stdout, self._answers), daemon=True).start()
        answer = self._ask("start", self._options)
        self.load_seconds = answer.pop("load_seconds")
        settings = tuple((str(name), str(value)) for name, value in answer.pop("settings"))
        return Subject(**answer, settings=settings)

    def prefill(self, tokens: int) -> float:
        """See `Runner`."""
        return float(self._ask("prefill", tokens))

    def decode(self, depth: int, tokens: int) -> float:
        """See `Runner`."""
        return float(self._ask("decode", depth, tokens))

    def first_token(self, kind: FirstToken, history: int, question: int) -> float | None:
        """See `Runner`."""
        seconds = self._ask("first_token", kind, history, question)
        return None if seconds is None else float(seconds)

    def stop(self) -> None:
        """End the process, by force if it is in the middle of something or does not end when its input closes."""
        process, self._process, self.pid = self._process, None, None
        if process is not None:
            assert process.stdin is not None
            if self._busy:
                process.kill()
            with contextlib.suppress(OSError):
                process.stdin.close()  # which is how the other side knows
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def _ask(self, call: str, *arguments: Any) -> Any:
        process = self._process
        if process is None:
            raise BackendError(f"{self.name} is not running")
        assert process.stdin is not None
        self._busy = True
        try:
            process.stdin.write(json.dumps({"call": call, "arguments": arguments}) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=self._timeout)
        except queue.Empty:
            self.stop()
            raise BackendError(f"{self.name} gave no answer within {self._timeout:g} s") from None
        except OSError:
            line = None
        self._busy = False
        if line is None:
            raise BackendError(f"{self.name} {self._how_it_ended(process)}")
        try:
            answer = json.loads(line)
        except ValueError:
            raise BackendError(f"{self.name} said something else than an answer: {line.strip()[:200]}") from None
        if "error" in answer:
            raise BackendError(f"{answer['error']}", hint=answer.get("hint", ""))
        return answer["value"]

    def _how_it_ended(self, process: subprocess.Popen[str]) -> str:
        status = process.wait()
        how = f"ended with status {status}"
        if status < 0:
            known = {one.value: one.name for one in signal.Signals}
            how = f"was ended by {known.get(-status, f'signal {-status}')}"
            if known.get(-status) == "SIGKILL":
                how += ", as the system does when memory runs out"
        last = ""
        if self._errors is not None:
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{how}: {last}" if last else how


class Served(Protocol):
    """What `serve` calls: a runner without a process of its own, made from the options the parent gave."""

    def __call__(self, options: Mapping[str, Any]) -> Runner:
        """Make the runner; its `start` loads."""
        ...


def serve(make: Served) -> None:
    """Answer the parent until it closes our input. For the child's `if __name__ == "__main__"`."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between our lines
    runner: Runner | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        call, arguments = asked["call"], asked["arguments"]
        try:
            if call == "start":
                runner = make(arguments[0])
                value: Any = {**asdict(runner.start()), "load_seconds": runner.load_seconds}
            else:
                method: Callable[..., Any] = getattr(runner, call)
                value = method(*arguments)
            answer = {"value": value}
        except EdgelfmError as error:
            answer = {"error": error.message, "hint": error.hint}
        except Exception as error:  # noqa: BLE001  (other people's runtimes raise what they like; the reason is told)
            said = " ".join(str(error).split())
            answer = {"error": f"{type(error).__name__}{': ' if said else ''}{said}", "hint": ""}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if runner is not None:
        runner.stop()


def _listen(stream: IO[str], answers: queue.Queue[str | None]) -> None:
    with stream:
        for line in stream:
            answers.put(line)
    answers.put(None)
