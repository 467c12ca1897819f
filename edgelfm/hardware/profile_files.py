"""Finds and reads the files of hardware profiles: those that come with edgelfm and those that people write.

It knows what is in a file through `profile_schema`, and not which profile fits a machine. Importing it loads pydantic
and yaml, so `profiles` imports it inside its functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import ProfileError
from ..paths import config_folder
from ..yamlfile import Problem, check_yaml, read_yaml, yaml_files
from .profile_rules import Rule
from .profile_schema import ProfileFile
from .profiles import Bandwidth, Profile, Reserve, SpeedReference, ThreadPolicy

_PACKAGE = Path(__file__).resolve().parents[1]


def read_profile(path: Path) -> Profile:
    """The profile in `path`. Raises `ProfileError` naming file, line and key."""
    return _profile(path, read_yaml(path, ProfileFile, ProfileError))


def read_folder(folder: Path) -> list[Profile]:
    """All profiles in `folder`, by id. Files that have not changed since the last call are not read again."""
    profiles = []
    for path in yaml_files(folder):
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if path not in _cache or _cache[path][0] != stamp:
            _cache[path] = (stamp, read_profile(path))
        profiles.append(_cache[path][1])
    return profiles


def problems(path: Path) -> list[Problem]:
    """Everything that is wrong with one file, or with the files of a folder and between them."""
    if not path.is_dir():
        return check_yaml(path, ProfileFile)[1]
    found: list[Problem] = []
    seen: dict[frozenset[Rule], Profile] = {}
    paths = yaml_files(path)
    for file in paths:
        content, wrong = check_yaml(file, ProfileFile)
        found += wrong
        profile = _profile(file, content) if content is not None else None
        if profile is not None and profile.rules is not None:
            other = seen.setdefault(frozenset(profile.rules), profile)
            if other is not profile:
                message = f"key 'match' asks for the same as in {other.path}, so neither is the more specific"
                found.append(Problem(str(file), 1, "match", message, "add a rule to one of the two"))
    return found if paths else [Problem(str(path), 1, "", "the folder holds no YAML file", "name another folder")]


def shipped_folder(package: Path = _PACKAGE) -> Path:
    """Where the profiles that come with edgelfm are: in the installed package, or beside it in a source checkout."""
    for folder in (package / "_profiles", package.parent / "profiles"):
        if folder.is_dir():
            return folder
    raise ProfileError(
        f"the profiles that come with edgelfm are missing from {package}",
        hint="pip install --force-reinstall edgelfm",
    )


def user_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where people put profiles of their own."""
    return config_folder(environment) / "profiles"


_cache: dict[Path, tuple[tuple[int, ...], Profile]] = {}


def _profile(path: Path, content: ProfileFile) -> Profile:
    bandwidths = tuple(
        Bandwidth(one.rate, one.source, one.when.rules() if one.when else ()) for one in content.bandwidth
    )
    general = next((one for one in bandwidths if not one.rules), None)
    reserve = Reserve(content.reserve.at_least, content.reserve.at_most, content.reserve.fraction)
    return Profile(
        id=path.stem,
        name=content.name,
        reserve_bytes=reserve.at_least,
        backends=tuple(content.backends),
        quantizations=tuple(content.quantizations),
        threads=ThreadPolicy(**content.threads.model_dump()),
        bandwidth_bytes_per_second=general.bytes_per_second if general else None,
        bandwidth_source=general.source if general else "",
        references=tuple(SpeedReference(**one.model_dump()) for one in content.references),
        notes=tuple(content.notes),
        path=str(path),
        rules=content.match.rules() if "match" in content.model_fields_set else None,
        reserve=reserve,
        bandwidths=bandwidths,
    )
