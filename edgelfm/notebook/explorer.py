"""`plan.explore()`: change what is asked for and see at once what would run, what it takes and how fast it would be.

Every plan is made by `Plan.again`, from the facts of the first one: nothing is read, measured or fetched. The page
sends the next position of a slider when the last one is answered, so a dragged slider costs one plan at a time.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, get_args

import ipywidgets

from ..models.entry import Artifact, ModelEntry, Task
from ..planning.plan import Candidate, KvType, Plan, Request
from ..units import MIB, format_bytes
from .ranking import Ranking, told

CONTEXTS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_MIB = (256, 384, 512, 768, *(1024 * size for size in (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)))
#: Memory to choose from, in bytes.
MEMORY = tuple(int(size * MIB) for size in _MIB)
#: What a control is set to where it leaves the choice to the planner. None would mean that it shows nothing.
_ANY, _AUTO = "", 0


class PlanExplorer(ipywidgets.VBox):
    """Controls above, what would run below. `plan`, `candidate` and `load_command` are what is on screen.

    The controls `task`, `model`, `backend`, `quantization`, `context`, `memory` and `kv_type` can be set from Python
    too: `explorer.context.value = 4096`. `explorer.ranking.selected` is the place of the chosen candidate.
    """

    def __init__(self, plan: Plan) -> None:
        self._first = self._plan = plan
        self._lock = threading.RLock()
        self._still = True  # as long as controls are set by us
        self._picked: Artifact | None = None  # chosen by hand, and kept while it fits
        asked, facts = plan.request, plan.facts
        self._models = {one.id: one for one in (facts.catalog if facts else ()) if one.status == "current"}
        if asked.model is not None:
            self._models[asked.model.id] = asked.model
        self.task = _dropdown("Task", [(name, name) for name in get_args(Task)], asked.task)
        names = [("any that suits", _ANY), *((one.name, id) for id, one in self._models.items())]
        self.model = _dropdown("Model", names, asked.model.id if asked.model else _ANY)
        self.backend = _dropdown("Backend", _options(_backends(plan), asked.backend), asked.backend or _ANY)
        self.quantization = _dropdown("Quantization", self._quantizations(asked.backend), asked.quantization or _ANY)
        self.context = _slider("Context", _sizes(CONTEXTS, asked.context, "{:,} tokens".format), asked.context or _AUTO)
        most = plan.host.memory.available_bytes
        steps = [*(size for size in MEMORY if size < most), *([most] if most else [])]
        self.memory = _slider("Memory", _sizes(steps, asked.memory_bytes, format_bytes), asked.memory_bytes or _AUTO)
        self.kv_type = _dropdown("KV cache", _options(get_args(KvType), None), asked.kv_type or _ANY)
        self.start = ipywidgets.Button(
            description="As at first",
            tooltip="Undo every change made here",
            layout={"width": "9em"},
        )
        self.ranking = Ranking(told=told(plan))
        self._controls = (
            self.task, self.model, self.backend, self.quantization, self.context, self.memory, self.kv_type
        )  # fmt: skip
        for control in self._controls:
            control.observe(_weakly(self._heard), "value")
        self.ranking.observe(_weakly(self._chose), "selected")
        self.start.on_click(_weakly(self._restart))
        self._box = ipywidgets.GridBox(
            [*self._controls, self.start],
            layout={"grid_template_columns": "repeat(auto-fill, minmax(min(21em, 100%), 1fr))", "width": "100%"},
        )
        self._owned = (*self._controls, self.start, self.ranking, self._box)
        super().__init__([self._box, self.ranking], layout={"width": "100%"})
        self._still = False

    @property
    def plan(self) -> Plan:
        """The plan on screen."""
        return self._plan

    @property
    def candidate(self) -> Candidate | None:
        """The chosen way on screen, None where nothing fits."""
        with self._lock:
            candidates = self._plan.candidates
            return candidates[min(max(self.ranking.selected, 0), len(candidates) - 1)] if candidates else None

    @property
    def load_command(self) -> str:
        """The exact `edgelfm.load(...)` of the chosen way, empty where nothing fits."""
        candidate = self.candidate
        return candidate.load_command if candidate is not None else ""

    @property
    def request(self) -> Request:
        """What the controls ask for. What they do not show is as in the plan that was given."""
        return replace(
            self._first.request,
            model=self._models[self.model.value] if self.model.value else None,
            task=self.task.value,
            context=self.context.value or None,
            quantization=self.quantization.value or None,
            backend=self.backend.value or None,
            memory_bytes=self.memory.value or None,
            kv_type=self.kv_type.value or None,
        )

    def close(self) -> None:
        """Leave the page. What was on screen can still be read."""
        for widget in getattr(self, "_owned", ()):  # nothing, if it was not made to the end
            widget.unobserve_all()
            for part in ("layout", "style"):
                if (owned := getattr(widget, part, None)) is not None:
                    owned.close()
            widget.close()
        self.layout.close()
        super().close()

    def _heard(self, change: Any) -> None:
        with self._lock:
            if self._still:
                return
            if change.owner is self.backend:
                self._set(self.quantization, self._quantizations(self.backend.value or None))
            self._show(self._first.again(self.request))

    def _show(self, plan: Plan) -> None:
        places = (place for place, one in enumerate(plan.candidates) if one.artifact == self._picked)
        self._plan, self._still = plan, True
        try:
            with self.ranking.hold_sync():  # one message, so that the page never points past the end of its list
                self.ranking.told = told(plan)
                self.ranking.selected = next(places, 0)
        finally:
            self._still = False

    def _chose(self, change: Any) -> None:
        with self._lock:
            if not self._still and (one := self.candidate) is not None:
                self._picked = one.artifact

    def _restart(self, _: Any) -> None:
        asked = self._first.request
        with self._lock:
            self._still, self._picked = True, None
            try:
                self.task.value, self.model.value = asked.task, asked.model.id if asked.model else _ANY
                self.backend.value, self.kv_type.value = asked.backend or _ANY, asked.kv_type or _ANY
                self.quantization.options = self._quantizations(asked.backend)
                self.quantization.value = asked.quantization or _ANY
                self.context.value, self.memory.value = asked.context or _AUTO, asked.memory_bytes or _AUTO
            finally:
                self._still = False
            self._show(self._first)

    def _set(self, control: Any, options: list[tuple[str, Any]]) -> None:
        """Give a control other options, and keep its value where they have it."""
        value, self._still = control.value, True
        try:
            control.options = options
            control.value = value if any(one == value for _, one in options) else _ANY
        finally:
            self._still = False

    def _quantizations(self, backend: str | None) -> list[tuple[str, Any]]:
        """What the models of the catalogue come in: the profile's favourites first."""
        forms = [one for entry in self._models.values() for one in entry.artifacts]
        found = dict.fromkeys(one.quantization for one in forms if backend in (None, one.backend))
        liked = [name for name in self._first.match.profile.quantizations if name in found]
        return _options([*liked, *(name for name in found if name not in liked)], self._first.request.quantization)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget; and the plan for what cannot show widgets, such as GitHub."""
        bundle = super()._repr_mimebundle_(**kwargs)
        return None if bundle is None else {**bundle, **self._plan._repr_mimebundle_()}


def _backends(plan: Plan) -> list[str]:
    """Those that can be opened first; the others say what is missing."""
    facts = plan.facts
    forms: list[ModelEntry] = list(facts.catalog) if facts else []
    known = dict.fromkeys(one.backend for entry in forms for one in entry.artifacts)
    drivable = sorted(facts.drivable) if facts else []
    return [*drivable, *(name for name in known if name not in drivable)]


def _options(names: Iterable[str], asked: str | None) -> list[tuple[str, Any]]:
    found = dict.fromkeys([*names, *([asked] if asked is not None else [])])
    return [("any", _ANY), *((name, name) for name in found)]


def _sizes(steps: Iterable[int], asked: int | None, words: Callable[[int], str]) -> list[tuple[str, Any]]:
    found = sorted({*steps, *([asked] if asked is not None else [])})
    return [("auto", _AUTO), *((words(size), size) for size in found)]


def _dropdown(name: str, options: list[tuple[str, Any]], value: Any) -> Any:
    return ipywidgets.Dropdown(options=options, value=value, description=name, **_look())


def _slider(name: str, options: list[tuple[str, Any]], value: Any) -> Any:
    return ipywidgets.SelectionSlider(options=options, value=value, description=name, **_look())


def _look() -> dict[str, Any]:
    return {"layout": {"width": "auto"}, "style": {"description_width": "6.5em"}}


def _weakly(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """Call `method` as long as its object is there, without keeping it."""
    known = weakref.WeakMethod(method)

    def heard(change: Any) -> None:
        call = known()
        if call is not None:
            call(change)

    return heard
