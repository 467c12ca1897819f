"""One model in one artifact on this machine: does it fit, with which settings, and if not, what would help?

The ladder of settings is climbed down only as far as needed. Both ends are tried first, so a model that fits at once or
not at all costs one or two estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..decision import Decision
from ..models.entry import Artifact, ModelEntry
from ..models.lora import Lora
from ..units import format_bytes
from . import measured, openings, rejections
from .adapting import adapter_bytes
from .bill import bill
from .calibration import Evidence, Subject
from .command import load_command
from .cores import multiply_adds
from .loading import Torch
from .pace import pace
from .plan import Candidate, KvType, MemoryEstimate, Rejected, Settings, SpeedEstimate
from .ranking import preferred
from .recording import parameters_per_token
from .records import Computed, network
from .repacking import copied_bytes, repacked_bytes
from .settings import (
    BATCH,
    CONTEXTS,
    KV_AS_COMPUTED,
    MICRO_BATCHES,
    SMALL_KV_SAVES,
    Rung,
    context_decision,
    default_micro_batch,
    ladder,
    mmap_decision,
    state_decision,
)
from .situation import Situation
from .sizes import Sizes, sizes
from .speed import bytes_per_token, decode_speed, prefill_speed, references

#: Runtimes that are told whether to compute on a GPU. MLX always does on a Mac, and never elsewhere.
OFFLOADING = frozenset({"llama.cpp", "transformers", "onnx"})

#: Runtimes that attend in a way of their own, and which.
OWN_ATTENTION = {"transformers": "PyTorch's own attention (SDPA)", "onnx": "the graph says how it attends"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a runtime other than llama.cpp holds weights, keys and values in."""

    bytes: int  # of one key or value
    widened: bool  # whether weights take twice their bits in the file
    torch: Torch


@dataclass(frozen=True, slots=True)
class Way:
    """One artifact with its sizes, on the GPU or not: what stays the same from rung to rung."""

    situation: Situation
    entry: ModelEntry
    artifact: Artifact
    sizes: Sizes
    offloaded: bool
    computed: Computed
    gpu_layers: int
    repacked: int  # bytes that llama.cpp rewrites for this CPU
    copied: int  # bytes of a tied embedding that is kept twice
    mmap: Decision[bool]
    evidence: Evidence  # what was measured here of this backend where it computes
    subject: Subject
    numbers: Numbers

    @classmethod
    def of(cls, situation: Situation, entry: ModelEntry, artifact: Artifact, sizes: Sizes, *, offloaded: bool) -> Way:
        """Work out what the settings have no part in. All layers and the output head go to the GPU, or none.

        A split between GPU and CPU copies between them for every token and is left to those who ask for it.
        """
        repacked = copied = 0
        if artifact.backend == "llama.cpp" and not offloaded:
            types, tied = situation.repacked_types, sizes.architecture.tied_embeddings
            repacked = repacked_bytes(sizes.tensors, types)
            copied = copied_bytes(sizes.tensors, types, tied=tied)
        mmap = Decision(False, f"{artifact.backend} reads its files in its own way")
        if artifact.backend == "llama.cpp":
            mmap = mmap_decision(repacked, situation.accelerator, offloaded, format_bytes(repacked))
        number = openings.dtype(artifact.backend, situation.host, artifact.quantization, offloaded=offloaded)
        factor = openings.widening(number, artifact.quantization)
        if factor != 1:
            sizes = replace(sizes, weights=factor * sizes.weights, read=factor * sizes.read)
        layers = sizes.architecture.layers + 1 if offloaded else 0
        computed: Computed = "gpu" if offloaded or _by_metal(artifact, situation) else "cpu"
        known = situation.evidence.get((artifact.backend, computed), Evidence())
        width = openings.number_bytes(artifact.backend, artifact.quantization, number)
        subject = _subject(entry, artifact, sizes, situation.request.adapter, width)
        numbers = Numbers(width, factor != 1, openings.torch(situation.host))
        return cls(
            situation, entry, artifact, sizes, offloaded, computed, layers, repacked, copied, mmap, known, subject,
            numbers,
        )  # fmt: skip

    def memory(self, rung: Rung, *, flash_attention: bool = True) -> MemoryEstimate:
        """The memory bill with these settings."""
        if self.artifact.backend == "mlx":  # it has such a kernel for Apple's GPUs alone
            flash_attention = self.computed == "gpu"
        adapter = self.situation.request.adapter
        return bill(
            self.artifact.backend,
            self.sizes,
            rung,
            batch=batch(rung),
            repacked_bytes=self.repacked,
            copied_bytes=self.copied,
            mmap=self.mmap.value,
            flash_attention=flash_attention,
            gpu_layers=self.gpu_layers,
            gpu_memory="gpu" if self.situation.accelerator.discrete else "host",
            number_bytes=self.numbers.bytes,
            widened=self.numbers.widened,
            torch=self.numbers.torch,
            adapter_bytes=adapter_bytes(self.artifact.backend, adapter, self.numbers.bytes) if adapter else 0,
        )

    def fits(self, memory: MemoryEstimate) -> bool:
        """Whether every memory it lives in has room."""
        budget, shared = self.situation.budget, self.situation.accelerator.shared_bytes
        usable = budget.usable_bytes
        if self.offloaded and shared is not None:
            usable = min(usable, shared)
        return memory.on("host") <= usable and memory.on("gpu") <= (budget.gpu_bytes or 0)

    def descend(self, rungs: Sequence[Rung]) -> tuple[Rung, MemoryEstimate] | None:
        """The first rung that fits, or None if not even the last does."""
        first = self.memory(rungs[0])
        if self.fits(first):
            return rungs[0], first
        if not self.fits(self.memory(rungs[-1])):
            return None
        return next((rung, memory) for rung in rungs[1:] if self.fits(memory := self.memory(rung)))


