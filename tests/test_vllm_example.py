"""The example for servers: its client runs, and its files say what they should."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.llama_server import llama_server

FOLDER = Path(__file__).parent.parent / "examples" / "vllm"


def test_the_client_talks_to_a_server(starter_path: Path) -> None:
    with llama_server(starter_path) as url:
        command = [sys.executable, str(FOLDER / "ask.py"), url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "on llama-server at" in out
    assert out.count("> ") >= 2
    assert out.count("tokens/s") == 2


def test_the_compose_file_asks_for_as_many_gpus_as_share_the_model() -> None:
    service = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["vllm"]
    assert "--tensor-parallel-size=${GPUS:-1}" in service["command"]
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["count"] == "${GPUS:-1}"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.skipif(shutil.which("sh") is None, reason="to run: a POSIX shell")
@pytest.mark.parametrize("rank", [0, 1])
def test_every_machine_but_the_first_has_no_head(rank: int, tmp_path: Path) -> None:
    shown = tmp_path / "vllm"
    shown.write_text('#!/bin/sh\necho "$@"\n')
    shown.chmod(0o755)
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HEAD": "10.0.0.1", "NODES": "2", "RANK": str(rank), "GPUS": "8"}
    command = ["sh", str(FOLDER / "node.sh")]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=given).stdout
    assert "--tensor-parallel-size 8 --pipeline-parallel-size 2" in out
    assert f"--nnodes 2 --node-rank {rank} --master-addr 10.0.0.1" in out
    assert ("--headless" in out) is (rank == 1)
