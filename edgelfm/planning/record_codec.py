"""A `Record` out of JSON, checked field by field. By hand, because `plan` must not wait for a validation library."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

from .plan import KvType
from .records import LARGEST_COUNT, Computed, Phase, Record, Timing, Trial

_CHOICES = {KvType: get_args(KvType), Phase: get_args(Phase), Computed: get_args(Computed)}
_HINTS: dict[Any, dict[str, Any]] = {kind: get_type_hints(kind) for kind in (Record, Timing, Trial)}


def read_record(data: object) -> Record:
    """The record in `data`, which comes from JSON. Raises `ValueError` saying what is wrong.

    Keys that this version does not know are passed over: a later one may have added them.
    """
    record: Record = _read(Record, data)
    if not record.plausible:
        raise ValueError("its figures make no sense")
    return record


def _read(kind: Any, data: object) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{type(data).__name__} instead of an object")
    given: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in data:
            given[field.name] = _value(_HINTS[kind][field.name], data[field.name], field.name)
        elif field.default is MISSING:
            raise ValueError(f"{field.name} is missing")
    return kind(**given)


def _value(kind: Any, value: Any, name: str) -> Any:
    if kind in _HINTS:
        return _read(kind, value)
    if kind == tuple[Trial, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return tuple(_read(Trial, one) for one in value)
    if kind in _CHOICES:
        if value not in _CHOICES[kind]:
            raise ValueError(f"{name} is {value!r}")
        return value
    if kind is float and type(value) is int and abs(value) < LARGEST_COUNT:
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} is {value!r}")
    return value
