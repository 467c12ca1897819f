"""What goes into the matrices of a network while llama.cpp computes it, seen through its scheduler's callback.

Where ggml keeps the sides and the sources of a tensor is no part of its interface. It is found out here on a tensor
that is made for that, so that nothing hangs on the version of the library.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from ..backends.llama_cpp.library import library, library_folder
from ..errors import BackendError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

    #: Name of a matrix, what it is multiplied with (token x place x input), and which expert each of those goes to
    #: (token x place), None where there are no experts.
    Seen = Callable[[str, Array, Array | None], None]

_F32, _I32 = 0, 26  # of ggml_type
_SIDES = 4
_FOUND_IN = {"win32": "ggml-base.dll", "darwin": "libllama.dylib"}  # elsewhere one library draws in the others


class Watch:
    """Calls `seen` for every product with one of the matrices in `names`. Its `callback` is what a context takes."""

    def __init__(self, names: Collection[str], seen: Seen) -> None:
        """Raises `BackendError` where a tensor cannot be read."""
        self._names, self._seen = frozenset(names), seen
        self._ggml = _Ggml()
        self._error: Exception | None = None
        self.callback = library().ggml_backend_sched_eval_callback(self._asked)

    def check(self) -> None:
        """Raise what went wrong in the callback, through which nothing can be raised."""
        if self._error is not None:
            raise self._error

    def _asked(self, product: int, only_asked: bool, _data: object) -> bool:
        """Whether we want to see a node, before it is computed; and after it, whether to go on."""
        try:
            operation = self._ggml.operation(product)
            if operation not in ("MUL_MAT", "MUL_MAT_ID"):
                return not only_asked
            matrix, values, ids = self._ggml.sources(product)
            name = self._ggml.name(matrix)
            if only_asked or name not in self._names:
                return name in self._names
            chosen = self._ggml.values(ids, "i4")[0, 0] if operation == "MUL_MAT_ID" else None
            rows = self._ggml.values(values, "f4")[0]
            # Without experts each row is a token; with them there are one or several a token.
            self._seen(name, rows if chosen is not None else rows.reshape(-1, 1, rows.shape[-1]), chosen)
        except Exception as error:  # noqa: BLE001  C would print it and go on
            self._error = error
            return False
        return True


class _Ggml:
    """Reads tensors, which are addresses here."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(library_folder() / _FOUND_IN.get(sys.platform, "libllama.so")))
        self._name = self._function("ggml_get_name", ctypes.c_char_p, ctypes.c_void_p)
        self._operation = self._function("ggml_op_desc", ctypes.c_char_p, ctypes.c_void_p)
        self._bytes = self._function("ggml_nbytes", ctypes.c_size_t, ctypes.c_void_p)
        place = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
        self._get = self._function("ggml_backend_tensor_get", None, *place)
        self._sides_at, self._sources_at = self._layout()

    def name(self, tensor: int) -> str:
        """As in the file."""
        return bytes(self._name(tensor)).decode("utf-8", "replace")

    def operation(self, tensor: int) -> str:
        """What computes it: `MUL_MAT`."""
        return bytes(self._operation(tensor)).decode()

    def sources(self, tensor: int) -> tuple[int, ...]:
        """The three first tensors that it is computed from, 0 where there are fewer."""
        return struct.unpack("3P", ctypes.string_at(tensor + self._sources_at, struct.calcsize("3P")))

    def values(self, tensor: int, kind: str) -> Array:
        """All of them, outermost side first, wherever they lie."""
        import numpy as np

        sides, steps = struct.unpack("4q", self._at(tensor)), struct.unpack("4N", self._at(tensor, 8 * _SIDES))
        raw = np.empty(self._bytes(tensor), np.uint8)
        self._get(tensor, raw.ctypes.data, 0, raw.nbytes)
        found: Array = np.ndarray(sides[::-1], np.dtype(kind), raw, strides=steps[::-1])
        return found

    def _at(self, tensor: int, further: int = 0) -> bytes:
        return ctypes.string_at(tensor + self._sides_at + further, 8 * _SIDES)

    def _layout(self) -> tuple[int, int]:
        """Where a tensor's sides, which steps in bytes follow, and its sources are, in bytes from its start."""
        overhead = self._function("ggml_tensor_overhead", ctypes.c_size_t)()
        pointer, sides_given = ctypes.c_void_p, [ctypes.c_int64] * _SIDES
        make = self._function("ggml_new_tensor_4d", pointer, pointer, ctypes.c_int, *sides_given)
        multiply = self._function("ggml_mul_mat_id", pointer, *[pointer] * 4)
        scratch = self._function("ggml_init", pointer, _Scratch)(_Scratch(16 * overhead, None, True))
        try:
            matrix, values = make(scratch, _F32, 5, 7, 3, 1), make(scratch, _F32, 5, 1, 11, 1)
            ids = make(scratch, _I32, 2, 11, 1, 1)
            product = multiply(scratch, matrix, values, ids)
            wanted = struct.pack("4q4N", 5, 7, 3, 1, 4, 4 * 5, 4 * 5 * 7, 4 * 5 * 7 * 3)
            sides = ctypes.string_at(matrix, overhead).find(wanted)
            sources = ctypes.string_at(product, overhead).find(struct.pack("3P", matrix, values, ids))
        finally:
            self._function("ggml_free", None, pointer)(scratch)
        if sides < 0 or sources < 0:
            raise BackendError(
                "this build of llama.cpp keeps its tensors in a way that is not known here",
                hint="make the importance matrix with llama-imatrix, and give it with --imatrix FILE",
            )
        return sides, sources

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        function = self._library[name]
        function.restype, function.argtypes = result, arguments
        return function


class _Scratch(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = (("bytes", ctypes.c_size_t), ("memory", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))
