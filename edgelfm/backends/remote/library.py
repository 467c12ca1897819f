"""The parts of the openai package that edgelfm uses, found once. Importing it takes a second, so not before."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from types import ModuleType

from ...errors import BackendError, BackendMissing

_HINT = "pip install 'edgelfm[remote]'"


@dataclass(frozen=True, slots=True)
class Library:
    """Modules."""

    openai: ModuleType
    http: ModuleType  # httpx, or httpx2 in later versions: what openai talks HTTP with

    @property
    def packages(self) -> tuple[str, str]:
        """What exceptions of HTTP come from."""
        return self.http.__name__, self.http.__name__.replace("httpx", "httpcore")


@functools.cache
def library() -> Library:
    """Raises `BackendMissing` if the openai package is not installed, `BackendError` if it does not load."""
    try:
        import openai
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "openai":
            raise BackendMissing("the openai package is not installed", hint=_HINT) from error
        raise BackendError(f"openai needs {error.name}, which is not installed here", hint=_HINT) from error
    except ImportError as error:
        raise BackendError(f"the openai package does not load: {error}", hint=f"{_HINT} --upgrade") from error
    inherited = openai.DefaultHttpxClient.__mro__[1]  # the class itself says that it is openai's
    return Library(openai, importlib.import_module(inherited.__module__.partition(".")[0]))