def _by_metal(artifact: Artifact, situation: Situation) -> bool:
    """Whether MLX runs it on the GPU of a Mac."""
    return artifact.backend == "mlx" and situation.host.os.system == "darwin"


def batch(rung: Rung) -> int:
    """Tokens handed to the runtime at once."""
    return min(rung.context, max(BATCH, rung.micro_batch))


def appraise(situation: Situation, entry: ModelEntry, artifact: Artifact) -> Candidate | Rejected:
    """Fit one artifact into the machine, on the GPU where one can be used, else on the CPU."""
    request = situation.request
    weighed = sizes(entry, artifact, situation.catalog)
    if weighed is None:
        return Rejected(
            entry.id,
            artifact.backend,
            artifact.quantization,
            "neither its architecture nor its size is published",
            f"edgelfm pull {entry.id} --quantization {artifact.quantization}",
            cause="quantization",
        )
    supported, advertised = weighed.architecture.context_supported, weighed.architecture.context_advertised
    if request.context is not None and supported and request.context > supported:
        for step in (supported, *(one for one in CONTEXTS if one < supported)):
            result = appraise(replace(situation, request=replace(request, context=step)), entry, artifact)
            if isinstance(result, Candidate):
                asked = request.context
                return rejections.unsupported_context(entry, artifact, asked, supported, advertised, step)
        return replace(result, reason=f"{result.reason}, even with context {step}")
    rungs = ladder(request, situation.budget, supported, small_kv=artifact.backend in SMALL_KV_SAVES)
    on_gpu = artifact.backend in OFFLOADING and situation.accelerator.gpu is not None
    way = Way.of(situation, entry, artifact, weighed, offloaded=on_gpu)
    found = way.descend(rungs)
    if found is None and on_gpu:
        way = Way.of(situation, entry, artifact, weighed, offloaded=False)
        found = way.descend(rungs)
    if found is None:
        needed = way.memory(rungs[-1]).on("host")
        return rejections.too_big(entry, artifact, needed, situation.budget, _memory_fix(way, rungs[-1], needed))
    free = situation.host.disk.free_bytes
    if free is not None and weighed.download > free and _must_download(situation, artifact):
        return rejections.no_disk(entry, artifact, weighed.download, free)
    return _candidate(way, found[0])


def _must_download(situation: Situation, artifact: Artifact) -> bool:
    return not artifact.path and not artifact.repo.startswith("package:") and artifact not in situation.on_disk


def _subject(entry: ModelEntry, artifact: Artifact, sizes: Sizes, adapter: Lora | None, width: int) -> Subject:
    """What speed depends on. An architecture that only stands in for an unpublished one is nobody's own."""
    beside = adapter_bytes(artifact.backend, adapter, width) if adapter is not None else 0
    return Subject(
        model=network(entry.architecture, adapter) if entry.architecture is not None else "",
        quantization=artifact.quantization,
        layers=sizes.architecture.layers,
        bytes_per_token=bytes_per_token(sizes.read + beside, sizes.architecture),
        parameters=parameters_per_token(entry) + (adapter.parameters if adapter is not None else 0),
    )


def _candidate(way: Way, rung: Rung) -> Candidate:
    situation = way.situation
    settings, memory = _settings(way, rung)
    return Candidate(
        model=way.entry,
        artifact=way.artifact,
        settings=settings,
        memory=memory,
        decode=_decode(way, settings),
        prefill=_prefill(way, settings),
        reason="",
        references=references(situation.match.profile.references, way.entry.id),
        load_command=load_command(way.entry, way.artifact, rung.context, situation.request),
    )


