"""One graph at work: tokens go in, logits come out, and no memory is made on the way.

Everything that goes in or out is bound to memory that was made once. What differs from step to step is only how much
of it is looked at: the attention mask is a row of ones, of which the first so many are shown, and positions are a row
of numbers, of which a stretch is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import BackendError
from .library import SILENT, Library
from .ports import Port, Ports
from .state import State


class _Feed:
    """A row of numbers in our memory, of which an input is shown a stretch."""

    def __init__(self, port: Port, array: Any) -> None:
        self.array = array
        self._name, self._rank, self._type = port.name, port.rank, array.dtype.type
        self._pointer, self._step = array.ctypes.data, array.itemsize

    def show(self, binding: Any, begin: int, count: int) -> None:
        shape = (1, count)[2 - self._rank :]
        binding.bind_input(self._name, "cpu", 0, self._type, shape, self._pointer + begin * self._step)


class Network:
    """A loaded graph, its state, and the logits after the last token."""

    def __init__(
        self,
        library: Library,
        session: Any,
        ports: Ports,
        state: State,
        *,
        context: int,
        batch: int,
        last_row: bool,  # whether the graph was changed to give logits for the last token only
    ) -> None:
        import numpy

        self._library, self._session, self.ports, self.state = library, session, ports, state
        mask, places, keep = ports.attention_mask, ports.position_ids, ports.logits_to_keep
        self._tokens = _Feed(ports.input_ids, numpy.zeros(batch, ports.input_ids.dtype))
        self._mask = _Feed(mask, numpy.ones(context, mask.dtype)) if mask else None
        self._places = _Feed(places, numpy.arange(context, dtype=places.dtype)) if places else None
        self._keep = _Feed(keep, numpy.ones(1, keep.dtype)) if keep else None
        self.last_row = last_row or keep is not None
        self._logits = numpy.zeros(ports.vocabulary, ports.logits.dtype)
        self._row = self._logits if ports.logits.dtype == "float32" else numpy.zeros(ports.vocabulary, "float32")
        # By whether logits are wanted and whose turn it is: caches are read and written by turns.
        self._bindings = [[self._binding(turn, logits) for turn in (0, 1)] for logits in (False, True)]
        self._interrupted = False
        self.resume()

    @property
    def row(self) -> Any:
        """Logits after the token that was last evaluated with them, float32 in memory that is used again."""
        if self._row is not self._logits:
            self._row[:] = self._logits
        return self._row

    def set_row(self, row: Any) -> None:
        """Let these be the logits that `row` gives, until the next are computed."""
        self._logits[:] = row

    @property
    def output_bytes(self) -> int:
        """Of the logits."""
        return int(self._logits.nbytes + (0 if self._row is self._logits else self._row.nbytes))

    def evaluate(self, tokens: Sequence[int], *, logits: bool) -> bool:
        """Extend the state by `tokens`. False if it was interrupted; nothing has changed then. Raises `BackendError`.

        `logits` are those after the last, of several tokens only where the graph makes them of the `last_row`.
        """
        if self._interrupted:
            return False
        count, length = len(tokens), self.state.length
        binding = self._bindings[logits][self.state.turn]
        self._tokens.array[:count] = tokens
        # Also where nothing seems to have changed: some providers copy what they are given when it is bound.
        self._tokens.show(binding, 0, count)
        if self._mask is not None:
            self._mask.show(binding, 0, length + count)
        if self._places is not None:
            self._places.show(binding, length, count)
        self.state.bind(binding, count)
        try:
            self._session.run_with_iobinding(binding, self._options)
        except self._library.errors as error:
            if self._interrupted:  # what was written lies behind the state, or in the buffer that is not its own
                return False
            raise BackendError(
                f"ONNX Runtime failed to evaluate tokens: {str(error).strip()[:300]}",
                hint="load the model again with less: a smaller context or micro_batch",
            ) from error
        self.state.advance(count)
        return True

    def interrupt(self) -> None:
        """Break off what runs now, between two operators, and refuse to go on. Called from any thread."""
        self._interrupted = True
        self._options.terminate = True

    def resume(self) -> None:
        """Forget earlier interrupts."""
        self._interrupted = False
        self._options = self._library.ort.RunOptions()
        self._options.log_severity_level = SILENT
        # No recording of graphs. Left unsaid, onnxruntime looks for it at every run and catches its own error.
        self._options.add_run_config_entry("gpu_graph_id", "-1")

    def _binding(self, turn: int, logits: bool) -> Any:
        binding = self._session.io_binding()
        self.state.bind_fixed(binding, turn)
        if self._keep is not None:
            self._keep.show(binding, 0, 1)
        if logits:
            shape = (*(1,) * (self.ports.logits.rank - 1), self.ports.vocabulary)
            where = self._logits.ctypes.data
            binding.bind_output(self.ports.logits.name, "cpu", 0, self._logits.dtype.type, shape, where)
        return binding
