"""What the machine has, besides memory, decides too: GPUs, runtimes, disk room, the instruction set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgelfm.hardware.host import Cpu, Gpu, Host
from edgelfm.hardware.profiles import Match, SpeedReference
from edgelfm.models.entry import Artifact, File, ModelEntry
from edgelfm.planning.plan import Plan
from edgelfm.units import GIB, MIB

MakeHost = Callable[..., Host]
MakeMatch = Callable[..., Match]
Find = Callable[[str], ModelEntry]

ORIN = Gpu("nvidia", "Orin", unified=True, usable=True)
APPLE = Gpu("apple", "Apple M4 GPU", unified=True, memory_total_bytes=12 * GIB, usable=True)


def rtx(memory: int) -> Gpu:
    return Gpu("nvidia", "RTX", memory_total_bytes=memory, memory_available_bytes=memory, usable=True)


def ids(made: Plan) -> list[str]:
    return [one.model.id for one in made.candidates]


class TestGpu:
    def test_unified_memory_is_counted_once(self, make_host: MakeHost, planned: Callable[..., Plan]) -> None:
        made = planned(host=make_host(5 * GIB, gpus=(ORIN,), build=("CUDA",)), bandwidth=60e9)
        chosen = made.chosen
        assert chosen is not None
        assert made.budget.gpu_bytes is None
        assert made.budget.usable_bytes == 5 * GIB - 512 * MIB
        assert chosen.settings.gpu_layers.value == 17
        assert chosen.memory.on("gpu") == 0
        assert chosen.memory.total <= made.budget.usable_bytes

    def test_a_driver_that_allows_less_than_is_free_is_obeyed(
        self, make_host: MakeHost, planned: Callable[..., Plan]
    ) -> None:
        small = replace(APPLE, memory_total_bytes=600 * MIB)
        made = planned(host=make_host(5 * GIB, gpus=(small,), build=("Metal",)), bandwidth=60e9)
        assert made.chosen is not None
        assert made.chosen.model.id == "lfm2.5-1.2b-instruct"
        assert made.chosen.settings.gpu_layers.value == 0, "too big for what Metal allows, so on the CPU"

    def test_a_discrete_gpu_has_its_own_budget(self, make_host: MakeHost, planned: Callable[..., Plan]) -> None:
        made = planned(host=make_host(7 * GIB, gpus=(rtx(8 * GIB),), build=("CUDA",)))
        chosen = made.chosen
        assert chosen is not None
        assert made.budget.gpu_bytes is not None
        assert chosen.settings.gpu_layers.value == 17
        assert 0 < chosen.memory.on("gpu") <= made.budget.gpu_bytes
        assert chosen.memory.on("host") < 400 * MIB
        assert chosen.decode.grade == "unknown"

    def test_what_a_discrete_gpu_has_no_room_for_runs_on_the_cpu(
        self, make_host: MakeHost, planned: Callable[..., Plan]
    ) -> None:
        chosen = planned(host=make_host(7 * GIB, gpus=(rtx(900 * MIB),), build=("CUDA",)), context=4096).chosen
        assert chosen is not None
        assert chosen.settings.gpu_layers.value == 0
        assert "does not fit into the memory of the RTX" in chosen.settings.gpu_layers.reason
        assert chosen.decode.low is not None, "main memory's bandwidth is known"

    def test_an_idle_gpu_is_named_with_the_command(self, make_host: MakeHost, planned: Callable[..., Plan]) -> None:
        made = planned(host=make_host(7 * GIB, gpus=(rtx(8 * GIB),), build=("AVX2",)))
        assert any("-DGGML_CUDA=on" in line for line in made.advice)
        assert made.chosen is not None
        assert made.chosen.settings.gpu_layers.value == 0


class TestBackends:
    APPLE_FIRST = ("mlx", "llama.cpp")

    def test_mlx_comes_first_where_it_is_installed(
        self, make_host: MakeHost, make_match: MakeMatch, planned: Callable[..., Plan]
    ) -> None:
        made = planned(
            host=make_host(12 * GIB, gpus=(APPLE,), build=("Metal",), mlx=True, system="darwin"),
            match=make_match(backends=self.APPLE_FIRST, bandwidth=120e9),
            drivable={"mlx", "llama.cpp"},
        )
        chosen = made.chosen
        assert chosen is not None
        assert (chosen.backend, chosen.quantization, chosen.model.id) == ("mlx", "4bit", "lfm2.5-1.2b-instruct")
        assert chosen.settings.gpu_layers.value == 17
        assert made.candidates[1].backend == "llama.cpp"

    def test_where_mlx_is_missing_the_advice_is_to_install_it(
        self, make_host: MakeHost, make_match: MakeMatch, planned: Callable[..., Plan]
    ) -> None:
        made = planned(
            host=make_host(12 * GIB, gpus=(APPLE,), build=("Metal",), system="darwin"),
            match=make_match(backends=self.APPLE_FIRST, bandwidth=120e9),
            drivable={"mlx", "llama.cpp"},
        )
        assert made.chosen is not None
        assert made.chosen.backend == "llama.cpp"
        assert any("pip install 'edgelfm[mlx]'" in line and "unknown" in line for line in made.advice)
        no = next(one for one in made.rejected if one.backend == "mlx")
        assert (no.cause, no.fix) == ("backend", "pip install 'edgelfm[mlx]'")

    def test_what_a_missing_backend_would_gain_is_told_where_somebody_published_it(
        self, make_host: MakeHost, make_match: MakeMatch, planned: Callable[..., Plan]
    ) -> None:
        published = SpeedReference("lfm2.5-1.2b-instruct", "8bit", "MLX 0.30", 200.0, None, "a blog")
        made = planned(
            host=make_host(12 * GIB, system="darwin"),
            match=make_match(backends=self.APPLE_FIRST, references=(published,)),
            drivable={"mlx", "llama.cpp"},
        )
        assert any("200 tokens/s" in line and "a blog" in line for line in made.advice)
        assert made.chosen is not None
        assert made.chosen.references[0].decode == 200.0

    def test_mlx_comes_last_where_there_is_no_gpu_of_a_mac(
        self, make_host: MakeHost, make_match: MakeMatch, planned: Callable[..., Plan], model: Find
    ) -> None:
        """Whatever the profile says, and for a small model too, which would still be written faster than read."""
        here = {
            "host": make_host(12 * GIB, mlx=True),
            "match": make_match(backends=self.APPLE_FIRST, bandwidth=120e9),
            "drivable": {"mlx", "llama.cpp"},
        }
        for made in (planned(**here), planned(**here, model=model("lfm2.5-350m"))):
            first = made.chosen
            assert first is not None
            assert first.backend == "llama.cpp"
            assert not any("mlx" in line for line in made.advice)
        slow = planned(**here, backend="mlx", model=model("lfm2.5-1.2b-instruct"), quantization="4bit").chosen
        assert slow is not None
        assert slow.settings.gpu_layers.value == 0
        assert slow.decode.high is not None
        assert slow.decode.high < 8

    def test_a_backend_this_version_cannot_open_is_turned_down_even_if_installed(
        self, make_host: MakeHost, make_match: MakeMatch, planned: Callable[..., Plan]
    ) -> None:
        made = planned(host=make_host(12 * GIB, mlx=True), match=make_match(backends=self.APPLE_FIRST))
        no = next(one for one in made.rejected if one.backend == "mlx")
        assert "cannot open mlx" in no.reason
        assert no.fix == "use backend='llama.cpp'"
        assert made.chosen is not None
        assert made.chosen.backend == "llama.cpp"

    def test_a_backend_asked_for_is_never_exchanged(self, make_host: MakeHost, planned: Callable[..., Plan]) -> None:
        made = planned(host=make_host(12 * GIB), backend="mlx", drivable={"mlx", "llama.cpp"})
        assert made.chosen is None
        assert made.rejected[0].fix == "pip install 'edgelfm[mlx]'"

    def test_without_any_runtime_the_plan_says_what_would_run_after_which_command(
        self, make_host: MakeHost, planned: Callable[..., Plan]
    ) -> None:
        made = planned(host=make_host(7 * GIB, build=None))
        assert made.chosen is None
        (no,) = made.rejected
        assert (no.model, no.quantization, no.fix) == ("lfm2.5-1.2b-instruct", "Q4_0", "pip install 'edgelfm[llama]'")
        assert "llama.cpp is not installed" in no.reason
        assert "would fit here" in no.reason


class TestDisk:
    def test_what_the_disk_has_no_room_for_is_refused(self, make_host: MakeHost, planned: Callable[..., Plan]) -> None:
        made = planned(host=make_host(7 * GIB, disk_free=400 * MIB))
        assert made.chosen is not None
        assert made.chosen.model.id == "lfm2.5-350m"
        no = next(one for one in made.rejected if one.model == "lfm2.5-1.2b-instruct")
        assert no.cause == "disk"
        assert no.fix == "free 270 MiB of disk"

    def test_what_is_on_the_disk_already_needs_no_room(
        self, make_host: MakeHost, planned: Callable[..., Plan], model: Find
    ) -> None:
        here = next(one for one in model("lfm2.5-1.2b-instruct").artifacts if one.quantization == "Q4_0")
        made = planned(host=make_host(7 * GIB, disk_free=0), on_disk=frozenset({here}))
        assert ids(made)[0] == "lfm2.5-1.2b-instruct"

    def test_a_local_file_needs_no_room_and_its_command_names_its_path(
        self, make_host: MakeHost, planned: Callable[..., Plan], model: Find
    ) -> None:
        file = Artifact("llama.cpp", "Q4_0", "", (File("mine.gguf", bytes=700_000_000),), path="/home/me/mine.gguf")
        mine = replace(model("lfm2.5-1.2b-instruct"), id="mine", artifacts=(file,))
        chosen = planned(host=make_host(7 * GIB, disk_free=0), model=mine).chosen
        assert chosen is not None
        assert chosen.load_command.startswith('edgelfm.load("/home/me/mine.gguf", ')


class TestSettings:
    def test_repacked_weights_are_read_not_mapped(self, planned: Callable[..., Plan], model: Find) -> None:
        by_quantization = {one.quantization: one for one in planned(model=model("lfm2.5-1.2b-instruct")).candidates}
        assert by_quantization["Q4_0"].settings.mmap.value is False
        assert by_quantization["Q4_0"].memory.part("mapped copy") == 0
        assert by_quantization["F16"].settings.mmap.value is True

    def test_a_cpu_that_repacks_nothing_maps(self, make_host: MakeHost, planned: Callable[..., Plan]) -> None:
        old = make_host(2 * GIB, cpu=Cpu(logical_cores=4, physical_cores=4, features=("neon",)), build=("NEON",))
        chosen = planned(host=old, bandwidth=4e9).chosen
        assert chosen is not None
        assert chosen.settings.mmap.value is True

    def test_flash_attention_says_what_it_saves(self, planned: Callable[..., Plan]) -> None:
        chosen = planned().chosen
        assert chosen is not None
        assert chosen.settings.flash_attention.value is True
        assert "saves" in chosen.settings.flash_attention.reason
        assert "MiB" in chosen.settings.flash_attention.reason

    def test_the_micro_batch_is_explained_with_both_sizes(self, planned: Callable[..., Plan]) -> None:
        chosen = planned(3 * GIB).chosen
        assert chosen is not None
        assert chosen.settings.micro_batch.value == 128
        assert chosen.settings.micro_batch.reason.count("MiB") >= 2

    def test_every_decision_has_a_reason(self, planned: Callable[..., Plan]) -> None:
        for one in planned(60 * GIB, bandwidth=200e9).candidates:
            for name, decision in one.settings.decisions().items():
                assert decision.reason, (one.model.id, name)

    def test_the_load_command_gives_exactly_the_candidate(self, planned: Callable[..., Plan]) -> None:
        chosen = planned().chosen
        assert chosen is not None
        assert chosen.load_command == (
            'edgelfm.load("lfm2.5-1.2b-instruct", backend="llama.cpp", quantization="Q4_0", context=8192)'
        )

    def test_the_load_command_repeats_what_was_asked_for(self, planned: Callable[..., Plan]) -> None:
        chosen = planned(memory_bytes=3 * GIB // 2, kv_type="q8_0", threads=3, micro_batch=64, context=2048).chosen
        assert chosen is not None
        assert chosen.load_command.endswith(
            'context=2048, memory="1.5 GiB", kv_type="q8_0", threads=3, micro_batch=64)'
        )

    def test_projectors_are_part_of_the_bill(self, planned: Callable[..., Plan]) -> None:
        chosen = planned(task="vision").chosen
        assert chosen is not None
        assert chosen.memory.part("companions") == 583_109_888
