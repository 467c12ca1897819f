"""Room on the disk where model files are kept: the Hugging Face cache, found as huggingface-hub finds it."""

from __future__ import annotations

from collections.abc import Mapping

from .host import Disk
from .machine import Machine
from .system import system_of


def read_disk(machine: Machine) -> Disk:
    """The disk of the model cache."""
    path = hub_cache(machine.facts.environment)
    if system_of(machine.facts) == "windows":
        path = path.replace("/", "\\")
    room = machine.disk_room(path)
    return Disk(path, *room) if room else Disk(path)


def hub_cache(environment: Mapping[str, str]) -> str:
    """Folder of the Hub cache. The order is that of huggingface_hub/constants.py."""
    home = environment.get("HOME") or environment.get("USERPROFILE") or ""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := environment.get(variable):
            return _expand(chosen, home)
    default = f"{environment.get('XDG_CACHE_HOME') or f'{home}/.cache'}/huggingface"
    return f"{_expand(environment.get('HF_HOME') or default, home)}/hub"


def _expand(path: str, home: str) -> str:
    return home + path[1:] if path == "~" or path.startswith("~/") else path
