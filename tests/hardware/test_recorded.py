"""Recorded machines: the folder is checked, and refusals are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.errors import HostFileError
from edgelfm.hardware import inspect
from edgelfm.hardware.machine import Machine


def test_a_folder_that_records_no_machine(tmp_path: Path) -> None:
    with pytest.raises(HostFileError, match="records no machine") as caught:
        Machine.from_folder(tmp_path)
    assert "machine.json" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ('{"systm": "Linux"}', "'systm'"), ("[]", "not an object")]
)
def test_a_description_that_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "machine.json").write_text(text)
    with pytest.raises(HostFileError, match=words):
        Machine.from_folder(tmp_path)


def test_a_command_without_its_command_line(tmp_path: Path) -> None:
    (tmp_path / "machine.json").write_text("{}")
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "x.txt").write_text("output only\n")
    with pytest.raises(HostFileError, match="not a command"):
        Machine.from_folder(tmp_path)


def test_what_may_not_be_read_becomes_a_remark(build_machine: Callable[..., Machine]) -> None:
    host = inspect(build_machine({"/proc/meminfo": "MemTotal: 1 kB\n"}, denied=["/proc/meminfo"]))
    assert [(remark.probe, remark.reason) for remark in host.remarks] == [
        ("memory", "/proc/meminfo: Permission denied")
    ]
    assert host.memory.total_bytes == 0


def test_an_empty_machine_is_a_host_too(build_machine: Callable[..., Machine]) -> None:
    for system in ("Linux", "Darwin", "Windows", "Plan9", ""):
        host = inspect(build_machine(system=system, machine=""))
        assert host.cpu.usable_cores == 1
        assert host.remarks == ()


def test_numbers_in_paths_are_sorted_as_numbers(build_machine: Callable[..., Machine]) -> None:
    machine = build_machine({f"/dev/hailo{number}": "" for number in (10, 9, 1)})
    assert machine.glob("/dev/hailo*") == ["/dev/hailo1", "/dev/hailo9", "/dev/hailo10"]
