"""`edgelfm tune`: measure which settings are fastest for a model on this machine, and keep them for the next start."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .output import Column, write_facts, write_json, write_line, write_table

if TYPE_CHECKING:
    from ..model import Model
    from ..planning.records import Trial
    from ..tuning.tune import Tuned

_LEAST_SECONDS = 1.0


def tune(
    model: options.ModelName = None,
    context: options.Context = None,
    quantization: options.Quantization = None,
    backend: options.Backend = None,
    memory: options.Memory = None,
    profile: options.Profile = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="About how long to measure.", min=_LEAST_SECONDS)
    ] = 20.0,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget all that was measured on this machine, and measure nothing.")
    ] = False,
    offline: options.Offline = False,
    as_json: options.Json = False,
) -> None:
    """Measure which settings are fastest for a model here.

    Threads for reading and for writing, flash attention and micro-batch are tried in turns. What was found is kept and
    used from then on, and tells how fast other models will be. A first use measures for some seconds by itself. Other
    runtimes than llama.cpp leave nothing to choose: of them the speed is measured, and later plans prefer the fastest.
    """
    if forget:
        _forget(as_json)
        return
    from .opening import open_model

    wishes = {"context": context, "quantization": quantization, "memory": memory, "profile": profile}
    with open_model(model, tune=False, backend=backend or "llama.cpp", offline=offline or None, **wishes) as lfm:
        tuned = lfm.tune(seconds=seconds, progress=sys.stderr.isatty())
        if as_json:
            write_json(_data(tuned))
        else:
            _write(lfm, tuned)


def _forget(as_json: bool) -> None:
    import edgelfm

    from ..errors import StoreError
    from ..planning import record_store
    from ..planning.records import fingerprint

    host = fingerprint(edgelfm.inspect(bandwidth=False))
    count = sum(one.host == host for one in record_store.read())
    if reason := record_store.forget(host):
        raise StoreError(f"cannot forget: {reason}", hint=f"delete {record_store.path()}")
    if as_json:
        write_json({"forgotten": count})
    else:
        write_line(f"{count} {'measurement' if count == 1 else 'measurements'} of this machine forgotten.")


def _write(lfm: Model, tuned: Tuned) -> None:
    from ..planning.show import SETTINGS, reason_text, setting_text
    from ..units import format_seconds

    record = tuned.record
    rows = [_row(tuned, one) for one in record.tried]
    if rows:
        names = [Column("phase"), Column("setting"), Column("value"), Column("tokens/s", right=True), Column("")]
        write_table(names, rows)
        write_line()
    now = lfm.candidate.settings
    chosen = [(SETTINGS[name], getattr(now, name)) for name in _TUNED]
    write_facts([
        ("model", f"{lfm.entry.name} {lfm.candidate.quantization} on {lfm.candidate.backend}"),
        *((name, f"{setting_text(name, one.value)}, {reason_text(one)}") for name, one in chosen),
        ("decode", _speed(record.decode.seconds, tuned.decode_gain, f"after {record.depth} tokens of context")),
        ("prefill", _speed(record.prefill.seconds, tuned.prefill_gain, f"over a prompt of {record.prompt} tokens")),
        ("cores taken", f"{record.cores_taken} by other programs" if record.cores_taken else ""),
        ("measured for", format_seconds(tuned.seconds)),
        ("not kept", tuned.not_kept),
    ])  # fmt: skip


_TUNED = ("threads", "threads_prefill", "flash_attention", "micro_batch")


def _row(tuned: Tuned, one: Trial) -> tuple[str, ...]:
    from ..planning.show import SETTINGS, setting_text

    chosen = setting_text(one.setting, getattr(tuned.record, one.setting)) == one.value
    before = setting_text(one.setting, getattr(tuned.usual, one.setting).value) == one.value
    remark = " ".join(word for word, holds in (("chosen", chosen), ("as planned", before)) if holds)
    return one.phase, SETTINGS[one.setting], one.value, f"{1 / one.seconds:.1f}", remark


def _speed(seconds: float, gain: float | None, where: str) -> str:
    told = f"{1 / seconds:.1f} tokens/s {where}"
    return told if gain is None or gain < 1.01 else f"{told}, {gain:.2f} times as planned"


def _data(tuned: Tuned) -> dict[str, Any]:
    return {
        "record": asdict(tuned.record),
        "as_planned": {name: getattr(tuned.usual, name).value for name in _TUNED},
        "seconds": tuned.seconds,
        "not_kept": tuned.not_kept,
    }
