"""Which format and quantization suit this machine, where nobody said: the planner is asked as for published files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..decision import ASKED, Decision
from ..errors import RequestError, UnknownQuantization
from ..models.entry import Artifact, File
from ..models.quantizer import DEFAULT_TYPE
from ..models.tensors import tensors
from .builders import MLX
from .source import Source

FORMATS = {"gguf": "llama.cpp", "mlx": "mlx", "onnx": "onnx"}
_USUAL = {"gguf": "Q4_0", "mlx": "4bit", "onnx": "int4"}
_OFFERED = {"llama.cpp": ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"), "mlx": ("4bit", "6bit", "8bit")}


def choose(source: Source, to: str | None, quantization: str | None) -> tuple[Decision[str], Decision[str]]:
    """Format and quantizations. What was asked for is never changed. Raises `RequestError` for an unknown format."""
    if to is not None and to not in FORMATS:
        raise RequestError(f"{to!r} is no format", hint=f"use one of {', '.join(FORMATS)}")
    form: Decision[str]
    if to is None and quantization is not None:
        form = Decision(_format_of(quantization), f"the one that has {quantization.partition(',')[0]}")
    elif to is not None:
        form = Decision(to, ASKED, "measured")
    else:
        form = Decision("", "")
    if quantization is not None:
        return form, Decision(quantization, ASKED, "measured")
    planned = _planned(source, form.value) if form.value in ("", "gguf", "mlx") else None
    if planned is not None:
        backend, name, reason = planned
        back = {runtime: one for one, runtime in FORMATS.items()}
        return form if form.value else Decision(back[backend], reason), Decision(name, reason)
    if not form.value:
        form = Decision("gguf", "llama.cpp runs on every machine, and nothing larger fits here")
    return form, Decision(_USUAL[form.value], "four bits: the usual on small machines", "unknown")


def _format_of(quantization: str) -> str:
    """By how its names are written: `Q4_0`, `4bit`, `int4`. `BF16` in capitals is GGUF's, else MLX's."""
    first = quantization.partition(",")[0].strip()
    if first.startswith("int"):
        return "onnx"
    return "mlx" if first.endswith("bit") or first in MLX else "gguf"


def _planned(source: Source, form: str) -> tuple[str, str, str] | None:
    """Backend, quantization and reason of what the planner would choose; None if nothing of it fits here."""
    from ..hardware import inspect, profiles
    from ..models import catalog
    from ..models.entry import License, ModelEntry
    from ..models.from_header import CAUTIOUS
    from ..models.tensors import active_parameters, parameters
    from ..planning import plan, record_store
    from ..planning.plan import Request

    backends = [FORMATS[form]] if form else list(_OFFERED)
    entry = ModelEntry(
        id=source.name.lower(), name=source.name, repo="", architecture=source.net,
        parameters=parameters(source.net), active_parameters=active_parameters(source.net), prompt_format="own",
        license=License("unknown", "unknown", "", "", False), sampling=CAUTIOUS, artifacts=(),
    )  # fmt: skip
    entry = replace(entry, artifacts=tuple(_artifact(source, one, name) for one in backends for name in _OFFERED[one]))
    host, entries = inspect(), tuple(catalog.load())
    made = plan(
        host, profiles.match(host), entries, Request(model=entry), drivable=frozenset(backends),
        records=record_store.look().records,
    )  # fmt: skip
    if made.chosen is None:
        return None
    why = made.chosen.reason.removeprefix("the model asked for; ")
    return made.chosen.backend, made.chosen.quantization, f"what the planner puts first here: {why}"


def _artifact(source: Source, backend: str, quantization: str) -> Artifact:
    folder = str(Path(source.folder))
    if backend == "llama.cpp":
        stored = tensors(source.net, quantization)
        size = sum(one.bytes for one in stored)
        return Artifact(backend, quantization, "", (File("model.gguf", bytes=size),), path=folder, tensors=stored)
    return Artifact(backend, quantization, "", (File("./"),), path=folder)


def quantizations(form: str, names: str) -> tuple[str, ...]:
    """The names in a list with commas, as the format writes them. Raises `UnknownQuantization` if there is none."""
    found = [name.strip() for name in names.split(",") if name.strip()]
    spelled = [name.upper() if form == "gguf" else name.lower() for name in found]
    if not spelled:
        raise UnknownQuantization("no quantization is named", hint=f"such as {_USUAL[form]}")
    return tuple(dict.fromkeys(spelled))


def least_bits(name: str) -> int:
    """Bits a weight that a quantization has at the least, by its name: 4 of `Q4_K_M`, `4bit` and `int4`."""
    digits = next((int(run) for run in _runs_of_digits(name)), 16)
    return min(digits, 16)


def weight_bytes(source: Source, quantization: str) -> int:
    """Of the converted weights; a bound where llama.cpp's choices are not known beforehand."""
    if quantization in DEFAULT_TYPE:
        return sum(one.bytes for one in tensors(source.net, quantization))
    full = sum(one.bytes for one in tensors(source.net, "F16"))
    return full * 2 if least_bits(quantization) >= 32 else full


def _runs_of_digits(text: str) -> list[str]:
    import re

    return re.findall(r"\d+", text)
