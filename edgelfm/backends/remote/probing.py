"""Which program a server is, and what its models are: asked for, and read from what it answers. Never assumed.

Every program lists its models at `/v1/models` and says more elsewhere; the functions `_…_models` read one place each
and take nothing for granted. Sources: the API documentation of Ollama (docs/api.md), llama.cpp (tools/server/README),
vLLM (OpenAI-compatible server) and LM Studio (REST API v0), and their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from .asking import UNANSWERED, Answer, Asker
from .server import Kind, ServedModel, Server
from .shapes import count, mapping, rows, text

_OWNERS: dict[str, Kind] = {
    "vllm": "vllm", "llamacpp": "llama.cpp", "library": "ollama", "organization_owner": "lm studio", "sglang": "sglang",
}  # fmt: skip
_MOST_SHOWN = 32  # models of one Ollama that are asked about one by one


def read_server(asker: Asker, listed: Answer) -> Server:
    """The server behind `asker`, whose answer at `/v1/models` is `listed`. Asks a few more questions, a `GET` each.

    What is not answered stays unknown. Raises nothing but what the first question raised.
    """
    models = tuple({one.id: one for one in _listed(listed)}.values())  # gateways list one for each machine behind
    owners = {str(one.get("owned_by", "")).lower() for one in _rows(listed, "data")}
    kind: Kind = next((_OWNERS[owner] for owner in sorted(owners) if owner in _OWNERS), "openai")
    if listed.headers.get("server", "").lower() == "llama.cpp":
        kind = "llama.cpp"
    lists = listed.found is not None and isinstance(listed.found.get("data"), list)
    known = Server(asker.address.root, kind, models=models, lists_models=lists)
    if kind == "openai":
        known = replace(known, kind=_told_apart(asker))
    reader = _READERS.get(known.kind)
    return reader(asker, known) if reader is not None else known


def _told_apart(asker: Asker) -> Kind:
    """By the places that only one program has: owners of models are free text, and Ollama's are mostly empty."""
    if _get(asker, "/api/version"):
        return "ollama"
    if (props := _get(asker, "/props")) and "default_generation_settings" in props:
        return "llama.cpp"
    return "openai"


def _ollama(asker: Asker, server: Server) -> Server:
    """`/api/tags` lists sizes, `/api/ps` what is in memory and with which context. See `_shown` for the rest."""
    version = str((_get(asker, "/api/version") or {}).get("version", ""))
    tags = {str(one.get("name", "")): one for one in _rows(_answer(asker, "/api/tags"), "models")}
    running = {str(one.get("name", "")): one for one in _rows(_answer(asker, "/api/ps"), "models")}
    ids = [one.id for one in server.models] or [*tags]
    models = []
    for id in ids:
        tag = tags.get(id, {})
        details = mapping(tag.get("details"))
        one = ServedModel(
            id,
            bytes=count(tag.get("size")) or None,
            quantization=text(details.get("quantization_level")),
            parameters=text(details.get("parameter_size")),
            family=text(details.get("family")),
            loaded=id in running,
        )
        context = count(running.get(id, {}).get("context_length"))
        models.append(replace(one, context=context, context_from="as it is loaded now") if context else one)
    return replace(server, version=version, models=tuple(models))


def _shown(asker: Asker, model: ServedModel) -> ServedModel:
    """An Ollama model with what `/api/show` says of it."""
    try:
        data = asker.post("/api/show", {"model": model.id}).found or {}
    except UNANSWERED:
        return model
    abilities = data.get("capabilities")
    if isinstance(abilities, list):
        model = replace(model, abilities=frozenset(map(str, abilities)))
    if model.context is None:
        own = _ollama_context(str(data.get("parameters", "")))
        most = _longest(mapping(data.get("model_info")))
        if own:
            model = replace(model, context=own, context_from="num_ctx of this model")
        elif most:
            model = replace(model, context=most, context_from="the most it can; Ollama may hold less of it")
    return model


