"""What an answer or a failure of a hub means: the one place where HTTP becomes edgelfm's errors.

It says whether asking again makes sense and how long the server wants us to wait. It never asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from ..errors import AccessDenied, DownloadFailed, NotDownloaded, RemoteFileMissing, StoreError

if TYPE_CHECKING:
    from .hub_settings import HubSettings

#: Answers that may be different the next time.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_RATE_LIMIT = re.compile(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)")  # RateLimit: "api";r=0;t=55, as the Hub sends it


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for, for messages."""

    repo: str
    file: str = ""
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.repo}/{self.file}" if self.file else self.repo


class Failure(Exception):
    """One attempt that failed. `error` is what the caller gets if no further attempt is made."""

    def __init__(
        self,
        error: StoreError,
        *,
        status: int | None = None,
        passing: bool = False,
        wait: float | None = None,
        reached: bool = True,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.status = status  # of HTTP, where there was an answer
        self.passing = passing  # another attempt may succeed
        self.wait = wait  # seconds the server asked for
        self.reached = reached  # a server answered


def from_answer(status: int, headers: Mapping[str, str], target: Target, settings: HubSettings) -> Failure:
    """What a status of 400 or above means. The Hub gives the kind of refusal in `X-Error-Code`."""
    error = _refusal(status, headers, target, settings)
    wait = retry_after(headers) if status in PASSING else None
    return Failure(error, status=status, passing=status in PASSING, wait=wait)


def _refusal(status: int, headers: Mapping[str, str], target: Target, settings: HubSettings) -> StoreError:
    code = headers.get("x-error-code", "")
    page = f"{settings.endpoint}/{target.repo}"
    if code == "GatedRepo":
        return AccessDenied(
            f"{target.repo} is gated: its owner asks you to accept terms first", hint=_gated(page, settings)
        )
    if code == "RevisionNotFound":
        return RemoteFileMissing(f"{target.repo} has no revision {target.revision!r}", hint=f"see {page}/commits/main")
    if code == "RepoNotFound" or (status == 404 and not target.file):
        return RemoteFileMissing(f"{settings.endpoint} has no repository {target.repo}", hint=_missing_repo(settings))
    if status == 404:
        return RemoteFileMissing(f"{target.repo} has no file {target.file}", hint=f"see {page}/tree/main")
    if status == 401:
        return AccessDenied(f"{settings.endpoint} refused access to {target} (401)", hint=_login(settings))
    if status == 403:
        reason = headers.get("x-error-message", "")
        said = f"{settings.endpoint} forbids access to {target} (403)" + (f": {reason}" if reason else "")
        return AccessDenied(said, hint=_gated(page, settings))
    if status in PASSING:
        what = "asks us to slow down" if status == 429 else "is not able to answer"
        wait = retry_after(headers)
        asked = f" and to wait {wait:.0f} s" if wait is not None else ""
        login = "" if settings.token or status != 429 else "; with hf auth login the limits are higher"
        return DownloadFailed(
            f"{settings.endpoint} {what} ({status}){asked}; wanted: {target}",
            hint=f"wait a few minutes and run it again; what has arrived is kept{login}",
        )
    return DownloadFailed(
        f"{settings.endpoint} answered {status} for {target}", hint=f"open {page} in a browser to see why"
    )


def from_exception(failure: Exception, http: object, target: Target, settings: HubSettings) -> Failure | None:
    """What an exception of the HTTP library `http` (httpx or httpx2) means; None if it is not one of a hub's."""

    def is_a(name: str) -> bool:
        return isinstance(failure, getattr(http, name))

    if type(failure).__name__ == "OfflineModeIsEnabled":
        return Failure(
            NotDownloaded(
                f"{target} is not on this disk, and HF_HUB_OFFLINE was set when huggingface-hub was imported",
                hint="unset HF_HUB_OFFLINE and start Python again",
            )
        )
    if not (is_a("RequestError") or is_a("InvalidURL")):
        return None
    name = type(failure).__name__
    reason = str(failure) or name
    if is_a("ConnectError") or is_a("ConnectTimeout") or is_a("ProxyError"):
        return Failure(
            DownloadFailed(
                f"cannot reach {settings.endpoint} ({reason}); wanted: {target}",
                hint="check the network and HF_ENDPOINT; with offline=True only what is on this disk is used",
            ),
            passing=True,
            reached=False,
        )
    if is_a("TimeoutException"):
        reason = f"it sent nothing for {settings.patience.stall:g} s"
    return Failure(
        DownloadFailed(
            f"the connection to {settings.endpoint} was lost ({reason}); wanted: {target}",
            hint="run it again: what has arrived is kept, and the download goes on from there",
        ),
        passing=is_a("TransportError"),
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a server asks us to wait, from `Retry-After` (seconds or a date) or `RateLimit`."""
    text = headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    if text:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
        return max(0.0, (until - (now or datetime.now(timezone.utc))).total_seconds())
    match = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    return float(match[1]) if match else None


def _login(settings: HubSettings) -> str:
    if settings.token:
        return "your token is wrong or has expired: hf auth login"
    return "hf auth login, or: export HF_TOKEN=<your token>"


def _gated(page: str, settings: HubSettings) -> str:
    return f"accept the terms at {page}" + ("" if settings.token else ", then: hf auth login")


def _missing_repo(settings: HubSettings) -> str:
    if settings.token:
        return "check its name; if it is private, your token must have access to it"
    return "check its name; if it is private: hf auth login"
