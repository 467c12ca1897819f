"""A report as one page of HTML that needs nothing else: no script, no font, no picture from elsewhere.

Plots come from `plots`, the look from `card.css`, which is copied into the page. A content security policy in the page
keeps it so even if a name in the report should hold markup that slipped through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..markup import element, escape
from ..units import format_bytes, format_seconds
from . import plots, remarks
from .figures import Figure, Key, best, figures, keys, write
from .report import BenchReport, Result

_SECTIONS = (
    ("Speed", ("prefill", "decode", "sustained")),
    ("Time to first token", ("first_token_cold", "first_token_warm", "first_token_after_edit")),
    ("Load, memory and energy", ("load", "memory", "energy")),
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report_html(report: BenchReport) -> str:
    """The whole page. Everything that comes from the report is escaped."""
    title = f"{remarks.weights(report)} on {remarks.machine(report.host)}"
    style = Path(__file__).with_name("card.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8"/>'
        + f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>'
        + '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        + element("title", escape(title))
        + f"<style>\n{style}</style>"
    )
    body = element("main", "\n".join(_body(report)))
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _body(report: BenchReport) -> Iterator[str]:
    yield _header(report)
    yield from _tiles(report)
    yield from _care(report)
    for title, kinds in _SECTIONS:
        panels = [_panel(report, key) for key in keys(report) if key.kind in kinds]
        if panels:
            yield _section(title, panels)
    runs = [
        _run(place, result)
        for place, result in enumerate(report.results)
        if any(one.seconds > 0 for one in result.sustained)
    ]
    if runs:
        yield _section("Sustained", runs)
    yield element("section", element("h2", "How it was measured") + _method(report))
    yield element("footer", escape(f"Made by edgelfm {report.edgelfm}. This page needs no network and runs no script."))


def _header(report: BenchReport) -> str:
    return element(
        "header",
        element("p", f"edgelfm bench · {escape(remarks.date(report))}", class_="kicker")
        + element("h1", escape(remarks.weights(report)))
        + element("p", f"on {escape(remarks.machine(report.host))}", class_="machine"),
    )


def _tiles(report: BenchReport) -> Iterator[str]:
    """The figures people ask for first, of the first subject that has any."""
    result = next((one for one in report.results if figures(one)), None)
    if result is None:
        return
    tiles, seen = [], set()
    for key, figure in figures(result).items():
        if key.kind in ("load", "energy", "sustained") or key.kind in seen:
            continue
        seen.add(key.kind)
        unit = " tokens/s" if key.unit == "tokens/s" else ""
        tiles.append(_tile(write(figure.samples.median, key.unit) + unit, key.name, key.detail))
    yield element("p", escape(remarks.title(result.subject)), class_="tiles-name")
    yield element("div", "".join(tiles), class_="tiles")
    share = next((text for one, text in remarks.shares(report) if one is result), "")
    if share:
        rest = f" ({remarks.bandwidth(report)})" if report.bandwidth_bytes_per_second else ""
        yield element("p", f"Decode reaches <b>{escape(share)}</b>{escape(rest)}.", class_="share")


def _tile(value: str, name: str, detail: str) -> str:
    figure, _, unit = value.partition(" ")
    small = element("small", escape(f" {unit}")) if unit else ""
    shown = element("dd", escape(figure) + small) + element("dt", escape(name) + element("small", escape(detail)))
    return element("dl", shown, class_="tile")


def _care(report: BenchReport) -> Iterator[str]:
    """What must be known before the plots are read."""
    items = [element("li", escape(line)) for line in (*remarks.conditions(report), *remarks.leftovers(report))]
    items += [element("li", f"<b>{escape(name)} *</b> {escape(note)}") for name, note in remarks.not_comparable(report)]
    for failure in remarks.failures(report):
        fix = f" {element('code', escape(failure.fix))}" if failure.fix else ""
        items.append(element("li", f"<b>{escape(failure.name)}</b> failed: {escape(failure.reason)}.{fix}"))
    if items:
        heading = element("h2", "Read with care")
        yield element("section", heading + element("ul", "".join(items)), class_="care-list")


def _section(title: str, panels: Sequence[str]) -> str:
    columns = 3 if len(panels) in (3, 5, 6) or len(panels) > 8 else min(2, len(panels))
    grid = element("div", "".join(panels), class_=f"panels of-{columns}")
    return element("section", element("h2", escape(title)) + grid)


def _panel(report: BenchReport, key: Key) -> str:
    """One figure of all subjects that have it: the plot, and everything in it as a table."""
    held = [(result, figures(result).get(key)) for result in report.results]
    present = [(result, figure) for result, figure in held if figure is not None]
    leaders = best([figure for _, figure in present])
    rows = [
        plots.Bar(_starred(result), figure, _look(report, result), place in leaders)
        for place, (result, figure) in enumerate(present)
    ]
    better = "higher is better" if key.higher_is_better else "lower is better"
    identity = f"plot-{key.kind}-{key.tokens}-{key.depth}".replace("_", "-")
    title = f"{key.label[:1].upper()}{key.label[1:]}, {better}"
    plot = plots.bars(identity, title, key, rows, _highest(report, key))
    without = [result.subject.name for result, figure in held if figure is None and figures(result)]
    if without:
        plot += element("p", escape(f"not measured: {', '.join(without)}"), class_="without")
    name, detail = key.name[:1].upper() + key.name[1:], " · ".join(filter(None, (key.detail, better)))
    return _figure(name, detail, plot, _table(key, present))


def _highest(report: BenchReport, key: Key) -> float:
    """Speeds of one kind share their axis, so that depths can be compared by eye; other figures have their own."""
    alike = [
        figure
        for result in report.results
        for other, figure in figures(result).items()
        if other == key or (other.kind == key.kind and key.higher_is_better)
    ]
    return plots.top(alike)


def _figure(name: str, detail: str, plot: str, table: str) -> str:
    caption = element("figcaption", element("h3", escape(name)) + element("p", escape(detail)))
    more = element("details", "<summary>All figures</summary>" + element("div", table, class_="scroll", tabindex="0"))
    return element("figure", caption + plot + more)


def _look(report: BenchReport, result: Result) -> str:
    if result.subject.note:
        return "care"
    return "ours" if result.subject.name == "edgelfm" or len(report.results) == 1 else "peer"


def _starred(result: Result) -> str:
    return f"{result.subject.name} *" if result.subject.note else result.subject.name


def _table(key: Key, present: Sequence[tuple[Result, Figure]]) -> str:
    unit = f", {key.unit}" if key.unit == "tokens/s" else ""
    header = ("runtime", f"median{unit}", "mean", "deviation", "lowest", "highest", "every repetition")
    lines = []
    for result, figure in present:
        samples = figure.samples
        spread = samples.deviation
        values = (samples.median, samples.mean, spread, samples.low, samples.high)
        cells = [write(value, key.unit) if value is not None else "–" for value in values]
        lines.append([_starred(result), *cells, "  ".join(write(value, key.unit) for value in samples.values)])
    return _grid(header, lines)


def _run(place: int, result: Result) -> str:
    """The sustained run of one subject."""
    name = result.subject.name
    plot = plots.sustained(f"sustained-{place}", f"Sustained decode of {name}", result.sustained)
    header = ("from", "tokens/s", "temperature", "clock", "throttled")
    lines = [
        [
            format_seconds(one.at_seconds),
            write(one.tokens / one.seconds, "tokens/s"),
            f"{one.celsius:.0f} °C" if one.celsius is not None else "–",
            f"{one.megahertz:,.0f} MHz" if one.megahertz is not None else "–",
            {True: "yes", False: "no", None: "–"}[one.throttled],
        ]
        for one in result.sustained
        if one.seconds > 0
    ]
    return _figure(name, "decode, slice after slice", plot, _grid(header, lines))


def _grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table whose first column names the line."""
    head = element("tr", "".join(element("th", escape(name), scope="col") for name in header))
    rows = [
        element("tr", element("th", escape(first), scope="row") + "".join(element("td", escape(one)) for one in rest))
        for first, *rest in lines
    ]
    return element("table", element("thead", head) + element("tbody", "".join(rows)))


