"""A `Host` as JSON and back, so that a machine can be planned for where it is not.

The text is one object: `schema`, a number that this module checks first, and the fields of `Host`. Reading is strict: a
field that is missing takes its default, one that is unknown or of another type is an error.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

from ..errors import HostFileError
from .host import SCHEMA, Host

_REWRITE = "write it anew on that machine with: edgelfm doctor --save host.json"


def dump(host: Host) -> str:
    """JSON text, two spaces deep, that `load` reads."""
    return json.dumps({"schema": SCHEMA, **dataclasses.asdict(host)}, indent=2, ensure_ascii=False, allow_nan=False)


def load(text: str, *, source: str) -> Host:
    """The host in `text`. Raises `HostFileError` naming `source` and the wrong field."""
    from pydantic import TypeAdapter, ValidationError

    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HostFileError(f"{source}: not JSON: {error}", hint=_REWRITE) from None
    if not isinstance(data, dict):
        raise HostFileError(f"{source}: holds {type(data).__name__}, not an object", hint=_REWRITE)
    schema = data.pop("schema", None)
    if schema != SCHEMA or isinstance(schema, bool):
        found = "no schema number" if schema is None else f"schema {schema!r}"
        raise HostFileError(f"{source}: {found}, this version reads schema {SCHEMA}", hint=_REWRITE)
    _refuse_unknown(data, Host, source, "")
    try:
        # Through JSON once more: strict mode takes a JSON array for a tuple, but not a Python list.
        return TypeAdapter(Host).validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise HostFileError(f"{source}: {field}: {first['msg']}", hint="correct that field, or " + _REWRITE) from None


def _refuse_unknown(data: Any, kind: Any, source: str, path: str) -> None:
    """Raise for the first key that no field answers to. pydantic passes over them in a plain dataclass."""
    if dataclasses.is_dataclass(kind) and isinstance(data, dict):
        assert isinstance(kind, type)
        kinds = typing.get_type_hints(kind)
        for key, value in data.items():
            if key not in kinds:
                import difflib

                near = difflib.get_close_matches(key, kinds, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(kinds)}"
                raise HostFileError(f"{source}: {path}{key}: no such field", hint=hint)
            _refuse_unknown(value, kinds[key], source, f"{path}{key}.")
    elif typing.get_origin(kind) is tuple and isinstance(data, list):
        for index, value in enumerate(data):
            _refuse_unknown(value, typing.get_args(kind)[0], source, f"{path}{index}.")
