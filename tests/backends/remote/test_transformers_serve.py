"""Against `transformers serve` with a tiny LFM2 from a folder of this disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import edgelfm
from edgelfm.errors import RequestError

MISSING = [name for name in ("transformers", "torch", "fastapi", "uvicorn") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"to run: pip install {' '.join(MISSING)}")


@pytest.fixture(scope="module")
def address(tiny_folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("transformers"))
    command = [program, "serve", str(tiny_folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=quiet) as process:
        assert process.stderr is not None
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if "Uvicorn running" in line:
                    break
            else:
                pytest.fail("".join(said[-20:]))
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def test_it_chats_with_usage(address: str) -> None:
    with edgelfm.connect(address) as lfm:
        reply = lfm.chat("Hello", temperature=0, max_tokens=8)
        assert reply.usage.completion_tokens == 8
        assert reply.usage.prompt_tokens > 8
        assert reply.finish_reason == "length"
        assert lfm.context == 0  # which it does not tell
        talk = lfm.conversation(system="Be brief.")
        talk.send("One", temperature=0, max_tokens=4)
        talk.send("Two", temperature=0, max_tokens=4)
        assert [one.role for one in talk.messages] == ["system", "user", "assistant", "user", "assistant"]
        assert lfm.complete("one two", max_tokens=3).usage.completion_tokens <= 3


def test_what_it_has_not_is_said(address: str) -> None:
    with edgelfm.connect(address) as lfm, pytest.raises(RequestError, match="does not give embeddings"):
        lfm.embed("Hello")
