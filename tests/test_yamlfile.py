"""YAML is read strictly, and every error says file, line, key and what was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from edgelfm.errors import CatalogError, ProfileError
from edgelfm.yamlfile import DEPTH_LIMIT, SIZE_LIMIT, Strict, check_yaml, did_you_mean, read_yaml, yaml_files


class Part(Strict):
    size: int
    label: str = ""


class Whole(Strict):
    name: str
    kind: Literal["small", "large"] = "small"
    enabled: bool = False
    parts: list[Part] = Field(default=[])
    by_name: dict[str, Part] = Field(default={})


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Write text to `thing.yaml` and return its path."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "thing.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_good_file_becomes_the_schema(written: Callable[[str], Path]) -> None:
    whole = read_yaml(written("name: a\nkind: large\nparts:\n  - size: 3\n"), Whole, ProfileError)

    assert whole == Whole(name="a", kind="large", parts=[Part(size=3)])


def test_byte_order_mark_and_windows_line_ends_do_not_matter(written: Callable[[bytes], Path]) -> None:
    assert read_yaml(written(b"\xef\xbb\xbfname: a\r\nkind: large\r\n"), Whole, ProfileError).kind == "large"


# What is in the file, the line of the first problem, and words its message holds.
MALFORMED = {
    "unknown key": ("name: a\nenabld: true\n", 2, ["'enabld' is not known", "did you mean 'enabled'?"]),
    "unknown key with nothing near": ("name: a\nzzz: true\n", 2, ["'zzz' is not known"]),
    "unknown key in a list": ("name: a\nparts:\n  - size: 1\n    lable: x\n", 4, ["'parts[0].lable'", "'label'"]),
    "unknown key in a mapping": ("name: a\nby_name:\n  x:\n    seize: 1\n", 4, ["'by_name.x.seize'", "mean 'size'?"]),
    "missing key": ("kind: small\n", 1, ["'name' is missing"]),
    "missing key below": ("name: a\nparts:\n  - label: x\n", 3, ["'parts[0].size' is missing"]),
    "wrong word": ("name: a\nkind: lrage\n", 2, ["'kind' cannot be 'lrage'", "did you mean 'large'?"]),
    "number for text": ("name: 12\n", 1, ["'name' must be text, not 12", "put it in quotes"]),
    "date for text": ("name: 2026-02-03\n", 1, ["'name' must be text, not 2026-02-03", "put it in quotes"]),
    "no for text": ("name: no\n", 1, ["'name' must be text, not false", "put it in quotes"]),
    "nothing for text": ("name:\n", 1, ["'name' is empty"]),
    "nothing for an optional key": ("name: a\nkind:\n", 2, ["'kind' is empty"]),
    "nothing in a list": ("name: a\nparts:\n  -\n", 3, ["'parts[0]' must be a mapping", "not nothing"]),
    "text for a number": ("name: a\nparts:\n  - size: '3'\n", 3, ["'parts[0].size' must be a whole number, not '3'"]),
    "fraction for a number": ("name: a\nparts:\n  - size: 3.5\n", 3, ["'parts[0].size'", "3.5"]),
    "text for yes or no": ("name: a\nenabled: maybe\n", 2, ["'enabled' must be true or false, not 'maybe'"]),
    "mapping for a list": ("name: a\nparts: {size: 1}\n", 2, ["'parts' must be a list, not a mapping"]),
    "text for a mapping": ("name: a\nparts:\n  - x\n", 3, ["'parts[0]' must be a mapping", "not 'x'"]),
    "list for the file": ("- a\n", 1, ["the file must be a mapping", "not a list"]),
    "key twice": ("name: a\nkind: small\nname: b\n", 3, ["'name' is given twice, first in line 1"]),
    "key twice below": ("name: a\nparts:\n  - size: 1\n    size: 2\n", 4, ["'parts[0].size' is given twice"]),
    "anchor": ("name: &n a\nkind: *n\n", 1, ["anchors (&) and aliases (*) are not taken"]),
    "merge key": ("name: a\n<<: {kind: small}\n", 2, ["not plain text"]),
    "list as a key": ("name: a\n? [x]\n: 1\n", 2, ["not plain text"]),
    "two documents": ("name: a\n---\nname: b\n", 2, ["a second document starts here"]),
    "tab": ("name: a\nparts:\n\t- size: 1\n", 3, ["not valid YAML"]),
    "unclosed bracket": ("name: a\nparts: [1, 2\n", 3, ["not valid YAML"]),
    "impossible date": ("name: a\nkind: 2026-02-31\n", 2, ["not valid YAML", "day is out of range"]),
    "foreign tag": ("name: !!python/object:os.system x\n", 1, ["not valid YAML", "constructor"]),
    "control character": ("name: \x07\n", 1, ["not valid YAML", "control characters"]),
    "empty": ("", 1, ["the file is empty"]),
    "comments only": ("# nothing\n", 1, ["the file is empty"]),
    "latin-1": (b"kind: small\nname: caf\xe9\n", 2, ["not UTF-8"]),
    "deep": ("[" * (DEPTH_LIMIT + 2), 1, [f"more than {DEPTH_LIMIT} levels"]),
    "very deep": ("[" * 100_000, 1, ["nest"]),
    "large": ("name: " + "a" * SIZE_LIMIT, 1, ["larger than 1 MiB"]),
}


@pytest.mark.parametrize(("content", "line", "words"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_file_names_file_line_and_key(
    written: Callable[[str | bytes], Path], content: str | bytes, line: int, words: list[str]
) -> None:
    path = written(content)

    with pytest.raises(CatalogError) as caught:
        read_yaml(path, Whole, CatalogError)

    assert caught.value.message.startswith(f"{path}, line {line}: ")
    assert all(word in caught.value.message for word in words), caught.value.message
    assert caught.value.hint


def test_misspelled_key_is_told_before_the_key_that_it_leaves_missing(written: Callable[[str], Path]) -> None:
    _, problems = check_yaml(written("kind: small\nnme: a\n"), Whole)

    assert [problem.message for problem in problems] == [
        "key 'nme' is not known; did you mean 'name'?",
        "key 'name' is missing",
    ]


def test_every_problem_is_told_in_the_order_of_lines(written: Callable[[str], Path]) -> None:
    value, problems = check_yaml(written("name: a\nkind: huge\nparts: 3\nextra: 1\n"), Whole)

    assert value is None
    assert [(problem.line, problem.key) for problem in problems] == [(2, "kind"), (3, "parts"), (4, "extra")]
    assert problems[2].fix == "use one of: by_name, enabled, kind, name, parts"


def test_long_list_of_problems_is_cut_short(written: Callable[[str], Path]) -> None:
    with pytest.raises(ProfileError, match=r"and 5 more problems in .*thing\.yaml"):
        read_yaml(written("name: a\n" + "".join(f"x{n}: 1\n" for n in range(15))), Whole, ProfileError)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.yaml, line 1: the file cannot be read: No such file") as caught:
        read_yaml(tmp_path / "none.yaml", Whole, ProfileError)
    assert str(tmp_path / "none.yaml") in caught.value.hint

    with pytest.raises(ProfileError, match="cannot be read"):
        read_yaml(tmp_path, Whole, ProfileError)


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.txt"):
        (tmp_path / name).write_text("x: 1")
    (tmp_path / "d.yaml").mkdir()

    assert [path.name for path in yaml_files(tmp_path)] == ["a.yml", "b.yaml"]
    assert yaml_files(tmp_path / "none") == []


def test_nearest_name() -> None:
    assert did_you_mean("llamacpp", ["mlx", "llama.cpp"]) == "; did you mean 'llama.cpp'?"
    assert did_you_mean("reserve_mb", ["name", "reserve"]) == "; did you mean 'reserve'?"
    assert did_you_mean("q4_0", ["Q4_0", "Q8_0"]) == "; did you mean 'Q4_0'?"
    assert did_you_mean("xyz", ["name", "reserve"]) == ""
