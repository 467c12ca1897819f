"""The same text gives the same tokens in llama.cpp, or the tokenizer is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelfm.conversion.logits_llama_cpp import Evaluator
from edgelfm.conversion.sample import SAMPLE
from edgelfm.conversion.source import read_source
from edgelfm.conversion.tokenizer import Tokenizer, read_tokenizer
from edgelfm.errors import ModelFileError
from tests.conversion.conftest import write_gguf_of

TEXTS = (SAMPLE, "  two  spaces\n\n\ttab 1234567 we'll\r\n", "naïve façade 日本語 \U0001f600", "")


def _read(folder: Path) -> Tokenizer:
    source = read_source(folder)
    return read_tokenizer(folder, source.config, source.net.name, source.net.vocabulary)


def _change(folder: Path, change: Callable[[dict[str, Any]], Any], name: str = "tokenizer.json") -> None:
    path = folder / name
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_the_tiny_model_is_read_as_its_gguf_says(tiny_source: Path) -> None:
    read = _read(tiny_source)
    assert (read.pre, len(read.tokens), read.types[7], read.types[100]) == ("lfm2", 512, 3, 1)
    assert read.special == {"bos": 1, "eos": 7, "pad": 0}
    assert "<|im_start|>" in (read.chat_template or "")


def test_texts_are_cut_alike(tiny_source: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="to run: pip install tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(tiny_source / "tokenizer.json"))
    with Evaluator(write_gguf_of(tiny_source, tmp_path / "tiny.gguf"), 8) as ours:
        for text in TEXTS:
            assert ours.tokenize(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("cut", "name"),
    [
        ([{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}], "smollm"),
        ([{"type": "ByteLevel", "add_prefix_space": False}], "gpt-2"),
    ],
)
def test_ways_to_cut_are_known_by_what_they_do(tiny_copy: Path, cut: list[Any], name: str) -> None:
    _change(tiny_copy, lambda one: one.update(pre_tokenizer={"type": "Sequence", "pretokenizers": cut}))
    assert _read(tiny_copy).pre == name


def test_a_rule_in_another_spelling_is_known_by_what_it_does(tiny_copy: Path) -> None:
    pytest.importorskip("tokenizers", reason="to run: pip install tokenizers")
    rule = r"(?i:'(?:[sdmt]|ll|ve|re))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    rule += r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for spelled, name in ((rule, "lfm2"), (rule.replace("{1,3}", ""), "qwen2"), (rule.replace("{1,3}", "{1,2}"), None)):
        _change(
            tiny_copy, lambda one, new=spelled: one["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=new)
        )
        if name is None:
            with pytest.raises(ModelFileError, match="cuts text"):
                _read(tiny_copy)
        else:
            assert _read(tiny_copy).pre == name


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\s+|\S+"),
        lambda one: one.update(pre_tokenizer={"type": "Metaspace"}),
        lambda one: one.update(normalizer={"type": "Lowercase"}),
        lambda one: one["model"].update(type="Unigram"),
        lambda one: one.update(decoder={"type": "Metaspace"}),
        lambda one: one["model"]["vocab"].update({"beyond": 512}),
    ],
)
def test_what_has_no_name_is_refused(tiny_copy: Path, change: Callable) -> None:
    _change(tiny_copy, change)
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        _read(tiny_copy)


def test_a_folder_without_a_tokenizer_is_told_how_one_comes_there(tiny_copy: Path) -> None:
    (tiny_copy / "tokenizer.json").unlink()
    with pytest.raises(ModelFileError, match=r"no tokenizer\.json") as caught:
        _read(tiny_copy)
    assert "tokenizer.save_pretrained" in caught.value.hint


def test_of_several_templates_the_default_one_is_taken(tiny_copy: Path) -> None:
    (tiny_copy / "chat_template.jinja").unlink()
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    for templates, wanted in ((named, "plain"), ([1, {}], None)):
        _change(tiny_copy, lambda one, new=templates: one.update(chat_template=new), "tokenizer_config.json")
        assert _read(tiny_copy).chat_template == wanted


def test_a_sentencepiece_tokenizer_is_refused_by_name(tiny_copy: Path) -> None:
    (tiny_copy / "tokenizer.json").rename(tiny_copy / "tokenizer.model")
    with pytest.raises(ModelFileError, match="SentencePiece"):
        _read(tiny_copy)


def test_embeddings_without_a_word_are_filled_up(tiny_copy: Path) -> None:
    _change(
        tiny_copy, lambda one: one["model"]["vocab"].pop(next(t for t, i in one["model"]["vocab"].items() if i == 511))
    )
    read = _read(tiny_copy)
    assert (read.tokens[511], read.types[511]) == ("[PAD511]", 5)


@pytest.mark.parametrize(("word", "kind"), [("<think>", 4), ("<|tool_list_start|>", 3)])
def test_added_words_that_are_not_special_stay_text_unless_written_as_markers(
    tiny_copy: Path, word: str, kind: int
) -> None:
    """As llama.cpp's own converter has it."""
    _change(tiny_copy, lambda one: one["added_tokens"][8].update(special=False, content=word))
    assert _read(tiny_copy).types[8] == kind


def test_a_second_end_is_that_of_a_turn(tiny_copy: Path) -> None:
    (tiny_copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 2]}))
    assert _read(tiny_copy).special == {"bos": 1, "eos": 7, "pad": 0, "eot": 2}


@pytest.mark.parametrize(("first", "adds"), [("<|startoftext|>", True), (None, False)])
def test_whether_a_text_begins_with_bos_is_what_the_post_processor_does(
    tiny_copy: Path, first: str | None, adds: bool
) -> None:
    single: list[Any] = [{"Sequence": {"id": "A", "type_id": 0}}]
    if first:
        single.insert(0, {"SpecialToken": {"id": first, "type_id": 0}})
    _change(tiny_copy, lambda one: one.update(post_processor={"type": "TemplateProcessing", "single": single}))
    assert _read(tiny_copy).adds_bos is adds