def _method(report: BenchReport) -> str:
    first = remarks.reference(report)
    facts = [
        ("Machine", remarks.machine(report.host)),
        ("System", remarks.system(report.host)),
        ("Memory", remarks.bandwidth(report)),
        ("Model", remarks.weights(report)),
        ("File", format_bytes(first.file_bytes) if first and first.file_bytes is not None else ""),
        ("SHA-256", first.sha256 if first else ""),
        ("Licence of the weights", "; ".join(remarks.licenses(report)) or "not recorded"),
        ("Measured", f"{remarks.date(report)}, {remarks.counted(report)}, by edgelfm {report.edgelfm}"),
        ("Method", " ".join(remarks.METHOD)),
        (
            "Plots",
            "Bars end at the median, whiskers span one standard deviation, dots are single repetitions.",
        ),
    ]
    listed = "".join(element("dt", escape(name)) + element("dd", escape(fact)) for name, fact in facts if fact)
    command = element("p", "The same again:", class_="again") + element("pre", escape(report.command))
    opened = _grid(
        ("runtime", "version", "quantization", "settings"),
        [
            (_starred(one), one.subject.version or "–", one.subject.quantization, remarks.settings(one.subject) or "–")
            for one in report.results
            if figures(one)
        ],
    )
    table = element("div", opened, class_="scroll opened", tabindex="0") if remarks.measured_anything(report) else ""
    return element("dl", listed, class_="facts") + command + table
