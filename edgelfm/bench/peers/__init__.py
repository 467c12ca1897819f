"""Other runtimes on the same weights, each used as its own documentation says: what people would run instead of us."""

from .find import find

__all__ = ["find"]
