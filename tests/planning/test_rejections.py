"""What would help, in words that can be followed, and the error that carries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelfm.errors import DoesNotFit, PlanningError
from edgelfm.hardware.host import Host
from edgelfm.hardware.profiles import Match
from edgelfm.models.entry import Artifact, File, ModelEntry
from edgelfm.planning import plan, require
from edgelfm.planning.plan import Budget, Plan, Request
from edgelfm.planning.rejections import install_command, installed, room_fix, unknown_architecture, unpublished
from edgelfm.units import GIB, MIB

MakeHost = Callable[..., Host]
MakeMatch = Callable[..., Match]


def budget(available: int, reserve: int = 512 * MIB) -> Budget:
    return Budget(available, reserve, max(0, available - reserve), "")


@pytest.mark.parametrize(("backend", "to"), [("llama.cpp", "gguf"), ("onnx", "onnx")])
def test_a_folder_of_safetensors_is_to_be_converted(backend: str, to: str, model: Callable[[str], ModelEntry]) -> None:
    folder = Artifact("transformers", "bf16", "", (File("model.safetensors"),), path="/models/mine")
    refused = unpublished(replace(model("lfm2.5-350m"), artifacts=(folder,)), backend, "")
    assert refused.reason == f"does not come in a form for {backend}"
    assert refused.fix == f"edgelfm convert /models/mine --to {to}"


def test_programs_can_be_closed_where_the_machine_is_big_enough(make_host: MakeHost) -> None:
    host = make_host(2 * GIB, total=8 * GIB)
    assert room_fix(host, budget(2 * GIB), Request(), 1800 * MIB) == "close 270 MiB of other programs"


def test_doing_what_the_fix_says_is_enough(make_host: MakeHost) -> None:
    needed = 1801 * MIB
    short = needed - budget(2 * GIB).usable_bytes
    fix = room_fix(make_host(2 * GIB, total=8 * GIB), budget(2 * GIB), Request(), needed)
    assert int(fix.split()[1]) * MIB >= short


def test_a_container_is_given_a_wider_limit(make_host: MakeHost) -> None:
    host = make_host(400 * MIB, total=64 * GIB, limit=512 * MIB)
    fix = room_fix(host, budget(400 * MIB, 128 * MIB), Request(), 800 * MIB)
    assert fix == "raise the memory limit of the container by 530 MiB, to 1.1 GiB"


def test_a_machine_that_is_too_small_is_said_to_be(make_host: MakeHost) -> None:
    fix = room_fix(make_host(2 * GIB, total=2 * GIB), budget(2 * GIB), Request(), 12 * GIB)
    assert fix == "take a machine with 12.5 GiB of free memory"


def test_a_request_for_too_little_is_widened_first(make_host: MakeHost) -> None:
    fix = room_fix(make_host(4 * GIB), Budget(4 * GIB, 0, GIB, ""), Request(memory_bytes=GIB), 1500 * MIB)
    assert fix == "allow 1.5 GiB of memory"


def test_a_request_for_more_than_there_is_says_both(make_host: MakeHost) -> None:
    asked = Request(memory_bytes=400 * MIB)
    fix = room_fix(make_host(GIB, total=4 * GIB), Budget(GIB, 0, 400 * MIB, ""), asked, 1500 * MIB)
    assert fix == "allow 1.5 GiB of memory and close 480 MiB of other programs"


def test_a_context_beyond_the_model_is_answered_with_one_that_fits_too(
    planned: Callable[..., Plan], model: Callable[[str], ModelEntry]
) -> None:
    entry = model("lfm2.5-350m")
    for memory, fix in ((GIB, "use context 32768"), (400 * MIB, "use context 4096")):
        (no,) = planned(model=entry, quantization="Q4_0", context=100_000, memory_bytes=memory).rejected
        assert (no.fix, no.cause) == (fix, "context")
        assert planned(model=entry, quantization="Q4_0", context=int(fix.split()[-1]), memory_bytes=memory).chosen
    (no,) = planned(model=entry, quantization="Q4_0", context=100_000, memory_bytes=100 * MIB).rejected
    assert no.cause == "memory"
    assert no.reason.endswith("even with context 1024")


def test_a_network_unknown_to_llama_cpp_is_never_proposed_for_it(
    make_host: MakeHost, model: Callable[[str], ModelEntry]
) -> None:
    entry = model("lfm3-1.7b")
    assert unknown_architecture(entry, "llama.cpp", "Q4_K_M").fix == "use backend='transformers'"
    assert "llama.cpp" not in unpublished(entry, "onnx", "").fix


def test_mlx_is_proposed_on_a_mac_alone(make_host: MakeHost, model: Callable[[str], ModelEntry]) -> None:
    for system, proposed in (("darwin", True), ("linux", False)):
        fix = unpublished(model("lfm2.5-350m"), "llama.cpp", "8bit", make_host(system=system)).fix
        assert ("use backend='mlx', which has 8bit" in fix) is proposed


def test_the_install_command_is_the_hosts_own_where_it_knows_one(make_host: MakeHost) -> None:
    assert install_command(make_host(), "mlx") == "pip install 'edgelfm[mlx]'"
    assert install_command(make_host(), "onnx") == "pip install 'edgelfm[onnx]'", "never looked for on this host"


def test_a_broken_runtime_counts_as_missing(make_host: MakeHost) -> None:
    assert installed(make_host(), "llama.cpp")
    assert not installed(make_host(build=None), "llama.cpp")
    assert not installed(make_host(), "onnx")


def test_require_gives_what_was_chosen(
    make_host: MakeHost, make_match: MakeMatch, entries: tuple[ModelEntry, ...]
) -> None:
    made = plan(make_host(7 * GIB), make_match(), entries)
    assert require(made) is made.candidates[0]


def test_require_raises_a_memory_error_with_the_nearest_fix(
    make_host: MakeHost, make_match: MakeMatch, entries: tuple[ModelEntry, ...]
) -> None:
    with pytest.raises(DoesNotFit, match=r"No model for task 'chat' can run here: lfm2\.5-230m Q4_0") as raised:
        require(plan(make_host(640 * MIB, total=GIB), make_match(), entries))
    assert raised.value.hint.startswith("close ")
    assert isinstance(raised.value, MemoryError)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"context": 128_000}, "use context 32768"),
        ({"quantization": "Q3_K_S"}, "choose quantization "),
        ({"backend": "mlx"}, "use backend='llama.cpp'"),
        ({"backend": "nonesuch"}, "use backend='llama.cpp'"),
    ],
)
def test_require_raises_a_planning_error_with_the_exact_fix(
    make_host: MakeHost,
    make_match: MakeMatch,
    entries: tuple[ModelEntry, ...],
    model: Callable[[str], ModelEntry],
    asked: dict[str, object],
    hint: str,
) -> None:
    request = Request(model=model("lfm2.5-1.2b-instruct"), **asked)  # type: ignore[arg-type]
    with pytest.raises(PlanningError) as raised:
        require(plan(make_host(7 * GIB), make_match(), entries, request))
    assert raised.value.hint.startswith(hint)
    assert not isinstance(raised.value, DoesNotFit)


def test_without_a_runtime_the_hint_is_the_command(
    make_host: MakeHost, make_match: MakeMatch, entries: tuple[ModelEntry, ...]
) -> None:
    with pytest.raises(PlanningError) as raised:
        require(plan(make_host(7 * GIB, build=None), make_match(), entries))
    assert raised.value.hint == "pip install 'edgelfm[llama]'"
