"""From a graph on disk to a network that has evaluated its first token, with its tokenizer."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BackendError, ModelFileError
from ...planning.plan import Settings
from ..base import Progress
from ..vocabulary import Vocabulary
from .graph import Graph, read_graph
from .last_row import last_row_only
from .layout import Layout, find_layout
from .library import Library, library
from .network import Network
from .placement import Memories, ProvidersReport
from .ports import find_ports
from .providers import Offer, start
from .state import State


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network, its tokenizer, and what was found out on the way."""

    library: Library
    network: Network
    vocabulary: Vocabulary
    graph: Graph
    report: ProvidersReport
    settings: Settings


def load(weights: Path, settings: Settings, quantization: str = "", progress: Progress | None = None) -> Loaded:
    """Load a graph or a folder. See `layout` for what is understood.

    A provider that cannot load the graph, or not evaluate one token with it, is left out; the report says so. Raises
    `BackendMissing`, `ModelFileError` for what is missing or broken, `BackendError` if ONNX Runtime gives up.
    """
    lib = library()
    layout = find_layout(weights, quantization)
    graph = read_graph(layout.graph)
    vocabulary = Vocabulary(layout.folder, layout.config)
    _tell(progress, 0.0)
    offer = Offer(
        settings.providers.value if settings.providers is not None else None,
        settings.device.value if settings.device is not None else None,
        settings.dtype.value if settings.dtype is not None else None,
        tuple(layout.providers.items()),
        settings.threads.value,
    )

    def trial(changed: bool, session: Any, memories: Memories, in_place: bool) -> Network:
        return _network(lib, session, layout, graph, settings, memories, in_place, changed)

    try:
        changed = last_row_only(layout.graph, layout.names.logits, {layout.names.logits_to_keep})
        started = start(lib, layout.graph, offer, functools.partial(trial, changed is not None), changed)
    except (BackendError, ModelFileError):  # of the graph as it is, the reason is known better
        try:
            started = start(lib, layout.graph, offer, functools.partial(trial, False))
        except BackendError as error:
            raise BackendError(
                f"{layout.graph} loads, but not a single token can be evaluated: {error.message}",
                hint="free some memory; if that does not help, its config.json is not that of this graph",
            ) from error
    _tell(progress, 1.0)
    return Loaded(lib, started.trial, vocabulary, graph, started.report, settings)


def _network(
    lib: Library,
    session: Any,
    layout: Layout,
    graph: Graph,
    settings: Settings,
    memories: Memories,
    in_place: bool,
    last_row: bool,
) -> Network:
    """A network that has proved that it works."""
    ports = find_ports(session, layout.names, layout.config, layout.graph)
    # GroupQueryAttention is told by the mask how much of the past counts. Whatever else reads the past, a Concat or a
    # Shape, takes all of it for tokens.
    past = [cache.past for cache in ports.attention]
    shared = in_place and layout.may_share and graph.read_only_by("GroupQueryAttention", past)
    context: int = settings.context.value
    state = State(lib, ports, context, memories, shared=shared)
    batch = min(settings.micro_batch.value, context)
    network = Network(lib, session, ports, state, context=context, batch=batch, last_row=last_row)
    network.evaluate([0], logits=True)
    state.clear()
    return network


def _tell(progress: Progress | None, fraction: float) -> None:
    if progress is not None and not progress(fraction):
        raise BackendError("loading was abandoned")