def _decode(way: Way, settings: Settings) -> SpeedEstimate:
    """From what was measured here, else from memory bandwidth."""
    if (told := way.evidence.decode(way.subject, settings.threads.value)) is not None:
        return told
    # A CPU beside a GPU that could not take the model reads main memory, however the two share it.
    bandwidth = way.situation.bandwidth if way.computed == "gpu" else way.situation.main_bandwidth
    paced = pace(way.artifact.backend, way.computed, way.artifact.quantization)
    together = multiply_adds(way.situation.host, settings.threads.value, repacked=bool(way.repacked))
    if way.artifact.backend == "llama.cpp" and way.computed == "cpu" and way.subject.parameters and together:
        slow, fast = (one * way.subject.bytes_per_token / way.subject.parameters for one in together)
        paced = replace(paced, computed=(slow, fast))
    return decode_speed(way.subject.bytes_per_token, way.subject.layers, bandwidth, paced)


def _prefill(way: Way, settings: Settings) -> SpeedEstimate:
    """From what was measured here, else unknown."""
    told = way.evidence.prefill(way.subject, settings.threads_prefill.value, settings.micro_batch.value)
    return told if told is not None else prefill_speed(way.artifact.quantization if way.evidence.records else "")


def _settings(way: Way, rung: Rung) -> tuple[Settings, MemoryEstimate]:
    """What the rung leaves open is set as it was measured, as far as there is room; the context never gives way."""
    situation, request = way.situation, way.situation.request
    architecture, known, subject = way.sizes.architecture, way.evidence, way.subject
    flash = measured.flash_attention(known, subject)
    if flash is not None and not flash.value:
        if (smaller := _without_flash_attention(way, rung)) is not None:
            rung = smaller
        else:
            flash = None
    attends = flash is None or flash.value
    pieces = measured.micro_batch(known, subject) if request.micro_batch is None else None
    if pieces is not None:
        as_measured = replace(rung, micro_batch=pieces.value)
        if pieces.value <= rung.context and (
            _spares(way, as_measured) if not attends else way.fits(way.memory(as_measured))
        ):
            rung = as_measured
        else:
            pieces = None
    memory = way.memory(rung, flash_attention=attends)
    settings = Settings(
        context=context_decision(
            request, situation.budget, architecture.context_supported, architecture.context_advertised, rung.context
        ),
        batch=Decision(batch(rung), "pieces of prompt that the runtime takes at once"),
        micro_batch=pieces or _micro_batch(way, rung, memory, attends),
        kv_type=_kv_type(way, rung),
        flash_attention=flash or _flash_attention(way, rung, memory),
        mmap=way.mmap,
        threads=measured.threads(known, subject, situation.threads, situation.thread_bound, request, prefill=False),
        threads_prefill=measured.threads(
            known, subject, situation.threads_prefill, situation.thread_bound_prefill, request, prefill=True
        ),
        gpu_layers=_gpu_layers(way),
        state_bytes=state_decision(situation.budget.usable_bytes - memory.on("host"), architecture),
        device=openings.device(way.artifact.backend, situation.accelerator, offloaded=way.offloaded),
        dtype=openings.dtype(way.artifact.backend, situation.host, way.artifact.quantization, offloaded=way.offloaded),
        providers=openings.providers(way.artifact.backend, situation.host),
    )
    return settings, memory


def _without_flash_attention(way: Way, rung: Rung) -> Rung | None:
    """The rung, with a smaller micro-batch if need be, if it can do without flash attention; None if it cannot.

    Keys and values in 8 bits need it. Without it llama.cpp holds the scores of every position of the context for every
    token of a micro-batch, which must not cost more than speed is worth.
    """
    sizes = {rung.micro_batch, *(size for size in MICRO_BATCHES if size < rung.micro_batch)}
    if way.situation.request.micro_batch is not None:
        sizes = {rung.micro_batch}
    ways = (replace(rung, micro_batch=size) for size in sorted(sizes, reverse=True))
    return next((one for one in ways if _spares(way, one)), None) if rung.kv_type == "f16" else None


def _spares(way: Way, rung: Rung) -> bool:
    """Whether flash attention can be left off for at most a quarter more memory."""
    without, usual = way.memory(rung, flash_attention=False), way.memory(rung).total
    return way.fits(without) and without.total <= usual * 5 / 4


