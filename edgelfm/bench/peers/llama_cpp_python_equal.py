"""llama-cpp-python with everything that its class can be told of edgelfm's plan, for what is left of the difference."""

from __future__ import annotations

from .llama_cpp_python import LlamaCppPython
from .peer import serve_peer


class Equal(LlamaCppPython):
    """See the module."""

    name = "llama-cpp-python, equal settings"
    equal = True


if __name__ == "__main__":
    serve_peer(Equal)
