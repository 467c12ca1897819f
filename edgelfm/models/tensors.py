"""Every tensor of a model before a byte of it is downloaded: from the architecture and the name of a quantization.

Shapes follow `load_arch_tensors` in llama.cpp's src/models/{lfm2,lfm2moe,llama}.cpp and, for lfm3, the modules of
transformers' `Lfm3Model`; storage types follow its quantizer. So weights are known to the byte, which bits per weight
times parameters never is. A file's own header, where there is one, is used instead. Alignment and the header itself are
parts of the file but not of the weights in memory, and are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..errors import RequestError, UnknownQuantization
from .architecture import Architecture
from .entry import Artifact, ModelEntry
from .ggml import Tensor, tensor_bytes
from .quantizer import DEFAULT_TYPE, Place, storage_type

Shape = tuple[str, tuple[int, ...], Place]

#: Architectures whose tensors are known here, by the name that GGUF files give them.
KNOWN = ("lfm2", "lfm2moe", "lfm2-bidir", "lfm3", "llama")


@lru_cache(maxsize=512)
def tensors(architecture: Architecture, quantization: str) -> tuple[Tensor, ...]:
    """Name, shape, type and bytes of every tensor, as llama.cpp's quantizer writes them.

    Raises `UnknownQuantization` for a quantization outside `quantizer.DEFAULT_TYPE`, and `RequestError` for an
    architecture outside `KNOWN`.
    """
    if quantization not in DEFAULT_TYPE:
        raise UnknownQuantization(
            f"the tensor types of {quantization} are not known before its file is read",
            hint=f"use one of {', '.join(DEFAULT_TYPE)}",
        )
    tied, experts = architecture.tied_embeddings, architecture.experts
    made = []
    for name, shape, place in _shapes(architecture):
        kind = storage_type(place, quantization, tied=tied, experts=experts)
        made.append(Tensor(name, shape, kind, tensor_bytes(shape, kind)))
    return tuple(made)


def tensors_of(entry: ModelEntry, artifact: Artifact) -> tuple[Tensor, ...]:
    """The tensors of one artifact for llama.cpp: from its header where one was read, else from the architecture.

    Raises `RequestError` where nobody has published the architecture, and what `tensors` raises.
    """
    if artifact.tensors:
        return artifact.tensors
    if entry.architecture is None:
        raise RequestError(
            f"the architecture of {entry.name} is not published, so its size is not known before its header is read",
            hint=f"edgelfm pull {entry.id} --quantization {artifact.quantization}",
        )
    return tensors(entry.architecture, artifact.quantization)


@lru_cache(maxsize=512)
def weight_bytes(architecture: Architecture, quantization: str) -> int:
    """Bytes of all weights. Raises what `tensors` raises."""
    return sum(tensor.bytes for tensor in tensors(architecture, quantization))


@lru_cache(maxsize=512)
def decode_bytes(architecture: Architecture, quantization: str) -> int:
    """Bytes of weights read for one generated token. Raises what `tensors` raises."""
    return read_bytes(tensors(architecture, quantization), architecture)


def read_bytes(tensors: Iterable[Tensor], architecture: Architecture) -> int:
    """Bytes of these weights read for one generated token.

    A tied embedding is read whole, once, as the output head; an embedding beside an output head gives one row. Of a
    mixture only the experts in use are read.
    """
    total = 0
    for tensor in tensors:
        if tensor.name == "token_embd.weight" and not architecture.tied_embeddings:
            total += tensor.bytes // tensor.shape[1]
        elif "_exps." in tensor.name and architecture.experts:
            total += tensor.bytes * architecture.experts_used // architecture.experts
        else:
            total += tensor.bytes
    return total


def parameters(architecture: Architecture) -> int:
    """How many weights the network has."""
    return sum(_count(shape) for _, shape, _ in _shapes(architecture))


def active_parameters(architecture: Architecture) -> int:
    """How many weights take part in one token: all of a dense network, the experts in use of a mixture."""
    used, experts = architecture.experts_used, architecture.experts
    return sum(
        _count(shape) * used // experts if "_exps." in name and experts else _count(shape)
        for name, shape, _ in _shapes(architecture)
    )


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _kept(name: str, *shape: int) -> Shape:
    return name, shape, Place("kept", shape[0])


@lru_cache(maxsize=128)
def _shapes(net: Architecture) -> tuple[Shape, ...]:
    if net.name not in KNOWN:
        raise RequestError(
            f"the tensors of the architecture {net.name!r} are not known",
            hint=f"known are {', '.join(KNOWN)}; a GGUF file of another one is sized from its header",
        )
    last_norm = "token_embd_norm.weight" if net.name.startswith("lfm2") else "output_norm.weight"
    shapes: list[Shape] = [
        ("token_embd.weight", (net.hidden, net.vocabulary), Place("embedding", net.hidden)),
        _kept(last_norm, net.hidden),
    ]
    if not net.tied_embeddings:
        shapes.append(("output.weight", (net.hidden, net.vocabulary), Place("output", net.hidden)))
    attention = net.attention_layers
    for layer, kv_heads in enumerate(net.kv_heads):
        block = f"blk.{layer}."
        shapes.append(_kept(block + "attn_norm.weight", net.hidden))
        if kv_heads:
            shapes += _attention(net, block, kv_heads, attention.index(layer), len(attention))
        else:
            shapes += _convolution(net, block)
        shapes.append(_kept(block + "ffn_norm.weight", net.hidden))
        shapes += _feed_forward(net, block, layer)
        if net.name == "lfm3":
            shapes += [_kept(block + f"post_{part}_norm.weight", net.hidden) for part in ("attention", "ffw")]
    return tuple(shapes)


def _attention(net: Architecture, block: str, kv_heads: int, index: int, count: int) -> Iterator[Shape]:
    width, kv_width = net.heads * net.head_dim, kv_heads * net.head_dim
    yield block + "attn_q.weight", (net.hidden, width), Place("attn_q", net.hidden)
    yield block + "attn_k.weight", (net.hidden, kv_width), Place("attn_k", net.hidden)
    yield block + "attn_v.weight", (net.hidden, kv_width), Place("attn_v", net.hidden, index, count)
    yield block + "attn_output.weight", (width, net.hidden), Place("attn_output", width)
    if net.qk_norm:
        yield _kept(block + "attn_q_norm.weight", net.head_dim)
        yield _kept(block + "attn_k_norm.weight", net.head_dim)
    if net.name == "lfm3":
        yield block + "attn_gate.weight", (net.hidden, net.heads), Place("other", net.hidden)


def _convolution(net: Architecture, block: str) -> Iterator[Shape]:
    yield _kept(block + "shortconv.conv.weight", net.conv_cache, net.hidden)
    yield block + "shortconv.in_proj.weight", (net.hidden, 3 * net.hidden), Place("other", net.hidden)
    yield block + "shortconv.out_proj.weight", (net.hidden, net.hidden), Place("other", net.hidden)


def _feed_forward(net: Architecture, block: str, layer: int) -> Iterator[Shape]:
    mixture = net.experts > 0 and layer >= net.dense_layers
    width = net.expert_feed_forward if mixture else net.feed_forward
    many = (net.experts,) if mixture else ()
    suffix = "_exps.weight" if mixture else ".weight"
    if mixture:
        yield _kept(block + "ffn_gate_inp.weight", net.hidden, net.experts)
        if net.name == "lfm2moe":
            yield _kept(block + "exp_probs_b.bias", net.experts)
    yield block + "ffn_gate" + suffix, (net.hidden, width, *many), Place("other", net.hidden)
    yield block + "ffn_up" + suffix, (net.hidden, width, *many), Place("other", net.hidden)
    yield block + "ffn_down" + suffix, (width, net.hidden, *many), Place("ffn_down", width, layer, net.layers)
