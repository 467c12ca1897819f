"""A `Record` of what was measured: fills in which machine, runtime, network and quantization it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from ..errors import RequestError
from ..hardware.host import Host
from ..models.entry import ModelEntry
from ..models.lora import Lora
from ..models.tensors import active_parameters
from . import openings
from .plan import Candidate, Settings
from .records import Computed, Record, Timing, Trial, build, fingerprint, network
from .sizes import sizes
from .speed import DEPTH, bytes_per_token


def make_record(
    host: Host,
    candidate: Candidate,
    *,
    decode: Timing,
    prefill: Timing,
    prompt: int,
    depth: int = DEPTH,
    settings: Settings | None = None,
    cores_taken: int = 0,
    tried: Sequence[Trial] = (),
    measured_at: str = "",
    adapter: Lora | None = None,
) -> Record:
    """What `candidate` did on `host`, with `settings` where those measured are not the candidate's own.

    `adapter` is what ran beside it. `decode` was measured at `depth` tokens of context and `prefill` over a prompt of
    `prompt` tokens, both in seconds per token. Raises `RequestError` for a model whose architecture is not known;
    nothing can be predicted from it.
    """
    architecture = candidate.model.architecture
    measured = sizes(candidate.model, candidate.artifact, ()) if architecture is not None else None
    if architecture is None or measured is None:
        raise RequestError(
            f"the architecture of {candidate.model.name} is not known",
            hint="measure it from its file: edgelfm tune FILE.gguf",
        )
    chosen = settings or candidate.settings
    beside = candidate.memory.part("adapter") if adapter is not None else 0
    return Record(
        host=fingerprint(host),
        backend=candidate.backend,
        build=build(host, candidate.backend),
        model=network(architecture, adapter),
        quantization=candidate.quantization,
        layers=architecture.layers,
        bytes_per_token=bytes_per_token(
            measured.read * openings.widening(chosen.dtype, candidate.quantization) + beside, architecture, depth
        ),
        parameters=parameters_per_token(candidate.model) + (adapter.parameters if adapter is not None else 0),
        threads=chosen.threads.value,
        threads_prefill=chosen.threads_prefill.value,
        flash_attention=chosen.flash_attention.value,
        micro_batch=chosen.micro_batch.value,
        kv_type=chosen.kv_type.value,
        decode=decode,
        prefill=prefill,
        depth=depth,
        prompt=prompt,
        cores_taken=cores_taken,
        measured_at=measured_at or datetime.now(timezone.utc).isoformat(timespec="seconds"),
        device=computed_on(chosen),
        tried=tuple(tried),
    )


def computed_on(settings: Settings) -> Computed:
    """Where a model opened with these settings computes."""
    return "gpu" if settings.gpu_layers.value else "cpu"


def parameters_per_token(entry: ModelEntry) -> int:
    """Weights that take part in one token, by the architecture; by the model card where that does not tell, else 0."""
    try:
        return active_parameters(entry.architecture) if entry.architecture is not None else _by_card(entry)
    except RequestError:
        return _by_card(entry)


def _by_card(entry: ModelEntry) -> int:
    return entry.active_parameters or entry.parameters or 0
