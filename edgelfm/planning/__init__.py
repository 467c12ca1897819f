"""Which model, backend, quantization and settings, and why? Pure functions over facts: no network, no weights.

`plan` decides and explains; `require` turns a plan without a candidate into an error. The data they speak in is in the
module `edgelfm.planning.plan`, which the function of the same name hides as an attribute: import from it by its path.
"""

from __future__ import annotations

from .planner import plan
from .rejections import require

__all__ = ["plan", "require"]
