"""A benchmark as a JSON file and back, without loss.

    write_json(report, "bench.json")
    report = read_json("bench.json")

The file is one object: `format` and `version`, which are checked first, then the fields of `BenchReport` in their
order, every time in seconds and every size in bytes. A key that this version does not know is passed over, a missing
one takes its default if it has one, and a value of the wrong type is an error that names it. A file of a later version
is refused, because its known keys may mean something else.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..atomic import write_atomically
from ..errors import BenchFileError, NoDiskSpace
from .report import BenchReport

FORMAT = "edgelfm bench"
VERSION = 1

_AGAIN = "measure anew with: edgelfm bench --json bench.json"


def report_dict(report: BenchReport) -> dict[str, Any]:
    """Plain data for JSON, in the order of the fields."""
    return {"format": FORMAT, "version": VERSION, **asdict(report)}


def write_json(report: BenchReport, path: str | Path) -> None:
    """Write `report` so that `path` holds all of it or what it held before.

    Raises `BenchFileError`, and `NoDiskSpace` if it would not fit.
    """
    path = Path(path)
    try:
        text = json.dumps(report_dict(report), indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise BenchFileError(f"{path}: this report has a figure that JSON cannot hold: {error}", hint=_AGAIN) from None
    try:
        # A path that is no valid Unicode (Linux allows that) is written with question marks, so others can read it.
        write_atomically(path, [text.encode("utf-8", "replace") + b"\n"])
    except NoDiskSpace:
        raise
    except OSError as error:
        raise BenchFileError(
            f"{path}: cannot be written: {error.strerror or error}", hint="name a file in a folder you may write to"
        ) from error


def read_json(path: str | Path) -> BenchReport:
    """The report in the file at `path`. Raises `BenchFileError` naming the file, and the key that is wrong."""
    from pydantic import TypeAdapter, ValidationError

    path = Path(path)
    data = _object(path)
    version = data.get("version")
    if data.get("format") != FORMAT or not isinstance(version, int) or isinstance(version, bool):
        raise BenchFileError(f"{path}: format: this is no saved benchmark of edgelfm", hint=_AGAIN)
    if version > VERSION:
        raise BenchFileError(
            f"{path}: version: {version} was written by a later edgelfm, this one reads up to {VERSION}",
            hint="pip install --upgrade edgelfm",
        )
    try:
        # Through JSON once more: strict mode takes a JSON array for a tuple, but not a Python list.
        return TypeAdapter(BenchReport).validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BenchFileError(f"{path}: {key}: {first['msg']}", hint="correct that key, or " + _AGAIN) from None


def _object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise BenchFileError(
            f"{path}: cannot be read: {error.strerror or error}", hint="look for it with: ls *.json"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BenchFileError(f"{path}: not JSON: {error}", hint=_AGAIN) from None
    if not isinstance(data, dict):
        raise BenchFileError(f"{path}: holds {type(data).__name__}, not an object", hint=_AGAIN)
    return data


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
