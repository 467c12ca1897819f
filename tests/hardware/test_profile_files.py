"""Profile files are checked strictly, and the ones that come with edgelfm are in order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelfm.errors import ProfileError
from edgelfm.hardware import profile_files, profiles
from edgelfm.hardware.profile_files import read_folder, read_profile, shipped_folder, user_folder
from edgelfm.hardware.profile_rules import Device, Features, Flag, MemoryRange, Text
from edgelfm.hardware.profiles import Bandwidth, Reserve, SpeedReference, ThreadPolicy
from edgelfm.units import GIB, MIB

FULL = """\
name: My board
match:
  limit: false
  wsl: false
  container: false
  board: {name: "My*", compatible: [maker,board, "maker,other"], soc: x1, family: generic}
  cpu: {vendor: ARM, model: "*A76*", architecture: arm64, features: {all: [neon], any: [sve, i8mm], none: [sme]}}
  gpu: {vendor: nvidia, name: "*GB*", unified: true}
  npu: {vendor: hailo}
  memory: {at_least: 1.5 GiB, below: 8 GB}
  system: [linux, windows]
reserve: {at_least: 300 MiB, at_most: 1 GiB, fraction: 0.05}
backends: [llama.cpp, remote]
quantizations: [Q4_0, Q8_0]
threads: {cores: physical, maximum: 4, prefill_maximum: 8, reason: it is so}
bandwidth:
  - when: {board: {soc: x2}}
    rate: 34 GB/s
    source: data sheet
  - rate: 17.1 GB/s
    source: guess
references:
  - {model: lfm2.5-350m, quantization: Q4_0, runtime: llama.cpp, decode: 30, source: a blog}
notes: [Keep it cool]
"""

SMALL = """\
name: My board
match:
  board: {soc: x1}
reserve: 300 MiB
backends: [llama.cpp]
quantizations: [Q4_0]
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Write text to `pi.yaml` and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "pi.yaml"
        path.write_text(text)
        return path

    return write


def test_everything_a_profile_may_say(written: Callable[[str], Path]) -> None:
    one = read_profile(written(FULL))

    assert one.id == "pi"
    assert one.rules == (
        Flag("memory limit", False),
        Flag("WSL", False),
        Flag("container", False),
        Text("board name", ("My*",)),
        Text("board compatible", ("maker", "board", "maker,other")),
        Text("board soc", ("x1",)),
        Text("board family", ("generic",)),
        Text("CPU model", ("*A76*",)),
        Device("GPU", ("nvidia",), ("*GB*",), True),
        Device("NPU", ("hailo",)),
        MemoryRange(round(1.5 * GIB), 8 * 10**9),
        Features(("neon",), ("sve", "i8mm"), ("sme",)),
        Text("CPU vendor", ("ARM",)),
        Text("system", ("linux", "windows")),
        Text("architecture", ("arm64",)),
    )
    assert one.specificity == (1, 1, 1, 3, 1, 3, 1, 1, 1, 3, 1, 1, 1)
    assert one.reserve == Reserve(300 * MIB, GIB, 0.05)
    assert (one.backends, one.quantizations) == (("llama.cpp", "remote"), ("Q4_0", "Q8_0"))
    assert one.threads == ThreadPolicy("physical", 4, 8, "it is so")
    assert one.bandwidths == (
        Bandwidth(34e9, "data sheet", (Text("board soc", ("x2",)),)),
        Bandwidth(17.1e9, "guess"),
    )
    assert (one.bandwidth_bytes_per_second, one.bandwidth_source) == (17.1e9, "guess")
    assert one.references == (SpeedReference("lfm2.5-350m", "Q4_0", "llama.cpp", 30, None, "a blog"),)
    assert one.notes == ("Keep it cool",)


def test_least_a_profile_has_to_say(written: Callable[[str], Path]) -> None:
    one = read_profile(written(SMALL))

    assert (one.reserve_bytes, one.bandwidth_bytes_per_second) == (300 * MIB, None)
    assert one.threads == ThreadPolicy()


def test_absent_match_is_by_name_only_and_empty_match_is_anything(written: Callable[[str], Path]) -> None:
    without = SMALL.replace("match:\n  board: {soc: x1}\n", "")

    assert read_profile(written(without)).rules is None
    assert read_profile(written(f"{without}match: {{}}\n")).rules == ()


