"""llama.cpp's own HTTP server in a process of its own, from the wheel `xllamacpp`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

_PROGRAM = """
import os, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.port = int(sys.argv[2]), 1, 0
params.cpuparams.n_threads = 1
params.warmup, params.verbosity, params.n_gpu_layers = False, 0, 0
params.endpoint_props = params.use_jinja = True
if sys.argv[3] == "embedding":
    params.embedding, params.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()  # until the test closes the pipe, or is killed
os._exit(0)
"""


@contextmanager
def llama_server(model: Path, *, context: int = 512, embedding: bool = False) -> Iterator[str]:
    """Its address. Skips where the wheel is not installed."""
    if find_spec("xllamacpp") is None or find_spec("openai") is None:
        pytest.skip("to run: pip install xllamacpp openai")
    command = [sys.executable, "-c", _PROGRAM, str(model), str(context), "embedding" if embedding else "chat"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = next((line.strip() for line in process.stdout if line.startswith("http")), "")
            assert address, "the server did not start"
            yield address
        finally:
            process.kill()
