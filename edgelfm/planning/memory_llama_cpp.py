"""Memory of a GGUF model in llama.cpp, buffer by buffer, as llama.cpp allocates and logs them.

Sizes are for one sequence, with logits for the last token only (`n_outputs_max` = 1), which is how edgelfm opens a
context. Sources, in the llama.cpp that llama-cpp-python 0.3.36 carries: src/llama-context.cpp (padding, output buffer),
src/llama-kv-cache.cpp and src/llama-kv-cache-iswa.cpp, src/llama-memory-recurrent.cpp, ggml/src/ggml-cpu/ggml-cpu.c
(scratch), and for what is alive at once while a layer is computed src/models/{lfm2,lfm2moe,llama}.cpp.
"""

from __future__ import annotations

from ..decision import Grade
from ..models.architecture import Architecture
from ..units import KIB, MIB, format_bytes, round_up
from .loading import Loading
from .plan import KvType, MemoryPart

#: Cells of the KV cache come in multiples of this (`GGML_PAD(n_ctx, 256)`).
CELLS = 256
#: Bytes of one key or value: blocks of 32 values with one f16 scale, except f16 itself.
KV_BYTES: dict[KvType, float] = {"f16": 2, "q8_0": 34 / 32, "q4_0": 18 / 32}
_FLOAT = 4
#: Python 3.11 with numpy, edgelfm and everything `load()` imports, libllama and its first context. Measured on Linux
#: x86-64 with scripts/bench_memory.py; other systems differ by 10 to 20 MiB.
RUNTIME = 77 * MIB
#: Text, type, score and merge rank of one token in llama.cpp's vocabulary. Measured at 16,384 to 128,000 tokens.
VOCABULARY_BYTES = 272
#: Driver context, kernels and staging buffers of a GPU.
GPU_CONTEXT = 300 * MIB
#: Stands in where nobody has published the architecture: larger than most models that fit a small machine.
STAND_IN = Architecture(
    name="llama", layers=32, kv_heads=(8,) * 32, hidden=4096, heads=32, head_dim=128, feed_forward=14336,
    vocabulary=128256, tied_embeddings=False, qk_norm=False,
)  # fmt: skip
#: Architectures whose compute graph was read; others are taken for Llama with a quarter on top.
_KNOWN = ("lfm2", "lfm2moe", "llama")


def parts(architecture: Architecture | None, loading: Loading) -> tuple[MemoryPart, ...]:
    """The memory bill, host first. With layers on a GPU the split is an estimate."""
    shape = architecture or STAND_IN
    known: Grade = "estimated" if shape.name in (*_KNOWN, "lfm3") and architecture else "unknown"
    kv, conv = kv_bytes(shape, loading), conv_bytes(shape)
    compute = compute_bytes(shape, loading)
    if shape.name not in _KNOWN:
        compute += compute // 4
    attending = len(shape.attention_layers)
    bill = [
        MemoryPart("weights", loading.weight_bytes, "estimated", "every tensor as stored, once"),
        MemoryPart(
            "KV cache",
            kv,
            known,
            f"{cells(loading.context)} cells in {attending} of {shape.layers} layers, {loading.kv_type}",
        ),
        MemoryPart("convolution state", conv, known, f"{len(shape.conv_layers)} layers, whatever the context"),
        MemoryPart("compute buffers", compute, known, f"{loading.micro_batch} tokens at once, one row of logits"),
        MemoryPart("output", shape.vocabulary * _FLOAT, known, "logits of the last token"),
        MemoryPart("scratch", scratch_bytes(shape, loading), known, "activations in the weights' number format"),
    ]
    if loading.gpu_layers:
        bill = _offloaded(bill, shape, loading)
    elif loading.mmap and loading.repacked_bytes:
        bill.append(
            MemoryPart(
                "mapped copy", loading.repacked_bytes, "estimated", "pages of the file beside the repacked weights"
            )
        )
    runtime = RUNTIME + shape.vocabulary * VOCABULARY_BYTES
    bill.append(
        MemoryPart("runtime", runtime, "estimated", f"Python and libraries; {shape.vocabulary} tokens of vocabulary")
    )
    return tuple(part for part in bill if part.bytes)


def cells(context: int) -> int:
    """Cells of KV cache for `context` tokens."""
    return round_up(context, CELLS)


def kv_bytes(shape: Architecture, loading: Loading) -> int:
    """Keys and values. Zero-filled when the context is made, so all of it is resident from the start.

    A sliding-window layer keeps its window and one micro-batch, not the whole context.
    """
    full = cells(loading.context)
    window = round_up(shape.sliding_window + loading.micro_batch, CELLS)
    return int(shape.keys(full, window) * shape.head_dim * 2 * KV_BYTES[loading.kv_type])


