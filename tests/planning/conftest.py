"""What llama.cpp itself says it allocates, for networks of any size."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import pytest

from tests.tiny import write_tiny_lfm2

#: MiB as printed, by the name of the buffer: "KV", "RS" (convolution state), "compute", "output".
Printed = dict[str, str]


@pytest.fixture(scope="session")
def tiny_lfm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GGUF of six layers, 512 tokens, F16."""
    return write_tiny_lfm2(tmp_path_factory.mktemp("tiny") / "tiny-lfm2-F16.gguf")


@pytest.fixture
def llama_log() -> Iterator[list[str]]:
    """Lines that llama.cpp logs during the test."""
    lines: list[str] = []
    callback = llama_cpp.llama_log_callback(lambda level, text, data: lines.append(text.decode(errors="replace")))
    llama_cpp.llama_log_set(callback, ctypes.c_void_p())
    yield lines
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p())
    _kept_alive.append(silent)


@pytest.fixture
def printed(llama_log: list[str]) -> Callable[..., Printed]:
    """Open a GGUF with settings as edgelfm does and return the buffer sizes llama.cpp prints."""

    def open_and_read(path: Path, *, context: int, micro_batch: int, kv_type: str, flash_attention: bool) -> Printed:
        llama_log.clear()
        params = llama_cpp.llama_model_default_params()
        params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx, wanted.n_batch, wanted.n_ubatch = context, max(512, micro_batch), micro_batch
        wanted.n_outputs_max = wanted.n_seq_max = 1
        wanted.flash_attn_type = int(flash_attention)
        wanted.type_k = wanted.type_v = getattr(llama_cpp, f"GGML_TYPE_{kv_type.upper()}")
        opened = llama_cpp.llama_init_from_model(model, wanted)
        assert opened, llama_log[-3:]
        llama_cpp.llama_free(opened)
        llama_cpp.llama_model_free(model)
        return read_buffers(llama_log)

    return open_and_read


def read_buffers(lines: list[str]) -> Printed:
    """The lines `... KV buffer size =    48.00 MiB`, by buffer."""
    found = (re.search(r"(KV|RS|compute|output) buffer size = +([\d.]+) MiB", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


_kept_alive: list[object] = []
