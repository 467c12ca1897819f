"""What model a GGUF header describes: its architecture, and an entry like the catalogue's.

A file that the catalogue knows, by name and by sizes, gets the catalogue's preset, languages and supported context; any
other gets what its own metadata says and a cautious preset. A name alone is not believed: sizes must agree.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import NoReturn

from ..errors import ModelFileError
from .architecture import Architecture
from .catalog import Catalog
from .entry import Artifact, File, License, ModelEntry, PromptFormat, Sampling, Task
from .gguf import GgufHeader, Skipped
from .tensors import KNOWN, active_parameters, parameters

MAX_LAYERS = 1024
MAX_WIDTH = 2**20
LFM2_CONTEXT = 32_768  # tokens, on the cards of all LFM2 models

#: `general.file_type`, as `enum llama_ftype` in llama.cpp's include/llama.h.
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
}  # fmt: skip
CAUTIOUS = Sampling(temperature=0.2, top_p=0.95, source="none published for this model; a cautious default")
_QUANTIZATION_SUFFIX = re.compile(r"[-.](?:UD-)?(?:I?Q\d\w*|TQ\d\w*|B?F16|F32|MXFP4\w*|NVFP4)$", re.IGNORECASE)
_PART = re.compile(r"-\d{5}-of-\d{5}$")


def architecture_of(header: GgufHeader) -> Architecture:
    """The sizes a header states, checked against its tensors. Raises `ModelFileError` if they make no model."""
    return _Metadata(header).architecture()


def entry_of(header: GgufHeader, path: str, catalog: Catalog, *, artifact: Artifact | None = None) -> ModelEntry:
    """The model in a GGUF file. `path` is the file, local or in a repository; `artifact` says how to get one that is
    not on this disk. Raises `ModelFileError`.
    """
    metadata = _Metadata(header)
    kind = header.text("general.type") or "model"
    if metadata.name == "clip" or kind != "model":
        what = "a projector (mmproj)" if metadata.name == "clip" else f"of the kind {kind!r}"
        raise ModelFileError(
            f"{header.name}: this file is {what}, not a language model",
            hint="give the model's own .gguf; the projector beside it is found by itself",
        )
    architecture = metadata.architecture()
    whole = header.metadata.get("split.count", 1) in (0, 1)
    quantization = metadata.quantization()
    if artifact is None:
        file = File(Path(path).name, bytes=header.file_bytes_expected)
        artifact = Artifact("llama.cpp", quantization, "", (file,), path=path)
    artifact = replace(artifact, quantization=quantization, tensors=header.tensors if whole else ())
    known = _recognised(header, path, architecture, catalog)
    if known is not None and known.architecture is not None:
        architecture = replace(architecture, context_supported=known.architecture.context_supported)
        notes = (*known.notes, f"Recognised as {known.name} by name and sizes.")
        return replace(known, architecture=architecture, artifacts=(artifact,), notes=notes)
    count = sum(prod(tensor.shape) for tensor in header.tensors) if whole else None
    spared = 0
    if architecture.name in KNOWN and architecture.experts:
        spared = parameters(architecture) - active_parameters(architecture)
    template = header.text("tokenizer.chat_template")
    stem = bare_name(Path(path).name)
    format = prompt_format(architecture, template, stem)
    relative = _relative(architecture, format, catalog)
    architecture = replace(architecture, context_supported=_context(architecture, relative))
    return ModelEntry(
        id=stem.lower(),
        name=_plain_name(header.text("general.name")) or stem,
        repo=artifact.repo,
        architecture=architecture,
        parameters=count,
        active_parameters=count - spared if count else None,
        prompt_format=format,
        license=_license(header, catalog),
        sampling=_sampling(header, relative),
        artifacts=(artifact,),
        modalities=("text", "embedding") if metadata.embeds else ("text",),
        tasks=_tasks(metadata, template),
        thinking=thinks(template, stem),
        notes=("Described by its own header; edgelfm has no card for it.",),
    )


def prompt_format(architecture: Architecture, template: str, name: str) -> PromptFormat:
    """The family of a chat template. LFM2's marks its list of tools, LFM2.5's does not."""
    if architecture.name == "lfm3":
        return "lfm3"
    if architecture.name in ("lfm2", "lfm2moe"):
        if template:
            return "lfm2" if "<|tool_list_start|>" in template else "lfm2.5"
        return "none" if re.search(r"\bbase\b", name, re.IGNORECASE) else "lfm2.5" if "2.5" in name else "lfm2"
    if not template:
        return "none"
    return "chatml" if "<|im_start|>" in template else "own"


def thinks(template: str, name: str) -> bool:
    """Whether the model always thinks first: its template opens the answer with `<think>`, or its name says so.

    A template that only takes old thoughts out of the history says nothing about the model.
    """
    opening = template.partition("add_generation_prompt")[2]
    return "<think>" in opening or bool(re.search(r"thinking|reason|\br1\b", name, re.IGNORECASE))


class _Metadata:
    """The metadata of one header under its architecture's prefix."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self.name = header.text("general.architecture")
        self.tensors = {tensor.name: tensor for tensor in header.tensors}
        if not self.name:
            self._refuse("general.architecture is missing")

    @property
    def embeds(self) -> bool:
        """Whether the model makes vectors and no text."""
        return self.name.endswith(("bidir", "bert")) or f"{self.name}.pooling_type" in self.header.metadata

    def architecture(self) -> Architecture:
        layers = self._number("block_count", most=MAX_LAYERS)
        hidden = self._number("embedding_length")
        heads = max(self._per_layer("attention.head_count", layers))
        kv_heads = self._per_layer("attention.head_count_kv", layers, default=heads)
        if heads < 1 or not any(kv_heads):
            self._refuse(f"{self.name}.attention.head_count makes no attention")
        head_dim = self._number("attention.key_length", default=hidden // heads)
        experts = self._number("expert_count", default=0)
        context = self._number("context_length", most=2**31, default=0)
        sliding_window, sliding_layers = self._sliding(kv_heads)
        return Architecture(
            name=self.name,
            layers=layers,
            kv_heads=kv_heads,
            hidden=hidden,
            heads=heads,
            head_dim=head_dim,
            feed_forward=self._feed_forward(layers),
            vocabulary=self._vocabulary(),
            conv_cache=self._number("shortconv.l_cache", default=0),
            tied_embeddings="output.weight" not in self.tensors,
            sliding_window=sliding_window,
            sliding_layers=sliding_layers,
            experts=experts,
            experts_used=self._number("expert_used_count", most=max(experts, 1), default=0),
            expert_feed_forward=max(self._per_layer("expert_feed_forward_length", layers, default=0)),
            dense_layers=self._number("leading_dense_block_count", most=layers, default=0),
            qk_norm=any(name.endswith("attn_q_norm.weight") for name in self.tensors),
            context_supported=context,
            context_advertised=context,
        )

    def quantization(self) -> str:
        """The name of the mix, or of the type that takes most bytes."""
        named = self.header.metadata.get("general.file_type")
        if isinstance(named, int) and named in FILE_TYPES:
            return FILE_TYPES[named]
        by_type: dict[str, int] = {}
        for tensor in self.header.tensors:
            by_type[tensor.type] = by_type.get(tensor.type, 0) + tensor.bytes
        return max(by_type, key=lambda kind: by_type[kind]) if by_type else "F32"

    def _feed_forward(self, layers: int) -> int:
        # Some converters write the width before LFM2's rounding rule; the tensor cannot be wrong.
        down = self.tensors.get("blk.0.ffn_down.weight")
        return down.shape[0] if down else max(self._per_layer("feed_forward_length", layers, default=0))

    def _vocabulary(self) -> int:
        embedding = self.tensors.get("token_embd.weight")
        if embedding and len(embedding.shape) == 2:
            return embedding.shape[1]
        tokens = self.header.metadata.get("tokenizer.ggml.tokens")
        if isinstance(tokens, (Skipped, tuple)):
            return tokens.count if isinstance(tokens, Skipped) else len(tokens)
        return self._number("vocab_size", most=2**24)

    def _sliding(self, kv_heads: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        window = self._number("attention.sliding_window", most=2**31, default=0)
        pattern = self.header.metadata.get(f"{self.name}.attention.sliding_window_pattern")
        attention = [layer for layer, heads in enumerate(kv_heads) if heads]
        if not window:
            return 0, ()
        if isinstance(pattern, tuple):
            return window, tuple(layer for layer in attention if layer < len(pattern) and pattern[layer])
        if isinstance(pattern, int) and pattern > 1:  # every `pattern`th layer sees everything
            return window, tuple(layer for layer in attention if layer % pattern < pattern - 1)
        # llama.cpp's lfm2 takes a window without a pattern for all its attention layers; others differ, and a full
        # cache is the safe assumption for them.
        return (window, tuple(attention)) if self.name == "lfm2" else (0, ())

    def _number(self, key: str, *, most: int = MAX_WIDTH, default: int | None = None) -> int:
        value = self.header.metadata.get(f"{self.name}.{key}", default)
        if value is None:
            self._refuse(f"{self.name}.{key} is missing")
        if type(value) is not int or not (0 if default is not None else 1) <= value <= most:
            self._refuse(f"{self.name}.{key} is {value!r}, which makes no model")
        return value

    def _per_layer(self, key: str, layers: int, *, default: int | None = None) -> tuple[int, ...]:
        value = self.header.metadata.get(f"{self.name}.{key}")
        if not isinstance(value, tuple):
            return (self._number(key, default=default),) * layers
        if len(value) != layers or any(type(item) is not int or not 0 <= item <= MAX_WIDTH for item in value):
            self._refuse(f"{self.name}.{key} does not give one number for each of {layers} layers")
        return tuple(int(item) for item in value)

    def _refuse(self, message: str) -> NoReturn:
        raise ModelFileError(
            f"{self.header.name}: {message}", hint="use another file; llama.cpp would not load this one either"
        )


def _recognised(header: GgufHeader, path: str, architecture: Architecture, catalog: Catalog) -> ModelEntry | None:
    """The catalogue's entry of that name, if its sizes agree with the file's."""
    for name in (bare_name(Path(path).name), header.text("general.name"), header.text("general.basename")):
        entry = catalog.find(name) if name else None
        if entry is not None and entry.architecture is not None and same_sizes(entry.architecture, architecture):
            return entry
    return None


def same_sizes(one: Architecture, other: Architecture) -> bool:
    """Whether two architectures have the same weights; which layers attend and what context they promise may differ."""
    return (one.name, one.layers, one.hidden, one.feed_forward, one.vocabulary, one.experts, sorted(one.kv_heads)) == (
        other.name, other.layers, other.hidden, other.feed_forward, other.vocabulary, other.experts,
        sorted(other.kv_heads),
    )  # fmt: skip


def bare_name(filename: str) -> str:
    """`LFM2-350M-Q4_K_M.gguf` as `LFM2-350M`."""
    stem = _PART.sub("", filename.removesuffix(".gguf"))
    return _QUANTIZATION_SUFFIX.sub("", stem) or stem


def quantization_in(filename: str) -> str | None:
    """`Q4_K_M` of `LFM2-350M-Q4_K_M.gguf`, in capitals; None where the name tells nothing."""
    match = _QUANTIZATION_SUFFIX.search(_PART.sub("", filename.removesuffix(".gguf")))
    return match[0][1:].upper() if match else None


def _plain_name(name: str) -> str:
    """A name fit to show: some converters write a hash, which is none."""
    return "" if re.fullmatch(r"[0-9a-f]{16,}", name) else name[:100]


def _license(header: GgufHeader, catalog: Catalog) -> License:
    for key in ("general.license.name", "general.license"):
        stated = header.text(key).lower()
        if stated in catalog.licenses:
            return catalog.licenses[stated]
    stated = header.text("general.license.name") or header.text("general.license")
    url = header.text("general.license.link")
    if not stated or stated == "other":
        return License("unknown", "unknown", url, "The file names no licence; see where it came from.", False)
    return License(stated.lower(), stated, url, "Read it where the file came from; edgelfm has not.", False)


def _relative(net: Architecture, format: PromptFormat, catalog: Catalog) -> ModelEntry | None:
    """The most wanted model of the catalogue with the same sizes and the same kind of prompt."""
    for entry in catalog:
        if entry.architecture and same_sizes(entry.architecture, net) and entry.prompt_format == format:
            return entry
    return None


def _context(net: Architecture, relative: ModelEntry | None) -> int:
    """Tokens to stand behind. LFM2 files promise 128,000 where the model cards say 32,768."""
    if relative is not None and relative.architecture is not None:
        return min(net.context_advertised, relative.architecture.context_supported)
    return min(net.context_advertised, LFM2_CONTEXT) if net.name in ("lfm2", "lfm2moe") else net.context_advertised


def _sampling(header: GgufHeader, relative: ModelEntry | None) -> Sampling:
    """The file's own preset, else that of the closest relative in the catalogue, else a cautious one."""
    own = {key: header.metadata.get(f"general.sampling.{key}") for key in ("temp", "top_k", "top_p", "min_p")}
    repeat = header.metadata.get("general.sampling.penalty_repeat")
    if isinstance(own["temp"], (int, float)):
        top_k, top_p, min_p = own["top_k"], own["top_p"], own["min_p"]
        return Sampling(
            temperature=max(0.0, float(own["temp"])),
            top_k=top_k if type(top_k) is int and top_k > 0 else None,
            top_p=top_p if isinstance(top_p, float) and 0 < top_p <= 1 else None,
            min_p=min_p if isinstance(min_p, float) and 0 <= min_p <= 1 else None,
            repetition_penalty=repeat if isinstance(repeat, float) and repeat > 0 else 1.0,
            source="the file's own metadata",
        )
    if relative is None:
        return CAUTIOUS
    source = f"that of {relative.name}, which has the same sizes ({relative.sampling.source})"
    return replace(relative.sampling, source=source)


def _tasks(metadata: _Metadata, template: str) -> tuple[Task, ...]:
    if metadata.embeds:
        return ("embed",)
    return ("chat",) if template else ("complete",)
