"""The pieces that everything in a notebook is made of."""

from __future__ import annotations

import html

import pytest

from edgelfm.decision import ASKED, Decision
from edgelfm.markup import block, bundle, facts, grid, link, prose, readable, terminal
from tests.html_checks import HOSTILE, Page, look, plain


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_text_holds_stays_text(text: str) -> None:
    for made in (prose(text), block(text)):
        page = Page(made)
        assert page.seen <= {"pre", "br"}
        if text.isprintable():
            assert page.text == text


def test_line_breaks_and_indents_stay_also_without_style() -> None:
    made = prose("def f(x):\n    return x\n\tok")
    assert made == "def f(x):<br>&nbsp;&nbsp;&nbsp;&nbsp;return x<br>&nbsp;&nbsp;&nbsp;&nbsp;ok"
    assert html.unescape(block("a\n  <b>")) == "<pre>a\n  <b></pre>"


def test_words_of_every_script_stay_whole() -> None:
    family = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
    for text in (family, "می\u200cخواهم", "naïve – “quoted”", "日本語"):
        assert readable(text) == text
    assert readable("a\r\nb\u202ec\x1b[1m") == "a\nb\ufffdc\ufffd[1m"


def test_only_addresses_of_the_web_become_links() -> None:
    assert link("https://huggingface.co/x", "x").startswith('<a href="https://huggingface.co/x"')
    for bad in ("javascript:alert(1)", "data:text/html,x", "http://huggingface.co", 'https://a"onclick="b', "//evil"):
        assert link(bad, "<x>") == "&lt;x&gt;"


def test_a_style_sheet_travels_along_and_touches_nothing_else() -> None:
    page = bundle("text", "<p>x</p>")["text/html"]
    sheet = page.partition("<style>")[2].partition("</style>")[0]
    assert "@import" not in sheet
    assert len(sheet) < 6_000
    rules = [rule.partition("{")[0] for rule in sheet.replace("@media (max-width: 560px) {", "").split("}")]
    for selector in (one.strip() for rule in rules for one in rule.split(",") if one.strip()):
        assert selector.startswith(".elfm"), selector


def test_a_table_leaves_out_what_there_is_nothing_to_say_about() -> None:
    assert facts([("a", ""), ("b", "")]) == ""
    assert Page(facts([("a", ""), ("b", "two")])).text == "b two"
    assert Page(grid(("name", "size"), [("x", "1"), ("y", "2")], right=(1,))).text == "name size x 1 y 2"


def test_rich_tables_become_text_without_colour() -> None:
    from rich.text import Text

    assert terminal(Text("red", style="red")) == "red"


def test_a_decision_says_why_and_how_well_it_is_known() -> None:
    decision = Decision(4096, "suits 2 GiB <to spend>", "calibrated")
    assert look(decision).text == "4096 calibrated suits 2 GiB <to spend>"
    assert plain(decision) == "4096 (suits 2 GiB <to spend>)"
    assert "estimated" not in look(Decision(4096, ASKED)).text
