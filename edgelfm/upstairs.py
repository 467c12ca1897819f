"""The way from an object up to its widget: by name, when somebody asks for it, so that no room imports upward.

`lfm.monitor()` and `plan.explore()` stand on their objects because that is where people look for them; what they show
is made in `notebook/`, above every other room.
"""

from __future__ import annotations

import importlib
from typing import Any

from .errors import WidgetsMissing

_NEEDED = ("ipywidgets", "anywidget", "traitlets", "IPython", "psygnal")


def widget(module: str, name: str) -> Any:
    """`name` of `edgelfm.notebook.<module>`. Raises `WidgetsMissing` where the packages for widgets are not there."""
    try:
        return getattr(importlib.import_module(f"edgelfm.notebook.{module}"), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise WidgetsMissing(f"{error.name} is not installed", hint="pip install 'edgelfm[notebook]'") from error