# What is replaced in SMALL and by what, the line of the error, and words its message holds.
MALFORMED = {
    "unknown key": ("reserve:", "reserve_mb:", 4, ["'reserve_mb' is not known", "did you mean 'reserve'?"]),
    "missing key": ("reserve: 300 MiB\n", "", 1, ["'reserve' is missing"]),
    "unknown rule": ("board:", "bord:", 3, ["'match.bord'", "did you mean 'board'?"]),
    "unknown fact": ("soc:", "socc:", 3, ["'match.board.socc'", "did you mean 'soc'?"]),
    "empty block": ("{soc: x1}", "{}", 3, ["'match.board'", "empty", "name, compatible, soc, family"]),
    "no block": ("{soc: x1}", "", 3, ["'match.board' is empty"]),
    "no pattern": ("x1}", "[]}", 3, ["'match.board.soc'", "at least 1 item"]),
    "number as pattern": ("x1}", "1}", 3, ["'match.board.soc' must be a list"]),
    "rule of CPU": ("board: {soc: x1}", "cpu: {modell: x}", 3, ["'match.cpu.modell'", "'model'"]),
    "feature": ("board: {soc: x1}", "cpu: {features: {all: [avx-2]}}", 3, ["cannot be 'avx-2'", "'avx2'"]),
    "feature set": ("board: {soc: x1}", "cpu: {features: {al: [avx2]}}", 3, ["features.al'", "did you mean 'all'?"]),
    "architecture": ("board: {soc: x1}", "cpu: {architecture: x86-64}", 3, ["'x86-64'", "'x86_64'"]),
    "system": ("board: {soc: x1}", "system: Linux", 3, ["cannot be 'Linux'", "did you mean 'linux'?"]),
    "unified as text": ("board: {soc: x1}", "gpu: {unified: 'yes'}", 3, ["must be true or false, not 'yes'"]),
    "memory without unit": ("board: {soc: x1}", "memory: {at_least: 8}", 3, ["at_least'", "8 has no unit", "'8 GiB'"]),
    "memory the wrong way": (
        "board: {soc: x1}", "memory: {at_least: 8 GiB, below: 4 GiB}", 3, ["'match.memory'", "less than 'below'"]
    ),
    "memory of nothing": ("board: {soc: x1}", "memory: {below: 0 MiB}", 3, ["'match.memory.below'", "greater than 0"]),
    "reserve without unit": ("300 MiB", "300", 4, ["'reserve'", "300 has no unit; write '300 MiB'"]),
    "reserve in text without unit": ("300 MiB", "'300'", 4, ["'reserve'", "300 has no unit"]),
    "wrong unit": ("300 MiB", "300 Mi", 4, ["'reserve'", "'Mi' is not a unit of memory", "did you mean 'MiB'?"]),
    "unit of the wrong case": ("300 MiB", "300 mib", 4, ["'mib' is not a unit", "did you mean 'MiB'?"]),
    "reserve as words": ("300 MiB", "a lot", 4, ["'reserve'", "'a lot' is not an amount of memory"]),
    "reserve as truth": ("300 MiB", "true", 4, ["'reserve'", "a number and a unit"]),
    "negative reserve": ("300 MiB", "-5 MiB", 4, ["'reserve'", "not an amount of memory"]),
    "reserve block": ("300 MiB", "{fraction: 0.1}", 4, ["'reserve.at_least' is missing"]),
    "reserve fraction": ("300 MiB", "{at_least: 1 MiB, fraction: 5}", 4, ["'reserve.fraction'", "0.9", "not 5"]),
    "reserve bounds": ("300 MiB", "{at_least: 2 GiB, at_most: 1 GiB}", 4, ["'reserve'", "'at_most' must not be less"]),
    "backend": ("[llama.cpp]", "[llamacpp]", 5, ["'backends'", "did you mean 'llama.cpp'?"]),
    "backends as text": ("[llama.cpp]", "llama.cpp", 5, ["'backends' must be a list, not 'llama.cpp'"]),
    "no backend": ("[llama.cpp]", "[]", 5, ["'backends'", "at least 1 item"]),
    "backend twice": ("[llama.cpp]", "[mlx, mlx]", 5, ["'backends'", "'mlx' is given twice"]),
    "quantization": ("[Q4_0]", "[Q4_0, Q4KM]", 6, ["'quantizations[1]' cannot be 'Q4KM'", "did you mean 'Q4_K_M'?"]),
    "threads": ("name:", "threads: {max: 4}\nname:", 1, ["'threads.max'", "did you mean 'maximum'?"]),
    "thread cores": ("name:", "threads: {cores: fast}\nname:", 1, ["'threads.cores' cannot be 'fast'"]),
    "no threads": ("name:", "threads: {maximum: 0}\nname:", 1, ["'threads.maximum'", "not 0"]),
    "threads in text": ("name:", "threads: {maximum: four}\nname:", 1, ["must be a whole number, not 'four'"]),
    "bandwidth without unit": ("name:", "bandwidth:\n- {rate: 17, source: x}\nname:", 2, ["rate'", "no unit of speed"]),
    "bandwidth unit": ("name:", "bandwidth:\n- {rate: 17 Gb/s, source: x}\nname:", 2, ["'Gb' is not a unit", "'GB'"]),
    "bandwidth without source": ("name:", "bandwidth:\n- {rate: 17 GB/s}\nname:", 2, ["'bandwidth[0].source' is miss"]),
    "bandwidth hidden": (
        "name:", "bandwidth:\n- {rate: 1 GB/s, source: x}\n- {rate: 2 GB/s, source: x, when: {wsl: true}}\nname:",
        1, ["'bandwidth'", "put it last"],
    ),
    "reference without speed": (
        "name:", "references:\n- {model: a, quantization: b, runtime: c, source: d}\nname:", 2, ["'decode', 'prefill'"]
    ),
    "reference with a unit": (
        "name:", "references:\n- {model: a, quantization: b, runtime: c, source: d, decode: 9 t/s}\nname:",
        2, ["'references[0].decode' must be a number, not '9 t/s'"],
    ),
    "note that is a mapping": ("name:", "notes:\n- Look: here\nname:", 2, ["'notes[0]' must be text, not a mapping"]),
    "name as number": ("My board", "5", 1, ["'name' must be text, not 5"]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "words"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_profile_names_file_line_and_key(
    written: Callable[[str], Path], old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in SMALL
    path = written(SMALL.replace(old, new, 1))

    with pytest.raises(ProfileError) as caught:
        read_profile(path)

    first = caught.value.message.splitlines()[0]
    assert first.startswith(f"{path}, line {line}: key '"), first
    assert all(word in first for word in words), first
    assert caught.value.hint


def test_validate_tells_every_problem_and_raises_nothing(written: Callable[[str], Path], tmp_path: Path) -> None:
    path = written("nme: x\nreserve: 3\nbackends: [mlx]\nquantizations: [Q9]\n")

    problems = profiles.validate(path)

    assert [(problem.line, problem.key) for problem in problems] == [
        (1, "nme"), (2, "reserve"), (4, "quantizations[0]"), (1, "name"),
    ]  # fmt: skip
    assert str(problems[1]) == f"{path}, line 2: key 'reserve': 3 has no unit; write '3 MiB' or '3 GiB'"
    assert profiles.validate(str(tmp_path / "none.yaml"))[0].message.startswith("the file cannot be read")


def test_validate_compares_the_files_of_a_folder(tmp_path: Path) -> None:
    assert "holds no YAML file" in profiles.validate(tmp_path)[0].message

    (tmp_path / "a.yaml").write_text(SMALL)
    (tmp_path / "b.yaml").write_text(SMALL)
    (tmp_path / "c.yaml").write_text(SMALL.replace("x1", "x2"))

    (problem,) = profiles.validate(tmp_path)

    assert problem.file == str(tmp_path / "b.yaml")
    assert problem.message == (
        f"key 'match' asks for the same as in {tmp_path / 'a.yaml'}, so neither is the more specific"
    )


def test_unchanged_file_is_read_once_and_a_changed_one_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SMALL)

    (first,) = read_folder(tmp_path)
    (again,) = read_folder(tmp_path)
    path.write_text(SMALL.replace("300 MiB", "301 MiB"))
    (changed,) = read_folder(tmp_path)

    assert again is first
    assert changed.reserve_bytes == 301 * MIB


def test_backend_of_a_third_party_may_be_named(
    written: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(SMALL.replace("[llama.cpp]", "[acme, llama.cpp]"))
    with pytest.raises(ProfileError, match="'acme' is not a backend"):
        read_profile(path)

    installed = tmp_path / "site" / "acme-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[edgelfm.backends]\nacme = acme:open_session\n")
    monkeypatch.syspath_prepend(tmp_path / "site")

    assert read_profile(path).backends == ("acme", "llama.cpp")


def test_shipped_profiles_are_valid_and_enough() -> None:
    assert profiles.validate(shipped_folder()) == []
    assert len(read_folder(shipped_folder())) >= 22


def test_shipped_profiles_say_what_people_need() -> None:
    for one in read_folder(shipped_folder()):
        assert one.notes, one.id
        assert one.backends[-1] == "remote", one.id
        assert set(one.quantizations) <= {"Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"}, one.id
        assert all(reference.source for reference in one.references), one.id


def test_published_speeds_are_of_models_in_the_catalogue() -> None:
    from edgelfm.models import catalog

    known = {entry.id for entry in catalog.load()}
    named = {reference.model for one in read_folder(shipped_folder()) for reference in one.references}

    assert named <= known


def test_installed_package_carries_its_profiles(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "edgelfm"
    (package / "_profiles").mkdir(parents=True)
    (tmp_path / "site-packages" / "profiles").mkdir()  # of some other package

    assert shipped_folder(package) == package / "_profiles"


def test_source_checkout_has_its_profiles_beside_the_package() -> None:
    folder = shipped_folder()

    assert folder == Path(profile_files.__file__).parents[2] / "profiles"


def test_damaged_installation_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="are missing from") as caught:
        shipped_folder(tmp_path / "edgelfm")
    assert "pip install" in caught.value.hint


def test_wheel_is_told_to_carry_the_profiles() -> None:
    text = (shipped_folder().parent / "pyproject.toml").read_text()

    assert '"profiles" = "edgelfm/_profiles"' in text


def test_folder_of_the_user(tmp_path: Path) -> None:
    assert user_folder({"EDGELFM_CONFIG": str(tmp_path)}) == tmp_path / "profiles"


def test_profiles_room_imports_nothing_heavy() -> None:
    code = "import sys, edgelfm.hardware.profiles; print([n for n in ('pydantic', 'yaml') if n in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )

    assert printed.stdout.strip() == "[]"
