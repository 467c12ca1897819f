"""Whatever stands in a file or comes out of a command, inspection ends with a host that can be written and read."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelfm.hardware import Host, inspect
from edgelfm.hardware.machine import Machine

NASTY = st.sampled_from(
    [b"", b"\0", b"\n\n\n", b"-1\n", b"9" * 5000, b"max\n", b"0-99999999999\n", b"1,2,", "²\n".encode(), b"\xff" * 64,
     b"max 0\n", b"0 0\n", b": : :\n", b"a=b=c\n", b"[N/A], [N/A], [N/A], [N/A], [N/A]\n", b"0x\n", b"{}\n", b" = 1 |"]
)  # fmt: skip
CONTENT = NASTY | st.binary(max_size=200) | st.text(max_size=100).map(str.encode)


@contextmanager
def spoiled(path: Path, content: bytes) -> Iterator[None]:
    original = path.read_bytes()
    # Of a recorded command only the output is spoiled: the first line is ours, not the machine's.
    kept = original.split(b"\n", 1)[0] + b"\n" if path.parent.name == "commands" else b""
    path.write_bytes(kept + content)
    try:
        yield
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize(
    "name",
    ["ryzen-ai-max-395", "jetson-orin-nano-8gb", "container-v1", "core-ultra-npu", "mac-m2", "snapdragon-x-elite"],
)
def test_any_bytes_in_any_file(name: str, tmp_path: Path, machine_folder: Callable[[str], Path]) -> None:
    folder = tmp_path / name
    shutil.copytree(machine_folder(name), folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "machine.json")

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(files), CONTENT)
    def check(path: Path, content: bytes) -> None:
        with spoiled(path, content):
            host = inspect(Machine.from_folder(folder))
        assert Host.from_json(host.to_json()) == host
        assert host.cpu.usable_cores >= 1
        assert host.memory.available_bytes >= 0
        # The guard would have caught an exception; that none was needed is the better half of the promise.
        assert not [remark for remark in host.remarks if "Error: " in remark.reason]

    check()


def test_a_probe_that_breaks_does_not_take_the_others_with_it(machine_folder: Callable[[str], Path]) -> None:
    machine = Machine.from_folder(machine_folder("pi5-8gb"))
    machine.root = None  # type: ignore[assignment]
    host = inspect(machine)
    assert host.os.system == "unknown"
    assert {"os", "cpu", "memory"} <= {remark.probe for remark in host.remarks}
    assert host.disk.free_bytes
