"""Texts that people give for a conversion: as they stand, or as a file; and our own where they give none."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import RequestError
from .calibration_text import CALIBRATION
from .sample import SAMPLE

OWN = "sample"  # what stands for our own text where one is asked for
_LONGEST_NAME = 1024
_LEAST = 500  # characters to calibrate with; less is the name of a file that is not there, or next to nothing


def to_compare(given: str | Path | None) -> str:
    """The text to compare over. Raises `RequestError` for a file that cannot be read."""
    return SAMPLE if given is None else _read(given)


def to_calibrate(given: str | Path) -> str:
    """The text to compute importances from. Raises `RequestError` where there is none, or it cannot be read."""
    text = CALIBRATION if is_own(given) else _read(given)
    if len(text.strip()) < _LEAST:
        said = repr(text.strip()[:40])
        raise RequestError(
            f"the text to calibrate with has {len(text.strip())} characters: {said}",
            hint=f"give a file that is there, with pages of text, or {OWN!r}",
        )
    return text


def is_own(given: str | Path) -> bool:
    """Whether our own text is asked for."""
    return given == OWN


def _read(given: str | Path) -> str:
    try:
        named = isinstance(given, Path) or (
            len(given) < _LONGEST_NAME and "\n" not in given and os.path.isfile(os.path.expanduser(given))
        )
        return Path(given).expanduser().read_text(encoding="utf-8", errors="replace") if named else str(given)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"the text {given} cannot be read: {error}", hint="give a file with a page of text"
        ) from error
