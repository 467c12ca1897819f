"""The card is one file that needs nothing else, shows every figure, and says in words what its plots show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from edgelfm.bench.card import report_html
from edgelfm.bench.figures import Key, figures
from edgelfm.bench.plots import Bar, bars, shortened, sustained
from edgelfm.bench.report import BenchReport, Slice
from edgelfm.markup import escape, number, ticks
from tests import bench_reports
from tests.bench_reports import alone, crowd, example

REPORTS = {
    "example": example((512, 2048)),
    "alone": alone(),
    "troubled": bench_reports.troubled(),
    "empty": bench_reports.empty(),
    **{f"crowd of {number}": crowd(number) for number in range(2, 9)},
}


class Page(HTMLParser):
    """Elements with their attributes, the text outside the style sheet, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def plots_of(html: str) -> Iterator[ElementTree.Element]:
    for markup in re.findall(r'<svg role="img".*?</svg>(?=<details|<p)', html, re.DOTALL):
        yield ElementTree.fromstring(markup)


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_stands_alone(name: str) -> None:
    html = report_html(REPORTS[name])
    page = Page(html)
    assert not page.open
    assert html.startswith("<!doctype html>")
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "link", "iframe", "a", "object"})
    assert not re.search(r"url\(|@import|\son\w+=", html)
    policy = next(one for one in page.named("meta") if one.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("name", REPORTS)
def test_every_figure_is_in_words_and_in_a_table(name: str) -> None:
    page = Page(report_html(REPORTS[name]))
    for result in REPORTS[name].results:
        for figure in figures(result).values():
            assert figure.text in page.text
    shown = [one for one in page.named("svg") if one.get("role") == "img"]
    for plot in shown:
        first, second = (plot["aria-labelledby"] or "").split()
        assert {first, second} <= {attributes.get("id") for _, attributes in page.elements}
    assert len(page.named("table")) == len(shown) + any(figures(one) for one in REPORTS[name].results)


def test_who_what_where_and_how() -> None:
    text = Page(report_html(example())).text
    for said in (
        "SmolLM2-135M-Instruct Q4_1 on AMD EPYC 9R14, 2 cores, 23.54 GiB of memory",
        "Debian GNU/Linux 12 (bookworm), kernel 6.1.0-25-amd64, Python 3.11.7",
        "31.6 GB/s read bandwidth of main memory, measured in the same run",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0",
        "2026-11-24 09:30 UTC, 5 repetitions, runtimes taking turns, 3 min 48 s in all, by edgelfm 0.1.0",
        "edgelfm bench starter --peers --sustained 300",
        "llama-cpp-python 0.3.36 Q4_1 threads 1, flash attention off",
        "mlx-lm failed: mlx-lm is not installed. pip install 'edgelfm[mlx]'",
        "transformers * weights dequantized to bf16, so it reads 3 times the bytes",
        "Decode reaches 36 % of what memory bandwidth allows",
        "not measured: transformers, onnxruntime-genai",
    ):
        assert said in text, said
    subject = replace(bench_reports.STARTER, license="")
    unknown = replace(alone(), results=(replace(alone().results[0], subject=subject),))
    assert "Licence of the weights not recorded" in Page(report_html(unknown)).text


def test_the_conditions_stand_before_the_plots() -> None:
    text = Page(report_html(bench_reports.troubled())).text
    assert text.index("the processor was throttled before 1 of 5 repetitions") < text.index("tokens per second")


def test_every_sample_is_a_dot() -> None:
    html = report_html(example())
    wanted = [figure for result in example().results for figure in figures(result).values()]
    dots = sum(figure.samples.count for figure in wanted if figure.samples.count > 1)
    assert html.count('class="dot"') == dots


def drawn(report: BenchReport, key: Key, highest: float) -> ElementTree.Element:
    rows = [Bar(one.subject.name, figures(one)[key], "peer", False) for one in report.results if key in figures(one)]
    return ElementTree.fromstring(bars("x", "title", key, rows, highest))


def test_bars_are_as_long_as_their_figures() -> None:
    key = Key("decode", 100, 512)
    plot = drawn(example(), key, 140.0)
    widths = [float((one.get("width") or "").rstrip("%")) for one in plot.iter("rect")]
    medians = [figures(one)[key].samples.median for one in example().results if key in figures(one)]
    assert widths == pytest.approx([median / 150 * 100 for median in medians], abs=0.01)
    labels = [one.text for one in plot.iter("text") if one.get("class") == "tick"]
    assert labels == ["0", "50", "100", "150"]
    assert [one.text for one in plot.iter("text") if one.get("class") == "unit"] == ["tokens per second"]


def test_times_have_an_axis_in_the_unit_that_suits_them() -> None:
    plot = drawn(alone(), Key("first_token_warm", 32, 480), 0.05)
    assert [one.text for one in plot.iter("text") if one.get("class") == "tick"] == ["0", "20", "40", "60"]
    assert [one.text for one in plot.iter("text") if one.get("class") == "unit"] == ["milliseconds"]


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_drawn_outside_a_plot(name: str) -> None:
    for plot in plots_of(report_html(REPORTS[name])):
        height = float(plot.get("height") or 0)
        for one in plot.iter():
            for position in ("x", "x1", "x2", "cx"):
                value = one.get(position, "0")
                assert value == "500" or 0 <= float(value.rstrip("%")) <= 100
            for position in ("y", "y1", "y2"):
                assert -4 <= float(one.get(position, "0")) <= height


def test_throttled_slices_are_marked() -> None:
    plot = ElementTree.fromstring(sustained("x", "title", alone().results[0].sustained))
    bands = [one for one in plot.iter("rect") if one.get("class") == "band"]
    assert len(bands) == 11
    assert bands[0].get("x") == "63.33%"
    description = next(plot.iter("desc")).text or ""
    assert description.startswith("5 min 0 s long, from 12")
    assert description.endswith("at most 84 °C, throttled from 3 min 10 s on")


@pytest.mark.parametrize("number_of", [1, 2])
def test_a_sustained_run_of_one_slice_or_without_sensors(number_of: int) -> None:
    slices = tuple(Slice(5.0 * place, 5.0, 600, None, None, None) for place in range(number_of))
    plot = ElementTree.fromstring(sustained("x", "title", slices))
    assert "°C" not in "".join(plot.itertext())
    assert not list(plot.iter("rect"))
    assert "seconds" in [one.text for one in plot.iter("text")]


HOSTILE = "</title></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x00"


def test_text_from_the_report_is_never_markup() -> None:
    whole = example()
    subject = replace(
        whole.results[0].subject, name=HOSTILE, version=HOSTILE, model=HOSTILE, quantization=HOSTILE, sha256=HOSTILE,
        settings=((HOSTILE, HOSTILE),), note=HOSTILE, license=HOSTILE,
    )  # fmt: skip
    host = replace(
        whole.host, cpu=replace(whole.host.cpu, model=HOSTILE), os=replace(whole.host.os, distribution=HOSTILE)
    )
    first = replace(whole.results[0], subject=subject, failure=f"{HOSTILE}\n  hint: {HOSTILE}")
    html = report_html(
        replace(
            whole,
            edgelfm=HOSTILE,
            started_at=HOSTILE,
            command=HOSTILE,
            host=host,
            notes=(HOSTILE,),
            results=(first, *whole.results[1:]),
        )
    )
    page = Page(html)
    assert not page.open
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img"})
    assert "\u202e" not in html
    assert "\x00" not in html
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]


