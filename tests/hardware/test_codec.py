"""A host as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgelfm.errors import HostFileError
from edgelfm.hardware import Host
from edgelfm.hardware.host import Gpu


def test_there_and_back(machine_name: str, machine_host: Callable[[str], Host]) -> None:
    host = machine_host(machine_name)
    assert Host.from_json(host.to_json()) == host


def test_missing_fields_take_their_defaults() -> None:
    host = Host.from_json('{"schema": 1, "memory": {"total_bytes": 8000000000}}')
    assert host.memory.total_bytes == 8_000_000_000
    assert host.gpus == ()


def test_a_gpu_written_before_its_bandwidth_was_known() -> None:
    host = Host.from_json('{"schema": 1, "gpus": [{"vendor": "nvidia", "name": "RTX 4090", "usable": true}]}')
    assert host.gpus == (Gpu("nvidia", "RTX 4090", usable=True),)
    assert host.gpus[0].memory_bandwidth_bytes_per_second is None


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(data: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            data = data[int(parent)] if isinstance(data, list) else data[parent]
        data[last] = value

    return apply


@pytest.mark.parametrize(
    ("damage", "message", "hint"),
    [
        (change("schema", 2), "pi.json: schema 2, this version reads schema 1", "edgelfm doctor --save"),
        (change("schema", None), "no schema number", "edgelfm doctor --save"),
        (change("schema", True), "schema True", "edgelfm doctor --save"),
        (
            change("memory.total_bytes", "8 GB"),
            "pi.json: memory.total_bytes: Input should be a valid integer",
            "correct",
        ),
        (change("cpu.architecture", "mips"), "pi.json: cpu.architecture: Input should be", "correct"),
        (change("memory.totl_bytes", 1), "pi.json: memory.totl_bytes: no such field", "did you mean 'total_bytes'?"),
        (change("runtimes.0.colour", "red"), "pi.json: runtimes.0.colour: no such field", "known here: name"),
        (change("gpus", {}), "pi.json: gpus: Input should be a valid", "correct"),
        (change("memory", None), "pi.json: memory: Input should be", "correct"),
    ],
)
def test_a_damaged_file_names_the_field(
    damage: Callable[[dict[str, Any]], None], message: str, hint: str, machine_host: Callable[[str], Host]
) -> None:
    data = json.loads(machine_host("pi5-8gb").to_json())
    damage(data)
    with pytest.raises(HostFileError) as caught:
        Host.from_json(json.dumps(data), source="pi.json")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_what_is_no_host_at_all(text: str) -> None:
    with pytest.raises(HostFileError, match="host description"):
        Host.from_json(text)
