"""The live state of a llama.cpp context: copied out, put back, cut. Decides nothing; `backends.states` does."""

from __future__ import annotations

import ctypes
from types import ModuleType

from ..states import Copied

_SEQUENCE = 0


class LlamaState:
    """See `backends.states.Runtime`. Copies are `bytearray`s in llama.cpp's own format."""

    def __init__(self, llama: ModuleType, model: int, context: int) -> None:
        self._llama = llama
        self._ctx = context
        self._memory = llama.llama_get_memory(context)
        self._partial = llama.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        self.cuttable = not (llama.llama_model_is_hybrid(model) or llama.llama_model_is_recurrent(model))

    def checkpoint(self) -> Copied:
        """The state of the convolution layers: 82 KB for the 350M, whatever the context holds."""
        return self._copied(self._partial)

    def go_back(self, length: int, checkpoint: Copied | None) -> bool:
        """Put the convolution layers back first: they refuse to be cut while they stand further on."""
        if checkpoint is not None and not self._restored(checkpoint, self._partial):
            return False
        return bool(self._llama.llama_memory_seq_rm(self._memory, _SEQUENCE, length, -1))

    def size(self) -> int:
        """Bytes of the whole state."""
        return int(self._llama.llama_state_seq_get_size_ext(self._ctx, _SEQUENCE, 0))

    def take(self) -> Copied:
        """The whole state: 12 KB a token for the 350M and the 1.2B."""
        return self._copied(0)

    def put(self, copied: Copied) -> bool:
        """Replace the whole state."""
        self.clear()
        return self._restored(copied, 0)

    def clear(self) -> None:
        """Forget everything. The memory stays allocated, and what is in it does not matter."""
        self._llama.llama_memory_clear(self._memory, False)

    def _copied(self, flags: int) -> Copied:
        size = self._llama.llama_state_seq_get_size_ext(self._ctx, _SEQUENCE, flags)
        data = bytearray(size)
        first = (ctypes.c_uint8 * 1).from_buffer(data)
        self._llama.llama_state_seq_get_data_ext(self._ctx, first, size, _SEQUENCE, flags)
        return Copied(data, size)

    def _restored(self, copied: Copied, flags: int) -> bool:
        first = (ctypes.c_uint8 * 1).from_buffer(copied.data)
        read = self._llama.llama_state_seq_set_data_ext(self._ctx, first, copied.bytes, _SEQUENCE, flags)
        return bool(read == copied.bytes)
