"""What a model thinks after every token of a text: logits, computed by one of the runtimes, written to a file.

Runs as a program in a process of its own, see `child`. Runtimes are opened plainly here, with all their positions; the
rooms in `backends` ask for the last one only, and keep states that nobody needs for this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..backends.safetensors import read_json
from ..errors import BackendError
from . import child

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

#: A piece of text: token ids that are evaluated together, the first one with nothing before it.
Pieces = list[list[int]]


def _work(task: dict[str, Any], told: Callable[[float], None]) -> dict[str, Any]:
    """`runtime`, `path`, `pieces`, `out`, `dtype`, `adapter`; for llama.cpp also `text`, to cut it into tokens."""
    import numpy as np

    pieces: Pieces = task["pieces"]
    answer: dict[str, Any] = {}
    make = {"llama.cpp": _llama_cpp, "transformers": _transformers, "mlx": _mlx, "onnx": _onnx}[task["runtime"]]
    with Path(task["out"]).open("wb") as out:
        for number, logits in enumerate(make(task, pieces, answer)):
            answer["vocabulary"] = logits.shape[-1]
            _write(out, np.ascontiguousarray(logits, np.float32))
            told((number + 1) / len(pieces))
    return answer


def _write(out: IO[bytes], values: Array) -> None:
    out.write(values.tobytes())


def _llama_cpp(task: dict[str, Any], pieces: Pieces, answer: dict[str, Any]) -> Iterator[Array]:
    from .logits_llama_cpp import Evaluator

    with Evaluator(Path(task["path"]), max(map(len, pieces), default=1)) as model:
        answer["tokens"] = model.tokenize(task["text"])
        answer["computed_by"] = f"llama.cpp (llama-cpp-python {version('llama-cpp-python')})"
        for piece in pieces:
            yield model.logits(piece)


def _transformers(task: dict[str, Any], pieces: Pieces, answer: dict[str, Any]) -> Iterator[Array]:
    torch, transformers = import_module("torch"), import_module("transformers")
    from ..backends.adapter import Adapter

    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[task["dtype"]]
    model = transformers.AutoModelForCausalLM.from_pretrained(
        task["path"], dtype=dtype, trust_remote_code=False, use_safetensors=True
    ).eval()
    with torch.no_grad():
        if task["adapter"]:
            for name in (adapter := Adapter(Path(task["adapter"]))).deltas:
                weight = _parameter(model, name)
                weight.copy_(torch.from_numpy(adapter.merged(name, weight.float().numpy(), 0)))
        answer["computed_by"] = f"transformers {transformers.__version__} in {task['dtype']}"
        for piece in pieces:
            yield model(torch.tensor([piece])).logits[0].float().numpy()


def _parameter(model: Any, name: str) -> Any:
    """A weight by its published name. Newer versions of transformers keep all experts of a layer in two blocks."""
    expert = re.fullmatch(r"(.+\.experts)\.(\d+)\.w([123])\.weight", name)
    if expert is None or name in dict(model.named_parameters()):
        return model.get_parameter(name)
    block = model.get_parameter(f"{expert[1]}.{'down_proj' if expert[3] == '2' else 'gate_up_proj'}")[int(expert[2])]
    half = len(block) // 2
    return {"1": block[:half], "2": block, "3": block[half:]}[expert[3]]


def _mlx(task: dict[str, Any], pieces: Pieces, answer: dict[str, Any]) -> Iterator[Array]:
    import numpy as np

    from ..backends.mlx.library import library

    lib = library()
    model, _ = lib.models.load_model(Path(task["path"]), lazy=True, trust_remote_code=False)
    if lib.mx.default_device() == lib.mx.cpu:  # where bf16 is many times slower than f32
        model.set_dtype(lib.mx.float32)
    answer["computed_by"] = f"mlx-lm {version('mlx-lm')}"
    for piece in pieces:
        logits = model(lib.mx.array([piece]), cache=lib.caches.make_prompt_cache(model))[0]
        yield np.array(logits.astype(lib.mx.float32))


def _onnx(task: dict[str, Any], pieces: Pieces, answer: dict[str, Any]) -> Iterator[Array]:
    """The graph itself. It reads the last token of a piece alone, as it will be used, with the others in its caches."""
    import numpy as np

    runtime = import_module("onnxruntime")
    runtime.set_default_logger_severity(4)
    session = runtime.InferenceSession(str(Path(task["path"]) / "model.onnx"), providers=["CPUExecutionProvider"])
    kinds = {
        "tensor(float)": np.float32, "tensor(float16)": np.float16,
        "tensor(int64)": np.int64, "tensor(int32)": np.int32,
    }  # fmt: skip
    wanted = {one.name: (kinds.get(one.type), one.type, one.shape) for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]
    head_size = read_json(Path(task["path"]) / "genai_config.json")["model"]["decoder"]["head_size"]
    answer["computed_by"] = f"onnxruntime {runtime.__version__}"
    for piece in pieces:
        found: dict[str, Array] = {}
        rows = []
        for begin, end in ((0, len(piece) - 1), (len(piece) - 1, len(piece))):
            feeds = {}
            for name, (kind, said, sides) in wanted.items():
                if kind is None:
                    raise BackendError(f"the graph takes {name} as {said}, which is not known here")
                if name == "input_ids":
                    feeds[name] = np.array([piece[begin:end]], kind)
                elif name == "attention_mask":
                    feeds[name] = np.ones((1, end), kind)
                elif name == "position_ids":
                    feeds[name] = np.arange(begin, end, dtype=kind)[None]
                elif found:
                    feeds[name] = found[re.sub(r"^past(_key_values)?", "present", name)]
                else:  # a cache: one sequence, and nothing in what grows
                    known = {"batch_size": 1, "kv_cache_dim": head_size}
                    shape = [side if isinstance(side, int) else known.get(side, 0) for side in sides]
                    feeds[name] = np.zeros(shape, kind)
            if end > begin:
                found = dict(zip(names, session.run(names, feeds), strict=True))
                rows.append(found["logits"][0])
        if sum(map(len, rows)) != len(piece):
            raise BackendError("the graph gives the logits of the last token only, so it cannot be checked")
        yield np.concatenate(rows)


if __name__ == "__main__":
    child.serve(_work)
