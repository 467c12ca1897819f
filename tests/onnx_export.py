"""Writes the folder of a tiny LFM2 as an ONNX graph in the layout of the LiquidAI/*-ONNX repositories.

The names, shapes and operators are those of the published graphs (github.com/Liquid4All/onnx-export). `attention` says
how the layers attend: "fused" as in them, by GroupQueryAttention, or "plain", by Concat, MatMul and Softmax. With
`bits` 8, weights are stored as in `model_q8.onnx` there: in blocks of 32 with a scale and a zero point each, and one
table for the embedding and the logits. `quantize_dynamically` makes of a graph what transformers.js calls q8.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_ENDLESS = np.array([np.iinfo(np.int64).max])
_BLOCK = 32  # weights that share a scale
_MICROSOFT = "com.microsoft"


def write_published_onnx(
    source: Path, folder: Path, *, attention: str = "fused", dtype: str = "float32", name: str = "model.onnx",
    logits_to_keep: bool = False, bits: int | None = None,
) -> Path:  # fmt: skip
    """Write `folder` from `source`, a folder of safetensors, and return the graph's path."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    for beside in _BESIDE:
        shutil.copyfile(source / beside, folder / beside)
    config = json.loads((source / "config.json").read_text())
    built = _Builder(config, _read(source / "model.safetensors"), dtype, attention == "fused", bits)
    model = built.model(logits_to_keep)
    path = folder / "onnx" / name
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{name}_data",
        size_threshold=1024,
    )
    return path


