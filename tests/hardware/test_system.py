"""Operating system, container, WSL, and the product."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgelfm.hardware.board import family_of, parse_strings, parse_tegra_release, read_board, soc_of
from edgelfm.hardware.disk import hub_cache
from edgelfm.hardware.machine import Facts, Machine
from edgelfm.hardware.system import architecture_of, parse_os_release, parse_wsl, read_system

Build = Callable[..., Machine]


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("5.15.167.4-microsoft-standard-WSL2", 2),
        ("6.6.0-custom-Microsoft-kernel", 2),
        ("4.4.0-19041-Microsoft", 1),
        ("6.8.0-51-generic", None),
    ],
)
def test_wsl(release: str, version: int | None) -> None:
    assert parse_wsl(release) == version


@pytest.mark.parametrize(
    ("machine", "bits", "architecture"),
    [
        ("x86_64", 64, "x86_64"), ("AMD64", 64, "x86_64"), ("aarch64", 64, "arm64"), ("ARM64", 64, "arm64"),
        ("aarch64", 32, "armv7"), ("armv7l", 32, "armv7"), ("armv6l", 32, "unknown"), ("x86_64", 32, "unknown"),
    ],
)  # fmt: skip
def test_architecture_is_that_of_the_process(machine: str, bits: int, architecture: str) -> None:
    assert architecture_of(Facts(machine=machine, bits=bits)) == architecture


@pytest.mark.parametrize(
    ("files", "environment", "container"),
    [
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {}, "podman"),
        ({"/run/systemd/container": "lxc\n"}, {}, "lxc"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"/proc/1/cgroup": "4:memory:/docker/0123\n"}, {}, "docker"),
        ({"/proc/1/cgroup": "0::/init.scope\n"}, {}, None),
    ],
)
def test_container(
    build_machine: Build, files: dict[str, str], environment: dict[str, str], container: str | None
) -> None:
    assert read_system(build_machine(files, environment=environment)).container == container


def test_os_release() -> None:
    assert (
        parse_os_release('NAME=x\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n') == "Debian GNU/Linux 12 (bookworm)"
    )
    assert parse_os_release("PRETTY_NAME=Alpine\n") == "Alpine"
    assert parse_os_release("") == ""


def test_a_hidden_boot_id_is_replaced_by_the_time_of_the_boot(build_machine: Build) -> None:
    assert read_system(build_machine({"/proc/stat": "cpu 1 2\nbtime 1763900000\n"})).boot_id == "btime 1763900000"


@pytest.mark.parametrize(("version", "name"), [("10.0.26100", "Windows 11"), ("10.0.19045", "Windows 10")])
def test_windows_by_its_build(build_machine: Build, version: str, name: str) -> None:
    assert read_system(build_machine(system="Windows", version=version)).distribution == name


@pytest.mark.parametrize(
    ("text", "release"),
    [("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic", "L4T 36.4.3"), ("# R32 (dev)", ""), ("", "")],
)
def test_tegra_release(text: str, release: str) -> None:
    assert parse_tegra_release(text) == release


@pytest.mark.parametrize(
    ("compatible", "family", "soc"),
    [
        ("raspberrypi,5-model-b\0brcm,bcm2712\0", "raspberry-pi", "bcm2712"),
        ("nvidia,p3767-0005\0nvidia,tegra234\0", "jetson", "tegra234"),
        ("radxa,rock-5b\0rockchip,rk3588\0", "rk3588", "rk3588"),
        ("armsom,sige5\0rockchip,rk3576\0", "rk3576", "rk3576"),
        ("lenovo,yoga-slim7x\0qcom,x1e80100\0", "snapdragon", "x1e80100"),
        ("acme,board\0acme,chip\0", "generic", "chip"),
        ("", "generic", ""),
    ],
)
def test_device_tree(compatible: str, family: str, soc: str) -> None:
    strings = parse_strings(compatible)
    assert (family_of(strings), soc_of(strings)) == (family, soc)


@pytest.mark.parametrize(
    ("vendor", "product", "name"),
    [
        ("Dell Inc.", "OptiPlex 7040", "Dell Inc. OptiPlex 7040"),
        ("Framework", "Framework Laptop 13", "Framework Laptop 13"),
        ("To Be Filled By O.E.M.", "To Be Filled By O.E.M.", ""),
    ],
)
def test_dmi(build_machine: Build, vendor: str, product: str, name: str) -> None:
    folder = "/sys/class/dmi/id"
    assert read_board(build_machine({f"{folder}/sys_vendor": vendor, f"{folder}/product_name": product})).name == name


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/h"}, "/h/.cache/huggingface/hub"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HOME": "/h", "HF_HOME": "~/hf"}, "/h/hf/hub"),
        ({"HOME": "/h", "HF_HOME": "/hf", "HF_HUB_CACHE": "/models"}, "/models"),
        ({"HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
    ],
)
def test_the_model_cache(environment: dict[str, str], path: str) -> None:
    assert hub_cache(environment) == path
