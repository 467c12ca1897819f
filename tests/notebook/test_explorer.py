"""The plan explorer: first its kernel side without a page, then in JupyterLab."""

from __future__ import annotations

import gc
import json
import re
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("anywidget", reason="to run: pip install 'edgelfm[notebook]'")

from ipywidgets.widgets.widget import _instances

import edgelfm
from edgelfm.hardware.host import Host
from edgelfm.notebook.explorer import PlanExplorer
from edgelfm.notebook.ranking import told
from edgelfm.planning.plan import Plan
from edgelfm.units import GIB, MIB
from tests.html_checks import HOSTILE, Page


@pytest.fixture
def pi(machine_host: Callable[[str], Host]) -> Plan:
    return edgelfm.plan(host=machine_host("pi5-8gb"))


@pytest.fixture
def explorer(pi: Plan) -> Any:
    made = pi.explore()
    yield made
    made.close()


def screen(explorer: PlanExplorer) -> str:
    """Everything that the page is told, as a reader sees it."""
    now = explorer.ranking.told
    pieces = [now["summary"], Page(now["problem"]).text, Page(now["below"]).text]
    for one in now["candidates"]:
        pieces += [one["title"], one["command"]]
        pieces += [Page(one[key]).text for key in ("name", "memory", "speed", "facts", "bill", "settings")]
    return "\n".join(pieces)


