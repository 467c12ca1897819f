"""The `edgelfm` command: one short module a verb. Nothing here decides what to run; it asks the rooms below and shows.

`main` is what the entry point calls. Typer and rich are imported inside it, so that `import edgelfm` stays light.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 failed, 2 misused, 130 interrupted."""
    from .failures import guarded

    def run() -> int:
        from .app import run

        return run(arguments)

    return guarded(run)