def conv_bytes(shape: Architecture) -> int:
    """The last `conv_cache - 1` columns of every convolution layer, in f32."""
    return len(shape.conv_layers) * shape.hidden * max(0, shape.conv_cache - 1) * _FLOAT


def compute_bytes(shape: Architecture, loading: Loading) -> int:
    """The buffer in which one micro-batch is computed: the greatest sum of tensors alive at once.

    That is inside a feed-forward block: gate, up and their product, around them the residual, its norm and a hole of
    the same size that nothing fits into, and the attention mask, which stays until the last attention layer. Without
    flash attention it is inside attention, where scores for every pair of token and cell come to exist. Equal to the
    log to the digits it prints for micro-batches of 32 tokens and more; below that one row of logits rules and it is
    some KiB off.
    """
    tokens = min(loading.micro_batch, loading.batch, loading.context)
    kept = cells(loading.context)
    hidden, kv_width = shape.hidden, max(shape.kv_heads, default=0) * shape.head_dim
    rotation = _rotation_bytes(shape.head_dim, loading.kv_type)
    # Token ids, positions (4 bytes each) and the cells to write keys and values to (8 each), and a few single values.
    inputs = tokens * 24 + 96 + rotation
    if shape.conv_layers and 2 * hidden > tokens:
        inputs += 2 * hidden * _FLOAT  # two rows for the last token; where they fit, they take the place of the ids
    # Llama's graph leaves one hole more of that width than LFM2's: seen in the logs of both.
    around = (3 if shape.conv_layers else 4) * hidden
    width = shape.feed_forward
    if loading.flash_attention:
        mask = tokens * kept * 2
    else:
        mask = tokens * kept * _FLOAT
        around += 2 * kv_width
    peak = mask + tokens * (around + 3 * width) * _FLOAT + inputs
    if shape.experts:
        routed = shape.experts_used * shape.expert_feed_forward + shape.experts
        peak = max(peak, mask + tokens * 3 * (hidden + routed) * _FLOAT + tokens * 24 + 96 + rotation)
    if not loading.flash_attention:
        scores = shape.heads * kept + 5 * hidden + 2 * kv_width
        peak = max(peak, mask + tokens * scores * _FLOAT + tokens * 16 + rotation)
    logits = (shape.vocabulary + 2 * hidden) * _FLOAT
    return max(peak, logits)


def _rotation_bytes(head_dim: int, kv_type: KvType) -> int:
    """Two Hadamard matrices with which llama.cpp rotates heads before it quantizes keys and values.

    The one for keys is as wide as the largest power of two that divides the head, the one for values 64; heads that 64
    does not divide are not rotated.
    """
    if kv_type == "f16" or head_dim % 64:
        return 0
    return ((head_dim & -head_dim) ** 2 + 64**2) * _FLOAT


def scratch_bytes(shape: Architecture, loading: Loading) -> int:
    """Work memory of the CPU backend, which no log shows: the widest activations once more, in 8-bit blocks."""
    widest = max(shape.feed_forward, shape.experts_used * shape.expert_feed_forward)
    return min(loading.micro_batch, loading.context) * widest * 292 // 256 + 512 * KIB


def _offloaded(bill: list[MemoryPart], shape: Architecture, loading: Loading) -> list[MemoryPart]:
    """Move what `gpu_layers` takes with it. The output head counts as one layer more; tied, it is copied there."""
    share = min(1.0, loading.gpu_layers / (shape.layers + 1))
    split: list[MemoryPart] = []
    for part in bill:
        moved = int(part.bytes * (share if part.name in ("weights", "KV cache", "convolution state") else 0))
        if part.name == "compute buffers":
            moved = part.bytes
        split.append(MemoryPart(part.name, part.bytes - moved, part.grade, part.note))
        if moved:
            note = f"{loading.gpu_layers} layers on the GPU"
            split.append(MemoryPart(part.name, moved, "estimated", note, loading.gpu_memory))
    embedding = shape.vocabulary * shape.hidden * 34 // 32
    if shape.tied_embeddings and share == 1:
        note = f"{format_bytes(embedding)} of embeddings stay in main memory too"
        split.append(MemoryPart("weights", embedding, "estimated", note))
    split.append(MemoryPart("runtime", GPU_CONTEXT, "estimated", "the GPU's driver", loading.gpu_memory))
    return split
