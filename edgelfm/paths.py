"""Where edgelfm keeps its own small files: measurements in a cache folder, what people write in a config folder.

Knows nothing of model weights, which live in the Hugging Face cache. No function here creates a folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def cache_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Folder for what can be measured or fetched again: `EDGELFM_CACHE`, or the platform's cache folder."""
    environment = os.environ if environment is None else environment
    if chosen := environment.get("EDGELFM_CACHE"):
        return Path(chosen).expanduser()
    if platform == "win32":
        return _windows(environment, "LOCALAPPDATA", "Local") / "cache"
    if platform == "darwin":
        return _home(environment) / "Library" / "Caches" / "edgelfm"
    return _xdg(environment, "XDG_CACHE_HOME", ".cache")


def config_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Folder for what people write, such as their own profiles: `EDGELFM_CONFIG`, or the platform's config folder."""
    environment = os.environ if environment is None else environment
    if chosen := environment.get("EDGELFM_CONFIG"):
        return Path(chosen).expanduser()
    if platform == "win32":
        return _windows(environment, "APPDATA", "Roaming")
    if platform == "darwin":
        return _home(environment) / "Library" / "Application Support" / "edgelfm"
    return _xdg(environment, "XDG_CONFIG_HOME", ".config")


def _home(environment: Mapping[str, str]) -> Path:
    home = environment.get("HOME") or environment.get("USERPROFILE")
    return Path(home) if home else Path(os.path.expanduser("~"))


def _xdg(environment: Mapping[str, str], variable: str, default: str) -> Path:
    # The XDG base directory specification says that a relative path in these variables is to be ignored.
    chosen = environment.get(variable, "")
    base = Path(chosen) if chosen and Path(chosen).is_absolute() else _home(environment) / default
    return base / "edgelfm"


def _windows(environment: Mapping[str, str], variable: str, default: str) -> Path:
    chosen = environment.get(variable)
    return (Path(chosen) if chosen else _home(environment) / "AppData" / default) / "edgelfm"