def _micro_batch(way: Way, rung: Rung, memory: MemoryEstimate, flash: bool) -> Decision[int]:
    if way.situation.request.micro_batch is not None:
        return Decision(rung.micro_batch, "asked for", "measured")
    taken = memory.part("compute buffers")
    if rung.micro_batch >= MICRO_BATCHES[0]:
        return Decision(rung.micro_batch, f"{format_bytes(taken)} of compute buffers, which this machine has room for")
    largest = replace(rung, micro_batch=min(MICRO_BATCHES[0], rung.context))
    whole = way.memory(largest, flash_attention=flash)
    reason = f"{format_bytes(taken)} of compute buffers instead of {format_bytes(whole.part('compute buffers'))}"
    if not flash and way.fits(whole):
        reason += ": without flash attention they hold the scores of the whole context"
    elif rung.micro_batch < min(default_micro_batch(way.situation.budget), rung.context):
        reason += ", to make it fit"
    else:
        reason += f", with {format_bytes(way.situation.budget.usable_bytes)} to spend"
    return Decision(rung.micro_batch, reason)


def _kv_type(way: Way, rung: Rung) -> Decision[KvType]:
    if way.artifact.backend in KV_AS_COMPUTED:
        return Decision(rung.kv_type, f"no choice here: keys and values take {way.numbers.bytes} bytes each")
    if way.situation.request.kv_type is not None:
        more = way.memory(rung).total - way.memory(replace(rung, kv_type="f16")).total
        costs = f", though it takes {format_bytes(more)} more than f16 here" if more > 0 else ""
        return Decision(rung.kv_type, f"asked for{costs}", "measured")
    if rung.kv_type == "f16":
        network = way.sizes.architecture
        few = f": only {len(network.attention_layers)} of {network.layers} layers keep keys and values"
        return Decision("f16", "exact, and small" + few if network.conv_layers else "exact, and it fits")
    exact = way.memory(replace(rung, kv_type="f16")).part("KV cache")
    saved = exact - way.memory(rung).part("KV cache")
    return Decision(rung.kv_type, f"saves {format_bytes(saved)} and makes it fit")


def _flash_attention(way: Way, rung: Rung, memory: MemoryEstimate) -> Decision[bool]:
    if own := OWN_ATTENTION.get(way.artifact.backend):
        return Decision(True, f"no choice here: {own}")
    saved = way.memory(rung, flash_attention=False).total - memory.total
    if saved > 0:
        return Decision(True, f"saves {format_bytes(saved)} of compute buffers at this context")
    return Decision(True, "never larger, and faster at long contexts")


def _gpu_layers(way: Way) -> Decision[int]:
    accelerator = way.situation.accelerator
    if way.artifact.backend == "mlx":
        if way.computed == "cpu":
            return Decision(0, "MLX computes on the CPU where there is no GPU of a Mac")
        return Decision(way.sizes.architecture.layers + 1, "MLX computes everything on the GPU")
    if way.offloaded:
        where = "its own memory" if accelerator.discrete else "main memory, counted once"
        return Decision(way.gpu_layers, f"all layers: {accelerator.reason}, and it fits into {where}")
    if accelerator.gpu is not None:
        return Decision(0, f"does not fit into the memory of the {accelerator.gpu.name}")
    return Decision(0, accelerator.reason)


def _memory_fix(way: Way, last: Rung, needed: int) -> str:
    """The least change that would make it fit: a value the user fixed, another quantization, or more memory."""
    request = way.situation.request
    if request.context is not None:
        for context in (step for step in CONTEXTS if step < request.context):
            if way.fits(way.memory(replace(last, context=context, micro_batch=min(last.micro_batch, context)))):
                return f"use context {context}"
    if request.micro_batch is not None:
        for step in (step for step in MICRO_BATCHES if step < request.micro_batch):
            if way.fits(way.memory(replace(last, micro_batch=step))):
                return f"use micro_batch {step}"
    if request.kv_type == "f16" and way.fits(way.memory(replace(last, kv_type="q8_0"))):
        return "use kv_type q8_0"
    if request.kv_type not in (None, "f16") and way.fits(way.memory(replace(last, kv_type="f16"))):
        return "leave kv_type out"
    if request.quantization is not None:
        free = replace(request, quantization=None)
        names = way.situation.match.profile.quantizations
        for artifact in preferred(way.entry, way.artifact.backend, names, free):
            other = sizes(way.entry, artifact, way.situation.catalog)
            if other is None or other.weights >= way.sizes.weights:
                continue
            smaller = Way.of(way.situation, way.entry, artifact, other, offloaded=False)
            if smaller.fits(smaller.memory(last)):
                return f"choose quantization {artifact.quantization}"
    return rejections.room_fix(way.situation.host, way.situation.budget, request, needed)
