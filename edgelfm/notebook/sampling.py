"""Controls for how replies are drawn. They begin at the model's own preset, and only what was moved is passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

from ..markup import escape

if TYPE_CHECKING:
    from ..models.entry import Sampling

_WIDE = {"description_width": "8.5em"}
#: What leaves a filter out, for presets that do not have it.
_OFF = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
_NAMES = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class SamplingControls(ipywidgets.VBox):
    """Sliders for the filters in llama.cpp's words, the longest reply, and a seed."""

    def __init__(self) -> None:
        full = {"width": "auto"}
        common: dict[str, Any] = {"style": _WIDE, "layout": full, "continuous_update": False}
        self.temperature = ipywidgets.FloatSlider(
            min=0, max=2, step=0.05, description="Temperature", tooltip="0 takes the likeliest token", **common
        )
        self.top_k = ipywidgets.IntSlider(min=0, max=200, description="Top k", tooltip="0 keeps all tokens", **common)
        self.top_p = ipywidgets.FloatSlider(
            min=0, max=1, step=0.01, description="Top p", tooltip="1 keeps all tokens", **common
        )
        self.min_p = ipywidgets.FloatSlider(
            min=0, max=1, step=0.01, description="Min p", tooltip="0 keeps all tokens", **common
        )
        self.repetition_penalty = ipywidgets.FloatSlider(
            min=0.8, max=2, step=0.01, description="Repetition", tooltip="1 is no penalty", **common
        )
        self.max_tokens = ipywidgets.BoundedIntText(
            min=0, max=1 << 20, description="Max tokens", tooltip="0: until the model is done", style=_WIDE, layout=full
        )
        self.seed = ipywidgets.Text(
            description="Seed", placeholder="another each time", style=_WIDE, layout=full, continuous_update=False
        )
        self.reset = ipywidgets.Button(description="Back to the model's preset", icon="undo", layout={"width": "auto"})
        self.source = ipywidgets.HTML()
        self._preset: dict[str, Any] = {}
        self.reset.on_click(lambda _: self.show(None))
        super().__init__(
            [
                self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty, self.max_tokens,
                self.seed, self.reset, self.source,
            ]
        )  # fmt: skip

    def show(self, preset: Sampling | None) -> None:
        """Begin at `preset`; None goes back to the one before."""
        if preset is not None:
            given = {name: getattr(preset, name) for name in _NAMES}
            self._preset = {name: _OFF[name] if value is None else value for name, value in given.items()}
            source = f"<small style='line-height: 1.4; display: block'>Preset: {escape(preset.source)}</small>"
            self.source.value = source if preset.source else ""
        for name, value in self._preset.items():
            getattr(self, name).value = value
        self.max_tokens.value, self.seed.value = 0, ""

    def options(self) -> dict[str, Any]:
        """The keywords of a reply: what differs from the preset, and what was given besides."""
        given: dict[str, Any] = {
            name: getattr(self, name).value
            for name in _NAMES
            if abs(getattr(self, name).value - self._preset.get(name, getattr(self, name).value)) > 1e-9
        }
        if self.max_tokens.value:
            given["max_tokens"] = self.max_tokens.value
        seed = self.seed.value.strip()
        if seed.lstrip("-").isdigit():
            given["seed"] = int(seed)
        elif seed:
            given["seed"] = seed  # refused with a reason, in the page
        return given