class TestKernelSide:
    def test_it_begins_with_the_plan_it_was_made_from(self, explorer: PlanExplorer, pi: Plan) -> None:
        assert explorer.plan is pi
        assert explorer.candidate is pi.chosen
        assert explorer.load_command == (
            'edgelfm.load("lfm2.5-1.2b-instruct", backend="llama.cpp", quantization="Q4_0", context=8192)'
        )
        assert explorer.request == pi.request
        text = screen(explorer)
        assert "7 ways fit: 6.70 GiB to spend on Raspberry Pi 5" in text
        assert "993 MiB" in text

    def test_a_longer_context_takes_more_memory(self, explorer: PlanExplorer) -> None:
        before = explorer.plan.candidates[0].memory.part("KV cache")
        explorer.context.value = 32768
        after = explorer.plan.candidates[0]
        assert after.settings.context.value == 32768
        assert after.memory.part("KV cache") == 4 * before
        assert "context=32768" in explorer.load_command
        assert "context 32768" in screen(explorer)
        explorer.context.value = 131072
        ids = [one.model.id for one in explorer.plan.candidates]
        assert "lfm2.5-1.2b-instruct" not in ids, "it supports 32,768 tokens"
        assert "supports 32768 tokens of context, 131072 were asked for" in screen(explorer)

    def test_less_memory_changes_the_ranking(self, explorer: PlanExplorer) -> None:
        explorer.memory.value = 512 * MIB
        assert explorer.candidate is not None
        assert explorer.candidate.model.id == "lfm2.5-350m"
        assert explorer.candidate.memory.total <= 512 * MIB
        assert 'memory="512 MiB"' in explorer.load_command

    def test_where_nothing_fits_it_says_what_would_help(self, explorer: PlanExplorer) -> None:
        explorer.memory.value = 256 * MIB
        explorer.model.value = "lfm2.5-2.6b"
        assert explorer.candidate is None
        assert explorer.load_command == ""
        assert explorer.ranking.told["candidates"] == []
        problem = Page(explorer.ranking.told["problem"]).text
        assert "LFM2.5-2.6B cannot run here" in problem
        assert re.search(r"What would help: allow 1\.\d GiB of memory", problem)
        explorer.memory.value = 0
        assert explorer.candidate is not None
        assert explorer.ranking.told["problem"] == ""

    def test_a_backend_that_is_not_installed_says_so(self, explorer: PlanExplorer) -> None:
        explorer.backend.value = "onnx"
        assert explorer.candidate is None
        assert "onnx is not installed" in screen(explorer)
        assert {"any", "q4", "q8"} <= dict(explorer.quantization.options).keys()
        assert "Q4_0" not in dict(explorer.quantization.options)

    def test_a_quantization_goes_when_its_backend_goes(self, explorer: PlanExplorer) -> None:
        explorer.quantization.value = "Q8_0"
        assert {one.quantization for one in explorer.plan.candidates} == {"Q8_0"}
        explorer.backend.value = "mlx"
        assert explorer.quantization.value == ""
        assert explorer.plan.request.quantization is None

    def test_task_and_cache_type(self, explorer: PlanExplorer) -> None:
        explorer.task.value = "vision"
        assert explorer.candidate is not None
        assert "image" in explorer.candidate.model.modalities
        explorer.task.value = "chat"
        explorer.kv_type.value = "q8_0"
        assert explorer.candidate.settings.kv_type.value == "q8_0"
        assert 'kv_type="q8_0"' in explorer.load_command

    def test_a_way_chosen_by_hand_stays_chosen_while_it_fits(self, explorer: PlanExplorer) -> None:
        place = next(n for n, one in enumerate(explorer.plan.candidates) if one.model.id == "lfm2-700m")
        explorer.ranking.selected = place
        assert explorer.load_command.startswith('edgelfm.load("lfm2-700m"')
        explorer.context.value = 2048
        assert explorer.load_command.startswith('edgelfm.load("lfm2-700m"')
        explorer.memory.value = 384 * MIB
        assert explorer.ranking.selected == 0
        assert explorer.candidate is explorer.plan.chosen

    def test_a_place_beyond_the_list_is_its_end(self, explorer: PlanExplorer) -> None:
        explorer.ranking.selected = 99
        assert explorer.candidate is explorer.plan.candidates[-1]
        explorer.ranking.selected = -5
        assert explorer.candidate is explorer.plan.candidates[0]

    def test_everything_goes_back_with_one_button(self, explorer: PlanExplorer, pi: Plan) -> None:
        explorer.backend.value, explorer.context.value = "mlx", 1024
        explorer.memory.value, explorer.task.value = GIB, "rag"
        explorer.start.click()
        assert explorer.plan is pi
        assert explorer.request == pi.request

    def test_what_was_asked_for_at_first_is_shown_and_kept(self, machine_host: Callable[[str], Host]) -> None:
        asked = {"context": 3000, "memory": 1_000_000_000, "quantization": "Q6_K", "threads": 3}
        made = edgelfm.plan("lfm2.5-350m", host=machine_host("pi5-8gb"), **asked).explore()
        assert (made.context.value, made.memory.value, made.quantization.value) == (3000, 1_000_000_000, "Q6_K")
        assert made.model.value == "lfm2.5-350m"
        made.context.value = 2048
        assert made.plan.request.threads == 3
        assert made.candidate.quantization == "Q6_K"
        made.close()

    def test_the_network_the_disk_and_the_machine_are_left_alone(
        self, explorer: PlanExplorer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object, **__: object) -> None:
            raise AssertionError("a change of a control must not look at anything")

        monkeypatch.setattr("socket.socket.connect", never)
        monkeypatch.setattr("edgelfm.loading.inspect", never)
        monkeypatch.setattr("builtins.open", never)
        explorer.context.value = 4096
        explorer.memory.value = 2 * GIB
        assert explorer.candidate is not None

    def test_a_change_costs_little(self, explorer: PlanExplorer) -> None:
        assert len(json.dumps(explorer.ranking.told)) < 80_000

    def test_it_shows_the_plan_where_there_are_no_widgets(self, explorer: PlanExplorer) -> None:
        explorer.context.value = 2048
        bundle = explorer._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert "context=2048" in bundle["text/html"]
        assert bundle["text/plain"].startswith("Machine")

    def test_closing_leaves_nothing_behind(self, pi: Plan) -> None:
        before = set(_instances)
        made = pi.explore()
        made.context.value = 2048
        made.close()
        assert set(_instances) == before
        assert "context=2048" in made.load_command
        gone = weakref.ref(made)
        del made
        gc.collect()
        assert gone() is None

    def test_names_are_text_also_on_the_page(self, pi: Plan) -> None:
        for text in HOSTILE:
            first = pi.candidates[0]
            bad = replace(first, model=replace(first.model, name=text, id=text), reason=text)
            now = told(replace(pi, candidates=(bad,), rejected=(replace(pi.rejected[0], model=text, fix=text),)))
            for markup in (now["below"], *(now["candidates"][0][key] for key in ("name", "memory", "facts", "bill"))):
                assert "script" not in Page(markup).seen


