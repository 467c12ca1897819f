"""Every error edgelfm raises on purpose. Each says what failed and carries `.hint`: what to type or do next.

    EdgelfmError
    ├─ RequestError          (ValueError)         an argument makes no sense: a negative context, an unknown role
    ├─ HostFileError         (ValueError)         a saved host description cannot be read
    ├─ ProfileError          (ValueError)         a hardware profile is malformed; names file, line and key
    │  └─ ProfileNotFound    (LookupError)        no profile of that name
    ├─ CatalogError          (ValueError)         a model card in YAML is malformed; names file, line and key
    ├─ UnknownModel          (LookupError)        no model of that name, here or on the Hub
    ├─ UnknownQuantization   (LookupError)        the model exists, this quantization of it does not
    ├─ ModelFileError        (ValueError)         a weights file is truncated, corrupt, hostile or of a foreign format
    ├─ StoreError            (OSError)            getting or keeping a file failed
    │  ├─ NotDownloaded      (FileNotFoundError)  offline, and the file is not on this disk
    │  ├─ RemoteFileMissing  (FileNotFoundError)  the Hub has no such repository or file
    │  ├─ AccessDenied       (PermissionError)    the repository is gated, or the token is wrong
    │  ├─ DownloadFailed     (ConnectionError)    refused, cut, stalled or rate-limited beyond patience
    │  ├─ HashMismatch       (ValueError)         the bytes are not the ones that were published
    │  ├─ NoDiskSpace        (OSError)            the file would not fit on the disk with a margin
    │  └─ LicenseNotAccepted (PermissionError)    EDGELFM_ACCEPT_LICENSE rules out the weights' licence
    ├─ PlanningError         (RuntimeError)       nothing in the catalogue can run under this request
    │  └─ DoesNotFit         (MemoryError)        the model would not fit into the memory that is really available
    ├─ BackendError          (RuntimeError)       a runtime failed while loading or generating
    │  ├─ BackendMissing     (ImportError)        the runtime is not installed
    │  ├─ ServerError        (RuntimeError)       a server answered with an error, or with what is no answer
    │  │  ├─ ServerUnreachable (ConnectionError)  refused, no such host, no valid certificate, or nothing found at all
    │  │  ├─ ServerRefused   (PermissionError)    the server wants a key, or another one
    │  │  ├─ ServerBusy      (RuntimeError)       too many requests, or not ready, beyond patience
    │  │  ├─ ServerTimeout   (TimeoutError)       nothing came for longer than was allowed
    │  │  └─ StreamBroken    (ConnectionError)    a reply was cut off, or went on as something else
    │  └─ SessionClosed      (RuntimeError)       the model was closed
    ├─ StateRefused          (ValueError)         a saved state is foreign, truncated, damaged or of another build
    ├─ ChatFileError         (ValueError)         a saved conversation cannot be read or written
    ├─ BenchFileError        (ValueError)         a saved benchmark cannot be read or written
    ├─ TraceFileError        (ValueError)         a saved trace cannot be read or written
    ├─ WidgetsMissing        (ImportError)        ipywidgets or anywidget is not installed
    ├─ ContextExceeded       (ValueError)         the prompt is longer than the context
    └─ TemplateError         (ValueError)         the chat template is broken or refuses these messages

Each also inherits the nearest builtin, so `except MemoryError` or `except FileNotFoundError` works as expected.
`StateNotUsed` is a warning, not an error: something takes longer than it had to.
"""

from __future__ import annotations


class EdgelfmError(Exception):
    """Base of all errors raised by edgelfm. `.hint` is the next thing to type or do, or an empty string."""

    hint: str

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class RequestError(EdgelfmError, ValueError):
    """An argument makes no sense."""


class HostFileError(EdgelfmError, ValueError):
    """A saved host description cannot be read."""


class ProfileError(EdgelfmError, ValueError):
    """A hardware profile is malformed. The message names file, line and key."""


class ProfileNotFound(ProfileError, LookupError):
    """No hardware profile of that name."""


class CatalogError(EdgelfmError, ValueError):
    """A model card in YAML is malformed. The message names file, line and key."""


class UnknownModel(EdgelfmError, LookupError):
    """No model of that name, here or on the Hub."""


class UnknownQuantization(EdgelfmError, LookupError):
    """The model exists, this quantization of it does not."""


class ModelFileError(EdgelfmError, ValueError):
    """A weights file is truncated, corrupt, hostile or of a foreign format."""


class StoreError(EdgelfmError, OSError):
    """Getting or keeping a file failed."""


class NotDownloaded(StoreError, FileNotFoundError):
    """Offline, and the file is not on this disk."""


class RemoteFileMissing(StoreError, FileNotFoundError):
    """The Hub has no such repository or file."""


class AccessDenied(StoreError, PermissionError):
    """The repository is gated, or the token is wrong."""


class DownloadFailed(StoreError, ConnectionError):
    """The connection was refused, cut, stalled or rate-limited beyond patience."""


class HashMismatch(StoreError, ValueError):
    """The bytes are not the ones that were published."""


class NoDiskSpace(StoreError):
    """The file would not fit on the disk with a margin."""


class LicenseNotAccepted(StoreError, PermissionError):
    """`EDGELFM_ACCEPT_LICENSE` is set and does not name the licence of the weights."""


class PlanningError(EdgelfmError, RuntimeError):
    """Nothing in the catalogue can run under this request."""


class DoesNotFit(PlanningError, MemoryError):
    """The model would not fit into the memory that is really available."""


class BackendError(EdgelfmError, RuntimeError):
    """A runtime failed while loading or generating."""


class BackendMissing(BackendError, ImportError):
    """The runtime is not installed."""


class ServerError(BackendError):
    """A server answered with an error, or with something that is no answer."""


class ServerUnreachable(ServerError, ConnectionError):
    """No server there: refused, no such host, no valid certificate; or none was found on this machine."""


class ServerRefused(ServerError, PermissionError):
    """The server wants a key, or another one."""


class ServerBusy(ServerError):
    """The server has too many requests or is not ready, and was so for longer than patience lasts."""


class ServerTimeout(ServerError, TimeoutError):
    """Nothing came from the server for longer than was allowed."""


class StreamBroken(ServerError, ConnectionError):
    """A reply was cut off, or went on as something that is no reply."""


class SessionClosed(BackendError):
    """The model was closed."""


class StateRefused(EdgelfmError, ValueError):
    """A saved state is foreign, truncated, damaged or of another build. Its text can still be read."""


class StateNotUsed(UserWarning):
    """A saved state could not be used, so what it stood for is evaluated anew. The message says why."""


class ChatFileError(EdgelfmError, ValueError):
    """A saved conversation cannot be read or written."""


class BenchFileError(EdgelfmError, ValueError):
    """A saved benchmark cannot be read or written."""


class TraceFileError(EdgelfmError, ValueError):
    """A saved trace cannot be read or written."""


class WidgetsMissing(EdgelfmError, ImportError):
    """ipywidgets or anywidget is not installed."""


class ContextExceeded(EdgelfmError, ValueError):
    """The prompt is longer than the context. `.prompt_tokens` and `.context` are both in tokens."""

    def __init__(self, message: str, *, prompt_tokens: int, context: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.prompt_tokens = prompt_tokens
        self.context = context


class TemplateError(EdgelfmError, ValueError):
    """The chat template is broken or refuses these messages."""
