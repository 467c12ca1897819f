"""edgelfm: run Liquid AI's small foundation models on the machine in front of you.

    lfm = edgelfm.load()                # choose, fetch, check and open the model that suits this machine
    lfm.chat("Why is the sky blue?")    # a Reply: the text, and what it took to make it

`inspect()` says what this machine is, `plan()` what would run on it and why. See `edgelfm.errors` for what can go
wrong.
"""

from __future__ import annotations

from .chat import Conversation, Message, Piece, Reply, Stream
from .connecting import connect, servers
from .conversion import Conversion, convert
from .errors import EdgelfmError
from .hardware.host import Host
from .loading import inspect, load, plan, resume
from .model import Model
from .monitor.trace import Trace
from .recording import record
from .widgets import compare, playground

__version__ = "0.1.0"
__all__ = [
    "Conversation",
    "Conversion",
    "EdgelfmError",
    "Host",
    "Message",
    "Model",
    "Piece",
    "Reply",
    "Stream",
    "Trace",
    "compare",
    "connect",
    "convert",
    "inspect",
    "load",
    "plan",
    "playground",
    "record",
    "resume",
    "servers",
]


def load_ipython_extension(ipython: object) -> None:
    """What `%load_ext edgelfm` calls: adds `%%lfm`. See `edgelfm.notebook.magic`."""
    from .upstairs import widget

    ipython.register_magics(widget("magic", "LfmMagics"))  # type: ignore[attr-defined]