def _llama_cpp(asker: Asker, server: Server) -> Server:
    """`/props` says the context of one conversation, which `--parallel` divides, and what else it can read."""
    props = _get(asker, "/props") or {}
    context = count(mapping(props.get("default_generation_settings")).get("n_ctx"))
    senses = mapping(props.get("modalities"))
    seen = {"completion"} | {str(name) for name, there in senses.items() if there is True}
    models = tuple(
        replace(
            one,
            context=context or one.context,
            context_from="of one conversation" if context else one.context_from,
            # Tools and thinking are the chat template's affair, and are not told here.
            abilities=frozenset(seen) if "modalities" in props else None,
            loaded=True,
        )
        for one in server.models
    )
    return replace(server, version=text(props.get("build_info")), models=models)


def _vllm(asker: Asker, server: Server) -> Server:
    return replace(server, version=str((_get(asker, "/version") or {}).get("version", "")))


def _lm_studio(asker: Asker, server: Server) -> Server:
    """`/api/v0/models` has kinds, quantizations and contexts, of models that are not loaded too."""
    more = {str(one.get("id", "")): one for one in _rows(_answer(asker, "/api/v0/models"), "data")}
    kinds = {"llm": {"completion"}, "vlm": {"completion", "vision"}, "embeddings": {"embedding"}}
    models = []
    for one in server.models:
        told = more.get(one.id, {})
        loaded, most = count(told.get("loaded_context_length")), count(told.get("max_context_length"))
        abilities = kinds.get(str(told.get("type", "")))
        if abilities is not None and "tool_use" in (told.get("capabilities") or ()):
            abilities = abilities | {"tools"}
        models.append(
            replace(
                one,
                quantization=text(told.get("quantization")),
                family=text(told.get("arch")),
                context=loaded or most or None,
                context_from="as it is loaded now" if loaded else "the most it can" if most else "",
                abilities=frozenset(abilities) if abilities is not None else None,
                loaded=told["state"] == "loaded" if "state" in told else None,
            )
        )
    return replace(server, models=tuple(models))


_READERS: Mapping[Kind, Callable[[Asker, Server], Server]] = {
    "ollama": _ollama,
    "llama.cpp": _llama_cpp,
    "vllm": _vllm,
    "lm studio": _lm_studio,
}


def with_details(asker: Asker, server: Server, model: ServedModel) -> ServedModel:
    """`model` with what only a question about it alone brings to light."""
    return _shown(asker, model) if server.kind == "ollama" else model


def all_details(asker: Asker, server: Server) -> Server:
    """`with_details` for the first models of a server."""
    if server.kind != "ollama":
        return server
    shown = tuple(_shown(asker, one) for one in server.models[:_MOST_SHOWN])
    return replace(server, models=shown + server.models[_MOST_SHOWN:])


def _listed(answer: Answer) -> Iterable[ServedModel]:
    """The models of `/v1/models`, with what some servers put there besides the name."""
    for one in _rows(answer, "data"):
        if not isinstance(one.get("id"), str) or not one["id"]:
            continue
        meta = mapping(one.get("meta"))  # llama-server
        own = count(one.get("max_model_len"))  # vLLM
        slot = count(meta.get("n_ctx"))
        parameters = count(meta.get("n_params"))
        yield ServedModel(
            one["id"],
            bytes=count(meta.get("size")) or None,
            quantization=text(meta.get("ftype")),
            parameters=_short(parameters) if parameters else "",
            context=own or slot or None,
            context_from="max_model_len" if own else "n_ctx" if slot else "",
        )


def _rows(answer: Answer | None, name: str) -> list[Mapping[str, Any]]:
    """The objects in the list `name` of an answer."""
    return rows(mapping(answer.found).get(name)) if answer is not None else []


def _answer(asker: Asker, path: str) -> Answer | None:
    try:
        return asker.get(path)
    except UNANSWERED:
        return None


def _get(asker: Asker, path: str) -> Mapping[str, Any] | None:
    answer = _answer(asker, path)
    return answer.found if answer is not None else None


def _ollama_context(parameters: str) -> int | None:
    """`num_ctx 4096` among the parameters of a Modelfile."""
    for line in parameters.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "num_ctx" and words[1].isdigit():
            return int(words[1])
    return None


def _longest(info: Mapping[str, Any]) -> int:
    """`lfm2.context_length` of a model's metadata."""
    return next((count(value) for name, value in info.items() if name.endswith(".context_length")), 0)


def _short(count: int) -> str:
    return f"{count / 1e9:.3g}B" if count >= 1e9 else f"{count / 1e6:.0f}M"
