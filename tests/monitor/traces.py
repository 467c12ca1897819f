"""A small recording with everything in it, for the tests of what is made of one."""

from __future__ import annotations

from edgelfm.monitor.events import Event
from edgelfm.monitor.reading import GpuReading, Reading, Sample
from edgelfm.monitor.trace import About, Part, Trace

MIB = 1024**2
ABOUT = About(
    started="2026-03-28T14:15:02+01:00",
    machine="Raspberry Pi 5, 4 cores, 8 GiB of memory",
    model="Tiny",
    quantization="Q4_0",
    backend="llama.cpp",
    context=4096,
    load_seconds=1.5,
    predicted=(Part("weights", 80 * MIB), Part("KV cache", 20 * MIB), Part("offloaded", 500 * MIB, "gpu")),
    held=(Part("weights", 79 * MIB),),
    power_source="battery",
)


def reading(at: float, **known: object) -> Reading:
    """A reading of a Pi that is at work."""
    told = {
        "resident_bytes": 90 * MIB, "peak_bytes": 95 * MIB, "memory_available_bytes": 4000 * MIB, "cores": 3.5,
        "busy": (1.0, 0.9, 0.95, 1.0), "megahertz": (2400.0,) * 4, "celsius": 60.0, "throttled": (), "watts": 8.0,
        "joules": 8.0 * at, "gpus": (GpuReading("card", 0.5, watts=3.0),),
    }  # fmt: skip
    return Reading(at, **{**told, **known})  # type: ignore[arg-type]


def recorded() -> Trace:
    """Ten seconds: two replies of ten tokens a second after a prefill of one second each, hot towards the end."""
    trace = Trace(ABOUT)
    happened: list[Event] = [Event(5.0, "mark", note="<b>fan</b> off")]
    sampled: list[float] = []
    for begin in (1.0, 6.0):
        happened += [
            Event(begin, "prefill", tokens=50),
            Event(begin + 1, "prefilled", tokens=50, seconds=1.0),
            Event(begin + 1, "first_token", seconds=1.1),
            Event(begin + 3, "reply", tokens=21, seconds=2.0, note="stop"),
        ]
        sampled += [round(begin + 1 + place / 10, 5) for place in range(21)]
    happened.sort(key=lambda event: event.at)
    for step in range(41):
        at = step / 4
        events = tuple(event for event in happened if at - 0.25 < event.at <= at)
        tokens = tuple(one for one in sampled if at - 0.25 < one <= at)
        hot = ("soft temperature limit",) if at >= 8 else ()
        memory = {"resident_bytes": (40 + step) * MIB, "peak_bytes": (90 + step) * MIB}
        trace.add(Sample(reading(at, celsius=60 + at, throttled=hot, **memory), events, tokens))
    return trace
