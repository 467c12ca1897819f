"""Which backends this installation of edgelfm can open. Third parties add theirs through an entry point."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points

from ..errors import BackendError, BackendMissing
from .base import Backend

GROUP = "edgelfm.backends"


@functools.cache
def names() -> frozenset[str]:
    """Names of all registered backends, whether or not their runtime is installed."""
    return frozenset(point.name for point in entry_points(group=GROUP))


def get(name: str) -> Backend:
    """The backend of that name.

    Raises `BackendMissing` if nobody registered it, `BackendError` if it cannot be imported.
    """
    points = tuple(entry_points(group=GROUP, name=name))
    if not points:
        raise BackendMissing(
            f"no backend is called {name!r}", hint=f"choose one of: {', '.join(sorted(names())) or '(none installed)'}"
        )
    try:
        backend: Backend = points[0].load()
    except ImportError as error:
        raise BackendError(
            f"the backend {name!r} ({points[0].value}) cannot be imported: {error}",
            hint="reinstall the package that provides it: pip install --force-reinstall "
            + (points[0].dist.name if points[0].dist else name),
        ) from error
    return backend
