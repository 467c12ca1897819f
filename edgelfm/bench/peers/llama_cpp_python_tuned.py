"""llama-cpp-python with everything that its class can be told of what edgelfm measured."""

from __future__ import annotations

from .llama_cpp_python import LlamaCppPython
from .peer import serve_peer


class Tuned(LlamaCppPython):
    """See the module."""

    name = "llama-cpp-python, tuned"
    tuned = True


if __name__ == "__main__":
    serve_peer(Tuned)
