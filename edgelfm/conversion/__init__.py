"""From a fine-tune to what this machine runs best: Hugging Face folders to GGUF, MLX and ONNX, checked.

    made = edgelfm.convert("my-fine-tune", adapter="my-lora")     # a Conversion: files, hashes, how well they agree
    edgelfm.load(made.path)

`source` reads and judges the folder, `weights` and `adapter` give its tensors, `naming`, `header`, `tokenizer`,
`cutting` and `gguf_file` write GGUF, `calibrating` sees which inputs matter most, `quantizing` has llama.cpp shrink it,
`merged` and `builders` serve the other formats, `checking` compares what came out with what went in. How a model is run
is others' business.
"""

from __future__ import annotations

from .convert import convert
from .report import Agreement, Conversion, Converted

__all__ = ["Agreement", "Conversion", "Converted", "convert"]
