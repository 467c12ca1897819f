"""The real program, in a pipe and in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pytest

PROGRAM = str(Path(sys.executable).with_name("edgelfm"))
NOWHERE = "http://127.0.0.1:9"  # the discard port: a hub that refuses every connection
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|[\x01\x02]")
_ERASED = re.compile(r"[^\n]*\x1b\[2K")  # a spinner clears its line before it is drawn again
# Becomes the leader of a session whose terminal is ours, so that Ctrl-C typed there reaches it as SIGINT.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
terminal = int(sys.argv[1])
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
for number in range(3):
    os.dup2(terminal, number)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Terminal:
    """The program in a pseudo-terminal.

    `raw` is all it has written, `text` the same without escape sequences and without what was erased again.
    """

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], columns: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        command = [sys.executable, "-c", _TAKE_TERMINAL, str(slave), PROGRAM, *arguments]
        self._process = subprocess.Popen(command, env=environment, start_new_session=True, pass_fds=[slave])
        os.close(slave)
        self._shown = bytearray()

    @property
    def raw(self) -> str:
        return self._shown.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", _ERASED.sub("", self.raw)).replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, pattern: str, *, after: int = 0, seconds: float = 60) -> int:
        """Read until `pattern` stands in `text` after position `after`; returns where it ends."""
        deadline = time.monotonic() + seconds
        while (found := re.compile(pattern, re.MULTILINE).search(self.text, after)) is None:
            assert self._read(deadline), f"{pattern!r} never came. The terminal shows:\n{self.text}"
        return found.end()

    def finish(self, seconds: float = 60) -> int:
        """Read to the end and return the exit status."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self._process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # Linux says EIO when the other side is closed
            data = b""
        self._shown += data
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        os.close(self._master)


@pytest.fixture(scope="session")
def program() -> str:
    """Where the command is."""
    return PROGRAM


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def environment(tmp_path: Path, _cache: Path) -> dict[str, str]:
    """A person who has just installed edgelfm: an empty home and a hub that cannot be reached."""
    mine = {
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path / "hub"),
        "HF_ENDPOINT": NOWHERE,
        "EDGELFM_CONFIG": str(tmp_path / "config"),
        "EDGELFM_CACHE": str(_cache),
        "TERM": "xterm-256color",
        "PYTHONIOENCODING": "utf-8",
    }
    hidden = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "EDGELFM_PROFILE", "EDGELFM_DEBUG", "HF_HUB_OFFLINE")
    return {name: value for name, value in os.environ.items() if name not in hidden} | mine


@pytest.fixture
def edgelfm(environment: dict[str, str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs the program with its output in a pipe."""

    def run(*arguments: str, stdin: str = "", **extra: str) -> Ran:
        done = subprocess.run(
            [PROGRAM, *arguments],
            input=stdin,
            env=environment | extra,
            cwd=tmp_path,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def terminal(environment: dict[str, str]) -> Callable[..., Terminal]:
    """Runs the program in a terminal: `with terminal("chat") as talk:`."""

    def run(*arguments: str, columns: int = 100, **extra: str) -> Terminal:
        return Terminal(arguments, environment | extra, columns)

    return run
