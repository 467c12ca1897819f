"""What is known of a server and of the models it has. Plain facts; None is what the server does not say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ...units import format_bytes

#: "openai" is any other program that speaks the protocol.
Kind = Literal["ollama", "llama.cpp", "vllm", "lm studio", "sglang", "openai"]
NAMES: dict[str, str] = {
    "ollama": "Ollama", "llama.cpp": "llama-server", "vllm": "vLLM", "lm studio": "LM Studio", "sglang": "SGLang",
    "openai": "a server with the OpenAI protocol",
}  # fmt: skip
#: What a model can be asked for besides chat.
Ability = Literal["tools", "vision", "audio", "embedding", "thinking", "completion"]
_LFM = re.compile(r"(?<![a-z])lfm-?[0-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of a server. `abilities` is None where the server does not say."""

    id: str  # what requests must call it
    bytes: int | None = None  # its weights on the server's disk
    quantization: str = ""  # in the server's words
    parameters: str = ""  # "1.17B", in the server's words
    family: str = ""  # "lfm2"
    context: int | None = None  # tokens of prompt and reply together
    context_from: str = ""  # where that figure is from
    abilities: frozenset[str] | None = None
    loaded: bool | None = None  # whether it is in memory there

    @property
    def is_lfm(self) -> bool:
        """Whether it is one of Liquid AI's, by its family or its name."""
        return bool(_LFM.search(self.family) or _LFM.search(self.id))

    @property
    def embeds_only(self) -> bool:
        """Whether it makes embeddings and cannot chat."""
        if self.abilities is None:
            return "embed" in self.id.lower()
        return "embedding" in self.abilities and "completion" not in self.abilities

    def __str__(self) -> str:
        facts = [self.parameters, self.quantization, format_bytes(self.bytes) if self.bytes else ""]
        facts.append(f"context {self.context}" if self.context else "")
        said = ", ".join(fact for fact in facts if fact)
        return f"{self.id} ({said})" if said else self.id


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answered."""

    url: str  # "http://127.0.0.1:11434"
    kind: Kind
    version: str = ""
    models: tuple[ServedModel, ...] = ()
    lists_models: bool = True  # False where it does not tell which models it has

    @property
    def name(self) -> str:
        """The program's name for people."""
        return NAMES[self.kind]

    def find(self, id: str) -> ServedModel | None:
        """The model that is called `id`, or that alone can be meant by it: case, folder and `:latest` aside."""
        same = [one for one in self.models if one.id == id]
        folded = id.casefold()
        names = [(one, one.id.casefold()) for one in self.models]
        same = same or [one for one, name in names if name in (folded, f"{folded}:latest")]
        same = same or [one for one, name in names if _stem(name) == _stem(folded)]
        same = same or [one for one, name in names if folded in name]
        return same[0] if len(same) == 1 else None

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        lines = [f"{self.name}{version} at {self.url}"]
        lines += [f"  {one}" for one in self.models] or ["  no models" if self.lists_models else "  models not listed"]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .html import server_bundle

        return server_bundle(self)


def _stem(name: str) -> str:
    """`LFM2-350M-Q4_0` of `/models/LFM2-350M-Q4_0.gguf`."""
    return re.split(r"[/\\]", name)[-1].removesuffix(".gguf")