def test_escaping() -> None:
    assert escape("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#x27;"
    assert escape("one\ntwo\u202ethree") == "one two\ufffdthree"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0, 889, [0, 250, 500, 750, 1000]),
        (0, 140, [0, 50, 100, 150]),
        (0, 0.05, [0, 0.02, 0.04, 0.06]),
        (0, 1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (48, 84, [40, 50, 60, 70, 80, 90]),
        (0, 0, [0, 1]),
        (5, 5, [5, 6]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, said: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(said)


def test_numbers_in_markup_are_short_and_plain() -> None:
    assert [number(one) for one in (12.0, 0.5, 1e-9, 123456.789)] == ["12", "0.5", "0", "123456.79"]


def test_long_names_lose_their_middle() -> None:
    name = "llama.cpp with flash attention and a q8_0 cache"
    assert shortened(name) == "llama.cpp with … d a q8_0 cache"
    assert shortened("transformers") == "transformers"
    assert max(len(shortened("x" * length)) for length in range(80)) <= 31


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_and_bars_stand_out_in_light_and_dark() -> None:
    """The ratios that WCAG 2.2 asks for: 4.5 for text, 3 for what must be seen in a plot."""
    palettes = re.findall(r":root \{(.*?)\}", report_html(alone()), re.DOTALL)[:2]
    assert len(palettes) == 2
    for palette in palettes:
        colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", palette))
        for text, back in (("text", "page"), ("text", "panel"), ("soft", "page"), ("soft", "panel"), ("warn", "band")):
            assert contrast(colour[text], colour[back]) >= 4.5, (text, back)
        for mark in ("ours", "care-edge", "heat", "whisker", "soft"):
            assert contrast(colour[mark], colour["panel"]) >= 3, mark
