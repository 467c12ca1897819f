"""Asking a hub over HTTP: bounded waits, bounded retries, errors of our own.

Requests go through huggingface-hub's session, so that proxies and certificates set up there count here. It knows no
paths of the Hub's interface; `hub` does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from .hub_errors import Failure, Target, from_answer, from_exception
from .hub_settings import HubSettings, Patience

Answer = TypeVar("Answer")
Say = Callable[[str], None]


class Retry:
    """Counts failures in a row, and waits or gives up. `advanced()` says that something has arrived."""

    def __init__(self, patience: Patience, say: Say | None = None) -> None:
        self._patience = patience
        self._say = say
        self._failures = 0
        self._reached = False

    def advanced(self) -> None:
        """Bytes arrived: the next failure is the first again."""
        self._failures = 0
        self._reached = True

    def wait(self, failure: Failure) -> None:
        """Sleep before the next attempt. Raises the failure's error where another makes no sense."""
        patience = self._patience
        self._failures += 1
        self._reached |= failure.reached
        allowed = patience.attempts if self._reached else patience.attempts_unreachable
        wanted = failure.wait or 0.0
        if not failure.passing or self._failures >= allowed or wanted > patience.longest_retry_after:
            raise failure.error from failure.__cause__
        pause = max(wanted, min(patience.first_wait * 2 ** (self._failures - 1), patience.longest_wait))
        if self._say:
            self._say(f"{failure.error.message}; attempt {self._failures + 1} of {allowed} in {pause:.0f} s")
        time.sleep(pause)


def repeat(ask: Callable[[], Answer], retry: Retry) -> Answer:
    """Call `ask` until it does not raise `Failure`, or until `retry` gives up."""
    while True:
        try:
            return ask()
        except Failure as failure:
            retry.wait(failure)


@contextmanager
def answer_to(
    method: str,
    url: str,
    target: Target,
    settings: HubSettings,
    *,
    headers: dict[str, str] | None = None,
    follow: bool = True,
) -> Iterator[Any]:
    """One request, once. Gives a response below 400 whose body has not been read; raises `Failure` otherwise.

    Failures while the body is read inside the block become `Failure` too.
    """
    from huggingface_hub import get_session

    from .. import __version__

    session = get_session()
    http = sys.modules[type(session).__module__.partition(".")[0]]  # httpx in huggingface-hub 1, httpx2 from 2 on
    patience = settings.patience
    sent = {
        "user-agent": f"edgelfm/{__version__}",
        "accept-encoding": "identity",  # compressed answers hide their size and cannot be continued
        **({"authorization": f"Bearer {settings.token}"} if settings.token else {}),
        **(headers or {}),
    }
    timeout = http.Timeout(patience.stall, connect=patience.connect)
    try:
        with session.stream(method, url, headers=sent, follow_redirects=follow, timeout=timeout) as response:
            if response.status_code >= 400:
                raise from_answer(response.status_code, response.headers, target, settings)
            yield response
    except Failure:
        raise
    except Exception as failure:
        known = from_exception(failure, http, target, settings)
        if known is None:
            raise
        raise known from failure
