"""Reads YAML that people edit, strictly, and says where it is wrong: file, line, key and the nearest valid name.

Stricter than YAML: keys are text and never repeat, there are no anchors, aliases or merge keys, and the file holds one
document. It knows nothing of what a file means; a pydantic model says that. Importing this module loads pydantic and
yaml, so import it inside the function that reads a file.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from .errors import EdgelfmError

T = TypeVar("T", bound=BaseModel)
#: Where a value stands in a document: keys of mappings and positions in lists.
Location = tuple[str | int, ...]

SIZE_LIMIT = 1024**2  # bytes; files that people write by hand are far smaller
DEPTH_LIMIT = 50  # nested mappings and lists; also keeps a hostile file from exhausting the stack
SHOWN = 10  # problems written into one error

# PyYAML's C loader is about ten times as fast, but is missing from builds of PyYAML without libyaml.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Strict(BaseModel):
    """A schema that takes no unknown key and no empty one, and converts no type. Use `list` for sequences."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, given: Any) -> Any:
        # An empty value is a line that somebody did not finish; even an optional key is then left out.
        if given is None:
            raise PydanticCustomError("empty", "is empty")
        return given


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file, and what to write instead."""

    file: str
    line: int  # the first line is 1
    key: str  # "match.memory.at_least", "backends[1]", or "" for the whole file
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.message}"


def read_yaml(path: Path, schema: type[T], error: type[EdgelfmError]) -> T:
    """Read and validate `path`. Raises `error`, naming file, line and key of everything that is wrong."""
    value, problems = check_yaml(path, schema)
    if value is None:
        shown = [str(problem) for problem in problems[:SHOWN]]
        if len(problems) > SHOWN:
            shown.append(f"and {len(problems) - SHOWN} more problems in {path}")
        raise error("\n".join(shown), hint=problems[0].fix or f"correct {path} at line {problems[0].line}")
    return value


def check_yaml(path: Path, schema: type[T]) -> tuple[T | None, list[Problem]]:
    """The validated content of `path` and no problem, or None and everything that is wrong.

    Problems are in the order of lines, but keys that are missing come last: often one above is that key, misspelled.
    """
    document = _Document(str(path))
    try:
        data = document.parse(_text(path))
        return schema.model_validate(data), []
    except _Malformed as broken:
        return None, [broken.problem]
    except ValidationError as invalid:
        told = [(item["type"], document.explain(dict(item), schema)) for item in invalid.errors(include_url=False)]
        told.sort(key=lambda pair: (pair[0] == "missing", pair[1].line))
        return None, [problem for _, problem in told]


def yaml_files(folder: Path) -> list[Path]:
    """The YAML files directly in `folder`, by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file())
    return sorted(found, key=lambda path: (path.stem, path.suffix))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'reserve'?"` if one of `known` is near `name`, else an empty string."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    if not near:  # a known name with something hung on to it: "reserve_mb", "cpu_vendor"
        near = [folded for folded in by_folded if len(folded) > 2 and name.casefold().startswith(folded)][:1]
    return f"; did you mean {by_folded[near[0]]!r}?" if near else ""


