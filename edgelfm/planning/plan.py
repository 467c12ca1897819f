"""What a plan says. Pure data: which model, how, why, what it costs, what was turned down and what would mend it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from ..decision import Decision, Grade
from ..errors import RequestError
from ..hardware.host import Host
from ..hardware.profiles import Match
from ..models.entry import Artifact, ModelEntry, Task
from ..upstairs import widget

if TYPE_CHECKING:
    from ..models.lora import Lora
    from ..notebook.explorer import PlanExplorer
    from .records import Record

KvType = Literal["f16", "q8_0", "q4_0"]
#: Where bytes live. A GPU that shares main memory has no memory of its own: its bytes are "host".
Device = Literal["host", "gpu"]
#: What a way was turned down for. "backend" is one command away, "unsupported" is not; "task" means it would run but
#: was not what was asked for.
Cause = Literal["backend", "quantization", "context", "disk", "memory", "unsupported", "task"]


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked for. None leaves the choice to the planner."""

    model: ModelEntry | None = None  # only this one; the planner may not change the model
    task: Task = "chat"
    context: int | None = None  # tokens
    quantization: str | None = None
    backend: str | None = None
    memory_bytes: int | None = None  # use at most this much, instead of what is available minus the reserve
    kv_type: KvType | None = None
    threads: int | None = None
    micro_batch: int | None = None
    adapter: Lora | None = None  # runs beside the model


@dataclass(frozen=True, slots=True)
class Settings:
    """How the runtime is to be opened. Every value is a decision."""

    context: Decision[int]  # tokens
    batch: Decision[int]  # tokens handed to the runtime at once
    micro_batch: Decision[int]  # tokens computed at once
    kv_type: Decision[KvType]
    flash_attention: Decision[bool]
    mmap: Decision[bool]
    threads: Decision[int]  # while decoding
    threads_prefill: Decision[int]
    gpu_layers: Decision[int]  # layers on the GPU, 0 for CPU only
    state_bytes: Decision[int]  # for states to go back to and of other conversations; taken only as they come up
    # What only some runtimes leave open; None for the others.
    device: Decision[str] | None = None  # in the runtime's own words: "cpu", "cuda", "mps"
    dtype: Decision[str] | None = None  # that weights are held and computed in: "bf16", "f16", "f32"
    providers: Decision[tuple[str, ...]] | None = None  # execution providers in the order they are offered the graph

    def decisions(self) -> dict[str, Decision[Any]]:
        """By name, without those that the runtime knows nothing of."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: decision for name, decision in named.items() if decision is not None}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import settings_bundle

        return settings_bundle(self)


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """One line of the memory bill."""

    name: str  # weights, adapter, KV cache, convolution state, compute buffers, output, mapped copy, runtime
    bytes: int
    grade: Grade = "estimated"
    note: str = ""
    device: Device = "host"


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak resident memory of the whole process, part by part."""

    parts: tuple[MemoryPart, ...]

    @property
    def total(self) -> int:
        """Bytes, all parts together."""
        return sum(part.bytes for part in self.parts)

    def on(self, device: Device) -> int:
        """Bytes of the parts that live in the memory of `device`."""
        return sum(part.bytes for part in self.parts if part.device == device)

    def part(self, name: str) -> int:
        """Bytes of the part of that name, 0 if there is none."""
        return sum(part.bytes for part in self.parts if part.name == name)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import memory_bundle

        return memory_bundle(self)


@dataclass(frozen=True, slots=True)
class SpeedEstimate:
    """Tokens per second as a range. An unknown speed has no range and says why."""

    low: float | None
    high: float | None
    grade: Grade
    reason: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import speed_bundle

        return speed_bundle(self)


@dataclass(frozen=True, slots=True)
class Reference:
    """Somebody's published speed for this model on this kind of machine. Told as theirs, never used as ours."""

    model: str
    quantization: str
    runtime: str
    decode: float | None  # tokens per second
    prefill: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run one model here."""

    model: ModelEntry
    artifact: Artifact
    settings: Settings
    memory: MemoryEstimate
    decode: SpeedEstimate  # tokens per second
    prefill: SpeedEstimate  # tokens per second
    reason: str  # why it stands where it stands, in a sentence
    references: tuple[Reference, ...] = ()
    load_command: str = ""  # the exact `edgelfm.load(...)` that gives this candidate

    @property
    def backend(self) -> str:
        """Name of the runtime."""
        return self.artifact.backend

    @property
    def quantization(self) -> str:
        """Name of the quantization, in the backend's own words."""
        return self.artifact.quantization

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import candidate_bundle

        return candidate_bundle(self)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One way that was turned down, and what would change that."""

    model: str  # id
    backend: str
    quantization: str
    reason: str  # "needs 1.9 GiB, 1.2 GiB can be used"
    fix: str  # "close 700 MiB of other programs", "pip install 'edgelfm[mlx]'"
    short_bytes: int = 0  # how much memory was missing, 0 if memory was not the reason
    cause: Cause = "memory"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import rejected_bundle

        return rejected_bundle(self)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much memory a model may take here, and how that was worked out. Bytes."""

    available_bytes: int
    reserve_bytes: int  # left alone, by the profile
    usable_bytes: int  # available minus reserve, or what the request allowed
    reason: str
    gpu_bytes: int | None = None  # usable memory of a GPU with memory of its own; None where there is none to use


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan was made from besides machine, profile and request. Kept so that another request costs no look."""

    catalog: tuple[ModelEntry, ...]
    drivable: frozenset[str]  # backends that this program can open
    on_disk: frozenset[Artifact]
    records: tuple[Record, ...]
    cores_taken: int
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer of the planner. `chosen` is None when nothing can run; then `rejected` says what would."""

    host: Host
    match: Match
    request: Request
    budget: Budget
    candidates: tuple[Candidate, ...]  # best first, every one fits
    rejected: tuple[Rejected, ...]
    advice: tuple[str, ...] = field(default=())  # what would make this machine better at it: "pip install …"
    facts: Facts | None = field(default=None, repr=False, compare=False)  # None in a plan put together by hand

    @property
    def chosen(self) -> Candidate | None:
        """The best candidate."""
        return self.candidates[0] if self.candidates else None

    def again(self, request: Request) -> Plan:
        """The plan for another request on the same machine, from the same facts. Reads nothing, measures nothing.

        Raises `RequestError` if this plan does not know what it was made from.
        """
        from .planner import plan

        if self.facts is None:
            raise RequestError("this plan was put together by hand", hint="make one with edgelfm.plan()")
        known = self.facts
        return plan(
            self.host, self.match, known.catalog, request, drivable=known.drivable, on_disk=known.on_disk,
            records=known.records, cores_taken=known.cores_taken, remarks=known.remarks,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        from .plain import plan_dict

        return plan_dict(self)

    def __rich__(self) -> Any:
        """Tables for terminals."""
        from .show import plan_table

        return plan_table(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import plan_bundle

        return plan_bundle(self)

    def explore(self) -> PlanExplorer:
        """A widget in which task, context, memory and the rest can be changed, and what would run is seen at once."""
        explorer: PlanExplorer = widget("explorer", "PlanExplorer")(self)
        return explorer
