"""The licence of the weights: shown once, never silently passed over, refused where an operator says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelfm.errors import LicenseNotAccepted
from edgelfm.models.catalog import Catalog
from edgelfm.models.entry import License
from edgelfm.models.license_notice import notice, show_once

LFM = License("lfm1.0", "LFM Open License v1.0", "https://example.org/lfm1.0", "Free below a revenue.", True)
OTHER = License("other", "Acme Research License", "https://example.org/acme", "For research only.", True)
FREE = License("apache-2.0", "Apache License 2.0", "https://example.org/apache", "Free.", False)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"EDGELFM_CONFIG": str(tmp_path / "config")}


def show(license: License, environment: dict[str, str]) -> str:
    said: list[str] = []
    shown = show_once(license, "acme/tiny", environment=environment, write=said.append)
    assert shown == bool(said)
    return "".join(said)


def test_once_for_each_licence(environment: dict[str, str]):
    assert "LFM Open License v1.0" in show(LFM, environment)
    assert show(LFM, environment) == ""
    assert "Acme Research License" in show(OTHER, environment)
    assert "Another" in show(License("other", "Another License", "", "Strange.", True), environment)


def test_permissive_licences_are_not_announced(environment: dict[str, str]):
    assert show(FREE, environment) == ""


def test_the_notice_says_what_it_costs_and_where_to_read_on(catalog: Catalog):
    text = notice(catalog.licenses["lfm1.0"], "LiquidAI/LFM2-350M")
    assert "US$10 million" in text
    assert "not open source" in text
    assert "https://docs.liquid.ai/lfm/help/model-license" in text
    assert "EDGELFM_ACCEPT_LICENSE=lfm1.0" in text
    assert max(map(len, text.splitlines())) <= 88


@pytest.mark.parametrize("value", ["lfm1.0", "LFM1.0", "mit, lfm1.0"])
def test_an_accepted_licence_is_not_shown(environment: dict[str, str], value: str):
    assert show(LFM, environment | {"EDGELFM_ACCEPT_LICENSE": value}) == ""
    assert "LFM Open" in show(LFM, environment)  # and nothing was remembered by that


def test_an_operator_can_rule_licences_out(environment: dict[str, str]):
    show(LFM, environment)
    with pytest.raises(LicenseNotAccepted, match=r"allows only apache-2\.0") as caught:
        show(LFM, environment | {"EDGELFM_ACCEPT_LICENSE": "apache-2.0"})
    assert "EDGELFM_ACCEPT_LICENSE=apache-2.0,lfm1.0" in caught.value.hint
    assert isinstance(caught.value, PermissionError)
    assert show(FREE, environment | {"EDGELFM_ACCEPT_LICENSE": "mit"}) == ""


def test_an_empty_variable_is_no_rule(environment: dict[str, str]):
    assert "LFM Open" in show(LFM, environment | {"EDGELFM_ACCEPT_LICENSE": " "})


def test_a_home_that_cannot_be_written_shows_it_again(tmp_path: Path):
    (tmp_path / "file").write_text("")
    environment = {"EDGELFM_CONFIG": str(tmp_path / "file" / "config")}
    assert "LFM Open" in show(LFM, environment)
    assert "LFM Open" in show(LFM, environment)
