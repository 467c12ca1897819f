"""The truth about a loaded graph: which providers run how much of it, and in whose memory they want its inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .known_providers import CPU, PROVIDERS, short_name

#: By name of an input, whose memory it is read from, in ONNX Runtime's words: "cpu", "cuda", "openvino_shared_cpu".
Memories = Mapping[str, str]
#: Operators of these providers write keys and values behind the past ones in the same memory.
_IN_PLACE = ("CPUExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider")


@dataclass(frozen=True, slots=True)
class ProvidersReport:
    """What runs where. The number of nodes is None where this version of onnxruntime does not tell."""

    running: tuple[tuple[str, int | None], ...]  # provider and nodes of the graph, in the order they were offered it
    refused: tuple[tuple[str, str], ...] = ()  # provider that was wanted and does not run, and why
    left_to_cpu: tuple[tuple[str, int], ...] = ()  # operators that the others would not take, and how many

    def remarks(self) -> tuple[str, ...]:
        """In sentences. None if everything runs on the CPU because nothing else was wanted."""
        said = [f"{short_name(name)} does not run: {reason}" for name, reason in self.refused]
        total = sum(nodes or 0 for _, nodes in self.running)
        for name, nodes in self.running:
            if name != CPU and nodes is not None:
                said.append(f"{short_name(name)} runs {nodes or 'none'} of the {total} nodes")
        if self.left_to_cpu:
            count = sum(number for _, number in self.left_to_cpu)
            kinds = ", ".join(f"{operator} {number}" for operator, number in self.left_to_cpu[:6])
            said.append(f"{count} of the {total} nodes fell back to the CPU: {kinds}")
        return tuple(said)


def placement(session: Any, refused: Iterable[tuple[str, str]], names: Sequence[str]) -> ProvidersReport:
    """Who runs what in a loaded graph. `names` were offered it, `refused` had no chance."""
    running = [name for name in session.get_providers() if name == CPU or name in names]
    silent = [(name, "it did not start, and onnxruntime does not say why") for name in names if name not in running]
    try:
        placed = [
            (part.ep_name, [node.op_type for node in part.get_nodes()])
            for part in session.get_provider_graph_assignment_info()
        ]
    except AttributeError:  # before 1.24
        return ProvidersReport(tuple((name, None) for name in running), (*refused, *silent))
    nodes = Counter(dict.fromkeys(running, 0))
    operators: Counter[str] = Counter()
    for name, kinds in placed:
        nodes[name] += len(kinds)
        if name == CPU:
            operators.update(kinds)
    left = tuple(operators.most_common()) if running != [CPU] else ()
    return ProvidersReport(tuple(nodes.items()), (*refused, *silent), left)


def memories(session: Any, report: ProvidersReport) -> Memories:
    """Where each input of a loaded graph is read."""
    names = [port.name for port in session.get_inputs()]
    try:
        return dict(zip(names, (info.name.lower() for info in session.get_input_memory_infos()), strict=True))
    except AttributeError:  # before 1.23
        first = report.running[0][0]
        return dict.fromkeys(names, next((known.memory for known in PROVIDERS if known.name == first), "cpu"))


def in_place(session: Any, report: ProvidersReport) -> bool:
    """Whether attention is run by providers that may be given the same memory for what they read and write."""
    try:
        attending = {
            part.ep_name
            for part in session.get_provider_graph_assignment_info()
            if any(node.op_type == "GroupQueryAttention" for node in part.get_nodes())
        }
    except AttributeError:
        attending = {name for name, _ in report.running}
    return attending <= set(_IN_PLACE)