def rename(source: Path, target: Path, names: dict[str, str]) -> Path:
    """Write the graph at `source` with other names of inputs and outputs to the same folder. Weights are shared."""
    model = onnx.load(source, load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    onnx.save(model, target)
    return target


def quantize_dynamically(source: Path, target: Path) -> Path:
    """Write the graph at `source` with weights in 8 bits, one scale each; what they multiply is rounded as it runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Whole numbers without a sign, as the scripts of transformers.js take wherever a graph convolves.
    known = {"DefaultTensorType": TensorProto.FLOAT}  # the onnx package cannot tell it behind Microsoft's operators
    quantize_dynamic(source, target, weight_type=QuantType.QUInt8, extra_options=known)
    return target


def _read(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    found = {}
    for name, tensor in header.items():
        begin, end = (8 + size + offset for offset in tensor["data_offsets"])
        found[name] = np.frombuffer(data[begin:end], np.float32).reshape(tensor["shape"])
    return found


class _Builder:
    """A graph, written in the order in which data flows."""

    def __init__(
        self, config: dict[str, Any], weights: dict[str, np.ndarray], dtype: str, fused: bool, bits: int | None
    ) -> None:
        self.config, self.weights, self.dtype, self.fused, self.bits = config, weights, dtype, fused, bits
        self.type = TensorProto.FLOAT16 if dtype == "float16" else TensorProto.FLOAT
        self.hidden, self.heads, self.kv_heads = (
            config[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads")
        )
        self.size, self.kept = self.hidden // self.heads, config["conv_L_cache"]
        self.nodes: list[Any] = []
        self.stored: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def model(self, logits_to_keep: bool) -> Any:
        self.take("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"])
        self.take("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"])
        if not self.fused:
            self.take("position_ids", TensorProto.INT64, ["batch_size", "sequence_length"])
        self.prepare()
        flow = self.embed("model.embed_tokens.weight")
        for layer in range(self.config["num_hidden_layers"]):
            flow = self.layer(f"model.layers.{layer}.", layer, flow)
        flow = self.norm(flow, "model.embedding_norm.weight")
        if logits_to_keep:
            self.take("num_logits_to_keep", TensorProto.INT64, [])
            begin = self.node("Unsqueeze", self.node("Neg", "num_logits_to_keep"), self.numbers([0]))
            flow = self.node("Slice", flow, begin, self.numbers(_ENDLESS), self.numbers([1]))
        logits = self.linear(flow, "model.embed_tokens.weight", "lm_head")
        self.give("logits", logits, ["batch_size", "sequence_length", self.config["vocab_size"]])
        graph = helper.make_graph(self.nodes, "lfm2", self.inputs, self.outputs, list(self.stored.values()))
        imports = [helper.make_opsetid("", 21), helper.make_opsetid(_MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    def prepare(self) -> None:
        longest = self.config["max_position_embeddings"]
        steps = self.config["rope_theta"] ** (np.arange(0, self.size, 2) / self.size)
        angles = np.arange(longest)[:, None] / steps
        self.cos = self.stored_as("cos_cache", np.cos(angles))
        self.sin = self.stored_as("sin_cache", np.sin(angles))
        shape = self.node("Shape", "attention_mask")
        total = self.node("Gather", shape, self.scalar(1))
        if self.fused:
            self.total = self.node("Cast", total, to=TensorProto.INT32)
            count = self.node("ReduceSum", "attention_mask", self.numbers([1]), keepdims=0)
            self.past = self.node("Cast", self.node("Sub", count, self.scalar(1)), to=TensorProto.INT32)
            return
        places = self.node("Range", self.scalar(0), total, self.scalar(1))
        here = self.node("Unsqueeze", "position_ids", self.numbers([2]))
        seen = self.node("LessOrEqual", places, here)  # batch, new tokens, all tokens
        nothing, never = (self.stored_as(f"mask {value}", np.array(value)) for value in (0.0, -30000.0))
        self.mask = self.node("Unsqueeze", self.node("Where", seen, nothing, never), self.numbers([1, 2]))
        self.turn = [
            self.node("Unsqueeze", self.node("Gather", table, "position_ids"), self.numbers([1]))
            for table in (self.cos, self.sin)
        ]

    def layer(self, name: str, layer: int, flow: str) -> str:
        normed = self.norm(flow, name + "operator_norm.weight")
        attends = layer in self.config["full_attn_idxs"]
        mixed = self.attend(name + "self_attn.", layer, normed) if attends else self.convolve(name, layer, normed)
        flow = self.node("Add", flow, mixed)
        normed = self.norm(flow, name + "ffn_norm.weight")
        gate = self.linear(normed, name + "feed_forward.w1.weight")
        gate = self.node("Mul", gate, self.node("Sigmoid", gate))
        wide = self.node("Mul", gate, self.linear(normed, name + "feed_forward.w3.weight"))
        return self.node("Add", flow, self.linear(wide, name + "feed_forward.w2.weight"))

    def convolve(self, name: str, layer: int, flow: str) -> str:
        shape = ["batch_size", self.hidden, self.kept]
        past = self.take(f"past_conv.{layer}", self.type, shape)
        wide = self.node("Transpose", self.linear(flow, name + "conv.in_proj.weight"), perm=[0, 2, 1])
        before, after, value = self.node("Split", wide, outputs=3, axis=1, num_outputs=3)
        gated = self.node("Mul", before, value)
        whole = self.node("Concat", past, gated, axis=2)
        ends = self.numbers(_ENDLESS), self.numbers([2])
        self.give(f"present_conv.{layer}", self.node("Slice", whole, self.numbers([-self.kept]), *ends), shape)
        kernel = self.weight(name + "conv.conv.weight")
        convolved = self.node("Conv", whole, kernel, kernel_shape=[self.kept], group=self.hidden)
        new = self.node("Slice", self.node("Shape", gated), self.numbers([2]), self.numbers([3]))
        convolved = self.node("Slice", convolved, self.node("Neg", new), *ends)
        mixed = self.node("Transpose", self.node("Mul", after, convolved), perm=[0, 2, 1])
        return self.linear(mixed, name + "conv.out_proj.weight")

    def attend(self, name: str, layer: int, flow: str) -> str:
        shape = ["batch_size", self.kv_heads, "past_sequence_length", self.size]
        past = [self.take(f"past_key_values.{layer}.{kind}", self.type, shape) for kind in ("key", "value")]
        query, key, value = (self.linear(flow, f"{name}{part}_proj.weight") for part in "qkv")
        query = self.norm(self.split(query, self.heads), name + "q_layernorm.weight")
        key = self.norm(self.split(key, self.kv_heads), name + "k_layernorm.weight")
        present = [f"present.{layer}.{kind}" for kind in ("key", "value")]
        shape = ["batch_size", self.kv_heads, "total_sequence_length", self.size]
        if self.fused:
            query, key = self.join(query, self.heads), self.join(key, self.kv_heads)
            inputs = (query, key, value, *past, self.past, self.total, self.cos, self.sin)
            mixed = f"{name}mixed"
            self.nodes.append(
                helper.make_node(
                    "GroupQueryAttention", inputs, [mixed, *present], domain=_MICROSOFT, num_heads=self.heads,
                    kv_num_heads=self.kv_heads, do_rotary=1,
                )
            )  # fmt: skip
            self.outputs += [helper.make_tensor_value_info(output, self.type, shape) for output in present]
        else:
            query, key = (self.rotate(self.node("Transpose", part, perm=[0, 2, 1, 3])) for part in (query, key))
            value = self.node("Transpose", self.split(value, self.kv_heads), perm=[0, 2, 1, 3])
            whole = [self.node("Concat", *pair, axis=2) for pair in zip(past, (key, value), strict=True)]
            for output, given in zip(present, whole, strict=True):
                self.give(output, given, shape)
            group = self.heads // self.kv_heads
            query = self.node("Reshape", query, self.numbers([0, self.kv_heads, group, -1, self.size]))
            keys, values = (self.node("Unsqueeze", one, self.numbers([2])) for one in whole)
            scores = self.node("MatMul", query, self.node("Transpose", keys, perm=[0, 1, 2, 4, 3]))
            scores = self.node("Mul", scores, self.stored_as("scale", np.array(self.size**-0.5)))
            mixed = self.node("MatMul", self.node("Softmax", self.node("Add", scores, self.mask), axis=-1), values)
            mixed = self.node("Reshape", mixed, self.numbers([0, self.heads, -1, self.size]))
            mixed = self.join(self.node("Transpose", mixed, perm=[0, 2, 1, 3]), self.heads)
        return self.linear(mixed, name + "out_proj.weight")

    def rotate(self, flow: str) -> str:
        first, second = self.node("Split", flow, outputs=2, axis=3, num_outputs=2)
        cos, sin = self.turn
        left = self.node("Sub", self.node("Mul", first, cos), self.node("Mul", second, sin))
        right = self.node("Add", self.node("Mul", second, cos), self.node("Mul", first, sin))
        return self.node("Concat", left, right, axis=3)

    def split(self, flow: str, heads: int) -> str:
        return self.node("Reshape", flow, self.numbers([0, -1, heads, self.size]))

    def join(self, flow: str, heads: int) -> str:
        return self.node("Reshape", flow, self.numbers([0, -1, heads * self.size]))

    def norm(self, flow: str, name: str) -> str:
        weight = self.weight(name)
        return self.node("SimplifiedLayerNormalization", flow, weight, axis=-1, epsilon=self.config["norm_eps"])

    def embed(self, name: str) -> str:
        if not self.bits:
            return self.node("Gather", self.weight(name), "input_ids")
        blocks, scales, zeros = self.in_blocks(name)
        rows = self.node("Reshape", blocks, self.numbers(self.weights[name].shape))
        return self.node(
            "GatherBlockQuantized", rows, "input_ids", scales, zeros, domain=_MICROSOFT, bits=self.bits,
            block_size=_BLOCK, gather_axis=0, quantize_axis=1,
        )  # fmt: skip

    def linear(self, flow: str, name: str, stored: str = "") -> str:
        if not self.bits:
            return self.node("MatMul", flow, self.stored_as(stored or name, self.weights[name].T))
        wide, narrow = self.weights[name].shape
        return self.node(
            "MatMulNBits", flow, *self.in_blocks(name), domain=_MICROSOFT, K=narrow, N=wide, bits=self.bits,
            block_size=_BLOCK, accuracy_level=4,
        )  # fmt: skip

    def in_blocks(self, name: str) -> tuple[str, str, str]:
        """A weight in whole numbers from 0 to 255, with a scale and the number that stands for 0 of each block."""
        wide, narrow = self.weights[name].shape
        blocks = self.weights[name].reshape(wide, narrow // _BLOCK, _BLOCK)
        least, most = (getattr(blocks, bound)(axis=2, keepdims=True) for bound in ("min", "max"))
        scales = np.maximum((most - least) / 255, 1e-10)
        zeros = np.clip(np.round(-least / scales), 0, 255)
        values = np.clip(np.round(blocks / scales + zeros), 0, 255).astype(np.uint8)
        for end, array in (("quant", values), ("zp", zeros[..., 0].astype(np.uint8))):
            self.stored[f"{name}_{end}"] = numpy_helper.from_array(array, f"{name}_{end}")
        return f"{name}_quant", self.stored_as(f"{name}_scales", scales[..., 0]), f"{name}_zp"

    def weight(self, name: str) -> str:
        return self.stored_as(name, self.weights[name])

    def stored_as(self, name: str, values: np.ndarray) -> str:
        self.stored[name] = numpy_helper.from_array(np.ascontiguousarray(values).astype(self.dtype), name)
        return name

    def numbers(self, values: Any) -> str:
        array = np.asarray(values, np.int64)
        name = f"numbers {array.tolist()}"
        self.stored[name] = numpy_helper.from_array(array, name)
        return name

    def scalar(self, value: int) -> str:
        return self.numbers(np.array(value))

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{operator} {len(self.nodes)}.{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, names[0], **attributes))
        return names[0] if outputs == 1 else names

    def take(self, name: str, kind: int, shape: list[Any]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def give(self, name: str, flow: str, shape: list[Any]) -> None:
        self.nodes.append(helper.make_node("Identity", [flow], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, self.type, shape))
