"""Folders for edgelfm's own files, on each platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelfm.paths import cache_folder, config_folder

HOME = {"HOME": "/home/ada"}


@pytest.mark.parametrize(
    ("environment", "platform", "cache", "config"),
    [
        (HOME, "linux", "/home/ada/.cache/edgelfm", "/home/ada/.config/edgelfm"),
        (HOME | {"XDG_CACHE_HOME": "/c", "XDG_CONFIG_HOME": "/k"}, "linux", "/c/edgelfm", "/k/edgelfm"),
        (HOME | {"XDG_CACHE_HOME": "relative"}, "linux", "/home/ada/.cache/edgelfm", "/home/ada/.config/edgelfm"),
        (
            HOME,
            "darwin",
            "/home/ada/Library/Caches/edgelfm",
            "/home/ada/Library/Application Support/edgelfm",
        ),
        ({"LOCALAPPDATA": "/L", "APPDATA": "/R"}, "win32", "/L/edgelfm/cache", "/R/edgelfm"),
        ({"USERPROFILE": "/U"}, "win32", "/U/AppData/Local/edgelfm/cache", "/U/AppData/Roaming/edgelfm"),
        (HOME | {"EDGELFM_CACHE": "/fast", "EDGELFM_CONFIG": "/mine"}, "linux", "/fast", "/mine"),
    ],
)
def test_folders(environment: dict[str, str], platform: str, cache: str, config: str) -> None:
    assert cache_folder(environment, platform) == Path(cache)
    assert config_folder(environment, platform) == Path(config)


def test_the_live_environment_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGELFM_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
