"""Which execution providers are offered a graph, which of them really run it, and why the others do not.

A provider that does not start is left out and the next one tried, down to the CPU, which is always there. What came of
it stands in a `ProvidersReport`. Knows nothing of models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ...errors import BackendError, ModelFileError
from .known_providers import CPU, OPENVINO, PROVIDERS, full_name, short_name
from .last_row import Changed
from .library import SILENT, Library
from .placement import Memories, ProvidersReport, in_place, memories, placement

Trial = TypeVar("Trial")
_SPIN_MICROSECONDS = "30"
#: The release of ONNX Runtime that this was seen to work in. Older ones may not know the limit: no spinning.
_BOUNDED_SPINNING = (1, 32)


@dataclass(frozen=True, slots=True)
class Offer:
    """What providers are to be offered a graph, and how."""

    wanted: tuple[str, ...] | None = None  # ONNX Runtime's names or ours, in order; None: what this machine has
    device: str | None = None  # "gpu", "npu" or "cpu", for providers that run on several
    dtype: str | None = None  # that they compute in, for those that choose it themselves; None: as the graph says
    options: tuple[tuple[str, Mapping[str, str]], ...] = ()  # by name, beside those of the table
    threads: int = 0  # for the CPU


@dataclass(frozen=True, slots=True)
class Started(Generic[Trial]):
    """A graph ready to run."""

    session: Any  # onnxruntime.InferenceSession
    report: ProvidersReport
    trial: Trial


def start(
    library: Library,
    graph: Path,
    offer: Offer,
    trial: Callable[[Any, Memories, bool], Trial],
    changed: Changed | None = None,
) -> Started[Trial]:
    """Load `graph` with the best providers that start and pass `trial`.

    `trial` is given the session, in whose memory each input is wanted, and whether attention may write where it reads.
    `changed` is loaded in the place of what is in the file. Raises `ModelFileError` if not even the CPU can load the
    graph, and what `trial` raises there.
    """
    names, refused = _order(library, offer)
    failures: tuple[type[Exception], ...] = (*library.errors, BackendError)
    while True:
        try:
            session = _load(library, graph, names, offer, changed)
            report = placement(session, refused, names)
            return Started(session, report, trial(session, memories(session, report), in_place(session, report)))
        except failures as error:
            others = [name for name in names if name != CPU]
            if not others:
                if isinstance(error, (ModelFileError, BackendError)):
                    raise
                raise ModelFileError(
                    f"{graph}: ONNX Runtime {library.ort.__version__} cannot load it: {_first_line(error)}",
                    hint="pip install --upgrade onnxruntime; if that does not help, download the model again",
                ) from error
            if isinstance(error, ModelFileError):  # no provider can mend the graph
                raise
            names.remove(others[0])
            refused = [*refused, (others[0], _first_line(error))]


def _order(library: Library, offer: Offer) -> tuple[list[str], list[tuple[str, str]]]:
    """Names of providers to try, the CPU last, and what was wanted and is not here."""
    here = {*library.ort.get_available_providers(), *library.plugins}
    if offer.wanted is None:
        wanted = [known.name for known in PROVIDERS if known.unasked and known.name in here]
        wanted = [full_name(name) for name, _ in offer.options] + wanted
    else:
        wanted = [full_name(name) for name in offer.wanted]
    wanted = [name for name in dict.fromkeys(wanted) if name != CPU]
    refused = [(name, _why_not(library, name)) for name in wanted if name not in here]
    refused += [(package, f"could not be registered: {reason}") for package, reason in library.broken]
    return [*(name for name in wanted if name in here), CPU], refused


def _why_not(library: Library, name: str) -> str:
    if name in library.idle:
        return "it is installed, and this machine has no device that it works with"
    install = next((known.install for known in PROVIDERS if known.name == name), "nor does edgelfm know what brings it")
    return f"this onnxruntime does not have it ({install})"


def _load(library: Library, graph: Path, names: Sequence[str], offer: Offer, changed: Changed | None) -> Any:
    ort = library.ort
    settings = ort.SessionOptions()
    settings.log_severity_level = SILENT
    settings.intra_op_num_threads = offer.threads
    settings.inter_op_num_threads = 1
    for key, value in _waiting(ort.__version__):
        settings.add_session_config_entry(key, value)
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if "DmlExecutionProvider" in names:  # it can do neither
        settings.enable_mem_pattern = False
    source: str | bytes = str(graph)
    if changed is not None:
        source = changed.graph
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(changed.folder))
    given = [(name, _options(library, name, offer)) for name in names]
    if not library.plugins & set(names):
        # Its own way of falling back prints to the terminal.
        return ort.InferenceSession(source, settings, providers=given, enable_fallback=0)
    for name, options in given:
        if name in library.plugins:
            settings.add_provider_for_devices(_devices(ort, name, offer.device), options)
        elif name != CPU:
            settings.add_provider(name, options)
    return ort.InferenceSession(source, settings, enable_fallback=0)


def _waiting(version: str) -> Iterator[tuple[str, str]]:
    """How threads wait for work: they spin for a moment, as an operator follows another within microseconds.

    Threads that spin as long as ONNX Runtime lets them take the cores from whatever else is at work, and those that
    stop too soon must be woken by the system for the next operator. LFM2-350M, tokens/s quiet and with one core kept
    busy, each setting in a process of its own. Two cores of an EPYC: 67 and 45 with 10 us, 72 and 43 with 30, 71 and
    40 with 50, 75 and 40 with 100, and onnxruntime-genai, whose threads spin without end, 68 and 28. In other runs
    there: 64 and 46 without spinning, 71 and 31 with all of it in a run and none between runs
    (`session.force_spinning_stop`). Two cores of a Xeon: 57 and 46 without, 67 and 46 with 8 us, 69 and 39 with 20,
    67 and 31 with all of it.
    """
    release = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    bounded = release >= _BOUNDED_SPINNING
    yield "session.intra_op.allow_spinning", "1" if bounded else "0"
    if bounded:
        yield "session.intra_op.spin_duration_us", _SPIN_MICROSECONDS


def _options(library: Library, name: str, offer: Offer) -> dict[str, str]:
    options = next((dict(known.options) for known in PROVIDERS if known.name == name), {})
    for given, more in offer.options:
        if full_name(given) == name:
            options |= more
    if name == OPENVINO and name in library.plugins:
        # Left to itself it computes in bf16 where the CPU can, and other answers come out.
        hint = {"INFERENCE_PRECISION_HINT": offer.dtype or "f32"}
        options.setdefault("load_config", json.dumps({"CPU": hint}))
    elif name == OPENVINO and offer.device:
        options["device_type"] = offer.device.upper()
    return options


def _devices(ort: Any, name: str, wanted: str | None) -> list[Any]:
    """The device that a provider of a package of its own is to run on. Raises `BackendError` if there is none."""
    found = {device.device.type.name.lower(): device for device in ort.get_ep_devices() if device.ep_name == name}
    for kind in (wanted,) if wanted else ("gpu", "cpu", "npu"):
        if kind in found:
            return [found[kind]]
    others = ", ".join(found)
    raise BackendError(f"{short_name(name)} has no device {wanted or 'that edgelfm knows'} here, only: {others}")


def _first_line(error: Exception) -> str:
    text = error.message if isinstance(error, BackendError) else str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)[:300]
