"""Names of machines, builds and networks stay the same when they should, and change when they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest

from edgelfm.decision import Decision
from edgelfm.errors import RequestError
from edgelfm.hardware.host import Bandwidth, Gpu, Host
from edgelfm.models.entry import ModelEntry
from edgelfm.planning import recording
from edgelfm.planning.plan import Plan
from edgelfm.planning.record_codec import read_record
from edgelfm.planning.records import Record, Timing, Trial, build, fingerprint, shape
from edgelfm.planning.speed import DEPTH, bytes_per_token
from edgelfm.units import GIB, MIB

Find = Callable[[str], ModelEntry]
MakeHost = Callable[..., Host]
MakeRecord = Callable[..., Record]
TIMING = Timing(0.01, 0.009, 0.011, 5)


def test_a_reboot_leaves_the_fingerprint_as_it_was(make_host: MakeHost) -> None:
    host = make_host(4 * GIB)
    later = replace(
        host,
        os=replace(host.os, boot_id="another", python="3.13.1"),
        memory=replace(host.memory, available_bytes=3 * GIB, total_bytes=host.memory.total_bytes - 3 * MIB),
        bandwidth=Bandwidth(9e9, "measured"),
        disk=replace(host.disk, free_bytes=1),
    )
    assert fingerprint(later) == fingerprint(host)


def test_another_machine_or_kernel_has_another_fingerprint(make_host: MakeHost) -> None:
    host = make_host()
    others = (
        replace(host, cpu=replace(host.cpu, model="Cortex-A76")),
        replace(host, cpu=replace(host.cpu, features=("neon",))),
        replace(host, cpu=replace(host.cpu, quota=1.0)),
        replace(host, cpu=replace(host.cpu, affinity=2)),
        replace(host, memory=replace(host.memory, total_bytes=16 * GIB)),
        replace(host, os=replace(host.os, release="6.13.0")),
        replace(host, gpus=(Gpu("nvidia", "RTX 4090"),)),
    )
    assert len({fingerprint(one) for one in (host, *others)}) == 8


def test_the_fingerprint_can_be_read(make_host: MakeHost) -> None:
    host = make_host()
    host = replace(host, cpu=replace(host.cpu, model="Cortex-A76"), os=replace(host.os, release="6.12.1"))
    assert fingerprint(host).startswith("Cortex-A76, 4 cores, 8 GiB, linux 6.12.1 ")


def test_a_build_is_the_version_and_what_it_was_compiled_with(make_host: MakeHost) -> None:
    plain, cuda = make_host(build=("AVX2",)), make_host(build=("AVX2", "CUDA"))
    assert build(plain, "llama.cpp").startswith("0.3.36-")
    assert build(plain, "llama.cpp") != build(cuda, "llama.cpp")
    assert build(make_host(mlx=True), "mlx") == "0.32.2"
    assert build(plain, "unheard of") == ""


def test_fine_tunes_of_one_network_share_their_shape(model: Find) -> None:
    instruct, thinking, small = (model(f"lfm2.5-{name}") for name in ("1.2b-instruct", "1.2b-thinking", "350m"))
    assert instruct.architecture is not None
    assert thinking.architecture is not None
    assert small.architecture is not None
    assert shape(instruct.architecture) == shape(thinking.architecture) != shape(small.architecture)
    assert shape(instruct.architecture).startswith("lfm2-16x2048-")
    assert shape(replace(instruct.architecture, context_supported=1)) == shape(instruct.architecture)
    assert shape(replace(instruct.architecture, vocabulary=64400)) != shape(instruct.architecture)


def test_a_record_of_a_candidate_says_what_was_read_at_its_depth(planned: Callable[..., Plan], model: Find) -> None:
    entry = model("lfm2.5-350m")
    made = planned(model=entry)
    assert made.chosen is not None
    assert entry.architecture is not None
    at = {
        depth: recording.make_record(
            made.host, made.chosen, decode=TIMING, prefill=TIMING, prompt=512, depth=depth, tried=[]
        )
        for depth in (0, DEPTH)
    }
    assert at[DEPTH].model == shape(entry.architecture)
    assert at[DEPTH].bytes_per_token - at[0].bytes_per_token == bytes_per_token(0, entry.architecture) - (
        bytes_per_token(0, entry.architecture, 0)
    )
    assert at[0].parameters == pytest.approx(354e6, rel=0.01)
    assert (at[0].host, at[0].device, at[0].quantization) == (fingerprint(made.host), "cpu", "Q4_0")
    assert at[0].plausible
    assert at[0].measured_at.endswith("+00:00")


def test_a_record_takes_the_settings_that_were_measured(planned: Callable[..., Plan], model: Find) -> None:
    made = planned(model=model("lfm2.5-350m"))
    assert made.chosen is not None
    settings = replace(made.chosen.settings, threads=Decision(3, "tried"), gpu_layers=Decision(17, "tried"))
    kept = recording.make_record(
        made.host, made.chosen, decode=TIMING, prefill=TIMING, prompt=512, settings=settings, cores_taken=1
    )
    assert (kept.threads, kept.device, kept.cores_taken) == (3, "gpu", 1)


def test_nothing_is_recorded_of_a_network_nobody_knows(planned: Callable[..., Plan], model: Find) -> None:
    made = planned(model=model("lfm2.5-350m"))
    assert made.chosen is not None
    unknown = replace(made.chosen, model=replace(made.chosen.model, architecture=None))
    with pytest.raises(RequestError, match=r"architecture of LFM2\.5-350M is not known") as caught:
        recording.make_record(made.host, unknown, decode=TIMING, prefill=TIMING, prompt=512)
    assert caught.value.hint


def test_a_record_survives_json(make_record: MakeRecord) -> None:
    one = make_record(tried=(Trial("decode", "threads", "2", 0.01), Trial("prefill", "micro_batch", "64", 0.002)))
    assert read_record(json.loads(json.dumps(asdict(one)))) == one


def test_what_a_later_version_added_is_passed_over_and_what_it_left_out_has_its_default(
    make_record: MakeRecord,
) -> None:
    data = asdict(make_record()) | {"weather": "fine"}
    del data["device"], data["tried"]
    assert read_record(json.loads(json.dumps(data))) == make_record()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"threads": "2"}, "threads is '2'"),
        ({"threads": True}, "threads is True"),
        ({"threads": 0}, "figures make no sense"),
        ({"bytes_per_token": 10**400}, "figures make no sense"),
        ({"flash_attention": 1}, "flash_attention is 1"),
        ({"kv_type": "f32"}, "kv_type is 'f32'"),
        ({"kv_type": ["f16"]}, "kv_type is"),
        ({"device": "npu"}, "device is 'npu'"),
        ({"tried": {}}, "tried is no list"),
        ({"tried": [1]}, "int instead of an object"),
        ({"decode": None}, "NoneType instead of an object"),
        ({"decode": {"seconds": 0.1, "low": 0.1, "high": 0.1}}, "runs is missing"),
        ({"decode": {"seconds": 10**400, "low": 0.1, "high": 0.1, "runs": 1}}, "seconds is 1000"),
        ({"decode": {"seconds": 0.0, "low": 0.0, "high": 0.1, "runs": 1}}, "figures make no sense"),
        ({"decode": {"seconds": float("nan"), "low": 0.1, "high": 0.1, "runs": 1}}, "figures make no sense"),
        ({"decode": {"seconds": 0.2, "low": 0.3, "high": 0.4, "runs": 1}}, "figures make no sense"),
        ({"prefill": {"seconds": -1.0, "low": -1.0, "high": -1.0, "runs": 1}}, "figures make no sense"),
    ],
)
def test_a_broken_record_is_refused_with_the_reason(
    change: dict[str, object], reason: str, make_record: MakeRecord
) -> None:
    data = json.loads(json.dumps(asdict(make_record()))) | change
    with pytest.raises(ValueError, match=reason):
        read_record(data)
