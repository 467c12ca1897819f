"""The table for terminals says what matters, and keeps within the width."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console

from edgelfm.hardware import Host
from edgelfm.hardware.host import Bandwidth, Remark


def shown(host: Host, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(host)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_every_machine_fits_the_terminal(machine_name: str, machine_host: Callable[[str], Host]) -> None:
    lines = shown(machine_host(machine_name), 80).splitlines()
    assert len(lines) > 8
    assert max(map(len, lines)) <= 80


def test_a_board(machine_host: Callable[[str], Host]) -> None:
    text = shown(machine_host("pi5-8gb"))
    assert "Raspberry Pi 5 Model B Rev 1.0 · bcm2712" in text
    assert "7.17 GiB available of 7.87 GiB" in text
    assert "2.00 GiB zram (adds no room)" in text
    assert "transformers: not installed; pip install 'edgelfm[transformers]'" in text


def test_a_container(machine_host: Callable[[str], Host]) -> None:
    text = shown(machine_host("container-512mb"), 200)
    assert "in a docker container" in text
    assert "time of 1 granted by cgroups; 1 usable" in text
    assert "limited to 512 MiB by cgroup v2 /" in text


def test_an_npu_that_cannot_be_used(machine_host: Callable[[str], Host]) -> None:
    assert "not usable, no permission for /dev/accel/accel0" in shown(machine_host("ryzen-ai-9-hx370"), 200)


def test_a_card_and_the_bandwidth_of_its_memory(machine_host: Callable[[str], Host]) -> None:
    known = shown(machine_host("rtx4090-desktop"), 200)
    assert "NVIDIA GeForce RTX 4090 · 23.99 GiB · 1.01 TB/s expected · compute 8.9" in known
    assert "memory bandwidth unknown" not in known
    unknown = shown(machine_host("wsl2"), 200)
    assert "memory bandwidth unknown: nvidia-smi does not tell; to ask NVML: pip install nvidia-ml-py" in unknown


def test_brackets_in_names_are_text_not_markup() -> None:
    host = Host(bandwidth=Bandwidth(31e9, "measured", "by [2] threads"), remarks=(Remark("gpu", "[red] no answer"),))
    text = shown(host)
    assert "31.0 GB/s, measured: by [2] threads" in text
    assert "gpu: [red] no answer" in text
