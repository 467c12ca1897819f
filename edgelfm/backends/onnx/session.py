"""One model in ONNX Runtime. It samples from the logits where they lie, and is stopped in the middle of a prefill."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from ...errors import BackendError, StateRefused
from ..base import Memory, TokenLogprob
from ..folder_session import FolderSession
from ..identity import fingerprint
from ..room import room_for
from ..sampling import Sampler, logprob
from ..states import Copied, States
from ..tokenwise import Job
from ..vocabulary import require_known
from .library import give_back
from .loading import Loaded
from .placement import ProvidersReport


class OnnxSession(FolderSession):
    """See `backends.base.Session`."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        settings = loaded.settings
        self.context: int = settings.context.value
        self.vocabulary = loaded.vocabulary
        #: What runs the graph: which providers, how many of its nodes each, what did not start and why.
        self.providers_report: ProvidersReport = loaded.report
        self._loaded = loaded
        self._network = loaded.network
        self._batch: int = min(settings.micro_batch.value, self.context)
        self._states = States(self._network.state, settings.state_bytes.value, room_for, events=self.events)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What somebody who loaded this model should know, in sentences."""
        return self.providers_report.remarks()

    def memory(self) -> Memory:
        """Bytes held: weights as stored, caches with room for the whole context.

        The system gives memory to a cache on the CPU only as tokens fill it. ONNX Runtime does not tell what it holds
        for computing, so `compute` is 0.
        """
        self._require_open()
        kv, conv = self._network.state.bytes()
        return Memory(self._loaded.graph.bytes, kv, conv, 0, self._network.output_bytes)

    def state_identity(self) -> Mapping[str, str]:
        """Runtime and build, weights, how keys and values are stored, and who computes."""
        self._require_open()
        graph, ports = self._loaded.graph, self._network.ports
        return {
            "runtime": "onnx",
            "build": f"onnxruntime {self._loaded.library.ort.__version__}",
            "model": " ".join(fingerprint(file) for file in (graph.path, *graph.weights)),
            "type of KV cache": " ".join(sorted({cache.dtype for cache in (*ports.attention, *ports.convolution)})),
            "providers": " ".join(name for name, nodes in self.providers_report.running if nodes != 0),
        }

    def _checked(self, prompt: Sequence[int]) -> list[int]:
        tokens = super()._checked(prompt)
        require_known(tokens, self._network.ports.vocabulary)
        return tokens

    def _pack(self, copied: Copied) -> bytes:
        return self._network.state.pack(copied)

    def _unpack(self, data: bytes | bytearray | memoryview) -> Copied:
        try:
            return self._network.state.unpack(data)
        except ValueError as error:
            raise StateRefused(f"the state is not one of ONNX Runtime: {error}") from error

    def _evaluate(self, part: list[int], *, last: bool) -> bool:
        if not last or self._network.last_row:
            return self._step(part, logits=last)
        return (not part[:-1] or self._step(part[:-1])) and self._step(part[-1:], logits=True)

    def _step(self, tokens: list[int], *, logits: bool = False) -> bool:
        try:
            done = self._network.evaluate(tokens, logits=logits)
        except BackendError:
            self._states.lose()
            raise
        if done:
            self._states.advance(tokens)
        return done

    def _samples(self, job: Job) -> Generator[int]:
        network = self._network
        sampler = Sampler(job.sampling, job.seed, job.prompt, job.logit_bias, network.ports.vocabulary)
        for sampled in range(1, job.limit + 1):
            token = sampler.pick(network.row)
            yield token
            if sampled < job.limit and not self._step([token], logits=True):
                return

    def _logits_row(self) -> Any:
        return self._network.row

    def _go_on_from(self, row: Any) -> None:
        self._network.set_row(row)

    def _logprob(self, token: int, top: int) -> TokenLogprob:
        return logprob(self._network.row, token, top, self._piece)

    def _begin(self) -> None:
        self._network.resume()

    def _interrupt(self) -> None:
        self._network.interrupt()

    def _free(self) -> None:
        del self._network, self._states, self._loaded
        give_back()
