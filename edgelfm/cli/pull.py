"""`edgelfm pull`: get a model onto this disk, checked, and say where it is."""

from __future__ import annotations

import sys

from . import options
from .output import write_facts, write_json


def pull(
    model: options.ModelName = None,
    task: options.Task = "chat",
    context: options.Context = None,
    quantization: options.Quantization = None,
    backend: options.Backend = None,
    memory: options.Memory = None,
    profile: options.Profile = None,
    offline: options.Offline = False,
    as_json: options.Json = False,
) -> None:
    """Download a model and check every byte of it.

    Without a name it gets the one that suits this machine. The licence of the weights is shown once, before the first
    download. A download that was cut goes on where it ended.
    """
    import edgelfm

    from ..models import store
    from ..planning import require
    from ..units import format_bytes
    from .opening import working

    with working("Planning"):
        made = edgelfm.plan(
            model,
            task=task,  # type: ignore[arg-type]  # checked there, with a hint
            context=context,
            quantization=quantization,
            backend=backend,
            memory=memory,
            profile=profile,
            offline=offline or None,
        )
        one = require(made)
    files = store.fetch(one.artifact, license=one.model.license, offline=offline or None, progress=sys.stderr.isatty())
    size = sum(path.stat().st_size for path in files.values() if path.is_file())
    if as_json:
        write_json({
            "model": one.model.id,
            "quantization": one.quantization,
            "backend": one.backend,
            "bytes": size,
            "files": {role: str(path) for role, path in files.items()},
        })  # fmt: skip
        return
    write_facts([
        ("model", f"{one.model.name} {one.quantization} for {one.backend}"),
        ("size", format_bytes(size)),
        *((role, str(path)) for role, path in files.items()),
        ("next", f"edgelfm chat {model or one.model.id}" + (f" --quantization {quantization}" if quantization else "")),
    ])  # fmt: skip
