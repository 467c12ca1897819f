"""What a hardware profile in YAML may say: keys, types, units and names, as pydantic models.

It knows neither which profile fits a machine nor where files are. Importing it loads pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ..errors import RequestError
from ..units import parse_bytes
from ..yamlfile import Strict, did_you_mean
from .profile_rules import Device, Features, Flag, MemoryRange, Rule, Text

BACKENDS = ("llama.cpp", "mlx", "onnx", "transformers", "remote")
_UNITS = ("KiB", "MiB", "GiB", "TiB", "kB", "MB", "GB", "TB")

Feature = Literal[
    "amx_int8", "avx", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "avx_vnni", "bf16", "dotprod", "f16c", "fma",
    "fp16", "i8mm", "neon", "sme", "sve", "sve2",
]  # fmt: skip
Quantization = Literal[
    "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M", "Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M",
    "Q6_K", "Q8_0", "IQ3_XS", "IQ3_M", "IQ4_XS", "IQ4_NL", "F16", "BF16", "F32",
]  # fmt: skip


def _bytes(given: Any) -> int:
    """`"400 MiB"` as bytes. A number alone is refused: nobody can tell what it counts."""
    if isinstance(given, bool) or not isinstance(given, (str, int, float)):
        raise ValueError("write a number and a unit, such as '400 MiB'")
    text = str(given).strip()
    number, unit = re.fullmatch(r"([\d.]*)\s*(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    if number and not unit:
        raise ValueError(f"{text} has no unit; write '{text} MiB' or '{text} GiB'")
    if number and unit not in _UNITS:
        raise ValueError(f"{unit!r} is not a unit of memory{did_you_mean(unit, _UNITS)}")
    try:
        return parse_bytes(text)
    except RequestError as error:
        raise ValueError(
            f"{text!r} is not an amount of memory; write a number and a unit, such as '400 MiB'"
        ) from error


def _rate(given: Any) -> float:
    """`"17.1 GB/s"` as bytes per second."""
    text = str(given).strip()
    if not text.endswith("/s"):
        raise ValueError(f"{text!r} has no unit of speed; write it as in '17.1 GB/s'")
    return float(_bytes(text.removesuffix("/s")))


def _several(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


Bytes = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
Rate = Annotated[float, BeforeValidator(_rate), Field(gt=0)]
Patterns = Annotated[list[str], BeforeValidator(_several), Field(min_length=1)]


class _Block(Strict):
    """A block of match rules: empty means that somebody forgot something."""

    @model_validator(mode="after")
    def _says_something(self) -> _Block:
        if not self.model_fields_set:
            raise ValueError(f"this block is empty; give one of {', '.join(type(self).model_fields)}")
        return self


class BoardRules(_Block):
    """The product."""

    name: Patterns | None = None
    compatible: Patterns | None = None
    soc: Patterns | None = None
    family: Patterns | None = None


class FeatureRules(_Block):
    """CPU features by edgelfm's names."""

    every: list[Feature] = Field(default=[], alias="all")
    some: list[Feature] = Field(default=[], alias="any")
    none: list[Feature] = Field(default=[])


class CpuRules(_Block):
    """The processor."""

    model: Patterns | None = None
    vendor: Patterns | None = None
    architecture: Annotated[list[Literal["x86_64", "arm64", "armv7"]], BeforeValidator(_several)] | None = None
    features: FeatureRules | None = None


class MemoryRules(_Block):
    """Main memory, or the limit below it."""

    at_least: Bytes | None = None
    below: Bytes | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> MemoryRules:
        if self.at_least is not None and self.below is not None and self.at_least >= self.below:
            raise ValueError("'at_least' must be less than 'below'")
        return self


class GpuRules(_Block):
    """One GPU."""

    vendor: Patterns | None = None
    name: Patterns | None = None
    unified: bool | None = None


class NpuRules(_Block):
    """One NPU."""

    vendor: Patterns | None = None
    name: Patterns | None = None


