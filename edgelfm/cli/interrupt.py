"""Ctrl-C as a request to stop a reply, even while native code computes and no Python runs in the main thread."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` from another thread at every Ctrl-C until the block ends; no `KeyboardInterrupt` comes of it.

    Python runs signal handlers between two bytecodes of the main thread, which is too late when that thread is inside
    a long prefill. The interpreter writes the number of the signal to a socket at once, and a thread waits there.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    before_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        while number := reader.recv(1):
            if number[0] == signal.SIGINT:
                stop()

    waiter = threading.Thread(target=wait, name="edgelfm-ctrl-c", daemon=True)
    waiter.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before_wakeup)
        signal.signal(signal.SIGINT, before)
        writer.close()  # ends the thread
        waiter.join()
        reader.close()
