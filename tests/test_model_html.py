"""An open model in a notebook, and one that was closed."""

from __future__ import annotations

from pathlib import Path

import edgelfm
from edgelfm.backends.base import Memory
from tests.html_checks import look, plain


def test_a_model_says_how_it_runs_what_it_holds_and_what_to_type(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, context=512, tune=False, progress=False) as lfm:
        text = look(lfm).text
        assert lfm.entry.name in text
        assert "512 tokens" in text
        assert "weights" in text
        assert "planned for the whole process" in text
        assert 'lfm.chat("Why is the sky blue?")' in text
        assert "KV type" in text
        assert plain(lfm) == repr(lfm)
    text = look(lfm).text
    assert "on llama.cpp, closed" in text
    assert lfm.candidate.load_command in text
    assert plain(lfm).endswith(", closed>")


def test_it_can_be_looked_at_while_it_writes(tiny_path: Path) -> None:
    with edgelfm.load(tiny_path, context=512, tune=False, progress=False) as lfm:
        stream = lfm.stream("Hello", max_tokens=8)
        next(iter(stream))
        assert "planned for" in look(lfm).text
        stream.cancel()


def test_memory_shows_its_parts() -> None:
    memory = Memory(weights=92 << 20, kv=180 << 20, conv=0, compute=42 << 20, output=200 << 10)
    text = look(memory).text
    assert "314 MiB held by the model" in text
    assert "weights 92 MiB, KV cache 180 MiB, compute buffers 42 MiB, output 200 KiB" in text
    assert plain(memory).startswith("314 MiB held by the model: weights 92 MiB")
    assert look(Memory(0, 0, 0, 0, 0)).text.startswith("0 B held")
