"""How fast does it really run here? Measurements that can be repeated, shown and compared."""

from .protocol import Settings, read_settings
from .report import BenchReport
from .run import run

__all__ = ["BenchReport", "Settings", "read_settings", "run"]
