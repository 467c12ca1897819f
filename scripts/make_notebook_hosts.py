"""Write the machines that notebook 02 plans for, as `edgelfm doctor --save` would have written them there.

    python scripts/make_notebook_hosts.py

They come from tests/hardware/machines, which were put together by hand from public sources.
"""

from __future__ import annotations

from pathlib import Path

from edgelfm.hardware import inspect
from edgelfm.hardware.machine import Machine

ROOT = Path(__file__).parent.parent
HOSTS = {
    "raspberry-pi-5.json": "pi5-8gb",
    "raspberry-pi-zero-2w.json": "pi-zero-2w",
    "jetson-orin-nano.json": "jetson-orin-nano-8gb",
    "macbook-air-m2.json": "mac-m2",
}


def made() -> dict[str, str]:
    """File names and what is in them."""
    machines = ROOT / "tests" / "hardware" / "machines"
    return {file: inspect(Machine.from_folder(machines / name)).to_json() + "\n" for file, name in HOSTS.items()}


if __name__ == "__main__":
    folder = ROOT / "notebooks" / "hosts"
    folder.mkdir(exist_ok=True)
    for file, text in made().items():
        (folder / file).write_text(text, encoding="utf-8")
        print(folder / file)
