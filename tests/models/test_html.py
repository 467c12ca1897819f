"""A model and the catalogue in a notebook."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgelfm.models import catalog
from edgelfm.models.entry import License, ModelEntry
from tests.html_checks import HOSTILE, look, plain


@pytest.fixture(scope="module")
def flagship() -> ModelEntry:
    entry = catalog.load().find("lfm2.5-1.2b-instruct")
    assert entry is not None
    return entry


def test_a_model_says_what_it_is_for_and_under_which_licence(flagship: ModelEntry) -> None:
    page = look(flagship)
    for words in ("chat, agent, extract, rag, tools", "1.17B", "32768 tokens", "16, of which 6 keep keys and values"):
        assert words in page.text
    assert "LFM Open License v1.0" in page.text
    assert "less than US$10 million" in page.text, "the terms are told, not only linked"
    assert 'edgelfm.load("lfm2.5-1.2b-instruct")' in page.text
    assert "https://huggingface.co/LiquidAI/LFM2.5-1.2B-Instruct" in page.links
    assert flagship.license.url in page.links


def test_every_form_has_its_size_where_it_is_known(flagship: ModelEntry) -> None:
    text = look(flagship).text
    assert "15 forms to download" in text
    assert "llama.cpp Q4_0 664 MiB" in text or "llama.cpp Q4_0 661 MiB" in text


def test_all_models_can_be_shown() -> None:
    for entry in catalog.load():
        assert entry.name in look(entry).text
        assert entry.id in plain(entry)


def test_the_catalogue_lists_current_models_first() -> None:
    known = catalog.load()
    page = look(known)
    current, _, deprecated = page.text.rpartition("deprecated model weights")
    assert all(entry.id in (current if entry.status == "current" else deprecated) for entry in known)
    assert "take lfm2.5-1.2b-instruct" in deprecated
    assert plain(known).splitlines()[0].startswith("lfm2.5-1.2b-instruct")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_model_card_cannot_bring_markup(text: str, flagship: ModelEntry) -> None:
    foreign = replace(
        flagship,
        id=text,
        name=text,
        repo=f"{text}/{text}",
        notes=(text,),
        languages=(text,),
        license=License(text, text, text, text, False),
        artifacts=tuple(replace(one, repo=text, quantization=text) for one in flagship.artifacts[:2]),
    )
    assert not [url for url in look(foreign).links if "alert" in url or " " in url]
