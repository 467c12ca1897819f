"""A served model in the words of a plan: an entry for it, and the way to run it. Nothing of it is on this machine."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from ...decision import Decision
from ...models.entry import Artifact, File, License, ModelEntry, Sampling
from ...planning.plan import Candidate, MemoryEstimate, Settings, SpeedEstimate
from .server import ServedModel, Server

#: The name of the backend in artifacts and candidates.
REMOTE = "remote"
#: The source of the sampling of a model that only its server knows; its values are nobody's and are not sent.
SERVERS_OWN = "the server's own preset"
_UNKNOWN = License(
    "unknown", "as its publisher says", "", "The licence of the weights is not told by the server.", False
)
_QUANTIZATION = re.compile(
    r"[-._](?:I?Q\d\w*|BF16|F16|FP16|F32|MXFP4|FP8|AWQ|GPTQ|\d-?bit|GGUF|MLX|ONNX)$", re.IGNORECASE
)


def entry_for(model: ServedModel) -> tuple[ModelEntry, bool]:
    """The catalogue's entry of a served model and True, or one made of what the server tells and False."""
    from ...models import catalog

    known = catalog.load()
    for name in names_of(model.id):
        if (entry := known.find(name)) is not None:
            return entry, True
    return ModelEntry(
        id=model.id, name=next(iter(names_of(model.id))), repo="", architecture=None, parameters=None,
        active_parameters=None, prompt_format="own", license=_UNKNOWN, sampling=Sampling(source=SERVERS_OWN),
        artifacts=(),
    ), False  # fmt: skip


def names_of(id: str) -> tuple[str, ...]:
    """What a catalogue may call the model that a server calls `id`, the nearest first.

    `hf.co/LiquidAI/LFM2-1.2B-GGUF:Q4_0`, `lfm2.5:1.2b` and `/models/LFM2-350M-Q4_0.gguf` are what people serve.
    """
    name = re.split(r"[/\\]", id)[-1].removesuffix(".gguf")
    base, _, tag = name.partition(":")
    names = [name, base if tag in ("", "latest") else f"{base}-{tag}", base]
    for given in tuple(names):
        while (shorter := _QUANTIZATION.sub("", given)) != given:
            names.append(shorter)
            given = shorter
    return tuple(dict.fromkeys(names))


def candidate(server: Server, model: ServedModel, entry: ModelEntry) -> Candidate:
    """The way to run `model` there. Of its settings only the context is known, of its speed nothing."""
    context = Decision(model.context or 0, model.context_from or "the server does not say", "unknown")
    others: dict[str, Any] = {
        one.name: None for one in fields(Settings) if one.name != "context"
    }  # the server's affair
    asked = f", context={model.context}" if model.context_from == "asked for" else ""
    unknown = SpeedEstimate(None, None, "unknown", "the server's machine is not known")
    return Candidate(
        entry,
        Artifact(REMOTE, model.quantization or "as served", server.url, (File(model.id),)),
        Settings(context, **others),
        MemoryEstimate(()),
        unknown,
        unknown,
        f"served by {server.name} at {server.url}",
        load_command=f'edgelfm.connect("{server.url}", model="{model.id}"{asked})',
    )