class MatchRules(Strict):
    """All of these have to hold."""

    limit: bool | None = None
    wsl: bool | None = None
    container: bool | None = None
    board: BoardRules | None = None
    gpu: GpuRules | None = None
    npu: NpuRules | None = None
    memory: MemoryRules | None = None
    cpu: CpuRules | None = None
    system: Annotated[list[Literal["linux", "darwin", "windows"]], BeforeValidator(_several)] | None = None

    def rules(self) -> tuple[Rule, ...]:
        """The same as rules that can be held against a machine."""
        found: list[Rule] = []
        for kind, wanted in (("memory limit", self.limit), ("WSL", self.wsl), ("container", self.container)):
            if wanted is not None:
                found.append(Flag(kind, wanted))  # type: ignore[arg-type]
        board, cpu = self.board or BoardRules.model_construct(), self.cpu or CpuRules.model_construct()
        found += _texts(
            {"board name": board.name, "board compatible": board.compatible, "board soc": board.soc,
             "board family": board.family, "CPU model": cpu.model}
        )  # fmt: skip
        if self.gpu:
            found.append(Device("GPU", tuple(self.gpu.vendor or ()), tuple(self.gpu.name or ()), self.gpu.unified))
        if self.npu:
            found.append(Device("NPU", tuple(self.npu.vendor or ()), tuple(self.npu.name or ())))
        if self.memory:
            found.append(MemoryRange(self.memory.at_least, self.memory.below))
        if features := cpu.features:
            found.append(Features(tuple(features.every), tuple(features.some), tuple(features.none)))
        return (*found, *_texts({"CPU vendor": cpu.vendor, "system": self.system, "architecture": cpu.architecture}))


class ReserveBlock(Strict):
    """Memory left alone. `400 MiB` alone means the same on every machine of the class."""

    at_least: Bytes
    at_most: Bytes | None = None
    fraction: float = Field(default=0.0, ge=0, le=0.9)

    @model_validator(mode="before")
    @classmethod
    def _amount(cls, given: Any) -> Any:
        return given if isinstance(given, dict) else {"at_least": given}

    @model_validator(mode="after")
    def _is_a_range(self) -> ReserveBlock:
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError("'at_most' must not be less than 'at_least'")
        return self


class ThreadBlock(Strict):
    """How many threads compute."""

    cores: Literal["performance", "physical", "all"] = "performance"
    maximum: int | None = Field(default=None, ge=1)
    prefill_maximum: int | None = Field(default=None, ge=1)
    reason: str = ""


class BandwidthBlock(Strict):
    """What a data sheet or a published test says. `when` narrows it to some machines of the class."""

    rate: Rate
    source: str = Field(min_length=1)
    when: MatchRules | None = None


class ReferenceBlock(Strict):
    """A published speed, in tokens per second."""

    model: str
    quantization: str
    runtime: str
    decode: float | None = Field(default=None, gt=0)
    prefill: float | None = Field(default=None, gt=0)
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _says_something(self) -> ReferenceBlock:
        if self.decode is None and self.prefill is None:
            raise ValueError("give 'decode', 'prefill' or both")
        return self


class ProfileFile(Strict):
    """One file of `profiles/`."""

    name: str = Field(min_length=1)
    match: MatchRules = Field(default_factory=MatchRules)
    reserve: ReserveBlock
    backends: list[str] = Field(min_length=1)
    quantizations: list[Quantization] = Field(min_length=1)
    threads: ThreadBlock = Field(default_factory=ThreadBlock)
    bandwidth: list[BandwidthBlock] = Field(default=[])
    references: list[ReferenceBlock] = Field(default=[])
    notes: list[str] = Field(default=[])

    @field_validator("backends")
    @classmethod
    def _known_backends(cls, given: list[str]) -> list[str]:
        for name in given:
            if name not in BACKENDS and name not in (known := (*BACKENDS, *_installed())):
                raise ValueError(f"{name!r} is not a backend{did_you_mean(name, known)} ({', '.join(known)})")
        return given

    @field_validator("backends", "quantizations")
    @classmethod
    def _no_name_twice(cls, given: list[str]) -> list[str]:
        if twice := next((name for name in given if given.count(name) > 1), None):
            raise ValueError(f"{twice!r} is given twice")
        return given

    @field_validator("bandwidth")
    @classmethod
    def _general_case_last(cls, given: list[BandwidthBlock]) -> list[BandwidthBlock]:
        if any(one.when is None for one in given[:-1]):
            raise ValueError("an entry without 'when' hides all after it; put it last")
        return given


def _installed() -> list[str]:
    return sorted(point.name for point in entry_points(group="edgelfm.backends") if point.name not in BACKENDS)


def _texts(wanted: Mapping[str, Any]) -> list[Rule]:
    return [Text(about, tuple(patterns)) for about, patterns in wanted.items() if patterns]
