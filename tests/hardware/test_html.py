"""A machine and its profile in a notebook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.hardware import Host, profiles
from edgelfm.hardware.host import Board, Cpu, Disk, Gpu, Npu, OperatingSystem, Remark, Runtime
from tests.html_checks import HOSTILE, look, plain


def test_a_machine_says_what_it_is(machine_host: Callable[[str], Host]) -> None:
    text = look(machine_host("pi5-8gb")).text
    assert "Raspberry Pi 5 Model B Rev 1.0 bcm2712" in text
    for figure in (
        "4 cores, up to 2.4 GHz; 4 usable",
        "7.17 GiB available of 7.87 GiB",
        "2.00 GiB zram (adds no room)",
    ):
        assert figure in text
    assert "llama.cpp 0.3.36" in text
    assert "pip install 'edgelfm[onnx]'" in text, "what is missing comes with the command that gets it"


def test_every_recorded_machine_can_be_shown(machine_name: str, machine_host: Callable[[str], Host]) -> None:
    host = machine_host(machine_name)
    page = look(host)
    for gpu in host.gpus:
        assert gpu.name in page.text
    assert plain(host).splitlines()[0].startswith("machine")


def test_a_machine_of_which_nothing_is_known() -> None:
    assert "a machine without a name" in look(Host()).text


@pytest.mark.parametrize("text", HOSTILE)
def test_strings_of_a_machine_are_text(text: str) -> None:
    host = Host(
        os=OperatingSystem(distribution=text, release=text),
        cpu=Cpu(model=text, features=(text,)),
        board=Board(name=text, soc=text),
        gpus=(Gpu(text, text, reason=text),),
        npus=(Npu(text, text, reason=text),),
        runtimes=(Runtime(text, text, installed=True, build=(text,), advice=text),),
        disk=Disk(text, 2, 1),
        remarks=(Remark(text, text),),
    )
    assert look(host).seen <= {"div", "style", "h4", "small", "table", "tbody", "tr", "th", "td"}


def test_a_profile_says_what_it_leaves_alone_and_why_it_was_taken(machine_host: Callable[[str], Host]) -> None:
    match = profiles.match(machine_host("pi5-8gb"))
    text = look(match).text
    assert "taken because board soc bcm2712" in text
    for shown in (text, look(match.profile).text, plain(match.profile)):
        assert "484 MiB left to the system" in shown
        assert "17.1 GB/s expected" in shown
        assert "llama.cpp, onnx, remote" in shown


@pytest.mark.parametrize("text", HOSTILE[:3])
def test_words_of_a_profile_are_text(text: str, machine_host: Callable[[str], Host]) -> None:
    profile = replace(profiles.match(machine_host("pi5-8gb")).profile, name=text, notes=(text,), bandwidth_source=text)
    assert "b" not in look(profile).seen
