"""Does one model answer alike in every runtime? The starter's GGUF in llama.cpp, and its weights widened in the others.

llama.cpp computes with the 4-bit weights of the file and rounds activations to 8 bits on the way. transformers and ONNX
Runtime get the same weights widened to bf16; the one computes in bf16 or f32, as `load()` decides, the other in f32.
Twenty questions are answered greedily in each. Told are how many answers are the same to the last token, for how many
tokens they stay together, and, along llama.cpp's own answers, how often the likeliest next token is the same. Needs:
pip install 'edgelfm[starter,peers]'. Takes some five minutes.

    python scripts/compare_starter.py [--tokens 24] [--shapes FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).parent))

from bench_backends import built, starter_file, widened
from make_shapes import shapes_folder

import edgelfm
from edgelfm.model import Model
from edgelfm.models.entry import Sampling

QUESTIONS = (
    "Why is the sky blue?", "What is the capital of France?", "Name three fruits.", "What is 2 + 2?",
    "Who wrote Romeo and Juliet?", "What do bees make?", "Translate 'good morning' into Spanish.",
    "What is the largest planet?", "How many days are in a week?", "What is water made of?",
    "Write a sentence about the sea.", "What is the opposite of hot?", "Give a synonym of happy.",
    "What is photosynthesis?", "Which animal says meow?", "What language is spoken in Brazil?",
    "What is the boiling point of water?", "Name a primary colour.", "What is a noun?", "Where does the sun rise?",
)  # fmt: skip


def answer(lfm: Model, prompt: list[int], tokens: int) -> list[int]:
    """The likeliest tokens."""
    return [token for event in lfm._session.generate(prompt, Sampling(), max_tokens=tokens) for token in event.ids]


def likeliest(lfm: Model, prompt: list[int]) -> int:
    (found,) = [
        one
        for event in lfm._session.generate(prompt, Sampling(temperature=0.0), max_tokens=1, logprobs=1)
        for one in event.logprobs
    ] or [None]
    return found.top[0][0] if found is not None else -1  # -1: it would end here


def together(left: list[int], right: list[int]) -> int:
    """Tokens until the first that differs."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--shapes", type=Path, default=shapes_folder(), help="where the weights are kept")
    arguments = parser.parse_args()
    source = starter_file()
    folder = widened(source, arguments.shapes / "SmolLM2-135M-bf16")
    graph = built(folder, arguments.shapes / "SmolLM2-135M-genai-fp32", "fp32")
    given = {"context": 1024, "tune": False, "progress": False}
    with edgelfm.load(source, **given) as shipped:
        prompts = [shipped._engine.prompt([edgelfm.Message("user", one)]).ids for one in QUESTIONS]  # type: ignore[attr-defined]
        answers = [answer(shipped, prompt, arguments.tokens) for prompt in prompts]
        again = [answer(shipped, prompt, arguments.tokens) for prompt in prompts]
        assert again == answers
    print(f"{'llama.cpp, Q4_1 as shipped, against':40} same answer  together  same next token")
    for name, path, backend in (
        ("transformers, widened", folder, "transformers"),
        ("onnx fp32, widened", graph, "onnx"),
    ):
        with edgelfm.load(path, backend=backend, **given) as other:
            own = [answer(other, prompt, arguments.tokens) for prompt in prompts]
            places = [
                likeliest(other, [*prompt, *said[:i]]) == said[i]
                for prompt, said in zip(prompts, answers, strict=True)
                for i in range(0, len(said), 2)
            ]
        same = sum(a == b for a, b in zip(own, answers, strict=True))
        shared = mean(together(a, b) for a, b in zip(own, answers, strict=True))
        print(f"{name:40} {same:5} of {len(prompts)}  {shared:5.1f} of {arguments.tokens}  {mean(places):14.1%}")


if __name__ == "__main__":
    main()
