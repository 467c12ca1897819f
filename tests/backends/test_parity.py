"""One network in every runtime: the choice between them changes speed and memory, not answers.

The tiny LFM2 with its weights in 32 bits, and a llama of the same size. transformers, whose code its makers keep, is
what the others are held against. llama.cpp keeps keys and values in 16 bits, so its tolerance is wider.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgelfm.backends.base import Session
from edgelfm.models.entry import Sampling
from tests.backends.conftest import settings

NEEDED = ("torch", "transformers", "onnx", "onnxruntime", "onnxruntime_genai", "onnx_ir", "mlx_lm", "gguf")
pytestmark = pytest.mark.skipif(
    any(find_spec(module) is None for module in NEEDED), reason="needs: pip install 'edgelfm[peers,convert]' onnx"
)

REFERENCE = "transformers"
LFM2 = ("transformers", "llama.cpp", "mlx", "onnx, published", "onnx, plain", "onnx, genai")
LLAMA = ("transformers", "llama.cpp", "mlx", "onnx, genai")
#: How far the logarithms of the 20 likeliest words may be from those of transformers.
TOLERANCE = {"llama.cpp": 5e-3, "mlx": 1e-4, "onnx, published": 1e-4, "onnx, plain": 1e-4, "onnx, genai": 1e-4}
WORDS = 512
TEXTS = ("The tall oak", "a", "1234 + 5678 =", "日本語のテスト 🙂", "def f(x):\n    return x\n" * 6)
GREEDY = Sampling()
#: Keeps the words that end a reply from being sampled, which are not reported. It changes no probability that is.
NO_END = dict.fromkeys(range(20), -1e9)

Sessions = dict[str, Session]


def _open(name: str, folder: Path, made: Path) -> Session:
    """A session on the network of `folder`; `made` is where its other forms are written."""
    given = settings(context=1024, micro_batch=64)
    if name == "transformers":
        from edgelfm.backends.transformers.loading import load as load_torch
        from edgelfm.backends.transformers.session import TransformersSession

        return TransformersSession(load_torch(folder), given)
    if name == "mlx":
        from edgelfm.backends.mlx.loading import load as load_mlx
        from edgelfm.backends.mlx.session import MlxSession

        return MlxSession(load_mlx(folder), given)
    if name == "llama.cpp":
        from edgelfm.backends.llama_cpp.loading import load as load_llama
        from edgelfm.backends.llama_cpp.session import LlamaSession

        return LlamaSession(load_llama(_converted(folder, "gguf", "F32", made), given))
    from edgelfm.backends.onnx.loading import load as load_graph
    from edgelfm.backends.onnx.session import OnnxSession
    from tests.onnx_export import write_published_onnx

    if name == "onnx, genai":
        return OnnxSession(load_graph(_converted(folder, "onnx", "fp32", made), given))
    attention = "plain" if name == "onnx, plain" else "fused"
    return OnnxSession(load_graph(write_published_onnx(folder, made / attention, attention=attention), given))


def _converted(folder: Path, to: str, quantization: str, made: Path) -> Path:
    import edgelfm

    out = made / f"{to}-{quantization}{'.gguf' if to == 'gguf' else ''}"
    if not out.exists():
        edgelfm.convert(folder, to, quantization=quantization, out=out, progress=False)
    return out


@contextlib.contextmanager
def _opened(names: Sequence[str], folder: Path, made: Path) -> Iterator[Sessions]:
    with contextlib.ExitStack() as stack:
        sessions = {}
        for name in names:
            sessions[name] = _open(name, folder, made)
            stack.callback(sessions[name].close)
        yield sessions


@pytest.fixture(scope="module")
def lfm2(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    with _opened(LFM2, tiny_folder, tmp_path_factory.mktemp("lfm2")) as sessions:
        yield sessions


@pytest.fixture(scope="module")
def llama(tiny_llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    with _opened(LLAMA, tiny_llama_folder, tmp_path_factory.mktemp("llama")) as sessions:
        yield sessions


@pytest.fixture(params=["lfm2", "llama"])
def family(request: pytest.FixtureRequest) -> Sessions:
    """Each network in turn, in all its runtimes."""
    found: Sessions = request.getfixturevalue(request.param)
    return found


def ids(session: Session, text: str) -> list[int]:
    return session.tokenize("<|startoftext|>" + text)


def run(session: Session, prompt: Sequence[int], sampling: Sampling = GREEDY, **more: object) -> tuple[list[int], str]:
    """Tokens and text of a reply of 64 tokens, by default the likeliest."""
    events = list(session.generate(prompt, sampling, **{"max_tokens": 64, **more}))  # type: ignore[arg-type]
    return [token for event in events for token in event.ids], "".join(event.text for event in events)


def row(session: Session, prompt: Sequence[int]) -> np.ndarray:
    """Logarithms of the probability of every word after `prompt`."""
    events = session.generate(prompt, GREEDY, max_tokens=1, logprobs=WORDS, logit_bias=NO_END)
    (found,) = (one for event in events for one in event.logprobs)
    values = np.full(WORDS, -np.inf)
    for token, _, logprob in found.top:
        values[token] = logprob
    return values


def test_the_same_words_from_the_same_text(family: Sessions) -> None:
    for text in TEXTS:
        assert len({tuple(ids(session, text)) for session in family.values()}) == 1, text


@pytest.mark.parametrize("text", TEXTS)
def test_every_word_is_as_likely(family: Sessions, text: str) -> None:
    prompt = ids(family[REFERENCE], text)
    expected = row(family[REFERENCE], prompt)
    likeliest = np.argsort(-expected)[:20]
    for name, session in family.items():
        found = row(session, prompt)
        assert found[likeliest] == pytest.approx(expected[likeliest], abs=TOLERANCE.get(name, 1e-9)), name


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_64_tokens_and_the_same_text(family: Sessions, text: str) -> None:
    prompt = ids(family[REFERENCE], text)
    expected = run(family[REFERENCE], prompt)
    assert len(expected[0]) == 64 or expected[1]
    for name, session in family.items():
        assert run(session, prompt) == expected, name


def test_several_turns_evaluate_only_what_is_new(family: Sessions) -> None:
    first = ids(family[REFERENCE], "What grows here?<|im_end|>\n")
    answer, _ = run(family[REFERENCE], first)
    second = [*first, *answer, *family[REFERENCE].tokenize("<|im_end|>\nAnd in winter?")]
    expected = run(family[REFERENCE], second)
    for name, session in family.items():
        assert run(session, first)[0] == answer, name
        events = list(session.generate(second, GREEDY, max_tokens=64))
        assert [token for event in events for token in event.ids] == expected[0], name
        assert events[-1].timings is not None
        assert events[-1].timings.cached_tokens >= len(first) + len(answer) - 1, name


def test_going_back_and_on_again_is_a_fresh_run(family: Sessions) -> None:
    """Edits at random places of one conversation: every runtime says what transformers says of it unprepared."""
    generator = random.Random(4)
    history = ids(family[REFERENCE], "Once upon a time")
    for _ in range(6):
        history = history[: generator.randrange(1, len(history) + 1)]
        history += [generator.randrange(20, WORDS) for _ in range(generator.randrange(1, 90))]
        family[REFERENCE].forget()
        expected = run(family[REFERENCE], history, max_tokens=16)
        for name, session in family.items():
            assert run(session, history, max_tokens=16) == expected, name


@pytest.mark.parametrize("name", LFM2)
def test_a_state_that_was_put_away_goes_on_as_before(lfm2: Sessions, name: str) -> None:
    session, prompt = lfm2[name], ids(lfm2[name], "A long way to go. " * 12)
    expected = run(session, prompt)
    state = session.export_state(prompt)
    assert state is not None
    session.forget()
    session.import_state(state)
    events = list(session.generate([*prompt, 40], GREEDY, max_tokens=1))
    assert events[-1].timings is not None
    assert events[-1].timings.cached_tokens >= len(prompt) - 1
    assert run(session, prompt) == expected


@pytest.mark.parametrize("length", [1, 2, 3])
def test_stop_strings_end_replies_at_the_same_character(family: Sessions, length: int) -> None:
    prompt = ids(family[REFERENCE], "The tall oak")
    _, text = run(family[REFERENCE], prompt)
    stop = text[len(text) // 2 :][:length]
    ended = {name: run(session, prompt, stop=[stop])[1] for name, session in family.items()}
    assert set(ended.values()) == {text[: text.index(stop)]}


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.8),
        Sampling(temperature=0.3, min_p=0.15, repetition_penalty=1.05),
        Sampling(temperature=1.2, top_k=40, top_p=0.9, repetition_penalty=1.2),
    ],
)
def test_one_seed_draws_the_same_where_sampling_is_ours(lfm2: Sessions, sampling: Sampling) -> None:
    ours = [name for name in LFM2 if name == "transformers" or name.startswith("onnx")]
    prompt = ids(lfm2[REFERENCE], "The tall oak")
    drawn = {tuple(run(lfm2[name], prompt, sampling, seed=11)[0]) for name in ours}
    assert len(drawn) == 1
    assert drawn != {tuple(run(lfm2[REFERENCE], prompt, sampling, seed=12)[0])}


#: Mean KL divergence from the network in 32 bits over the places of a text, in nats: about twice what was measured.
ROUNDED = {
    ("transformers", "bf16"): 5e-4,
    ("gguf", "BF16"): 3e-4,
    ("gguf", "Q8_0"): 2e-3,
    ("gguf", "Q4_K_M"): 5e-2,
    ("gguf", "Q4_0"): 1.5e-1,
    ("mlx", "8bit"): 5e-3,
    ("mlx", "4bit"): 2.5e-1,
    ("onnx", "int4"): 2e-1,
    ("published", "fp16"): 1e-5,
    ("published", "q8"): 3e-3,
    ("published", "quantized"): 6e-3,
}
PLACES = 32


@pytest.mark.parametrize(("kind", "quantization"), ROUNDED)
def test_rounded_weights_are_as_near_as_their_bits_allow(
    lfm2: Sessions, tiny_folder: Path, tmp_path: Path, kind: str, quantization: str
) -> None:
    prompt = ids(lfm2[REFERENCE], "It was a bright cold day in April, and the clocks were striking thirteen. ")[
        : PLACES + 1
    ]
    with contextlib.closing(_rounded(kind, quantization, tiny_folder, tmp_path)) as session:
        divergence = [_kl(row(lfm2[REFERENCE], prompt[:i]), row(session, prompt[:i])) for i in range(1, PLACES + 1)]
    assert 0 < np.mean(divergence) < ROUNDED[kind, quantization]


def _rounded(kind: str, quantization: str, folder: Path, made: Path) -> Session:
    given = settings(context=1024, micro_batch=64)
    if kind == "transformers":
        from edgelfm.backends.transformers.loading import load as load_torch
        from edgelfm.backends.transformers.session import TransformersSession

        return TransformersSession(load_torch(folder, dtype=quantization), given)
    if kind == "published":
        path = _published(folder, quantization, made)
    else:
        path = _converted(folder, kind, quantization, made)
    if kind == "gguf":
        from edgelfm.backends.llama_cpp.loading import load as load_llama
        from edgelfm.backends.llama_cpp.session import LlamaSession

        return LlamaSession(load_llama(path, given))
    if kind == "mlx":
        from edgelfm.backends.mlx.loading import load as load_mlx
        from edgelfm.backends.mlx.session import MlxSession

        return MlxSession(load_mlx(path), given)
    from edgelfm.backends.onnx.loading import load as load_graph
    from edgelfm.backends.onnx.session import OnnxSession

    return OnnxSession(load_graph(path, given))


def _published(folder: Path, quantization: str, made: Path) -> Path:
    """A graph as repositories have it: `model_q8` is Liquid AI's, `model_quantized` what transformers.js makes."""
    from tests.onnx_export import quantize_dynamically, write_published_onnx

    name = f"model_{quantization}.onnx"
    if quantization == "quantized":
        whole = write_published_onnx(folder, made)
        return quantize_dynamically(whole, whole.with_name(name))
    if quantization == "q8":
        return write_published_onnx(folder, made, bits=8, name=name)
    return write_published_onnx(folder, made, dtype="float16", name=name)


def _kl(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sum(np.exp(one) * (one - other)))
