from __future__ import annotations

import inspect
import re

import pytest

from edgelfm import errors

CLASSES = [
    c
    for _, c in inspect.getmembers(errors, inspect.isclass)
    if c.__module__ == errors.__name__ and not issubclass(c, Warning)
]


def test_the_drawn_tree_is_the_real_one() -> None:
    """Every class stands in the docstring, below its parent, with the builtin it also is."""
    drawn = re.findall(r"^ {4}([│├└─ ]*)(\w+)(?: +\((\w+)\))?", errors.__doc__ or "", re.MULTILINE)
    parents: list[str] = []
    seen = {}
    for branch, name, builtin in drawn:
        depth = len(branch) // 3
        parents[depth:] = [name]
        seen[name] = (parents[depth - 1] if depth else "Exception", builtin)
    assert set(seen) == {c.__name__ for c in CLASSES}
    for one in CLASSES:
        parent, builtin = seen[one.__name__]
        bases = {base.__name__ for base in one.__mro__}
        assert parent in bases
        assert not builtin or builtin in bases


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_an_error_shows_its_hint(error: type[errors.EdgelfmError]) -> None:
    extra = {"prompt_tokens": 2, "context": 1} if error is errors.ContextExceeded else {}
    raised = error("the valve is shut", hint="open the valve", **extra)
    assert str(raised) == "the valve is shut\n  hint: open the valve"
    assert (raised.message, raised.hint) == ("the valve is shut", "open the valve")
    assert str(error("no idea", **extra)) == "no idea"
