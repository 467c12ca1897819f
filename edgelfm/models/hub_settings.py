"""Which Hub to ask, as whom, and where its files are kept: read from the environment at the time of the call.

huggingface-hub reads the same variables once, when it is imported. A notebook that sets `HF_HOME` in its second cell
would be ignored by it; here it counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import RequestError

DEFAULT_ENDPOINT = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a hub, in seconds, and how often to ask again."""

    connect: float = 10.0
    stall: float = 20.0  # silence in the middle of an answer
    attempts: int = 6  # failures in a row; bytes that arrive set the count back
    attempts_unreachable: int = 2  # where no connection was ever made, as on a machine with no network
    first_wait: float = 1.0  # doubles with every failure
    longest_wait: float = 20.0
    longest_retry_after: float = 120.0  # a server that wants more is given up


@dataclass(frozen=True, slots=True)
class HubSettings:
    """One hub, one cache, one identity."""

    endpoint: str
    cache: Path
    offline: bool = False
    token: str | None = field(default=None, repr=False)
    patience: Patience = Patience()


def read_settings(
    *,
    offline: bool | None = None,
    cache: str | Path | None = None,
    token: str | None = None,
    patience: Patience | None = None,
    environment: Mapping[str, str] | None = None,
) -> HubSettings:
    """Settings from the environment, with what the caller gave put over them.

    `HF_HUB_OFFLINE=1` cannot be overruled by `offline=False`: who sets it relies on it. Raises `RequestError` if
    `HF_ENDPOINT` is not an address.
    """
    environment = os.environ if environment is None else environment
    return HubSettings(
        endpoint=_endpoint(environment),
        cache=Path(cache).expanduser() if cache else hub_cache(environment),
        offline=bool(offline) or is_offline(environment),
        token=token or _token(environment),
        patience=patience or _patience(environment),
    )


def is_offline(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the environment forbids the network, by the variables and values that huggingface-hub knows."""
    environment = os.environ if environment is None else environment
    return _is_true(environment.get("HF_HUB_OFFLINE") or environment.get("TRANSFORMERS_OFFLINE"))


def hub_cache(environment: Mapping[str, str] | None = None) -> Path:
    """Folder of the Hub cache, by the variables and in the order of huggingface_hub/constants.py."""
    environment = os.environ if environment is None else environment
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := environment.get(variable):
            return _expanded(chosen)
    return _home(environment) / "hub"


def _home(environment: Mapping[str, str]) -> Path:
    if chosen := environment.get("HF_HOME"):
        return _expanded(chosen)
    if base := environment.get("XDG_CACHE_HOME"):
        return _expanded(base) / "huggingface"
    return _expanded("~/.cache/huggingface")


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(path)))


def _endpoint(environment: Mapping[str, str]) -> str:
    endpoint = (environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).strip().rstrip("/")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(
            f"HF_ENDPOINT is {endpoint!r}, which is not the address of a hub",
            hint=f"unset HF_ENDPOINT, or: export HF_ENDPOINT={DEFAULT_ENDPOINT}",
        )
    return endpoint


def _token(environment: Mapping[str, str]) -> str | None:
    """The token of `HF_TOKEN`, or the one that `hf auth login` left in its file."""
    if _is_true(environment.get("HF_HUB_DISABLE_IMPLICIT_TOKEN")):
        return None
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := environment.get(variable, "").strip():
            return token
    path = environment.get("HF_TOKEN_PATH")
    try:
        return (_expanded(path) if path else _home(environment) / "token").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None  # nobody has logged in here; most repositories need no token


def _patience(environment: Mapping[str, str]) -> Patience:
    usual = Patience()
    return Patience(
        connect=_seconds(environment, "HF_HUB_ETAG_TIMEOUT", usual.connect),
        stall=_seconds(environment, "HF_HUB_DOWNLOAD_TIMEOUT", usual.stall),
    )


def _seconds(environment: Mapping[str, str], variable: str, usual: float) -> float:
    text = environment.get(variable, "").strip()
    if not text:
        return usual
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise RequestError(f"{variable} is {text!r}, not a number of seconds", hint=f"unset {variable}")
    return seconds


def _is_true(value: str | None) -> bool:
    return (value or "").strip().upper() in ("1", "ON", "YES", "TRUE")