CELL = """
import edgelfm
host = edgelfm.Host.from_json(open("pi5.json").read())
plans = []
explorer = edgelfm.plan(host=host).explore()
explorer.ranking.observe(lambda change: plans.append(explorer.plan), "told")
explorer
"""


def rows(book: Any) -> Any:
    """The ways that fit, as the page shows them."""
    return book.page.locator(".elfm-explorer").get_by_role("option")


class TestInJupyterLab:
    @pytest.fixture
    def book(self, lab: Any, open_book: Callable[..., Any], machine_host: Callable[[str], Host]) -> Any:
        (lab.folder / "pi5.json").write_text(machine_host("pi5-8gb").to_json())
        book = open_book([CELL.strip()])
        book.run()
        rows(book).first.wait_for()
        return book

    def test_controls_change_what_is_shown_and_keys_choose_a_row(self, book: Any) -> None:
        from playwright.sync_api import expect

        page = book.page
        ways, line = rows(book), page.locator(".elfm-line code")
        expect(ways).to_have_count(7)
        expect(line).to_have_text(book.kernel("explorer.load_command"))

        context = page.locator(".widget-slider", has_text="Context").get_by_role("slider")
        context.focus()
        for _ in range(6):
            context.press("ArrowRight")
        expect(line).to_contain_text("context=32768")
        assert book.kernel("explorer.plan.request.context") == 32768
        expect(ways.first).to_contain_text("KV cache 384 MiB")

        memory = page.locator(".widget-slider", has_text="Memory").get_by_role("slider")
        memory.focus()
        for _ in range(3):
            memory.press("ArrowRight")
        expect(page.get_by_role("status").filter(has_text="to spend")).to_contain_text("512 MiB as asked for")
        expect(line).to_contain_text('memory="512 MiB"')
        assert book.kernel("len(explorer.plan.candidates)") == ways.count()

        page.get_by_role("button", name="As at first").click()
        expect(ways).to_have_count(7)
        ways_list = page.get_by_role("listbox", name="Ways that fit, best first")
        ways_list.focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
            ways_list.press(key)
        expect(ways.nth(1)).to_have_attribute("aria-selected", "true")
        expect(ways_list).to_have_attribute("aria-activedescendant", str(ways.nth(1).get_attribute("id")))
        second = book.kernel("explorer.plan.candidates[1].load_command")
        expect(line).to_have_text(second)
        book.until(f"explorer.load_command == {second!r}")  # the page is ahead of the kernel
        ways_list.press("End")
        expect(ways.last).to_have_attribute("aria-selected", "true")
        ways.first.click()
        expect(ways.first).to_have_attribute("aria-selected", "true")
        book.until("explorer.ranking.selected == 0")

    def test_the_load_line_can_be_copied(self, book: Any) -> None:
        page = book.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="Copy", exact=True).click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == book.kernel("explorer.load_command")

    def test_where_nothing_fits_the_page_says_what_would_help(self, book: Any) -> None:
        page = book.page
        page.locator(".widget-dropdown", has_text="Backend").get_by_role("combobox").select_option("onnx")
        page.locator(".elfm-problem").filter(has_text="What would help").wait_for()
        assert rows(book).count() == 0
        page.get_by_text("turned down, and what would help").click()
        page.get_by_text("onnx is not installed").last.wait_for()
        assert book.kernel("explorer.candidate is None")

    def test_two_views_and_a_view_that_goes(self, book: Any) -> None:
        book.execute("from IPython.display import display; explorer.context.value = 1024")
        page = book.page
        page.locator(".elfm-line code", has_text="context=1024").wait_for()
        book.execute("explorer.close()")
        rows(book).first.wait_for(state="detached")
        assert book.kernel("'context=1024' in explorer.load_command")
