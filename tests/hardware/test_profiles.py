"""The profile that describes a machine, and why that one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelfm.errors import ProfileError, ProfileNotFound
from edgelfm.hardware import profiles
from edgelfm.hardware.host import Board, Cpu, Gpu, Host, Memory, Npu, OperatingSystem
from edgelfm.hardware.profile_rules import Device, Features, Flag, MemoryRange, Rule, Text
from edgelfm.hardware.profiles import Profile, Reserve
from edgelfm.units import GIB, MIB

ORIN_NANO = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
EXPECTED = {
    "container-512mb": ("small-container", "memory limited to 512 MiB, 512 MiB of memory"),
    "container-v1": ("small-container", "memory limited to 1.50 GiB, 1.50 GiB of memory"),
    "core-ultra-npu": ("intel-core-ultra", "CPU model Intel(R) Core(TM) Ultra 7 155H"),
    "epyc-server": ("x86-server", "CPU model AMD EPYC 9124 16-Core Processor, 188.70 GiB of memory"),
    "intel-avx2-old": ("intel-avx2-desktop", "CPU with avx2, CPU vendor Intel, system linux"),
    "jetson-agx-orin": ("jetson-agx-orin", "board name Jetson AGX Orin Developer Kit, board soc tegra234"),
    "jetson-orin-nano-8gb": ("jetson-orin-nano", f"board name {ORIN_NANO}, board soc tegra234"),
    "jetson-thor": ("jetson-thor", "board soc tegra264"),
    "mac-m2": ("apple-m1-m2-m3", "board soc Apple M2"),
    "mac-m4-max": ("apple-pro-max-ultra", "board soc Apple M4 Max"),
    "mac-m4-max-mlx": ("apple-pro-max-ultra", "board soc Apple M4 Max"),
    "pi-zero-2w": ("raspberry-pi-zero-2w", "board name Raspberry Pi Zero 2 W Rev 1.0, board soc bcm2837"),
    "pi3-32bit": ("raspberry-pi-3", "board soc bcm2837"),
    "pi4-2gb": ("raspberry-pi-4", "board soc bcm2711"),
    "pi5-16gb-hailo10h": ("raspberry-pi-5", "board soc bcm2712"),
    "pi5-4gb": ("raspberry-pi-5", "board soc bcm2712"),
    "pi5-8gb": ("raspberry-pi-5", "board soc bcm2712"),
    "rk3588-orangepi5": ("rk3588", "board soc rk3588"),
    "rtx4090-desktop": ("nvidia-desktop-gpu", "GPU NVIDIA GeForce RTX 4090 with memory of its own"),
    "ryzen-ai-9-hx370": ("ryzen-ai-300", "CPU model AMD Ryzen AI 9 HX 370 w/ Radeon 890M"),
    "ryzen-ai-max-395": ("ryzen-ai-max", "CPU model AMD RYZEN AI MAX+ 395 w/ Radeon 8060S"),
    "snapdragon-x-elite": ("snapdragon-x", "board family snapdragon"),
    "windows-core-ultra-200v": ("intel-core-ultra", "CPU model Intel(R) Core(TM) Ultra 7 258V"),
    "wsl2": ("wsl2", "WSL 2"),
}


def test_recorded_machine_gets_its_profile_for_the_right_reason(
    machine_name: str, machine_host: Callable[[str], Host]
) -> None:
    match = profiles.match(machine_host(machine_name))

    assert (match.profile.id, match.reason) == EXPECTED[machine_name]


def host(
    *,
    soc: str = "",
    family: str = "generic",
    name: str = "",
    cpu: str = "",
    vendor: str = "",
    architecture: str = "x86_64",
    features: tuple[str, ...] = (),
    gib: float = 16,
    system: str = "linux",
    **more: object,
) -> Host:
    return Host(
        os=OperatingSystem(system=system),  # type: ignore[arg-type]
        cpu=Cpu(vendor=vendor, model=cpu, architecture=architecture, features=features),  # type: ignore[arg-type]
        memory=Memory(total_bytes=round(gib * GIB), available_bytes=round(gib * GIB)),
        board=Board(family=family, name=name, soc=soc),
        **more,  # type: ignore[arg-type]
    )


PASCAL = Gpu("nvidia", "NVIDIA GeForce GTX 1060")
GB10 = Gpu("nvidia", "NVIDIA GB10", unified=True)
OTHERS = [
    ("raspberry-pi-5", host(soc="bcm2712", family="raspberry-pi", name="Raspberry Pi Compute Module 5 Rev 1.0")),
    ("jetson-nano", host(soc="tegra210", family="jetson", name="NVIDIA Jetson Nano Developer Kit")),
    ("jetson-xavier", host(soc="tegra194", family="jetson", name="NVIDIA Jetson Xavier NX Developer Kit")),
    ("jetson-orin-nx", host(soc="tegra234", family="jetson", name="NVIDIA Jetson Orin NX Engineering Reference")),
    ("generic-jetson", host(soc="tegra234", family="jetson", name="A carrier board with its own name")),
    ("generic-jetson", host(soc="tegra186", family="jetson", name="NVIDIA Jetson TX2 Developer Kit")),
    ("rk3588", host(soc="rk3588s", family="rk3588", architecture="arm64")),
    ("rk3576", host(soc="rk3576", family="rk3576", architecture="arm64")),
    ("apple-m1-m2-m3", host(soc="Apple M1", family="mac", system="darwin", architecture="arm64")),
    ("apple-m4", host(soc="Apple M4", family="mac", system="darwin", architecture="arm64")),
    ("apple-m4", host(soc="Apple M5", family="mac", system="darwin", architecture="arm64")),
    ("apple-pro-max-ultra", host(soc="Apple M1 Pro", family="mac", system="darwin", architecture="arm64")),
    ("apple-pro-max-ultra", host(soc="Apple M3 Ultra", family="mac", system="darwin", architecture="arm64")),
    ("generic-mac", host(family="mac", system="darwin", vendor="Intel", features=("avx", "avx2"))),
    ("ryzen-7040-8040", host(cpu="AMD Ryzen 7 7840U w/ Radeon 780M Graphics", vendor="AMD")),
    ("ryzen-7040-8040", host(cpu="AMD Ryzen 7 PRO 7840U w/ Radeon 780M Graphics", vendor="AMD")),
    ("ryzen-7040-8040", host(cpu="AMD Ryzen 9 8945HS w/ Radeon 780M Graphics", vendor="AMD")),
    ("ryzen-7040-8040", host(cpu="AMD Ryzen 5 8600G w/ Radeon 760M Graphics", vendor="AMD")),
    ("ryzen-ai-300", host(cpu="AMD Ryzen AI 7 PRO 350 w/ Radeon 860M", vendor="AMD")),
    ("ryzen-ai-max", host(cpu="AMD RYZEN AI MAX PRO 390 w/ Radeon 8050S", vendor="AMD")),
    ("amd-avx2-desktop", host(cpu="AMD Ryzen 7 5800X3D 8-Core Processor", vendor="AMD", features=("avx2",))),
    ("amd-avx2-desktop", host(cpu="AMD Ryzen 7 7800X3D 8-Core Processor", vendor="AMD", features=("avx2",))),
    ("intel-avx2-desktop", host(cpu="Intel(R) N100", vendor="Intel", features=("avx2",), system="windows")),
    ("generic-x86-64", host(cpu="Intel(R) Celeron(R) N3350", vendor="Intel", features=("f16c",))),
    ("generic-windows", host(cpu="Intel(R) Celeron(R) N3350", vendor="Intel", system="windows")),
    ("nvidia-desktop-gpu", host(cpu="Intel(R) Core(TM) Ultra 7 265K", vendor="Intel", gpus=(PASCAL,))),
    ("nvidia-desktop-gpu", host(cpu="AMD EPYC 9124 16-Core Processor", vendor="AMD", gpus=(PASCAL,))),
    ("nvidia-gb10", host(architecture="arm64", gib=119, gpus=(GB10,))),
    ("x86-server", host(cpu="Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", vendor="Intel", features=("avx2",))),
    ("intel-avx2-desktop", host(cpu="Intel(R) Xeon(R) CPU", vendor="Intel", features=("avx2",), gib=2)),
    ("generic-small", host(cpu="Intel(R) Xeon(R) CPU", vendor="Intel", features=("avx2",), gib=0.5)),
    ("generic-arm64", host(cpu="Neoverse-N1", vendor="ARM", architecture="arm64")),
    ("generic", Host()),
]


@pytest.mark.parametrize(("expected", "machine"), OTHERS, ids=[f"{n}-{name}" for n, (name, _) in enumerate(OTHERS)])
def test_machines_that_are_not_recorded(expected: str, machine: Host) -> None:
    assert profiles.match(machine).profile.id == expected


def test_every_profile_is_the_answer_for_some_machine() -> None:
    reached = {expected for expected, _ in EXPECTED.values()} | {expected for expected, _ in OTHERS}

    assert set(profiles.load()) == reached


def test_unknown_machine_is_told_that_nothing_fits_better() -> None:
    assert profiles.match(Host()).reason == "nothing more specific fits this machine"


BOARDS = [
    Board(), Board("raspberry-pi", "Raspberry Pi 5 Model B", ("brcm,bcm2712",), "bcm2712"),
    Board("raspberry-pi", "Raspberry Pi Zero 2 W", (), "bcm2837"), Board("jetson", ORIN_NANO, (), "tegra234"),
    Board("jetson", "Jetson AGX Orin", (), "tegra234"), Board("jetson", "", (), "tegra264"),
    Board("jetson", "", (), "tegra210"), Board("jetson", "", (), "tegra194"), Board("rk3588", "", (), "rk3588s"),
    Board("rk3576", "", (), "rk3576"), Board("mac", "Mac16,5", (), "Apple M4 Max"), Board("mac", "", (), "Apple M4"),
    Board("mac", "", (), "Apple M2"), Board("mac", "iMac20,1"), Board("snapdragon", "Surface", (), "x1e80100"),
]  # fmt: skip
CPUS = [
    "", "12x Cortex-A78AE", "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", "AMD Ryzen AI 9 HX 370 w/ Radeon 890M",
    "AMD Ryzen 7 7840HS w/ Radeon 780M Graphics", "AMD Ryzen 7 7800X3D 8-Core Processor", "AMD EPYC 7763 64-Core",
    "Intel(R) Core(TM) Ultra 7 155H", "Intel(R) Core(TM) i5-6500 CPU @ 3.20GHz", "Intel(R) Xeon(R) CPU", "Apple M2",
]  # fmt: skip
GPUS = [
    PASCAL, GB10, Gpu("nvidia", "Orin (nvgpu)", unified=True), Gpu("amd", "Radeon 8060S", unified=True),
    Gpu("amd", "Radeon RX 7900 XTX"), Gpu("intel", "Arc B580"), Gpu("apple", "Apple M2 GPU", unified=True),
]  # fmt: skip
MEMORIES = st.builds(
    lambda total, limit: Memory(total_bytes=total, available_bytes=total, limit_bytes=limit),
    st.integers(0, 512 * GIB),
    st.none() | st.integers(64 * MIB, 64 * GIB),
)
HOSTS = st.builds(
    Host,
    os=st.builds(
        OperatingSystem,
        system=st.sampled_from(["linux", "darwin", "windows", "unknown"]),
        container=st.sampled_from([None, "docker", "kubernetes"]),
        wsl=st.sampled_from([None, 1, 2]),
    ),
    cpu=st.builds(
        Cpu,
        vendor=st.sampled_from(["", "AMD", "Intel", "ARM", "Apple", "Qualcomm"]),
        model=st.sampled_from(CPUS),
        architecture=st.sampled_from(["x86_64", "arm64", "armv7", "unknown"]),
        features=st.sets(st.sampled_from(["avx", "avx2", "avx512f", "dotprod", "i8mm", "neon"])).map(tuple),
    ),
    memory=MEMORIES,
    board=st.sampled_from(BOARDS),
    gpus=st.lists(st.sampled_from(GPUS), max_size=3).map(tuple),
    npus=st.just((Npu("amd", "AMD XDNA"),)),
)


@given(HOSTS)
def test_no_machine_leaves_two_profiles_equally_good(machine: Host) -> None:
    match = profiles.match(machine, profiles.load({}), environment={})

    assert match.profile.facts(machine) is not None
    assert match.profile.specificity == max(
        one.specificity for one in profiles.load({}).values() if one.facts(machine) is not None
    )


def profile(id: str, *rules: Rule, **more: object) -> Profile:
    values = {"name": id, "reserve_bytes": 0, "backends": ("llama.cpp",), "quantizations": ("Q4_0",), **more}
    return Profile(id=id, rules=rules, path=f"{id}.yaml", **values)  # type: ignore[arg-type]


PI = host(soc="bcm2712", family="raspberry-pi", name="Raspberry Pi 5", architecture="arm64", gib=7.9)


def test_order_of_kinds_decides() -> None:
    machine = replace(
        PI,
        os=OperatingSystem("linux", container="docker", wsl=2),
        memory=replace(PI.memory, limit_bytes=2 * GIB),
        cpu=Cpu(vendor="ARM", model="4x Cortex-A76", architecture="arm64", features=("dotprod", "fp16", "neon")),
        gpus=(Gpu("arm", "Mali", unified=True),),
        npus=(Npu("hailo", "Hailo"),),
    )
    ladder = [
        Text("architecture", ("arm64",)),
        Text("system", ("linux",)),
        Text("CPU vendor", ("arm",)),
        Features(every=("neon",)),
        MemoryRange(at_least=GIB),
        Device("NPU", vendor=("hailo",)),
        Text("CPU model", ("*Cortex-A76*",)),
        Device("GPU", vendor=("arm",)),
        Text("board family", ("raspberry-pi",)),
        Text("board soc", ("bcm2712",)),
        Flag("container", wanted=True),
        Flag("WSL", wanted=True),
        Flag("memory limit", wanted=True),
    ]
    by_id = {rule.kind: profile(rule.kind, rule) for rule in ladder}

    for lesser, greater in combinations(ladder, 2):
        pair = {kind: by_id[kind] for kind in (greater.kind, lesser.kind)}
        assert profiles.match(machine, pair).profile.id == greater.kind


def test_more_facts_of_one_kind_win() -> None:
    known = {
        "soc": profile("soc", Text("board soc", ("bcm2712",))),
        "both": profile("both", Text("board soc", ("bcm2712",)), Text("board name", ("*pi 5*",))),
        "cpu": profile(
            "cpu", Text("architecture", ("arm64",)), Text("system", ("linux",)), MemoryRange(below=64 * GIB)
        ),
    }

    match = profiles.match(PI, known)

    assert (match.profile.id, match.reason) == ("both", "board soc bcm2712, board name Raspberry Pi 5")


def test_tie_is_an_error_that_names_both_files_and_the_way_out() -> None:
    known = {
        "a": profile("a", Text("board soc", ("bcm*",))),
        "b": profile("b", Text("board name", ("*Pi*",))),
        "c": profile("c"),
    }

    with pytest.raises(ProfileError) as caught:
        profiles.match(PI, known)

    assert "'a' (a.yaml) and 'b' (b.yaml) fit this machine equally well" in caught.value.message
    assert "board soc bcm*; board name *Pi*" in caught.value.message
    assert caught.value.hint == "add a rule to one of them, or choose: EDGELFM_PROFILE=a"


def test_nothing_fits() -> None:
    with pytest.raises(ProfileNotFound, match="no profile fits") as caught:
        profiles.match(PI, {"a": profile("a", Flag("WSL", wanted=True))})
    assert caught.value.hint


RULES: list[tuple[Rule, Host, str | None]] = [
    (Text("board compatible", ("brcm,bcm27*",)), Host(board=BOARDS[1]), "board compatible brcm,bcm2712"),
    (Text("CPU model", ("*",)), Host(), None),
    (MemoryRange(at_least=8 * GIB), Host(memory=Memory(total_bytes=8 * GIB)), "8.00 GiB of memory"),
    (MemoryRange(below=8 * GIB), Host(memory=Memory(total_bytes=8 * GIB)), None),
    (MemoryRange(below=GIB), Host(memory=Memory(total_bytes=8 * GIB, limit_bytes=512 * MIB)), "512 MiB of memory"),
    (MemoryRange(below=GIB), Host(), None),
    (Features(some=("i8mm", "dotprod")), Host(cpu=Cpu(features=("dotprod",))), "CPU with dotprod"),
    (Features(some=("i8mm", "sve")), Host(cpu=Cpu(features=("dotprod",))), None),
    (Features(none=("avx512f",)), Host(cpu=Cpu(features=("avx2",))), "CPU with no avx512f"),
    (Features(none=("avx512f",)), Host(), None),
    (Features(every=("avx2", "fma")), Host(cpu=Cpu(features=("avx2",))), None),
    (Flag("container", wanted=False), Host(), "no container"),
    (Flag("container", wanted=False), Host(os=OperatingSystem(container="lxc")), None),
    (Flag("WSL", wanted=True), Host(os=OperatingSystem(wsl=1)), "WSL 1"),
    (Device("NPU", vendor=("amd",)), Host(npus=(Npu("amd", "AMD XDNA"),)), "NPU AMD XDNA"),
    (Device("GPU", vendor=("nvidia",), unified=True), Host(gpus=(PASCAL, GPUS[3])), None),
    (Device("GPU", unified=True), Host(gpus=(PASCAL, GPUS[3])), "GPU Radeon 8060S sharing main memory"),
]


@pytest.mark.parametrize(("rule", "machine", "fact"), RULES, ids=[str(rule) for rule, _, _ in RULES])
def test_rule(rule: Rule, machine: Host, fact: str | None) -> None:
    assert rule.fact(machine) == fact


def test_fact_that_could_not_be_read_fulfils_no_rule() -> None:
    nothing = Host()

    for one in profiles.load({}).values():
        assert one.id == "generic" or one.facts(nothing) is None


def test_reserve_is_a_share_of_memory_between_bounds() -> None:
    reserve = Reserve(at_least=100 * MIB, at_most=GIB, fraction=0.1)

    assert reserve.of(512 * MIB) == 100 * MIB
    assert reserve.of(5 * GIB) == GIB // 2
    assert reserve.of(64 * GIB) == GIB
    assert reserve.of(0) == 100 * MIB


def test_reserve_follows_the_limit_of_a_container_not_the_server_behind_it() -> None:
    server = Host(memory=Memory(total_bytes=512 * GIB, limit_bytes=2 * GIB))

    assert profiles.match(server).profile.reserve_bytes == round(0.08 * 2 * GIB)


def test_reserve_leaves_most_of_every_machine(machine_name: str, machine_host: Callable[[str], Host]) -> None:
    machine = machine_host(machine_name)
    memory = min(machine.memory.total_bytes, machine.memory.limit_bytes or machine.memory.total_bytes)

    assert 0 < profiles.match(machine).profile.reserve_bytes <= 0.25 * memory


@pytest.mark.parametrize(
    ("soc", "expected"), [("Apple M1", 68.3), ("Apple M2", 102.4), ("Apple M4 Max", 410), ("Apple M3 Pro", 150)]
)
def test_bandwidth_is_that_of_the_chip(soc: str, expected: float) -> None:
    machine = host(soc=soc, family="mac", system="darwin", architecture="arm64")

    found = profiles.match(machine).profile

    assert found.bandwidth_bytes_per_second == expected * 1e9
    assert found.bandwidth_source


def test_bandwidth_depends_on_memory_and_power_mode_of_an_orin_nano() -> None:
    def rate(name: str, gib: float) -> float | None:
        board = host(soc="tegra234", family="jetson", name=name, gib=gib)
        return profiles.match(board).profile.bandwidth_bytes_per_second

    assert rate("NVIDIA Jetson Orin Nano Developer Kit", 7.4) == 68e9
    assert rate(ORIN_NANO, 7.4) == 102.4e9
    assert rate("NVIDIA Jetson Orin Nano Developer Kit", 3.6) == 34e9


def test_argument_outranks_environment_and_environment_outranks_the_machine(tmp_path: Path) -> None:
    environment = {"EDGELFM_PROFILE": "raspberry-pi-4", "EDGELFM_CONFIG": str(tmp_path)}

    by_machine = profiles.match(PI, environment={"EDGELFM_CONFIG": str(tmp_path)})
    by_environment = profiles.match(PI, environment=environment)
    by_argument = profiles.match(PI, override="x86-server", environment=environment)

    assert (by_machine.profile.id, by_machine.reason) == ("raspberry-pi-5", "board soc bcm2712")
    assert by_environment.profile.id == "raspberry-pi-4"
    assert by_environment.reason == "chosen by EDGELFM_PROFILE=raspberry-pi-4"
    assert (by_argument.profile.id, by_argument.reason) == ("x86-server", "chosen by profile='x86-server'")


def test_environment_variable_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELFM_PROFILE", "rk3588")

    assert profiles.match(PI).profile.id == "rk3588"


MINE = """\
name: My Pi
match: {board: {soc: bcm2712}}
reserve: 123 MiB
backends: [remote]
quantizations: [Q8_0]
"""


@pytest.mark.parametrize("as_path", [False, True], ids=["text", "path"])
def test_override_by_file(tmp_path: Path, as_path: bool) -> None:
    file = tmp_path / "pi.yaml"
    file.write_text(MINE.replace("match: {board: {soc: bcm2712}}\n", ""))

    match = profiles.match(Host(), override=file if as_path else str(file))

    assert (match.profile.id, match.profile.reserve_bytes) == ("pi", 123 * MIB)
    assert match.reason == f"chosen by profile={str(file)!r}"


def test_file_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pi.yaml").write_text(MINE)
    monkeypatch.chdir(tmp_path)

    assert profiles.match(Host(), override="pi.yaml").profile.name == "My Pi"
    assert profiles.match(Host(), environment={"EDGELFM_PROFILE": "./pi.yaml"}).profile.name == "My Pi"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raspberry-pi5", "there is no profile 'raspberry-pi5'; did you mean 'raspberry-pi-5'?"),
        ("xyz", "there is no profile 'xyz'"),
        ("none.yaml", "there is no profile file none.yaml"),
        ("nowhere/pi", "there is no profile file nowhere/pi"),
    ],
)
def test_override_that_does_not_exist(name: str, words: str) -> None:
    with pytest.raises(ProfileNotFound) as caught:
        profiles.match(PI, override=name)

    assert caught.value.message == words
    assert caught.value.hint == "list the profiles: edgelfm profiles"


def test_profile_of_the_user_replaces_ours_and_adds_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "raspberry-pi-5.yaml").write_text(MINE)
    (folder / "by-name-only.yaml").write_text("".join(MINE.splitlines(keepends=True)[:1] + MINE.splitlines(True)[2:]))
    environment = {"EDGELFM_CONFIG": str(tmp_path)}

    known = profiles.load(environment)
    match = profiles.match(PI, environment=environment)

    assert set(known) == {*profiles.load({}), "by-name-only"}
    assert (match.profile.name, match.profile.reserve_bytes) == ("My Pi", 123 * MIB)
    assert match.profile.path == str(folder / "raspberry-pi-5.yaml")
    assert known["by-name-only"].describes == "taken by name only"


def test_new_profile_of_the_user_that_ties_with_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text(MINE)

    with pytest.raises(ProfileError, match=r"'raspberry-pi-5' .* and 'mine' .* equally well"):
        profiles.match(PI, environment={"EDGELFM_CONFIG": str(tmp_path)})


def test_malformed_profile_of_the_user_is_an_error_not_a_silence(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text(MINE.replace("reserve", "reserv"))

    with pytest.raises(ProfileError, match=r"mine\.yaml, line 3: key 'reserv' is not known; did you mean 'reserve'"):
        profiles.match(PI, environment={"EDGELFM_CONFIG": str(tmp_path)})


def test_profile_is_plain_data_for_json() -> None:
    data = profiles.load({})["raspberry-pi-5"].to_dict()

    assert data["match"] == "board soc bcm2712"
    assert data["reserve_bytes"] == 250 * MIB
    assert data["threads"] == {
        "cores": "performance", "maximum": 4, "prefill_maximum": None,
        "reason": "four cores, and all share one memory bus",
    }  # fmt: skip
    assert data["references"][0]["decode"] == 30


def test_matching_again_is_quick() -> None:
    profiles.match(PI)
    start = time.process_time()
    for _ in range(10):
        profiles.match(PI)

    assert (time.process_time() - start) / 10 < 0.02  # a plan may take 0.05 in all