class _Malformed(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _text(path: Path) -> str:
    def broken(message: str, fix: str, line: int = 1) -> _Malformed:
        return _Malformed(Problem(str(path), line, "", message, fix))

    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise broken(f"the file is larger than {SIZE_LIMIT // 1024**2} MiB", "give a YAML file written by hand")
        content = path.read_bytes()
    except OSError as failure:
        reason = failure.strerror or str(failure)
        raise broken(f"the file cannot be read: {reason}", f"check that {path} exists and is readable") from failure
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = content[: failure.start].count(b"\n") + 1
        raise broken("the file is not UTF-8 text", "save the file as UTF-8", line) from failure


class _Document:
    """One parsed file: remembers the line of every key and value."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Location, int] = {(): 1}

    def parse(self, text: str) -> Any:
        """Plain data, with `lines` filled in. Raises `_Malformed`."""
        loader = None
        try:
            loader = _Loader(text)
            loader.get_event()  # the stream starts
            if isinstance(loader.get_event(), yaml.StreamEndEvent):
                raise self._broken((), 1, "the file is empty", "write at least the required keys")
            data = self._value(loader, loader.get_event(), ())
            loader.get_event()  # the document ends
            if not isinstance(after := loader.get_event(), yaml.StreamEndEvent):
                raise self._broken((), _line(after), "a second document starts here", "keep one document in a file")
            return data
        except (yaml.YAMLError, ValueError) as failure:  # ValueError: a date such as 2026-02-31
            mark = getattr(failure, "problem_mark", None) or getattr(failure, "context_mark", None)
            said = getattr(failure, "problem", None) or str(failure).splitlines()[0]
            line = mark.line + 1 if mark else max(self.lines.values())
            fix = f"correct {self.file} at line {line}"
            raise self._broken((), line, f"this is not valid YAML: {said}", fix) from failure
        finally:
            if loader is not None:
                loader.dispose()

    def _value(self, loader: Any, event: Any, at: Location) -> Any:
        self.lines.setdefault(at, _line(event))
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            fix = "write the part out where it is wanted"
            raise self._broken(at, _line(event), "anchors (&) and aliases (*) are not taken", fix)
        if len(at) > DEPTH_LIMIT:
            raise self._broken(at, _line(event), f"more than {DEPTH_LIMIT} levels are nested", "flatten the file")
        if isinstance(event, yaml.ScalarEvent):
            tag = event.tag or loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            mark: Any = event.start_mark
            return loader.construct_object(yaml.ScalarNode(tag, event.value, mark))
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := loader.get_event(), yaml.SequenceEndEvent):
                items.append(self._value(loader, event, (*at, len(items))))
            return items
        mapping: dict[str, Any] = {}
        while not isinstance(event := loader.get_event(), yaml.MappingEndEvent):
            key, line = self._key(event, at), _line(event)
            here = (*at, key)
            if key in mapping:
                message = f"key {_dotted(here)!r} is given twice, first in line {self.lines[here]}"
                raise self._broken(here, line, message, "remove one of the two")
            self.lines[here] = line
            mapping[key] = self._value(loader, loader.get_event(), here)
        return mapping

    def _key(self, event: Any, at: Location) -> str:
        # Keys stay as they are written: YAML 1.1 would read `on` as true and `1.0` as a number.
        if not isinstance(event, yaml.ScalarEvent) or event.value == "<<":
            raise self._broken(at, _line(event), "a key here is not plain text", "write keys as plain words")
        return str(event.value)

    def _broken(self, at: Location, line: int, message: str, fix: str) -> _Malformed:
        return _Malformed(Problem(self.file, line, _dotted(at), message, fix))

    def explain(self, item: dict[str, Any], schema: type[BaseModel]) -> Problem:
        """What one error of pydantic means to the person who wrote the file."""
        # Pydantic puts names of union members into a location; only the steps that are in the file stay.
        at: Location = ()
        missing: list[str] = []
        for step in item["loc"]:
            if (*at, step) in self.lines:
                at = (*at, step)
            elif item["type"] == "missing" and step == item["loc"][-1]:
                missing.append(str(step))
        message, fix = _words(item, _dotted((*at, *missing)), list(_known_keys(schema, at[:-1])), at)
        return Problem(self.file, self.lines[at], _dotted((*at, *missing)), message, fix)


def _words(item: dict[str, Any], key: str, known: list[str], at: Location) -> tuple[str, str]:
    """The message and the fix for one error of pydantic."""
    kind, given, context = item["type"], item["input"], item.get("ctx", {})
    subject = f"key {key!r}" if key else "the file"
    if kind == "extra_forbidden":
        return f"{subject} is not known{did_you_mean(str(at[-1]), known)}", f"use one of: {', '.join(sorted(known))}"
    if kind == "missing":
        return f"{subject} is missing", f"add it: {item['loc'][-1]}: ..."
    if kind == "empty":
        return f"{subject} is empty", "give it a value, or leave it out"
    if kind == "literal_error":
        allowed = [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")]
        near = did_you_mean(given, allowed) if isinstance(given, str) else ""
        return f"{subject} cannot be {given!r}{near}", f"use one of: {', '.join(allowed)}"
    if kind in ("value_error", "assertion_error"):
        return f"{subject}: {context['error']}", ""
    expected = _TYPES.get(kind.rpartition("_")[0]) if kind.endswith(("_type", "_parsing")) else None
    if expected:
        quote = "; put it in quotes" if expected == "text" and not isinstance(given, (dict, list)) else ""
        return f"{subject} must be {expected}, not {_shown(given)}{quote}", f"write {expected} for {subject}"
    text = item["msg"][:1].lower() + item["msg"][1:]
    return f"{subject}: {text}, not {_shown(given)}", ""


_TYPES = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
}


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (str, int, float)) else str(value)


def _dotted(at: Iterable[str | int]) -> str:
    """`("match", "any", 0)` as `match.any[0]`."""
    text = ""
    for step in at:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _known_keys(schema: Any, at: Location) -> Iterator[str]:
    """Keys that a mapping at `at` may have, by the annotations of `schema`."""
    if get_origin(schema) is Annotated:
        yield from _known_keys(get_args(schema)[0], at)
    elif get_origin(schema) in (Union, types.UnionType):
        for member in get_args(schema):
            yield from _known_keys(member, at)
    elif isinstance(schema, type) and issubclass(schema, RootModel):
        yield from _known_keys(schema.model_fields["root"].annotation, at)
    elif isinstance(schema, type) and issubclass(schema, BaseModel):
        for name, field in schema.model_fields.items():
            if not at:
                yield field.alias or name
            elif at[0] in (name, field.alias):
                yield from _known_keys(field.annotation, at[1:])
    elif at and get_origin(schema) in (list, tuple, dict):
        yield from _known_keys(get_args(schema)[-1 if get_origin(schema) is dict else 0], at[1:])
